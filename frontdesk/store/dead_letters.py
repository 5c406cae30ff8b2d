"""Messages that failed for good and that nobody has settled: retried as another message, or dismissed with a reason."""

import sqlite3
import uuid
from dataclasses import dataclass

# Word for word the condition of the index messages_dead.
DEAD = "state = 'failed' AND direction = 'out' AND dismissed_at IS NULL AND retried_as IS NULL"
MOST = 2000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A failed message with what decides whether it may go out now."""

    id: int
    conversation_id: int
    number_id: int
    kind: str
    purpose: str | None
    text: str
    created_at: float
    failed_at: float | None
    attempt: int
    error_code: int | None
    error_title: str | None
    error_details: str | None
    name: str | None
    window_closes_at: float | None
    number_stopped_reason: str | None
    marketing_stopped_at: float | None


_SELECT = """
    SELECT messages.id, conversation_id, messages.number_id, kind, purpose, text, messages.created_at, failed_at, attempt,
        error_code, error_title, error_details, COALESCE(contacts.name, contacts.username, '+' || contacts.phone),
        window_closes_at, stopped_reason, marketing_stopped_at
    FROM messages
    JOIN conversations ON conversations.id = conversation_id
    JOIN contacts ON contacts.id = contact_id
    JOIN numbers ON numbers.id = messages.number_id
"""
_QUALIFIED = DEAD.replace("state", "messages.state")


def all_of_them(db: sqlite3.Connection, limit: int = MOST) -> list[DeadLetter]:
    """The newest ones."""
    rows = db.execute(f"{_SELECT} WHERE {_QUALIFIED} ORDER BY messages.id DESC LIMIT ?", (limit,))
    return [DeadLetter(*row) for row in rows]


def count(db: sqlite3.Connection) -> int:
    return db.execute(f"SELECT COUNT(*) FROM messages WHERE {DEAD}").fetchone()[0]


def get(db: sqlite3.Connection, message_id: int) -> DeadLetter | None:
    row = db.execute(f"{_SELECT} WHERE {_QUALIFIED} AND messages.id = ?", (message_id,)).fetchone()
    return DeadLetter(*row) if row else None


def retry(db: sqlite3.Connection, message_id: int, now: float) -> int | None:
    """Queue the same words as a new message with an id of its own. None: somebody has settled it. Inside a transaction."""
    taken = db.execute(f"UPDATE messages SET retried_as = 0 WHERE id = ? AND {DEAD}", (message_id,)).rowcount
    if not taken:
        return None
    new_id = db.execute(
        """
        INSERT INTO messages (
            conversation_id, number_id, direction, state, kind, purpose, text, media, raw, public_id, reply_to_external_id,
            provider_at, created_at, due_at, user_id)
        SELECT conversation_id, number_id, 'out', 'queued', kind, purpose, text, media, raw, ?, reply_to_external_id, ?2, ?2, ?2,
            user_id
        FROM messages WHERE id = ?3
        """,
        (uuid.uuid4().hex, now, message_id),
    ).lastrowid
    db.execute("UPDATE messages SET retried_as = ? WHERE id = ?", (new_id, message_id))
    return new_id


def dismiss(db: sqlite3.Connection, message_id: int, user_id: int, reason: str, now: float) -> bool:
    return (
        db.execute(
            f"UPDATE messages SET dismissed_at = ?, dismissed_by = ?, dismissed_reason = ? WHERE id = ? AND {DEAD}",
            (now, user_id, reason, message_id),
        ).rowcount
        == 1
    )


@dataclass(frozen=True, slots=True)
class LeftOver:
    """A conversation whose customer's messages the model gave no answer to."""

    conversation_id: int
    name: str | None
    text: str
    count: int
    oldest_at: float
    window_closes_at: float | None


def left_over(db: sqlite3.Connection, limit: int = 500) -> list[LeftOver]:
    rows = db.execute(
        """
        SELECT conversation_id, COALESCE(contacts.name, contacts.username, '+' || contacts.phone), MAX(text), COUNT(*),
            MIN(messages.created_at), window_closes_at
        FROM messages
        JOIN conversations ON conversations.id = conversation_id
        JOIN contacts ON contacts.id = contact_id
        WHERE messages.state = 'unanswered'
        GROUP BY conversation_id ORDER BY 5 LIMIT ?
        """,
        (limit,),
    )
    return [LeftOver(*row) for row in rows]


def owe_again(db: sqlite3.Connection, conversation_id: int, now: float) -> bool:
    """What the model left over is owed an answer again, at once. False where nothing was left. Inside a transaction."""
    moved = db.execute(
        "UPDATE messages SET state = 'waiting' WHERE conversation_id = ? AND state = 'unanswered'", (conversation_id,)
    ).rowcount
    if moved:
        db.execute(
            """
            UPDATE conversations SET waiting_since = COALESCE(waiting_since, ?1), reply_due_at = ?1, reply_failures = 0,
                state = CASE WHEN state = 'closed' THEN 'bot' ELSE state END,
                needs_person_at = NULL, needs_person_reason = NULL
            WHERE id = ?2
            """,
            (now, conversation_id),
        )
    return bool(moved)


def settle_left_over(db: sqlite3.Connection, conversation_id: int) -> None:
    """Somebody decided that no answer is needed."""
    db.execute(
        "UPDATE messages SET state = 'answered' WHERE conversation_id = ? AND state = 'unanswered'", (conversation_id,)
    )
    db.execute("UPDATE conversations SET needs_person_at = NULL, needs_person_reason = NULL WHERE id = ?", (conversation_id,))
