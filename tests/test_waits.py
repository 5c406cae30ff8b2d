"""What customers and the desk are told about waiting: flows/waits.py and flows/hours.py."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from frontdesk.flows import hours, sweep, waits
from frontdesk.store import conversations, models, numbers
from tests.test_reply import answer, context, customer_writes, model, outbound  # noqa: F401

BERLIN = "Europe/Berlin"


def at(words: str) -> float:
    return datetime.fromisoformat(words).replace(tzinfo=ZoneInfo(BERLIN)).timestamp()


def measured(context, seconds: float) -> None:
    models.took(context.db, context.settings.ollama_host, context.settings.ollama_model, seconds, 20.0, context.now())


def test_nothing_is_expected_before_an_answer_was_measured(context):
    customer_writes(context, "Hi")
    assert waits.expected_seconds(context) == {}


def test_who_is_third_in_line_waits_for_three_answers(context, clock):
    measured(context, 20)
    for n in range(3):
        customer_writes(context, "Hi", sender=f"49177{n}")
        clock.forward(1)
    clock.forward(5)
    assert waits.expected_seconds(context) == {1: 20, 2: 40, 3: 60}


def test_the_one_being_written_is_half_done(context, clock):
    measured(context, 20)
    for n in range(2):
        customer_writes(context, "Hi", sender=f"49177{n}")
    clock.forward(5)
    conversations.claim(context.db, 2, "somebody", clock(), 30)
    assert waits.expected_seconds(context) == {2: 20, 1: 30}


def test_a_model_that_is_away_makes_no_promise(context, clock):
    measured(context, 20)
    models.away(context.db, context.settings.ollama_host, context.settings.ollama_model, "gone", clock() + 5, clock())
    customer_writes(context, "Hi")
    assert waits.expected_seconds(context) == {}


def test_an_answer_teaches_how_long_answers_take(context, model):
    customer_writes(context, "Hi")
    answer(context)
    state = models.get(context.db, context.settings.ollama_host, context.settings.ollama_model)
    assert state.answer_seconds is not None and state.answer_seconds >= 0


def test_past_the_client_s_threshold_a_customer_is_told_a_time_once(context, clock):
    measured(context, 100)
    customer_writes(context, "Hi", sender="491771")
    clock.forward(1)
    customer_writes(context, "Hi", sender="491772")
    for _ in range(3):
        sweep.sweep(context)
    [text] = outbound(context)
    assert text.startswith("Many people are writing right now. You will have your answer by ")
    assert list(context.queues.take_sends()) == [2], "the second in line waits 200 s, the first 100"


def test_without_a_threshold_nobody_is_told(context, clock):
    context.db.execute("UPDATE clients SET wait_threshold_seconds = NULL")
    measured(context, 1000)
    customer_writes(context, "Hi")
    sweep.sweep(context)
    assert outbound(context) == []


HOURS = {"mon": [["09:00", "12:00"], ["13:00", "18:00"]], "sat": [["10:00", "24:00"]]}


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-23 10:00", "2026-11-23 10:00"),
        ("2026-11-23 12:30", "2026-11-23 13:00"),
        ("2026-11-23 18:00", "2026-11-28 10:00"),
        ("2026-11-28 23:59", "2026-11-28 23:59"),
        ("2026-11-29 00:01", "2026-11-30 09:00"),
        ("2026-03-23 07:00", "2026-03-23 09:00"),
    ],
)
def test_when_it_opens(now, opens):
    assert hours.opens_at(HOURS, BERLIN, at(now)) == pytest.approx(at(opens), abs=1)


def test_always_open_without_hours_and_never_with_none():
    assert hours.is_open(None, BERLIN, 0)
    assert not hours.is_open({}, BERLIN, 0) and hours.opens_at({}, BERLIN, 0) is None


@pytest.mark.parametrize("wrong", ['{"monday": []}', '{"mon": [["18:00", "09:00"]]}', '{"mon": [["nine", "ten"]]}', "[]", "{"])
def test_wrong_hours_are_refused(wrong):
    with pytest.raises(ValueError):
        hours.read(wrong)


def test_a_stopped_number_promises_no_time_that_would_be_over_when_it_is_resumed(context, clock):
    measured(context, 1000)
    customer_writes(context, "Hi")
    numbers.stop(context.db, 1, "token expired", 190, clock())
    sweep.sweep(context)
    assert outbound(context) == []


def test_who_asks_for_a_person_on_a_stopped_number_is_promised_no_time(context, clock):
    context.db.execute("UPDATE clients SET hours = ?, away_text = 'A person will answer. Open from {when}.'", ('{"tue": [["09:00", "18:00"]]}',))
    numbers.stop(context.db, 1, "token expired", 190, clock())
    customer_writes(context, "human")
    assert outbound(context) == ["A person will answer."]
