"""What a visitor's page shows of their conversation: the messages, who answers, and what is asked of them when nobody does."""

import hashlib
import json
from typing import Any

from frontdesk.channels import MEDIA_KINDS
from frontdesk.flows import hours, visitors
from frontdesk.flows.context import Context
from frontdesk.store import clients, conversations, numbers, widgets
from frontdesk.store.conversations import Conversation
from frontdesk.store.numbers import Number
from frontdesk.store.widgets import Said, Widget

PAGE = 40


def shown(context: Context, number: Number, widget: Widget, visitor: str) -> dict[str, Any]:
    """`known` is a hash of the rest: what a page has already need not be sent again."""
    conversation_id = widgets.conversation(context.db, number.id, visitor)
    if conversation_id is None:
        return _with_hash({"messages": [], "earlier": False, "writing": "", "person": None, "ask": False, "ask_in": None})
    conversation = conversations.get(context.db, conversation_id)
    lines = widgets.said(context.db, conversation_id, limit=PAGE + 1)
    asks, asks_in = _asks_for_details(context, number, widget, conversation, lines)
    return _with_hash(
        {
            "messages": [_line(context, number, visitor, line) for line in lines[-PAGE:]],
            "earlier": len(lines) > PAGE,
            "writing": context.live.written(visitor) if _bot_owes(conversation) else "",
            "person": _person(conversation, lines),
            "ask": asks,
            "ask_in": asks_in,
        }
    )


def earlier(context: Context, number: Number, visitor: str, before: str) -> dict[str, Any] | None:
    """A page of messages before that one. None: it is not this visitor's."""
    conversation_id = widgets.conversation(context.db, number.id, visitor)
    own_id = before if before.startswith("web.") else visitors.external_id(visitor, before)
    place = conversation_id and widgets.place_of(context.db, conversation_id, own_id)
    if place is None:
        return None
    lines = widgets.said(context.db, conversation_id, before=place, limit=PAGE + 1)
    return {"messages": [_line(context, number, visitor, line) for line in lines[-PAGE:]], "earlier": len(lines) > PAGE}


def _with_hash(values: dict[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in values.items() if name != "ask_in"}  # which is less each time
    return {**values, "known": hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]}


def _bot_owes(conversation: Conversation) -> bool:
    return conversation.state == "bot" and conversation.waiting_since is not None


def _line(context: Context, number: Number, visitor: str, line: Said) -> dict[str, Any]:
    own = line.direction == "in"
    made = {
        "id": line.external_id.removeprefix(f"{visitor}:"),
        "from": "visitor" if own else "person" if line.purpose == "person" else "bot",
        "text": _words(line),
        "at": line.created_at,
    }
    if not own:
        made["state"] = line.state
    if line.purpose == "person" and line.user_name:
        made["name"] = line.user_name.split()[0]
    if line.media_public_id:
        made["file"] = _file(context, number, line)
    return made


def _words(line: Said) -> str:
    if line.kind in MEDIA_KINDS:
        part = line.raw.get(line.kind)
        return part.get("caption", "") if isinstance(part, dict) else ""
    return line.text


def _file(context: Context, number: Number, line: Said) -> dict[str, Any]:
    name = line.media.get("filename") or line.kind
    if line.media_state != "ready":
        return {"kind": "gone", "name": name}
    url = visitors.file_address(context.settings, number.external_id, line.media_public_id, context.now())
    return {"kind": "image" if line.kind in ("image", "sticker") else "file", "name": name, "url": url}


def _person(conversation: Conversation, lines: list[Said]) -> str | None:
    """Whoever of the business answers now, by the first name; "" where nobody has written yet."""
    if conversation.state != "human":
        return None
    names = [line.user_name for line in lines if line.purpose == "person" and line.user_name]
    return names[-1].split()[0] if names else ""


def _asks_for_details(
    context: Context, number: Number, widget: Widget, conversation: Conversation, lines: list[Said]
) -> tuple[bool, float | None]:
    """Whether the visitor is asked how to reach them, and else in how many seconds they would be.

    When what they wrote waits longer than the client's patience, or for a person outside opening hours.
    """
    waits_from = _unanswered_since(lines)
    if waits_from is None or not widget.ask_details or widgets.details(context.db, conversation.contact_id):
        return False, None
    client = clients.get(context.db, number.client_id, context.settings)
    needs_person = conversation.state == "human" or conversation.needs_person_at is not None
    if needs_person and not hours.is_open(hours.read(client.hours), client.time_zone, context.now()):
        return True, None
    left = waits_from + client.patience_seconds - context.now()
    return left <= 0, max(left, 0) + 1 if left > 0 else None


def _unanswered_since(lines: list[Said]) -> float | None:
    """When the visitor wrote the first of their messages that neither the model nor a person has answered."""
    since = None
    for line in lines:
        if line.direction == "out" and line.purpose != "holding":
            since = None
        elif line.direction == "in" and since is None:
            since = line.created_at
    return since


def is_open(context: Context, number: Number) -> bool:
    client = clients.get(context.db, number.client_id, context.settings)
    return hours.is_open(hours.read(client.hours), client.time_zone, context.now())


def whatsapp_number(context: Context, widget: Widget) -> str | None:
    """Digits of the number that visitors may go on with."""
    if widget.whatsapp_number_id is None or not numbers.known(context.db, widget.whatsapp_number_id):
        return None
    shown_number = numbers.get(context.db, widget.whatsapp_number_id).display_phone or ""
    return "".join(letter for letter in shown_number if letter.isascii() and letter.isdigit()) or None
