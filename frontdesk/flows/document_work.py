"""The work on documents: claim one, ask the model once, keep what it said in one transaction, and give way to customers.

One inference at a time, also of a long document and of a repair: a customer who writes meanwhile waits for one at most.
"""

import logging
import sqlite3
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from frontdesk import queues
from frontdesk.errors import ModelAway, ModelCrashed, ModelError, ModelInterrupted, ModelMissing, ModelSilent, ModelSlow
from frontdesk.flows import document_ends, document_prompts, model_choice, model_hosts
from frontdesk.flows.context import Context
from frontdesk.flows.document_prompts import Step
from frontdesk.flows.model_away import write_down_away
from frontdesk.flows.structured import DoesNotFit, fitting
from frontdesk.flows.suggest import Stopping
from frontdesk.ollama import Completion
from frontdesk.store import document_choice, documents, models
from frontdesk.store.database import transaction
from frontdesk.store.document_choice import Choice, Pair
from frontdesk.store.documents import Task

log = logging.getLogger(__name__)

# RQ wants to see its worker between jobs, and other jobs of this queue want their turn.
TURN_SECONDS = 20

RETRIES, RETRY_SECONDS = 3, 5

# So many workers have died of one part before nobody tries it again.
MOST_DEATHS = 5

# Further ahead than this no due time and no lease is written.
FURTHEST_SECONDS = 3600

# A model that a request names may still have to be pulled.
MISSING_SECONDS = 24 * 3600

# With these the same document gives the same answer.
TEMPERATURE, SEED = 0.0, 1

UNFIT = "The model's answer did not fit, also when it was asked again"


class Withdrawn(Exception):
    """Paused, cancelled, or somebody else's by now."""


def serve(context: Context) -> None:
    """Work on what is due for about TURN_SECONDS, as long as no customer waits; then ring for the rest."""
    context.queues.silence_documents()
    ends_at = time.monotonic() + TURN_SECONDS
    rung = False
    while not context.stopping.is_set():
        task = _claim(context)
        if task is None:
            return
        if not rung:
            context.queues.documents()  # stands behind this job: whoever kills this process, its successor finds work
            rung = True
        work_on(context, task)
        if time.monotonic() > ends_at or context.queues.goes_before_documents():
            break
        if model_hosts.answers_wait(context):
            context.queues.reply()
            break
    context.queues.documents()


def is_due(context: Context) -> bool:
    return bool(waiting(context)[0])


def waiting(context: Context) -> tuple[list[Pair], list[Pair]]:
    """Kind and model of what is due: what this process can have done, and what it cannot now."""
    found = document_choice.waiting(context.db, context.now(), usual_models(context))
    unable = [pair for pair in found if model_hosts.rests(context, *pair) or model_hosts.is_missing(context, *pair)]
    return [pair for pair in found if pair not in unable], unable


def usual_models(context: Context) -> dict[str, str]:
    return {kind: context.settings.model_of(kind) for kind in ("reply", *document_prompts.KINDS)}


def give_up(context: Context) -> None:
    """What named a model itself that no server has had for a day: its sender is told. Work for our own models waits on."""
    able, unable = waiting(context)
    for lacking in model_hosts.missing(context, [*able, *unable]):
        now, words = context.now(), f"No Ollama server had the model {lacking.model} for a day."
        for task_id in document_choice.without_model(context.db, lacking.model, now - MISSING_SECONDS):
            give_up = partial(document_choice.give_up, task_id=task_id, error=words, now=now, kept_until=_kept_until(context))
            document_ends.ending(context, task_id, give_up)


def correct_times(context: Context) -> None:
    documents.correct_times(context.db, context.now(), FURTHEST_SECONDS)


def _claim(context: Context) -> Task | None:
    able, unable = waiting(context)
    if not able:
        _ring_others(context, unable)
        return None
    first = context.turn.first(able, _loaded(context, able), context.now())
    choice = Choice(usual_models(context), unable, sorted(first))
    with transaction(context.db) as db:
        task = document_choice.claim(db, uuid.uuid4().hex, context.now(), context.settings.lease_seconds, choice)
    if task is not None:
        context.turn.took((task.kind, _model(context, task)), context.now())
    return task


def _loaded(context: Context, pairs: Sequence[Pair]) -> set[str]:
    """Of these models, those that need no loading. Not asked where there is nothing to choose."""
    if len({model for _, model in pairs}) < 2:
        return {model for _, model in pairs}
    found = set()
    for host in {context.settings.host_of(kind) for kind, _ in pairs}:
        ollama = context.ollama_at(host)
        try:
            found |= {one["name"] for one in ollama.loaded_models()}
        except ModelError:
            found |= {ollama.last_model} - {None}
    return found


def _ring_others(context: Context, unable: Sequence[Pair]) -> None:
    """The job that rang is over: where others can do the work, theirs may not have looked."""
    living = model_hosts.workers(context) if unable else []
    if any(model_hosts.can_elsewhere(context, *pair, living) for pair in unable):
        context.bells.documents_at(context.now() + model_hosts.RING_OTHERS_SECONDS)


def _model(context: Context, task: Task) -> str:
    return model_choice.model_for(context, task.kind, task.client_id, task.model)


def work_on(context: Context, task: Task) -> None:
    """One inference for this task, which is claimed."""
    if task.attempts > MOST_DEATHS:
        _fail(context, task, f"The process that worked on it died {MOST_DEATHS} times.")
        return
    began = time.monotonic()
    try:
        asked = _next_step(context, task)
        completion = _ask(context, task, asked)
        _keep(context, task, asked, completion, time.monotonic() - began)
    except Stopping:
        documents.give_back(context.db, task.id, task.claim_owner, context.now())
    except Withdrawn:
        log.info("document %s is no longer worked on", task.public_id)
    except (ModelSlow, ModelCrashed, ModelInterrupted, ModelSilent) as error:
        _try_again(context, task, str(error))
    except (ModelAway, ModelMissing) as error:
        _wait_for_model(context, task, error)
    except ModelError as error:
        _fail(context, task, f"The model gave no answer: {error}.")
    except (queues.RedisError, sqlite3.OperationalError):
        documents.give_back(context.db, task.id, task.claim_owner, context.now())
        raise
    except Exception:  # a fault of ours must not be tried again for ever
        log.exception("document %s failed", task.public_id)
        _fail(context, task, "A fault in Frontdesk: its log says more.")


def _next_step(context: Context, task: Task) -> Step:
    text, notes = documents.text_of(context.db, task.id), []
    if task.parts_done:
        notes = documents.parts_of(context.db, task.id)
    asked = document_prompts.step(task.kind, task.options, text, task.part_bytes, notes)
    if asked.schema is not None:
        asked = replace(asked, answer_tokens=document_prompts.answer_tokens(task.kind, context.settings))
    return asked if task.first_answer is None else document_prompts.repair(asked, task.first_answer, task.error or "")


def _ask(context: Context, task: Task, asked: Step) -> Completion:
    settings, model = context.settings, _model(context, task)
    options = model_choice.options(context, task.kind, model, num_predict=asked.answer_tokens, temperature=TEMPERATURE, seed=SEED)
    options = replace(options, num_predict=asked.answer_tokens)
    watch = _Watch(context, task)
    completion = model_choice.server(context, task.kind).chat(
        asked.messages, options, schema=asked.schema, timeout_seconds=settings.document_timeout_seconds, watch=watch.look
    )
    models.answered(context.db, settings.host_of(task.kind), model, context.now())
    return completion


class _Watch:
    """Looks around while the model works: renews the lease, and stops what is no longer wanted."""

    def __init__(self, context: Context, task: Task):
        self.context, self.task = context, task
        self.renewed_at = context.now()

    def look(self) -> None:
        context, task, now = self.context, self.task, self.context.now()
        if context.stopping.is_set():
            raise Stopping
        if not documents.is_ours(context.db, task.id, task.claim_owner):
            raise Withdrawn
        if abs(now - self.renewed_at) >= context.settings.lease_seconds / 3:
            documents.renew(context.db, task.id, task.claim_owner, now + context.settings.lease_seconds)
            self.renewed_at = now


# --- what came of it --------------------------------------------------------------------------------------------------------


def _keep(context: Context, task: Task, asked: Step, completion: Completion, seconds: float) -> None:
    now = context.now()
    if asked.schema is None:
        with transaction(context.db) as db:
            documents.keep_part(db, task, completion.text, seconds, now)
        return
    try:
        found = fitting(completion.text, asked.schema)
    except DoesNotFit as error:
        why = f"{error}; it was cut off" if completion.done_reason == "length" else str(error)
        _repair_or_fail(context, task, completion.text, why, seconds)
        return
    result = document_prompts.result_of(task.kind, found)
    kept_until = _kept_until(context)
    document_ends.ending(context, task.id, lambda db: documents.finish(db, task, result, seconds, now, kept_until))


def _repair_or_fail(context: Context, task: Task, answer: str, why: str, seconds: float) -> None:
    if task.first_answer is None:
        documents.keep_first_answer(context.db, task, answer, why, seconds, context.now())
        return
    log.warning("document %s failed: its answers do not fit", task.public_id)
    kept_until = _kept_until(context)
    words, now = f"{UNFIT}: {why}.", context.now()
    document_ends.ending(
        context, task.id, lambda db: documents.fail(db, task, words, now, kept_until, second_answer=answer, seconds=seconds)
    )


def _try_again(context: Context, task: Task, why: str) -> None:
    log.warning("document %s, try %s: %s", task.public_id, task.failures + 1, why)
    if task.failures >= RETRIES:
        _fail(context, task, f"The model gave no answer, tried {RETRIES + 1} times: {why}.")
        return
    due_at = context.now() + RETRY_SECONDS
    if documents.give_back(context.db, task.id, task.claim_owner, due_at, failed=True):
        context.bells.document_at(task.id, due_at)


def _wait_for_model(context: Context, task: Task, error: ModelError) -> None:
    """Nothing is wrong with the document: it waits, also for a model that is still to be pulled; another worker may have it at once."""
    model = _model(context, task)
    retry_at = write_down_away(context, model, error, task.kind)
    if model_hosts.can_elsewhere(context, task.kind, model):
        retry_at = context.now()
    if documents.give_back(context.db, task.id, task.claim_owner, retry_at):
        context.bells.document_at(task.id, retry_at)


def _fail(context: Context, task: Task, why: str) -> None:
    now, kept_until = context.now(), _kept_until(context)
    document_ends.ending(context, task.id, lambda db: documents.fail(db, task, why, now, kept_until))


def _kept_until(context: Context) -> float:
    return context.now() + context.settings.document_kept_hours * 3600
