"""People and the bot in one conversation: who answers now, and how it passes from one to the other.

A person's answer is one transaction with everything it means: the bot is paused, what waited is answered, the claim of whoever is
writing the bot's answer is broken (so that it cannot be kept), and what the bot had queued and nobody has begun to send is withdrawn.
"""

import sqlite3
from collections.abc import Callable, Sequence

from frontdesk.channels import Content
from frontdesk.flows import live_answer, outgoing, questions, waits
from frontdesk.flows.context import Context
from frontdesk.flows.outgoing import CannotSend, Outgoing
from frontdesk.flows.watch import ring_for
from frontdesk.store import clients, conversations, drafts, messages, notes, numbers, outbox, withdrawals
from frontdesk.store.clients import Client
from frontdesk.store.conversations import Conversation
from frontdesk.store.database import transaction

# WhatsApp's limit for the body of a text.
LONGEST_TEXT = 4096
LONGEST_NOTE = 4000

ASKED = "asked"


# What a person wants to send, made once the conversation is known. Inside the transaction; raises CannotSend.
Prepare = Callable[[sqlite3.Connection, Conversation], Outgoing]


class SomebodyAnswered(CannotSend):
    """Somebody else of the business wrote here since the page was looked at."""

    def __init__(self):
        super().__init__("somebody_answered", "Somebody else has answered here meanwhile. Read it, then send again if it still fits.")


def answer_by_person(
    context: Context,
    conversation_id: int,
    user_id: int,
    text: str,
    *,
    reply_to_external_id: str | None = None,
    seen_message_id: int | None = None,
    anyway: bool = False,
) -> int:
    """Queue what an agent wrote, and take the conversation over. As `send_by_person`."""
    text = text.strip()
    if not text:
        raise CannotSend("empty", "Write something first.")
    if len(text) > LONGEST_TEXT:
        raise CannotSend("too_long", f"That is {len(text):,} characters; WhatsApp takes {LONGEST_TEXT:,} at most.")
    content = Content("text", text)
    return send_by_person(
        context,
        conversation_id,
        user_id,
        lambda db, conversation: Outgoing(content, reply_to_external_id=reply_to_external_id),
        seen_message_id=seen_message_id,
        anyway=anyway,
    )


def send_by_person(
    context: Context, conversation_id: int, user_id: int, prepare: Prepare, *, seen_message_id: int | None = None, anyway: bool = False
) -> int:
    """Queue an agent's message of any kind, and take the conversation over. Returns the message's id. Raises CannotSend.

    `seen_message_id`: the newest message on the agent's screen. What a colleague wrote after it stops the answer once, unless
    `anyway`; what the customer wrote after it still waits.
    """
    with transaction(context.db) as db:
        conversation = _known(db, conversation_id)
        if seen_message_id is not None and not anyway and messages.of_other_people_since(db, conversation_id, seen_message_id, user_id):
            raise SomebodyAnswered
        client = _client(context, db, conversation)
        if questions.first_answer_of_person(db, conversation.state, conversation_id, conversation.taken_at):
            questions.person_stepped_in(db, client, conversation_id, context.now())
        message_id = outgoing.queue(context, db, conversation, prepare(db, conversation), purpose="person", user_id=user_id)
        take_from_bot(context, db, conversation_id, client, user_id)
        messages.answered_by_person(db, conversation_id, seen_message_id=seen_message_id)
        _person_came(db, conversation_id)
    with context.ringing():
        context.queues.send([conversation_id])
    return message_id


def react(context: Context, conversation_id: int, user_id: int, prepare: Prepare) -> int:
    """An emoji on a customer's message answers nothing: the bot goes on. Raises CannotSend."""
    with transaction(context.db) as db:
        conversation = _known(db, conversation_id)
        message_id = outgoing.queue(context, db, conversation, prepare(db, conversation), purpose="person", user_id=user_id)
    with context.ringing():
        context.queues.send([conversation_id])
    return message_id


def _known(db: sqlite3.Connection, conversation_id: int) -> Conversation:
    conversation = conversations.get(db, conversation_id)
    if conversation is None:
        raise CannotSend("unknown", "This conversation is not here.")
    return conversation


def _client(context: Context, db: sqlite3.Connection, conversation: Conversation) -> Client:
    return clients.get(db, numbers.get(db, conversation.number_id).client_id, context.settings)


def _person_came(db: sqlite3.Connection, conversation_id: int) -> None:
    conversations.settle(db, conversation_id)
    conversations.person_is_there(db, conversation_id)


def take_from_bot(
    context: Context, db: sqlite3.Connection, conversation_id: int, client: Client, user_id: int | None, at: float | None = None
) -> None:
    """The bot is silent from `at` (None: now) for the client's hours; what it owes stays owed, and what its withdrawn
    answers answered is owed again. Inside a transaction.
    """
    now = context.now()
    resumes_at = (now if at is None else at) + client.pause_hours * 3600
    conversations.take_over(db, conversation_id, user_id, now, resumes_at)
    if messages.owe_again(db, conversation_id, withdrawals.withdraw_answers(db, conversation_id)):
        conversations.settle(db, conversation_id)
    drafts.remove(db, conversation_id)


def take_over(context: Context, conversation_id: int, user_id: int) -> None:
    """Before writing: the bot keeps still, the customer still waits."""
    with transaction(context.db) as db:
        conversation = conversations.get(db, conversation_id)
        take_from_bot(context, db, conversation_id, _client(context, db, conversation), user_id)
    live_answer.changed(context, conversation_id)


def answered_on_phone(context: Context, db: sqlite3.Connection, conversation_id: int, at: float) -> None:
    """The business answered from its phone app at `at`, which may be long ago: webhooks come late. Inside the drain's
    transaction.
    """
    conversation = conversations.get(db, conversation_id)
    client = _client(context, db, conversation)
    if conversation.state == "bot":
        questions.person_stepped_in(db, client, conversation_id, at)
    if at + client.pause_hours * 3600 > context.now():
        take_from_bot(context, db, conversation_id, client, None, at)
    messages.answered_by_person(db, conversation_id, until=at)
    _person_came(db, conversation_id)


def ask_for_person(
    context: Context, db: sqlite3.Connection, conversation_id: int, client: Client, *, first: Sequence[str] = ()
) -> list[int]:
    """A person is wanted: the bot keeps still, and the customer hears when one will come. Inside a transaction.

    `first`: words that go out before that. Returns the messages that were queued. Asked again while a person has the conversation,
    nothing more is said.
    """
    conversation = conversations.get(db, conversation_id)
    conversations.need_person(db, conversation_id, ASKED, context.now())
    if conversation.state == "human":
        return []
    questions.person_stepped_in(db, client, conversation_id, context.now())
    take_from_bot(context, db, conversation_id, client, None)
    text = waits.person_text(context, client, numbers.get(db, conversation.number_id))
    if (conversation.window_closes_at or 0) <= context.now():
        return []
    return [
        outbox.queue_text(db, conversation_id, conversation.number_id, each, purpose="holding", now=context.now()) for each in (*first, text) if each
    ]


def hand_back(context: Context, conversation_id: int, *, only_if_left: bool = False) -> bool:
    """The bot answers again, at once where something waits. False where no person had it.

    `only_if_left`: nobody came for the client's hours. If a person is still needed, the desk still says so.
    """
    with transaction(context.db) as db:
        if not conversations.hand_back(db, conversation_id, context.now(), only_if_left=only_if_left):
            return False
        if not only_if_left:
            conversations.person_is_there(db, conversation_id)
        waits_for_bot = conversations.get(db, conversation_id).waiting_since is not None
    live_answer.changed(context, conversation_id)
    if waits_for_bot:
        with context.ringing():
            context.queues.reply()
    return True


def hand_back_what_was_left(context: Context) -> int:
    """From the sweep: conversations that nobody of the desk wrote in for as long as their client lets them."""
    left = conversations.to_hand_back(context.db, context.now())
    return sum(hand_back(context, conversation_id, only_if_left=True) for conversation_id in left)


def close(context: Context, conversation_id: int, *, seen_message_id: int | None = None) -> None:
    """Nothing is owed any more; when the customer writes again it opens by itself, with the bot: also with what came after `seen_message_id`."""
    with transaction(context.db) as db:
        messages.answered_by_person(db, conversation_id, seen_message_id=seen_message_id)
        withdrawals.withdraw_answers(db, conversation_id)
        drafts.remove(db, conversation_id)
        conversations.settle(db, conversation_id)
        conversations.close(db, conversation_id)
    live_answer.changed(context, conversation_id)
    with context.ringing():
        ring_for(context, conversation_id)


def add_note(context: Context, conversation_id: int, user_id: int, text: str) -> int:
    text = text.strip()
    if not text:
        raise CannotSend("empty", "Write something first.")
    if len(text) > LONGEST_NOTE:
        raise CannotSend("too_long", f"That is {len(text):,} characters; a note has {LONGEST_NOTE:,} at most.")
    with transaction(context.db) as db:
        return notes.add(db, conversation_id, user_id, text, context.now())
