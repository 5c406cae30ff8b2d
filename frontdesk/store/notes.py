"""Notes: what agents write to each other in a conversation. No customer and no model ever sees one."""

import sqlite3
from dataclasses import dataclass

MOST = 400  # on one page


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


def between(db: sqlite3.Connection, conversation_id: int, begin: float, end: float | None = None) -> list[Note]:
    """Written from `begin` on and before `end`, in their order; of very many the newest."""
    rows = db.execute(
        """
        SELECT notes.id, user_id, COALESCE(users.name, '(removed)'), text, notes.created_at
        FROM notes LEFT JOIN users ON users.id = user_id
        WHERE conversation_id = ? AND notes.created_at >= ? AND notes.created_at < COALESCE(?, 9e18)
        ORDER BY notes.id DESC LIMIT ?
        """,
        (conversation_id, begin, end, MOST),
    ).fetchall()
    return [Note(*row) for row in reversed(rows)]
