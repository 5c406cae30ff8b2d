"""Widgets: how the web chat of a number looks and where it may stand. The number's external id is the key in the page's script."""

import json
import sqlite3
from dataclasses import dataclass, fields
from typing import Any

CHANNEL = "widget"


@dataclass(frozen=True, slots=True)
class Widget:
    """`origins`: exact ones, or with `*.` before a domain. `words`: language → text's name → text, where these differ from ours."""

    number_id: int
    origins: tuple[str, ...]
    accent: str
    scheme: str
    side: str
    language: str
    words: dict[str, dict[str, str]]
    ask_details: bool
    whatsapp_number_id: int | None
    changed_at: float


_COLUMNS = ", ".join(field.name for field in fields(Widget))


def get(db: sqlite3.Connection, number_id: int) -> Widget | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM widgets WHERE number_id = ?", (number_id,)).fetchone()
    if row is None:
        return None
    return Widget(
        **{**dict(row), "origins": tuple(row["origins"].split()), "words": json.loads(row["words"]), "ask_details": bool(row["ask_details"])}
    )


def put(db: sqlite3.Connection, widget: Widget) -> None:
    values: dict[str, Any] = {field.name: getattr(widget, field.name) for field in fields(Widget)}
    values |= {"origins": "\n".join(widget.origins), "words": json.dumps(widget.words), "ask_details": int(widget.ask_details)}
    changes = ", ".join(f"{name} = excluded.{name}" for name in values if name != "number_id")
    db.execute(
        f"""
        INSERT INTO widgets ({_COLUMNS}) VALUES ({", ".join(f":{name}" for name in values)})
        ON CONFLICT (number_id) DO UPDATE SET {changes}
        """,
        values,
    )


def conversation(db: sqlite3.Connection, number_id: int, visitor: str) -> int | None:
    """A visitor's conversation, None before their first message is here."""
    row = db.execute(
        """
        SELECT conversations.id FROM conversations JOIN contacts ON contacts.id = contact_id
        WHERE number_id = ? AND contacts.id = (
            SELECT contact_id FROM contact_aliases
            WHERE kind = 'user_id' AND value = ? AND client_id = (SELECT client_id FROM numbers WHERE numbers.id = ?))
        """,
        (number_id, visitor, number_id),
    ).fetchone()
    return row["id"] if row else None


def visitor_of(db: sqlite3.Connection, conversation_id: int) -> str | None:
    """Who is on the other side of a widget's conversation; None where the conversation is another channel's."""
    row = db.execute(
        """
        SELECT user_id FROM conversations
        JOIN numbers ON numbers.id = number_id AND channel = ?
        JOIN contacts ON contacts.id = contact_id
        WHERE conversations.id = ?
        """,
        (CHANNEL, conversation_id),
    ).fetchone()
    return row["user_id"] if row else None


# --- what a visitor left of themselves --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Details:
    name: str | None
    email: str | None
    phone: str | None
    given_at: float


def details(db: sqlite3.Connection, contact_id: int) -> Details | None:
    row = db.execute("SELECT name, email, phone, given_at FROM visitor_details WHERE contact_id = ?", (contact_id,)).fetchone()
    return Details(*row) if row else None


def keep_details(
    db: sqlite3.Connection, contact_id: int, *, name: str | None, email: str | None, phone: str | None, now: float
) -> None:
    """What was given before and is not given now stays."""
    db.execute(
        """
        INSERT INTO visitor_details (contact_id, name, email, phone, given_at) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (contact_id) DO UPDATE SET name = COALESCE(excluded.name, name), email = COALESCE(excluded.email, email),
            phone = COALESCE(excluded.phone, phone), given_at = excluded.given_at
        """,
        (contact_id, name, email, phone, now),
    )
    if name:
        db.execute("UPDATE contacts SET name = ?, updated_at = ? WHERE id = ? AND name IS NOT ?", (name, now, contact_id, name))


# --- what a visitor sees --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """One message as its visitor sees it. `media` is what the desk knows of the file, `media_public_id` its name in addresses."""

    id: int
    direction: str
    state: str
    kind: str
    purpose: str | None
    text: str
    raw: dict[str, Any]
    external_id: str
    user_name: str | None
    media: dict[str, Any]
    media_public_id: str | None
    media_state: str | None
    created_at: float


def said(db: sqlite3.Connection, conversation_id: int, *, before: int | None = None, limit: int = 50) -> list[Said]:
    """The newest messages (before message `before`) that went out or came in, oldest first."""
    rows = db.execute(
        """
        SELECT messages.id, direction, messages.state, messages.kind, purpose, messages.text, raw, external_id, users.name AS user_name,
            messages.media, media.public_id AS media_public_id, media.state AS media_state, messages.created_at
        FROM messages LEFT JOIN users ON users.id = messages.user_id LEFT JOIN media ON media.id = media_id
        WHERE conversation_id = :conversation_id AND external_id IS NOT NULL AND messages.id < COALESCE(:before, 9e18)
            AND messages.kind NOT IN ('reaction', 'system')
            AND (direction = 'in' OR messages.state IN ('sent', 'delivered', 'read', 'played'))
        ORDER BY messages.id DESC LIMIT :limit
        """,
        {"conversation_id": conversation_id, "before": before, "limit": limit},
    ).fetchall()
    return [Said(**{**dict(row), "raw": _object(row["raw"]), "media": _object(row["media"])}) for row in reversed(rows)]


def place_of(db: sqlite3.Connection, conversation_id: int, external_id: str) -> int | None:
    """The row's id of one of this conversation's messages."""
    row = db.execute(
        "SELECT id FROM messages WHERE conversation_id = ? AND external_id = ?", (conversation_id, external_id)
    ).fetchone()
    return row["id"] if row else None


def carries_file(db: sqlite3.Connection, number_id: int, public_id: str) -> bool:
    """Whether a message of this number ever went out with this file."""
    row = db.execute(
        "SELECT 1 FROM messages WHERE number_id = ? AND media_id = (SELECT id FROM media WHERE public_id = ?) LIMIT 1",
        (number_id, public_id),
    ).fetchone()
    return row is not None


def _object(text: str | None) -> dict[str, Any]:
    value = json.loads(text) if text else {}
    return value if isinstance(value, dict) else {}


# --- on to WhatsApp ---------------------------------------------------------------------------------------------------------------


def reference(db: sqlite3.Connection, conversation_id: int, code: str, now: float) -> str:
    """The conversation's code: `code` where it has none yet."""
    return db.execute(
        """
        INSERT INTO widget_references (code, conversation_id, created_at) VALUES (?, ?, ?)
        ON CONFLICT (conversation_id) DO UPDATE SET conversation_id = conversation_id RETURNING code
        """,
        (code, conversation_id, now),
    ).fetchone()["code"]


def join(db: sqlite3.Connection, code: str, conversation_id: int, client_id: int, since: float, now: float) -> bool:
    """This code, made for one of the client's visitors `since` then, came up in `conversation_id`. True the first time."""
    return (
        db.execute(
            """
            UPDATE widget_references SET joined_conversation_id = ?, joined_at = ?
            WHERE code = ? AND joined_conversation_id IS NULL AND created_at >= ? AND conversation_id IN (
                SELECT conversations.id FROM conversations JOIN numbers ON numbers.id = number_id WHERE client_id = ?)
            """,
            (conversation_id, now, code, since, client_id),
        ).rowcount
        == 1
    )


def joined(db: sqlite3.Connection, conversation_id: int) -> list[sqlite3.Row]:
    """The conversations that one customer's code connects with this one: id, channel, joined_at."""
    return db.execute(
        """
        SELECT conversations.id, channel, joined_at
        FROM (
            SELECT joined_conversation_id AS other, joined_at FROM widget_references
            WHERE conversation_id = ?1 AND joined_conversation_id IS NOT NULL
            UNION SELECT conversation_id, joined_at FROM widget_references WHERE joined_conversation_id = ?1)
        JOIN conversations ON conversations.id = other JOIN numbers ON numbers.id = number_id
        ORDER BY joined_at
        """,
        (conversation_id,),
    ).fetchall()
