"""A program's message to a customer: checked, kept with its idempotency key, queued. It does not pause the bot."""

import hashlib
import json
from dataclasses import dataclass

from frontdesk.errors import FrontdeskError
from frontdesk.flows.context import Context
from frontdesk.store import api_tokens, conversations, listing, outbox
from frontdesk.store.api_tokens import ApiToken
from frontdesk.store.database import transaction

KEY_KEPT_SECONDS = 24 * 3600


class Refused(FrontdeskError):
    """`status` is HTTP's. Nothing was queued."""

    def __init__(self, status: int, code: str, words: str, field: str | None = None):
        self.status, self.code, self.field = status, code, field
        super().__init__(words)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Either a conversation's id or a phone number (digits) says to whom."""

    text: str
    conversation_id: int | None = None
    phone: str | None = None
    number_id: int | None = None
    reply_to_external_id: str | None = None


def send(context: Context, token: ApiToken, wanted: Wanted, key: str | None) -> str:
    """The task's id. The same `key` with the same request gives the same id and queues nothing. Raises Refused."""
    asked = hashlib.sha256(repr(wanted).encode("utf-8", "surrogatepass")).hexdigest()
    with transaction(context.db) as db:
        if key and (known := api_tokens.answered(db, token.id, key)):
            if known[0] != asked:
                raise Refused(409, "idempotency_conflict", "This Idempotency-Key was used for another request.")
            return json.loads(known[2])
        conversation = _conversation(context, db, token, wanted)
        message_id = outbox.queue_text(
            db,
            conversation.id,
            conversation.number_id,
            wanted.text,
            purpose="api",
            now=context.now(),
            reply_to_external_id=wanted.reply_to_external_id,
        )
        task_id = outbox.public_id(db, message_id)
        if key:
            api_tokens.remember(db, token.id, key, asked, 202, json.dumps(task_id), context.now())
    with context.ringing():
        context.queues.send([conversation.id])
    return task_id


def _conversation(context: Context, db, token: ApiToken, wanted: Wanted) -> conversations.Conversation:
    id_, field = wanted.conversation_id, "conversation_id"
    if id_ is None:
        field = "phone_number"
        id_ = listing.conversation_with(db, wanted.phone, number_id=wanted.number_id, client_id=token.client_id)
        if id_ is None:
            raise Refused(422, "window_closed", "This person has not written yet: only a template could go out.", field)
    elif listing.conversation(db, id_, client_id=token.client_id) is None:
        raise Refused(404, "not_found", "There is no such conversation.", field)
    conversation = conversations.get(db, id_)
    if (conversation.window_closes_at or 0) <= context.now():
        raise Refused(422, "window_closed", "The customer last wrote over 24 hours ago: only a template may go out.", field)
    return conversation
