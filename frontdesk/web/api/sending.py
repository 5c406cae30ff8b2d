"""Sending by the API, and what became of it (tasks.py)."""

from frontdesk.flows import api_send, mends
from frontdesk.flows.api_send import Wanted
from frontdesk.flows.refusals import Refused
from frontdesk.store import listing
from frontdesk.web.api import models
from frontdesk.web.api.operation import Call, Operation, digits, sendable


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


def task_of(call: Call) -> models.Task | None:
    """None where this is no message's id, or not this token's to see."""
    if "send" not in call.token.scopes:
        return None
    row = listing.message(call.context.db, call.path["task_id"], client_id=call.token.client_id)
    return _as_task(row) if row else None


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
]  # fmt: skip
