"""WATI's webhook bodies as the events of `frontdesk.channels`: one flat object each (docs.wati.io, Webhooks).

An object names the event (`eventType`), who (`waId`, `bsuid`) and what; its number is known by the address that it was posted to,
so `number_external_id` is empty. A message is put into the shape that Meta's API has, and read by the same code. Never raises.
"""

import re
from datetime import datetime
from typing import Any

from frontdesk.channels import AccountEvent, Echo, Event, InboundMessage, Person, ProviderError, Rejected, StatusChange
from frontdesk.channels.cloud_events import ANSWERABLE, LATEST_SECONDS, id_of
from frontdesk.channels.cloud_people import named, person, readable
from frontdesk.channels.cloud_webhook import guarded, read_json
from frontdesk.channels.cloud_words import MEDIA_KINDS, Malformed, kind_of, media_of, text_in, words_of

# Events come plain, as `…_v2` (with localMessageId) and `…_v2_bsuid`: the same otherwise.
_VERSION = re.compile(r"(_v\d+)?(_bsuid)?$", re.IGNORECASE)
STATUSES = {
    "sessionmessagesent": "sent",
    "templatemessagesent": "sent",
    "sentmessagedelivered": "delivered",
    "sentmessageread": "read",
    "sentmessagereplied": "read",  # who answers a message has seen it
    "sessionmessagefailed": "failed",
    "templatemessagefailed": "failed",
}
# About contacts, tickets and the account; a customer's first message comes as `message` as well.
OTHERS = re.compile(r"newcontactmessagereceived|(template|ticket|contact|chat|campaign|broadcast|payment|catalog|flow|call|operator|conversation)\w*")
_POINT = re.compile(r"(-?\d{1,3}\.\d+)\s*,\s*(-?\d{1,3}\.\d+)")


def parse(body: bytes) -> list[Event]:
    envelope = read_json(body)
    if isinstance(envelope, Rejected):
        return [envelope]
    if not isinstance(envelope, list):
        return guarded("body", envelope, _events)
    return [event for index, part in enumerate(envelope) for event in guarded(f"[{index}]", part, _events)] or [Rejected("an empty list", [])]


def _events(raw: Any) -> list[Event]:
    if not isinstance(raw, dict):
        raise Malformed("not an object")
    name = text_in(raw, "eventType")
    event = _VERSION.sub("", name).casefold()
    if event in STATUSES:
        return [_status(raw, event)]
    if event in ("message", "messagereceived", ""):
        return [_own(raw) if _is_own(raw) else _message(raw)]
    if OTHERS.fullmatch(event):
        return [AccountEvent("", None, readable(name), raw)]
    raise Malformed("an event that is not known")


def _is_own(raw: dict[str, Any]) -> bool:
    """`owner` says who wrote it, sometimes as a string. An answer to ourselves would go round for ever, so doubt is own."""
    return raw.get("owner") not in (False, None, "false", "False")


def _own(raw: dict[str, Any]) -> Event:
    return StatusChange("", _message_id(raw), "sent", _seconds(raw), _local_id(raw), (), _person(raw), raw, _other_ids(raw), _echo(raw))


def _status(raw: dict[str, Any], event: str) -> StatusChange:
    """Most name neither a phone number nor a user id, only the message."""
    status = STATUSES[event]
    errors = (_error(raw),) if status == "failed" else ()
    echo = _echo(raw) if event == "sessionmessagesent" else None
    return StatusChange("", _message_id(raw), status, _seconds(raw), _local_id(raw), errors, _person(raw), raw, _other_ids(raw), echo)


def _echo(raw: dict[str, Any]) -> Echo | None:
    """What was sent, where that is told. No person's answer: what a robot of WATI's sent (`chatbotTriggeredEventId`), and templates."""
    who = _person(raw)
    if not named(who) or raw.get("chatbotTriggeredEventId"):
        return None
    message = _as_meta(raw)
    kind, text = message["type"], text_in(raw, "text")
    if kind in MEDIA_KINDS:
        return Echo("", who, _message_id(raw), _seconds(raw), kind, words_of(message), message)
    return Echo("", who, _message_id(raw), _seconds(raw), kind, text, message) if kind == "text" and text.strip() else None


def _message(raw: dict[str, Any]) -> InboundMessage:
    who = _person(raw)
    if not named(who):
        raise Malformed("names nobody")
    message = _as_meta(raw)
    kind = kind_of(message)
    return InboundMessage(
        number_external_id="",
        person=who,
        external_id=_message_id(raw),
        at=_seconds(raw),
        kind=kind,
        text=words_of(message),
        answerable=kind in ANSWERABLE,
        raw=message,
        media=media_of(message),
        reply_to_external_id=id_of(raw.get("replyContextId")),
    )


# --- in Meta's shape --------------------------------------------------------------------------------------------------------


def _as_meta(raw: dict[str, Any]) -> dict[str, Any]:
    """The message as Meta would have sent it, with WATI's own object beside it."""
    kind = text_in(raw, "type") or "text"
    write = _PARTS.get(kind)
    if write is None and kind not in MEDIA_KINDS:
        return {"type": "unsupported", "unsupported": {"type": readable(kind)[:40]}, "wati": raw}
    part = _file(raw) if write is None else write(raw)
    return {"type": kind, kind: part, "wati": raw}


def _text(raw: dict[str, Any]) -> dict[str, Any]:
    return {"body": raw.get("text")}


def _file(raw: dict[str, Any]) -> dict[str, Any]:
    """`data` is where WATI keeps the file; `text` the caption, or a document's name."""
    text, kind = text_in(raw, "text"), text_in(raw, "type")
    names = "filename" if kind == "document" and re.fullmatch(r"[^\n/]{1,200}\.\w{1,5}", text) else "caption"
    return {key: value for key, value in ((names, text), ("url", text_in(raw, "data"))) if value}


def _location(raw: dict[str, Any]) -> dict[str, Any]:
    place = raw.get("data") if isinstance(raw.get("data"), dict) else raw.get("location")
    if isinstance(place, dict):
        return place
    text = text_in(raw, "text")
    found = _POINT.search(text)
    return {"latitude": float(found[1]), "longitude": float(found[2])} if found else {"name": text} if text else {}


def _contacts(raw: dict[str, Any]) -> list[Any]:
    found = next((raw[key] for key in ("contacts", "messageContact", "data") if isinstance(raw.get(key), (list, dict))), [])
    cards = found if isinstance(found, list) else [found]
    return cards or ([{"name": {"formatted_name": raw["text"]}}] if text_in(raw, "text") else [])


def _order(raw: dict[str, Any]) -> dict[str, Any]:
    found = next((raw[key] for key in ("order", "orderProducts", "data") if isinstance(raw.get(key), (list, dict))), [])
    order = found if isinstance(found, dict) else {"product_items": found}
    items = next((order[key] for key in ("product_items", "productItems", "products") if isinstance(order.get(key), list)), [])
    return {"text": text_in(order, "text") or text_in(raw, "text"), "product_items": [_item(item) for item in items if isinstance(item, dict)]}


def _item(item: dict[str, Any]) -> dict[str, Any]:
    names = {"product_retailer_id": "productRetailerId", "quantity": "quantity", "item_price": "itemPrice", "currency": "currency"}
    return {ours: item.get(ours, item.get(theirs)) for ours, theirs in names.items()}


def _button(raw: dict[str, Any]) -> dict[str, Any]:
    reply = raw.get("buttonReply") if isinstance(raw.get("buttonReply"), dict) else {}
    return {"text": text_in(reply, "text") or text_in(raw, "text"), "payload": text_in(reply, "payload")}


def _interactive(raw: dict[str, Any]) -> dict[str, Any]:
    for theirs, ours in (("listReply", "list_reply"), ("interactiveButtonReply", "button_reply"), ("buttonReply", "button_reply")):
        reply = raw.get(theirs)
        if isinstance(reply, dict):
            title = text_in(reply, "title") or text_in(reply, "text") or text_in(raw, "text")
            return {"type": ours, ours: {"id": text_in(reply, "id"), "title": title, "description": text_in(reply, "description")}}
    return {"type": "button_reply", "button_reply": {"title": text_in(raw, "text")}}


def _reaction(raw: dict[str, Any]) -> dict[str, Any]:
    reaction = raw.get("data") if isinstance(raw.get("data"), dict) else raw.get("reaction")
    emoji = text_in(reaction, "emoji") if isinstance(reaction, dict) else text_in(raw, "text")
    return {"emoji": emoji, "message_id": id_of(raw.get("replyContextId")) or ""}


_PARTS = {
    "text": _text,
    "location": _location,
    "contacts": _contacts,
    "order": _order,
    "button": _button,
    "interactive": _interactive,
    "reaction": _reaction,
    "template": _text,
}


# --- single fields ----------------------------------------------------------------------------------------------------------


def _person(raw: dict[str, Any]) -> Person:
    who = person(raw.get("waId"), raw.get("bsuid"), raw.get("parentBsuid"))
    name, username = readable(raw.get("senderName")), readable(raw.get("username")).lstrip("@")
    return Person(who.phone, who.user_id, who.parent_user_id, username or None, name or None)


def _message_id(raw: dict[str, Any]) -> str:
    found = next(iter(_ids(raw)), None)
    if found is None:
        raise Malformed("no id")
    return found


def _ids(raw: dict[str, Any]) -> list[str]:
    """WhatsApp's id, WATI's own and the sender's, as far as they are there."""
    return [found for key in ("whatsappMessageId", "id", "localMessageId") if (found := id_of(raw.get(key)))]


def _other_ids(raw: dict[str, Any]) -> tuple[str, ...]:
    return tuple(_ids(raw)[1:])


def _local_id(raw: dict[str, Any]) -> str | None:
    return id_of(raw.get("localMessageId"))


def _error(raw: dict[str, Any]) -> ProviderError:
    code, words = id_of(raw.get("failedCode")), readable(raw.get("failedDetail"))
    number = int(code) if code and code.isascii() and code.isdigit() and len(code) < 10 else None
    return ProviderError(number, words or (f"failed ({code})" if code else "failed, and WATI gave no reason"))


def _seconds(raw: dict[str, Any]) -> float:
    """UTC epoch seconds; 0.0 where there is none that makes sense."""
    value = raw.get("timestamp")
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 12:
        value = int(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < LATEST_SECONDS:
        return float(value)
    try:
        created = datetime.fromisoformat(text_in(raw, "created")).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
    return created if 0 < created < LATEST_SECONDS else 0.0
