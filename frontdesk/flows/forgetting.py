"""What is past its time goes each night: old messages, and closed conversations with all that was said in them.

In transactions of some milliseconds with as long a pause after each, so that nobody who writes meanwhile waits for more than one.
"""

import logging
import time
from collections.abc import Iterator

from frontdesk.flows import erasing
from frontdesk.flows.context import Context
from frontdesk.store import audit, retention
from frontdesk.store.database import transaction

log = logging.getLogger(__name__)

DAY = 24 * 3600
TURN_SECONDS = 60  # then whatever else the worker has to do


def clean(context: Context) -> None:
    """Nightly; the rest is rung for."""
    with transaction(context.db) as db:
        while audit.clean(db, context.now() - context.settings.audit_keep_days * DAY):
            pass
    if any(limit.messages_days or limit.closed_days for limit in retention.limits(context.db, context.settings)):
        context.queues.forget_old()


def forget_old(context: Context) -> None:
    """For a minute; rings for itself while something is left. A job that dies leaves the rest to the next night."""
    ends_at = time.monotonic() + TURN_SECONDS
    messages = conversations = 0
    unfinished = False
    for deleted, is_conversation in _steps(context):
        messages, conversations = messages + deleted, conversations + is_conversation
        if unfinished := context.stopping.is_set() or time.monotonic() > ends_at:
            break
    if messages or conversations:
        with transaction(context.db) as db:
            audit.record(db, "retention.cleaned", None, context.now(), messages=messages, conversations=conversations)
        log.info("past their time: %s messages, %s conversations deleted", messages, conversations)
    if unfinished:
        context.queues.forget_old()
    elif messages:
        erasing.merge_search(context)


def _steps(context: Context) -> Iterator[tuple[int, bool]]:
    """(messages deleted, whether a conversation was), a transaction each."""
    for limit in retention.limits(context.db, context.settings):
        if limit.messages_days:
            yield from _old_messages(context, limit.client_id, context.now() - limit.messages_days * DAY)
        if limit.closed_days:
            yield from _closed(context, limit.client_id, context.now() - limit.closed_days * DAY)


def _old_messages(context: Context, client_id: int, before: float) -> Iterator[tuple[int, bool]]:
    after_id: int | None = 0
    while after_id is not None:
        ids, after_id = retention.old_messages(context.db, client_id, before, after_id)
        yield _deleted(context, ids), False


def _closed(context: Context, client_id: int, before: float) -> Iterator[tuple[int, bool]]:
    last = 0
    while found := retention.old_conversations(context.db, client_id, before, last):
        for conversation_id in found:
            while (ids := retention.messages_of(context.db, conversation_id)) and (count := _deleted(context, ids)):
                yield count, False
            with transaction(context.db) as db:
                gone = retention.delete_conversation(db, conversation_id)
            yield 0, gone
        last = found[-1]


def _deleted(context: Context, ids: list[int]) -> int:
    if not ids:
        return 0
    began = time.monotonic()
    with transaction(context.db) as db:
        count = retention.delete_messages(db, ids)
    time.sleep(min(time.monotonic() - began, 1.0))
    return count
