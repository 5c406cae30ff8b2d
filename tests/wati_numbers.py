"""For tests: a number at WATI and what is posted for it."""

import dataclasses
import json
from functools import cache

from frontdesk.channels import channel_class
from frontdesk.flows import inbound, webhook_address
from frontdesk.flows.context import Context
from frontdesk.store import numbers
from tests.standins.wati import TOKEN

NOW = 1_790_000_000


def add(context_or_db, settings, *, endpoint: str = "http://127.0.0.1:9/384776", external_id: str = "384776", client_id: int = 1) -> numbers.Number:
    db = getattr(context_or_db, "db", context_or_db)
    number_id = numbers.put(
        db,
        settings,
        client_id=client_id,
        channel="wati",
        external_id=external_id,
        access_token=TOKEN,
        base_url=endpoint,
        webhook_key=webhook_address.new_key(),
        now=NOW,
    )
    return numbers.get(db, number_id)


def at_providers(context: Context, timeout_seconds: float = 2.0) -> Context:
    """The same context with real channels."""
    return dataclasses.replace(context, channel=cache(lambda kind: channel_class(kind)(timeout_seconds)))


def text(words: str = "Hello", wa_id: str = "4915112345678", id: str = "wamid.in1", at: float = NOW, **fields) -> dict:
    body = {"eventType": "message", "type": "text", "text": words, "waId": wa_id, "whatsappMessageId": id, "id": f"w-{id}", "owner": False}
    return {**body, "timestamp": str(int(at)), "senderName": "Ana", **fields}


def event(name: str, external_id: str, local_id: str | None = None, at: float = NOW + 1, **fields) -> dict:
    body = {"eventType": name, "whatsappMessageId": external_id, "id": f"w-{external_id}", "timestamp": str(int(at)), "type": "text"}
    return {**body, **({"localMessageId": local_id} if local_id else {}), **fields}


def receive(context: Context, number: numbers.Number, *bodies: dict) -> None:
    for body in bodies:
        context.inbox.put(f"wati/{number.id}.{number.webhook_key}", json.dumps(body).encode(), context.now())
    inbound.drain(context)
