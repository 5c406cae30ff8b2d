"""Document tasks: a text, what is to be done with it, what came of it. A claim is a lease: `due_at` of a working task is its end."""

import json
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from frontdesk.store import document_files
from frontdesk.store.database import exact

UNFINISHED = ("queued", "working", "paused")

OPEN = "state IN ('queued', 'working')"
_READ = """
    SELECT t.id, t.public_id, t.batch_id, t.position, t.name, t.client_id, t.kind, COALESCE(t.options, b.options) AS options, t.model,
        t.state, t.due_at, t.claim_owner, t.attempts, t.failures, t.part_bytes, t.parts_done, t.parts_total, t.result, t.error,
        t.first_answer, t.second_answer, t.seconds, t.created_at, t.started_at, t.finished_at,
        COALESCE(t.expires_at, b.expires_at) AS expires_at
    FROM document_tasks AS t LEFT JOIN document_batches AS b ON b.id = t.batch_id
"""


@dataclass(frozen=True, slots=True)
class Task:
    """`model` '': the client's, else the settings'. `seconds`: what the model took so far. `result`: of a task that is done."""

    id: int
    public_id: str
    batch_id: int | None
    position: int
    name: str
    client_id: int | None
    kind: str
    options: dict[str, Any]
    model: str
    state: str
    due_at: float
    claim_owner: str | None
    attempts: int
    failures: int
    part_bytes: int
    parts_done: int
    parts_total: int
    result: Any
    error: str | None
    first_answer: str | None
    second_answer: str | None
    seconds: float
    created_at: float
    started_at: float | None
    finished_at: float | None
    expires_at: float | None

    @property
    def batch_public_id(self) -> str | None:
        """An item's id is made of its batch's."""
        return self.public_id.replace("doc_", "batch_").rpartition("_")[0] if self.batch_id else None


@dataclass(frozen=True, slots=True)
class NewTask:
    """`error`: why nothing can be done with it; it is kept as failed, so that the sender sees which one it was.

    `file`: its kind and contents, where the text must still be read out of it (store/document_files.py); it has no parts yet.
    """

    text: str
    part_bytes: int
    parts_total: int
    name: str = ""
    error: str | None = None
    file: tuple[str, bytes] | None = None


def _task(row: sqlite3.Row) -> Task:
    values = dict(row)
    values["options"] = json.loads(values["options"])
    values["result"] = json.loads(values["result"]) if values["result"] is not None else None
    return Task(**values)


def add(
    db: sqlite3.Connection, kind: str, options: dict, new: NewTask, *, client_id: int | None, token_id: int | None, now: float,
    callback_url: str | None = None,
) -> str:  # fmt: skip
    """Inside a transaction. Returns the public id."""
    public_id = f"doc_{uuid.uuid4().hex}"
    task_id = db.execute(
        """
        INSERT INTO document_tasks (
            public_id, name, client_id, token_id, kind, options, model, due_at, part_bytes, parts_total, created_at, callback_url)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?8, ?11)
        """,
        (
            public_id, new.name, client_id, token_id, kind, json.dumps(options), options.get("model") or "", now, new.part_bytes,
            new.parts_total, callback_url,
        ),
    ).lastrowid  # fmt: skip
    _keep_contents(db, [(task_id, new)], now)
    return public_id


def add_items(
    db: sqlite3.Connection, batch: tuple[int, str], kind: str, model: str, items: Sequence[NewTask], *, client_id: int | None, now: float
) -> None:
    """Inside the transaction of the `batch` (its id and public id). Positions begin at 1."""
    batch_id, public_id = batch
    stem = public_id.replace("batch_", "doc_")
    db.executemany(
        """
        INSERT INTO document_tasks (
            public_id, batch_id, position, name, client_id, kind, model, due_at, part_bytes, parts_total, created_at,
            state, error, finished_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?8,
            CASE WHEN ?11 IS NULL THEN 'queued' ELSE 'failed' END, ?11, CASE WHEN ?11 IS NULL THEN NULL ELSE ?8 END)
        """,
        (
            (f"{stem}_{n}", batch_id, n, item.name, client_id, kind, model, now, item.part_bytes, item.parts_total, item.error)
            for n, item in enumerate(items, 1)
        ),
    )
    ids = db.execute("SELECT id FROM document_tasks WHERE batch_id = ? ORDER BY position", (batch_id,)).fetchall()
    _keep_contents(db, [(row["id"], item) for row, item in zip(ids, items, strict=True)], now)


def _keep_contents(db: sqlite3.Connection, given: Sequence[tuple[int, NewTask]], now: float) -> None:
    keep_texts(db, ((task_id, new.text) for task_id, new in given if new.file is None))
    document_files.add(db, ((task_id, *new.file) for task_id, new in given if new.file is not None), now)


def keep_texts(db: sqlite3.Connection, texts: Iterable[tuple[int, str]]) -> None:
    db.executemany(
        "INSERT INTO document_texts VALUES (?, CAST(? AS TEXT))", ((task_id, exact(text)) for task_id, text in texts)
    )


def get(db: sqlite3.Connection, public_id: str, *, client_id: int | None) -> Task | None:
    """`client_id` None: whosever it is."""
    row = db.execute(
        f"{_READ} WHERE t.public_id = :public_id AND (:client_id IS NULL OR t.client_id = :client_id)",
        {"public_id": public_id, "client_id": client_id},
    ).fetchone()
    return _task(row) if row else None


def by_id(db: sqlite3.Connection, task_id: int) -> Task:
    return _task(db.execute(f"{_READ} WHERE t.id = ?", (task_id,)).fetchone())


def told(db: sqlite3.Connection, task_id: int) -> tuple[str | None, str, int | None, str, str, int | None]:
    """What a callback about it needs: its address, the task's public id, client, kind, state, batch."""
    row = db.execute("SELECT callback_url, public_id, client_id, kind, state, batch_id FROM document_tasks WHERE id = ?", (task_id,))
    return tuple(row.fetchone())


def text_of(db: sqlite3.Connection, task_id: int) -> str:
    return db.execute("SELECT text FROM document_texts WHERE task_id = ?", (task_id,)).fetchone()["text"]


def parts_of(db: sqlite3.Connection, task_id: int) -> list[str]:
    return [row["text"] for row in db.execute("SELECT text FROM document_parts WHERE task_id = ? ORDER BY number", (task_id,))]


# --- what is worked on -------------------------------------------------------------------------------------------------------


def open_count(db: sqlite3.Connection) -> int:
    """What is still to be worked on, pauses not counted."""
    return db.execute(f"SELECT count(*) AS n FROM document_tasks WHERE {OPEN}").fetchone()["n"]


def correct_times(db: sqlite3.Connection, now: float, furthest_seconds: float) -> int:
    """A due time further ahead than it can be was written before the clock was set back."""
    return db.execute(
        f"UPDATE document_tasks SET due_at = ?1 WHERE {OPEN} AND due_at > ?1 + ?2", (now, furthest_seconds)
    ).rowcount


_OURS = "WHERE id = :id AND claim_owner = :owner AND state = 'working'"


def is_ours(db: sqlite3.Connection, task_id: int, owner: str) -> bool:
    """Whether nobody has paused, cancelled or taken over what this owner works on."""
    row = db.execute(f"SELECT 1 FROM document_tasks {_OURS}", {"id": task_id, "owner": owner}).fetchone()
    return row is not None


def renew(db: sqlite3.Connection, task_id: int, owner: str, lease_ends_at: float) -> bool:
    given = {"id": task_id, "owner": owner, "at": lease_ends_at}
    return db.execute(f"UPDATE document_tasks SET due_at = :at {_OURS}", given).rowcount == 1


# --- what came of it: each True while the claim is still this owner's, else nothing is kept ----------------------------------


def give_back(db: sqlite3.Connection, task_id: int, owner: str, due_at: float, *, failed: bool = False) -> bool:
    """Not done, to be done from `due_at` on. `failed`: a call came to nothing, which is counted."""
    return (
        db.execute(
            f"""
            UPDATE document_tasks SET state = 'queued', claim_owner = NULL, due_at = :at, attempts = 0, failures = failures + :failed
            {_OURS}
            """,
            {"id": task_id, "owner": owner, "at": due_at, "failed": int(failed)},
        ).rowcount
        == 1
    )


def keep_part(db: sqlite3.Connection, task: Task, text: str, seconds: float, now: float) -> bool:
    """Inside a transaction: one part more of a long document."""
    kept = db.execute(
        f"""
        UPDATE document_tasks SET state = 'queued', claim_owner = NULL, due_at = :now, attempts = 0, failures = 0,
            parts_done = parts_done + 1, seconds = seconds + :seconds
        {_OURS}
        """,
        {"id": task.id, "owner": task.claim_owner, "now": now, "seconds": seconds},
    ).rowcount
    if kept:
        db.execute("INSERT INTO document_parts VALUES (?, ?, CAST(? AS TEXT))", (task.id, task.parts_done, exact(text)))
    return kept == 1


def keep_first_answer(db: sqlite3.Connection, task: Task, answer: str, why: str, seconds: float, now: float) -> bool:
    """It does not fit the schema; the model is asked once more."""
    return (
        db.execute(
            f"""
            UPDATE document_tasks SET state = 'queued', claim_owner = NULL, due_at = :now, attempts = 0,
                first_answer = CAST(:answer AS TEXT), error = :why, seconds = seconds + :seconds
            {_OURS}
            """,
            {"id": task.id, "owner": task.claim_owner, "now": now, "answer": exact(answer), "why": why, "seconds": seconds},
        ).rowcount
        == 1
    )


def finish(db: sqlite3.Connection, task: Task, result: Any, seconds: float, now: float, kept_until: float) -> bool:
    """`kept_until`: of a single task; an item is kept as long as its batch."""
    return _end(db, task, "done", now, kept_until, result=json.dumps(result), seconds=seconds)


def fail(
    db: sqlite3.Connection, task: Task, error: str, now: float, kept_until: float, *, second_answer: str | None = None, seconds: float = 0.0
) -> bool:
    return _end(db, task, "failed", now, kept_until, error=error, second_answer=second_answer, seconds=seconds)


def _end(db, task: Task, state: str, now: float, kept_until: float, *, result=None, error=None, second_answer=None, seconds=0.0) -> bool:
    return (
        db.execute(
            f"""
            UPDATE document_tasks SET state = :state, claim_owner = NULL, result = :result, error = :error,
                first_answer = CASE WHEN :state = 'failed' THEN first_answer END,
                second_answer = CAST(:second_answer AS TEXT), parts_done = parts_done + (:state = 'done'),
                seconds = seconds + :seconds, finished_at = :now,
                expires_at = CASE WHEN batch_id IS NULL THEN :kept_until END
            {_OURS}
            """,
            {
                "id": task.id, "owner": task.claim_owner, "state": state, "result": result, "error": error,
                "second_answer": exact(second_answer), "seconds": seconds, "now": now, "kept_until": kept_until,
            },
        ).rowcount
        == 1
    )  # fmt: skip


def usual_seconds(db: sqlite3.Connection, kind: str) -> float | None:
    """What the model lately took for one part of this kind of work."""
    row = db.execute(
        """
        SELECT sum(seconds) / sum(parts_total) AS seconds FROM (
            SELECT seconds, parts_total, state, kind FROM document_tasks ORDER BY id DESC LIMIT 200)
        WHERE state = 'done' AND kind = ?
        """,
        (kind,),
    ).fetchone()
    return row["seconds"]


# --- the end ----------------------------------------------------------------------------------------------------------------


def expire(db: sqlite3.Connection, now: float) -> int:
    """Single tasks past their time: what they held goes, that they were stays a while, to be told (410)."""
    ids = [
        row["id"]
        for row in db.execute(
            "SELECT id FROM document_tasks WHERE batch_id IS NULL AND expires_at <= ? AND state != 'expired'", (now,)
        )
    ]
    empty(db, ids)
    return len(ids)


def empty(db: sqlite3.Connection, task_ids: Sequence[int]) -> None:
    given = [(id_,) for id_ in task_ids]
    db.executemany("DELETE FROM document_texts WHERE task_id = ?", given)
    db.executemany("DELETE FROM document_files WHERE task_id = ?", given)
    db.executemany("DELETE FROM document_parts WHERE task_id = ?", given)
    db.executemany(
        """
        UPDATE document_tasks SET state = 'expired', claim_owner = NULL, result = NULL, error = NULL, first_answer = NULL,
            second_answer = NULL, name = ''
        WHERE id = ?
        """,
        given,
    )


def forget(db: sqlite3.Connection, before: float) -> int:
    return db.execute(
        "DELETE FROM document_tasks WHERE batch_id IS NULL AND state = 'expired' AND expires_at < ?", (before,)
    ).rowcount
