"""What becomes of an outbound message for every way a send can end: flows/sending.py."""

import threading
import time

import pytest

from frontdesk.errors import NumberStopped, Permanent, Temporary, Throttled, Unknown, WindowClosed
from frontdesk.flows import inbound, sending, sweep
from frontdesk.store import conversations, numbers, outbox
from tests import webhooks
from tests.test_inbound import receive, rows


@pytest.fixture
def conversation(context, db):
    """A conversation whose customer has just written; returns its id."""
    receive(context, webhooks.texts(webhooks.text()))
    return 1


def queue(context, *texts: str, conversation_id: int = 1) -> list[int]:
    return [
        outbox.queue_text(context.db, conversation_id, 1, text, purpose="answer", now=context.now()) for text in texts
    ]


def states(context) -> list[str]:
    return [row["state"] for row in rows(context.db, "SELECT state FROM messages WHERE direction = 'out' ORDER BY id")]


def message(context, id: int) -> dict:
    return rows(context.db, "SELECT * FROM messages WHERE id = ?", id)[0]


def test_parts_of_an_answer_go_out_in_order_and_once(context, channel, conversation):
    queue(context, "one", "two", "three")
    assert sending.send_conversation(context, conversation) == 3
    assert sending.send_conversation(context, conversation) == 0
    assert [text for _, text, _ in channel.sent] == ["one", "two", "three"]
    assert states(context) == ["sent"] * 3


def test_the_callback_data_names_the_message_and_the_attempt(context, channel, conversation):
    [id] = queue(context, "one")
    channel.outcomes = [Temporary("down")]
    sending.send_conversation(context, conversation)
    context.now.forward(1000)
    sending.send_conversation(context, conversation)
    public_id = message(context, id)["public_id"]
    assert [data for _, _, data in channel.sent] == [f"{public_id}.1", f"{public_id}.2"]


def test_a_temporary_error_is_tried_three_more_times_and_then_shown(context, channel, conversation, clock):
    [id] = queue(context, "one")
    channel.outcomes = [Temporary("down", code=131000, details="words")] * 4
    waits = []
    for _ in range(4):
        sending.send_conversation(context, conversation)
        due = message(context, id)["due_at"]
        if due:
            waits.append(due - clock())
            clock.at = due
    assert [wait >= base and wait <= base * 1.21 for wait, base in zip(waits, (10, 60, 300), strict=True)] == [True] * 3
    failed = message(context, id)
    assert (failed["state"], failed["error_code"], failed["error_details"]) == ("failed", 131000, "words")
    assert conversations.get(context.db, conversation).needs_person_reason == "send_failed"


def test_a_retry_waits_its_time_and_holds_back_what_comes_after_it(context, channel, conversation, clock):
    queue(context, "one", "two")
    channel.outcomes = [Temporary("down")]
    sending.send_conversation(context, conversation)
    sending.send_conversation(context, conversation)
    assert [text for _, text, _ in channel.sent] == ["one"]
    clock.forward(13)
    sending.send_conversation(context, conversation)
    assert [text for _, text, _ in channel.sent] == ["one", "one", "two"]


def test_a_retry_of_many_minutes_lets_the_next_message_pass(context, channel, conversation):
    queue(context, "one", "two")
    channel.outcomes = [Temporary("not before tomorrow", code=131049, delay_seconds=24 * 3600)]
    sending.send_conversation(context, conversation)
    sending.send_conversation(context, conversation)
    assert states(context) == ["queued", "sent"]


def test_a_permanent_error_is_never_tried_again_and_does_not_stop_the_next(context, channel, conversation):
    queue(context, "one", "two")
    channel.outcomes = [Permanent("undeliverable", code=131026)]
    sending.send_conversation(context, conversation)
    assert states(context) == ["failed", "sent"]


def test_a_person_who_stopped_marketing_is_remembered(context, channel, conversation):
    queue(context, "one")
    channel.outcomes = [Permanent("stopped", code=131050, opted_out=True)]
    sending.send_conversation(context, conversation)
    assert rows(context.db, "SELECT contact_id FROM opt_outs WHERE number_id = 1")


def test_being_throttled_burns_no_retry(context, channel, conversation, clock):
    [id] = queue(context, "one")
    channel.outcomes = [Throttled("pair", scope="pair", code=131056)] * 6
    waits = []
    for _ in range(6):
        sending.send_conversation(context, conversation)
        waits.append(message(context, id)["due_at"] - clock())
        clock.at = message(context, id)["due_at"]
    assert [round(wait / 1.1 / 4**n, 1) for n, wait in enumerate(waits[:4], 1)] == pytest.approx([1, 1, 1, 1], abs=0.11)
    assert max(waits) <= 600 * 1.21
    sending.send_conversation(context, conversation)
    assert message(context, id)["state"] == "sent"


def test_a_throttled_number_pauses_all_of_its_conversations(context, channel, conversation):
    receive(context, webhooks.texts(webhooks.text(sender="491777")))
    queue(context, "one")
    queue(context, "other", conversation_id=2)
    channel.outcomes = [Throttled("rate", scope="number", code=4, delay_seconds=60)]
    sending.send_conversation(context, conversation)
    sending.send_conversation(context, 2)
    assert len(channel.sent) == 1


def test_a_stopped_number_keeps_its_messages_until_it_is_resumed(context, channel, conversation):
    queue(context, "one", "two")
    channel.outcomes = [NumberStopped("token expired", code=190)]
    sending.send_conversation(context, conversation)
    sending.send_conversation(context, conversation)
    sweep.sweep(context)
    assert len(channel.sent) == 1
    assert states(context) == ["queued", "queued"]
    number = numbers.get(context.db, 1)
    assert (number.stopped_code, number.stopped_reason) == (190, "token expired")
    assert numbers.resume(context.db, 1)
    sweep.sweep(context)
    assert list(context.queues.take_sends()) == [conversation]
    sending.send_conversation(context, conversation)
    assert states(context) == ["sent", "sent"]


def test_a_token_that_does_not_open_stops_the_number_with_the_mend(context, conversation):
    queue(context, "one")
    context.db.execute("UPDATE numbers SET access_token_encrypted = 'nonsense'")
    sending.send_conversation(context, conversation)
    assert "SECRET_KEY" in numbers.get(context.db, 1).stopped_reason
    assert states(context) == ["queued"]


def test_outside_the_window_nothing_is_called_and_a_person_is_asked_for(context, channel, conversation, clock):
    queue(context, "one")
    clock.forward(24 * 3600 + 1)
    sending.send_conversation(context, conversation)
    assert channel.sent == []
    assert states(context) == ["failed"]
    assert conversations.get(context.db, conversation).needs_person_reason == "window_closed"


def test_the_provider_saying_the_window_is_closed_means_the_same(context, channel, conversation):
    queue(context, "one")
    channel.outcomes = [WindowClosed("re-engagement", code=131047)]
    sending.send_conversation(context, conversation)
    assert conversations.get(context.db, conversation).needs_person_reason == "window_closed"


def test_an_unanswered_call_is_parked_and_holds_back_the_rest(context, channel, conversation):
    queue(context, "one", "two")
    channel.outcomes = [Unknown("timed out")]
    sending.send_conversation(context, conversation)
    sending.send_conversation(context, conversation)
    sweep.sweep(context)
    assert states(context) == ["unknown", "queued"]
    assert len(channel.sent) == 1


def test_a_status_proves_an_unanswered_call_and_the_rest_follows(context, channel, conversation):
    queue(context, "one", "two")
    channel.outcomes = [Unknown("timed out")]
    sending.send_conversation(context, conversation)
    receive(context, webhooks.statuses(webhooks.status("sent", "wamid.proof", channel.sent[0][2])))
    assert list(context.queues.take_sends()) == [conversation]
    context.now.forward(500)
    sweep.sweep(context)
    sending.send_conversation(context, conversation)
    assert [text for _, text, _ in channel.sent] == ["one", "two"]
    assert message(context, 2)["external_id"] == "wamid.proof"


def test_without_proof_it_is_sent_again_after_the_wait_and_given_up_in_the_end(context, channel, conversation, clock):
    queue(context, "one")
    channel.outcomes = [Unknown("timed out")] * 10
    sending.send_conversation(context, conversation)
    clock.forward(119)
    sweep.sweep(context)
    sending.send_conversation(context, conversation)
    assert len(channel.sent) == 1
    for _ in range(6):
        clock.forward(121)
        sweep.sweep(context)
        sending.send_conversation(context, conversation)
    assert len(channel.sent) == 4
    assert states(context) == ["failed"]


def test_silence_is_no_proof_while_the_webhooks_of_that_time_lie_unread(context, channel, conversation, clock):
    """As after a time without a worker: the sweep may run before anybody has read what came in."""
    queue(context, "one")
    channel.outcomes = [Unknown("timed out")]
    sending.send_conversation(context, conversation)
    clock.forward(60)
    context.inbox.put("cloud", webhooks.statuses(webhooks.status("delivered", "wamid.proof", channel.sent[0][2])), clock())
    clock.forward(600)
    sweep.sweep(context)
    sending.send_conversation(context, conversation)
    assert states(context) == ["unknown"] and len(channel.sent) == 1
    inbound.drain(context)
    assert states(context) == ["delivered"]


def test_webhooks_that_came_after_its_time_hold_no_message_up(context, channel, conversation, clock):
    queue(context, "one")
    channel.outcomes = [Unknown("timed out")]
    sending.send_conversation(context, conversation)
    clock.forward(121)
    context.inbox.put("cloud", webhooks.texts(webhooks.text("Still there?", sender="4917700")), clock())
    sweep.sweep(context)
    sending.send_conversation(context, conversation)
    assert len(channel.sent) == 2


def test_a_send_whose_process_died_is_parked_not_repeated(context, channel, conversation, clock):
    queue(context, "one")
    outbox.claim(context.db, outbox.head(context.db, 1, clock()), "dead", clock(), 30)
    clock.forward(31)
    sweep.sweep(context)
    assert states(context) == ["unknown"]
    sending.send_conversation(context, conversation)
    assert channel.sent == []


def test_one_that_wakes_up_after_its_lease_still_records_its_answer(context, channel, conversation, clock):
    [id] = queue(context, "one")

    def stopped_for_a_minute():
        clock.forward(60)
        sweep.sweep(context)
        assert states(context) == ["unknown"]

    channel.outcomes = [stopped_for_a_minute]
    sending.send_conversation(context, conversation)
    assert message(context, id)["state"] == "sent"
    clock.forward(500)
    sweep.sweep(context)
    sending.send_conversation(context, conversation)
    assert len(channel.sent) == 1


def test_a_message_accepted_and_then_failed_for_a_moment_is_sent_again(context, channel, conversation, clock):
    [id] = queue(context, "one")
    sending.send_conversation(context, conversation)
    failed = webhooks.status("failed", "wamid.sent1", channel.sent[0][2], code=131000)
    receive(context, webhooks.statuses(failed))
    assert states(context) == ["queued"]
    receive(context, webhooks.statuses(webhooks.status("sent", "wamid.sent1", channel.sent[0][2])))
    assert states(context) == ["queued"], "the late 'sent' of a refused attempt proves nothing"
    clock.forward(13)
    sending.send_conversation(context, conversation)
    receive(context, webhooks.statuses(failed))
    assert states(context) == ["sent"], "the old failure, repeated, does not touch the new attempt"
    assert message(context, id)["external_id"] == "wamid.sent2"


def test_a_message_that_was_delivered_cannot_fail_afterwards(context, channel, conversation):
    queue(context, "one")
    sending.send_conversation(context, conversation)
    receive(context, webhooks.statuses(webhooks.status("delivered", "wamid.sent1")))
    receive(context, webhooks.statuses(webhooks.status("failed", "wamid.sent1", code=131026)))
    assert states(context) == ["delivered"]


def test_a_failed_status_with_a_token_error_stops_the_number(context, channel, conversation):
    queue(context, "one")
    sending.send_conversation(context, conversation)
    receive(context, webhooks.statuses(webhooks.status("failed", "wamid.sent1", code=131042)))
    assert numbers.get(context.db, 1).stopped_code == 131042
    assert states(context) == ["queued"]


def test_two_senders_at_once_make_one_call(context, channel, conversation):
    queue(context, "one")
    both_ready = threading.Barrier(8)

    def run():
        both_ready.wait()
        sending.send_conversation(context, conversation)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(channel.sent) == 1


def test_a_slow_call_of_one_customer_delays_no_other(context, channel, conversation):
    receive(context, webhooks.texts(webhooks.text(sender="491777")))
    queue(context, "slow")
    queue(context, "quick", conversation_id=2)
    release, quick_went = threading.Event(), threading.Event()
    slow_began = threading.Event()

    def slow():
        slow_began.set()
        release.wait(10)

    channel.outcomes = [slow, quick_went.set]
    senders = sending.Senders(context)
    senders.submit(1)
    assert slow_began.wait(5)
    senders.submit(2)
    assert quick_went.wait(5)
    release.set()
    senders.finish()


def test_asked_while_it_is_sending_a_conversation_is_served_again(context, channel, conversation):
    queue(context, "one")
    began, release = threading.Event(), threading.Event()

    def slow():
        began.set()
        release.wait(10)

    channel.outcomes = [slow]
    senders = sending.Senders(context)
    senders.submit(1)
    assert began.wait(5)
    queue(context, "two")
    senders.submit(1)
    release.set()
    for _ in range(100):
        if states(context) == ["sent", "sent"]:
            break
        threading.Event().wait(0.02)
    senders.finish()
    assert [text for _, text, _ in channel.sent] == ["one", "two"]


def test_one_person_gets_at_most_the_pair_limit(context, channel, conversation):
    queue(context, *[str(n) for n in range(50)])
    sending.send_conversation(context, conversation)
    assert len(channel.sent) == 45


def test_a_number_keeps_its_rate(context):
    begun = time.monotonic()
    took = sum(context.limits.take(1, contact, 80) == 0 for contact in range(1000))
    most = 80 * (time.monotonic() - begun) + 10  # an eighth of a second ahead
    assert 10 <= took <= most + 1


def test_a_clock_set_back_an_hour_blocks_nobody(context, redis):
    redis.set("limit:1", 4_000_000_000)
    redis.set("limit:1:1", 4_000_000_000)
    assert context.limits.take(1, 1, 80) == 0
