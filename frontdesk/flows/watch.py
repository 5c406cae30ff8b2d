"""The work on one answer, and who looks around while the model writes it: the claim, 'typing…', and whether it is still wanted."""

import logging
import threading
from dataclasses import dataclass, field

from frontdesk.errors import SendError
from frontdesk.flows import live_answer
from frontdesk.flows.context import Context
from frontdesk.ollama import ModelOptions
from frontdesk.store import conversations, messages, numbers
from frontdesk.store.clients import Client
from frontdesk.store.conversations import Conversation
from frontdesk.store.messages import Waiting
from frontdesk.store.secrets import CannotDecrypt
from frontdesk.store.seen import Shown
from frontdesk.store.tool_calls import Used

log = logging.getLogger(__name__)

# WhatsApp's 'typing…' fades after 25 s.
TYPING_EVERY_SECONDS = 20
TYPING_LAG_SECONDS = 2


class Cancelled(Exception):
    """The answer being written is no longer wanted from us."""


class NewerMessage(Cancelled):
    """The customer wrote more, or changed their words: begin anew with that (once)."""


class HandedBack(Cancelled):
    """This process was asked to stop."""


@dataclass
class Work:
    """One claimed conversation and what its answer needs."""

    context: Context
    owner: str
    conversation: Conversation
    client: Client
    waiting: list[Waiting]
    options: ModelOptions
    shown: list[Shown] = field(default_factory=list)  # the documents' passages that the model saw
    gap: str | None = None  # why the documents did not answer, where they did not
    used: Used = Used()  # tools that were called, and what they want done with the answer

    @property
    def id(self) -> int:
        return self.conversation.id


class Watch:
    """Looks around while the model writes: renews the claim, shows 'typing…', and cancels what is no longer wanted."""

    def __init__(self, work: Work):
        self.work = work
        self.asked_about = {message.id: message.text for message in work.waiting}
        self.renewed_at = work.context.now()
        self.typing: threading.Thread | None = None
        self.typing_at = float("-inf")
        self.live = live_answer.of(work.context, work.conversation, work.client)

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, kind, *_) -> None:
        """An answer must not overtake its own 'typing…', which would then stay for 25 s."""
        if self.live:
            self.live.take_back() if kind else self.live.end()
        if self.typing:
            self.typing.join(TYPING_LAG_SECONDS)

    def look(self) -> None:
        work, context = self.work, self.work.context
        if context.stopping.is_set():
            raise HandedBack
        now = context.now()
        if abs(now - self.renewed_at) >= context.settings.lease_seconds / 3:
            if not conversations.renew(context.db, work.id, work.owner, now, context.settings.lease_seconds):
                raise Cancelled
            self.renewed_at = now
        if abs(now - self.typing_at) >= TYPING_EVERY_SECONDS:
            self._show_typing()
        if self.live:
            self.live.show()
        self._still_wanted()

    def hearing(self) -> dict:
        """For the model's call where somebody reads along: to be looked at more often, and word by word."""
        if self.live is None:
            return {}
        return {"watch_every_seconds": live_answer.EVERY_SECONDS, "heard": self.live.hear}

    def _show_typing(self) -> None:
        self.typing = threading.Thread(target=_show_typing, args=(self.work,), daemon=True)
        self.typing.start()
        self.typing_at = self.work.context.now()

    def _still_wanted(self) -> None:
        db = self.work.context.db
        conversation = conversations.get(db, self.work.id)
        if conversation is None or conversation.state != "bot" or conversation.claim_owner != self.work.owner:
            raise Cancelled
        still_waiting = messages.waiting(db, self.work.id)
        if not any(message.id in self.asked_about for message in still_waiting):
            raise Cancelled
        if any(self.asked_about.get(message.id) != message.text for message in still_waiting) and not conversation.reply_restarted:
            raise NewerMessage


def _show_typing(work: Work) -> None:
    """Mark the customer's message read and show 'typing…': a courtesy, so whatever goes wrong here is the send's to find."""
    context = work.context
    number = numbers.get(context.db, work.conversation.number_id)
    inbound = messages.newest_inbound_external_id(context.db, work.id)
    if number.stopped_at is not None or inbound is None:
        return
    try:
        context.channel(number.channel).show_typing(numbers.sender(number, context.settings), inbound)
    except (SendError, CannotDecrypt) as error:
        log.debug("no typing indicator in conversation %s: %s", work.id, error)


def ring_for_the_rest(work: Work) -> None:
    """What the customer wrote while this was being written has a job or bell that found the conversation claimed."""
    ring_for(work.context, work.id)


def ring_for(context: Context, conversation_id: int) -> None:
    """The bell of the answer that is owed in this conversation, if one is."""
    conversation = conversations.get(context.db, conversation_id)
    if conversation is None or conversation.waiting_since is None or conversation.state != "bot":
        return
    if conversation.answer_due_at <= context.now():
        context.queues.reply()
    else:
        context.bells.reply_at({conversation_id: conversation.answer_due_at})


def release(work: Work) -> None:
    conversations.release(work.context.db, work.id, work.owner)
