"""How the database is opened, and what a transaction is. The schema is in migrations.py.

WAL: readers never wait for the writer. `synchronous` NORMAL cannot lose a commit to the death of a process, only to a power
cut, and FULL (SQLITE_SYNCHRONOUS) not even to that. Writers wait up to BUSY_SECONDS for each other, pages a shorter time.

A transaction asks for the write lock every millisecond at first. SQLite's own waiting sleeps up to 100 ms at a time, so that a process which
writes a lot leaves the others the wrong moments: a broadcast stood still for half a second while its own statuses were stored.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from frontdesk.settings import Settings
from frontdesk.store import vectors
from frontdesk.store.search import indexed

BUSY_SECONDS = 60
PRIMARY_CODE = 0xFF  # of SQLite's result codes; the bits above say why: SQLITE_BUSY_RECOVERY is somebody who mends the log after a crash
ASK_SECONDS, LONG_SECONDS = 0.001, 0.1  # then every 10 ms: somebody writes a lot at once

# 16 MB of log before it is worked into the database, which syncs to disk: four times SQLite's own, as an answer writes a dozen pages.
CHECKPOINT_PAGES = 4000

_local = threading.local()


def connect(settings: Settings, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A connection of one's own. May be used from another thread than the one that made it, but by one at a time."""
    vectors.prepare()
    db = sqlite3.connect(
        settings.database_path, timeout=busy_seconds, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    db.row_factory = sqlite3.Row
    db.text_factory = _text
    db.create_function("spaced", 1, indexed, deterministic=True)
    vectors.load(db)
    db.execute("PRAGMA foreign_keys = ON")
    db.execute(f"PRAGMA synchronous = {settings.sqlite_synchronous}")
    db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    # Every connection: pages are also rearranged by those that delete nothing, and leave copies behind.
    db.execute("PRAGMA secure_delete = ON")
    return db


def connection(settings: Settings, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """This thread's connection in this process, made on first use. A forked child gets its own: SQLite forbids sharing."""
    asked = (settings, busy_seconds, os.getpid())
    kept = getattr(_local, "asked", (None, None, None))
    if kept[0] is not settings or kept[1:] != asked[1:]:
        _local.db, _local.asked = connect(settings, busy_seconds), asked
    return _local.db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Everything inside is written or nothing is. Takes the write lock at once (BEGIN IMMEDIATE), so keep it short."""
    _begin(db)
    try:
        yield db
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _begin(db: sqlite3.Connection) -> None:
    """Raises sqlite3.OperationalError where others write for longer than this connection waits."""
    with _waiting(db, milliseconds=0) as usual_milliseconds:
        begun = time.monotonic()
        while True:
            try:
                db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                waited = time.monotonic() - begun
                if error.sqlite_errorcode & PRIMARY_CODE != sqlite3.SQLITE_BUSY or waited >= usual_milliseconds / 1000:
                    raise
            time.sleep(ASK_SECONDS if waited < LONG_SECONDS else LONG_SECONDS / 10)


@contextmanager
def without_waiting(db: sqlite3.Connection) -> Iterator[None]:
    """For writes that may as well be left out: raises sqlite3.OperationalError at once where another one writes."""
    with _waiting(db, milliseconds=0):
        yield


def empty_log(db: sqlite3.Connection, wait_milliseconds: int = 200) -> bool:
    """Work the write-ahead log into the database and cut it to nothing. False where somebody reads an older state: try again later.

    Waiting for readers it keeps writers out, so it waits a moment only.
    """
    with _waiting(db, wait_milliseconds):
        return db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


@contextmanager
def _waiting(db: sqlite3.Connection, milliseconds: int) -> Iterator[int]:
    """Gives what it is otherwise."""
    [usual_milliseconds] = db.execute("PRAGMA busy_timeout").fetchone()
    db.execute(f"PRAGMA busy_timeout = {milliseconds}")
    try:
        yield usual_milliseconds
    finally:
        db.execute(f"PRAGMA busy_timeout = {usual_milliseconds}")


@contextmanager
def savepoint(db: sqlite3.Connection) -> Iterator[None]:
    """A part of a transaction that can fail alone."""
    db.execute("SAVEPOINT part")
    try:
        yield
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK TO part")
            db.execute("RELEASE part")
        raise
    db.execute("RELEASE part")


def exact(text: str | None) -> str | bytes | None:
    """A text as a parameter for `CAST(? AS TEXT)`: lone surrogates, which UTF-8 has no form for, are kept too."""
    if text is None:
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogatepass")


def migrate(settings: Settings) -> None:
    """Bring the schema up to date; safe to run by several processes, and cheap when there is nothing to do."""
    from sqlite_utils import Database  # only here: the running processes need none of it

    from frontdesk.store.migrations import migrations

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    if not settings.database_path.exists():
        settings.database_path.touch(mode=0o600)
    db = connect(settings)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        migrations.apply(Database(db))
    finally:
        db.close()


def pending(settings: Settings) -> list[str]:
    """The names of the migrations that this database still lacks."""
    from sqlite_utils import Database

    from frontdesk.store.migrations import migrations

    db = connect(settings)
    try:
        return [migration.name for migration in migrations.pending(Database(db))]
    finally:
        db.close()


def applied(settings: Settings) -> list[str]:
    """The names of the migrations that made this database, oldest first; of an empty one none."""
    db = connect(settings)
    try:
        rows = db.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = 'frontdesk' ORDER BY rowid")
        return [name for [name] in rows]
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise
    finally:
        db.close()


def damage(settings: Settings) -> str | None:
    """What is wrong with it: SQLite's words of its pages, or a row that names one that is not there."""
    db = connect(settings)
    try:
        [words] = db.execute("PRAGMA quick_check(1)").fetchone()
        if words != "ok":
            return words
        lost = db.execute("PRAGMA foreign_key_check").fetchone()
        return f"a row of {lost[0]} names one of {lost[2]} that is not there" if lost else None
    finally:
        db.close()
