"""When no answer comes: the model is away, missing or says nothing. The customer waits, hears so once, or gets a person."""

import logging
from dataclasses import replace

from frontdesk.errors import ModelBusy, ModelCrashed, ModelError, ModelRefused, ModelSlow
from frontdesk.flows import model_choice, model_hosts, standing_in
from frontdesk.flows.context import Context
from frontdesk.flows.watch import Work, release, ring_for_the_rest
from frontdesk.ollama import ModelOptions
from frontdesk.queues import jittered
from frontdesk.store import clients, conversations, messages, models, outbox, seen
from frontdesk.store.database import transaction
from frontdesk.store.seen import Shown
from frontdesk.work_options import REPLY

log = logging.getLogger(__name__)

# Answers that came to nothing before a person is asked to write it.
TRIES = 3
TRY_AGAIN_SECONDS = 5

FIRST_MODEL_RETRY_SECONDS, LONGEST_MODEL_RETRY_SECONDS = 2, 30

MODEL_AWAY = "model_away"


def model_options(context: Context, model: str, temperature: float | None = None) -> ModelOptions:
    """What Ollama loads a model by is the same on every call, warm-up included: else it would load it again."""
    options = model_choice.options(context, REPLY, model, num_predict=context.settings.ollama_num_predict)
    return options if temperature is None else replace(options, temperature=temperature)


def warm_up(context: Context) -> None:
    """Have Ollama load the models that answer. What is missing or away is written down for the operator."""
    names = clients.models_in_use(context.db, context.settings)
    left = model_hosts.left_to_others(context, REPLY, names)
    for model in (name for name in names if name not in left):
        try:
            context.ollama.warm_up(model_options(context, model))
        except ModelError as error:
            write_down_away(context, model, error)
        else:
            models.answered(context.db, context.settings.ollama_host, model, context.now())


def wait_for_model(work: Work, error: ModelError) -> None:
    context, model = work.context, work.options.model
    retry_at = write_down_away(context, model, error)
    if not model_hosts.can_elsewhere(context, REPLY, model):
        hold_and_postpone(work, retry_at)
    elif isinstance(error, (ModelSlow, ModelBusy, ModelCrashed)):  # it may be the question: patience counts
        hold_and_postpone(work, context.now())
    else:
        hand_over(work)


def hand_over(work: Work) -> None:
    """To a worker whose server has the model. Nobody hears of it."""
    release(work)
    ring_for_the_rest(work)


def write_down_away(context: Context, model: str, error: ModelError, kind: str = REPLY) -> float:
    """Nobody needs to ask this model for this kind of work before the time returned (UTC epoch seconds)."""
    host, now = context.settings.host_of(kind), context.now()
    failures = models.get(context.db, host, model).failures
    delay = min(FIRST_MODEL_RETRY_SECONDS * 2 ** min(failures, 8), LONGEST_MODEL_RETRY_SECONDS)
    retry_at = now + jittered(delay)
    models.away(context.db, host, model, str(error), retry_at, now)
    log.error("model %s at %s: %s", model, host, error)
    return retry_at


def hold_and_postpone(work: Work, retry_at: float) -> None:
    """The model is away: past the client's patience the customer hears so, once, and a person is asked for."""
    context, now = work.context, work.context.now()
    patience_ends = work.conversation.waiting_since + work.client.patience_seconds
    if work.conversation.held_at is None and now >= patience_ends:
        passage = standing_in.passage(work)
        if not work.client.answer_after_holding:
            leave_to_person(work, MODEL_AWAY, tell_customer=True, passage=passage)
            return
        with transaction(context.db) as db:
            if not conversations.renew(db, work.id, work.owner, now, context.settings.lease_seconds):
                return
            _queue_holding(work, MODEL_AWAY, passage)
        context.queues.send([work.id])
    elif work.conversation.held_at is None:
        retry_at = min(retry_at, patience_ends)
    with transaction(context.db) as db:
        if conversations.release(db, work.id, work.owner):
            conversations.postpone(db, work.id, retry_at)
    context.bells.reply_at({work.id: retry_at})


def _queue_holding(work: Work, reason: str, passage: Shown | None = None) -> None:
    """Inside a transaction."""
    db, now = work.context.db, work.context.now()
    text = standing_in.holding_text(work, passage)
    message_id = outbox.queue_text(db, work.id, work.conversation.number_id, text, purpose="holding", now=now)
    seen.put(db, message_id, [passage] if passage else [])
    conversations.hold(db, work.id, now)
    conversations.need_person(db, work.id, reason, now)


def try_again_or_ask_person(work: Work, error: ModelError) -> None:
    """The model answers, but not this."""
    context = work.context
    failures = conversations.count_failure(context.db, work.id)
    log.warning("no answer in conversation %s (try %s): %s", work.id, failures, error)
    if failures >= TRIES or isinstance(error, ModelRefused):
        leave_to_person(work, "model_failed", tell_customer=True)
        return
    retry_at = context.now() + jittered(TRY_AGAIN_SECONDS * failures)
    with transaction(context.db) as db:
        if conversations.release(db, work.id, work.owner):
            conversations.postpone(db, work.id, retry_at)
    context.bells.reply_at({work.id: retry_at})


def leave_to_person(work: Work, reason: str, *, tell_customer: bool, passage: Shown | None = None) -> None:
    context = work.context
    with transaction(context.db) as db:
        if not conversations.release(db, work.id, work.owner):
            return
        messages.mark_waiting_as(db, [message.id for message in work.waiting], "unanswered")
        if tell_customer and work.conversation.held_at is None:
            _queue_holding(work, reason, passage)
        conversations.need_person(db, work.id, reason, context.now())
        conversations.settle(db, work.id)
    context.queues.send([work.id])
    ring_for_the_rest(work)
