"""Whether somebody was erased, asked of what comes in: by hashes of their names, and only where it is old enough to be theirs."""

import sqlite3
from collections.abc import Iterable

from frontdesk.channels import Event, Person
from frontdesk.flows import erasure_journal
from frontdesk.settings import Settings
from frontdesk.store import erasures
from frontdesk.store.numbers import Number


def swallows(settings: Settings, db: sqlite3.Connection, number: Number, event: Event, received_at: float) -> bool:
    """Whether this event is of somebody who was erased after it came, or after they wrote it. Inside the drain's transaction."""
    written_at = getattr(event, "at", 0.0)
    if not erasures.was_before(written_at, received_at, erasures.newest_at(db)):
        return False
    erased_at = _erased_at(settings, db, number, event)
    return erased_at is not None and erasures.was_before(written_at, received_at, erased_at)


def was_erased(settings: Settings, db: sqlite3.Connection, number: Number, event: Event) -> bool:
    """Of a status that speaks of no message here: whether its person was ever erased."""
    return bool(erasures.newest_at(db)) and _erased_at(settings, db, number, event) is not None


def _erased_at(settings: Settings, db: sqlite3.Connection, number: Number, event: Event) -> float | None:
    people = [person for field in ("person", "old", "new") if isinstance(person := getattr(event, field, None), Person)]
    names = [name for person in people for name in (person.phone, person.user_id) if name]
    return erasures.last_of(db, erasure_journal.hashes(settings, number.client_id, names)) if names else None


def phones_since(db: sqlite3.Connection, settings: Settings, client_id: int, phones: Iterable[str], since: float) -> set[str]:
    """Of these phone numbers those whose owners were erased since then."""
    if erasures.newest_at(db) < since:
        return set()
    given = list(phones)
    hashes = dict(zip(erasure_journal.hashes(settings, client_id, given), given, strict=True))
    return {hashes[name_hash] for name_hash in erasures.known_since(db, hashes, since)}
