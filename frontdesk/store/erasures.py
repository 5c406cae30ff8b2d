"""Who was erased: an id that nobody else gets, and their names under a key, by which what is on its way is known and not taken in.

What erasing a person means for each table is in personal.py.
"""

import json
import math
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Erasure:
    """`traces`: {"names", "files"} that are still to be forgotten outside the tables; None when they are."""

    id: int
    client_id: int
    contact_id: int
    erased_at: float
    traces: dict[str, Any] | None
    finished_at: float | None


_COLUMNS = ", ".join(Erasure.__slots__)


def add(
    db: sqlite3.Connection, client_id: int, contact_id: int, hashes: Iterable[str], traces: dict[str, Any] | None, erased_at: float
) -> int:
    erasure_id = db.execute(
        "INSERT INTO erasures (client_id, contact_id, erased_at, traces) VALUES (?, ?, ?, ?)",
        (client_id, contact_id, erased_at, traces and json.dumps(traces)),
    ).lastrowid
    db.executemany("INSERT OR IGNORE INTO erased_names VALUES (?, ?)", [(name_hash, erasure_id) for name_hash in hashes])
    return erasure_id


def get(db: sqlite3.Connection, erasure_id: int) -> Erasure | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM erasures WHERE id = ?", (erasure_id,)).fetchone()
    return _erasure(row) if row else None


def of_contact(db: sqlite3.Connection, contact_id: int) -> Erasure | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM erasures WHERE contact_id = ? ORDER BY id DESC LIMIT 1", (contact_id,)).fetchone()
    return _erasure(row) if row else None


def is_known(db: sqlite3.Connection, contact_id: int, erased_at: float) -> bool:
    return db.execute("SELECT 1 FROM erasures WHERE contact_id = ? AND erased_at = ?", (contact_id, erased_at)).fetchone() is not None


def unfinished(db: sqlite3.Connection, limit: int = 100) -> list[int]:
    return [row["id"] for row in db.execute("SELECT id FROM erasures WHERE finished_at IS NULL ORDER BY id LIMIT ?", (limit,))]


def unfinished_since(db: sqlite3.Connection) -> float | None:
    return db.execute("SELECT MIN(erased_at) FROM erasures WHERE finished_at IS NULL").fetchone()[0]


def traces_gone(db: sqlite3.Connection, erasure_id: int) -> None:
    db.execute("UPDATE erasures SET traces = NULL WHERE id = ?", (erasure_id,))


def finished(db: sqlite3.Connection, erasure_id: int, now: float) -> None:
    db.execute("UPDATE erasures SET finished_at = ? WHERE id = ? AND finished_at IS NULL", (now, erasure_id))


def newest_at(db: sqlite3.Connection) -> float:
    """When somebody was last erased; 0: nobody ever."""
    return db.execute("SELECT MAX(erased_at) FROM erasures").fetchone()[0] or 0.0


def last_of(db: sqlite3.Connection, hashes: Iterable[str]) -> float | None:
    """When somebody of one of these names was last erased."""
    return db.execute(
        """
        SELECT MAX(erased_at) FROM erased_names JOIN erasures ON erasures.id = erasure_id
        WHERE name_hash IN (SELECT value FROM json_each(?))
        """,
        (json.dumps(list(hashes)),),
    ).fetchone()[0]


def known_since(db: sqlite3.Connection, hashes: Iterable[str], since: float) -> set[str]:
    """Of these names those whose owners were erased since then."""
    rows = db.execute(
        """
        SELECT name_hash FROM erased_names JOIN erasures ON erasures.id = erasure_id
        WHERE erased_at >= ? AND name_hash IN (SELECT value FROM json_each(?))
        """,
        (since, json.dumps(list(hashes))),
    )
    return {row["name_hash"] for row in rows}


def was_before(written_at: float, received_at: float, erased_at: float) -> bool:
    """What came, or was written, before its writer was erased. Providers' times are whole seconds."""
    return received_at <= erased_at or 0 < written_at < math.floor(erased_at)


def journal(db: sqlite3.Connection) -> list[tuple[Erasure, list[str]]]:
    """Every erasure whose names are still known, with their hashes, oldest first."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM erasures WHERE id IN (SELECT erasure_id FROM erased_names) ORDER BY erased_at, id")
    return [(_erasure(row), hashes_of(db, row["id"])) for row in rows.fetchall()]


def hashes_of(db: sqlite3.Connection, erasure_id: int) -> list[str]:
    return [row["name_hash"] for row in db.execute("SELECT name_hash FROM erased_names WHERE erasure_id = ?", (erasure_id,))]


def clean(db: sqlite3.Connection, before: float) -> int:
    """The names go; the ids stay, so that nobody gets them."""
    return db.execute(
        "DELETE FROM erased_names WHERE erasure_id IN (SELECT id FROM erasures WHERE erased_at < ? AND finished_at IS NOT NULL)", (before,)
    ).rowcount


def _erasure(row: sqlite3.Row) -> Erasure:
    return Erasure(**{**dict(row), "traces": json.loads(row["traces"]) if row["traces"] else None})
