"""Drafts that agents ask the model for, and owners' tries, when something goes wrong: flows/suggest.py, trying.py."""

import pytest

from frontdesk import queues
from frontdesk.flows import suggest, sweep, trying
from frontdesk.store import suggestions, tries
from tests.standins.ollama_replies import Reply
from tests.test_inbound import queued
from tests.test_reply import context, customer_writes, model, outbound  # noqa: F401

ANA = 1


def asked(context) -> int:
    customer_writes(context, "Hi")
    return suggest.ask_for_draft(context, 1, ANA)


def test_a_draft_asked_for_twice_by_the_sweep_stands_in_line_once(context, clock):
    asked(context)
    clock.forward(121)
    for _ in range(3):
        sweep.sweep(context)
    assert queued(context, "documents").count("suggest") == 1


def test_a_prompt_that_is_too_long_is_halved_once(context, model):
    model.enqueue(Reply.context_exceeded(), "We are open.")
    suggestion_id = asked(context)
    suggest.write(context, suggestion_id)
    found = suggestions.get(context.db, suggestion_id)
    assert (found.state, found.text, len(model.chats)) == ("ready", "We are open.", 2)


def test_a_fault_of_ours_is_told_and_not_tried_for_ever(context, monkeypatch):
    suggestion_id = asked(context)
    monkeypatch.setattr(suggest, "_ask", lambda *_: 1 / 0)
    suggest.write(context, suggestion_id)
    assert suggestions.get(context.db, suggestion_id).state == "failed"


def test_with_redis_away_the_draft_is_still_wanted(context, monkeypatch):
    suggestion_id = asked(context)

    def away(*_):
        raise queues.RedisError

    monkeypatch.setattr(suggest, "_ask", away)
    with pytest.raises(queues.RedisError):
        suggest.write(context, suggestion_id)
    assert suggestions.get(context.db, suggestion_id).state == "wanted"


def test_a_worker_that_must_end_puts_the_draft_back(context, model):
    model.enqueue(Reply("a long draft " * 50, tokens_per_second=20))
    suggestion_id = asked(context)
    context.queues.redis.delete("rq:queue:documents")
    context.stopping.set()
    suggest.write(context, suggestion_id)
    assert suggestions.get(context.db, suggestion_id).state == "wanted"
    assert queued(context, "documents") == ["suggest"] and outbound(context) == []


def tried(context) -> int:
    return trying.ask(context, 1, ANA, text="You are X.", persona="", language="", question="Cake?")


def test_a_try_whose_worker_died_is_rung_for_again_and_stands_in_line_once(context, clock):
    tried(context)
    context.queues.redis.flushall()
    clock.forward(121)
    for _ in range(3):
        sweep.sweep(context)
    assert queued(context, "documents") == ["try"]


def test_a_fault_of_ours_in_a_try_is_told(context, monkeypatch):
    try_id = tried(context)
    monkeypatch.setattr(trying.asking, "ask", lambda *_, **__: 1 / 0)
    trying.write(context, try_id)
    assert tries.get(context.db, try_id).state == "failed"


def test_with_redis_away_a_try_is_kept_all_the_same(context, monkeypatch):
    def away(*_, **__):
        raise queues.RedisError

    monkeypatch.setattr(context.queues, "put", away)
    assert tries.get(context.db, tried(context)).state == "wanted"
