"""Conversations, their messages, and numbers, in pages."""

from frontdesk.store import listing
from frontdesk.web.api import models
from frontdesk.web.api.operation import Call, Operation, known_conversation, page, sound


def _conversations(call: Call) -> models.Conversations:
    rows, following = page(call, listing.conversations, client_id=call.token.client_id)
    return models.Conversations(items=[_as_conversation(row) for row in rows], next_cursor=following)


def _conversation(call: Call) -> models.Conversation:
    return _as_conversation(known_conversation(call))


def _as_conversation(row: dict) -> models.Conversation:
    return models.Conversation(needs_person=row["needs_person_reason"], **row)


def _messages(call: Call) -> models.Messages:
    known_conversation(call)

    def of_conversation(db, *, after: int, limit: int) -> list[dict]:
        return listing.messages(db, call.path["conversation_id"], after=after, limit=limit)

    rows, following = page(call, of_conversation)
    return models.Messages(items=[_as_message(row) for row in rows], next_cursor=following)


_WRITERS = {"answer": "bot", "holding": "bot", "person": "person", "api": "api", "phone_app": "phone_app", "schedule": "schedule", "broadcast": "broadcast"}


def _as_message(row: dict) -> models.Message:
    return models.Message(
        id=row["id"],
        task_id=row["public_id"],
        direction=row["direction"],
        kind=row["kind"],
        text=sound(row["text"]),
        status=row["state"],
        written_by="customer" if row["direction"] == "in" else _WRITERS.get(row["purpose"], "other"),
        created_at=row["created_at"],
    )


def _numbers(call: Call) -> models.Numbers:
    rows, following = page(call, listing.numbers, client_id=call.token.client_id)
    return models.Numbers(items=[models.Number(**row) for row in rows], next_cursor=following)


OPERATIONS = [
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
    Operation("listNumbers", "GET", "/numbers", "read", "Your numbers", models.Page, models.Numbers, 200, _numbers),
]  # fmt: skip
