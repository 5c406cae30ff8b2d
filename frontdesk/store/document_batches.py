"""Batches of documents. What has become of one is what its items say; pausing and the like move all its items at once."""

import json
import sqlite3
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from frontdesk.store import documents
from frontdesk.store.documents import NewTask, Task

FOR_EVER_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Batch:
    id: int
    public_id: str
    client_id: int | None
    kind: str
    options: dict[str, Any]
    created_at: float
    expires_at: float
    expired_at: float | None


_COLUMNS = "id, public_id, client_id, kind, options, created_at, expires_at, expired_at"


def add(
    db: sqlite3.Connection,
    kind: str,
    options: dict,
    items: Sequence[NewTask],
    *,
    client_id: int | None,
    token_id: int | None,
    now: float,
    expires_at: float,
    callback_url: str | None = None,
) -> tuple[int, str]:
    """Inside a transaction. Returns its id and the public one."""
    public_id = f"batch_{uuid.uuid4().hex}"
    batch_id = db.execute(
        """
        INSERT INTO document_batches (public_id, client_id, token_id, kind, options, created_at, expires_at, callback_url)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (public_id, client_id, token_id, kind, json.dumps(options), now, expires_at, callback_url),
    ).lastrowid
    documents.add_items(db, (batch_id, public_id), kind, options.get("model") or "", items, client_id=client_id, now=now)
    return batch_id, public_id


def told(db: sqlite3.Connection, batch_id: int) -> tuple[str, Batch] | None:
    """The address to tell and the batch, once nothing of it is left to do; None before, and where nobody wants to know."""
    row = db.execute(
        f"""
        SELECT callback_url, {_COLUMNS} FROM document_batches AS b WHERE id = ? AND callback_url IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM document_tasks WHERE batch_id = b.id AND state IN ('queued', 'working'))
            AND NOT EXISTS (SELECT 1 FROM document_tasks WHERE batch_id = b.id AND state = 'paused')
        """,
        (batch_id,),
    ).fetchone()
    if row is None:
        return None
    values = dict(row)
    return values.pop("callback_url"), Batch(**{**values, "options": json.loads(values["options"])})


def get(db: sqlite3.Connection, public_id: str, *, client_id: int | None) -> Batch | None:
    row = db.execute(
        f"SELECT {_COLUMNS} FROM document_batches WHERE public_id = :public_id AND (:client_id IS NULL OR client_id = :client_id)",
        {"public_id": public_id, "client_id": client_id},
    ).fetchone()
    return _batch(row) if row else None


def _batch(row: sqlite3.Row) -> Batch:
    return Batch(**{**dict(row), "options": json.loads(row["options"])})


def newest(db: sqlite3.Connection, *, before: int | None, limit: int) -> list[tuple[Batch, Counter]]:
    """With their items' states. `before`: an id."""
    rows = db.execute(
        f"""
        SELECT {_COLUMNS} FROM document_batches WHERE expired_at IS NULL AND (:before IS NULL OR id < :before)
        ORDER BY id DESC LIMIT :limit
        """,
        {"before": before, "limit": limit},
    ).fetchall()
    return [(_batch(row), counts(db, row["id"])) for row in rows]


def counts(db: sqlite3.Connection, batch_id: int) -> Counter:
    """Items by state."""
    rows = db.execute("SELECT state, count(*) AS n FROM document_tasks WHERE batch_id = ? GROUP BY state", (batch_id,))
    return Counter({row["state"]: row["n"] for row in rows})


def seconds(db: sqlite3.Connection, batch_id: int) -> tuple[float, int, int]:
    """What the model took for this batch so far, for how many parts, and how many are still to do."""
    row = db.execute(
        """
        SELECT total(seconds) AS seconds, total(parts_done) AS done,
            total(CASE WHEN state IN ('queued', 'working', 'paused') THEN max(parts_total, 1) - parts_done END) AS left
        FROM document_tasks WHERE batch_id = ?
        """,
        (batch_id,),
    ).fetchone()
    return row["seconds"], int(row["done"]), int(row["left"])


def results(db: sqlite3.Connection, batch_id: int, *, after: int, limit: int) -> list[Task]:
    """Items that are over, in the order in which they were given, from behind the position `after`."""
    rows = db.execute(
        f"""
        {documents._READ} WHERE t.batch_id = ? AND t.position > ? AND t.state IN ('done', 'failed', 'cancelled')
        ORDER BY t.position LIMIT ?
        """,
        (batch_id, after, limit),
    )
    return [documents._task(row) for row in rows]


def pause(db: sqlite3.Connection, batch_id: int) -> int:
    """Whoever works on an item finds that it is no longer theirs."""
    return db.execute(
        """
        UPDATE document_tasks SET state = 'paused', claim_owner = NULL
        WHERE batch_id = ? AND state IN ('queued', 'working')
        """,
        (batch_id,),
    ).rowcount


def resume(db: sqlite3.Connection, batch_id: int, now: float) -> int:
    return db.execute(
        "UPDATE document_tasks SET state = 'queued', due_at = ?, attempts = 0 WHERE batch_id = ? AND state = 'paused'", (now, batch_id)
    ).rowcount


def cancel(db: sqlite3.Connection, batch_id: int, now: float) -> int:
    return db.execute(
        """
        UPDATE document_tasks SET state = 'cancelled', claim_owner = NULL, finished_at = ?
        WHERE batch_id = ? AND state IN ('queued', 'working', 'paused')
        """,
        (now, batch_id),
    ).rowcount


def retry_failed(db: sqlite3.Connection, batch_id: int, now: float) -> int:
    """Failed items, without those that hold nothing to work on."""
    return db.execute(
        """
        UPDATE document_tasks SET state = 'queued', due_at = ?, attempts = 0, failures = 0, error = NULL, first_answer = NULL,
            second_answer = NULL, finished_at = NULL
        WHERE batch_id = ? AND state = 'failed' AND parts_total > 0
        """,
        (now, batch_id),
    ).rowcount


def keep_for(db: sqlite3.Connection, client_id: int, days: float) -> None:
    """A client's own time instead of the settings'; 0: for ever, as far as ever goes. Single documents' results at most so long."""
    seconds = (days or FOR_EVER_DAYS) * 24 * 3600
    db.execute("UPDATE document_batches SET expires_at = created_at + ? WHERE client_id = ? AND expired_at IS NULL", (seconds, client_id))
    db.execute(
        "UPDATE document_tasks SET expires_at = MIN(expires_at, finished_at + ?) WHERE client_id = ? AND batch_id IS NULL AND expires_at IS NOT NULL",
        (seconds, client_id),
    )


def expire(db: sqlite3.Connection, now: float) -> int:
    due = db.execute(
        "SELECT id FROM document_batches WHERE expires_at <= ? AND expired_at IS NULL", (now,)
    ).fetchall()
    for batch in due:
        items = db.execute("SELECT id FROM document_tasks WHERE batch_id = ?", (batch["id"],))
        documents.empty(db, [row["id"] for row in items])
        db.execute("UPDATE document_batches SET expired_at = ?, options = '{}' WHERE id = ?", (now, batch["id"]))
    return len(due)


def forget(db: sqlite3.Connection, before: float) -> int:
    """With their items."""
    return db.execute("DELETE FROM document_batches WHERE expired_at IS NOT NULL AND expires_at < ?", (before,)).rowcount
