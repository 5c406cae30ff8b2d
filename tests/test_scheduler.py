"""What time starts: scheduler.py on a real Redis."""

import dataclasses
import time

import pytest

import scheduler
from frontdesk import queues


@pytest.fixture
def ringer(redis, settings):
    return scheduler.Bellringer(redis, scheduler.recurring(settings))


def entries(redis) -> dict[str, float]:
    return {id.decode(): at for id, at in redis.zrange(queues.Bells.ENTRIES, 0, -1, withscores=True)}


def test_the_recurring_work_is_put_back_whenever_it_is_missing(ringer, redis, settings):
    ringer.enqueue_jobs()
    assert set(entries(redis)) == {"sweep", "alerts", "alerts-beside", "clean", "templates", "reindex"}
    redis.flushall()
    ringer.enqueue_jobs()
    assert set(entries(redis)) == {"sweep", "alerts", "alerts-beside", "clean", "templates", "reindex"}
    assert entries(redis)["sweep"] - time.time() <= settings.sweep_seconds


def test_of_what_is_judged_again_and_again_one_stands_in_line_while_its_worker_is_gone(redis, settings):
    ringer = scheduler.Bellringer(redis, scheduler.recurring(dataclasses.replace(settings, canary_minutes=5)))
    for _ in range(5):
        redis.zadd(queues.Bells.ENTRIES, dict.fromkeys(("alerts", "alerts-beside", "canary"), time.time() - 0.01))
        ringer.enqueue_jobs()
    assert (queues.Queues(redis).depth("high"), queues.Queues(redis).depth("bulk")) == (1, 2)


def test_a_bell_that_is_due_becomes_a_job_and_goes(ringer, redis):
    queues.Bells(redis).reply_at({7: time.time() - 0.01, 8: time.time() + 60})
    ringer.enqueue_jobs()
    assert queues.Queues(redis).depth("default") == 1
    assert "reply-7" not in entries(redis) and "reply-8" in entries(redis)
    assert not redis.exists("rq:job:reply-7")


def test_a_bell_moved_while_it_rings_stays(ringer, redis, monkeypatch):
    bells = queues.Bells(redis)
    bells.reply_at({7: time.time() - 0.01})
    later = time.time() + 5
    ring = ringer._ring_bell
    monkeypatch.setattr(ringer, "_ring_bell", lambda entry: (ring(entry), bells.reply_at({7: later})))
    ringer.enqueue_jobs()
    assert entries(redis)["reply-7"] == pytest.approx(later)
    assert redis.exists("rq:job:reply-7")


def test_work_that_recurs_moves_on(ringer, redis, settings):
    ringer.enqueue_jobs()
    redis.zadd(queues.Bells.ENTRIES, {"sweep": time.time() - 1})
    ringer.enqueue_jobs()
    assert queues.Queues(redis).depth("high") == 1
    assert entries(redis)["sweep"] == pytest.approx(time.time() + settings.sweep_seconds, abs=1)


def test_an_entry_that_cannot_be_read_does_not_hold_up_the_others(ringer, redis):
    redis.hset("rq:job:broken", mapping={"data": b"\xff garbage", "created_at": "2026", "status": "scheduled"})
    redis.zadd(queues.Bells.ENTRIES, {"broken": 1, "no-such-job": 2})
    queues.Bells(redis).send_at({3: time.time() - 0.01})
    ringer.enqueue_jobs()
    assert list(queues.Queues(redis).take_sends()) == [3]
    assert "broken" not in entries(redis)


def test_a_clock_set_back_does_not_put_the_sweep_to_sleep(ringer, redis, settings):
    redis.zadd(queues.Bells.ENTRIES, {"sweep": time.time() + 3600})
    ringer.enqueue_jobs()
    assert entries(redis)["sweep"] <= time.time() + settings.sweep_seconds


def test_a_killed_scheduler_s_lock_is_gone_in_two_seconds(ringer, redis):
    assert ringer.acquire_lock()
    assert 0 < redis.pttl(ringer.scheduler_lock_key) <= 2000


def test_a_hundred_bells_for_answers_and_a_hundred_for_sends_are_one_job_each(ringer, redis):
    due = {n: time.time() - 0.01 for n in range(1, 101)}
    queues.Bells(redis).reply_at(due)
    queues.Bells(redis).send_at(due)
    ringer.enqueue_jobs()
    work = queues.Queues(redis)
    assert (work.depth("default"), work.depth("high")) == (1, 1)
    assert sorted(list(work.take_sends())) == sorted(due)


def test_a_draft_s_bell_names_its_conversation(ringer, redis):
    queues.Bells(redis).keep_at({7: time.time() - 0.01})
    ringer.enqueue_jobs()
    [job] = [queues.FrontdeskJob.fetch(id_.decode(), connection=redis) for id_ in redis.lrange("rq:queue:high", 0, -1)]
    assert (job.func_name, tuple(job.args)) == ("jobs.keep_draft", (7,))


def test_the_nightly_work_is_at_two_in_the_machine_s_own_time(settings):
    [nightly] = [entry for entry in scheduler.recurring(settings) if entry.name == "clean"]
    following = nightly.next_after(time.time())
    assert time.localtime(following)[3:5] == (2, 0)
    assert 0 < following - time.time() <= 25 * 3600
