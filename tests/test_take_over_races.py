"""A person and the bot in the same moment: nothing is lost, nothing is answered twice. flows/take_over.py and who meets it."""

import threading
import time

from frontdesk.errors import Temporary, Throttled, Unknown
from frontdesk.flows import dead_letters, reply, sending, sweep, take_over, waits
from frontdesk.flows.watch import NewerMessage
from frontdesk.store import conversations, messages, outbox
from tests import webhooks
from tests.test_inbound import receive, rows
from tests.test_reply import answer, context, customer_writes, inbound_states, model, outbound  # noqa: F401
from tests.test_take_over import ANA, BEN, conversation, sent_states
from tests.test_waits import measured


def test_what_the_withdrawn_answer_answered_waits_again(context, model):
    customer_writes(context, "Hi", "are you there?")
    answer(context)
    take_over.take_over(context, 1, ANA)
    assert sent_states(context) == [("answer", "withdrawn")]
    assert inbound_states(context) == ["waiting"] * 2 and conversation(context).waiting_since is not None
    take_over.hand_back(context, 1)
    reply.answer_due(context)
    assert sent_states(context) == [("answer", "withdrawn"), ("answer", "queued")]
    assert inbound_states(context) == ["answered"] * 2


def test_an_answer_of_which_a_part_is_out_is_owed_no_more(context, model, channel, monkeypatch):
    monkeypatch.setattr(reply, "split_to_fit", lambda text, fits: ["one", "two"])
    customer_writes(context, "Hi")
    answer(context)
    first = outbox.head(context.db, 1, context.now())
    sending.deliver(context, outbox.claim(context.db, first, "sender", context.now(), 30))
    take_over.take_over(context, 1, ANA)
    assert sent_states(context) == [("answer", "sent"), ("answer", "withdrawn")]
    assert inbound_states(context) == ["answered"]


def test_a_customer_who_asks_for_a_person_before_the_answer_went_out_is_owed_both(context, model):
    customer_writes(context, "Hi")
    answer(context)
    customer_writes(context, "human")
    assert inbound_states(context) == ["waiting"] * 2


def test_an_answer_that_waits_for_a_retry_is_withdrawn_too(context, model, channel):
    customer_writes(context, "Hi")
    answer(context)
    channel.outcomes = [Throttled("slow down", scope="number", code=130429)]
    sending.send_conversation(context, 1)
    take_over.answer_by_person(context, 1, ANA, "Me.")
    assert sent_states(context) == [("answer", "withdrawn"), ("person", "queued")]


def test_an_answer_refused_while_a_person_takes_over_is_not_tried_again(context, model, channel):
    customer_writes(context, "Hi")
    answer(context)

    def meanwhile():
        take_over.answer_by_person(context, 1, ANA, "Me.")
        raise Temporary("try later", code=131000)

    channel.outcomes = [meanwhile]
    sending.send_conversation(context, 1)
    assert [text for _, text, _ in channel.sent][1:] == ["Me."]
    assert sent_states(context) == [("answer", "withdrawn"), ("person", "sent")]


def test_refused_while_somebody_takes_over_without_words_the_customer_still_waits(context, model, channel):
    customer_writes(context, "Hi")
    answer(context)

    def meanwhile():
        take_over.take_over(context, 1, ANA)
        raise Temporary("try later", code=131000)

    channel.outcomes = [meanwhile]
    sending.send_conversation(context, 1)
    assert sent_states(context) == [("answer", "withdrawn")]
    assert inbound_states(context) == ["waiting"] and conversation(context).waiting_since is not None


def test_an_unproven_answer_is_not_sent_again_over_a_person(context, model, channel, clock):
    customer_writes(context, "Hi")
    answer(context)
    channel.outcomes = [Unknown("no answer came")]
    sending.send_conversation(context, 1)
    take_over.answer_by_person(context, 1, ANA, "Me.")
    clock.forward(context.settings.unknown_wait_seconds + 1)
    sweep.sweep(context)
    assert sent_states(context) == [("answer", "withdrawn"), ("person", "queued")]


def test_an_answer_that_a_status_proves_is_answered_though_its_call_failed_and_a_person_came(context, model, channel):
    customer_writes(context, "Hi")
    answer(context)

    def somebody_comes():
        take_over.take_over(context, 1, ANA)
        receive(context, webhooks.statuses(webhooks.status("sent", "wamid.x", channel.sent[0][2])))
        raise Temporary("and then the provider failed")

    channel.outcomes = [somebody_comes]
    sending.send_conversation(context, 1)
    assert sent_states(context) == [("answer", "sent")] and inbound_states(context) == ["answered"]


def test_what_tells_a_customer_that_a_person_comes_is_tried_again_like_anything(context, channel):
    customer_writes(context, "human")
    channel.outcomes = [Temporary("try later", code=131000)]
    sending.send_conversation(context, 1)
    assert sent_states(context) == [("holding", "queued")]


def test_a_dead_letter_that_an_agent_retries_is_theirs_and_stays(context, model, channel, clock):
    customer_writes(context, "Hi")
    answer(context)
    head = outbox.head(context.db, 1, context.now())
    outbox.failed(context.db, head, Temporary("gone"), context.now())
    take_over.take_over(context, 1, ANA)
    clock.forward(5)
    assert dead_letters.retry(context, [head.id]).retried == 1
    channel.outcomes = [Throttled("slow down", scope="number", code=130429)]
    sending.send_conversation(context, 1)
    take_over.answer_by_person(context, 1, ANA, "And I am here.")
    assert sent_states(context) == [("answer", "failed"), ("answer", "queued"), ("person", "queued")]


def test_a_person_who_answers_while_the_sweep_hands_back_keeps_it(context, clock, monkeypatch):
    customer_writes(context, "Hi")
    take_over.answer_by_person(context, 1, ANA, "one")
    clock.forward(12 * 3600)
    to_hand_back = conversations.to_hand_back

    def and_then_somebody_writes(db, now):
        found = to_hand_back(db, now)
        take_over.answer_by_person(context, 1, ANA, "two")
        return found

    monkeypatch.setattr(conversations, "to_hand_back", and_then_somebody_writes)
    assert take_over.hand_back_what_was_left(context) == 0
    assert conversation(context).state == "human"


def test_a_request_for_a_person_outlives_the_pause_until_one_has_come(context, clock):
    customer_writes(context, "human")
    clock.forward(12 * 3600)
    sweep.sweep(context)
    assert (conversation(context).state, conversation(context).needs_person_reason) == ("bot", "asked")
    take_over.answer_by_person(context, 1, ANA, "Here I am, sorry.")
    assert conversation(context).needs_person_at is None


def test_nobody_is_told_to_wait_for_the_bot_where_a_person_has_just_come(context, clock, monkeypatch):
    measured(context, 1000)
    customer_writes(context, "Hi")
    tell = waits._tell
    monkeypatch.setattr(waits, "_tell", lambda *given: (take_over.take_over(context, 1, ANA), tell(*given))[1])
    assert waits.tell_who_waits_long(context) == []
    assert outbound(context) == []


def test_an_answer_to_be_begun_anew_that_a_person_gave_meanwhile_is_begun_no_more(context, model, monkeypatch):
    customer_writes(context, "Hi")

    def newer(work):
        take_over.answer_by_person(context, 1, ANA, "Me first.")
        raise NewerMessage

    monkeypatch.setattr(reply, "ask", newer)
    answer(context)
    assert (outbound(context), conversation(context).reply_restarted) == (["Me first."], 0)


def test_an_echo_that_comes_late_answers_only_what_was_written_before_it(context, clock):
    written = clock()
    customer_writes(context, "first")
    clock.forward(60)
    customer_writes(context, "second")
    receive(context, webhooks.echo("to the first", at=written + 30))
    assert inbound_states(context) == ["answered", "waiting"]
    assert conversation(context).resumes_at == written + 30 + 12 * 3600


def test_an_echo_older_than_the_pause_does_not_stop_the_bot(context, clock):
    written = clock()
    clock.forward(13 * 3600)
    customer_writes(context, "Hi")
    receive(context, webhooks.echo("from this morning", at=written))
    assert conversation(context).state == "bot" and inbound_states(context) == ["waiting"]


def test_what_the_customer_wrote_after_the_agent_looked_still_waits(context):
    customer_writes(context, "Hi")
    customer_writes(context, "and one more thing")
    take_over.answer_by_person(context, 1, ANA, "To the first.", seen_message_id=1)
    assert inbound_states(context) == ["answered", "waiting"]
    assert conversation(context).waiting_since is not None
    take_over.answer_by_person(context, 1, ANA, "To the second.", seen_message_id=3)
    assert inbound_states(context) == ["answered"] * 2 and conversation(context).waiting_since is None


def test_sending_anyway_over_a_colleague_settles_no_more_than_was_on_the_screen(context):
    customer_writes(context, "Hi")
    take_over.answer_by_person(context, 1, BEN, "I can help.", seen_message_id=1)
    customer_writes(context, "and one more thing")
    take_over.answer_by_person(context, 1, ANA, "So can I.", seen_message_id=1, anyway=True)
    assert inbound_states(context) == ["answered", "waiting"]


def test_what_comes_while_somebody_closes_the_conversation_is_not_settled_with_it(context, model, clock):
    customer_writes(context, "Thanks!")
    customer_writes(context, "One more thing: are you open on Sunday?")
    take_over.close(context, 1, seen_message_id=1)
    assert inbound_states(context) == ["answered", "waiting"] and conversation(context).state == "bot"
    clock.forward(context.settings.quiet_seconds)
    reply.answer(context, 1)
    assert inbound_states(context) == ["answered"] * 2
    take_over.close(context, 1, seen_message_id=3)
    assert conversation(context).state == "closed"


def test_a_request_that_comes_after_the_window_closed_queues_nothing_that_must_fail(context, clock):
    written = clock()
    clock.forward(25 * 3600)
    receive(context, webhooks.texts(webhooks.text("human", at=written)))
    assert (conversation(context).state, conversation(context).needs_person_reason) == ("human", "asked")
    assert outbound(context) == []


def test_how_long_people_took_is_found_without_reading_every_message(context):
    statements = []
    context.db.set_trace_callback(statements.append)
    messages.seconds_to_a_person(context.db, 1)
    context.db.set_trace_callback(None)
    plan = " ".join(row["detail"] for row in context.db.execute("EXPLAIN QUERY PLAN " + statements[-1]))
    assert "messages_of_people" in plan


def at_once(*acts) -> None:
    barrier = threading.Barrier(len(acts))
    threads = [threading.Thread(target=lambda act=act: (barrier.wait(), act())) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def in_every_order(context, model, clock, person, rounds: int = 25) -> list[tuple[int, list, list]]:
    """The model's answer, its sending and a person at once, each on a thread with a connection of its own.

    For each conversation: its id, (purpose, state) of what is out, states of what came in.
    """
    for n in range(rounds):
        customer_writes(context, "Hi", sender=f"49177{n:04}")
    clock.forward(10)
    found = []
    for id_ in range(1, rounds + 1):
        delay = id_ / rounds * 0.03

        def bot(id_=id_):
            reply.answer(context, id_)
            sending.send_conversation(context, id_)

        at_once(bot, lambda id_=id_, delay=delay: (time.sleep(delay), person(id_)))
        sending.send_conversation(context, id_)
        out = rows(context.db, "SELECT purpose, state FROM messages WHERE conversation_id = ? AND direction = 'out' ORDER BY id", id_)
        came = rows(context.db, "SELECT state FROM messages WHERE conversation_id = ? AND direction = 'in'", id_)
        found.append((id_, [(row["purpose"], row["state"]) for row in out], [row["state"] for row in came]))
    return found


def test_whoever_is_first_a_person_s_answer_goes_out_and_no_answer_of_the_bot_comes_after_it(context, model, clock):
    for _, out, came in in_every_order(context, model, clock, lambda id_: take_over.answer_by_person(context, id_, ANA, "Me.")):
        assert out in (
            [("person", "sent")],
            [("answer", "withdrawn"), ("person", "sent")],
            [("answer", "sent"), ("person", "sent")],
        )
        assert came == ["answered"]


def test_whoever_is_first_what_is_not_answered_waits(context, model, clock):
    for id_, out, came in in_every_order(context, model, clock, lambda id_: take_over.take_over(context, id_, ANA)):
        assert (out, came) in (([], ["waiting"]), ([("answer", "withdrawn")], ["waiting"]), ([("answer", "sent")], ["answered"]))
        assert (conversations.get(context.db, id_).waiting_since is None) == (came == ["answered"])
