"""Writers take turns: short waits, a limit to them, and nothing half written."""

import sqlite3
import threading
import time
from contextlib import closing

import pytest

from frontdesk.store import database
from frontdesk.store.database import transaction, without_waiting


@pytest.fixture
def other(settings, db):
    with closing(database.connect(settings)) as connection:
        yield connection


def waits(db) -> int:
    """Milliseconds."""
    return db.execute("PRAGMA busy_timeout").fetchone()[0]


def test_a_transaction_begins_once_the_other_is_over(db, other):
    other.execute("BEGIN IMMEDIATE")
    ending = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    ending.start()
    with transaction(db):
        assert not other.in_transaction
    ending.join()


def test_who_has_waited_long_enough_is_told_so_and_can_write_later(db, other):
    db.execute("PRAGMA busy_timeout = 50")
    with transaction(other), pytest.raises(sqlite3.OperationalError, match="locked"), transaction(db):
        pass
    assert waits(db) == 50
    with transaction(db):
        pass


def test_without_waiting_a_transaction_is_refused_at_once(db, other):
    usual = waits(db)
    with transaction(other), pytest.raises(sqlite3.OperationalError, match="locked"), without_waiting(db), transaction(db):
        pass
    assert waits(db) == usual


def test_within_a_transaction_and_after_it_other_statements_wait_as_they_did(db):
    usual = waits(db)
    with transaction(db):
        assert waits(db) == usual
    assert waits(db) == usual > 0


def test_a_transaction_within_a_transaction_is_a_mistake_and_waits_for_nobody(db):
    with transaction(db), pytest.raises(sqlite3.OperationalError, match="within a transaction"), transaction(db):
        pass


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY_RECOVERY, sqlite3.SQLITE_BUSY_SNAPSHOT])
def test_whatever_the_others_are_busy_with_it_is_waited_for(db, code):
    class BusyOnce:
        def __init__(self):
            self.begun = 0

        def execute(self, sql):
            self.begun += sql == "BEGIN IMMEDIATE"
            if sql == "BEGIN IMMEDIATE" and self.begun == 1:
                error = sqlite3.OperationalError("database is locked")
                error.sqlite_errorcode = code
                raise error
            return db.execute(sql)

    with transaction(BusyOnce()):
        assert db.in_transaction
    assert not db.in_transaction


def test_one_who_writes_without_pause_leaves_the_others_their_turns(db, other):
    """With SQLite's own waiting the gaps of half a millisecond are met once in a while, and waits grow to 100 ms each."""
    over, turns = threading.Event(), []

    def write_without_pause():
        while not over.is_set():
            with transaction(other):
                time.sleep(0.003)
            turns.append(1)
            time.sleep(0.0005)

    writer = threading.Thread(target=write_without_pause)
    writer.start()
    try:
        while not turns:
            time.sleep(0.001)
        before = len(turns)
        for _ in range(20):
            with transaction(db):
                pass
            time.sleep(0.005)
        passed_over = (len(turns) - before) / 20
    finally:
        over.set()
        writer.join()
    assert passed_over < 20
