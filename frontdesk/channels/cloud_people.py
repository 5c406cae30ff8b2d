"""Who an event of the WhatsApp webhook speaks of: phone numbers, business-scoped user ids and the `contacts` beside them.

Since April 2026 a person may come with a phone number, with a user id ("DE.1A2b…"), or with both, and some senders put the
user id where the phone number used to stand. So every address is judged by its look, never by its field.
"""

import re
from dataclasses import replace
from typing import Any

from frontdesk.channels import Person

# "CC." and up to 128 alphanumerics; a portfolio's parent id has one more part: "US.ENT.118…".
_USER_ID = re.compile(r"[A-Za-z]{2}\.(?:[A-Za-z]{2,8}\.)?[A-Za-z0-9]{1,128}")
NOBODY = Person()


def identity(address: Any) -> tuple[str | None, str | None]:
    """(phone, user id) of one address: at most one of them is set, none where it is neither."""
    text = str(address) if isinstance(address, int) and not isinstance(address, bool) else address
    if not isinstance(text, str):
        return None, None
    text = text.strip().removeprefix("+")
    if text.isascii() and text.isdigit():
        return text, None
    return (None, text) if _USER_ID.fullmatch(text) else (None, None)


def person(address: Any = None, user_id: Any = None, parent_user_id: Any = None) -> Person:
    """Whoever these three fields name; `NOBODY` where none of them can be read."""
    phone, scoped = identity(address)
    return Person(
        phone=phone, user_id=identity(user_id)[1] or scoped, parent_user_id=identity(parent_user_id)[1]
    )


def named(who: Person) -> bool:
    return bool(who.phone or who.user_id)


class People:
    """The `contacts` of one change, to complete what its messages and statuses say about their people.

    `alone`: the change holds one message or status, so that a single contact beside it can only be that one's.
    """

    def __init__(self, contacts: Any, *, alone: bool):
        known = [_contact(raw) for raw in contacts if isinstance(raw, dict)] if isinstance(contacts, list) else []
        self._by_id = {key: who for who in known for key in (who.phone, who.user_id, who.parent_user_id) if key}
        self._only = known[0] if alone and len(known) == 1 else None

    def complete(self, who: Person) -> Person:
        """`who` with the missing names filled in from the contact that is the same person; what `who` says wins."""
        contact = self._by_id.get(who.user_id) or self._by_id.get(who.phone) or self._by_id.get(who.parent_user_id)
        if contact is None and self._only is not None and not _contradict(who, self._only):
            contact = self._only
        if contact is None:
            return who
        return Person(
            phone=who.phone or contact.phone,
            user_id=who.user_id or contact.user_id,
            parent_user_id=who.parent_user_id or contact.parent_user_id,
            username=contact.username,
            name=contact.name,
        )


def _contact(raw: dict[str, Any]) -> Person:
    profile = raw.get("profile") if isinstance(raw.get("profile"), dict) else {}
    name, username = readable(profile.get("name")), readable(profile.get("username"))
    return replace(
        person(raw.get("wa_id"), raw.get("user_id"), raw.get("parent_user_id")),
        name=name or None,
        username=username.lstrip("@") or None,
    )


def readable(value: Any) -> str:
    """A name or title that every store and log takes: without NULs and halves of surrogate pairs; "" for what is no text."""
    return value.encode("utf-8", "replace").decode().replace("\x00", "").strip() if isinstance(value, str) else ""


def _contradict(one: Person, other: Person) -> bool:
    """Both give the same kind of name, and (as no name matched) a different one."""
    return bool((one.phone and other.phone) or (one.user_id and other.user_id))
