"""When what people scheduled comes due: the firing, the message and the schedule's next time, in one transaction.

SQLite is the truth: whoever looks, and however often, each time of a schedule fires once. Redis holds one bell for the earliest.
A schedule's `content` is an Outgoing as JSON (`kind`, `text`, `body`, `media_id`, `media`, `reply_to_external_id`); what else is
in it is for people to change it by.
"""

import logging
import math
import sqlite3
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import Any

from frontdesk.channels import Content, Person
from frontdesk.errors import FrontdeskError
from frontdesk.flows import outgoing, recurrence
from frontdesk.flows.context import Context
from frontdesk.flows.outgoing import CannotSend, Outgoing
from frontdesk.store import contacts, conversations, listing, schedules
from frontdesk.store.database import savepoint, transaction
from frontdesk.store.schedules import Firing, Schedule

log = logging.getLogger(__name__)

# A transaction of this many takes some 40 ms, in which nobody else can write; those who wait look again now and then.
BATCH = 200
BREATH_SECONDS = 0.01

# So long a job fires at most: behind it a drain may wait for the same worker. The bell, set in the past, brings the next job.
TURN_SECONDS = 0.25

IS_LATE_SECONDS = 60


def as_content(ready: Outgoing, given: dict[str, Any]) -> dict[str, Any]:
    """How a schedule keeps what it sends. `given`: what the person wrote, for changing it later."""
    return {**asdict(ready.content), **{name: value for name, value in asdict(ready).items() if name != "content"}, "given": given}


def as_outgoing(content: dict[str, Any]) -> Outgoing:
    return Outgoing(
        Content(content["kind"], content["text"], content.get("body")),
        media_id=content.get("media_id"),
        media=content.get("media"),
        reply_to_external_id=content.get("reply_to_external_id"),
    )


def ring(context: Context) -> None:
    """Set the bell for the earliest. Called after every change, by the sweep too: Redis may have lost it."""
    earliest = schedules.earliest(context.db)
    if earliest is not None:
        with context.ringing():
            context.bells.schedules_at(earliest, context.now())


def look_at_clock(context: Context) -> None:
    """What fired in the future, because the clock was wrong then, would sleep until its next time after that: set right."""
    now = context.now()
    for schedule in schedules.fired_after(context.db, now + IS_LATE_SECONDS):
        next_at = recurrence.parse(schedule.rule).next_after(now, schedule.time_zone)
        if next_at < schedule.next_at:
            schedules.bring_forward(context.db, schedule, next_at)


def fire_due(context: Context, most_seconds: float = math.inf) -> int:
    """What is due by now, in batches, for so long. Returns how many were fired, missed or refused."""
    fired, ends_at = 0, time.monotonic() + most_seconds
    while not context.stopping.is_set():
        count, to_ring = _fire_batch(context)
        if not count:
            break
        fired += count
        with context.ringing():
            context.queues.send(to_ring)
        if count < BATCH or time.monotonic() >= ends_at:
            break
        time.sleep(BREATH_SECONDS)
    ring(context)
    return fired


def _fire_batch(context: Context) -> tuple[int, list[int]]:
    """How many, and the conversations with something to send."""
    now, to_ring = context.now(), {}
    following = cache(lambda rule, time_zone, after: recurrence.parse(rule).next_after(after, time_zone))
    with transaction(context.db) as db:
        batch = schedules.due(db, now, BATCH)
        for schedule in batch:
            if conversation_id := _fire(context, db, schedule, now, following):
                to_ring[conversation_id] = None
    return len(batch), list(to_ring)


def _fire(context: Context, db: sqlite3.Connection, schedule: Schedule, now: float, following: Callable[..., float]) -> int | None:
    """The conversation to send in. One that breaks is paused, and holds up none of its neighbours."""
    try:
        with savepoint(db):
            return _fire_one(context, db, schedule, now, following)
    except Exception as error:
        if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError):
            raise  # the database's fault, not this row's
        log.exception("schedule %s is broken, and paused", schedule.id)
        words = str(error) if isinstance(error, FrontdeskError) else f"It could not be read ({type(error).__name__})."
        if not schedules.has_fired(db, schedule.id, schedule.next_at):
            _not_sent(db, schedule, now, "refused", "broken", words)
        schedules.move_on(db, schedule.id, "paused", schedule.next_at, None)
        return None


def _fire_one(context: Context, db: sqlite3.Connection, schedule: Schedule, now: float, following: Callable[..., float]) -> int | None:
    late_seconds = now - schedule.next_at
    next_at = following(schedule.rule, schedule.time_zone, max(now, schedule.next_at)) if schedule.rule else None
    state = "active" if schedule.rule else "done"
    if schedules.has_fired(db, schedule.id, schedule.next_at):  # the clock was set back, and the schedule changed
        schedules.move_on(db, schedule.id, state, next_at, None)
        return None
    if schedule.rule is None and late_seconds >= schedule.late_limit_seconds:
        _not_sent(db, schedule, now, "missed", "late", f"Frontdesk was stopped when it was due, and came back {lateness(late_seconds)} later.")
        schedules.move_on(db, schedule.id, "missed", None, None)
        return None
    if schedule.rule and schedules.waits_still(db, schedule.id):  # its number is stopped, say: they must not pile up
        _record(db, schedule, now, "refused", code="still_waiting", words="The one before it still waits to be sent.")
        schedules.move_on(db, schedule.id, state, next_at, None)
        return None
    try:
        conversation = _conversation(db, schedule, now)
        message_id = outgoing.queue(context, db, conversation, as_outgoing(schedule.content), purpose="schedule")
    except CannotSend as error:
        _not_sent(db, schedule, now, "refused", error.code, str(error))
        schedules.move_on(db, schedule.id, state, next_at, None)
        return None
    words = f"It went out {lateness(late_seconds)} late." if late_seconds >= IS_LATE_SECONDS else None
    _record(db, schedule, now, "sent", message_id=message_id, words=words)
    schedules.move_on(db, schedule.id, state, next_at, now)
    return conversation.id


def _conversation(db: sqlite3.Connection, schedule: Schedule, now: float) -> conversations.Conversation:
    """That of somebody never met begins here, where a template opens it."""
    if schedule.conversation_id is not None:
        return conversations.get(db, schedule.conversation_id)
    known = listing.conversation_with(db, schedule.phone, number_id=schedule.number_id, client_id=schedule.client_id)
    if known is None:
        contact_id = contacts.resolve(db, schedule.client_id, Person(phone=schedule.phone), now)
        known = conversations.of(db, schedule.number_id, contact_id, now)
    schedules.met(db, schedule.id, known)
    return conversations.get(db, known)


def _not_sent(db: sqlite3.Connection, schedule: Schedule, now: float, outcome: str, code: str, words: str) -> None:
    _record(db, schedule, now, outcome, code=code, words=words)
    if schedule.conversation_id is not None:
        conversations.need_person(db, schedule.conversation_id, "schedule", now)
    log.warning("schedule %s: %s (%s)", schedule.id, outcome, code)


def _record(db: sqlite3.Connection, schedule: Schedule, now: float, outcome: str, **more: Any) -> None:
    values = {"message_id": None, "code": None, "words": None, **more}
    schedules.record_firing(db, Firing(schedule.id, schedule.next_at, now, outcome, **values))


def lateness(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes < 120:
        return f"{minutes} minutes" if minutes != 1 else "1 minute"
    hours = minutes // 60
    return f"{hours} hours" if hours < 48 else f"{hours // 24} days"
