"""Every operation of the API: its route, its scope, its models, and what it does."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from frontdesk.flows import api_send, mends
from frontdesk.flows.api_send import Refused, Wanted
from frontdesk.flows.contents import Sendable, TextMessage
from frontdesk.flows.context import Context
from frontdesk.store import listing
from frontdesk.store.api_tokens import ApiToken
from frontdesk.web.api import models

# Of a process' threads so many may be held by those who wait for a task.
MOST_WAITING = 2
LOOK_EVERY_SECONDS = 0.25
FINISHED = ("delivered", "read", "failed", "withdrawn")


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `path` holds the ids in it, `given` is the checked body or query, `key` the Idempotency-Key."""

    context: Context
    token: ApiToken
    path: dict[str, Any]
    given: BaseModel | None
    key: str | None


@dataclass(frozen=True, slots=True)
class Operation:
    """`given` is the body's model for a POST, the query's for a GET. `refusals`: status codes beside those that all share."""

    name: str
    method: str
    path: str
    scope: str
    summary: str
    given: type[BaseModel] | None
    answers: type[BaseModel]
    status: int
    does: Callable[[Call], BaseModel]
    refusals: tuple[int, ...] = ()


def _send_message(call: Call) -> models.Queued:
    given = call.given
    if (given.conversation_id is None) == (given.phone_number is None):
        raise Refused(422, "invalid", "Give either conversation_id or phone_number.", "phone_number")
    phone = "".join(filter(str.isdigit, given.phone_number)) if given.phone_number else None
    return _queued(call, Wanted(_sendable(given.message), "message", given.conversation_id, phone, given.number_id, given.reply_to))


def _send_in_conversation(call: Call) -> models.Queued:
    given, message = call.given, _sendable(call.given.content)
    if given.message_type not in (None, message.type):
        raise Refused(422, "invalid", f"The content is of type {message.type}.", "message_type")
    return _queued(call, Wanted(message, "content", call.path["conversation_id"], reply_to_external_id=given.reply_to))


def _sendable(message: str | Sendable) -> Sendable:
    return TextMessage(text=message) if isinstance(message, str) else message


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
        "sendMessage", "POST", "/send-message", "send", "Send a message to a customer", models.SendMessage, models.Queued, 202,
        _send_message, (404, 409),
    ),
    Operation(
        "sendInConversation", "POST", "/conversations/<int:conversation_id>/messages", "send", "Send a message in a conversation",
        models.ConversationMessage, models.Queued, 202, _send_in_conversation, (404, 409),
    ),
    Operation(
        "getTask", "GET", "/tasks/<task_id>", "send", "What became of a message", models.Wait, models.Task, 200, _task, (404,)
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
]  # fmt: skip
