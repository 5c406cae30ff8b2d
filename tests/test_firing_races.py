"""Many who fire at once, those who are killed, and ten thousand at the same time: each time of a schedule goes out once."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from frontdesk import queues
from frontdesk.flows import firing, scheduling
from frontdesk.flows.scheduling import CannotSchedule, Changes
from frontdesk.store import database, outbox, schedules
from frontdesk.store.database import transaction
from tests.test_inbound import rows

ROOT = Path(__file__).parent.parent


@pytest.fixture
def people(db) -> list[int]:
    """Conversations with open windows."""
    count = 100
    with transaction(db):
        for n in range(1, count + 1):
            db.execute("INSERT INTO contacts (id, client_id, phone, created_at, updated_at) VALUES (?, 1, ?, 0, 0)", (n, f"49{n}"))
            db.execute(
                "INSERT INTO conversations (id, number_id, contact_id, window_closes_at, created_at) VALUES (?, 1, ?, 9e9, 0)", (n, n)
            )
    return list(range(1, count + 1))


def many(context, people: list[int], count: int, spread_seconds: float = 60) -> None:
    """Due within the last minute, in another order than they were made in; the text says which of its conversation it is."""
    with transaction(context.db) as db:
        for n in range(count):
            due_at = context.now() - spread_seconds * ((n * 7919) % count) / count
            schedules.add(
                db, client_id=1, number_id=1, conversation_id=people[n % len(people)], phone=None, name="",
                content={"kind": "text", "text": repr(due_at)}, rule=None, time_zone="UTC", next_at=due_at, late_limit_seconds=3600,
                created_by=None, now=0,
            )  # fmt: skip


def sent_once_each_in_order(db, count: int) -> bool:
    found = rows(db, "SELECT conversation_id, text FROM messages WHERE purpose = 'schedule' ORDER BY conversation_id, id")
    by_due = sorted(found, key=lambda row: (row["conversation_id"], float(row["text"])))
    fired = rows(db, "SELECT COUNT(*) AS n, COUNT(DISTINCT message_id) AS messages FROM schedule_firings WHERE outcome = 'sent'")
    assert fired == [{"n": count, "messages": count}]
    return found == by_due and len(found) == count


def in_threads(*calls) -> None:
    errors = []

    def run(call):
        try:
            call()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_many_threads_that_fire_at_once_fire_each_once_in_order(context, db, people):
    many(context, people, 1500)
    in_threads(*[lambda: firing.fire_due(context)] * 6)
    assert sent_once_each_in_order(db, 1500)
    assert sorted(context.queues.take_sends()) == people


def test_many_processes_that_fire_at_once_fire_each_once_in_order(context, settings, db, people, redis_address):
    many(context, people, 1500)
    script = f"""
from frontdesk import queues, settings
from frontdesk.flows import context, firing
made = context.make(settings.load({{"DATA_DIR": {str(settings.data_dir)!r}}}, env_file="/dev/null"), queues.connect({redis_address!r}))
made.now = lambda: {context.now()!r}
input()
print(firing.fire_due(made))
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    fired = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert sum(fired) == 1500
    assert sent_once_each_in_order(db, 1500)


def test_killed_at_any_line_each_goes_out_once(context, settings, db, people, redis_address, redis):
    command = [sys.executable, "-m", "tests.firing_to_death", str(settings.data_dir), redis_address, str(people[0])]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    deaths = int(ended.stdout)
    assert deaths > 80
    single = "SELECT COUNT(*) AS n FROM schedules WHERE state = 'done' AND rule IS NULL"
    assert rows(db, single) == [{"n": deaths + 1}]
    fired = "SELECT COUNT(*) AS n FROM schedule_firings GROUP BY schedule_id"
    assert {row["n"] for row in rows(db, fired)} == {1} and len(rows(db, fired)) == 2 * (deaths + 1)
    messages = rows(db, "SELECT id FROM messages WHERE purpose = 'schedule' ORDER BY id")
    assert [row["message_id"] for row in rows(db, "SELECT message_id FROM schedule_firings ORDER BY message_id")] == [m["id"] for m in messages]
    assert redis.zscore(queues.Bells.ENTRIES, "schedules") is not None
    assert outbox.to_send(db, time.time()) == [people[0]]


def test_a_change_and_a_firing_at_once_leave_one_of_two_truths(context, db, people):
    many(context, people[:1], 300, spread_seconds=0.001)
    ids = [row["public_id"] for row in rows(db, "SELECT public_id FROM schedules ORDER BY id DESC")]
    changed = []

    def change():
        for public_id in ids:
            try:
                changed.append(scheduling.change(context, public_id, Changes(at=context.now() + 600)).id)
            except CannotSchedule as error:
                assert error.code == "schedule_over"

    in_threads(change, lambda: firing.fire_due(context))
    fired = [row["schedule_id"] for row in rows(db, "SELECT schedule_id FROM schedule_firings")]
    assert sorted(fired + changed) == list(range(1, 301))
    context.now.forward(600)
    firing.fire_due(context)
    assert rows(db, "SELECT COUNT(*) AS n FROM messages WHERE purpose = 'schedule'") == [{"n": 300}]


def test_a_cancellation_and_a_firing_at_once_agree(context, db, people):
    many(context, people[:1], 300, spread_seconds=0.001)
    ids = [row["public_id"] for row in rows(db, "SELECT public_id FROM schedules ORDER BY id DESC")]
    cancelled = []

    def cancel():
        for public_id in ids:
            try:
                cancelled.append(scheduling.cancel(context, public_id).id)
            except CannotSchedule as error:
                assert error.code == "schedule_over"

    in_threads(cancel, lambda: firing.fire_due(context))
    fired = [row["schedule_id"] for row in rows(db, "SELECT schedule_id FROM schedule_firings")]
    assert sorted(fired + cancelled) == list(range(1, 301))


def test_a_job_fires_for_a_moment_and_the_bell_brings_the_next(context, db, people, redis):
    many(context, people, 2 * firing.BATCH + 1)
    assert firing.fire_due(context, 0) == firing.BATCH
    assert redis.zscore(queues.Bells.ENTRIES, "schedules") <= context.now()
    assert firing.fire_due(context) == firing.BATCH + 1
    assert sent_once_each_in_order(db, 2 * firing.BATCH + 1)


def test_ten_thousand_due_at_once_are_fired_in_order_while_others_write(context, settings, db, people):
    many(context, people, 10_000)
    done, writes = threading.Event(), []

    def write():
        own = database.connect(settings)
        while not done.is_set():
            with transaction(own):
                own.execute("UPDATE contacts SET updated_at = updated_at WHERE id = 1")
            writes.append(1)
            time.sleep(0.005)
        own.close()

    def fire():
        try:
            assert firing.fire_due(context) == 10_000
        finally:
            done.set()

    in_threads(write, fire)
    assert sent_once_each_in_order(db, 10_000)
    assert sorted(context.queues.take_sends()) == people
    assert len(writes) > 5, "nobody else could write meanwhile"
