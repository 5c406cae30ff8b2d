"""A program's message to a customer: checked, kept with its idempotency key, queued. It does not pause the bot."""

import hashlib
import json
import sqlite3
from dataclasses import dataclass

from frontdesk.channels import Person
from frontdesk.flows import outgoing, writing
from frontdesk.flows.contents import Sendable
from frontdesk.flows.context import Context
from frontdesk.flows.outgoing import CannotSend
from frontdesk.flows.refusals import Refused, known_answer
from frontdesk.store import api_tokens, contacts, conversations, listing, numbers, outbox
from frontdesk.store.api_tokens import ApiToken
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


def _conversation(context: Context, db: sqlite3.Connection, token: ApiToken, wanted: Wanted) -> conversations.Conversation:
    if wanted.conversation_id is not None:
        if listing.conversation(db, wanted.conversation_id, client_id=token.client_id) is None:
            raise Refused(404, "not_found", "There is no such conversation.", "conversation_id")
        return conversations.get(db, wanted.conversation_id)
    known = listing.conversation_with(db, wanted.phone, number_id=wanted.number_id, client_id=token.client_id)
    return conversations.get(db, known if known is not None else _begun(context, db, token, wanted))


def _begun(context: Context, db: sqlite3.Connection, token: ApiToken, wanted: Wanted) -> int:
    """A conversation with somebody who has never written: only a template can open it."""
    number_id = _number(db, token, wanted)
    if wanted.message.kind != "template":
        error = outgoing.window_closed(db, number_id, words="This person has not written yet.")
        raise Refused.because(error, "phone_number")
    contact_id = contacts.resolve(db, numbers.get(db, number_id).client_id, Person(phone=wanted.phone), context.now())
    return conversations.of(db, number_id, contact_id, context.now())


def _number(db: sqlite3.Connection, token: ApiToken, wanted: Wanted) -> int:
    if wanted.number_id is not None:
        if not listing.number_is_of(db, wanted.number_id, client_id=token.client_id):
            raise Refused(404, "not_found", "There is no such number.", "number_id")
        return wanted.number_id
    found = listing.numbers(db, client_id=token.client_id, after=0, limit=2, by_phone=True)
    if not found:
        raise Refused(404, "not_found", "This token's client has no number.", "number_id")
    if len(found) != 1:
        raise Refused(422, "invalid", "Say which of your numbers it goes out from.", "number_id")
    return found[0]["id"]
