"""When a document's task or a batch is over: whoever asked to be told gets a callback, written in the transaction that ended it.

What is told holds nothing of the document: results go when they expire, deliveries are kept for a month.
"""

import sqlite3
from collections.abc import Callable
from typing import Any

from frontdesk.flows.context import Context
from frontdesk.store import callbacks, document_batches, documents
from frontdesk.store.database import transaction


def over(context: Context, db: sqlite3.Connection, task_id: int) -> int | None:
    """Inside the transaction in which the task ended. The callback to ring for; the sweep finds one that was not rung for."""
    url, public_id, client_id, kind, state, batch_id = documents.told(db, task_id)
    if batch_id is not None:
        return batch_over(context, db, batch_id)
    if not url:
        return None
    return callbacks.add(db, client_id, url, f"document.{state}", _of_task(public_id, kind, state), context.now())


def _of_task(public_id: str, kind: str, state: str) -> dict[str, Any]:
    return {"task_id": public_id, "kind": kind, "status": state, "result": f"/api/v1/tasks/{public_id}/result"}


def batch_over(context: Context, db: sqlite3.Connection, batch_id: int) -> int | None:
    """Inside the transaction in which an item ended, or all that was left of them was given up."""
    found = document_batches.told(db, batch_id)
    if found is None:
        return None
    url, batch = found
    counts = document_batches.counts(db, batch_id)
    state = "cancelled" if counts["cancelled"] else "done"
    told = {"batch_id": batch.public_id, "kind": batch.kind, "status": state, "counts": dict(counts)}
    told["results"] = f"/api/v1/batches/{batch.public_id}/results"
    return callbacks.add(db, batch.client_id, url, f"batch.{state}", told, context.now())


def ring(context: Context, callback_id: int | None) -> None:
    if callback_id is not None:
        with context.ringing():
            context.queues.call_back(callback_id)


def ending(context: Context, task_id: int, end: Callable[[sqlite3.Connection], bool]) -> bool:
    """What `end` does (False: it was no longer its to end) and what is told of it, in one transaction; then the bell."""
    with transaction(context.db) as db:
        ended = end(db)
        callback_id = over(context, db, task_id) if ended else None
    ring(context, callback_id)
    return ended
