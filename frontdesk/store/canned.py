"""Canned answers: texts that agents put in by a shortcut, of one client or of all."""

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Canned:
    """`client_id` None: for every client."""

    id: int
    client_id: int | None
    shortcut: str
    text: str


def put(db: sqlite3.Connection, client_id: int | None, shortcut: str, text: str) -> None:
    db.execute(
        """
        INSERT INTO canned_answers (client_id, shortcut, text) VALUES (?1, ?2, ?3)
        ON CONFLICT (COALESCE(client_id, 0), shortcut) DO UPDATE SET text = ?3
        """,
        (client_id, shortcut, text),
    )


def remove(db: sqlite3.Connection, canned_id: int) -> None:
    db.execute("DELETE FROM canned_answers WHERE id = ?", (canned_id,))


def all_of_them(db: sqlite3.Connection) -> list[Canned]:
    return [Canned(*row) for row in db.execute("SELECT id, client_id, shortcut, text FROM canned_answers ORDER BY shortcut, id")]


def of(db: sqlite3.Connection, client_id: int) -> list[Canned]:
    """Those of this client and of all; its own before another of the same shortcut."""
    rows = db.execute(
        """
        SELECT id, client_id, shortcut, text FROM canned_answers
        WHERE client_id IS NULL OR client_id = ? ORDER BY shortcut, client_id IS NULL
        """,
        (client_id,),
    )
    return [Canned(*row) for row in rows]
