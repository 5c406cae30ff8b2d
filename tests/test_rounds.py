"""The rounds of the worker of `high`: flows/rounds.py."""

import pytest

from frontdesk.flows import rounds
from tests import webhooks
from tests.test_inbound import queued, rows


def put(context, *words: str) -> list[bool]:
    """Whether each of these messages rang for somebody to read the inbox."""
    return [context.inbox.put("cloud", webhooks.texts(webhooks.text(word)), context.now()) for word in words]


def texts(db) -> list[str]:
    return [row["text"] for row in rows(db, "SELECT text FROM messages WHERE direction = 'in' ORDER BY id")]


def test_webhooks_become_rows_and_conversations_are_handed_over_for_sending(context, db):
    put(context, "Hello")
    context.queues.send([7, 8])
    sent = []
    rounds.go(context, sent.append)
    assert texts(db) == ["Hello"] and sorted(sent) == [7, 8] and context.inbox.length() == 0


def test_afterwards_the_next_webhook_and_the_next_send_ring(context):
    rounds.go(context, lambda _: None)
    assert put(context, "Hello", "again") == [True, False]
    context.queues.send([7])
    context.queues.send([8])
    assert len(queued(context, "high")) == 1


def test_what_comes_meanwhile_rings_for_nobody_and_is_served(context, db):
    rang, sent = [], []

    def send(conversation_id):
        sent.append(conversation_id)
        if conversation_id < 10:
            rang.extend(put(context, f"no. {conversation_id}"))
            context.queues.send([conversation_id + 1])

    context.queues.send([7])
    context.queues.rq_queues(["high"])[0].empty()
    rounds.go(context, send)
    assert sent == [7, 8, 9, 10] and rang == [False] * 3 and texts(db) == ["no. 7", "no. 8", "no. 9"]
    assert queued(context, "high") == []


def test_work_without_end_lets_the_worker_s_other_jobs_have_their_turn(context):
    context.queues.send([7])
    context.queues.rq_queues(["high"])[0].empty()
    rounds.go(context, lambda conversation_id: context.queues.send([conversation_id]))
    assert len(queued(context, "high")) == 1
    assert put(context, "Hello") == [False], "the job in line serves it too"


@pytest.mark.parametrize("silence", ["inbox.silence", "queues.silence_sends"])
def test_what_comes_just_before_the_bells_are_silent_again_is_not_left_lying(context, db, monkeypatch, silence):
    owner, name = silence.split(".")
    door = getattr(context, owner)
    silent = getattr(door, name)

    def late():
        put(context, "late")
        context.queues.send([7])
        silent()

    monkeypatch.setattr(door, name, late)
    sent = []
    rounds.go(context, sent.append)
    assert texts(db) == ["late"] and sent == [7]


def test_asked_to_stop_it_stops(context, db):
    put(context, "Hello")
    context.stopping.set()
    rounds.go(context, lambda _: None)
    assert texts(db) == ["Hello"] and put(context, "more") == [True]
