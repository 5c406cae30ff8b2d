"""What failed for good: grouped, retried as new messages, dismissed. Flow and pages."""

import re
import threading

import pytest
from rq.results import Result

from frontdesk.errors import Permanent, WindowClosed
from frontdesk.flows import dead_letters, mends, sending, take_over
from frontdesk.channels import cloud_errors
from frontdesk.store import models, notes, numbers
from tests import webhooks
from tests.test_inbound import queued, receive, rows

EVIL = "<img src=x onerror=alert(1)>"


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


def test_where_a_person_has_the_conversation_retrying_says_that_the_bot_waits_for_it(context, owner, db):
    receive(context, webhooks.texts(webhooks.text("Hi", at=context.now())))
    db.execute("UPDATE messages SET state = 'unanswered'")
    take_over.take_over(context, 1, 1)
    page = owner.submit("/dead-letters/retry", conversation="1")
    said = owner.get(page.location).text
    assert "On their way again" not in said and "It answers when it is handed back" in said
    assert rows(db, "SELECT state FROM messages") == [{"state": "waiting"}]
    take_over.hand_back(context, 1)
    assert queued(context, "default")[-1] == "reply"


def test_a_dismissed_one_is_gone_and_says_who_and_why(context, letter):
    message_id = letter()
    assert dead_letters.dismiss(context, [message_id], [], 7, "called them") == 1
    assert dead_letters.groups(context) == []
    [row] = rows(context.db, "SELECT dismissed_by, dismissed_reason FROM messages WHERE direction = 'out'")
    assert row == {"dismissed_by": 7, "dismissed_reason": "called them"}
    assert dead_letters.retry(context, [message_id]).retried == 0


def test_of_what_the_model_left_over_a_dismissal_is_kept_as_a_note(context, db):
    receive(context, webhooks.texts(webhooks.text("Hi", at=context.now())))
    db.execute("UPDATE messages SET state = 'unanswered'")
    assert dead_letters.dismiss(context, [], [1], 7, "called them") == 1
    assert dead_letters.dismiss(context, [], [1], 7, "again") == 0
    [note] = notes.between(db, 1, 0)
    assert (note.user_id, note.text) == (7, "No answer is needed: called them")


def test_the_model_is_not_asked_where_its_answer_could_not_be_sent(context, clock, db):
    receive(context, webhooks.texts(webhooks.text("Hi", at=context.now())))
    db.execute("UPDATE messages SET state = 'unanswered'")
    clock.forward(25 * 3600)
    assert dead_letters.answer_left_over(context, [1]).refused == {"the 24-hour window is closed": 1}
    assert rows(db, "SELECT state FROM messages") == [{"state": "unanswered"}]


@pytest.mark.parametrize("settle", ["retry", "dismiss"])
def test_a_conversation_asks_for_a_person_until_its_last_letter_is_settled(context, letter, settle):
    first, second = letter(), letter()
    for message_id, reason in ((first, "send_failed"), (second, None)):
        if settle == "retry":
            dead_letters.retry(context, [message_id])
        else:
            dead_letters.dismiss(context, [message_id], [], 7, "seen")
        assert rows(context.db, "SELECT needs_person_reason AS reason FROM conversations") == [{"reason": reason}]


def test_ten_people_who_answer_and_dismiss_at_once_settle_it_once(context, letter):
    message_id, counts = letter(), []
    work = [lambda: counts.append(dead_letters.retry(context, [message_id]).retried)] * 5
    work += [lambda: counts.append(dead_letters.dismiss(context, [message_id], [], 7, "seen"))] * 5
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [0] * 9 + [1]


def test_a_retried_message_waits_for_its_stopped_number_and_goes_when_it_is_resumed(context, channel, letter):
    message_id = letter()
    numbers.stop(context.db, 1, "token expired", 190, context.now())
    assert dead_letters.retry(context, [message_id], anyway=True).retried == 1
    sending.send_conversation(context, 1)
    assert len(sent(channel)) == 1
    numbers.resume(context.db, 1)
    sending.send_conversation(context, 1)
    assert len(sent(channel)) == 2


@pytest.mark.parametrize(
    "exception, cause",
    [
        ("redis.exceptions.TimeoutError", mends.REDIS), ("sqlite3.OperationalError", mends.DATABASE), ("", mends.KILLED),
        ("rq.exceptions.AbandonedJobError", mends.KILLED), ("KeyError", mends.FAULT), ("frontdesk.errors.Thing", mends.FAULT),
    ],
)  # fmt: skip
def test_a_failed_job_has_a_cause(exception, cause):
    assert mends.cause_of_job(exception) is cause


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


def test_dismissing_asks_for_a_reason_first_and_keeps_what_was_chosen(app, owner, context, letter):
    message_id = letter()
    for given in ({}, {"reason": " "}):
        page = owner.submit("/dead-letters/dismiss", message=message_id, **given)
        assert 'name="reason"' in page.text and f'name="message" value="{message_id}"' in page.text
    assert page.status_code == 422 and "The reason is missing." in page.text
    assert len(dead_letters.groups(context)) == 1
    owner.submit("/dead-letters/dismiss", message=message_id, reason="called them")
    assert dead_letters.groups(context) == []


def test_all_of_a_group_are_dismissed_after_one_question(app, owner, context, letter):
    letter()
    letter(sender="491771")
    page = owner.submit("/dead-letters/dismiss", group="undeliverable", all="yes")
    assert "Dismiss 2" in page.text and 'name="group" value="undeliverable"' in page.text
    owner.submit("/dead-letters/dismiss", group="undeliverable", all="yes", reason="old")
    assert dead_letters.groups(context) == []


def test_no_field_of_the_list_sends_it_on_enter(app, owner, letter):
    """A browser presses a form's first button, which is 'Retry', on Enter in a text field. For tick boxes: desk.js, tests/browser."""
    letter()
    form = owner.get("/dead-letters").text.partition('action="/dead-letters/retry"')[2].partition("</form>")[0]
    assert set(re.findall(r'<input type="(\w+)"', form)) == {"hidden", "checkbox"} and "<textarea" not in form


def test_after_a_second_word_what_waits_for_its_number_is_queued_and_what_is_hopeless_left_alone(app, owner, context, letter):
    waits, closed = letter(), letter(WindowClosed("closed", code=131047), "491771")
    context.db.execute("UPDATE conversations SET window_closes_at = 0 WHERE id = 2")
    numbers.stop(context.db, 1, "token expired", 190, context.now())
    asked = owner.submit("/dead-letters/retry", message=[waits, closed])
    assert "1: the number is stopped" in asked.text and "1: the 24-hour window is closed" in asked.text
    assert "Retry 1 anyway" in asked.text
    owner.submit("/dead-letters/retry", message=[waits, closed], anyway="yes")
    told = owner.get("/dead-letters").text
    assert "On their way again: 1." in told and "Left alone: 1, because the 24-hour window is closed." in told
    assert [row["state"] for row in rows(context.db, "SELECT state FROM messages WHERE direction = 'out' ORDER BY id")] == [
        "failed", "failed", "queued",
    ]  # fmt: skip


def test_where_nothing_can_go_out_there_is_no_button(app, owner, context, letter):
    message_id = letter(Permanent("no marketing", code=131050))
    page = owner.submit("/dead-letters/retry", message=message_id).text
    assert "None of them can go out now" in page and "anyway</button>" not in page


def test_every_letter_of_a_cause_is_reached_page_by_page(app, owner, context, db, letter):
    first = letter()
    for _ in range(120):
        db.execute(
            """
            INSERT INTO messages (conversation_id, number_id, direction, state, kind, text, provider_at, created_at, failed_at, error_code)
            SELECT conversation_id, number_id, direction, state, kind, text, provider_at, created_at, failed_at, 131021
            FROM messages WHERE id = ?
            """,
            (first,),
        )
    overview = owner.get("/dead-letters").text
    assert "See all 121" in overview and overview.count('name="message"') == 8
    path, seen = "/dead-letters/cause/undeliverable", []
    while path:
        page = owner.get(path).text
        seen += re.findall(r'name="message" value="(\d+)"', page)
        older = re.search(r'rel="next" href="([^"]+)"', page)
        path = older and older[1]
    assert len(seen) == len(set(seen)) == 121
    owner.submit("/dead-letters/retry", group="undeliverable", all="yes")
    assert "On their way again: 121." in owner.get("/dead-letters").text


def test_a_cause_that_is_settled_meanwhile_leads_back(app, owner):
    assert owner.get("/dead-letters/cause/undeliverable").location == "/dead-letters"
    assert owner.get("/dead-letters/cause/no-such").location == "/dead-letters"


def test_inside_a_letter_stands_all_that_is_kept_and_what_it_was_before(app, owner, context, channel, letter):
    first = letter(Permanent(EVIL, code=131026, details=EVIL))
    channel.outcomes = [Permanent("Undeliverable again", code=131026)]
    dead_letters.retry(context, [first])
    sending.send_conversation(context, 1)
    [second] = [row["retried_as"] for row in rows(context.db, f"SELECT retried_as FROM messages WHERE id = {first}")]
    page = owner.get(f"/dead-letters/{second}").text
    assert "Undeliverable again (131026)" in page and f'href="/dead-letters/{first}"' in page and 'href="/numbers/1"' in page
    page = owner.get(f"/dead-letters/{first}").text
    assert "It was sent again" in page and EVIL not in page and "&lt;img" in page
    owner.submit("/dead-letters/dismiss", message=second, reason=EVIL)
    page = owner.get(f"/dead-letters/{second}").text
    assert "Some Owner dismissed it" in page and EVIL not in page
    assert owner.get("/dead-letters/999").status_code == 404


def test_a_group_says_how_old_it_is_and_where_it_is_mended(app, owner, letter):
    letter(Permanent("Template paused", code=132015))
    page = owner.get("/dead-letters").text
    assert "Oldest: <time" in page and 'Mend it at: <a href="/numbers/1">' in page


def test_failed_jobs_stand_beside_by_their_cause(app, owner, context):
    for job_id, words in (("a", "Traceback\n  File x\nredis.exceptions.ConnectionError: secret-free"), ("b", f"Traceback\nKeyError: {EVIL}"), ("c", EVIL)):
        fail_job(context, job_id, words)
    found = {jobs.exception: (jobs.queue, jobs.count, jobs.of) for jobs in context.queues.failed_jobs()}
    assert found == {"redis.exceptions.ConnectionError": ("high", 1, 3), "KeyError": ("high", 1, 3), "": ("high", 1, 3)}
    page = owner.get("/dead-letters").text
    assert "1 in high: KeyError" in page and "1 in high: ConnectionError" in page and EVIL not in page
    assert 'href="/rq/0/view/jobs/high/failed/8/dsc/1"' in page


def fail_job(context, job_id, words):
    [queue] = context.queues.rq_queues(["high"])
    job = queue.enqueue_call("jobs.drain", job_id=job_id)
    queue.failed_job_registry.add(job, ttl=1000)
    Result.create_failure(job, ttl=1000, exc_string=words)  # where a worker keeps it


def test_a_model_that_is_still_away_is_said_first(app, owner, context, db):
    receive(context, webhooks.texts(webhooks.text("Hi", at=context.now())))
    db.execute("UPDATE messages SET state = 'unanswered'")
    models.away(db, context.settings.ollama_host, context.settings.ollama_model, "gone", 0, context.now())
    assert "the model is still away" in owner.submit("/dead-letters/retry", conversation=1).text


@pytest.mark.parametrize("path", ["/dead-letters", "/dead-letters/1", "/dead-letters/cause/window"])
def test_an_agent_sees_no_dead_letters(agent, path):
    assert agent.get(path).status_code == 403
