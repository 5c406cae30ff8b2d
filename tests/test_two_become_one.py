"""Two contacts that turn out to be one person: what becomes of their conversations on one number."""

import pytest

from frontdesk.channels import Person
from frontdesk.flows import reply, suggest, sweep, take_over
from frontdesk.store import contacts, conversations, notes, opt_outs, outbox, questions, suggestions, widgets
from frontdesk.store.database import transaction
from tests import webhooks
from tests.test_inbound import receive, rows
from tests.test_reply import context, inbound_states, model, outbound  # noqa: F401

PHONE, USER = "4915110000001", "US.77"
FIRST, SECOND = 1, 2


@pytest.fixture
def two(context, db):  # noqa: F811
    """One is known by their phone number, the other by their user id: conversations 1 and 2."""
    for person in (Person(phone=PHONE), Person(user_id=USER)):
        conversations.of(db, 1, contacts.resolve(db, 1, person, context.now()), context.now())


def writes(context, user_id: str, words: str) -> None:  # noqa: F811
    message = webhooks.text(words, sender=user_id, at=context.now())
    message["from_user_id"] = message.pop("from")
    people = [{"user_id": user_id, "profile": {"name": "Ana"}}]
    receive(context, webhooks.body(webhooks.change(contacts=people, messages=[message])))


def become_one(db, context) -> None:  # noqa: F811
    with transaction(db):
        contacts.rename(db, 1, Person(phone=PHONE), Person(phone=PHONE, user_id=USER), context.now())
    assert [row["id"] for row in rows(db, "SELECT id FROM conversations")] == [FIRST]


def test_an_answer_that_one_of_them_waits_for_is_given_though_the_other_was_closed(context, model, db, two, clock):  # noqa: F811
    model.enqueue("At seven.")
    take_over.close(context, FIRST)
    writes(context, USER, "When do you open?")
    assert inbound_states(context) == ["waiting"]
    become_one(db, context)
    clock.forward(context.settings.quiet_seconds)
    reply.answer_due(context)
    assert outbound(context) == ["At seven."]


def test_what_a_person_has_taken_goes_back_to_the_bot_in_its_time(context, db, two, clock):  # noqa: F811
    take_over.take_over(context, SECOND, 1)
    become_one(db, context)
    one = conversations.get(db, FIRST)
    assert (one.state, one.taken_by, one.resumes_at) == ("human", 1, clock() + 12 * 3600)
    clock.forward(12 * 3600 + 1)
    sweep.sweep(context)
    assert conversations.get(db, FIRST).state == "bot"


def test_nothing_that_people_wrote_of_either_is_lost(context, db, two, clock):  # noqa: F811
    writes(context, USER, "Do you bake without gluten?")
    take_over.add_note(context, SECOND, 1, "Wants a call.")
    suggestion_id = suggest.ask_for_draft(context, SECOND, 1)
    with transaction(db):
        questions.record(db, 1, SECOND, 1, "declined", "Do you bake without gluten?", clock())
        code = widgets.reference(db, SECOND, "ABCDEFGH", clock())
    become_one(db, context)
    assert [note.text for note in notes.between(db, FIRST, 0, clock() + 1)] == ["Wants a call."]
    assert suggestions.get(db, suggestion_id).conversation_id == FIRST
    assert rows(db, "SELECT conversation_id FROM questions") == [{"conversation_id": FIRST}]
    assert rows(db, "SELECT code, conversation_id FROM widget_references") == [{"code": code, "conversation_id": FIRST}]
    assert rows(db, "SELECT unread, last_message_id FROM conversations") == [{"unread": 1, "last_message_id": 1}]


def test_a_stop_that_one_of_them_said_withdraws_what_a_broadcast_was_about_to_send_the_other(context, db, two):  # noqa: F811
    outbox.queue_text(db, FIRST, 1, "Our offer", purpose="broadcast", now=context.now())
    opt_outs.put(db, 2, 1, context.now())
    become_one(db, context)
    assert rows(db, "SELECT state FROM messages") == [{"state": "withdrawn"}]
