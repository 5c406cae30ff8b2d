"""What the API lists: conversations, messages, contacts, numbers, each in pages that begin after an id."""

import sqlite3

MESSAGE = """messages.id, public_id, conversation_id, direction, state, kind, purpose, text, messages.created_at, sent_at, delivered_at,
    read_at, failed_at, error_code, error_title, error_details, attempt"""

_OF_CLIENT = "(:client_id IS NULL OR numbers.client_id = :client_id)"


def conversations(db: sqlite3.Connection, *, client_id: int | None, after: int, limit: int) -> list[dict]:
    """Oldest first, which stays right while new ones come."""
    rows = db.execute(
        f"""
        SELECT conversations.id, number_id, contact_id, state, needs_person_reason, waiting_since, window_closes_at, unread,
            last_message_at, conversations.created_at
        FROM conversations JOIN numbers ON numbers.id = number_id
        WHERE conversations.id > :after AND {_OF_CLIENT} ORDER BY conversations.id LIMIT :limit
        """,
        {"client_id": client_id, "after": after, "limit": limit},
    )
    return [dict(row) for row in rows]


def conversation(db: sqlite3.Connection, conversation_id: int, *, client_id: int | None) -> dict | None:
    found = conversations(db, client_id=client_id, after=conversation_id - 1, limit=1)
    return found[0] if found and found[0]["id"] == conversation_id else None


def messages(db: sqlite3.Connection, conversation_id: int, *, after: int, limit: int) -> list[dict]:
    rows = db.execute(
        f"SELECT {MESSAGE} FROM messages WHERE conversation_id = ? AND id > ? ORDER BY id LIMIT ?",
        (conversation_id, after, limit),
    )
    return [dict(row) for row in rows]


def message(db: sqlite3.Connection, public_id: str, *, client_id: int | None) -> dict | None:
    row = db.execute(
        f"""
        SELECT {MESSAGE} FROM messages JOIN numbers ON numbers.id = number_id
        WHERE public_id = :public_id AND direction = 'out' AND {_OF_CLIENT}
        """,
        {"public_id": public_id, "client_id": client_id},
    ).fetchone()
    return dict(row) if row else None


def contacts(db: sqlite3.Connection, *, client_id: int | None, after: int, limit: int) -> list[dict]:
    rows = db.execute(
        """
        SELECT id, client_id, name, phone, user_id, username, created_at,
            EXISTS (SELECT 1 FROM opt_outs WHERE contact_id = contacts.id) AS marketing_stopped
        FROM contacts
        WHERE id > :after AND (:client_id IS NULL OR client_id = :client_id) ORDER BY id LIMIT :limit
        """,
        {"client_id": client_id, "after": after, "limit": limit},
    )
    return [dict(row) for row in rows]


def contact(db: sqlite3.Connection, contact_id: int, *, client_id: int | None) -> dict | None:
    found = contacts(db, client_id=client_id, after=contact_id - 1, limit=1)
    return found[0] if found and found[0]["id"] == contact_id else None


def accounts(db: sqlite3.Connection, *, client_id: int | None) -> list[str]:
    """The accounts that the numbers belong to."""
    rows = db.execute(
        f"SELECT DISTINCT account_id FROM numbers WHERE account_id IS NOT NULL AND {_OF_CLIENT} ORDER BY account_id", {"client_id": client_id}
    )
    return [row["account_id"] for row in rows]


def numbers(db: sqlite3.Connection, *, client_id: int | None, after: int, limit: int, by_phone: bool = False) -> list[dict]:
    """`by_phone`: only those that can write to a phone number; a web chat cannot."""
    rows = db.execute(
        f"""
        SELECT id, client_id, channel, external_id, display_phone, messages_per_second, stopped_at, stopped_reason FROM numbers
        WHERE id > :after AND (NOT :by_phone OR channel <> 'widget') AND {_OF_CLIENT} ORDER BY id LIMIT :limit
        """,
        {"client_id": client_id, "after": after, "limit": limit, "by_phone": by_phone},
    )
    return [dict(row) for row in rows]


def number_is_of(db: sqlite3.Connection, number_id: int, *, client_id: int | None) -> bool:
    found = numbers(db, client_id=client_id, after=number_id - 1, limit=1)
    return bool(found) and found[0]["id"] == number_id


def conversation_with(db: sqlite3.Connection, phone: str, *, number_id: int | None, client_id: int | None) -> int | None:
    """The conversation with this phone number; the one with the newest message where there are several."""
    row = db.execute(
        f"""
        SELECT conversations.id FROM contact_aliases
        JOIN conversations ON conversations.contact_id = contact_aliases.contact_id
        JOIN numbers ON numbers.id = number_id
        WHERE kind = 'phone' AND value = :phone AND (:number_id IS NULL OR number_id = :number_id) AND {_OF_CLIENT}
        ORDER BY last_message_at DESC LIMIT 1
        """,
        {"phone": phone, "number_id": number_id, "client_id": client_id},
    ).fetchone()
    return row["id"] if row else None
