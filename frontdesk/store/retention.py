"""How long each client's data are kept, and what is past its time, found and deleted in batches that hold nobody up.

Counters, measures and broadcasts' figures do not come from these rows alone and stay. Contacts stay: they remember who wants no offers.
"""

import json
import sqlite3
from dataclasses import dataclass

from frontdesk.settings import Settings
from frontdesk.store import measures

BATCH = 200  # messages in one transaction: some 15 ms with a million of them there
LOOKED_AT = 2_000  # rows read to find them, which holds nobody up


@dataclass(frozen=True, slots=True)
class Limit:
    """Days; None or 0: for ever. `documents_days` None: each as it was given."""

    client_id: int
    messages_days: float | None
    closed_days: float | None
    media_days: float | None
    documents_days: float | None


def limits(db: sqlite3.Connection, settings: Settings) -> list[Limit]:
    """Of every client, the settings' defaults filled in."""
    rows = db.execute("SELECT id, messages_keep_days, closed_keep_days, media_keep_days, documents_keep_days FROM clients ORDER BY id")
    return [
        Limit(
            row["id"],
            _or(row["messages_keep_days"], settings.messages_keep_days),
            _or(row["closed_keep_days"], settings.closed_keep_days),
            _or(row["media_keep_days"], settings.media_keep_days),
            row["documents_keep_days"],
        )
        for row in rows
    ]


def _or(own, default):
    return default if own is None else own


# What still has to be sent, proven or answered stays whatever its age; so does the very newest, whose id would be given again.
_IS_OVER = "state NOT IN ('queued', 'sending', 'unknown', 'waiting') AND id < (SELECT MAX(id) FROM messages)"


def old_messages(db: sqlite3.Connection, client_id: int, before: float, after_id: int) -> tuple[list[int], int | None]:
    """Some that were written before then, and from which id on to look next; None: there are no more."""
    end = measures.first_since(db, before) + LOOKED_AT  # give or take a thousand; each one's own time decides
    rows = db.execute(
        f"""
        SELECT id, number_id IN (SELECT id FROM numbers WHERE client_id = :client_id) AND created_at < :before AND {_IS_OVER} AS goes
        FROM messages WHERE id > :after_id AND id < :end ORDER BY id LIMIT :limit
        """,
        {"client_id": client_id, "before": before, "after_id": after_id, "end": end, "limit": LOOKED_AT},
    ).fetchall()
    found = [row["id"] for row in rows if row["goes"]]
    if len(found) > BATCH:
        return found[:BATCH], found[BATCH - 1]
    return found, rows[-1]["id"] if len(rows) == LOOKED_AT else None


def delete_messages(db: sqlite3.Connection, ids: list[int]) -> int:
    """Inside a transaction. The index of words and what the bot was shown follow by triggers and keys."""
    given = json.dumps(ids)
    deleted = db.execute(
        f"DELETE FROM messages WHERE id IN (SELECT value FROM json_each(?)) AND {_IS_OVER} RETURNING id, conversation_id", (given,)
    ).fetchall()
    db.executemany(
        "UPDATE conversations SET last_message_id = NULL WHERE id = ?2 AND last_message_id = ?1", [tuple(row) for row in deleted]
    )
    return len(deleted)


def old_conversations(db: sqlite3.Connection, client_id: int, before: float, after_id: int) -> list[int]:
    """Some that are closed and in which nothing happened since; none with a schedule that still goes out."""
    rows = db.execute(
        """
        SELECT id FROM conversations
        WHERE state = 'closed' AND id > :after_id AND last_message_at < :before AND created_at < :before AND waiting_since IS NULL
            AND number_id IN (SELECT id FROM numbers WHERE client_id = :client_id)
            AND NOT EXISTS (
                SELECT 1 FROM messages WHERE conversation_id = conversations.id
                    AND (messages.created_at >= :before OR messages.state IN ('queued', 'sending', 'unknown', 'waiting')))
            AND NOT EXISTS (SELECT 1 FROM schedules WHERE conversation_id = conversations.id AND schedules.state IN ('active', 'paused'))
        ORDER BY id LIMIT :limit
        """,
        {"client_id": client_id, "before": before, "after_id": after_id, "limit": BATCH},
    )
    return [row["id"] for row in rows]


def messages_of(db: sqlite3.Connection, conversation_id: int) -> list[int]:
    rows = db.execute("SELECT id FROM messages WHERE conversation_id = ? ORDER BY id LIMIT ?", (conversation_id, BATCH))
    return [row["id"] for row in rows]


def delete_conversation(db: sqlite3.Connection, conversation_id: int) -> bool:
    """Inside a transaction, once its messages are gone; its contact stays. False: something was said in it meanwhile."""
    if db.execute("SELECT 1 FROM messages WHERE conversation_id = ?", (conversation_id,)).fetchone():
        return False
    if db.execute("SELECT 1 FROM schedules WHERE conversation_id = ? AND state IN ('active', 'paused')", (conversation_id,)).fetchone():
        return False
    db.execute("DELETE FROM schedules WHERE conversation_id = ?", (conversation_id,))
    return db.execute("DELETE FROM conversations WHERE id = ? AND state = 'closed'", (conversation_id,)).rowcount == 1
