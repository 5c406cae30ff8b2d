"""Drafts: answers written before the customer's quiet period was over. Good only for exactly the messages they answer."""

import json
import sqlite3


def put(db: sqlite3.Connection, conversation_id: int, message_ids: list[int], text: str, now: float) -> None:
    db.execute(
        "INSERT OR REPLACE INTO drafts (conversation_id, message_ids, text, created_at) VALUES (?, ?, ?, ?)",
        (conversation_id, json.dumps(sorted(message_ids)), text, now),
    )


def take(db: sqlite3.Connection, conversation_id: int, message_ids: list[int]) -> str | None:
    """The draft that answers just these messages, None where there is none. Whatever there is, is gone afterwards."""
    if not db.execute("SELECT 1 FROM drafts WHERE conversation_id = ?", (conversation_id,)).fetchone():
        return None  # without asking for the write lock
    row = db.execute(
        "DELETE FROM drafts WHERE conversation_id = ? RETURNING message_ids, text", (conversation_id,)
    ).fetchone()
    return row["text"] if row and json.loads(row["message_ids"]) == sorted(message_ids) else None


def remove(db: sqlite3.Connection, conversation_id: int) -> None:
    db.execute("DELETE FROM drafts WHERE conversation_id = ?", (conversation_id,))
