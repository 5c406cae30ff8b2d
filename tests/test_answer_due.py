"""One job answers everything that is due: flows/reply.py, answer_due."""

import pytest

from frontdesk.flows import reply, sweep
from tests.test_inbound import queued
from tests.test_reply import context, customer_writes, inbound_states, model  # noqa: F401


def test_one_job_answers_all_that_are_due_the_longest_waiting_first(context, model, clock):
    for n in range(3):
        customer_writes(context, f"question {n}", sender=f"49177{n}")
        clock.forward(1)
    clock.forward(context.settings.quiet_seconds)
    customer_writes(context, "not yet due", sender="491779")
    reply.answer_due(context)
    assert [chat["body"]["messages"][-1]["content"] for chat in model.chats] == [f"question {n}" for n in range(3)]
    assert inbound_states(context) == ["answered"] * 3 + ["waiting"]


def test_where_several_are_due_a_second_worker_is_rung_for(context, model, clock):
    for n in range(3):
        customer_writes(context, "Hi", sender=f"49177{n}")
    clock.forward(context.settings.quiet_seconds)
    reply.answer_due(context)
    assert queued(context, "default") == ["reply"]
    context.queues.redis.delete("rq:queue:default")
    reply.answer_due(context)
    assert queued(context, "default") == []


def test_after_its_turn_a_job_rings_for_the_rest(context, model, clock, monkeypatch):
    monkeypatch.setattr(reply, "TURN_SECONDS", -1)
    customer_writes(context, "Hi")
    clock.forward(context.settings.quiet_seconds)
    reply.answer_due(context)
    assert inbound_states(context) == ["waiting"] and queued(context, "default") == ["reply"]


def test_the_sweep_finds_due_answers_whose_job_was_lost_while_the_bell_still_rings(context, model, clock):
    customer_writes(context, "Hi")
    clock.forward(context.settings.quiet_seconds)
    context.queues.reply()
    context.queues.redis.delete("rq:queue:default")
    sweep.sweep(context)
    assert queued(context, "default") == ["reply"]


def test_what_breaks_in_one_part_of_the_sweep_holds_up_no_other(context, clock, monkeypatch):
    customer_writes(context, "Hi")
    clock.forward(context.settings.quiet_seconds)
    context.queues.redis.flushall()
    monkeypatch.setattr(sweep.measures, "roll_up", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sweep.sweep(context)
    assert queued(context, "default") == ["reply"]
