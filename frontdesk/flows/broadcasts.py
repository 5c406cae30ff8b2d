"""Broadcasts as people and programs control them: made, started, paused, resumed, cancelled; and what pauses them by itself.

broadcasting.py sends. Nothing here waits for it: it looks at the row before each handful of messages.
"""

import logging
import sqlite3
from dataclasses import dataclass
from typing import Any

from frontdesk.errors import SendError, Throttled
from frontdesk.flows import media, template_parts
from frontdesk.flows.context import Context
from frontdesk.flows.outgoing import CannotSend
from frontdesk.flows.template_parts import BadVariable
from frontdesk.store import audience_members, audiences, audit, broadcasts, callbacks, media as media_rows, numbers, templates
from frontdesk.store.broadcasts import Broadcast
from frontdesk.store.database import transaction
from frontdesk.store.outbox import Outbound
from frontdesk.store.templates import Template

log = logging.getLogger(__name__)

LONGEST_NAME = 200
FURTHEST_SECONDS = 366 * 24 * 3600
LONGEST_SPREAD_SECONDS = 14 * 24 * 3600
LEAST_COUNTED = 50  # messages before an error rate says anything

TEMPLATE_IS_OVER = {132015: "PAUSED", 132016: "DISABLED"}


class CannotBroadcast(CannotSend):
    """Nothing was changed. `code`: 'not_found', 'invalid', 'not_ready', 'template_unusable', 'bad_variable', 'wrong_state'."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """`variables`: slot → {"column": a variable of the audience} or {"text": the same for everybody}. Minutes of the day, UTC epoch seconds.

    `media_id`: the public id of the header's file.
    """

    name: str
    number_id: int
    audience_id: int
    template: str
    language: str
    variables: dict[str, dict[str, str]]
    media_id: str | None = None
    messages_per_second: float | None = None
    spread_seconds: float | None = None
    quiet_from: int | None = None
    quiet_until: int | None = None
    most_waiting: int | None = None
    error_limit: float = 0.1
    callback_url: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One recipient's message as it will be. `problem`: why it would be skipped."""

    phone: str
    filled: template_parts.Filled | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """`left`: members that are no message yet, and messages still on their way. `rate` in messages a second, `seconds_left` None where unknown."""

    total: int
    sent: int
    delivered: int
    read: int
    failed: int
    unknown: int
    skipped: int
    answered: int | None
    opted_out: int | None
    left: int
    rate: float
    seconds_left: float | None


# --- making ---------------------------------------------------------------------------------------------------------------------------


def make(context: Context, wanted: Wanted, *, client_id: int | None = None, user_id: int | None = None) -> Broadcast:
    """A draft. `client_id`: the one client that the asker may act for. Raises CannotBroadcast."""
    with transaction(context.db) as db:
        broadcast_id = add(context, db, wanted, client_id=client_id, user_id=user_id)
    return broadcasts.get(context.db, broadcast_id)


def add(context: Context, db: sqlite3.Connection, wanted: Wanted, *, client_id: int | None = None, user_id: int | None = None) -> int:
    """Like make(), inside the caller's transaction."""
    columns = _columns(db, wanted, client_id)
    broadcast_id = broadcasts.add(db, context.now(), created_by=user_id, **columns)
    _record(db, "made", broadcast_id, context.now(), client_id=columns["client_id"], audience_id=columns["audience_id"])
    return broadcast_id


def change(context: Context, broadcast_id: int, wanted: Wanted, *, client_id: int | None = None) -> None:
    """All of it, while it has not begun. Raises CannotBroadcast."""
    with transaction(context.db) as db:
        columns = _columns(db, wanted, client_id)
        if columns["client_id"] != broadcasts.get(db, broadcast_id).client_id:
            raise CannotBroadcast("not_found", "There is no such number of this broadcast's client.", "number_id")
        if not broadcasts.change(db, broadcast_id, **columns):
            raise CannotBroadcast("wrong_state", "It has begun; it cannot be changed any more.")
        _record(db, "changed", broadcast_id, context.now())


def _record(db: sqlite3.Connection, what: str, broadcast_id: int, now: float, **details: Any) -> None:
    audit.record(db, f"broadcast.{what}", f"broadcast {broadcast_id}", now, **details)


def _columns(db: sqlite3.Connection, wanted: Wanted, client_id: int | None) -> dict[str, Any]:
    """As its row has it. Raises CannotBroadcast."""
    number = numbers.get(db, wanted.number_id) if numbers.known(db, wanted.number_id) else None
    if number is None or client_id not in (None, number.client_id):
        raise CannotBroadcast("not_found", "There is no such number.", "number_id")
    if number.channel != "cloud":
        raise CannotBroadcast("not_on_this_channel", "Broadcasts go through a number at Meta: this one sends no templates.", "number_id")
    audience = audiences.get(db, wanted.audience_id)
    if audience is None or audience.client_id != number.client_id:
        raise CannotBroadcast("not_found", "There is no such audience of this number's client.", "audience_id")
    if audience.state != "ready" or not audience.good:
        words = "It has no recipients." if audience.state == "ready" else "It is still being read."
        raise CannotBroadcast("not_ready", words, "audience_id")
    template = _template(db, number, wanted)
    found = _file(db, template, wanted, number.client_id)
    _check_variables(template, wanted.variables, audience.names)
    _check_limits(wanted)
    return {
        "client_id": number.client_id,
        "number_id": number.id,
        "audience_id": audience.id,
        "name": wanted.name.strip() or audience.name,
        "content": {"name": wanted.template, "language": wanted.language, "variables": wanted.variables, "file": found and _shown(found, template)},
        "media_id": found and found.id,
        "messages_per_second": wanted.messages_per_second,
        "spread_seconds": wanted.spread_seconds,
        "quiet_from": wanted.quiet_from,
        "quiet_until": wanted.quiet_until,
        "most_waiting": wanted.most_waiting,
        "error_limit": wanted.error_limit,
        "total": audience.good,
        "callback_url": wanted.callback_url,
    }


def _template(db: sqlite3.Connection, number: numbers.Number, wanted: Wanted) -> Template:
    template = templates.find(db, number.account_id, wanted.template, wanted.language)
    if template is None:
        raise CannotBroadcast("template_unusable", f"There is no template {wanted.template} in {wanted.language} on this number's account.", "template")
    if obstacle := template_parts.obstacle(template):
        raise CannotBroadcast("template_unusable", f"The template {wanted.template}: {obstacle}", "template")
    return template


def _file(db: sqlite3.Connection, template: Template, wanted: Wanted, client_id: int) -> media_rows.Media | None:
    kind = template_parts.header_file(template)
    if kind is None:
        return None
    found = media_rows.by_public_id(db, wanted.media_id) if wanted.media_id else None
    if found is None or found.client_id != client_id:
        raise CannotBroadcast("invalid", f"The template's heading is a file: give one of type {kind}.", "media_id")
    if kind not in media.kinds(found):
        raise CannotBroadcast("invalid", f"This file cannot go as {kind}.", "media_id")
    return found


def _shown(found: media_rows.Media, template: Template) -> dict[str, Any]:
    return {"kind": template_parts.header_file(template), "filename": found.filename, "mime_type": found.mime_type}


def _check_variables(template: Template, given: dict[str, dict[str, str]], columns: list[str]) -> None:
    wanted = {slot.name for slot in template_parts.slots(template)}
    if missing := sorted(wanted - given.keys()):
        raise CannotBroadcast("bad_variable", f"Say what stands for: {', '.join(missing)}.", f"variables.{missing[0]}")
    if extra := sorted(given.keys() - wanted):
        raise CannotBroadcast("bad_variable", f"The template has no variable {extra[0]}.", f"variables.{extra[0]}")
    for name, source in given.items():
        if "column" in source and source["column"] not in columns:
            raise CannotBroadcast("bad_variable", f"The audience has no column {source['column']}.", f"variables.{name}")
        if "column" not in source and not source.get("text", "").strip():
            raise CannotBroadcast("bad_variable", "WhatsApp refuses an empty variable.", f"variables.{name}")


def _check_limits(wanted: Wanted) -> None:
    if len(wanted.name) > LONGEST_NAME:
        raise CannotBroadcast("invalid", f"A name has up to {LONGEST_NAME} characters.", "name")
    if wanted.messages_per_second is not None and not 0.01 <= wanted.messages_per_second <= 1000:
        raise CannotBroadcast("invalid", "Between 0.01 and 1,000 messages a second.", "messages_per_second")
    if wanted.spread_seconds is not None and not 60 <= wanted.spread_seconds <= LONGEST_SPREAD_SECONDS:
        raise CannotBroadcast("invalid", "Between a minute and 14 days.", "spread_seconds")
    if not 0.01 <= wanted.error_limit <= 1:
        raise CannotBroadcast("invalid", "Between 1 and 100 %.", "error_limit")
    for field, minute in (("quiet_from", wanted.quiet_from), ("quiet_until", wanted.quiet_until)):
        if minute is not None and not 0 <= minute < 1440:
            raise CannotBroadcast("invalid", "A time of day, in minutes since midnight.", field)
    if (wanted.quiet_from is None) != (wanted.quiet_until is None):
        raise CannotBroadcast("invalid", "Quiet hours have a beginning and an end.", "quiet_until")


def samples(context: Context, broadcast: Broadcast, count: int = 5) -> list[Sample]:
    """The first recipients' messages."""
    number = numbers.get(context.db, broadcast.number_id)
    template = templates.find(context.db, number.account_id, broadcast.content["name"], broadcast.content["language"])
    if template is None:
        return []
    found = []
    for member in audience_members.after(context.db, broadcast.audience_id, 0, count):
        try:
            found.append(Sample(member.phone, template_parts.fill(template, variables_for(broadcast, member.variables), filename(broadcast)), None))
        except BadVariable as error:
            found.append(Sample(member.phone, None, f"variable {error.field.rpartition('.')[2]}: {error}"))
    return found


def variables_for(broadcast: Broadcast, columns: dict[str, str]) -> dict[str, str]:
    """A recipient's variables. An empty column is left in, for fill() to refuse."""
    return {
        name: columns.get(source["column"], "") if "column" in source else source["text"] for name, source in broadcast.content["variables"].items()
    }


def filename(broadcast: Broadcast) -> str | None:
    file = broadcast.content.get("file")
    return file["filename"] if file and file["kind"] == "document" else None


def shown(broadcast: Broadcast) -> dict[str, Any] | None:
    return broadcast.content.get("file")


def estimate_seconds(context: Context, broadcast: Broadcast) -> float:
    """How long it takes at its rate, without quiet hours."""
    rate = min(numbers.get(context.db, broadcast.number_id).messages_per_second, broadcast.messages_per_second or 1000)
    return max(broadcast.total / rate, broadcast.spread_seconds or 0)


# --- control --------------------------------------------------------------------------------------------------------------------------


def start(context: Context, broadcast_id: int, at: float | None = None) -> None:
    """Now, or at that time. Raises CannotBroadcast."""
    now = context.now()
    if at is not None and at > now + FURTHEST_SECONDS:
        raise CannotBroadcast("invalid", "This time is over a year ahead.", "at")
    if at is None or at <= now:
        _turned(context, broadcast_id, "started", "running", ("draft", "scheduled"), started_at=now, starts_at=None)
        return ring(context)
    _turned(context, broadcast_id, "started", "scheduled", ("draft", "scheduled"), starts_at=at)


def pause(context: Context, broadcast_id: int) -> None:
    """At once: what is on its way arrives, nothing more begins."""
    _turned(context, broadcast_id, "paused", "paused", ("running",), pause_code="person", pause_words="Somebody of the desk paused it.")


def resume(context: Context, broadcast_id: int) -> None:
    """Errors are counted anew."""
    tally = broadcasts.tally(context.db, broadcast_id)
    guard = {"guard_failed": tally.get("failed", 0), "guard_out": broadcasts.out(tally), "resumed_at": context.now()}
    _turned(context, broadcast_id, "resumed", "running", ("paused",), pause_code=None, pause_words=None, **guard)
    ring(context)


def cancel(context: Context, broadcast_id: int) -> None:
    """For ever."""
    with transaction(context.db) as db:
        if not broadcasts.turn(db, broadcast_id, "cancelled", ("draft", "scheduled", "running", "paused"), finished_at=context.now()):
            raise CannotBroadcast("wrong_state", "It is over already.")
        broadcasts.withdraw(db, broadcast_id)
        _record(db, "cancelled", broadcast_id, context.now())


def _turned(context: Context, broadcast_id: int, deed: str, state: str, come_from: tuple[str, ...], **columns: Any) -> None:
    with transaction(context.db) as db:
        if not broadcasts.turn(db, broadcast_id, state, come_from, **columns):
            now = broadcasts.get(db, broadcast_id)
            raise CannotBroadcast("wrong_state", f"It is {now.state if now else 'gone'}; that is not possible now.")
        _record(db, deed, broadcast_id, context.now(), **({"starts_at": columns["starts_at"]} if columns.get("starts_at") else {}))


def ring(context: Context) -> None:
    with context.ringing():
        context.queues.broadcasts()


def sweep(context: Context) -> None:
    """Those whose time has come begin; what runs and has no job gets one."""
    for broadcast_id in broadcasts.to_start(context.db, context.now()):
        broadcasts.turn(context.db, broadcast_id, "running", ("scheduled",), started_at=context.now(), starts_at=None)
    if broadcasts.running(context.db):
        context.queues.broadcasts()


def finish(context: Context, broadcast: Broadcast) -> None:
    """Done, and whoever asked is told: one transaction."""
    with transaction(context.db) as db:
        if not broadcasts.turn(db, broadcast.id, "done", ("running",), finished_at=context.now()):
            return
        tally = broadcasts.tally(db, broadcast.id)
        told = {"broadcast_id": broadcast.public_id, "name": broadcast.name, "total": broadcast.total, "sent": broadcasts.out(tally)}
        told |= {"failed": tally.get("failed", 0), "skipped": sum(broadcasts.skips(db, broadcast.id).values())}
        callback_id = None
        if broadcast.callback_url:
            callback_id = callbacks.add(db, broadcast.client_id, broadcast.callback_url, "broadcast.done", told, context.now())
    if callback_id is not None:
        with context.ringing():
            context.queues.call_back(callback_id)
    log.info("broadcast %s is done", broadcast.id)


# --- what pauses it by itself -----------------------------------------------------------------------------------------------------------


def pause_for(context: Context, broadcast_id: int, code: str, words: str) -> None:
    if broadcasts.turn(context.db, broadcast_id, "paused", ("running",), pause_code=code, pause_words=words):
        log.warning("broadcast %s pauses: %s", broadcast_id, words)


def too_many_errors(db: sqlite3.Connection, broadcast: Broadcast) -> str | None:
    tally = broadcasts.tally(db, broadcast.id)
    failed, out = tally.get("failed", 0) - broadcast.guard_failed, broadcasts.out(tally) - broadcast.guard_out
    if failed + out < LEAST_COUNTED or failed < broadcast.error_limit * (failed + out):
        return None
    return f"{failed} of {failed + out} messages failed, over {broadcast.error_limit:.0%}. Look at the causes, then resume."


def pauses_for(db: sqlite3.Connection, message: Outbound, error: SendError) -> list[tuple[int, str, str]]:
    """Broadcasts that this error is a reason to pause: (id, code, words). Inside a transaction."""
    if isinstance(error, Throttled) and error.pause_broadcasts:
        words = f"WhatsApp limits this number because of what people think of its messages ({error.code})."
        return [(one.id, "disliked", words) for one in broadcasts.running(db) if one.number_id == message.number_id]
    if error.code in TEMPLATE_IS_OVER:
        body = message.content.body
        account_id = numbers.get(db, message.number_id).account_id
        templates.change(db, account_id, body["name"], body["language"]["code"], status=TEMPLATE_IS_OVER[error.code])
        words = f"WhatsApp says that the template {body['name']} is {TEMPLATE_IS_OVER[error.code].lower()} ({error.code})."
        running = [one for one in broadcasts.running(db) if one.content["name"] == body["name"]]
        return [(one.id, "template_unusable", words) for one in running]
    return []


# --- how it stands ----------------------------------------------------------------------------------------------------------------------


def _rate(broadcast: Broadcast, out: int, now: float) -> float:
    """Messages a second: while it runs, since it last began to; of one that is over, from beginning to end."""
    if broadcast.finished_at is None and broadcast.resumed_at is not None:
        begun, out = broadcast.resumed_at, out - broadcast.guard_out
    else:
        begun = broadcast.started_at
    seconds = (broadcast.finished_at or now) - begun if begun else 0
    return out / seconds if seconds > 0 else 0


def progress(context: Context, broadcast: Broadcast, *, brief: bool = False) -> Progress:
    """`brief`: without `answered` and `opted_out`, which look at every recipient (0.1 s of 100,000): for lists."""
    db = context.db
    tally = broadcasts.tally(db, broadcast.id)
    skipped = sum(broadcasts.skips(db, broadcast.id).values())
    delivered, read = tally.get("delivered", 0), tally.get("read", 0) + tally.get("played", 0)
    out = broadcasts.out(tally)
    open_ = sum(tally.get(state, 0) for state in broadcasts.OPEN_STATES)
    left = broadcast.total - broadcast.position + open_ if broadcast.state != "cancelled" else 0
    rate = _rate(broadcast, out, context.now())
    return Progress(
        total=broadcast.total,
        sent=out,
        delivered=delivered + read,
        read=read,
        failed=tally.get("failed", 0),
        unknown=tally.get("unknown", 0),
        skipped=skipped,
        answered=None if brief else broadcasts.answered(db, broadcast.id),
        opted_out=None if brief else broadcasts.opted_out(db, broadcast.id),
        left=left,
        rate=rate,
        seconds_left=left / rate if broadcast.state == "running" and rate > 0 else None,
    )
