"""A program's message to a customer: checked, kept with its idempotency key, queued. It does not pause the bot."""

import hashlib
import json
import sqlite3
from dataclasses import dataclass

from frontdesk.channels import Person
from frontdesk.flows import addressee, outgoing, writing
from frontdesk.flows.addressee import CannotAddress
from frontdesk.flows.contents import Sendable
from frontdesk.flows.context import Context
from frontdesk.flows.outgoing import CannotSend
from frontdesk.flows.refusals import Refused, known_answer
from frontdesk.store import api_tokens, contacts, conversations, numbers, outbox
from frontdesk.store.api_tokens import ApiToken
from frontdesk.store.conversations import Conversation
from frontdesk.store.database import transaction


@dataclass(frozen=True, slots=True)
class Wanted:
    """Either a conversation's id or a phone number (digits) says to whom. `field`: where in the request the message stands."""

    message: Sendable
    field: str
    conversation_id: int | None = None
    phone: str | None = None
    number_id: int | None = None
    reply_to_external_id: str | None = None


def send(context: Context, token: ApiToken, wanted: Wanted, key: str | None) -> str:
    """The task's id. The same `key` with the same request gives the same id and queues nothing. Raises Refused."""
    asked = hashlib.sha256(repr(wanted).encode("utf-8", "surrogatepass")).hexdigest()
    with transaction(context.db) as db:
        if key and (known := known_answer(db, token, key, asked)):
            return json.loads(known)
        conversation = _conversation(context, db, token, wanted)
        try:
            ready = writing.outgoing(context, db, conversation.number_id, wanted.message, wanted.reply_to_external_id)
            message_id = outgoing.queue(context, db, conversation, ready, purpose="api")
        except CannotSend as error:
            raise Refused.because(error, _field(wanted, error)) from None
        task_id = outbox.public_id(db, message_id)
        if key:
            api_tokens.remember(db, token.id, key, asked, 202, json.dumps(task_id), context.now())
    with context.ringing():
        context.queues.send([conversation.id])
    return task_id


def _field(wanted: Wanted, error: CannotSend) -> str | None:
    """Where in the request it is wrong: in the message, or whom it goes to."""
    if error.code in ("window_closed", "opted_out"):
        return "phone_number" if wanted.conversation_id is None else "conversation_id"
    return error.field if error.field == "reply_to" else ".".join(filter(None, (wanted.field, error.field)))


def _conversation(context: Context, db: sqlite3.Connection, token: ApiToken, wanted: Wanted) -> Conversation:
    """With somebody who has never written it begins here, and only a template can open it."""
    try:
        number_id, conversation = addressee.find(
            db, conversation_id=wanted.conversation_id, phone=wanted.phone, number_id=wanted.number_id, client_id=token.client_id
        )
    except CannotAddress as error:
        raise Refused.because(error, error.field) from None
    if conversation is not None:
        return conversation
    if wanted.message.kind != "template":
        error = outgoing.window_closed(context, db, number_id, words="This person has not written yet.")
        raise Refused.because(error, "phone_number")
    contact_id = contacts.resolve(db, numbers.get(db, number_id).client_id, Person(phone=wanted.phone), context.now())
    return conversations.get(db, conversations.of(db, number_id, contact_id, context.now()))
