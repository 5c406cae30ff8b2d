"""STOP and START by the customer's own word."""

import dataclasses

import pytest

from frontdesk.channels import Content, Person
from frontdesk.flows import opting_out, outgoing, sending
from frontdesk.flows.outgoing import Outgoing
from frontdesk.store import audience_members, contacts, conversations, numbers, opt_outs, outbox
from frontdesk.store.database import transaction
from tests import webhooks
from tests.test_inbound import receive, rows
from tests.test_templates import keep, made

ANA = "4915112345678"


def says(context, text: str) -> None:
    receive(context, webhooks.texts(webhooks.text(text, sender=ANA, at=context.now())))


def stopped(db) -> bool:
    return opt_outs.wants_none(db, 1, 1)


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


def test_an_offer_that_waits_for_its_number_when_they_say_stop_does_not_go_out(context, db, channel):
    says(context, "Hello")
    keep(context, made("order_ready"), dataclasses.replace(made("order_ready"), name="offer", category="MARKETING"))
    numbers.stop(db, 1, "paused", None, context.now())
    for name in ("offer", "order_ready"):
        content = Content("template", name, {"name": name, "language": {"code": "en"}})
        with transaction(db):
            outgoing.queue(context, db, conversations.get(db, 1), Outgoing(content), purpose="api")
    says(context, "STOP")
    numbers.resume(db, 1)
    sending.send_conversation(context, 1)
    assert [text for _, text, _ in channel.sent] == ["order_ready", "You will get no more offers from us. Write START if you want them again."]
    assert rows(db, "SELECT state, error_code FROM messages WHERE text = 'offer'") == [{"state": "failed", "error_code": 131050}]


@pytest.fixture
def second(context, db):
    """Another number of the same client."""
    return numbers.put(db, context.settings, client_id=1, channel="cloud", external_id="222", access_token="x", now=context.now())


def left_out(db) -> bool:
    return audience_members.known(db, 1, [ANA], unreachable_codes=(), failed_since=0)[ANA].opted_out


def test_stop_is_said_to_one_number_and_the_others_go_on(context, db, second):
    says(context, "stop")
    assert opt_outs.wants_none(db, 1, 1) and not opt_outs.wants_none(db, 1, second)
    assert not left_out(db)
    opt_outs.put(db, 1, second, context.now())
    assert left_out(db)


def test_start_at_one_number_leaves_the_stop_of_another(context, db, second):
    says(context, "stop")
    opt_outs.put(db, 1, second, context.now())
    says(context, "start")
    assert not opt_outs.wants_none(db, 1, 1) and opt_outs.wants_none(db, 1, second)


def test_a_stop_of_every_number_is_taken_back_by_start_at_any(context, db, second):
    says(context, "hello")
    opt_outs.put(db, 1, None, context.now())
    assert opt_outs.wants_none(db, 1, 1) and opt_outs.wants_none(db, 1, second) and left_out(db)
    says(context, "start")
    assert not opt_outs.wants_none(db, 1, 1) and not opt_outs.wants_none(db, 1, second)


def test_a_second_stop_keeps_the_first_date(context, db, clock):
    says(context, "stop")
    opt_outs.put(db, 1, 1, clock.forward(60))
    assert rows(db, "SELECT stopped_at FROM opt_outs") == [{"stopped_at": clock() - 60}]


def test_two_contacts_that_are_one_person_keep_every_stop(context, db, second):
    says(context, "stop")
    other = contacts.resolve(db, 1, Person(user_id="US.9"), 0)
    opt_outs.put(db, other, 1, 5)
    opt_outs.put(db, other, second, 5)
    with transaction(db):
        assert contacts.resolve(db, 1, Person(phone=ANA, user_id="US.9"), 0) == 1
    assert opt_outs.wants_none(db, 1, 1) and opt_outs.wants_none(db, 1, second)
    assert rows(db, "SELECT DISTINCT contact_id FROM opt_outs") == [{"contact_id": 1}]
