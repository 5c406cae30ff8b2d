"""Erasing a person: from one short transaction on nobody knows them here; their rows, files and traces follow, whatever dies.

Work in flight finds its claim or its row gone and keeps nothing. What is still in the inbox, comes late or comes again is known by
hashes of their names (flows/erased.py) and not taken in. Who writes again afterwards is somebody new.
"""

import logging
import sqlite3
import time

from frontdesk import queues
from frontdesk.flows import erasure_journal, inbound, phones
from frontdesk.flows.context import Context
from frontdesk.flows.erasure_journal import Line
from frontdesk.settings import Settings
from frontdesk.store import audit, database, erasures, files, media, personal, search
from frontdesk.store.database import transaction
from frontdesk.store.erasures import Erasure
from frontdesk.store.personal import Subject

log = logging.getLogger(__name__)

TURN_SECONDS = 0.01  # between steps, for whoever else wants to write
LOG_TRIES, LOG_TRY_SECONDS = 20, 0.5
# Whoever reads for longer than this reads all the time, as a program does that copies the log (Litestream): nobody is kept waiting for that any more.
STUBBORN_SECONDS = 600


def subject(db: sqlite3.Connection, contact_id: int) -> Subject | None:
    return personal.subject(db, contact_id, phones.also_known_as)


def erase(context: Context, contact_id: int) -> Erasure | None:
    """Gone for everybody when this returns, but for traces outside the tables: those are left to `finish`. None: there is no such contact."""
    of = subject(context.db, contact_id)
    if of is None:
        return None
    mentioned = personal.mentioned_in(context.db, of.names)
    with transaction(context.db) as db:
        erasure_id = begin(db, context.settings, contact_id, context.now(), mentioned)
    if erasure_id is None:
        return None
    erasure = erasures.get(context.db, erasure_id)
    _write_down(context, erasure)
    delete_rows(context.db, erasure)
    with context.ringing():
        context.queues.finish_erasures()
    return erasure


def begin(db: sqlite3.Connection, settings: Settings, contact_id: int, now: float, mentioned: list[tuple[str, tuple]]) -> int | None:
    """Inside the caller's transaction: nobody is known by these names any more, and everything that is due is stopped."""
    of = subject(db, contact_id)
    if of is None or not of.names and erasures.of_contact(db, contact_id):
        return None
    theirs = [file for file in personal.files(db, of) if file.only_theirs]
    traces = {
        "names": of.names,
        "media": [file.media_id for file in theirs],
        "files": sorted({file.sha256 for file in theirs if file.sha256}),
    }
    erasure_id = erasures.add(db, of.client_id, contact_id, erasure_journal.hashes(settings, of.client_id, of.names), traces, now)
    personal.cut_off(db, of)
    for table, key in mentioned:
        personal.redact(db, table, key, of.names)
    audit.record(db, "contact.erased", f"contact {contact_id}", now, client_id=of.client_id)
    return erasure_id


def delete_rows(db: sqlite3.Connection, erasure: Erasure) -> None:
    """In short transactions; may be repeated from any point."""
    while True:
        with transaction(db):
            some_left = personal.delete_some_messages(db, erasure.contact_id)
        if not some_left:
            break
        time.sleep(TURN_SECONDS)
    with transaction(db):
        personal.delete_contact(db, erasure.contact_id)
        personal.delete_media(db, erasure.traces["media"] if erasure.traces else [])


def _write_down(context: Context, erasure: Erasure) -> None:
    names = tuple(erasures.hashes_of(context.db, erasure.id))
    line = Line(erasure.client_id, erasure.contact_id, erasure.erased_at, names, erasure_journal.key_of(context.settings))
    erasure_journal.write(context.settings, [line])


# --- what is left outside the tables ------------------------------------------------------------------------------------------------


def finish_all(context: Context) -> None:
    """The job; the sweep rings until it succeeds."""
    for erasure_id in erasures.unfinished(context.db):
        if not context.stopping.is_set():
            finish(context, erasure_id)


def finish(context: Context, erasure_id: int) -> bool:
    """False: somebody reads an older state of the database, or Redis is busy; to be tried again. Raises queues.RedisError."""
    erasure = erasures.get(context.db, erasure_id)
    if erasure is None or erasure.finished_at is not None:
        return True
    if erasure.traces is not None:
        _forget_traces(context, erasure)
    if not _empty_log(context, erasure.erased_at) or not queues.traces.rewrite(context.queues.redis):
        return False
    erasures.finished(context.db, erasure_id, context.now())
    log.info("erasure %s is finished", erasure_id)
    return True


def _forget_traces(context: Context, erasure: Erasure) -> None:
    db, names = context.db, erasure.traces["names"]
    delete_rows(db, erasure)
    _write_down(context, erasure)
    inbound.drain(context)
    mentioned = personal.mentioned_in(db, names)
    with transaction(db):
        for table, key in mentioned:
            personal.redact(db, table, key, names)
        files.forget(context.settings.media_dir, media.unneeded(db, erasure.traces["files"]))
    queues.traces.forget(context.queues.redis, names)
    merge_search(context)
    with transaction(db):
        erasures.traces_gone(db, erasure.id)


def merge_search(context: Context) -> None:
    """Words of deleted messages leave the index: two seconds of short transactions with a million messages there."""
    steps = search.merge_all(context.db)
    while True:
        with transaction(context.db):
            over = next(steps, True)
        if over:
            return
        time.sleep(TURN_SECONDS)


def _empty_log(context: Context, since: float) -> bool:
    if context.now() - since > STUBBORN_SECONDS:
        return database.empty_log(context.db, wait_milliseconds=0)
    for _ in range(LOG_TRIES):
        if database.empty_log(context.db):
            return True
        time.sleep(LOG_TRY_SECONDS)
    return False


def sweep(context: Context) -> None:
    if erasures.unfinished(context.db, limit=1):
        context.queues.finish_erasures()


def clean(context: Context) -> None:
    """Nightly."""
    before = context.now() - context.settings.erasures_keep_days * 24 * 3600
    with transaction(context.db) as db:
        erasures.clean(db, before)
        known = erasures.journal(db)
    key = erasure_journal.key_of(context.settings)
    lines = [Line(one.client_id, one.contact_id, one.erased_at, tuple(names), key) for one, names in known]
    if lines:
        erasure_journal.write(context.settings, lines)
    erasure_journal.forget(context.settings, before)

