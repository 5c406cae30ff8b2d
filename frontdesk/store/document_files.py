"""Files whose text must be read before the model can work on it. A claim is a lease: `due_at` is its end while somebody reads."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class File:
    """`attempts` counts this claim too."""

    task_id: int
    kind: str
    data: bytes
    owner: str
    attempts: int


def add(db: sqlite3.Connection, files: Iterable[tuple[int, str, bytes]], now: float) -> None:
    """Task, kind, contents."""
    db.executemany(
        "INSERT INTO document_files (task_id, kind, data, due_at) VALUES (?, ?, ?, ?)",
        ((task_id, kind, data, now) for task_id, kind, data in files),
    )


def claim(db: sqlite3.Connection, owner: str, now: float, lease_seconds: float) -> File | None:
    """The next one of a task that still wants it. A due time beyond any lease was written before the clock was set back."""
    row = db.execute(
        """
        UPDATE document_files SET owner = :owner, due_at = :now + :lease, attempts = attempts + 1
        WHERE task_id = (
            SELECT task_id FROM document_files JOIN document_tasks ON document_tasks.id = task_id
            WHERE state = 'queued' AND (document_files.due_at <= :now OR document_files.due_at > :now + 2 * :lease)
            ORDER BY task_id LIMIT 1)
        RETURNING task_id, kind, data, owner, attempts
        """,
        {"owner": owner, "now": now, "lease": lease_seconds},
    ).fetchone()
    return File(*row) if row else None


def is_due(db: sqlite3.Connection, now: float, lease_seconds: float) -> bool:
    row = db.execute(
        """
        SELECT 1 FROM document_files JOIN document_tasks ON document_tasks.id = task_id
        WHERE state = 'queued' AND (document_files.due_at <= :now OR document_files.due_at > :now + 2 * :lease) LIMIT 1
        """,
        {"now": now, "lease": lease_seconds},
    ).fetchone()
    return row is not None


def is_waiting(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM document_files LIMIT 1").fetchone() is not None


def take_out(db: sqlite3.Connection, file: File) -> bool:
    """Inside the transaction in which its text is kept, or why there is none. False: somebody else has it by now."""
    return db.execute("DELETE FROM document_files WHERE task_id = ? AND owner = ?", (file.task_id, file.owner)).rowcount == 1


def keep_size(db: sqlite3.Connection, task_id: int, part_bytes: int, parts_total: int, now: float) -> None:
    """From now on there is something to work on, if nobody has given it up."""
    db.execute(
        """
        UPDATE document_tasks SET part_bytes = ?, parts_total = ?, due_at = ?
        WHERE id = ? AND state IN ('queued', 'paused')
        """,
        (part_bytes, parts_total, now, task_id),
    )


def fail(db: sqlite3.Connection, task_id: int, why: str, now: float, kept_until: float) -> bool:
    changed = db.execute(
        """
        UPDATE document_tasks SET state = 'failed', error = ?1, finished_at = ?2,
            expires_at = CASE WHEN batch_id IS NULL THEN ?3 END
        WHERE id = ?4 AND state IN ('queued', 'paused')
        """,
        (why, now, kept_until, task_id),
    )
    return changed.rowcount == 1


def clean(db: sqlite3.Connection) -> int:
    """Of tasks that were given up."""
    return db.execute(
        """
        DELETE FROM document_files WHERE task_id IN (
            SELECT task_id FROM document_files JOIN document_tasks ON document_tasks.id = task_id
            WHERE state NOT IN ('queued', 'paused'))
        """
    ).rowcount
