"""Schedules as people and programs make and change them; firing.py is what time does with them.

Imported where something is written, not by the workers: writing.py brings pydantic.
"""

import sqlite3
from dataclasses import dataclass
from typing import Any

from frontdesk.flows import addressee, firing, outgoing, recurrence, writing
from frontdesk.flows.contents import Sendable
from frontdesk.flows.context import Context
from frontdesk.flows.outgoing import CannotSend
from frontdesk.flows.recurrence import BadTime
from frontdesk.store import clients, conversations, numbers, schedules
from frontdesk.store.database import transaction
from frontdesk.store.schedules import Schedule

LATE_LIMIT_SECONDS = 3600
LEAST_LATE_LIMIT_SECONDS, MOST_LATE_LIMIT_SECONDS = 60, 30 * 24 * 3600
FURTHEST_SECONDS = 5 * 366 * 24 * 3600
LONGEST_NAME = 200

OPEN = ("active", "paused", "missed")


class CannotSchedule(CannotSend):
    """Nothing was changed. `code`: 'not_found', 'invalid', 'bad_rule', 'bad_time_zone', 'in_the_past', 'schedule_over'."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom to: a conversation's id, or a phone number (digits). When: `at` (UTC epoch seconds), or `rule` in words or as cron.

    `time_zone` None: the client's. `late_limit_seconds`: how late after a stop one that goes out once still may.
    """

    message: Sendable
    conversation_id: int | None = None
    phone: str | None = None
    number_id: int | None = None
    reply_to_external_id: str | None = None
    name: str = ""
    at: float | None = None
    rule: str | None = None
    time_zone: str | None = None
    late_limit_seconds: float = LATE_LIMIT_SECONDS


@dataclass(frozen=True, slots=True)
class Changes:
    """What stays as it is is None. `at` makes it one that goes out once, `rule` one that goes out again and again."""

    message: Sendable | None = None
    name: str | None = None
    at: float | None = None
    rule: str | None = None
    time_zone: str | None = None
    late_limit_seconds: float | None = None


def make(context: Context, wanted: Wanted, *, client_id: int | None = None, user_id: int | None = None) -> Schedule:
    """`client_id`: the one client that the asker may act for, None: every one. Raises CannotSend."""
    with transaction(context.db) as db:
        schedule_id = add(context, db, wanted, client_id=client_id, user_id=user_id)
    firing.ring(context)
    return schedules.get(context.db, schedule_id)


def add(context: Context, db: sqlite3.Connection, wanted: Wanted, *, client_id: int | None = None, user_id: int | None = None) -> int:
    """Like make(), inside the caller's transaction; it calls firing.ring() once that is committed."""
    number_id, conversation = _place(db, wanted, client_id)
    number = numbers.get(db, number_id)
    zone = _time_zone(wanted.time_zone or clients.get(db, number.client_id, context.settings).time_zone)
    rule, next_at = _when(context.now(), zone, wanted.at, wanted.rule)
    return schedules.add(
        db,
        client_id=number.client_id,
        number_id=number_id,
        conversation_id=conversation and conversation.id,
        phone=wanted.phone,
        name=_name(wanted.name),
        content=_content(context, db, number_id, conversation, wanted.message, wanted.reply_to_external_id),
        rule=rule,
        time_zone=zone,
        next_at=next_at,
        late_limit_seconds=_late_limit(wanted.late_limit_seconds),
        created_by=user_id,
        now=context.now(),
    )


def change(context: Context, public_id: str, changes: Changes, *, client_id: int | None = None) -> Schedule:
    """One that was missed is active again once it has a new time. Raises CannotSend."""
    with transaction(context.db) as db:
        schedule = _open(db, public_id, client_id)
        schedules.change(db, schedule.id, _values(context, db, schedule, changes), context.now())
    firing.ring(context)
    return schedules.get(context.db, schedule.id)


def pause(context: Context, public_id: str, *, client_id: int | None = None) -> Schedule:
    return _turn(context, public_id, client_id, "paused")


def resume(context: Context, public_id: str, *, client_id: int | None = None) -> Schedule:
    """What came due meanwhile is not sent: one that recurs goes on with its next time, one whose time has passed wants a new one."""
    return _turn(context, public_id, client_id, "active")


def cancel(context: Context, public_id: str, *, client_id: int | None = None) -> Schedule:
    """For ever; what is already on its way goes out. Cancelling again is no error."""
    return _turn(context, public_id, client_id, "cancelled")


def times_between(schedule: Schedule, begins_at: float, ends_at: float, most: int = 100) -> list[float]:
    """When an active one will go out from `begins_at` until before `ends_at`: for a calendar."""
    if schedule.state != "active" or schedule.next_at is None:
        return []
    found, at = [], schedule.next_at
    if schedule.rule and at < begins_at:
        at = recurrence.parse(schedule.rule).next_after(begins_at - 1, schedule.time_zone)
    while begins_at <= at < ends_at and len(found) < most:
        found.append(at)
        if schedule.rule is None:
            break
        at = recurrence.parse(schedule.rule).next_after(at, schedule.time_zone)
    return found


# --- what is asked, checked ------------------------------------------------------------------------------------------------------


def _place(db: sqlite3.Connection, wanted: Wanted, client_id: int | None) -> tuple[int, conversations.Conversation | None]:
    """As addressee.py finds it, of what is worth keeping for later."""
    if (wanted.conversation_id is None) == (wanted.phone is None):
        raise CannotSchedule("invalid", "Say to whom: either a conversation or a phone number.", "phone_number")
    phone = wanted.phone
    if phone is not None and not (phone.isascii() and phone.isdigit() and 5 <= len(phone) <= 20):
        raise CannotSchedule("invalid", "A phone number has 5 to 20 digits, beginning with the country's.", "phone_number")
    return addressee.find(db, conversation_id=wanted.conversation_id, phone=phone, number_id=wanted.number_id, client_id=client_id)


def _content(
    context: Context,
    db: sqlite3.Connection,
    number_id: int,
    conversation: conversations.Conversation | None,
    message: Sendable,
    reply_to_external_id: str | None,
) -> dict[str, Any]:
    """Whether the 24 hours are open is asked when it goes out; a template is checked now too."""
    if conversation is None and message.kind != "template":
        raise outgoing.window_closed(context, db, number_id, words="This person has not written yet.")
    ready = writing.outgoing(context, db, number_id, message, reply_to_external_id)
    if conversation and message.kind == "template":
        outgoing.check(context, db, conversation, ready)
    return firing.as_content(ready, message.model_dump(mode="json", exclude_none=True))


def _when(now: float, time_zone: str, at: float | None, rule: str | None) -> tuple[str | None, float]:
    """The rule as it was written, None for once; and the first time."""
    if (at is None) == (rule is None):
        raise CannotSchedule("invalid", "Say when: either a time (at) or a rule, like “every weekday 09:00”.", "at")
    if rule is not None:
        try:
            read = recurrence.parse(rule)
            return read.asked, read.next_after(now, time_zone)
        except BadTime as error:
            raise CannotSchedule("bad_rule", str(error), "rule") from None
    if at <= now:
        raise CannotSchedule("in_the_past", "This time has passed; give one that is still to come.", "at")
    if not at <= now + FURTHEST_SECONDS:
        raise CannotSchedule("invalid", "This time is over five years ahead; give a nearer one.", "at")
    return None, float(at)


def _time_zone(name: str) -> str:
    try:
        return recurrence.zone(name).key
    except BadTime as error:
        raise CannotSchedule("bad_time_zone", str(error), "time_zone") from None


def _name(name: str) -> str:
    if len(name.strip()) > LONGEST_NAME:
        raise CannotSchedule("invalid", f"A name has up to {LONGEST_NAME} characters.", "name")
    return name.strip()


def _late_limit(seconds: float) -> float:
    if not LEAST_LATE_LIMIT_SECONDS <= seconds <= MOST_LATE_LIMIT_SECONDS:
        raise CannotSchedule("invalid", "The late limit is between a minute and 30 days.", "late_limit_seconds")
    return float(seconds)


# --- what is there, changed ------------------------------------------------------------------------------------------------------


def _find(db: sqlite3.Connection, public_id: str, client_id: int | None) -> Schedule:
    schedule = schedules.find(db, public_id, client_id=client_id)
    if schedule is None:
        raise CannotSchedule("not_found", "There is no such schedule.")
    return schedule


def _open(db: sqlite3.Connection, public_id: str, client_id: int | None) -> Schedule:
    schedule = _find(db, public_id, client_id)
    if schedule.state not in OPEN:
        raise CannotSchedule("schedule_over", f"This schedule is {schedule.state}; make a new one.")
    return schedule


def _values(context: Context, db: sqlite3.Connection, schedule: Schedule, changes: Changes) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if changes.name is not None:
        values["name"] = _name(changes.name)
    if changes.late_limit_seconds is not None:
        values["late_limit_seconds"] = _late_limit(changes.late_limit_seconds)
    if changes.message is not None:
        conversation = conversations.get(db, schedule.conversation_id) if schedule.conversation_id is not None else None
        reply_to = schedule.content.get("reply_to_external_id")
        values["content"] = _content(context, db, schedule.number_id, conversation, changes.message, reply_to)
    if changes.time_zone is not None:
        values["time_zone"] = _time_zone(changes.time_zone)
    moved = changes.time_zone is not None and schedule.rule is not None and changes.at is None
    if changes.at is not None or changes.rule is not None or moved:
        rule = changes.rule or (schedule.rule if moved else None)
        values["rule"], values["next_at"] = _when(context.now(), values.get("time_zone", schedule.time_zone), changes.at, rule)
        values["state"] = "paused" if schedule.state == "paused" else "active"
    return values


def _turn(context: Context, public_id: str, client_id: int | None, state: str) -> Schedule:
    with transaction(context.db) as db:
        schedule = _find(db, public_id, client_id)
        if schedule.state != state:
            schedule = _open(db, public_id, client_id)
            schedules.change(db, schedule.id, _turned(schedule, state, context.now()), context.now())
    firing.ring(context)
    return schedules.get(context.db, schedule.id)


def _turned(schedule: Schedule, state: str, now: float) -> dict[str, Any]:
    if state == "cancelled":
        return {"state": state, "next_at": None}
    if schedule.state == "missed":
        raise CannotSchedule("in_the_past", "Its time has passed; give it a new one.", "at")
    if state == "paused":
        return {"state": state}
    if schedule.rule:
        _, next_at = _when(now, schedule.time_zone, None, schedule.rule)
        return {"state": state, "next_at": next_at}
    if schedule.next_at <= now:
        raise CannotSchedule("in_the_past", "Its time has passed; give it a new one.", "at")
    return {"state": state}


