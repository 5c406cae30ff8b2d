"""Answers begun before the quiet period is over: flows/early.py against an Ollama stand-in."""

import dataclasses
import threading

from frontdesk.flows import early, inbound, reply
from frontdesk.store import conversations
from tests import webhooks
from tests.standins.ollama_replies import Reply
from tests.test_inbound import queued, receive, rows
from tests.test_reply import context, customer_writes, inbound_states, model, outbound, while_writing  # noqa: F401


def bell(context):
    return context.bells.redis.hget("rq:job:reply-1", "description").decode()


def test_while_the_model_is_idle_a_draft_is_begun_at_once(context):
    customer_writes(context, "Hi")
    assert queued(context, "documents") == ["early"]


def test_while_somebody_s_answer_is_due_none_is_begun(context):
    context.queues.reply()
    customer_writes(context, "Hi")
    assert queued(context, "documents") == []


def test_only_one_stands_in_line(context):
    for n in range(5):
        customer_writes(context, "Hi", sender=f"49177{n}")
    assert queued(context, "documents") == ["early"]


def test_a_draft_is_not_sent_before_the_period_is_over_and_needs_no_model_then(context, model, clock):
    model.enqueue("We open at **seven**.")
    customer_writes(context, "When?")
    early.begin_early(context, 1)
    assert outbound(context) == [] and inbound_states(context) == ["waiting"]
    assert bell(context) == "jobs.keep_draft 1"
    reply.answer(context, 1, may_ask=False)
    assert outbound(context) == []
    clock.forward(context.settings.quiet_seconds)
    reply.answer(context, 1, may_ask=False)
    assert outbound(context) == ["We open at *seven*."]
    assert inbound_states(context) == ["answered"]
    assert len(model.chats) == 1
    assert rows(context.db, "SELECT * FROM drafts") == []


def test_a_message_after_the_draft_makes_it_void(context, model, clock):
    model.enqueue("to the first", "to both")
    customer_writes(context, "first")
    early.begin_early(context, 1)
    customer_writes(context, "second")
    assert bell(context) == "jobs.reply 1", "the later bell has taken the earlier one's place"
    clock.forward(context.settings.quiet_seconds)
    reply.answer(context, 1, may_ask=False)
    assert outbound(context) == []
    assert queued(context, "default") == ["reply"]
    reply.answer(context, 1)
    assert outbound(context) == ["to both"]


def test_words_that_are_changed_after_the_draft_make_it_void(context, model, clock):
    model.enqueue("to the first words", "to the new ones")
    receive(context, webhooks.texts(webhooks.text("Is it open on Sunday?", at=clock(), id="wamid.1")))
    early.begin_early(context, 1)
    receive(context, webhooks.edited("wamid.1", "Is it open on Monday?", at=clock()))
    clock.forward(context.settings.quiet_seconds)
    reply.answer(context, 1, may_ask=False)
    reply.answer(context, 1)
    assert outbound(context) == ["to the new ones"]


def test_a_message_while_the_draft_is_written_stops_the_model(context, model, clock):
    model.enqueue(Reply("too early " * 100, tokens_per_second=20), "to both")
    customer_writes(context, "first")
    thread = while_writing(model, lambda: customer_writes(context, "second"))
    early.begin_early(context, 1)
    thread.join()
    model.wait_for(lambda standin: standin.cancelled_count == 1)
    assert conversations.get(context.db, 1).claim_owner is None
    clock.forward(context.settings.quiet_seconds)
    reply.answer(context, 1)
    assert outbound(context) == ["to both"]


def test_it_gives_way_to_a_customer_whose_period_is_over(context, model, clock):
    model.enqueue(Reply("too early " * 100, tokens_per_second=20))
    customer_writes(context, "first")
    thread = while_writing(model, lambda: context.queues.reply())
    early.begin_early(context, 1)
    thread.join()
    model.wait_for(lambda standin: standin.cancelled_count == 1)
    assert bell(context) == "jobs.reply 1"


def test_a_draft_that_takes_longer_than_the_period_is_the_answer(context, model, clock):
    model.enqueue(Reply("slow answer here", tokens_per_second=4))
    customer_writes(context, "Hi")
    thread = while_writing(model, lambda: clock.forward(context.settings.quiet_seconds))
    early.begin_early(context, 1)
    thread.join()
    assert outbound(context) == ["slow answer here"]


def test_what_goes_wrong_early_is_tried_again_in_time(context, model, clock):
    model.enqueue(Reply.busy(), "fine")
    customer_writes(context, "Hi")
    early.begin_early(context, 1)
    assert bell(context) == "jobs.reply 1"
    clock.forward(context.settings.quiet_seconds)
    reply.answer(context, 1)
    assert outbound(context) == ["fine"]


def test_once_due_there_is_nothing_to_begin_early(context, model, clock):
    customer_writes(context, "Hi")
    clock.forward(context.settings.quiet_seconds)
    early.begin_early(context, 1)
    assert model.chats == []


def test_it_can_be_switched_off(context):
    context.settings = dataclasses.replace(context.settings, early_start=False)
    context.inbox.put("cloud", webhooks.texts(webhooks.text()), context.now())
    inbound.drain(context)
    assert queued(context, "documents") == []


def test_the_same_messages_taken_twice_are_kept_once(context, model, clock):
    model.enqueue("one")
    customer_writes(context, "Hi")
    early.begin_early(context, 1)
    clock.forward(context.settings.quiet_seconds)
    threads = [threading.Thread(target=reply.answer, args=(context, 1), kwargs={"may_ask": False}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outbound(context) == ["one"]
    receive(context, webhooks.texts(webhooks.text("more")))
