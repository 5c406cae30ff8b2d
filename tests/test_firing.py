"""Schedules coming due: fired once each, in order, whatever stopped meanwhile; on a real SQLite and a real Redis."""

import json
import time
from datetime import datetime

import pytest

import scheduler
from frontdesk import queues
from frontdesk.flows import firing, scheduling, sweep
from frontdesk.flows.contents import TextMessage
from frontdesk.flows.recurrence import local_to_utc
from frontdesk.flows.scheduling import Changes, Wanted
from frontdesk.store import contacts, conversations, schedules
from tests import webhooks
from tests.test_inbound import queued, receive, rows

DAY = 24 * 3600


@pytest.fixture
def conversation(context, db) -> int:
    """With a customer who wrote just now."""
    receive(context, webhooks.texts(webhooks.text("Hello", sender="49151", id="wamid.1", at=context.now())))
    return db.execute("SELECT id FROM conversations").fetchone()["id"]


def once(context, conversation_id: int, after_seconds: float = 60, text: str = "Your bread is ready", **more):
    wanted = Wanted(TextMessage(text=text), conversation_id=conversation_id, at=context.now() + after_seconds, **more)
    return scheduling.make(context, wanted)


def again(context, conversation_id: int, rule: str = "every hour", text: str = "Good morning", **more):
    return scheduling.make(context, Wanted(TextMessage(text=text), conversation_id=conversation_id, rule=rule, **more))


def sent(db) -> list[str]:
    return [row["text"] for row in rows(db, "SELECT text FROM messages WHERE purpose = 'schedule' ORDER BY id")]


def outcomes(db, schedule) -> list[tuple[str, str | None]]:
    return [(found.outcome, found.code) for found in schedules.firings(db, schedule.id)]


def keep_window_open(db) -> None:
    db.execute("UPDATE conversations SET window_closes_at = 9e9")


def bell(context) -> float | None:
    return context.queues.redis.zscore(queues.Bells.ENTRIES, "schedules")


def test_a_message_for_later_is_queued_when_its_time_comes_and_not_before(context, db, clock, conversation):
    schedule = once(context, conversation)
    clock.forward(59.9)
    assert firing.fire_due(context) == 0
    clock.forward(0.1)
    assert firing.fire_due(context) == 1
    [message] = rows(db, "SELECT * FROM messages WHERE direction = 'out'")
    assert (message["text"], message["purpose"], message["state"], message["kind"]) == ("Your bread is ready", "schedule", "queued", "text")
    assert list(context.queues.take_sends()) == [conversation]
    found = schedules.get(db, schedule.id)
    assert (found.state, found.next_at, found.last_fired_at, found.last_outcome) == ("done", None, clock(), "sent")
    [fired] = schedules.firings(db, schedule.id)
    assert (fired.due_at, fired.message_id, fired.words) == (schedule.next_at, message["id"], None)


def test_looking_again_fires_nothing(context, db, clock, conversation):
    once(context, conversation)
    clock.forward(60)
    assert [firing.fire_due(context) for _ in range(3)] == [1, 0, 0]
    assert len(sent(db)) == 1


def test_a_recurring_one_goes_to_its_next_time(context, db, clock, conversation):
    schedule = again(context, conversation)
    for _ in range(3):
        clock.at = schedules.get(db, schedule.id).next_at
        assert firing.fire_due(context) == 1
        db.execute("UPDATE messages SET state = 'sent' WHERE state = 'queued'")
    assert len(sent(db)) == 3
    assert schedules.get(db, schedule.id).next_at == clock() + 3600


# --- after a stop ----------------------------------------------------------------------------------------------------------------


def test_one_that_is_less_late_than_its_limit_still_goes_out(context, db, clock, conversation):
    schedule = once(context, conversation, late_limit_seconds=600)
    clock.forward(60 + 599.9)
    firing.fire_due(context)
    assert outcomes(db, schedule) == [("sent", None)]
    assert schedules.get(db, schedule.id).last_words == "It went out 9 minutes late."


def test_one_that_is_as_late_as_its_limit_is_missed_and_shown(context, db, clock, conversation):
    schedule = once(context, conversation, late_limit_seconds=600)
    clock.forward(60 + 600)
    assert firing.fire_due(context) == 1
    assert sent(db) == []
    assert outcomes(db, schedule) == [("missed", "late")]
    found = schedules.get(db, schedule.id)
    assert (found.state, found.next_at, found.last_fired_at) == ("missed", None, None)
    assert "came back 10 minutes later" in found.last_words
    assert conversations.get(db, conversation).needs_person_reason == "schedule"
    assert [each.id for each, _ in schedules.unsent(db, client_id=None, since=0)] == [schedule.id]


def test_a_missed_one_with_a_new_time_goes_out_then(context, db, clock, conversation):
    schedule = once(context, conversation)
    clock.forward(2 * 3600)
    firing.fire_due(context)
    changed = scheduling.change(context, schedule.public_id, Changes(at=clock() + 60))
    assert changed.state == "active"
    clock.forward(60)
    firing.fire_due(context)
    assert outcomes(db, schedule) == [("sent", None), ("missed", "late")]


def test_a_recurring_one_runs_once_after_three_days(context, db, clock, conversation):
    schedule = again(context, conversation)
    keep_window_open(db)
    clock.at = schedule.next_at + 3 * DAY + 100
    assert firing.fire_due(context) == 1
    assert firing.fire_due(context) == 0
    assert len(sent(db)) == 1
    found = schedules.get(db, schedule.id)
    assert found.next_at == schedule.next_at + 3 * DAY + 3600
    assert found.last_words == "It went out 3 days late."


def test_a_recurring_one_does_not_pile_up_behind_a_message_that_waits(context, db, clock, conversation):
    schedule = again(context, conversation)
    for _ in range(3):
        clock.at = schedules.get(db, schedule.id).next_at
        firing.fire_due(context)
    assert len(sent(db)) == 1
    assert outcomes(db, schedule) == [("refused", "still_waiting"), ("refused", "still_waiting"), ("sent", None)]
    assert conversations.get(db, conversation).needs_person_at is None


# --- the 24 hours ----------------------------------------------------------------------------------------------------------------


def test_with_the_window_closed_it_is_refused_and_shown(context, db, clock, conversation):
    schedule = once(context, conversation, after_seconds=2 * DAY)
    clock.forward(2 * DAY)
    firing.fire_due(context)
    assert sent(db) == []
    assert outcomes(db, schedule) == [("refused", "window_closed")]
    found = schedules.get(db, schedule.id)
    assert (found.state, found.last_code) == ("done", "window_closed") and "24 hours" in found.last_words
    assert conversations.get(db, conversation).needs_person_reason == "schedule"


def test_a_recurring_one_that_is_refused_goes_on(context, db, clock, conversation):
    schedule = again(context, conversation, "every day 9:00")
    clock.at = schedule.next_at + 2 * DAY
    firing.fire_due(context)
    clock.forward(3600)
    receive(context, webhooks.texts(webhooks.text("Back", sender="49151", id="wamid.2", at=clock())))
    clock.at = schedules.get(db, schedule.id).next_at
    firing.fire_due(context)
    assert outcomes(db, schedule) == [("sent", None), ("refused", "window_closed")]


# --- changes of the clock --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begins", "expected"),
    [
        ("2026-03-27", ["2026-03-28 02:30+01:00", "2026-03-29 03:00+02:00", "2026-03-30 02:30+02:00"]),
        ("2026-10-23", ["2026-10-24 02:30+02:00", "2026-10-25 02:30+02:00", "2026-10-26 02:30+01:00"]),
    ],
)
def test_over_a_change_of_the_clock_it_goes_once_a_day_at_its_time(context, db, clock, begins, expected):
    clock.at = local_to_utc(begins, "12:00", "Europe/Berlin")
    receive(context, webhooks.texts(webhooks.text("Hello", sender="49151", id="wamid.1", at=clock())))
    schedule = again(context, 1, "every day 2:30", time_zone="Europe/Berlin")
    keep_window_open(db)
    fired = []
    while len(fired) < len(expected):
        clock.forward(300)
        if firing.fire_due(context):
            fired.append(clock())
            db.execute("UPDATE messages SET state = 'sent' WHERE state = 'queued'")
    assert fired == [datetime.fromisoformat(at).timestamp() for at in expected]
    assert len(schedules.firings(db, schedule.id)) == 3


def test_a_clock_set_back_fires_no_time_twice(context, db, clock, conversation):
    schedule = again(context, conversation)
    clock.at = schedule.next_at
    firing.fire_due(context)
    db.execute("UPDATE messages SET state = 'sent' WHERE state = 'queued'")
    clock.forward(-1800)
    scheduling.change(context, schedule.public_id, Changes(rule="every 30 minutes"))
    for _ in range(90):
        clock.forward(60)
        firing.fire_due(context)
        db.execute("UPDATE messages SET state = 'sent' WHERE state = 'queued'")
    due = [found.due_at - schedule.next_at for found in schedules.firings(db, schedule.id)]
    assert due == [3600, 1800, 0] and len(sent(db)) == 3


def test_a_clock_that_was_a_year_ahead_puts_nothing_to_sleep(context, db, clock, conversation):
    schedule = again(context, conversation)
    keep_window_open(db)
    begins = clock()
    clock.forward(365 * DAY)
    firing.fire_due(context)
    clock.at = begins
    sweep.sweep(context)
    assert bell(context) == schedules.get(db, schedule.id).next_at == schedule.next_at
    clock.at = schedule.next_at
    firing.fire_due(context)
    assert len(sent(db)) == 1  # this time is the one that fired
    assert schedules.get(db, schedule.id).next_at == schedule.next_at + 3600


# --- people meanwhile ------------------------------------------------------------------------------------------------------------


def test_a_paused_one_keeps_still_and_goes_on_with_its_next_time(context, db, clock, conversation):
    schedule = again(context, conversation)
    assert scheduling.pause(context, schedule.public_id).state == "paused"
    clock.forward(5 * 3600)
    assert firing.fire_due(context) == 0
    resumed = scheduling.resume(context, schedule.public_id)
    assert resumed.state == "active" and clock() < resumed.next_at <= clock() + 3600
    assert firing.fire_due(context) == 0


def test_a_paused_one_whose_time_passed_wants_a_new_one(context, clock, conversation):
    schedule = once(context, conversation)
    scheduling.pause(context, schedule.public_id)
    clock.forward(61)
    with pytest.raises(scheduling.CannotSchedule, match="give it a new one"):
        scheduling.resume(context, schedule.public_id)
    assert scheduling.change(context, schedule.public_id, Changes(at=clock() + 60)).state == "paused"
    assert scheduling.resume(context, schedule.public_id).state == "active"


def test_a_cancelled_one_never_goes_out(context, db, clock, conversation):
    schedule = once(context, conversation)
    assert scheduling.cancel(context, schedule.public_id).state == "cancelled"
    assert scheduling.cancel(context, schedule.public_id).state == "cancelled"
    clock.forward(60)
    assert firing.fire_due(context) == 0
    for turn in (scheduling.resume, scheduling.pause):
        with pytest.raises(scheduling.CannotSchedule) as caught:
            turn(context, schedule.public_id)
        assert caught.value.code == "schedule_over"


def test_two_people_who_became_one_keep_their_schedules(context, db, clock, conversation):
    client_id = db.execute("SELECT client_id FROM contacts").fetchone()["client_id"]
    receive(context, webhooks.texts(webhooks.text("Hi", sender="49152", id="wamid.2", at=clock())))
    schedule = once(context, 2)
    contacts._merge(db, keep=1, gone=2)
    clock.forward(60)
    assert firing.fire_due(context) == 1
    assert list(context.queues.take_sends()) == [conversation]
    assert client_id == schedules.get(db, schedule.id).client_id


# --- what breaks -----------------------------------------------------------------------------------------------------------------


def test_a_broken_one_is_paused_and_holds_up_nobody(context, db, clock, conversation):
    broken = [once(context, conversation, text="no kind"), again(context, conversation, "every 15 minutes")]
    fine = once(context, conversation, after_seconds=900)
    db.execute("UPDATE schedules SET content = '{}' WHERE id = ?", (broken[0].id,))
    db.execute("UPDATE schedules SET rule = 'every blue moon' WHERE id = ?", (broken[1].id,))
    clock.forward(901)
    assert firing.fire_due(context) == 3
    assert sent(db) == ["Your bread is ready"]
    assert schedules.get(db, fine.id).state == "done"
    assert [schedules.get(db, each.id).state for each in broken] == ["paused", "paused"]
    assert [outcomes(db, each) for each in broken] == [[("refused", "broken")], [("refused", "broken")]]
    with pytest.raises(scheduling.CannotSchedule, match="blue moon"):
        scheduling.resume(context, broken[1].public_id)


# --- bells -----------------------------------------------------------------------------------------------------------------------


def test_there_is_one_bell_at_the_earliest(context, db, clock, conversation):
    first = once(context, conversation, 600)
    assert bell(context) == first.next_at
    earlier = once(context, conversation, 300)
    assert bell(context) == earlier.next_at
    once(context, conversation, 900)
    assert bell(context) == earlier.next_at
    clock.forward(300)
    firing.fire_due(context)
    assert bell(context) == first.next_at
    scheduling.change(context, first.public_id, Changes(at=clock() + 10))
    assert bell(context) == clock() + 10


def test_a_wiped_redis_gets_its_bell_back_from_the_sweep(context, db, clock, conversation, redis):
    schedule = once(context, conversation)
    redis.flushall()
    sweep.sweep(context)
    assert bell(context) == schedule.next_at


def test_what_came_due_while_redis_was_empty_is_fired(context, settings, db, clock, conversation, redis):
    once(context, conversation)
    clock.forward(61)
    redis.flushall()
    sweep.sweep(context)
    scheduler.Bellringer(redis, scheduler.recurring(settings)).enqueue_jobs()
    assert "schedules" in queued(context, "high")


def test_the_bell_that_rings_is_a_job_and_one_set_meanwhile_stays(context, settings, redis, monkeypatch):
    ringer = scheduler.Bellringer(redis, scheduler.recurring(settings))
    later = time.time() + 50
    context.bells.schedules_at(time.time() - 1, time.time() - 2)
    ring = ringer._ring_bell
    monkeypatch.setattr(ringer, "_ring_bell", lambda entry: (ring(entry), context.bells.schedules_at(later, time.time())))
    ringer.enqueue_jobs()
    assert bell(context) == pytest.approx(later) and redis.exists("rq:job:schedules")
    [job] = [queues.FrontdeskJob.fetch(id_.decode(), connection=redis) for id_ in redis.lrange("rq:queue:high", 0, -1)]
    assert (job.func_name, tuple(job.args)) == ("jobs.fire_schedules", ())


def test_two_schedulers_that_ring_at_once_fire_once(context, settings, redis, db, clock, conversation):
    once(context, conversation)
    clock.forward(60)
    for _ in range(2):
        context.bells.schedules_at(time.time() - 1, time.time() - 2)
        scheduler.Bellringer(redis, scheduler.recurring(settings)).enqueue_jobs()
    for _ in range(queued(context, "high").count("schedules")):
        firing.fire_due(context)
    assert len(sent(db)) == 1


def test_without_redis_the_schedule_is_made_and_fires_all_the_same(context, db, clock, conversation, monkeypatch):
    nowhere = queues.connect("redis://127.0.0.1:9", retry=False)
    context.bells, kept = queues.Bells(nowhere), context.queues
    schedule = once(context, conversation)
    clock.forward(60)
    context.queues = queues.Queues(nowhere)
    assert firing.fire_due(context) == 1
    assert schedules.get(db, schedule.id).state == "done"
    context.queues = kept
    context.bells = queues.Bells(kept.redis)
    sweep.sweep(context)
    assert list(kept.take_sends()) == [conversation]


def test_the_content_is_json_that_anybody_can_read(context, db, conversation):
    once(context, conversation)
    content = json.loads(db.execute("SELECT content FROM schedules").fetchone()["content"])
    assert (content["kind"], content["text"]) == ("text", "Your bread is ready")
    assert content["given"] == {"type": "text", "text": "Your bread is ready"}
