"""STOP and START by the customer's own word."""

import pytest

from frontdesk.flows import opting_out
from frontdesk.store import outbox
from tests import webhooks
from tests.test_inbound import receive, rows

ANA = "4915112345678"


def says(context, text: str) -> None:
    receive(context, webhooks.texts(webhooks.text(text, sender=ANA, at=context.now())))


def stopped(db) -> bool:
    return rows(db, "SELECT marketing_stopped_at FROM contacts")[0]["marketing_stopped_at"] is not None


def said(db) -> list[str]:
    return [row["text"] for row in rows(db, "SELECT text FROM messages WHERE direction = 'out' ORDER BY id")]


@pytest.mark.parametrize("word", ["STOP", "Stop!", " stop ", "Stopp.", "UNSUBSCRIBE", "Baja", "arrêt", "ARRET", "Abmelden", "стоп", "退订", "수신거부", "बंद करो"])
def test_a_stop_word_ends_offers_and_is_confirmed_and_the_model_keeps_still(context, db, word):
    says(context, word)
    assert stopped(db) and said(db) == ["You will get no more offers from us. Write START if you want them again."]
    [conversation] = rows(db, "SELECT waiting_since, state FROM conversations")
    assert (conversation["waiting_since"], conversation["state"]) == (None, "bot")
    assert context.queues.depth("default") == 0 and list(context.queues.take_sends()) == [1]


@pytest.mark.parametrize("text", ["Please stop by tomorrow", "When does the bus stop?", "stop it, that is funny", "end", "cancel my order", "x" * 500, ""])
def test_other_words_stop_nothing(context, db, text):
    assert opting_out.read(text) is None
    says(context, text)
    assert not stopped(db) and said(db) == []


def test_only_the_customer_takes_it_back_with_start(context, db):
    says(context, "stop")
    says(context, "Start")
    assert not stopped(db) and said(db)[-1].startswith("Welcome back")


def test_start_without_a_stop_before_is_a_message_like_any_other(context, db):
    says(context, "start")
    assert said(db) == [] and rows(db, "SELECT state FROM messages")[0]["state"] == "waiting"


def test_a_client_that_says_nothing_still_obeys(context, db):
    db.execute("UPDATE clients SET stop_text = ''")
    says(context, "STOP")
    assert stopped(db) and said(db) == []


def test_what_waited_before_the_word_still_waits(context, db):
    says(context, "When are you open?")
    says(context, "stop")
    assert [row["state"] for row in rows(db, "SELECT state FROM messages WHERE direction = 'in' ORDER BY id")] == ["waiting", "answered"]
    assert rows(db, "SELECT waiting_since FROM conversations")[0]["waiting_since"] is not None


def test_what_a_broadcast_was_about_to_send_is_withdrawn(context, db):
    says(context, "Hello")
    outbox.queue_text(db, 1, 1, "Our offer", purpose="broadcast", now=context.now())
    outbox.queue_text(db, 1, 1, "Your order", purpose="person", now=context.now())
    says(context, "STOP")
    assert [(row["text"], row["state"]) for row in rows(db, "SELECT text, state FROM messages WHERE direction = 'out' ORDER BY id")][:2] == [
        ("Our offer", "withdrawn"), ("Your order", "queued")
    ]  # fmt: skip
