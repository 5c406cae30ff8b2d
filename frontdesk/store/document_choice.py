"""Which document comes next: kinds of work and their models, what this worker can have done, and whose turn it is."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from frontdesk.store.documents import OPEN, Task, by_id

# So long one batch is served before another that waits as well gets its turn.
TURN_SECONDS = 30

# A kind of work, and the model that does it.
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which work to take. `usual`: kind → the setting's model. Nothing of `without`; what is of `first` before all else."""

    usual: dict[str, str] = field(default_factory=dict)
    without: Sequence[Pair] = ()
    first: Sequence[Pair] = ()


def claim(
    db: sqlite3.Connection, owner: str, now: float, lease_seconds: float, choice: Choice = Choice()
) -> Task | None:
    """The next task that is due, now this owner's. Inside a transaction.

    Single tasks go before batches; among batches the one that was served longest ago.
    """
    task_id = None
    if choice.first:
        task_id = _first_due(db, now, choice, choice.first) or _first_of_a_batch(db, now, choice, choice.first)
    task_id = task_id or _first_due(db, now, choice) or _first_of_a_batch(db, now, choice)
    if task_id is None:
        return None
    db.execute(
        """
        UPDATE document_tasks SET state = 'working', claim_owner = ?, due_at = ?, attempts = attempts + 1,
            started_at = COALESCE(started_at, ?)
        WHERE id = ?
        """,
        (owner, now + lease_seconds, now, task_id),
    )
    return by_id(db, task_id)


# As a single task's and as a batch's: the model asked for, else the client's, else the setting's.
_CLIENT_S = "CASE one.kind WHEN 'summary' THEN summary_model WHEN 'classification' THEN classification_model WHEN 'extraction' THEN extraction_model END"
_USUAL = f"COALESCE({_CLIENT_S}, json_extract(:usual, '$.' || one.kind), json_extract(:usual, '$.reply'), '')"
_OF_TASK = f"COALESCE(NULLIF(one.model, ''), {_USUAL})"
_OF_BATCH = f"COALESCE(json_extract(one.options, '$.model'), {_USUAL})"


def _wanted(model: str, only: Sequence[Pair] | None) -> str:
    pair = f"json_array(one.kind, {model})"
    chosen = f"AND {pair} IN (SELECT value FROM json_each(:only))" if only else ""
    return f"AND {pair} NOT IN (SELECT value FROM json_each(:without)) {chosen}"


def _given(now: float, choice: Choice, only: Sequence[Pair] | None = None, **more: Any) -> dict[str, Any]:
    pairs = {"without": choice.without, "only": only or ()}
    return {"now": now, "usual": json.dumps(choice.usual), **{name: _as_json(value) for name, value in pairs.items()}, **more}


def _as_json(pairs: Iterable[Pair]) -> str:
    """An array of strings: SQLite's json_array() of a pair is one, without spaces."""
    return json.dumps([json.dumps(pair, separators=(",", ":"), ensure_ascii=False) for pair in pairs], ensure_ascii=False)


def _first_due(db: sqlite3.Connection, now: float, choice: Choice, only: Sequence[Pair] | None = None) -> int | None:
    row = db.execute(
        f"""
        SELECT one.id FROM document_tasks AS one LEFT JOIN clients ON clients.id = client_id
        WHERE batch_id IS NULL AND {OPEN} AND due_at <= :now AND parts_total > 0 {_wanted(_OF_TASK, only)}
        ORDER BY position, one.id LIMIT 1
        """,
        _given(now, choice, only),
    ).fetchone()
    return row["id"] if row else None


def _first_of_a_batch(db: sqlite3.Connection, now: float, choice: Choice, only: Sequence[Pair] | None = None) -> int | None:
    """Of the one being served, while it is its turn, else of the one that was served longest ago."""
    rows = db.execute(
        f"""
        SELECT one.id, turn_at FROM document_batches AS one LEFT JOIN clients ON clients.id = client_id
        WHERE expired_at IS NULL {_wanted(_OF_BATCH, only)}
        ORDER BY CASE WHEN turn_at > :now - {TURN_SECONDS} AND turn_at <= :now THEN -turn_at ELSE 0 END, turn_at, one.id
        """,
        _given(now, choice, only),
    )
    for row in rows.fetchall():
        if task_id := _first_item(db, row["id"], now):
            if not now - TURN_SECONDS < row["turn_at"] <= now:
                db.execute("UPDATE document_batches SET turn_at = ? WHERE id = ?", (now, row["id"]))
            return task_id
    return None


def _first_item(db: sqlite3.Connection, batch_id: int, now: float) -> int | None:
    row = db.execute(
        f"SELECT id FROM document_tasks WHERE batch_id = ? AND {OPEN} AND due_at <= ? AND parts_total > 0 ORDER BY position LIMIT 1",
        (batch_id, now),
    ).fetchone()
    return row["id"] if row else None


def waiting(db: sqlite3.Connection, now: float, usual: dict[str, str]) -> list[Pair]:
    """Kind and model of all that is due, each pair once."""
    rows = db.execute(
        f"""
        SELECT one.kind, {_OF_TASK} AS model FROM document_tasks AS one LEFT JOIN clients ON clients.id = client_id
        WHERE batch_id IS NULL AND {OPEN} AND due_at <= :now AND parts_total > 0
        UNION
        SELECT one.kind, {_OF_BATCH} AS model FROM document_batches AS one LEFT JOIN clients ON clients.id = client_id
        WHERE expired_at IS NULL AND EXISTS (
            SELECT 1 FROM document_tasks WHERE batch_id = one.id AND {OPEN} AND due_at <= :now AND parts_total > 0)
        ORDER BY 1, 2
        """,
        {"now": now, "usual": json.dumps(usual)},
    )
    return [(row["kind"], row["model"]) for row in rows]


def without_model(db: sqlite3.Connection, model: str, before: float, limit: int = 200) -> list[int]:
    """What asked for this model itself, so long ago, and was not finished since; a few at a time."""
    rows = db.execute(
        f"SELECT id FROM document_tasks WHERE {OPEN} AND state = 'queued' AND model = ? AND created_at < ? LIMIT ?", (model, before, limit)
    )
    return [row["id"] for row in rows]


def give_up(db: sqlite3.Connection, *, task_id: int, error: str, now: float, kept_until: float) -> bool:
    return (
        db.execute(
            """
            UPDATE document_tasks SET state = 'failed', error = :error, finished_at = :now,
                expires_at = CASE WHEN batch_id IS NULL THEN :kept_until END
            WHERE id = :id AND state = 'queued'
            """,
            {"id": task_id, "error": error, "now": now, "kept_until": kept_until},
        ).rowcount
        == 1
    )
