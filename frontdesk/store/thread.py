"""One conversation as the desk shows it: messages with what happened to them, reactions, quotes and notes in their places."""

import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from frontdesk.store import media, received_files
from frontdesk.store.media import Media
from frontdesk.store.names import SHOWN_NAME
from frontdesk.store.opt_outs import STOPPED_AT
from frontdesk.store.received_files import ReceivedFile


@dataclass(slots=True)
class Line:
    """One message. `quoted` is the message it replies to, `reactions` what people put on it (the newest of each side),
    `broadcast` the public id of the one it belongs to.
    """

    id: int
    direction: str
    state: str
    kind: str
    purpose: str | None
    text: str
    media: dict[str, Any] | None
    raw: dict[str, Any]
    external_id: str | None
    reply_to_external_id: str | None
    provider_at: float
    created_at: float
    edited_at: float | None
    revoked_at: float | None
    sent_at: float | None
    delivered_at: float | None
    read_at: float | None
    failed_at: float | None
    error_code: int | None
    error_title: str | None
    error_details: str | None
    user_name: str | None
    media_id: int | None
    broadcast: str | None
    quoted: "Quote | None" = None
    reactions: list[str] = field(default_factory=list)
    file: Media | None = None
    received: ReceivedFile | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    id: int
    direction: str
    kind: str
    text: str


_COLUMNS = """messages.id, direction, state, kind, purpose, text, media, raw, external_id, reply_to_external_id, provider_at,
    messages.created_at, edited_at, revoked_at, sent_at, delivered_at, read_at, failed_at, error_code, error_title,
    error_details, users.name, media_id,
    (SELECT broadcasts.public_id FROM broadcasts WHERE broadcasts.id = messages.broadcast_id)"""


def page(
    db: sqlite3.Connection, conversation_id: int, *, before: int | None = None, since: int | None = None, limit: int = 50
) -> list[Line]:
    """The newest `limit` lines before message `before`, from message `since` on; oldest first."""
    rows = db.execute(
        f"""
        SELECT {_COLUMNS} FROM messages LEFT JOIN users ON users.id = messages.user_id
        WHERE conversation_id = :conversation_id AND kind <> 'reaction'
            AND messages.id < COALESCE(:before, 9e18) AND messages.id >= COALESCE(:since, 0)
        ORDER BY messages.id DESC LIMIT :limit
        """,
        {"conversation_id": conversation_id, "before": before, "since": since, "limit": limit},
    ).fetchall()
    lines = [_line(row) for row in reversed(rows)]
    _add_quotes(db, conversation_id, lines)
    _add_reactions(db, conversation_id, lines)
    _add_files(db, lines)
    return lines


def newest(db: sqlite3.Connection, conversation_id: int) -> int:
    """The id of its last message, 0 where it has none."""
    return db.execute("SELECT COALESCE(MAX(id), 0) FROM messages WHERE conversation_id = ?", (conversation_id,)).fetchone()[0]


def start_of_page_around(db: sqlite3.Connection, conversation_id: int, message_id: int, before: int = 10) -> int | None:
    """The id from which a page shows `message_id` with a few lines before it."""
    row = db.execute(
        """
        SELECT MIN(id) AS first FROM (
            SELECT id FROM messages WHERE conversation_id = ? AND id <= ? AND kind <> 'reaction' ORDER BY id DESC LIMIT ?)
        """,
        (conversation_id, message_id, before),
    ).fetchone()
    return row["first"]


def end_of_page_from(db: sqlite3.Connection, conversation_id: int, since: int, most: int, limit: int) -> int | None:
    """Where more than `most` lines follow from message `since` on: the id before which a page of `limit` lines ends."""
    ids = [
        row["id"]
        for row in db.execute(
            "SELECT id FROM messages WHERE conversation_id = ? AND id >= ? AND kind <> 'reaction' ORDER BY id LIMIT ?",
            (conversation_id, since, most + 1),
        )
    ]
    return ids[limit] if len(ids) > most else None


def written_at(db: sqlite3.Connection, conversation_id: int, message_id: int | None) -> float | None:
    row = db.execute(
        "SELECT created_at FROM messages WHERE id = ? AND conversation_id = ?", (message_id, conversation_id)
    ).fetchone()
    return row["created_at"] if row else None


def _add_files(db: sqlite3.Connection, lines: list[Line]) -> None:
    for line in lines:
        if line.media_id is not None:
            line.file = media.get(db, line.media_id)
    received = received_files.of_messages(db, [line.id for line in lines if line.media and line.direction == "in"])
    for line in lines:
        line.received = received.get(line.id)


def _line(row: sqlite3.Row) -> Line:
    values = list(row)
    values[6] = _object(values[6]) or None
    values[7] = _object(values[7])
    return Line(*values)


def _object(text: str | None) -> dict[str, Any]:
    value = json.loads(text) if text else {}
    return value if isinstance(value, dict) else {}


def _add_quotes(db: sqlite3.Connection, conversation_id: int, lines: list[Line]) -> None:
    wanted = {line.reply_to_external_id for line in lines if line.reply_to_external_id}
    found = {}
    for external_id in wanted:
        row = db.execute(
            """
            SELECT messages.id, direction, kind, substr(text, 1, 200) FROM messages
            WHERE number_id = (SELECT number_id FROM conversations WHERE id = ?) AND external_id = ? AND conversation_id = ?
            """,
            (conversation_id, external_id, conversation_id),
        ).fetchone()
        if row:
            found[external_id] = Quote(*row)
    for line in lines:
        line.quoted = found.get(line.reply_to_external_id)


def _add_reactions(db: sqlite3.Connection, conversation_id: int, lines: list[Line]) -> None:
    """A reaction speaks of a message by its external id; an empty emoji takes the one before back."""
    if not lines:
        return
    of_side: dict[tuple[str, str], str] = {}
    rows = db.execute(
        """
        SELECT direction, reply_to_external_id, raw FROM messages INDEXED BY messages_reactions
        WHERE conversation_id = ? AND kind = 'reaction' AND id >= ? ORDER BY id
        """,
        (conversation_id, lines[0].id),
    )
    for row in rows:
        reaction = _object(row["raw"]).get("reaction")
        emoji = reaction.get("emoji") if isinstance(reaction, dict) else None
        of_side[row["reply_to_external_id"], row["direction"]] = emoji if isinstance(emoji, str) else ""
    for line in lines:
        sides = (of_side.get((line.external_id, direction)) for direction in ("in", "out"))
        line.reactions = [emoji for emoji in sides if emoji] if line.external_id else []


@dataclass(frozen=True, slots=True)
class Customer:
    """Who is written with, and where. `name` as WhatsApp told it; `shown_name` is never empty."""

    shown_name: str
    name: str | None
    phone: str | None
    user_id: str | None
    username: str | None
    marketing_stopped_at: float | None
    created_at: float
    client_id: int
    client: str
    number_id: int
    channel: str
    number: str | None
    number_stopped_reason: str | None


def customer(db: sqlite3.Connection, conversation_id: int) -> Customer:
    row = db.execute(
        f"""
        SELECT {SHOWN_NAME}, contacts.name, contacts.phone, user_id, username, {STOPPED_AT.format(contact="conversations.contact_id", number="numbers.id")}, contacts.created_at, clients.id,
            clients.name, numbers.id, channel, display_phone, stopped_reason
        FROM conversations
        JOIN contacts ON contacts.id = contact_id
        JOIN numbers ON numbers.id = number_id
        JOIN clients ON clients.id = numbers.client_id
        WHERE conversations.id = ?
        """,
        (conversation_id,),
    ).fetchone()
    return Customer(*row)


def other_conversations(db: sqlite3.Connection, conversation_id: int) -> list[sqlite3.Row]:
    """The same customer on other numbers: id, number, channel, last_message_at."""
    return db.execute(
        """
        SELECT others.id, display_phone AS number, channel, others.last_message_at
        FROM conversations AS this
        JOIN conversations AS others ON others.contact_id = this.contact_id AND others.id <> this.id
        JOIN numbers ON numbers.id = others.number_id
        WHERE this.id = ? ORDER BY others.last_message_at DESC
        """,
        (conversation_id,),
    ).fetchall()
