"""Webhook bodies for tests: what the simulator's phone number receives, and statuses of what it sent."""

import itertools
import json

from frontdesk.flows.first_run import SIMULATOR_ACCOUNT, SIMULATOR_NUMBER

_serial = itertools.count(1)


def body(*changes: dict) -> bytes:
    entry = {"id": SIMULATOR_ACCOUNT, "changes": list(changes)}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


def change(field: str = "messages", phone_number_id: str = SIMULATOR_NUMBER, **value) -> dict:
    metadata = {"display_phone_number": "15550100001", "phone_number_id": phone_number_id}
    return {"field": field, "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}


def text(words: str = "Hello", sender: str = "4915112345678", id: str | None = None, at: float = 1_790_000_000) -> dict:
    """One message object."""
    return {
        "from": sender,
        "id": id or f"wamid.in{next(_serial)}",
        "timestamp": str(int(at)),
        "type": "text",
        "text": {"body": words},
    }


def texts(*messages: dict) -> bytes:
    contacts = [{"wa_id": sender, "profile": {"name": "Ana"}} for sender in dict.fromkeys(m["from"] for m in messages)]
    return body(change(contacts=contacts, messages=list(messages)))


def status(name: str, external_id: str, callback_data: str | None = None, at: float = 1_790_000_001, code: int | None = None) -> dict:
    made = {"id": external_id, "status": name, "timestamp": str(int(at)), "recipient_id": "4915112345678"}
    if callback_data:
        made["biz_opaque_callback_data"] = callback_data
    if code:
        made["errors"] = [{"code": code, "title": f"error {code}"}]
    return made


def statuses(*made: dict) -> bytes:
    return body(change(statuses=list(made)))


def echo(words: str, to: str = "4915112345678", id: str | None = None, at: float = 1_790_000_000) -> bytes:
    """What the business wrote in its phone app."""
    message = {**text(words, sender="15550100001", id=id, at=at), "to": to}
    return body(change("smb_message_echoes", message_echoes=[message]))


def edited(original: str, words: str, sender: str = "4915112345678", at: float = 1_790_000_000) -> bytes:
    """The customer changed the words of their message `original`."""
    message = {**text(sender=sender, at=at), "type": "edit", "edit": {"original_message_id": original, "message": {"type": "text", "text": {"body": words}}}}
    return texts(message)
