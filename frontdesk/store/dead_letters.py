"""Messages that failed for good and that nobody has settled: retried as another message, or dismissed with a reason."""

import json
import sqlite3
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from frontdesk.store.names import SHOWN_NAME
from frontdesk.store.opt_outs import STOPPED_AT

# Word for word the condition of the index messages_dead (m039); a broadcast's failures are on its own page, by cause.
DEAD = "state = 'failed' AND direction = 'out' AND dismissed_at IS NULL AND retried_as IS NULL AND purpose IS NOT 'broadcast'"


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
    name: str
    window_closes_at: float | None
    number_stopped_reason: str | None
    marketing_stopped_at: float | None


_SELECT = f"""
    SELECT messages.id, conversation_id, messages.number_id, kind, purpose, text, messages.created_at, failed_at, attempt,
        error_code, error_title, error_details, {SHOWN_NAME},
        window_closes_at, stopped_reason, {STOPPED_AT.format(contact="conversations.contact_id", number="messages.number_id")} AS marketing_stopped_at
    FROM messages
    JOIN conversations ON conversations.id = conversation_id
    JOIN contacts ON contacts.id = contact_id
    JOIN numbers ON numbers.id = messages.number_id
"""
_QUALIFIED = DEAD.replace("state", "messages.state")
_WITH_CODES = "(error_code IN (SELECT value FROM json_each(:codes)) OR (error_code IS NULL AND :without_code))"


@dataclass(frozen=True, slots=True)
class Tally:
    """The dead letters of one number with one code. `hindered`: of how many the window is closed or the number stopped."""

    error_code: int | None
    number_id: int
    count: int
    oldest_at: float
    hindered: int


def tallies(db: sqlite3.Connection, now: float) -> list[Tally]:
    rows = db.execute(
        f"""
        SELECT error_code, messages.number_id, COUNT(*), MIN(COALESCE(failed_at, messages.created_at)),
            SUM(stopped_at IS NOT NULL OR (kind <> 'template' AND COALESCE(window_closes_at, 0) <= ?))
        FROM messages
        JOIN conversations ON conversations.id = conversation_id
        JOIN numbers ON numbers.id = messages.number_id
        WHERE {_QUALIFIED} GROUP BY error_code, messages.number_id
        """,
        (now,),
    )
    return [Tally(*row) for row in rows]


def with_codes(db: sqlite3.Connection, codes: Iterable[int | None], before: int | None, limit: int) -> list[DeadLetter]:
    """The newest ones below the id `before`."""
    rows = db.execute(
        f"{_SELECT} WHERE {_QUALIFIED} AND {_WITH_CODES} AND messages.id < :before ORDER BY messages.id DESC LIMIT :limit",
        {**_codes(codes), "before": before or 9e18, "limit": limit},
    )
    return [DeadLetter(*row) for row in rows]


def ids_with_codes(db: sqlite3.Connection, codes: Iterable[int | None]) -> list[int]:
    return [row["id"] for row in db.execute(f"SELECT id FROM messages WHERE {DEAD} AND {_WITH_CODES}", _codes(codes))]


def _codes(codes: Iterable[int | None]) -> dict:
    codes = list(codes)
    return {"codes": json.dumps([code for code in codes if code is not None]), "without_code": None in codes}


def count(db: sqlite3.Connection) -> int:
    return db.execute(f"SELECT COUNT(*) FROM messages WHERE {DEAD}").fetchone()[0]


def count_since(db: sqlite3.Connection, since: float) -> int:
    return db.execute(f"SELECT COUNT(*) FROM messages WHERE {DEAD} AND failed_at >= ?", (since,)).fetchone()[0]


def these(db: sqlite3.Connection, message_ids: Iterable[int]) -> list[DeadLetter]:
    """Those of them that nobody has settled, oldest first."""
    rows = db.execute(
        f"{_SELECT} WHERE {_QUALIFIED} AND messages.id IN (SELECT value FROM json_each(?)) ORDER BY messages.id",
        (json.dumps(list(message_ids)),),
    )
    return [DeadLetter(*row) for row in rows]


def inside(db: sqlite3.Connection, message_id: int) -> sqlite3.Row | None:
    """Everything that is kept of a failed message, settled or not: what to look at before it is retried or dismissed."""
    return db.execute(
        f"""
        SELECT messages.*,
            {SHOWN_NAME} AS contact_name,
            window_closes_at, numbers.stopped_reason, numbers.client_id, clients.name AS client_name,
            COALESCE(display_phone, numbers.external_id) AS number_name, users.name AS dismissed_by_name,
            (SELECT earlier.id FROM messages AS earlier
                WHERE earlier.conversation_id = messages.conversation_id AND earlier.retried_as = messages.id) AS retry_of
        FROM messages
        JOIN conversations ON conversations.id = messages.conversation_id
        JOIN contacts ON contacts.id = contact_id
        JOIN numbers ON numbers.id = messages.number_id
        JOIN clients ON clients.id = numbers.client_id
        LEFT JOIN users ON users.id = dismissed_by
        WHERE messages.id = ? AND messages.direction = 'out'
            AND (messages.state = 'failed' OR messages.retried_as IS NOT NULL OR dismissed_at IS NOT NULL)
        """,
        (message_id,),
    ).fetchone()


def retry(db: sqlite3.Connection, message_id: int, now: float) -> int | None:
    """Queue the same words as a new message with an id of its own. None: somebody has settled it. Inside a transaction."""
    taken = db.execute(f"UPDATE messages SET retried_as = 0 WHERE id = ? AND {DEAD}", (message_id,)).rowcount
    if not taken:
        return None
    new_id = db.execute(
        """
        INSERT INTO messages (
            conversation_id, number_id, direction, state, kind, purpose, text, media, raw, public_id, reply_to_external_id,
            provider_at, created_at, due_at, user_id, media_id)
        SELECT conversation_id, number_id, 'out', 'queued', kind, purpose, text, media, raw, ?, reply_to_external_id, ?2, ?2, ?2,
            user_id, media_id
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


def nothing_is_left(db: sqlite3.Connection, conversation_id: int) -> None:
    """A person is no longer needed for failed messages when the last of them is settled. Inside a transaction."""
    db.execute(
        f"""
        UPDATE conversations SET needs_person_at = NULL, needs_person_reason = NULL
        WHERE id = ?1 AND needs_person_reason IN ('send_failed', 'window_closed')
            AND NOT EXISTS (SELECT 1 FROM messages WHERE conversation_id = ?1 AND {_QUALIFIED})
        """,
        (conversation_id,),
    )


@dataclass(frozen=True, slots=True)
class LeftOver:
    """A conversation whose customer's messages the model gave no answer to. `text` is the newest of them."""

    conversation_id: int
    client_id: int
    name: str
    text: str
    count: int
    oldest_at: float
    window_closes_at: float | None


def left_over(db: sqlite3.Connection, limit: int = 500) -> list[LeftOver]:
    """Those that wait longest first."""
    rows = db.execute(
        f"""
        SELECT conversation_id, numbers.client_id, {SHOWN_NAME}, text, count,
            oldest_at, window_closes_at
        FROM (
            SELECT conversation_id, MAX(id), text, COUNT(*) AS count, MIN(created_at) AS oldest_at
            FROM messages WHERE state = 'unanswered' GROUP BY conversation_id)
        JOIN conversations ON conversations.id = conversation_id
        JOIN contacts ON contacts.id = contact_id
        JOIN numbers ON numbers.id = number_id
        ORDER BY oldest_at LIMIT ?
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


def settle_left_over(db: sqlite3.Connection, conversation_id: int) -> bool:
    """Somebody decided that no answer is needed. False: somebody has settled it. Inside a transaction."""
    settled = db.execute(
        "UPDATE messages SET state = 'answered' WHERE conversation_id = ? AND state = 'unanswered'", (conversation_id,)
    ).rowcount
    if settled:
        db.execute(
            "UPDATE conversations SET needs_person_at = NULL, needs_person_reason = NULL WHERE id = ?", (conversation_id,)
        )
    return bool(settled)
