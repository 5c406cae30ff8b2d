"""The work on replays: claim an item, ask the model once as a customer's answer would ask it, keep what it said. Nothing is sent.

One inference a job: a customer who writes meanwhile is served after the one that is under way.
"""

import logging
import sqlite3
import uuid
from collections.abc import Callable
from dataclasses import replace

from frontdesk import queues
from frontdesk.errors import ModelAway, ModelCrashed, ModelError, ModelInterrupted, ModelMissing, ModelSilent, ModelSlow
from frontdesk.flows import asking, expected, grounding, model_hosts, prompt, replays
from frontdesk.flows.asking import Asked
from frontdesk.flows.context import Context
from frontdesk.flows.declining import declines
from frontdesk.flows.document_work import FURTHEST_SECONDS, MOST_DEATHS, RETRIES, RETRY_SECONDS, Withdrawn
from frontdesk.flows.model_away import LONGEST_MODEL_RETRY_SECONDS, model_options, write_down_away
from frontdesk.flows.suggest import Stopping
from frontdesk.store import clients, messages, models, replays as rows, seen
from frontdesk.store.checks import Question
from frontdesk.store.clients import Client
from frontdesk.store.database import transaction
from frontdesk.store.messages import Turn
from frontdesk.store.past_turns import PastTurn
from frontdesk.store.replays import Item
from frontdesk.store.seen import Shown
from frontdesk.work_options import REPLY

log = logging.getLogger(__name__)

# The same question gets the same answer, as far as a model does that: a check fails because something changed.
CHECK_SEED = 1


def serve(context: Context) -> None:
    """One item; the next job stands behind this one before it begins, so that whoever kills this process, its successor finds work."""
    item = _claim(context)
    if item is None:
        return
    context.queues.replays()
    work_on(context, item)


def is_due(context: Context) -> bool:
    return rows.is_due(context.db, context.now(), _resting(context))


def sweep(context: Context) -> None:
    """Rings for what is due and has no job, whatever became of the one that it had."""
    rows.correct_times(context.db, context.now(), FURTHEST_SECONDS)
    if is_due(context):
        context.queues.replays()


def _claim(context: Context) -> Item | None:
    resting = _resting(context)
    with transaction(context.db) as db:
        return rows.claim(db, uuid.uuid4().hex, context.now(), context.settings.lease_seconds, resting)


def _resting(context: Context) -> list[str]:
    """Models that were away lately, and those that another worker's server has and ours has not."""
    now = context.now()
    resting = models.resting(context.db, context.settings.ollama_host, now, now + 2 * LONGEST_MODEL_RETRY_SECONDS)
    return resting + model_hosts.left_to_others(context, REPLY, clients.models_in_use(context.db, context.settings))


def work_on(context: Context, item: Item) -> None:
    """One inference for this item, which is claimed."""
    if item.attempts > MOST_DEATHS:
        _fail(context, item, f"The process that worked on it died {MOST_DEATHS} times.")
        return
    try:
        if item.question is not None:
            _check(context, item)
        else:
            _replay(context, item)
    except Stopping:
        rows.give_back(context.db, item.id, item.claim_owner, context.now())
    except Withdrawn:
        log.info("item %s of replay %s is no longer worked on", item.position, item.replay_id)
    except (ModelSlow, ModelCrashed, ModelInterrupted, ModelSilent) as error:
        _try_again(context, item, error)
    except ModelAway as error:
        _wait_for_model(context, item, error)
    except ModelMissing as error:
        _fail(context, item, f"{str(error)[:1].upper()}{str(error)[1:]}.")
    except ModelError as error:
        _fail(context, item, f"The model gave no answer: {error}.")
    except (queues.RedisError, sqlite3.OperationalError):
        rows.give_back(context.db, item.id, item.claim_owner, context.now())
        raise
    except Exception:  # a fault of ours must not be tried again for ever
        log.exception("item %s of replay %s failed", item.position, item.replay_id)
        _fail(context, item, "A fault in Frontdesk: its log says more.")


def _replay(context: Context, item: Item) -> None:
    client = _tried(context, item)
    turn = replays.past(context, [item.message_id]).get(item.message_id)
    if turn is None or not turn.asked:
        _fail(context, item, "The customer's messages are gone.")
        return
    before, older = messages.history(context.db, turn.conversation_id, prompt.LONGEST_HISTORY, turn.id)
    turns = [*before, *(Turn(0, "in", text) for text in turn.asked)]
    watch = _Watch(context, item).look
    asked = asking.ask(context, client, turns, len(turn.asked), watch=watch, now=turn.at, older=older)
    figures = compared(client, turn, seen.of(context.db, turn.id), asked)
    _keep(context, item, client, asked, figures, None)


def _check(context: Context, item: Item) -> None:
    client = _tried(context, item)
    asked, findings = put(context, client, item.question, _Watch(context, item).look)
    figures = {"seconds": [None, asked.seconds], "length": [None, len(asked.text)], "declined": [False, declined(asked)], "added": 0, "lost": 0, "same": False}
    _keep(context, item, client, asked, figures, findings.passed)


def put(context: Context, client: Client, question: Question, watch: Callable[[], None]) -> tuple[Asked, expected.Findings]:
    """A check's question, as a new customer's first words. Raises the Model… errors."""
    options = replace(model_options(context, client.model, client.temperature), seed=CHECK_SEED)
    asked = asking.ask(context, client, [Turn(0, "in", question.question)], 1, watch=watch, now=context.now(), options=options)
    return asked, expected.judged(question, asked.text, declined(asked))


def declined(asked: Asked) -> bool:
    """By the model's mark, or in its words."""
    return asked.completion is None or asked.gap == grounding.DECLINED or declines(asked.text)


def compared(client: Client, turn: PastTurn, saw: list[Shown], asked: Asked) -> dict:
    """Before and now. Model seconds before are None for an answer that was a draft: its wait was not the model's."""
    old = replays.answer_given(turn, client)
    before, now = ({(each.place, each.text) for each in shown} for shown in (saw, asked.shown))
    return {
        "length": [len(old), len(asked.text)],
        "seconds": [turn.model_seconds or None, asked.seconds],
        "declined": [old == client.unknown_text or declines(old), declined(asked)],
        "added": len(now - before),
        "lost": len(before - now),
        "same": expected.folded(old) == expected.folded(asked.text),
    }


def _tried(context: Context, item: Item) -> Client:
    replay = rows.get(context.db, item.replay_id)
    if replay is None:
        raise Withdrawn
    return replays.tried(context, replay)


class _Watch:
    """Looks around while the model works: renews the lease, and stops what is no longer wanted."""

    def __init__(self, context: Context, item: Item):
        self.context, self.item = context, item
        self.renewed_at = context.now()

    def look(self) -> None:
        context, item, now = self.context, self.item, self.context.now()
        if context.stopping.is_set():
            raise Stopping
        if not rows.is_ours(context.db, item.id, item.claim_owner):
            raise Withdrawn
        if abs(now - self.renewed_at) >= context.settings.lease_seconds / 3:
            rows.renew(context.db, item.id, item.claim_owner, now + context.settings.lease_seconds)
            self.renewed_at = now


def _keep(context: Context, item: Item, client: Client, asked: Asked, figures: dict, passed: bool | None) -> None:
    now = context.now()
    passages = [[each.place, each.text] for each in asked.shown]
    rows.finish(context.db, item, asked.text, passages, figures, passed, now, asked.used)
    if asked.completion:
        models.answered(context.db, context.settings.ollama_host, client.model, now)


def _try_again(context: Context, item: Item, error: ModelError) -> None:
    log.warning("item %s of replay %s, try %s: %s", item.position, item.replay_id, item.failures + 1, error)
    if item.failures >= RETRIES:
        _fail(context, item, f"The model gave no answer, tried {RETRIES + 1} times: {error}.")
        return
    rows.give_back(context.db, item.id, item.claim_owner, context.now() + RETRY_SECONDS, failed=True)


def _wait_for_model(context: Context, item: Item, error: ModelAway) -> None:
    """Nothing is wrong with the item."""
    if replay := rows.get(context.db, item.replay_id):
        rows.give_back(context.db, item.id, item.claim_owner, write_down_away(context, replay.model, error))


def _fail(context: Context, item: Item, why: str) -> None:
    rows.fail(context.db, item, why, context.now())
