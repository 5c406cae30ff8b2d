"""The whole database as a file of its own, taken while others write; and whether such a file is sound."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from frontdesk.settings import Settings
from frontdesk.store import database

STEP_PAGES = 1024
PAUSE_SECONDS = 0.002  # between steps of 4 MB, so that a slow disk also serves those who write

COUNTED = ("clients", "numbers", "contacts", "conversations", "messages", "users")


class Unsound(Exception):
    """What SQLite says of a file that is damaged or no database."""


def copy(settings: Settings, target: Path, going_on: Callable[[], None] = lambda: None) -> None:
    """The database as it is now. `going_on` is called after each step and may raise to end it.

    An open reading transaction holds one state for all steps: without it each foreign commit would begin the copy anew.
    Writers are not held up; their log grows meanwhile.
    """

    def after_a_step(status: int, remaining: int, total: int) -> None:
        going_on()
        time.sleep(PAUSE_SECONDS)

    with closing(database.connect(settings)) as db, closing(sqlite3.connect(target, isolation_level=None)) as copied:
        db.execute("BEGIN")
        db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        copied.execute("PRAGMA synchronous = OFF")  # it is synced once, by whoever asked for it
        db.backup(copied, pages=STEP_PAGES, progress=after_a_step)
        db.execute("COMMIT")


def schema_of(path: Path) -> list[str]:
    """The names of the migrations that made this file, oldest first."""
    with closing(_read_only(path)) as db:
        try:
            rows = db.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = 'frontdesk' ORDER BY rowid")
            return [name for [name] in rows]
        except sqlite3.DatabaseError as error:
            raise Unsound(str(error)) from None


def counts_of(path: Path) -> dict[str, int]:
    with closing(_read_only(path)) as db:
        try:
            return {table: db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in COUNTED}
        except sqlite3.DatabaseError as error:
            raise Unsound(str(error)) from None


def check(path: Path) -> None:
    """Every page and index. Raises Unsound with SQLite's own words."""
    with closing(_read_only(path)) as db:
        db.create_function("spaced", 1, database.indexed, deterministic=True)
        try:
            [words] = db.execute("PRAGMA integrity_check(1)").fetchone()
            if words != "ok":
                raise Unsound(words)
        except sqlite3.DatabaseError as error:
            raise Unsound(str(error)) from None


def known_schema() -> list[str]:
    """The names of this version's migrations, oldest first."""
    from sqlite_utils import Database

    from frontdesk.store.migrations import migrations

    return [migration.name for migration in migrations.pending(Database(memory=True))]


def _read_only(path: Path) -> sqlite3.Connection:
    """As it lies there: nobody else has it open, and no log belongs to it."""
    return sqlite3.connect(f"file:{path.as_posix().replace('%', '%25').replace('?', '%3f').replace('#', '%23')}?immutable=1", uri=True)
