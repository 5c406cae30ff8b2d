"""Notes: what agents write to each other in a conversation. No customer and no model ever sees one."""

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Note:
    id: int
    user_id: int
    user_name: str
    text: str
    created_at: float


def add(db: sqlite3.Connection, conversation_id: int, user_id: int, text: str, now: float) -> int:
    return db.execute(
        "INSERT INTO notes (conversation_id, user_id, text, created_at) VALUES (?, ?, ?, ?)",
        (conversation_id, user_id, text, now),
    ).lastrowid


def of(db: sqlite3.Connection, conversation_id: int, limit: int = 200) -> list[Note]:
    """The newest ones, oldest first."""
    rows = db.execute(
        """
        SELECT notes.id, user_id, COALESCE(users.name, '(removed)'), text, notes.created_at
        FROM notes LEFT JOIN users ON users.id = user_id
        WHERE conversation_id = ? ORDER BY notes.id DESC LIMIT ?
        """,
        (conversation_id, limit),
    ).fetchall()
    return [Note(*row) for row in reversed(rows)]
