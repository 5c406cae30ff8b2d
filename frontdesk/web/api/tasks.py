"""What became of a task, a message's or a document's; also for those who wait for it."""

import threading
import time

from frontdesk.flows.refusals import Refused
from frontdesk.web.api import documents, models, sending
from frontdesk.web.api.document_models import AnyTask, DocumentTask
from frontdesk.web.api.operation import Call, Operation

# Of a process' threads so many may be held by those who wait for a task.
MOST_WAITING = 2
LOOK_EVERY_SECONDS = 0.25
FINISHED = ("delivered", "read", "failed", "withdrawn", "done", "cancelled")

_waiting = threading.BoundedSemaphore(MOST_WAITING)


def _task(call: Call) -> AnyTask:
    task = _look(call)
    if not call.given.wait or task.status in FINISHED or not _waiting.acquire(blocking=False):
        return AnyTask(task)
    try:
        ends_at, before = time.monotonic() + call.given.wait, task.status
        while task.status == before and time.monotonic() < ends_at:
            time.sleep(LOOK_EVERY_SECONDS)
            task = _look(call)
    finally:
        _waiting.release()
    return AnyTask(task)


def _look(call: Call) -> models.Task | DocumentTask:
    """Of the kind that the token's scope is for."""
    task = sending.task_of(call) or documents.task_of(call)
    if task is None:
        raise Refused(404, "not_found", "There is no such task.")
    return task


OPERATIONS = [
    Operation(
        "getTask", "GET", "/tasks/<task_id>", "send or documents", "What became of a message or a document", models.Wait, AnyTask, 200,
        _task, (404, 410),
    ),
]  # fmt: skip
