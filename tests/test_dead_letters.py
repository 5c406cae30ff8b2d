"""What failed for good: grouped, retried as new messages, dismissed; rejected events taken in again. Flow and pages."""

import threading

import pytest

from frontdesk.errors import Permanent, WindowClosed
from frontdesk.flows import dead_letters, inbound, mends, sending, take_over
from frontdesk.channels import cloud_errors
from frontdesk.store import events, models, numbers
from tests import webhooks
from tests.test_inbound import queued, receive, rows


@pytest.fixture
def letter(context, channel):
    """Makes a message that failed; returns its id."""

    def fail(error=None, sender="4915112345678"):
        receive(context, webhooks.texts(webhooks.text("Hi", sender=sender, at=context.now())))
        conversation_id = rows(context.db, "SELECT MAX(id) AS id FROM conversations")[0]["id"]
        message_id = take_over.answer_by_person(context, conversation_id, 1, f"to {sender}")
        channel.outcomes = [error or Permanent("Undeliverable", code=131026, details="no WhatsApp")]
        sending.send_conversation(context, conversation_id)
        list(context.queues.take_sends())
        return message_id

    return fail


def sent(channel) -> list[str]:
    return [text for _, text, _ in channel.sent]


def test_every_code_that_the_channel_knows_has_a_cause_of_its_own():
    for code in cloud_errors.TABLE:
        assert mends.cause_of(code) is not mends.OTHER, code


def test_failures_are_grouped_by_cause_with_their_mend(context, letter):
    letter()
    letter(sender="491771")
    letter(Permanent("Template paused", code=132015), sender="491772")
    found = dead_letters.groups(context)
    assert [(group.cause.name, group.count) for group in found] == [("undeliverable", 2), ("template", 1)]


def test_a_retry_sends_the_words_again_as_a_new_message(context, channel, letter):
    message_id = letter()
    outcome = dead_letters.retry(context, [message_id])
    assert outcome.retried == 1 and list(context.queues.take_sends()) == [1]
    sending.send_conversation(context, 1)
    assert sent(channel) == ["to 4915112345678"] * 2
    first, second = rows(context.db, "SELECT * FROM messages WHERE direction = 'out' ORDER BY id")
    assert first["state"] == "failed" and first["retried_as"] == second["id"]
    assert second["state"] == "sent" and second["public_id"] != first["public_id"]
    assert dead_letters.groups(context) == []


def test_ten_people_who_retry_at_once_send_one_message(context, letter):
    message_id = letter()
    threads = [threading.Thread(target=dead_letters.retry, args=(context, [message_id])) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows(context.db, "SELECT id FROM messages WHERE direction = 'out'")) == 2


def test_what_cannot_succeed_is_left_alone_and_said(context, clock, letter):
    closed, opted_out = letter(WindowClosed("closed", code=131047)), letter(Permanent("no marketing", code=131050), "491771")
    clock.forward(25 * 3600)
    outcome = dead_letters.retry(context, [closed, opted_out])
    assert outcome.retried == 0
    assert outcome.refused == {"the 24-hour window is closed": 1, "the customer opted out": 1}


def test_with_its_number_stopped_nothing_is_burnt(context, letter):
    message_id = letter()
    numbers.stop(context.db, 1, "token expired", 190, context.now())
    assert dead_letters.retry(context, [message_id]).refused == {"the number is stopped": 1}


def test_what_the_model_left_over_is_answered_by_the_bot_again(context, db):
    receive(context, webhooks.texts(webhooks.text("Hi", at=context.now())))
    db.execute("UPDATE messages SET state = 'unanswered'")
    db.execute("UPDATE conversations SET waiting_since = NULL, needs_person_at = 1, needs_person_reason = 'model_failed'")
    [group] = dead_letters.groups(context)
    assert (group.cause.name, group.count, group.standing) == ("model", 1, 0)
    assert dead_letters.answer_left_over(context, [1]).retried == 1
    assert queued(context, "default")[-1] == "reply"
    assert rows(db, "SELECT state FROM messages") == [{"state": "waiting"}]
    assert dead_letters.answer_left_over(context, [1]).retried == 0


def test_a_dismissed_one_is_gone_and_says_who_and_why(context, letter):
    message_id = letter()
    assert dead_letters.dismiss(context, [message_id], [], 7, "called them") == 1
    assert dead_letters.groups(context) == []
    [row] = rows(context.db, "SELECT dismissed_by, dismissed_reason FROM messages WHERE direction = 'out'")
    assert row == {"dismissed_by": 7, "dismissed_reason": "called them"}
    assert dead_letters.retry(context, [message_id]).retried == 0


def test_a_rejected_webhook_is_taken_in_again_after_the_fix_and_doubles_nothing(context, db):
    known, unknown = webhooks.change(messages=[webhooks.text("known", id="wamid.1")]), webhooks.change(
        phone_number_id="999", messages=[webhooks.text("unknown", id="wamid.2")]
    )
    receive(context, webhooks.body(known, unknown))
    [event] = events.rejected(db)
    db.execute("UPDATE numbers SET external_id = '999'")
    assert dead_letters.replay(context, event.id)
    assert not dead_letters.replay(context, event.id), "a second click does nothing"
    inbound.drain(context)
    assert [row["text"] for row in rows(db, "SELECT text FROM messages ORDER BY id")] == ["known", "unknown"]


# --- the pages ----------------------------------------------------------------------------------------------------------------


def test_the_page_asks_before_it_retries_what_would_fail_again(app, owner, context, letter):
    message_id = letter()
    numbers.stop(context.db, 1, "token expired", 190, context.now())
    page = owner.submit("/dead-letters/retry", message=message_id)
    assert "The cause still stands" in page.text and "the number is stopped" in page.text
    assert len(rows(context.db, "SELECT id FROM messages WHERE direction = 'out'")) == 1
    numbers.resume(context.db, 1)
    assert owner.submit("/dead-letters/retry", message=message_id).status_code == 303
    assert len(rows(context.db, "SELECT id FROM messages WHERE direction = 'out'")) == 2


def test_all_of_a_group_are_retried_with_one_button(app, owner, context, letter):
    letter()
    letter(sender="491771")
    owner.submit("/dead-letters/retry", group="undeliverable", all="yes")
    assert "On their way again: 2." in owner.get("/dead-letters").text
    assert dead_letters.groups(context) == []


def test_without_a_reason_nothing_is_dismissed(app, owner, context, letter):
    message_id = letter()
    owner.submit("/dead-letters/dismiss", message=message_id, reason=" ")
    assert "Write why" in owner.get("/dead-letters").text
    assert len(dead_letters.groups(context)) == 1


def test_a_model_that_is_still_away_is_said_first(app, owner, context, db):
    receive(context, webhooks.texts(webhooks.text("Hi", at=context.now())))
    db.execute("UPDATE messages SET state = 'unanswered'")
    models.away(db, context.settings.ollama_host, context.settings.ollama_model, "gone", 0, context.now())
    assert "the model is still away" in owner.submit("/dead-letters/retry", conversation=1).text


def test_what_a_stranger_wrote_comes_out_as_text(app, owner, context, db):
    events.reject(db, "k", "cloud", "unknown phone_number_id <script>alert(1)</script>", {"a": "<script>alert(2)</script>"}, 0, b"{}")
    page = owner.get("/rejected").text
    assert "<script>alert" not in page and "&lt;script&gt;alert(2)" in page


def test_an_agent_sees_no_dead_letters(agent):
    assert agent.get("/dead-letters").status_code == 403
