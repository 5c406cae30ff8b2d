"""The sweep: what SQLite says is due is rung for again. It makes every lost bell, job and process good."""

import logging
import sqlite3
from collections.abc import Callable

from frontdesk import queues
from frontdesk.flows import alerting, audience, broadcasts, callbacks, digests, document_reading, document_work, documents, embedding, erasing, firing
from frontdesk.flows import forgetting, knowledge, media, model_hosts, question_groups, receiving, reindexing, replaying, replays, sending, suggest
from frontdesk.flows import take_over, trying, waits
from frontdesk.flows.context import Context
from frontdesk.store import alerts as alert_rows, api_tokens, callbacks as callback_rows, clients, conversations, digests as digest_rows, login_links
from frontdesk.store import measures, models, outbox, replays as replay_rows, schedules, suggestions, tries, user_sessions
from frontdesk.store.database import transaction

log = logging.getLogger(__name__)

CALLBACKS_KEPT_SECONDS = 30 * 24 * 3600
KEY_KEPT_SECONDS = 24 * 3600  # as the API's description promises
UNMATCHED_KEPT_SECONDS = 30 * 24 * 3600
DRAFT_IS_LATE_SECONDS = 120
MEASURES_KEPT_SECONDS = 400 * 24 * 3600
FIRINGS_KEPT_SECONDS = 400 * 24 * 3600


def sweep(context: Context) -> None:
    """Rings again for: the inbox, abandoned and unproven sends, due sends, schedules and answers, agents' drafts, owners' tries, documents, replays, a model
    that is away, imports that died, media to be fetched, customers' files.

    Also what only time brings about: conversations that go back to the bot, customers who are told that it takes long.
    Each part by itself: what breaks in one holds up no other, and is raised at the end.
    """
    broken = None
    for part in _PARTS:
        try:
            part(context)
        except (queues.RedisError, sqlite3.OperationalError):
            raise  # the others want these too
        except Exception as error:
            log.exception("sweep: a part of it failed")
            broken = error
    if broken:
        raise broken


def _ring_for_inbox(context: Context) -> None:
    if context.inbox.length():
        context.queues.drain()


def _settle_sends(context: Context) -> None:
    """What lies unread may hold the proof: silence counts up to the oldest webhook that nobody has read yet."""
    settings, now = context.settings, context.now()
    unread_since = context.inbox.unread_since()
    with transaction(context.db) as db:
        abandoned = outbox.park_abandoned(db, now, settings.lease_seconds + settings.graph_timeout_seconds, now + settings.unknown_wait_seconds)
        unproven = outbox.unproven(db, now, settings.unknown_wait_seconds, now if unread_since is None else unread_since)
        again = [message.id for message in unproven if sending.settle_unproven(context, db, message, now)]
    if abandoned or unproven:
        log.info("sweep: %s abandoned sends parked, %s unproven ones sent again", abandoned, len(again))


def _ring_for_sends_and_answers(context: Context) -> None:
    now = context.now()
    context.queues.send(outbox.to_send(context.db, now))
    if conversations.due(context.db, now, context.settings.lease_seconds, limit=1):
        context.queues.reply(force=not context.queues.depth("default"))


def _ring_for_people_of_the_desk(context: Context) -> None:
    before = context.now() - DRAFT_IS_LATE_SECONDS
    for suggestion_id in suggestions.wanted_since(context.db, before):
        context.queues.suggest(suggestion_id)
    for try_id in tries.wanted_since(context.db, before):
        context.queues.try_prompt(try_id)


def _ring_for_media(context: Context) -> None:
    for media_id in media.due(context):
        context.queues.fetch_media(media_id)


def _roll_up(context: Context) -> None:
    with transaction(context.db) as db:
        measures.roll_up(db, context.now())


def _ring_for_documents(context: Context) -> None:
    document_work.correct_times(context)
    document_work.give_up(context)
    if any(document_work.waiting(context)):  # what this process' own server cannot do, another worker's may
        context.queues.documents(force=not context.queues.depth("documents"))
    if document_reading.is_due(context):
        context.queues.document_files(force=not context.queues.depth("bulk"))


def _ring_for_models(context: Context) -> None:
    """A model that went away is asked again also while nobody writes, so that the operator sees it come back."""
    names = clients.models_in_use(context.db, context.settings)
    states = [models.get(context.db, host, model) for model in names for host in model_hosts.reply_hosts(context)]
    if any(state.retry_at and state.retry_at <= context.now() for state in states):
        context.queues.warm_up()


_PARTS: tuple[Callable[[Context], object], ...] = (
    _ring_for_inbox,
    _settle_sends,
    take_over.hand_back_what_was_left,
    waits.tell_who_waits_long,
    _ring_for_people_of_the_desk,
    receiving.sweep,
    _ring_for_media,
    _roll_up,
    firing.look_at_clock,
    firing.ring,
    _ring_for_sends_and_answers,
    knowledge.sweep,
    embedding.sweep,
    reindexing.sweep,
    question_groups.sweep,
    _ring_for_documents,
    replaying.sweep,
    _ring_for_models,
    audience.sweep,
    broadcasts.sweep,
    callbacks.sweep,
    erasing.sweep,
    digests.sweep,
)


def clean(context: Context) -> None:
    """Nightly: statuses of messages that never became known, log-ins and links that are over, files that nobody uses, documents'
    results past their time, names of those erased long ago, old entries of the audit log. Old messages go after it (forgetting.py).
    """
    now = context.now()
    documents.expire(context)
    with transaction(context.db) as db:
        outbox.clean_unmatched(db, now - UNMATCHED_KEPT_SECONDS)
        user_sessions.forget_expired(db, now)
        login_links.forget_expired(db, now)
        suggestions.clean(db, now - suggest.KEPT_SECONDS)
        api_tokens.clean(db, now - KEY_KEPT_SECONDS)
        callback_rows.clean(db, now - CALLBACKS_KEPT_SECONDS)
        alert_rows.clean(db, now - alerting.KEPT_SECONDS)
        measures.clean(db, now - MEASURES_KEPT_SECONDS)
        schedules.clean(db, now - FIRINGS_KEPT_SECONDS)
        digest_rows.clean(db, now - digests.KEPT_SECONDS)
        tries.clean(db, now - trying.KEPT_SECONDS)
        replay_rows.clean(db, now - replays.KEPT_SECONDS)
    media.clean(context)
    embedding.clean(context)
    question_groups.clean(context)
    erasing.clean(context)
    forgetting.clean(context)
