"""The parts of one change of a WhatsApp webhook as events: a reader for each list a change can hold.

A reader gets one element of its list and the change around it. It raises Malformed for what it cannot read; `cloud_webhook`
keeps that from its neighbours.
"""

import re
from dataclasses import dataclass
from typing import Any, Callable

from frontdesk.channels import (
    AccountEvent,
    Echo,
    Event,
    InboundMessage,
    MarketingPreference,
    MessageEdited,
    MessageRevoked,
    Person,
    PersonChanged,
    StatusChange,
)
from frontdesk.channels.cloud_people import People, identity, named, person
from frontdesk.channels.cloud_words import Malformed, errors_of, kind_of, media_of, text_in, words_of

STATUSES = ("sent", "delivered", "read", "played", "failed")
ANSWERABLE = (
    "text", "button", "interactive", "image", "video", "document", "audio", "voice", "sticker", "location", "contacts", "order",
)  # fmt: skip
LATEST_SECONDS = 4102444800  # the year 2100: a later time-stamp is no time in seconds
_CHANGED = re.compile(r"changed from \+?(\S+) to \+?(\S+?)\.?$")


@dataclass(frozen=True, slots=True)
class Change:
    """One `changes[]` element: what its messages and statuses share."""

    where: str
    account_id: str
    field: str
    value: dict[str, Any]
    number: str | None
    people: People


def account_event(change: Change, raw: dict[str, Any]) -> AccountEvent:
    return AccountEvent(change.account_id, change.number, change.field, raw)


def _message(raw: dict[str, Any], change: Change) -> list[Event]:
    kind = kind_of(raw)
    if kind == "system":
        return [_system(raw, change)]
    sender, number, at = _sender(raw, change), _number(change), _seconds(raw.get("timestamp"))
    if kind == "edit":
        edit = _part(raw, "edit")
        words = words_of(_part(edit, "message"))
        return [MessageEdited(number, sender, _message_id(raw), _original(edit), at, words, raw)]
    if kind == "revoke":
        return [MessageRevoked(number, sender, _message_id(raw), _original(_part(raw, "revoke")), at, raw)]
    return [_inbound(raw, change, kind, sender)]


def _inbound(raw: dict[str, Any], change: Change, kind: str, sender: Person) -> InboundMessage:
    group_id = id_of(raw.get("group_id"))
    return InboundMessage(
        number_external_id=_number(change),
        person=sender,
        external_id=_message_id(raw),
        at=_seconds(raw.get("timestamp")),
        kind=kind,
        text=words_of(raw, errors_of(change.value)),
        answerable=kind in ANSWERABLE and group_id is None and not _is_call_permission(raw),
        raw=raw,
        media=media_of(raw),
        reply_to_external_id=_referred(raw, kind),
        group_id=group_id,
    )


def _system(raw: dict[str, Any], change: Change) -> Event:
    """A note about a person: PersonChanged where it names an old and a new identity, else a message nobody answers."""
    system = raw.get("system") if isinstance(raw.get("system"), dict) else {}
    sender = person(raw.get("from"), raw.get("from_user_id"), raw.get("from_parent_user_id"))
    words = words_of(raw)
    told = _CHANGED.search(text_in(system, "body"))
    told_old, told_new = (person(told[1]), person(told[2])) if told else (person(), person())
    new_phone, new_id = identity(system.get("wa_id") or system.get("new_wa_id"))
    new = Person(
        phone=new_phone or told_new.phone,
        user_id=identity(system.get("user_id") or system.get("new_user_id"))[1] or new_id or told_new.user_id,
        parent_user_id=identity(system.get("parent_user_id"))[1],
    )
    old_id = identity(system.get("previous_user_id") or system.get("old_user_id"))[1] or told_old.user_id
    old = Person(
        phone=sender.phone or identity(system.get("customer"))[0] or told_old.phone,
        # `from_user_id` is documented for the sender and seen with the new id as well: that one is not the old
        user_id=old_id or (sender.user_id if sender.user_id != new.user_id else None),
        parent_user_id=sender.parent_user_id if sender.parent_user_id != new.parent_user_id else None,
    )
    moved = bool((new.phone and new.phone != old.phone) or (new.user_id and new.user_id != old.user_id))
    if not moved or not named(old):
        return _inbound(raw, change, "system", _sender(raw, change))
    at = _seconds(raw.get("timestamp"))
    return PersonChanged(_number(change), old, new, at, words, _message_id(raw), raw)


def _status(raw: dict[str, Any], change: Change) -> list[Event]:
    """`person` may be nobody: a status of a group message names the group."""
    if raw.get("status") not in STATUSES:
        raise Malformed("a status that is none of " + ", ".join(STATUSES))
    recipient = raw.get("recipient_participant_id") if raw.get("recipient_type") == "group" else raw.get("recipient_id")
    who = person(recipient, raw.get("recipient_user_id"), raw.get("recipient_parent_user_id"))
    return [
        StatusChange(
            number_external_id=_number(change),
            external_id=_message_id(raw),
            status=raw["status"],
            at=_seconds(raw.get("timestamp")),
            callback_data=id_of(raw.get("biz_opaque_callback_data")),
            errors=errors_of(raw),
            person=change.people.complete(who),
            raw=raw,
        )
    ]


def _error(raw: dict[str, Any], change: Change) -> list[Event]:
    return [account_event(change, {"errors": [raw]})]


def _call(raw: dict[str, Any], change: Change) -> list[Event]:
    """A customer's call, once, as a message that owes no answer; everything else about calls is the account's."""
    if raw.get("event", "connect") != "connect" or raw.get("direction") == "BUSINESS_INITIATED":
        return [account_event(change, raw)]
    at = _seconds(raw.get("timestamp"))
    return [InboundMessage(_number(change), _sender(raw, change), _message_id(raw), at, "call", "[call]", False, raw)]


def _part_of_account(raw: dict[str, Any], change: Change) -> list[Event]:
    return [account_event(change, raw)]


def _echo(raw: dict[str, Any], change: Change) -> list[Event]:
    who = change.people.complete(person(raw.get("to"), raw.get("to_user_id"), raw.get("to_parent_user_id")))
    if not named(who):
        raise Malformed("names nobody")
    kind, at = kind_of(raw), _seconds(raw.get("timestamp"))
    return [Echo(_number(change), who, _message_id(raw), at, kind, words_of(raw), raw)]


def _preference(raw: dict[str, Any], change: Change) -> list[Event]:
    if "marketing" not in (text_in(raw, "category") or "marketing"):
        return [account_event(change, raw)]
    if raw.get("value") not in ("stop", "resume"):
        raise Malformed("a preference that is neither stop nor resume")
    who = change.people.complete(person(raw.get("wa_id"), raw.get("user_id"), raw.get("parent_user_id")))
    if not named(who):
        raise Malformed("names nobody")
    at = _seconds(raw.get("timestamp"))
    return [MarketingPreference(_number(change), who, raw["value"] == "stop", at, raw)]


def _user_id_update(raw: dict[str, Any], change: Change) -> list[Event]:
    """`user_id` and `parent_user_id` hold {previous, current}; `wa_id`, where given, is the same before and after."""
    ids, parents = _part(raw, "user_id"), raw.get("parent_user_id")
    parents = parents if isinstance(parents, dict) else {}
    old = person(raw.get("wa_id"), ids.get("previous"), parents.get("previous"))
    new = person(raw.get("wa_id"), ids.get("current"), parents.get("current"))
    if not named(old) or not new.user_id:
        raise Malformed("no previous or no current user id")
    at = _seconds(raw.get("timestamp"))
    note = text_in(raw, "detail") or "The customer's WhatsApp user id changed."
    return [PersonChanged(_number(change), old, change.people.complete(new), at, note, None, raw)]


Reader = Callable[[dict[str, Any], Change], list[Event]]
# (the change's field, the list in its value, how to read an element of it)
READERS: tuple[tuple[str, str, Reader], ...] = (
    ("messages", "messages", _message),
    ("messages", "statuses", _status),
    ("messages", "errors", _error),
    ("calls", "calls", _call),
    ("calls", "statuses", _part_of_account),
    ("calls", "errors", _error),
    ("smb_message_echoes", "message_echoes", _echo),
    ("user_preferences", "user_preferences", _preference),
    ("user_id_update", "user_id_update", _user_id_update),
)


# --- single fields --------------------------------------------------------------------------------------------------


def _part(raw: dict[str, Any], key: str) -> dict[str, Any]:
    if not isinstance(raw.get(key), dict):
        raise Malformed(f"without its {key}")
    return raw[key]


def id_of(value: Any) -> str | None:
    """An id as text. NULs, line breaks and halves of surrogate pairs are in no id, and no store could keep them."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value and value.isprintable() else None


def _number(change: Change) -> str:
    if change.number is None:
        raise Malformed("no phone_number_id")
    return change.number


def _message_id(raw: dict[str, Any]) -> str:
    external_id = id_of(raw.get("id"))
    if external_id is None:
        raise Malformed("no id")
    return external_id


def _original(part: dict[str, Any]) -> str:
    original = id_of(part.get("original_message_id"))
    if original is None:
        raise Malformed("no original_message_id")
    return original


def _sender(raw: dict[str, Any], change: Change) -> Person:
    who = person(raw.get("from"), raw.get("from_user_id"), raw.get("from_parent_user_id"))
    who = change.people.complete(who)
    if not named(who):
        raise Malformed("names nobody")
    return who


def _referred(raw: dict[str, Any], kind: str) -> str | None:
    if kind == "reaction" and isinstance(raw.get("reaction"), dict):
        return id_of(raw["reaction"].get("message_id"))
    context = raw.get("context")
    return id_of(context.get("id")) if isinstance(context, dict) else None


def _is_call_permission(raw: dict[str, Any]) -> bool:
    """Tapping "allow calls" is a setting, not a question."""
    interactive = raw.get("interactive")
    return isinstance(interactive, dict) and "call_permission_reply" in interactive


def _seconds(value: Any) -> float:
    """UTC epoch seconds; 0.0 where the time is missing or absurd, and the caller uses when it received the message."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 12:
        value = int(value)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return 0.0
    return float(value) if 0 < value < LATEST_SECONDS else 0.0
