"""Sending by the API, and what became of it."""

import threading
import time

from frontdesk.flows import api_send, mends
from frontdesk.flows.api_send import Refused, Wanted
from frontdesk.store import listing
from frontdesk.web.api import models
from frontdesk.web.api.operation import Call, Operation, digits, sendable

# Of a process' threads so many may be held by those who wait for a task.
MOST_WAITING = 2
LOOK_EVERY_SECONDS = 0.25
FINISHED = ("delivered", "read", "failed", "withdrawn")


def _send_message(call: Call) -> models.Queued:
    given = call.given
    if (given.conversation_id is None) == (given.phone_number is None):
        raise Refused(422, "invalid", "Give either conversation_id or phone_number.", "phone_number")
    message, phone = sendable(given.message), digits(given.phone_number)
    return _queued(call, Wanted(message, "message", given.conversation_id, phone, given.number_id, given.reply_to))


def _send_in_conversation(call: Call) -> models.Queued:
    given, message = call.given, sendable(call.given.content)
    if given.message_type not in (None, message.type):
        raise Refused(422, "invalid", f"The content is of type {message.type}.", "message_type")
    return _queued(call, Wanted(message, "content", call.path["conversation_id"], reply_to_external_id=given.reply_to))


def _queued(call: Call, wanted: Wanted) -> models.Queued:
    task_id = api_send.send(call.context, call.token, wanted, call.key)
    return models.Queued(task_id=task_id, check_status=f"/api/v1/tasks/{task_id}")


_waiting = threading.BoundedSemaphore(MOST_WAITING)


def _task(call: Call) -> models.Task:
    row = _task_row(call)
    if not call.given.wait or row["state"] in FINISHED or not _waiting.acquire(blocking=False):
        return _as_task(row)
    try:
        ends_at, before = time.monotonic() + call.given.wait, row["state"]
        while row["state"] == before and time.monotonic() < ends_at:
            time.sleep(LOOK_EVERY_SECONDS)
            row = _task_row(call)
    finally:
        _waiting.release()
    return _as_task(row)


def _task_row(call: Call) -> dict:
    row = listing.message(call.context.db, call.path["task_id"], client_id=call.token.client_id)
    if row is None:
        raise Refused(404, "not_found", "There is no such task.")
    return row


# What the row knows more exactly than a program needs.
_STATUS = {"unknown": "sending", "played": "read"}


def _as_task(row: dict) -> models.Task:
    failure = None
    if row["state"] == "failed":
        cause = mends.cause_of(row["error_code"])
        failure = models.Failure(
            cause=cause.name, code=row["error_code"], title=row["error_title"], details=row["error_details"], mend=cause.mend
        )
    return models.Task(
        task_id=row["public_id"],
        status=_STATUS.get(row["state"], row["state"]),
        conversation_id=row["conversation_id"],
        attempts=row["attempt"],
        created_at=row["created_at"],
        sent_at=row["sent_at"],
        delivered_at=row["delivered_at"],
        read_at=row["read_at"],
        failure=failure,
    )


OPERATIONS = [
    Operation(
        "sendMessage", "POST", "/send-message", "send", "Send a message to a customer", models.SendMessage, models.Queued, 202,
        _send_message, (404, 409), takes_key=True,
    ),
    Operation(
        "sendInConversation", "POST", "/conversations/<int:conversation_id>/messages", "send", "Send a message in a conversation",
        models.ConversationMessage, models.Queued, 202, _send_in_conversation, (404, 409), takes_key=True,
    ),
    Operation(
        "getTask", "GET", "/tasks/<task_id>", "send", "What became of a message", models.Wait, models.Task, 200, _task, (404,)
    ),
]  # fmt: skip
