"""One answer: claim the conversation, ask the model, keep what it said in one transaction, ring for the send.

Everything that can happen meanwhile ends in one of a few ways: the answer is kept, the work is handed back, or a person is
asked for. What is written without the claim is never kept, so an answer exists once, whoever dies and whoever wakes up late.
"""

import logging
import threading
import uuid
from dataclasses import dataclass

from frontdesk.errors import ContextExceeded, ModelAway, ModelError, ModelMissing, ModelRefused, SendError
from frontdesk.flows import prompt
from frontdesk.flows.context import Context
from frontdesk.flows.formatting import whatsapp_text
from frontdesk.flows.splitting import split_text
from frontdesk.ollama import Completion, ModelOptions
from frontdesk.queues import jittered
from frontdesk.store import clients, conversations, messages, models, numbers, outbox
from frontdesk.store.clients import Client
from frontdesk.store.conversations import Conversation
from frontdesk.store.database import transaction
from frontdesk.store.messages import Turn, Waiting
from frontdesk.store.secrets import CannotDecrypt

log = logging.getLogger(__name__)

# WhatsApp's 'typing…' fades after 25 s.
TYPING_EVERY_SECONDS = 20
TYPING_LAG_SECONDS = 2

# Answers that came to nothing before a person is asked to write it.
TRIES = 3
TRY_AGAIN_SECONDS = 5

FIRST_MODEL_RETRY_SECONDS, LONGEST_MODEL_RETRY_SECONDS = 2, 30

MODEL_AWAY = "model_away"


class _Cancelled(Exception):
    """The answer being written is no longer wanted from us."""


class _NewerMessage(_Cancelled):
    """The customer wrote more: begin anew with it (once)."""


class _HandedBack(_Cancelled):
    """This process was asked to stop."""


@dataclass
class _Work:
    """One claimed conversation and what its answer needs."""

    context: Context
    owner: str
    conversation: Conversation
    client: Client
    waiting: list[Waiting]
    options: ModelOptions

    @property
    def id(self) -> int:
        return self.conversation.id


def answer(context: Context, conversation_id: int) -> None:
    """Write the answer this conversation is owed, if it is due and nobody else does."""
    owner = uuid.uuid4().hex
    conversation = conversations.claim(
        context.db, conversation_id, owner, context.now(), context.settings.lease_seconds
    )
    if conversation is None:
        _ring_if_owed_later(context, conversation_id)
        return
    work = _begin(context, conversation, owner)
    if work is None:
        return
    try:
        asked, completion = _ask(work)
    except _NewerMessage:
        _begin_anew(work)
    except _HandedBack:
        _release(work)
        context.queues.reply([work.id], at_front=True)
    except _Cancelled:
        _release(work)
        _ring_for_the_rest(work)
    except (ModelAway, ModelMissing) as error:
        _wait_for_model(work, error)
    except ModelError as error:
        _try_again_or_ask_person(work, error)
    except BaseException:
        _release(work)
        raise
    else:
        _keep(work, asked, completion)


def model_options(context: Context, model: str) -> ModelOptions:
    """The same on every call, warm-up included: other load-time options would make Ollama load the model again."""
    settings = context.settings
    return ModelOptions(model=model, num_ctx=settings.ollama_num_ctx, num_predict=settings.ollama_num_predict)


def warm_up(context: Context) -> None:
    """Have Ollama load the models that answer. What is missing or away is written down for the operator."""
    for model in clients.models_in_use(context.db, context.settings):
        try:
            context.ollama.warm_up(model_options(context, model))
        except ModelError as error:
            _write_down_away(context, model, error)
        else:
            models.answered(context.db, context.settings.ollama_host, model, context.now())


def _ring_if_owed_later(context: Context, conversation_id: int) -> None:
    conversation = conversations.get(context.db, conversation_id)
    if conversation and conversation.waiting_since is not None and conversation.claim_owner is None:
        if conversation.state == "bot" and conversation.reply_due_at > context.now():
            context.bells.reply_at({conversation_id: conversation.reply_due_at})


def _begin(context: Context, conversation: Conversation, owner: str) -> _Work | None:
    db = context.db
    number = numbers.get(db, conversation.number_id)
    client = clients.get(db, number.client_id, context.settings)
    work = _Work(
        context=context,
        owner=owner,
        conversation=conversation,
        client=client,
        waiting=messages.waiting(db, conversation.id),
        options=model_options(context, client.model),
    )
    if not work.waiting:
        with transaction(db):
            conversations.settle(db, work.id)
            conversations.release(db, work.id, owner)
        return None
    if (conversation.window_closes_at or 0) <= context.now():
        _leave_to_person(work, "window_closed", tell_customer=False)
        return None
    state = models.get(db, context.settings.ollama_host, client.model)
    if state.retry_at and context.now() < state.retry_at <= context.now() + 2 * LONGEST_MODEL_RETRY_SECONDS:
        _hold_and_postpone(work, state.retry_at)
        return None
    return work


# --- asking ---------------------------------------------------------------------------------------------------------------


def _ask(work: _Work) -> tuple[list[dict[str, str]], Completion]:
    """The prompt that was answered, and the answer. A prompt that is too long after all is halved once."""
    context = work.context
    before, older = messages.history(context.db, work.id, prompt.LONGEST_HISTORY)
    turns = [*before, *(Turn(message.id, "in", message.text) for message in work.waiting)]
    ratio = models.get(context.db, context.settings.ollama_host, work.options.model).characters_per_token
    for share in (1.0, 0.5):
        asked = prompt.messages(work.client, turns, older, work.options, ratio, context.now(), share)
        try:
            with _Watch(work) as watch:
                return asked, context.ollama.chat(asked, work.options, watch=watch.look)
        except ContextExceeded:
            if share == 0.5:
                raise


class _Watch:
    """Looks around while the model writes: renews the claim, shows 'typing…', and cancels what is no longer wanted."""

    def __init__(self, work: _Work):
        self.work = work
        self.asked_about = {message.id for message in work.waiting}
        self.renewed_at = work.context.now()
        self.typing: threading.Thread | None = None
        self.typing_at = float("-inf")

    def __enter__(self) -> "_Watch":
        return self

    def __exit__(self, *_) -> None:
        """An answer must not overtake its own 'typing…', which would then stay for 25 s."""
        if self.typing:
            self.typing.join(TYPING_LAG_SECONDS)

    def look(self) -> None:
        work, context = self.work, self.work.context
        if context.stopping.is_set():
            raise _HandedBack
        now = context.now()
        if abs(now - self.renewed_at) >= context.settings.lease_seconds / 3:
            if not conversations.renew(context.db, work.id, work.owner, now, context.settings.lease_seconds):
                raise _Cancelled
            self.renewed_at = now
        if abs(now - self.typing_at) >= TYPING_EVERY_SECONDS:
            self._show_typing()
        self._still_wanted()

    def _show_typing(self) -> None:
        self.typing = threading.Thread(target=_show_typing, args=(self.work,), daemon=True)
        self.typing.start()
        self.typing_at = self.work.context.now()

    def _still_wanted(self) -> None:
        db = self.work.context.db
        conversation = conversations.get(db, self.work.id)
        if conversation is None or conversation.state != "bot" or conversation.claim_owner != self.work.owner:
            raise _Cancelled
        still_waiting = {message.id for message in messages.waiting(db, self.work.id)}
        if not still_waiting & self.asked_about:
            raise _Cancelled
        if still_waiting - self.asked_about and not conversation.reply_restarted:
            raise _NewerMessage


def _show_typing(work: _Work) -> None:
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


# --- what came of it --------------------------------------------------------------------------------------------------------


def _keep(work: _Work, asked: list[dict[str, str]], completion: Completion) -> None:
    """The answer, the messages it answers and the end of the claim are one fact."""
    context, db = work.context, work.context.db
    now = context.now()
    parts = split_text(_apologise_if_late(work, whatsapp_text(completion.text), now))
    if not parts:
        _try_again_or_ask_person(work, ModelError("the answer held nothing that can be sent"))
        return
    with transaction(db):
        if not _still_ours(work):
            return
        for part in parts:
            outbox.queue_text(db, work.id, work.conversation.number_id, part, purpose="answer", now=now)
        messages.mark_waiting_as(db, [message.id for message in work.waiting], "answered")
        conversations.settle(db, work.id)
        conversations.person_no_longer_needed(db, work.id, MODEL_AWAY)
    context.queues.send([work.id])
    ratio = models.get(db, context.settings.ollama_host, work.options.model).characters_per_token
    learnt = prompt.learnt_ratio(asked, completion.prompt_tokens, ratio)
    models.answered(db, context.settings.ollama_host, work.options.model, now, learnt)
    _ring_for_the_rest(work)


def _apologise_if_late(work: _Work, text: str, now: float) -> str:
    oldest = min(message.provider_at for message in work.waiting)
    if text.strip() and now - oldest > work.client.stale_after_minutes * 60:
        return f"{work.client.apology_text}\n\n{text}"
    return text


def _still_ours(work: _Work) -> bool:
    """Inside a transaction: give the claim up, and say whether the answer is still wanted from us."""
    db = work.context.db
    if not conversations.release(db, work.id, work.owner):
        return False
    conversation = conversations.get(db, work.id)
    asked_about = {message.id for message in work.waiting}
    still_waiting = {message.id for message in messages.waiting(db, work.id)}
    return conversation.state == "bot" and bool(asked_about & still_waiting)


def _ring_for_the_rest(work: _Work) -> None:
    """What the customer wrote while this was being written has a job or bell that found the conversation claimed."""
    context = work.context
    conversation = conversations.get(context.db, work.id)
    if conversation is None or conversation.waiting_since is None or conversation.state != "bot":
        return
    if conversation.reply_due_at <= context.now():
        context.queues.reply([work.id])
    else:
        context.bells.reply_at({work.id: conversation.reply_due_at})


def _release(work: _Work) -> None:
    conversations.release(work.context.db, work.id, work.owner)


def _begin_anew(work: _Work) -> None:
    """After the customer's quiet period, and before other customers: this one was already being served."""
    context = work.context
    with transaction(context.db) as db:
        conversations.restart(db, work.id)
        conversations.release(db, work.id, work.owner)
        conversation = conversations.get(db, work.id)
    context.bells.reply_at({work.id: conversation.reply_due_at}, at_front=True)


def _wait_for_model(work: _Work, error: ModelError) -> None:
    _hold_and_postpone(work, _write_down_away(work.context, work.options.model, error))


def _write_down_away(context: Context, model: str, error: ModelError) -> float:
    """Nobody needs to ask this model before the time returned (UTC epoch seconds)."""
    host, now = context.settings.ollama_host, context.now()
    failures = models.get(context.db, host, model).failures
    delay = min(FIRST_MODEL_RETRY_SECONDS * 2 ** min(failures, 8), LONGEST_MODEL_RETRY_SECONDS)
    retry_at = now + jittered(delay)
    models.away(context.db, host, model, str(error), retry_at, now)
    log.error("model %s at %s: %s", model, host, error)
    return retry_at


def _hold_and_postpone(work: _Work, retry_at: float) -> None:
    """The model is away: past the client's patience the customer hears so, once, and a person is asked for."""
    context, now = work.context, work.context.now()
    patience_ends = work.conversation.waiting_since + work.client.patience_seconds
    if work.conversation.held_at is None and now >= patience_ends:
        if not work.client.answer_after_holding:
            _leave_to_person(work, MODEL_AWAY, tell_customer=True)
            return
        with transaction(context.db) as db:
            if not conversations.renew(db, work.id, work.owner, now, context.settings.lease_seconds):
                return
            _queue_holding(work, MODEL_AWAY)
        context.queues.send([work.id])
    elif work.conversation.held_at is None:
        retry_at = min(retry_at, patience_ends)
    with transaction(context.db) as db:
        if conversations.release(db, work.id, work.owner):
            conversations.postpone(db, work.id, retry_at)
    context.bells.reply_at({work.id: retry_at})


def _queue_holding(work: _Work, reason: str) -> None:
    """Inside a transaction."""
    db, now = work.context.db, work.context.now()
    outbox.queue_text(db, work.id, work.conversation.number_id, work.client.holding_text, purpose="holding", now=now)
    conversations.hold(db, work.id, now)
    conversations.need_person(db, work.id, reason, now)


def _try_again_or_ask_person(work: _Work, error: ModelError) -> None:
    """The model answers, but not this."""
    context = work.context
    failures = conversations.count_failure(context.db, work.id)
    log.warning("no answer in conversation %s (try %s): %s", work.id, failures, error)
    if failures >= TRIES or isinstance(error, ModelRefused):
        _leave_to_person(work, "model_failed", tell_customer=True)
        return
    retry_at = context.now() + jittered(TRY_AGAIN_SECONDS * failures)
    with transaction(context.db) as db:
        if conversations.release(db, work.id, work.owner):
            conversations.postpone(db, work.id, retry_at)
    context.bells.reply_at({work.id: retry_at})


def _leave_to_person(work: _Work, reason: str, *, tell_customer: bool) -> None:
    context = work.context
    with transaction(context.db) as db:
        if not conversations.release(db, work.id, work.owner):
            return
        messages.mark_waiting_as(db, [message.id for message in work.waiting], "unanswered")
        if tell_customer and work.conversation.held_at is None:
            _queue_holding(work, reason)
        conversations.need_person(db, work.id, reason, context.now())
        conversations.settle(db, work.id)
    context.queues.send([work.id])
    _ring_for_the_rest(work)
