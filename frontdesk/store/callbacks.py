"""What programs asked to be told, at an address of theirs: each at least once, until it was taken or a day is over."""

import json
import sqlite3
import uuid
from dataclasses import dataclass
from typing import Any

FURTHEST_DUE_SECONDS = 6 * 3600


@dataclass(frozen=True, slots=True)
class Callback:
    """`status`: the HTTP status of the newest attempt, None where no answer came; `words` says what went wrong."""

    id: int
    public_id: str
    client_id: int
    url: str
    event: str
    body: str
    state: str
    attempts: int
    due_at: float | None
    status: int | None
    words: str | None
    created_at: float


_COLUMNS = ", ".join(Callback.__slots__)


def add(db: sqlite3.Connection, client_id: int, url: str, event: str, body: dict[str, Any], now: float) -> int:
    return db.execute(
        """
        INSERT INTO callbacks (public_id, client_id, url, event, body, state, due_at, created_at) VALUES (?, ?, ?, ?, ?, 'wanted', ?, ?)
        """,
        (uuid.uuid4().hex, client_id, url, event, json.dumps(body, ensure_ascii=False), now, now),
    ).lastrowid


def due(db: sqlite3.Connection, now: float, limit: int = 100) -> list[int]:
    rows = db.execute(
        "SELECT id FROM callbacks WHERE state = 'wanted' AND (due_at <= ? OR due_at > ?) ORDER BY id LIMIT ?",
        (now, now + FURTHEST_DUE_SECONDS, limit),
    )
    return [row["id"] for row in rows]


def claim(db: sqlite3.Connection, callback_id: int, now: float, lease_seconds: float) -> Callback | None:
    """One attempt more; nobody else's until the lease is over."""
    row = db.execute(
        f"""
        UPDATE callbacks SET attempts = attempts + 1, due_at = ?
        WHERE id = ? AND state = 'wanted' AND (due_at <= ? OR due_at > ?) RETURNING {_COLUMNS}
        """,
        (now + lease_seconds, callback_id, now, now + FURTHEST_DUE_SECONDS),
    ).fetchone()
    return Callback(*row) if row else None


def settle(db: sqlite3.Connection, callback: Callback, state: str, due_at: float | None, status: int | None, words: str | None) -> None:
    """After an attempt: 'delivered', 'failed', or 'wanted' again at `due_at`."""
    db.execute(
        "UPDATE callbacks SET state = ?, due_at = ?, status = ?, words = ? WHERE id = ? AND attempts = ?",
        (state, due_at, status, words, callback.id, callback.attempts),
    )


def newest(db: sqlite3.Connection, limit: int = 50) -> list[Callback]:
    return [Callback(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM callbacks ORDER BY id DESC LIMIT ?", (limit,))]


def clean(db: sqlite3.Connection, before: float) -> None:
    db.execute("DELETE FROM callbacks WHERE created_at < ? AND state <> 'wanted'", (before,))
