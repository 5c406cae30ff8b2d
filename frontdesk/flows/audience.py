"""Audiences: a list or a choice of contacts is asked for here, and read in by one job in batches, each one transaction.

The checkpoint is kept with the batch that it stands behind: whoever goes on after a death has every row once.
"""

import logging
import sqlite3
import uuid
from typing import BinaryIO

from frontdesk.channels.cloud_errors import UNREACHABLE
from frontdesk.errors import UnreadableFile
from frontdesk.flows import audience_source, audience_uploads, contact_filter, erased
from frontdesk.flows.audience_source import Row, Source
from frontdesk.flows.context import Context
from frontdesk.store import audience_members, audiences, audit
from frontdesk.store.audience_members import BadLine, Known, Member
from frontdesk.store.audiences import Audience, Step
from frontdesk.store.database import transaction

log = logging.getLogger(__name__)

# A failure to deliver speaks of that day; people come to WhatsApp, or back to it.
UNREACHABLE_FOR_SECONDS = 90 * 24 * 3600

MOST_ATTEMPTS = 5  # without one batch kept
MOST_FORGOTTEN = 10  # batches of a deleted audience's rows in one sweep: it shares its worker with the drain

REASONS = {
    "opted_out": "wants no marketing messages",
    "unreachable": "cannot be reached on WhatsApp: the last message failed",
}

ERASED = "erased since the list was handed over"


class LeaseLost(Exception):
    """Somebody else reads this audience now, or it was deleted."""


# --- asked for ------------------------------------------------------------------------------------------------------------------


def from_file(
    context: Context,
    client_id: int,
    stream: BinaryIO,
    *,
    name: str,
    source: str = "csv",
    number_id: int | None = None,
    region: str | None = None,
    created_by: int | None = None,
) -> int:
    """`source`: csv or paste. `region`: where numbers without a country code belong; None: where the business's own does."""
    public_id = uuid.uuid4().hex
    file, size = audience_uploads.keep(context.settings, public_id, stream)
    try:
        with transaction(context.db) as db:
            audience_id = audiences.add(
                db, client_id, name=name, source=source, now=context.now(), public_id=public_id, number_id=number_id, file=file,
                total_bytes=size, region=region, created_by=created_by,
            )  # fmt: skip
            audit.record(db, "audience.added", f"audience {audience_id}", context.now(), name=name, client_id=client_id, source=source)
    except BaseException:
        audience_uploads.remove(context.settings, file)
        raise
    _ring(context, audience_id)
    return audience_id


def from_contacts(
    context: Context,
    client_id: int,
    filter: dict,
    *,
    name: str,
    source: str = "filter",
    number_id: int | None = None,
    created_by: int | None = None,
) -> int:
    """`source`: tag or filter. Raises `BadFilter`."""
    text = contact_filter.dumps(contact_filter.checked(filter))
    with transaction(context.db) as db:
        audience_id = audiences.add(
            db, client_id, name=name, source=source, now=context.now(), number_id=number_id, filter=text, created_by=created_by
        )
        audit.record(db, "audience.added", f"audience {audience_id}", context.now(), name=name, client_id=client_id, source=source)
    _ring(context, audience_id)
    return audience_id


def _ring(context: Context, audience_id: int) -> None:
    with context.ringing():
        context.queues.read_audience(audience_id)


def delete(context: Context, audience_id: int) -> bool:
    """Who reads it stops at the next batch; its members go with the following sweeps. Raises sqlite3.IntegrityError where it is used."""
    audience = audiences.get(context.db, audience_id)
    if audience is None:
        return False
    with transaction(context.db) as db:
        audiences.delete(db, audience_id)
        audit.record(db, "audience.deleted", f"audience {audience_id}", context.now(), name=audience.name, client_id=audience.client_id)
    audience_uploads.remove(context.settings, audience.file)
    return True


# --- read in --------------------------------------------------------------------------------------------------------------------


def read(context: Context, audience_id: int) -> None:
    """The job: goes on where the last one died."""
    owner = uuid.uuid4().hex
    with transaction(context.db) as db:
        audience = audiences.claim(db, audience_id, owner, context.now(), context.settings.lease_seconds)
    if audience is None:
        return
    try:
        if audience.attempts > MOST_ATTEMPTS:
            raise UnreadableFile("it could not be read; the reason is in the log of the worker `bulk`")
        over = _read(context, audience, owner)
    except UnreadableFile as error:
        _finish(context, audience, owner, str(error))
    except FileNotFoundError:
        _finish(context, audience, owner, "the uploaded file is gone; upload it again")
    except LeaseLost:
        log.info("audience %s: deleted, or read by another job", audience_id)
    except Exception:
        log.exception("audience %s was not read to its end; the sweep tries again", audience_id)
        _release(context, audience_id, owner)
    else:
        if over:
            _finish(context, audience, owner)
        else:
            _release(context, audience_id, owner)
            _ring(context, audience_id)


def _read(context: Context, audience: Audience, owner: str) -> bool:
    """False: told to stop before the end."""
    source = audience_source.open_source(context, audience)
    if audience.checkpoint is None:
        with transaction(context.db) as db:
            if not audiences.begin(
                db, audience.id, owner, checkpoint=source.checkpoint(), names=source.names, remark=source.remark, total_rows=source.total_rows
            ):
                raise LeaseLost
    good = audience.good
    for rows in source.batches(audience_members.BATCH):
        good += _keep(context, audience, owner, rows, source, good)
        if context.stopping.is_set():
            return False
    return True


def _keep(context: Context, audience: Audience, owner: str, rows: list[Row], source: Source, good: int) -> int:
    """One batch. Returns how many of it became members."""
    now = context.now()
    known = _known(context.db, audience.client_id, rows, now)
    step = Step(source.checkpoint(), source.read_bytes, len(rows))
    with transaction(context.db) as db:
        rows = _without_erased(context, db, audience, rows)
        taken = audience_members.already_in(db, audience.id, (row.phone for row in rows if row.phone))
        members, bad_lines = _sorted_out(rows, known, taken, good, step)
        if not audiences.advance(db, audience.id, owner, step, now + context.settings.lease_seconds):
            raise LeaseLost
        audience_members.add(db, audience.id, members)
        audience_members.add_bad_lines(db, audience.id, bad_lines)
    return len(members)


def _without_erased(context: Context, db: sqlite3.Connection, audience: Audience, rows: list[Row]) -> list[Row]:
    """Who was erased after the list was handed over is only counted."""
    phones = {name for row in rows for name in (row.phone, *row.also_known_as) if name}
    gone = erased.phones_since(db, context.settings, audience.client_id, phones, audience.created_at)
    return [Row(row.line, "", problem=ERASED) if gone.intersection((row.phone, *row.also_known_as)) else row for row in rows]


def _known(db: sqlite3.Connection, client_id: int, rows: list[Row], now: float) -> dict[str, Known]:
    asked = {name for row in rows for name in row.also_known_as}
    return audience_members.known(db, client_id, asked, unreachable_codes=UNREACHABLE, failed_since=now - UNREACHABLE_FOR_SECONDS)


def _sorted_out(
    rows: list[Row], known: dict[str, Known], taken: set[str], good: int, step: Step
) -> tuple[list[Member], list[BadLine]]:
    members, bad_lines = [], []
    for row in rows:
        people = [known[name] for name in row.also_known_as if name in known]
        cause = _cause(row, people, taken)
        step.counts[cause] += 1
        if cause == "good":
            taken.add(row.phone)
            contact_id = people[0].contact_id if people else None
            members.append(Member(good + len(members) + 1, row.phone, contact_id, row.variables, row.time_zone, row.country))
        elif cause != "duplicates":
            bad_lines.append(BadLine(row.line, cause, row.problem or REASONS[cause], row.text))
    return members, bad_lines


def _cause(row: Row, people: list[Known], taken: set[str]) -> str:
    if row.problem and not (row.phone and people):  # a number that we talk with exists, whatever the rules say
        return "bad"
    if row.phone in taken:
        return "duplicates"
    if any(person.opted_out for person in people):
        return "opted_out"
    return "unreachable" if any(person.unreachable for person in people) else "good"


def _finish(context: Context, audience: Audience, owner: str, problem: str = "") -> None:
    with transaction(context.db) as db:
        finished = audiences.finish(db, audience.id, owner, context.now(), problem)
    if finished:
        audience_uploads.remove(context.settings, audience.file)
        log.info("audience %s is %s", audience.id, f"not read: {problem}" if problem else "ready")


def _release(context: Context, audience_id: int, owner: str) -> None:
    with transaction(context.db) as db:
        audiences.release(db, audience_id, owner)


# --- swept ----------------------------------------------------------------------------------------------------------------------


def sweep(context: Context) -> None:
    """Rings for imports that nobody carries; what deleted audiences and dead uploads left behind goes."""
    for audience_id in audiences.due(context.db, context.now(), context.settings.lease_seconds):
        context.queues.read_audience(audience_id)
    audience_uploads.remove_strays(context.settings, audiences.files(context.db))
    batches = MOST_FORGOTTEN
    for audience_id in audience_members.left_behind(context.db):
        while batches:
            batches -= 1
            with transaction(context.db) as db:
                if not audience_members.forget(db, audience_id):
                    break
