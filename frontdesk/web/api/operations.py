"""Every operation of the API: its route, its scope, its models, and what it does."""

import threading
import time
from collections.abc import Callable

from frontdesk.flows import api_send, mends
from frontdesk.flows.api_send import Refused, Wanted
from frontdesk.store import documents, listing
from frontdesk.web.api import document_operations, models
from frontdesk.web.api.document_models import AnyTask, DocumentTask
from frontdesk.web.api.operation import Call, Operation

# Of a process' threads so many may be held by those who wait for a task.
MOST_WAITING = 2
LOOK_EVERY_SECONDS = 0.25
FINISHED = ("delivered", "read", "failed", "withdrawn")


def _send_message(call: Call) -> models.Queued:
    given = call.given
    if (given.conversation_id is None) == (given.phone_number is None):
        raise Refused(422, "invalid", "Give either conversation_id or phone_number.", "phone_number")
    phone = "".join(filter(str.isdigit, given.phone_number)) if given.phone_number else None
    return _queued(call, Wanted(given.message, given.conversation_id, phone, given.number_id, given.reply_to))


def _send_in_conversation(call: Call) -> models.Queued:
    return _queued(call, Wanted(call.given.content, call.path["conversation_id"], reply_to_external_id=call.given.reply_to))


def _queued(call: Call, wanted: Wanted) -> models.Queued:
    task_id = api_send.send(call.context, call.token, wanted, call.key)
    return models.Queued(task_id=task_id, check_status=f"/api/v1/tasks/{task_id}")


_waiting = threading.BoundedSemaphore(MOST_WAITING)


def _task(call: Call) -> AnyTask:
    task = _look(call)
    if not call.given.wait or _is_finished(task) or not _waiting.acquire(blocking=False):
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
    """A message's or a document's; of the kind that the token's scope is for."""
    row = None
    if "send" in call.token.scopes:
        row = listing.message(call.context.db, call.path["task_id"], client_id=call.token.client_id)
    if row is not None:
        return _as_task(row)
    document = document_operations.task_of(call)
    if document is None:
        raise Refused(404, "not_found", "There is no such task.")
    return document_operations.as_task(document)


def _is_finished(task: models.Task | DocumentTask) -> bool:
    return task.status not in documents.UNFINISHED if isinstance(task, DocumentTask) else task.status in FINISHED


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


def _conversations(call: Call) -> models.Conversations:
    rows, following = _page(call, listing.conversations, client_id=call.token.client_id)
    return models.Conversations(items=[_as_conversation(row) for row in rows], next_cursor=following)


def _conversation(call: Call) -> models.Conversation:
    return _as_conversation(_known(call))


def _known(call: Call) -> dict:
    row = listing.conversation(call.context.db, call.path["conversation_id"], client_id=call.token.client_id)
    if row is None:
        raise Refused(404, "not_found", "There is no such conversation.")
    return row


def _as_conversation(row: dict) -> models.Conversation:
    return models.Conversation(needs_person=row["needs_person_reason"], **row)


def _messages(call: Call) -> models.Messages:
    _known(call)

    def of_conversation(db, *, after: int, limit: int) -> list[dict]:
        return listing.messages(db, call.path["conversation_id"], after=after, limit=limit)

    rows, following = _page(call, of_conversation)
    return models.Messages(items=[_as_message(row) for row in rows], next_cursor=following)


_WRITERS = {"answer": "bot", "holding": "bot", "person": "person", "api": "api", "phone_app": "phone_app"}


def _as_message(row: dict) -> models.Message:
    return models.Message(
        id=row["id"],
        task_id=row["public_id"],
        direction=row["direction"],
        kind=row["kind"],
        text=row["text"].encode("utf-8", "replace").decode(),
        status=row["state"],
        written_by="customer" if row["direction"] == "in" else _WRITERS.get(row["purpose"], "other"),
        created_at=row["created_at"],
    )


def _contacts(call: Call) -> models.Contacts:
    rows, following = _page(call, listing.contacts, client_id=call.token.client_id)
    items = [models.Contact(marketing_stopped=row["marketing_stopped_at"] is not None, **_sound(row)) for row in rows]
    return models.Contacts(items=items, next_cursor=following)


def _sound(row: dict) -> dict:
    """Names may hold what UTF-8 cannot."""
    return {name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value for name, value in row.items()}


def _numbers(call: Call) -> models.Numbers:
    rows, following = _page(call, listing.numbers, client_id=call.token.client_id)
    return models.Numbers(items=[models.Number(**row) for row in rows], next_cursor=following)


def _page(call: Call, read: Callable[..., list[dict]], **which) -> tuple[list[dict], int | None]:
    """One row more than asked for says whether a page follows."""
    rows = read(call.context.db, after=call.given.cursor, limit=call.given.limit + 1, **which)
    following = rows[call.given.limit - 1]["id"] if len(rows) > call.given.limit else None
    return rows[: call.given.limit], following


OPERATIONS = [
    Operation(
        "sendMessage", "POST", "/send-message", "send", "Send a text to a customer", models.SendMessage, models.Queued, 202,
        _send_message, (404, 409),
    ),
    Operation(
        "sendInConversation", "POST", "/conversations/<int:conversation_id>/messages", "send", "Send a text in a conversation",
        models.ConversationMessage, models.Queued, 202, _send_in_conversation, (404, 409),
    ),
    Operation(
        "getTask", "GET", "/tasks/<task_id>", "send or documents", "What became of a message or a document", models.Wait, AnyTask,
        200, _task, (404, 410),
    ),
    Operation(
        "listConversations", "GET", "/conversations", "read", "Conversations, oldest first", models.Page, models.Conversations, 200,
        _conversations,
    ),
    Operation(
        "getConversation", "GET", "/conversations/<int:conversation_id>", "read", "One conversation", None, models.Conversation, 200,
        _conversation, (404,),
    ),
    Operation(
        "listMessages", "GET", "/conversations/<int:conversation_id>/messages", "read", "A conversation's messages, oldest first",
        models.Page, models.Messages, 200, _messages, (404,),
    ),
    Operation("listContacts", "GET", "/contacts", "read", "Contacts, oldest first", models.Page, models.Contacts, 200, _contacts),
    Operation("listNumbers", "GET", "/numbers", "read", "Your numbers", models.Page, models.Numbers, 200, _numbers),
    *document_operations.OPERATIONS,
]  # fmt: skip
