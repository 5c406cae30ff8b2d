"""One answer: claim the conversation, ask the model, keep what it said in one transaction, ring for the send.

Everything that can happen meanwhile ends in one of a few ways: the answer is kept, the work is handed back, or a person is
asked for. What is written without the claim is never kept, so an answer exists once, whoever dies and whoever wakes up late.
"""

import contextlib
import logging
import sqlite3
import time
import uuid

from frontdesk import logs, queues
from frontdesk.channels import Content
from frontdesk.errors import ModelAway, ModelError, ModelMissing
from frontdesk.flows import asking, choices, files_told, grounding, model_hosts, prompt, questions, sources, take_over
from frontdesk.flows.asking import Asked
from frontdesk.flows.context import Context
from frontdesk.flows.model_away import (
    MODEL_AWAY,
    hand_over,
    hold_and_postpone,
    leave_to_person,
    model_options,
    try_again_or_ask_person,
    wait_for_model,
)
from frontdesk.flows.splitting import split_to_fit
from frontdesk.flows.watch import Cancelled, HandedBack, NewerMessage, Watch, Work, release, ring_for_the_rest
from frontdesk.store import clients, conversations, drafts, messages, models, numbers, outbox, seen, tool_calls
from frontdesk.store.conversations import Conversation
from frontdesk.store.database import transaction
from frontdesk.store.messages import Turn
from frontdesk.work_options import REPLY

log = logging.getLogger(__name__)

# RQ counts a worker among the living by its jobs' beginnings, and warm-ups and the desk's own work want their turn.
TURN_SECONDS = 60

# A model whose answers take milliseconds need not have each of them written down.
MEASURED_EVERY_SECONDS = 2

# Looking for every answer anew costs as much as the rest when a model answers in milliseconds.
DUE_BATCH, LOOK_AGAIN_SECONDS = 20, 0.1


def answer_due(context: Context) -> None:
    """Answer every conversation that is due, the longest waiting first, for about TURN_SECONDS; then ring for the rest."""
    context.queues.silence_replies()
    ends_at = time.monotonic() + TURN_SECONDS
    answered = set()
    while not context.stopping.is_set():
        left = model_hosts.left_to_others(context, REPLY, clients.models_in_use(context.db, context.settings))
        usual = context.settings.ollama_model
        due = conversations.due(context.db, context.now(), context.settings.lease_seconds, limit=DUE_BATCH, without=left, usual=usual)
        if not due:
            model_hosts.ring_others_for_replies(context, left)
            return
        if time.monotonic() > ends_at or due[0] in answered:
            break
        if len(due) > 1 and not answered:
            context.queues.reply()  # another worker, if there is one, begins beside this one
        looked_at = time.monotonic()
        answered.clear()
        for conversation_id in due:
            answer(context, conversation_id)
            answered.add(conversation_id)
            if context.stopping.is_set() or time.monotonic() - looked_at > LOOK_AGAIN_SECONDS:
                break
    context.queues.reply()


def answer(context: Context, conversation_id: int, *, may_ask: bool = True) -> None:
    """Write the answer this conversation is owed, if it is due and nobody else does.

    `may_ask` False: from its draft alone (not in the process that is the model's); without one the model's worker is rung for.
    """
    with logs.about(None):  # begin() finds out what it belongs to
        _answer(context, conversation_id, may_ask)


def _answer(context: Context, conversation_id: int, may_ask: bool) -> None:
    owner = uuid.uuid4().hex
    with transaction(context.db) as db:
        conversation = conversations.claim(db, conversation_id, owner, context.now(), context.settings.lease_seconds)
    if conversation is None:
        _ring_if_owed_later(context, conversation_id)
        return
    work = begin(context, conversation, owner)
    if work is None:
        return
    draft = drafts.take(context.db, conversation_id, [message.id for message in work.waiting])
    if draft is not None:
        work.shown, work.gap, work.used = draft.shown, draft.gap, draft.used
        keep(work, draft.text)
        return
    if not may_ask:
        release(work)
        ring_for_the_rest(work)
        return
    if rests(work):
        return
    try:
        asked = ask(work)
        keep(work, asked.text, asked.seconds, asked.retrieval_seconds)
    except NewerMessage:
        begin_anew(work)
    except HandedBack:
        release(work)
        context.queues.reply()
    except Cancelled:
        release(work)
        ring_for_the_rest(work)
    except (ModelAway, ModelMissing) as error:
        wait_for_model(work, error)
    except ModelError as error:
        try_again_or_ask_person(work, error)
    except (queues.RedisError, sqlite3.OperationalError):
        release(work)
        raise
    except Exception as error:  # a fault of ours must not be tried again for ever
        log.exception("the answer in conversation %s failed", work.id)
        try_again_or_ask_person(work, ModelError(f"a fault in Frontdesk: {type(error).__name__}"))
    else:
        learn(work, asked)


def _ring_if_owed_later(context: Context, conversation_id: int) -> None:
    conversation = conversations.get(context.db, conversation_id)
    if conversation and conversation.waiting_since is not None and conversation.claim_owner is None:
        if conversation.state == "bot" and conversation.answer_due_at > context.now():
            context.bells.reply_at({conversation_id: conversation.answer_due_at})


def begin(context: Context, conversation: Conversation, owner: str) -> Work | None:
    db = context.db
    number = numbers.get(db, conversation.number_id)
    client = clients.get(db, number.client_id, context.settings)
    work = Work(
        context=context,
        owner=owner,
        conversation=conversation,
        client=client,
        waiting=messages.waiting(db, conversation.id),
        options=model_options(context, client.model, client.temperature),
    )
    logs.follow(work.waiting[0].trace if work.waiting else None)
    if not work.waiting:
        with transaction(db):
            conversations.settle(db, work.id)
            conversations.release(db, work.id, owner)
        return None
    if (conversation.window_closes_at or 0) <= context.now():
        leave_to_person(work, "window_closed", tell_customer=False)
        return None
    return work


def rests(work: Work) -> bool:
    """Whether the model was away lately: then the work is given back, to another server's worker if there is one."""
    context, model = work.context, work.options.model
    if not model_hosts.rests(context, REPLY, model):
        return False
    if model_hosts.can_elsewhere(context, REPLY, model):
        hand_over(work)
    else:
        hold_and_postpone(work, models.get(context.db, context.settings.ollama_host, model).retry_at)
    return True


# --- asking ---------------------------------------------------------------------------------------------------------------


def ask(work: Work, watch_class: type[Watch] = Watch) -> Asked:
    """The answer, with what it rests on noted in `work`."""
    fixed = files_told.fixed_answer(work)
    if fixed is not None:
        return Asked([], None, [], fixed, None)
    context = work.context
    before, older = messages.history(context.db, work.id, prompt.LONGEST_HISTORY)
    turns = [*before, *(Turn(message.id, "in", message.text) for message in work.waiting)]
    with watch_class(work) as watch:
        asked = asking.ask(
            context, work.client, turns, len(work.waiting), watch=watch.look, now=context.now(), older=older, options=work.options,
            hearing=watch.hearing(), conversation=work.conversation,
        )
    work.shown, work.gap, work.used = asked.shown, asked.gap, asked.used
    return asked


# --- what came of it --------------------------------------------------------------------------------------------------------


def keep(work: Work, text: str, model_seconds: float = 0.0, retrieval_seconds: float | None = None) -> None:
    """The answer (in WhatsApp's marks), the messages it answers and the end of the claim are one fact.

    `model_seconds`, `retrieval_seconds`: of this wait; none where a draft was written before, or nothing was searched.
    """
    context, db = work.context, work.context.db
    now = context.now()
    channel = context.channel(numbers.get(db, work.conversation.number_id).channel)
    parts = split_to_fit(_apologise_if_late(work, text, now), channel.fits)
    if work.used.hand_over is not None:
        give_to_person(work, parts)
        return
    if not parts:
        try_again_or_ask_person(work, ModelError("the answer held nothing that can be sent"))
        return
    source = "" if work.gap else sources.line(db, work.client, text, _asked(work), work.shown)
    parts = sources.under(parts, source, channel.fits)
    wanted = [Content("text", part) for part in parts]
    if work.used.options:
        wanted = choices.contents(channel, parts, work.used.options, work.client.list_word)
    with transaction(db):
        if not still_ours(work):
            return
        waited = max(0.0, now - (work.conversation.waiting_since or now) - (retrieval_seconds or 0.0) - model_seconds)
        queued = [
            outbox.queue(
                db,
                work.id,
                work.conversation.number_id,
                content,
                purpose="answer",
                now=now,
                waited_seconds=waited if content is wanted[0] else None,
                retrieval_seconds=retrieval_seconds,
                model_seconds=model_seconds,
            )
            for content in wanted
        ]
        seen.put(db, queued[0], work.shown)
        tool_calls.put(db, queued[0], work.used.calls)
        seen.put_line(db, queued[-1], source)
        messages.mark_waiting_as(db, [message.id for message in work.waiting], "answered", queued[0])
        conversations.settle(db, work.id)
        conversations.person_no_longer_needed(db, work.id, MODEL_AWAY)
        if work.gap:
            _write_down_gap(db, work, now)
    log.info("conversation %s is answered by message %s", work.id, queued[0])
    context.queues.send([work.id])
    ring_for_the_rest(work)


def give_to_person(work: Work, parts: list[str]) -> None:
    """The model wants a person: what follows is what follows when the customer asks for one, after the model's own words."""
    context = work.context
    with transaction(context.db) as db:
        if not still_ours(work):
            return
        queued = take_over.ask_for_person(context, db, work.id, work.client, first=parts)
        for message_id in queued[:1]:
            seen.put(db, message_id, work.shown)
            tool_calls.put(db, message_id, work.used.calls)
    log.info("conversation %s is handed over by the model", work.id)
    context.queues.send([work.id])
    ring_for_the_rest(work)


def _asked(work: Work) -> str:
    return "\n".join(message.text for message in work.waiting)


def _write_down_gap(db: sqlite3.Connection, work: Work, now: float) -> None:
    """Whoever was told that a person will answer gets one; with no passage the model may still have known from the prompt."""
    questions.missed(db, work.client, work.id, work.waiting, work.gap, now)
    if work.gap == grounding.DECLINED or work.client.knowledge_only:
        conversations.need_person(db, work.id, grounding.NOT_IN_DOCUMENTS, now)


def learn(work: Work, asked: Asked) -> None:
    """The model answers, how long its tokens are and, every few seconds, how quick it is."""
    completion = asked.completion
    if completion is None:
        return
    context, host, model = work.context, work.context.settings.ollama_host, work.options.model
    known, now = models.get(context.db, host, model), context.now()
    ratio = known.characters_per_token
    if not asked.had_tools and not any("images" in message for message in asked.messages):  # whose tokens no characters stand for
        ratio = prompt.learnt_ratio(asked.messages, completion.prompt_tokens, ratio)
    models.answered(context.db, host, model, now, ratio)
    if abs(now - known.updated_at) >= MEASURED_EVERY_SECONDS:
        models.took(context.db, host, model, completion.prompt_seconds + completion.output_seconds, completion.tokens_per_second, now)
    if completion.output_tokens and completion.output_seconds:
        with contextlib.suppress(queues.RedisError):
            context.speeds.add(completion.output_tokens, completion.output_seconds, now)


def _apologise_if_late(work: Work, text: str, now: float) -> str:
    oldest = min(message.provider_at for message in work.waiting)
    if text.strip() and now - oldest > work.client.stale_after_minutes * 60:
        return f"{work.client.apology_text}\n\n{text}"
    return text


def still_ours(work: Work) -> bool:
    """Inside a transaction: give the claim up, and say whether the answer is still wanted from us."""
    db = work.context.db
    if not conversations.release(db, work.id, work.owner):
        return False
    conversation = conversations.get(db, work.id)
    asked_about = {message.id for message in work.waiting}
    still_waiting = {message.id for message in messages.waiting(db, work.id)}
    return conversation.state == "bot" and bool(asked_about & still_waiting)


def begin_anew(work: Work) -> None:
    """After the customer's quiet period; by then nobody has waited longer, for this one was already being served."""
    with transaction(work.context.db) as db:
        if conversations.release(db, work.id, work.owner):
            conversations.restart(db, work.id)
    ring_for_the_rest(work)
