"""Contacts: one row for each person of a client, whatever names the provider uses for them today."""

import json
import sqlite3

from frontdesk.channels import Person
from frontdesk.store import merged, opt_outs
from frontdesk.store.database import exact


def resolve(db: sqlite3.Connection, client_id: int, person: Person, now: float) -> int:
    """The contact behind `person`, made if new; names learnt on the way are kept, and two rows found to be one are merged.

    An id that was an erased person's is never another's: a program may still ask for it.
    """
    known = sorted({found for kind, value in _names(person) if (found := _find(db, client_id, kind, value))})
    if not known:
        contact_id = db.execute(
            """
            INSERT INTO contacts (id, client_id, phone, user_id, username, name, created_at, updated_at)
            SELECT MAX(COALESCE((SELECT MAX(id) FROM contacts), 0), COALESCE((SELECT MAX(contact_id) FROM erasures), 0)) + 1,
                ?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?
            """,
            (client_id, person.phone, person.user_id, exact(person.username), exact(person.name), now, now),
        ).lastrowid
    else:
        contact_id = known[0]
        for other in known[1:]:
            _merge(db, keep=contact_id, gone=other)
        _learn(db, contact_id, person, now)
    _remember_names(db, client_id, contact_id, person)
    return contact_id


def _remember_names(db: sqlite3.Connection, client_id: int, contact_id: int, person: Person) -> None:
    db.executemany(
        "INSERT INTO contact_aliases (client_id, kind, value, contact_id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(client_id, kind, value, contact_id) for kind, value in _names(person)],
    )


def _names(person: Person) -> list[tuple[str, str]]:
    names = (("phone", person.phone), ("user_id", person.user_id))
    return [(kind, value) for kind, value in names if value]


def _find(db: sqlite3.Connection, client_id: int, kind: str, value: str) -> int | None:
    row = db.execute(
        "SELECT contact_id FROM contact_aliases WHERE client_id = ? AND kind = ? AND value = ?", (client_id, kind, value)
    ).fetchone()
    return row["contact_id"] if row else None


def _learn(db: sqlite3.Connection, contact_id: int, person: Person, now: float) -> None:
    db.execute(
        """
        UPDATE contacts SET
            phone = COALESCE(:phone, phone),
            user_id = COALESCE(:user_id, user_id),
            username = COALESCE(CAST(:username AS TEXT), username),
            name = COALESCE(CAST(:name AS TEXT), name),
            updated_at = :now
        WHERE id = :id AND (
            phone IS NOT COALESCE(:phone, phone) OR user_id IS NOT COALESCE(:user_id, user_id)
            OR username IS NOT COALESCE(CAST(:username AS TEXT), username)
            OR name IS NOT COALESCE(CAST(:name AS TEXT), name))
        """,
        {
            "id": contact_id,
            "phone": person.phone,
            "user_id": person.user_id,
            "username": exact(person.username),
            "name": exact(person.name),
            "now": now,
        },
    )


def rename(db: sqlite3.Connection, client_id: int, old: Person, new: Person, now: float) -> int:
    """The same customer under a new phone or user id: both names lead to one contact from now on, the new one is used."""
    contact_id = resolve(db, client_id, old, now)
    for kind, value in _names(new):
        other = _find(db, client_id, kind, value)
        if other and other != contact_id:
            _merge(db, keep=contact_id, gone=other)
    _learn(db, contact_id, new, now)
    _remember_names(db, client_id, contact_id, new)
    return contact_id


def _merge(db: sqlite3.Connection, *, keep: int, gone: int) -> None:
    """Two rows turned out to be one person: conversations and messages of `gone` become those of `keep`."""
    db.execute("UPDATE contact_aliases SET contact_id = ? WHERE contact_id = ?", (keep, gone))
    db.execute("UPDATE OR IGNORE visitor_details SET contact_id = ? WHERE contact_id = ?", (keep, gone))
    db.execute("UPDATE OR IGNORE contact_tags SET contact_id = ? WHERE contact_id = ?", (keep, gone))
    for theirs in db.execute("SELECT id, number_id FROM conversations WHERE contact_id = ?", (gone,)).fetchall():
        ours = db.execute(
            "SELECT id FROM conversations WHERE contact_id = ? AND number_id = ?", (keep, theirs["number_id"])
        ).fetchone()
        if ours is None:
            db.execute("UPDATE conversations SET contact_id = ? WHERE id = ?", (keep, theirs["id"]))
            continue
        merged.merge(db, keep=ours["id"], gone=theirs["id"])
    db.execute(
        """
        UPDATE contacts SET
            phone = COALESCE(phone, (SELECT phone FROM contacts WHERE id = :gone)),
            user_id = COALESCE(user_id, (SELECT user_id FROM contacts WHERE id = :gone)),
            username = COALESCE(username, (SELECT username FROM contacts WHERE id = :gone)),
            name = COALESCE(name, (SELECT name FROM contacts WHERE id = :gone))
        WHERE id = :keep
        """,
        {"keep": keep, "gone": gone},
    )
    opt_outs.merge(db, keep, gone)
    db.execute("DELETE FROM contacts WHERE id = ?", (gone,))


def person(db: sqlite3.Connection, contact_id: int) -> Person:
    """How to address the contact today; nobody where it was erased."""
    row = db.execute("SELECT phone, user_id, username, name FROM contacts WHERE id = ?", (contact_id,)).fetchone()
    return Person(phone=row["phone"], user_id=row["user_id"], username=row["username"], name=row["name"]) if row else Person()


def people_of(db: sqlite3.Connection, conversation_ids: list[int]) -> dict[int, Person]:
    """Conversation → how to address its contact today."""
    rows = db.execute(
        """
        SELECT conversations.id, phone, user_id, username, name FROM conversations JOIN contacts ON contacts.id = contact_id
        WHERE conversations.id IN (SELECT value FROM json_each(?))
        """,
        (json.dumps(conversation_ids),),
    )
    return {row["id"]: Person(phone=row["phone"], user_id=row["user_id"], username=row["username"], name=row["name"]) for row in rows}
