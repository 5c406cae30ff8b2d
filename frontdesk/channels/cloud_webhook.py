"""WhatsApp Cloud API webhook bodies, taken apart into the events of `frontdesk.channels`.

One body holds up to 1000 updates (entry × change × message or status). Each is read on its own: one that cannot be
understood becomes a `Rejected` with its place, and its neighbours live. `parse` never raises and never logs.
"""

import base64
from typing import Any, Callable, Iterable

from frontdesk import strict_json
from frontdesk.channels import AccountEvent, Event, Rejected
from frontdesk.channels.cloud_events import READERS, Change, Reader, account_event, id_of
from frontdesk.channels.cloud_people import People
from frontdesk.channels.cloud_words import Malformed


def parse(body: bytes) -> list[Event]:
    """Every event of one webhook body, in its order. What is not understood is a `Rejected`."""
    envelope = read_json(body)
    return [envelope] if isinstance(envelope, Rejected) else guarded("body", envelope, _entries)


def read_json(body: bytes) -> Any:
    """The body's value, or a Rejected where it is no JSON."""
    try:
        return strict_json.loads(body)
    except (ValueError, RecursionError) as error:
        return Rejected(f"the body is not JSON ({type(error).__name__})", _kept(body))


def _kept(body: bytes) -> dict[str, str]:
    """The body without loss, as JSON-able data: its text, or base64 where it is no UTF-8; `encoding` says which."""
    try:
        return {"encoding": "utf-8", "body": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"encoding": "base64", "body": base64.b64encode(body).decode("ascii")}


def guarded(where: str, part: Any, read: Callable[[Any], list[Event]]) -> list[Event]:
    """`read(part)`, or a Rejected that says where: the border that keeps one broken part from its neighbours."""
    try:
        return read(part)
    except Malformed as error:
        return [Rejected(f"{where}: {error}", part)]
    except Exception as error:  # the edge of every loop here: a surprise must cost one part, not the whole body
        return [Rejected(f"{where}: {type(error).__name__}", part)]


def _entries(envelope: Any) -> list[Event]:
    if not isinstance(envelope, dict):
        raise Malformed("not an object")
    if envelope.get("object", "whatsapp_business_account") != "whatsapp_business_account":
        raise Malformed("not a WhatsApp business account's")
    entries = envelope.get("entry")
    if not isinstance(entries, list) or not entries:
        raise Malformed("no entries")
    return _flat(
        guarded(f"entry[{index}]", entry, lambda entry, at=f"entry[{index}]": _changes(entry, at))
        for index, entry in enumerate(entries)
    )


def _changes(entry: Any, where: str) -> list[Event]:
    if not isinstance(entry, dict) or not isinstance(entry.get("changes"), list) or not entry["changes"]:
        raise Malformed("no changes")
    account_id = id_of(entry.get("id")) or ""
    return _flat(
        guarded(at, change, lambda change, at=at: _change(change, account_id, at))
        for at, change in ((f"{where}.changes[{index}]", change) for index, change in enumerate(entry["changes"]))
    )


def _change(raw: Any, account_id: str, where: str) -> list[Event]:
    field = id_of(raw.get("field")) if isinstance(raw, dict) else None
    if field is None:
        raise Malformed("no field")
    value = raw.get("value")
    if not isinstance(value, dict):
        return [AccountEvent(account_id, None, field, {"value": value})]
    metadata = value.get("metadata")
    parts = sum(len(value[key]) for key in ("messages", "statuses", "message_echoes") if isinstance(value.get(key), list))
    change = Change(
        where=where,
        account_id=account_id,
        field=field,
        value=value,
        number=id_of(metadata.get("phone_number_id")) if isinstance(metadata, dict) else None,
        people=People(value.get("contacts"), alone=parts == 1),
    )
    events = _flat(
        _each(change, key, read) for fields, key, read in READERS if field == fields and key in value
    )
    return events or [account_event(change, value)]


def _each(change: Change, key: str, read: Reader) -> list[Event]:
    parts = change.value[key]
    if not isinstance(parts, list):
        return [Rejected(f"{change.where}.{key}: not a list", parts)]
    return _flat(
        guarded(f"{change.where}.{key}[{index}]", part, lambda part: read(_object(part), change))
        for index, part in enumerate(parts)
    )


def _flat(lists: Iterable[list[Event]]) -> list[Event]:
    return [event for events in lists for event in events]


def _object(part: Any) -> dict[str, Any]:
    if not isinstance(part, dict):
        raise Malformed("not an object")
    return part
