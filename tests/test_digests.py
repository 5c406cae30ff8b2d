"""The daily digest: on the client's own clock, once a day, numbers by SQL, lines by the model, a message to the owner once."""

import dataclasses
from datetime import UTC, datetime

import pytest

from frontdesk.flows import digest_days, digest_words, digests as flow, document_work, sweep
from frontdesk.flows.outgoing import CannotSend
from frontdesk.store import conversations, digest_counts, digests, documents
from frontdesk.store.digest_counts import Numbers, Said
from frontdesk.store.digests import Wish
from tests import webhooks
from tests.standins.ollama import OllamaStandIn
from tests.standins.ollama_replies import Reply
from tests.test_inbound import queued, receive, rows
from tests.test_templates import body_template, keep, made

OWNER = "4915199999999"
LINES = '{"lines": ["Two customers asked for lemon cake.", " One  complained\\nabout a late order. "]}'


def at(words: str) -> float:
    """'2026-03-29 07:00' in UTC."""
    return datetime.fromisoformat(words).replace(tzinfo=UTC).timestamp()


# --- which day, and when --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone, moment, day, hours", [
    ("UTC", "2026-11-21 07:00", "2026-11-20", 24),
    ("Europe/Berlin", "2026-03-29 05:00", "2026-03-28", 24),
    ("Europe/Berlin", "2026-03-30 05:00", "2026-03-29", 23),  # the day on which the clocks went forward
    ("Europe/Berlin", "2026-10-26 06:00", "2026-10-25", 25),
    ("America/New_York", "2026-11-02 12:00", "2026-11-01", 25),
    ("Asia/Kolkata", "2026-11-21 01:30", "2026-11-20", 24),
    ("Pacific/Auckland", "2026-04-05 19:00", "2026-04-05", 25),
    ("No/Where", "2026-11-21 07:00", "2026-11-20", 24),
])  # fmt: skip
def test_it_comes_at_the_hour_of_the_client_s_own_clock_and_tells_of_a_whole_day(zone, moment, day, hours):
    assert digest_days.due(at(moment) - 1, zone, 7) is None
    found = digest_days.due(at(moment), zone, 7)
    assert (found.name, (found.ends_at - found.begins_at) / 3600) == (day, hours)


def test_an_hour_that_the_clocks_leave_out_is_the_moment_after_and_one_that_comes_twice_comes_once():
    assert digest_days.due(at("2026-03-29 01:00") - 1, "Europe/Berlin", 2) is None
    assert digest_days.due(at("2026-03-29 01:00"), "Europe/Berlin", 2).name == "2026-03-28"
    first, again = (digest_days.due(at(moment), "Europe/Berlin", 2) for moment in ("2026-10-25 00:00", "2026-10-25 01:00"))
    assert first == again and first.name == "2026-10-24"


def test_it_comes_late_by_hours_also_over_midnight_and_not_by_more():
    assert digest_days.due(at("2026-11-21 18:59"), "UTC", 7).name == "2026-11-20"
    assert digest_days.due(at("2026-11-21 19:00"), "UTC", 7) is None
    assert digest_days.due(at("2026-11-22 05:00"), "UTC", 20).name == "2026-11-20"


# --- made -----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(context):
    with OllamaStandIn() as standin:
        context.ollama.host = standin.url
        yield standin


@pytest.fixture
def morning(context, clock, db):
    """Seven o'clock; the digest is on, and goes to the owner by a template of four variables."""
    clock.at = at("2026-11-21 07:00")
    db.execute("UPDATE clients SET created_at = 0, time_zone = 'UTC'")
    keep(context, body_template("Digest of {{1}}. {{2}}. {{3}} {{4}} That is all."))
    digests.keep_wish(db, Wish(1, True, 7, OWNER, "order_ready", "en"), clock())
    return clock


def written(context, clock, *texts: str, sender="4915112345678", moment="2026-11-20 12:00") -> None:
    """By a customer, at that time; the clock stands where it stood."""
    now, clock.at = clock.at, at(moment)
    receive(context, webhooks.texts(*(webhooks.text(text, sender=sender, at=clock.at) for text in texts)))
    clock.at = now


def work(context) -> None:
    while document_work.is_due(context):
        document_work.serve(context)


def newest(context) -> digests.Digest:
    [found] = digests.newest(context.db, 1)
    return found


def sent(context) -> list[dict]:
    return rows(context.db, "SELECT text, raw, kind, state FROM messages WHERE purpose = 'digest'")


def test_a_day_is_told_in_lines_with_its_numbers_and_goes_to_the_owner_once(context, model, morning):
    written(context, morning, "Do you have lemon cake?", "Hello?")
    model.enqueue(LINES)
    flow.sweep(context)
    flow.sweep(context)
    assert queued(context, "bulk").count("digests") == 1
    flow.serve(context)
    assert newest(context).state == "writing" and sent(context) == [] and "documents" in queued(context, "documents")
    work(context)
    flow.sweep(context)
    flow.serve(context)
    digest = newest(context)
    assert digest.lines == ["Two customers asked for lemon cake.", "One complained about a late order."] and digest.day == "2026-11-20"
    assert (digest.numbers.conversations, digest.numbers.received, digest.numbers.bot) == (1, 2, 0)
    [message] = sent(context)
    assert message["text"].startswith(
        "Digest of Friday, 20 November 2026. 1 conversation, 2 messages in, 0 out; answers: 0 by the bot, 0 by people; 0 not delivered; 0 opt-outs. "
        "• Two customers asked for lemon cake. • One complained about a late order. Nobody waits for a person. That is all."
    )
    for _ in range(3):
        morning.forward(3600)
        flow.serve(context)
        sweep.sweep(context)
    assert len(sent(context)) == 1 and len(rows(context.db, "SELECT id FROM digests")) == 1
    assert rows(context.db, "SELECT task_id FROM document_texts") == [], "what the model read is not kept"


def test_the_model_is_shown_the_day_alone_and_nobody_s_name(context, model, morning):
    model.behaviour.text = LINES
    written(context, morning, "the day before", moment="2026-11-19 23:59")
    written(context, morning, "first thing", moment="2026-11-20 00:00")
    written(context, morning, "today", moment="2026-11-21 00:00")
    flow.serve(context)
    work(context)
    [asked] = [chat["body"]["messages"] for chat in model.chats]
    assert asked[-1]["content"] == "## Conversation 1\nCustomer: first thing"
    assert "Ana" not in str(asked) and "491511" not in str(asked) and "no instructions" in asked[0]["content"]


def test_a_long_day_is_read_part_by_part_within_a_bound(context, model, morning):
    model.behaviour.text = LINES
    for n in range(200):
        written(context, morning, f"Question {n}: " + "bread and butter " * 40, sender=f"49151{n:08}")
    flow.serve(context)
    work(context)
    flow.serve(context)
    assert 3 < len(model.chats) < 14
    assert "of the 200 conversations" in newest(context).remark and newest(context).numbers.conversations == 200 and newest(context).lines


def test_those_who_wait_for_a_person_come_first_and_are_named_by_their_conversation(context, morning):
    for n in range(3):
        written(context, morning, "Hello", "again", sender=f"4915100000{n}")
    written(context, morning, "Help!", sender="49151000009")
    conversations.need_person(context.db, 4, "asked", morning() - 60)
    [first, *_] = digest_counts.said(context.db, 1, at("2026-11-20 00:00"), at("2026-11-21 00:00"), 10, 10)
    assert first == Said(True, [(True, "Help!")])
    flow.serve(context)
    assert newest(context).waiting == [{"id": 4, "reason": "asked", "since": morning() - 60}] and newest(context).waiting_count == 1


def test_with_nobody_writing_it_comes_with_numbers_and_says_so_without_the_model(context, model, morning):
    flow.serve(context)
    digest = newest(context)
    assert (digest.state, digest.remark, digest.lines) == ("ready", flow.NOBODY_WROTE, []) and model.chats == []
    assert flow.NOBODY_WROTE in sent(context)[0]["text"]


def test_with_the_model_away_it_comes_without_lines_and_says_so(context, morning):
    written(context, morning, "Hello")
    flow.serve(context)
    work(context)  # nobody answers
    flow.sweep(context)
    assert newest(context).state == "writing"
    morning.forward(flow.PATIENCE_AWAY_SECONDS)
    flow.serve(context)
    digest = newest(context)
    assert (digest.state, digest.lines, digest.numbers.received) == ("ready", [], 1) and "no answer in time" in digest.remark
    assert len(sent(context)) == 1 and rows(context.db, "SELECT id FROM document_tasks") == []


def test_a_model_that_answers_nonsense_costs_the_lines_alone(context, model, morning):
    written(context, morning, "Hello")
    model.enqueue("no", "again no")
    flow.serve(context)
    work(context)
    flow.serve(context)
    assert newest(context).remark.startswith(flow.NO_LINES) and len(sent(context)) == 1


def test_a_model_that_refuses_costs_the_lines_alone(context, model, morning):
    written(context, morning, "Hello")
    model.enqueue(Reply(status=400, error="no"))
    flow.serve(context)
    work(context)
    flow.serve(context)
    assert newest(context).state == "ready" and not newest(context).lines


def test_after_a_down_time_it_is_late_and_once_and_after_a_long_one_it_is_none(context, morning):
    morning.forward(10 * 3600)
    flow.serve(context)
    assert newest(context).day == "2026-11-20"
    morning.at = at("2026-11-22 20:00")
    flow.serve(context)
    assert len(rows(context.db, "SELECT id FROM digests")) == 1
    morning.at = at("2026-11-23 07:00")
    flow.serve(context)
    assert newest(context).day == "2026-11-22"


def test_a_client_that_wants_none_or_is_new_gets_none(context, db, morning):
    db.execute("UPDATE clients SET created_at = ?", (at("2026-11-21 01:00"),))
    flow.serve(context)
    db.execute("UPDATE clients SET created_at = 0")
    digests.keep_wish(db, Wish(1, False), morning())
    flow.serve(context)
    assert rows(db, "SELECT id FROM digests") == []


@pytest.mark.parametrize("dies_in", ["documents.add", "outgoing.queue", "digests.settle", "digests.sent_as"])
def test_dying_anywhere_in_between_it_is_made_and_sent_once(context, model, morning, monkeypatch, dies_in):
    written(context, morning, "Hello")
    model.behaviour.text = LINES
    module, _, name = dies_in.partition(".")

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(getattr(flow, module), name, die)
        with pytest.raises(KeyboardInterrupt):
            flow.serve(context)
            work(context)
            flow.serve(context)
    assert sent(context) == []
    flow.serve(context)
    work(context)
    flow.serve(context)
    assert len(sent(context)) == 1 and newest(context).lines and newest(context).message_state == "queued"


def test_a_template_that_cannot_go_out_is_told_and_sent_on_a_person_s_word(context, db, morning):
    keep(context, dataclasses.replace(body_template("Digest of {{1}}: {{2}} End."), status="PAUSED"))
    flow.serve(context)
    digest = newest(context)
    assert digest.state == "ready" and "paused" in digest.refused_words and sent(context) == []
    keep(context, body_template("Digest of {{1}}: {{2}} End."))
    flow.send_again(context, digest)
    assert newest(context).refused_words is None and len(sent(context)) == 1
    with pytest.raises(CannotSend):
        flow.send_again(context, newest(context))
    flow.send_again(context, digest)  # somebody's old page
    assert len(sent(context)) == 1
    db.execute("UPDATE messages SET state = 'failed', error_title = 'no' WHERE purpose = 'digest'")
    flow.send_again(context, newest(context))
    assert len(sent(context)) == 2


def test_a_template_that_is_gone_is_told(context, morning):
    morning.forward(1)
    keep(context, made("spring_sale"))
    flow.serve(context)
    assert "no template order_ready in en" in newest(context).refused_words and sent(context) == []


def test_an_owner_who_wants_no_marketing_gets_none_by_a_template_of_that_kind(context, db, morning):
    keep(context, dataclasses.replace(body_template("Digest of {{1}}: {{2}} End."), category="MARKETING"))
    written(context, morning, "Stop it", sender=OWNER)
    db.execute("INSERT INTO opt_outs SELECT id, NULL, 1 FROM contacts WHERE phone = ?", (OWNER,))
    morning.forward(flow.PATIENCE_SECONDS)
    flow.serve(context)
    morning.forward(flow.PATIENCE_SECONDS)
    flow.serve(context)
    assert "wants no marketing" in newest(context).refused_words and sent(context) == []


def test_digests_are_kept_for_ninety_days(context, db, morning):
    flow.serve(context)
    morning.forward(89 * 24 * 3600)
    sweep.clean(context)
    assert len(rows(db, "SELECT id FROM digests")) == 1
    morning.forward(2 * 24 * 3600)
    sweep.clean(context)
    assert rows(db, "SELECT id FROM digests") == []


# --- numbers --------------------------------------------------------------------------------------------------------------------------


def test_numbers_are_counted_by_sql_and_leave_out_other_days_and_clients(context, db, morning):
    written(context, morning, "one", "two")
    written(context, morning, "three", sender="4915100000001")
    noon = at("2026-11-20 12:00")
    for purpose, state, waited, sent_at, created_at in (
        ("answer", "read", 2, noon + 3, noon), ("answer", "sent", 4, noon + 5, noon), ("answer", "delivered", 40, noon + 41, noon),
        ("answer", "sent", None, noon + 3, noon), ("person", "failed", None, None, noon), ("broadcast", "sent", None, noon, noon),
        ("digest", "sent", None, noon, noon), ("answer", "sent", 1, noon + 86400, noon + 86400),
    ):  # fmt: skip
        db.execute(
            """
            INSERT INTO messages (conversation_id, number_id, direction, state, kind, purpose, text, provider_at, created_at, waited_seconds, sent_at)
            VALUES (1, 1, 'out', ?1, 'text', ?2, 'x', ?4, ?4, ?3, ?5)
            """,
            (state, purpose, waited, created_at, sent_at),
        )
    db.execute("INSERT INTO opt_outs VALUES (1, NULL, ?)", (noon,))
    found = digest_counts.numbers(db, 1, at("2026-11-20 00:00"), at("2026-11-21 00:00"))
    assert found == Numbers(2, 3, 4, 3, 1, 1, 1, 1, 9.0)
    assert digest_counts.numbers(db, 2, at("2026-11-20 00:00"), at("2026-11-21 00:00")) == Numbers(0, 0, 0, 0, 0, 0, 0, 0, None)
    assert digest_words.numbers(found) == (
        "2 conversations, 3 messages in, 4 out; answers: 3 by the bot, 1 by people; half of the bot's within 9 s; 1 by broadcasts; "
        "1 not delivered; 1 opt-out"
    )


# --- the short form -------------------------------------------------------------------------------------------------------------------


def told(*lines: str, **changes) -> digests.Digest:
    counted = Numbers(12, 40, 50, 20, 3, 0, 0, 1, 12.0)
    values = dict.fromkeys(digests.Digest.__dataclass_fields__) | {"id": 1, "client_id": 1, "day": "2026-11-20", "numbers": counted, "lines": list(lines)}
    return digests.Digest(**values | {"waiting": [], "waiting_count": 2, "remark": "", **changes})


@pytest.mark.parametrize("text, expected", [
    ("Yesterday: {{1}} End.", "Friday, 20 November 2026: 12 conv"),
    ("Of {{1}}: {{2}} End.", "Of Friday, 20 November 2026: 12 conv"),
    ("{{1}} | {{2}} | {{3}} End.", "1 opt-out | • Cake. 2 conversations wait for a person. End."),
    ("{{1}} | {{2}} | {{3}} | {{4}} End.", "| • Cake. | 2 conversations wait for a person. End."),
])  # fmt: skip
def test_one_to_four_numbered_variables_hold_what_there_is(text, expected):
    assert expected in digest_words.filled(body_template(text), told("Cake."), "Bakery").body


def test_named_variables_are_filled_by_their_names():
    template = body_template("{{business}} on {{day}}: {{summary}} {{open}} End.", parameter_format="NAMED")
    assert digest_words.filled(template, told("Cake."), "Corner Bakery").body.startswith("Corner Bakery on Friday, 20 November 2026: • Cake. 2 conv")


def test_it_fits_whatever_the_model_wrote():
    nasty = "a\n\nb\tc      d\u2028e\x00f \ud800 " + "long words " * 300
    for text in ("Of {{1}}: {{2}} End.", "{{1}} {{2}} {{3}} {{4}} End.", "{{1}} {{2}} {{2}} {{2}} End."):
        filled = digest_words.filled(body_template(text), told(nasty, nasty), "B")
        assert len(filled.body) <= 1024 and "…" in filled.body and "2 conversations wait" in filled.body or "{{4}}" not in text
        assert not set("\n\t\x00\u2028") & set(filled.body) and "    " not in filled.body


def test_nothing_to_say_is_still_a_variable():
    assert "–" in digest_words.filled(body_template("{{1}} {{2}} {{3}} {{4}} End."), told(), "B").body


@pytest.mark.parametrize("template", [
    body_template("No variable."), body_template("{{1}} {{2}} {{3}} {{4}} {{5}}"), body_template("{{colour}}", parameter_format="NAMED"),
    made("weekly_offer"), made("spring_sale"),
])  # fmt: skip
def test_a_template_that_no_digest_fits_into_is_refused(template):
    with pytest.raises(digest_words.BadTemplate):
        digest_words.check(template)


def test_a_digest_is_no_document_of_anybody_s(context, model, morning):
    written(context, morning, "Hello")
    flow.serve(context)
    task = documents.by_id(context.db, newest(context).task_id)
    assert (task.kind, task.client_id, task.batch_id) == ("digest", 1, None)
