"""Past turns and checks asked again: what is asked, what is kept, what becomes of the work when things go wrong. Nothing is sent."""

import dataclasses
import threading

import pytest

from frontdesk.flows import replaying, replays, sweep
from frontdesk.flows.document_work import MOST_DEATHS
from frontdesk.store import checks, clients, past_turns
from frontdesk.store import replays as rows
from frontdesk.store.checks import Question
from tests import webhooks
from tests.standins.ollama_replies import Reply
from tests.test_inbound import queued, receive
from tests.test_inbound import rows as selected
from tests.test_knowledge import add as add_document
from tests.test_reply import answer, context, customer_writes, model  # noqa: F401

CLIENT = 1


def turn(context, model, asked: str, said: str) -> None:
    """A customer writes and is answered."""
    model.enqueue(said)
    customer_writes(context, asked)
    answer(context)
    context.now.forward(600)


def found(context, **choice) -> list[int]:
    return [each.id for each in past_turns.find(context.db, CLIENT, since=0, until=9e9, limit=500, **choice)[0]]


def start(context, message_ids=None, **changed) -> int:
    candidate = {**replays.present(context, CLIENT), **changed}
    return replays.start_turns(context, CLIENT, message_ids or found(context), candidate, "all", None)


def work(context) -> None:
    """What the worker does, a job at a time, until nothing is due."""
    while replaying.is_due(context):
        context.queues.redis.delete("rq:queue:documents")
        replaying.serve(context)
    context.queues.redis.delete("rq:queue:documents")


def items(context, replay_id: int, which: str = "all") -> list[rows.Item]:
    return rows.finished(context.db, replay_id, which, after=0, limit=1000)


# --- past turns ---------------------------------------------------------------------------------------------------------------


def test_a_turn_is_asked_again_as_it_was_with_the_changed_prompt(context, model):
    turn(context, model, "Hi", "Hello!")
    asked_at = context.now()
    model.enqueue("We open at seven.")
    customer_writes(context, "When do you", "open?")
    answer(context)
    turn(context, model, "Thanks", "You are welcome.")
    then = model.chats[1]["body"]["messages"]
    replay_id = start(context, found(context)[1:2], system_prompt="You are a parrot.")
    context.now.forward(30 * 24 * 3600)
    model.enqueue("Krah! **Seven**.")
    work(context)
    again = model.chats[-1]["body"]["messages"]
    assert again[0]["content"].startswith("You are a parrot.") and "Corner Bakery" not in again[0]["content"]
    assert again[1:] == then[1:], "history, time and the customer's words are those of then"
    [item] = items(context, replay_id)
    assert (item.state, item.text) == ("done", "Krah! *Seven*.")
    assert item.figures["length"] == [len("We open at seven."), len("Krah! *Seven*.")]
    assert item.figures["seconds"][0] is not None and item.figures["declined"] == [False, False]
    assert asked_at < context.now() and clients.get(context.db, CLIENT, context.settings).system_prompt != "You are a parrot."


def test_nothing_is_written_or_sent_to_a_customer(context, model):
    turn(context, model, "Hi", "Hello!")
    list(context.queues.take_sends())
    before = selected(context.db, "SELECT * FROM messages"), selected(context.db, "SELECT * FROM conversations")
    context.queues.redis.flushall()
    start(context)
    work(context)
    assert (selected(context.db, "SELECT * FROM messages"), selected(context.db, "SELECT * FROM conversations")) == before
    assert list(context.queues.take_sends()) == [] and queued(context, "high") == [] and queued(context, "default") == []


def test_passages_are_found_anew_and_compared_with_those_of_then(context, model):
    turn(context, model, "What is the lemon cake?", "I do not know.")
    add_document(context)
    replay_id = start(context)
    model.enqueue("It costs 3.90.")
    work(context)
    [item] = items(context, replay_id)
    assert "Lemon cake costs 3.90 a piece." in [text for _, text in item.passages]
    assert item.figures["added"] >= 1 and item.figures["lost"] == 0 and item.figures["declined"] == [True, False]
    assert [one.id for one in items(context, replay_id, "declined")] == [item.id]


def test_the_model_and_the_temperature_are_the_candidate_s(context, model):
    turn(context, model, "Hi", "Hello!")
    model.behaviour.models = ("llama3.2:3b", "llama9:1b")
    start(context, model="llama9:1b", temperature=1.5)
    work(context)
    body = model.chats[-1]["body"]
    assert (body["model"], body["options"]["temperature"]) == ("llama9:1b", 1.5) and "seed" not in body["options"]


def test_turns_are_found_by_time_words_and_conversation(context, model):
    turn(context, model, "Do you bake sourdough?", "Yes.")
    middle = context.now()
    model.enqueue("Yes, we deliver.")
    receive(context, webhooks.texts(webhooks.text("Do you deliver bread?", sender="491700000001", at=context.now())))
    context.now.forward(context.settings.quiet_seconds)
    from frontdesk.flows import reply

    reply.answer(context, 2)
    everything = found(context)
    assert len(everything) == 2
    assert found(context, words="SOURDOUGH bake") == everything[:1]
    assert found(context, conversation_ids=[2]) == everything[1:]
    assert found(context, words="cinnamon") == [] and found(context, words="!?") == everything
    newest, total = past_turns.find(context.db, CLIENT, since=0, until=9e9, limit=1)
    assert ([each.id for each in newest], total) == (everything[1:], 2)
    since, _ = past_turns.find(context.db, CLIENT, since=middle, until=9e9, limit=9)
    assert [each.id for each in since] == everything[1:]
    assert past_turns.find(context.db, 99, since=0, until=9e9, limit=9) == ([], 0)


def test_what_a_customer_took_back_is_not_asked_again(context, model):
    turn(context, model, "My secret", "Oh!")
    replay_id = start(context)
    context.db.execute("UPDATE messages SET revoked_at = 1 WHERE direction = 'in'")
    work(context)
    [item] = items(context, replay_id)
    assert (item.state, item.error) == ("failed", "The customer's messages are gone.") and len(model.chats) == 1
    assert found(context) == []


def test_a_replay_s_answers_go_with_the_messages_that_they_answer(context, model):
    turn(context, model, "Hi", "Hello!")
    replay_id = start(context)
    work(context)
    context.db.execute("DELETE FROM messages")
    assert items(context, replay_id) == [] and rows.counts(context.db, replay_id).total() == 0


def test_the_apology_before_a_late_answer_is_not_the_model_s(context, model):
    client = clients.get(context.db, CLIENT, context.settings)
    model.enqueue("Yes, we are open.")
    receive(context, webhooks.texts(webhooks.text("Open?", at=context.now() - 4 * 3600)))
    answer(context)
    [past] = replays.past(context, found(context)).values()
    assert past.answer.startswith(client.apology_text) and replays.answer_given(past, client) == "Yes, we are open."


def test_all_parts_of_a_long_answer_are_compared(context, model):
    context.settings = dataclasses.replace(context.settings, ollama_num_predict=4000, ollama_num_ctx=8192)
    turn(context, model, "Tell me everything", "A sentence of some length. " * 300)
    [past] = replays.past(context, found(context)).values()
    assert len(past.answer) > 7000 and len(found(context)) == 1


@pytest.mark.parametrize(
    ("name", "first", "last", "begin", "end"),
    [
        ("week", "", "", "2026-09-14 00:00", "2026-09-21 00:00"),
        ("today", "", "", "2026-09-21 00:00", "2026-09-22 00:00"),
        ("days", "2026-03-28", "2026-03-29", "2026-03-28 00:00", "2026-03-30 00:00"),
    ],
)
def test_periods_are_days_of_the_client_s_own_clock(name, first, last, begin, end):
    from datetime import datetime
    from zoneinfo import ZoneInfo

    berlin = ZoneInfo("Europe/Berlin")
    now = datetime(2026, 9, 21, 9, 0, tzinfo=berlin).timestamp()
    found = [datetime.fromtimestamp(at, berlin).strftime("%Y-%m-%d %H:%M") for at in replays.period(name, "Europe/Berlin", now, first, last)]
    assert found == [begin, end]


@pytest.mark.parametrize(("first", "last"), [("", ""), ("2026-03-02", "2026-03-01"), ("yesterday", "today")])
def test_days_that_are_none_are_refused(first, last):
    with pytest.raises(ValueError):
        replays.period("days", "UTC", 1_790_000_000, first, last)


def test_at_most_five_hundred_are_asked_and_they_are_the_newest(context, model):
    turn(context, model, "Hi", "Hello!")
    replay_id = start(context, [*range(-1000, 0), found(context)[0]][-1:] * 600)
    assert rows.counts(context.db, replay_id).total() == replays.MOST_TURNS


# --- checks -------------------------------------------------------------------------------------------------------------------


def test_checks_pass_or_fail_by_what_the_answer_says(context, model):
    for asked in (Question("When do you open?", must=("7:00",), must_not=("6:00",)), Question("The mayor's phone?", must_decline=True)):
        checks.add(context.db, CLIENT, asked, context.now())
    replay_id = replays.start_checks(context, CLIENT, replays.present(context, CLIENT), None)
    checks.remove(context.db, 1)
    model.enqueue("From 6:00.", "I don't know that.")
    work(context)
    first, second = items(context, replay_id)
    assert (first.passed, second.passed) == (False, True) and first.question.must == ("7:00",)
    assert rows.filter_counts(context.db, replay_id)["wrong"] == 1
    body = model.chats[0]["body"]
    assert body["options"]["seed"] == replaying.CHECK_SEED and body["messages"][-1]["content"] == "When do you open?"
    assert [message["role"] for message in body["messages"]] == ["system", "system", "user"]


# --- the candidate ------------------------------------------------------------------------------------------------------------


def test_a_candidate_is_adopted_as_a_version_of_the_prompt(context, model, db):
    turn(context, model, "Hi", "Hello!")
    replay = rows.get(db, start(context, system_prompt="Be a parrot.", persona="Polly", model="llama9:1b", temperature=0.7))
    assert set(replays.changes(context, replay)) == {"system_prompt", "persona", "model", "temperature"}
    seen = replays.seen_of(clients.as_stored(db, CLIENT))
    context.now.forward(60)
    assert replays.adopt(context, replay, None, seen)
    client = clients.get(db, CLIENT, context.settings)
    assert (client.system_prompt, client.persona, client.model, client.temperature) == ("Be a parrot.", "Polly", "llama9:1b", 0.7)
    assert [version.text for version in clients.prompt_versions(db, CLIENT)][0] == "Be a parrot."
    replay = rows.get(db, replay.id)
    assert replays.changes(context, replay) == {} and replay.adopted_at == context.now()


def test_what_somebody_saved_meanwhile_is_not_overwritten_unseen(context, model, db):
    turn(context, model, "Hi", "Hello!")
    replay = rows.get(db, start(context, system_prompt="Be a parrot."))
    seen = replays.seen_of(clients.as_stored(db, CLIENT))
    clients.set_prompt(db, CLIENT, "Be a cat.", context.now() + 1)
    assert not replays.adopt(context, replay, None, seen)
    assert clients.get(db, CLIENT, context.settings).system_prompt == "Be a cat."


def test_a_candidate_stays_what_it_was_while_the_client_changes(context, model, db):
    turn(context, model, "Hi", "Hello!")
    start(context)
    clients.set_prompt(db, CLIENT, "Be a cat.", context.now() + 1)
    work(context)
    assert "Corner Bakery" in model.chats[-1]["body"]["messages"][0]["content"]


# --- the work -----------------------------------------------------------------------------------------------------------------


def several(context, model, count: int = 3) -> None:
    for n in range(count):
        turn(context, model, f"Question {n}", f"Answer {n}")


def test_a_job_is_one_inference_and_the_next_job_stands_behind_it(context, model):
    several(context, model)
    context.queues.redis.delete("rq:queue:documents")
    start(context)
    assert queued(context, "documents") == ["replays"]
    context.queues.redis.delete("rq:queue:documents")
    replaying.serve(context)
    assert len(model.chats) == 4 and queued(context, "documents") == ["replays"]


def test_documents_and_replays_take_turns(context, model):
    several(context, model, 1)
    context.queues.redis.delete("rq:queue:documents", "rq:queue:default")
    assert not context.queues.goes_before_documents()
    start(context)
    assert context.queues.goes_before_documents()


def test_results_come_in_the_order_in_which_they_are_done(context, model, clock):
    several(context, model)
    replay_id = start(context)
    model.enqueue(Reply("half", end="cut"), Reply("half", end="cut"), "two", "three")
    work(context)
    clock.forward(5)
    model.enqueue("one")
    work(context)
    assert [(item.position, item.text, item.sequence) for item in items(context, replay_id)] == [(2, "two", 1), (3, "three", 2), (1, "one", 3)]


def test_pause_go_on_cancel_and_try_again(context, model):
    several(context, model)
    replay_id = start(context)
    assert replays.pause(context, replay_id) == 3 and not replaying.is_due(context)
    assert replays.resume(context, replay_id) == 3
    context.queues.redis.delete("rq:queue:documents")
    replaying.serve(context)
    assert replays.cancel(context, replay_id) == 2
    work(context)
    assert rows.counts(context.db, replay_id) == {"done": 1, "cancelled": 2}
    assert replays.retry(context, replay_id) == 0


def test_what_is_cancelled_or_deleted_while_the_model_works_is_broken_off(context, model):
    several(context, model, 2)
    for count, change in enumerate((replays.cancel, replays.delete), 1):
        replay_id = start(context)
        model.enqueue(Reply("slow " * 200, tokens_per_second=20))
        claimed = replaying._claim(context)
        working = threading.Thread(target=replaying.work_on, args=(context, claimed))
        working.start()
        model.wait_for(lambda standin, chats=2 + count: len(standin.chats) == chats)
        change(context, replay_id)
        working.join(10)
        model.wait_for(lambda standin, count=count: standin.cancelled_count == count)
        assert items(context, replay_id) == []


def test_a_missing_model_is_told_at_once_with_its_mend(context, model):
    several(context, model, 1)
    replay_id = start(context, model="llama99:1b")
    work(context)
    [item] = items(context, replay_id)
    assert item.state == "failed" and "ollama pull llama99:1b" in item.error
    assert replays.retry(context, replay_id) == 1


def test_while_the_model_is_away_nothing_is_burnt_and_the_sweep_rings(context, model, clock):
    several(context, model, 2)
    replay_id = start(context)
    model.stop()
    for _ in range(10):
        work(context)
        clock.forward(31)
    assert rows.counts(context.db, replay_id) == {"queued": 2}
    model.start()
    clock.forward(31)
    sweep.sweep(context)
    assert "replays" in queued(context, "documents")
    work(context)
    assert rows.counts(context.db, replay_id) == {"done": 2}


def test_work_of_a_process_that_died_is_taken_over_and_not_for_ever(context, model, clock):
    several(context, model, 1)
    replay_id = start(context)
    for _ in range(MOST_DEATHS):
        assert replaying._claim(context) is not None, "and then it dies"
        assert replaying._claim(context) is None
        clock.forward(context.settings.lease_seconds + 1)
    work(context)
    [item] = items(context, replay_id)
    assert item.state == "failed" and "died 5 times" in item.error


def test_whoever_wakes_up_late_keeps_nothing(context, model, clock):
    several(context, model, 1)
    replay_id = start(context)
    late = replaying._claim(context)
    clock.forward(context.settings.lease_seconds + 1)
    work(context)
    assert not rows.finish(context.db, late, "late", [], {}, None, context.now())
    assert len(items(context, replay_id)) == 1 and items(context, replay_id)[0].text != "late"


def test_a_worker_that_must_end_hands_its_item_back(context, model):
    several(context, model, 1)
    replay_id = start(context)
    model.enqueue(Reply("slow " * 50, tokens_per_second=20))
    claimed = replaying._claim(context)
    context.stopping.set()
    replaying.work_on(context, claimed)
    context.stopping.clear()
    assert rows.counts(context.db, replay_id) == {"queued": 1} and replaying.is_due(context)


def test_a_clock_that_was_set_back_holds_nothing_up(context, model, clock):
    several(context, model, 1)
    start(context)
    clock.at -= 10 * 24 * 3600
    assert not replaying.is_due(context)
    sweep.sweep(context)
    assert replaying.is_due(context)


def test_medians_and_counts_sum_up(context, model):
    several(context, model)
    replay_id = start(context)
    model.enqueue("Answer 0", "I do not know.", "Something else")
    work(context)
    first, second, _ = items(context, replay_id)
    rows.mark(context.db, first.id, "same")
    rows.mark(context.db, second.id, "worse")
    found = replays.summary(context, replay_id)
    assert (found.turns, found.length, found.declined, found.same_words) == (3, (8, 14), (0, 1), 1)
    assert found.seconds[0] is not None and found.now_seconds is not None
    counted = rows.filter_counts(context.db, replay_id)
    assert (counted["same"], counted["worse"], counted["unmarked"], counted["declined"]) == (1, 1, 1, 1)
    assert [item.id for item in items(context, replay_id, "worse")] == [second.id]


def test_replays_are_kept_for_ninety_days(context, model, clock):
    several(context, model, 1)
    replay_id = start(context)
    work(context)
    clock.forward(89 * 24 * 3600)
    sweep.clean(context)
    assert rows.get(context.db, replay_id)
    clock.forward(2 * 24 * 3600)
    sweep.clean(context)
    assert rows.get(context.db, replay_id) is None and selected(context.db, "SELECT id FROM replay_items") == []


def test_with_redis_away_a_replay_is_begun_all_the_same(context, model, monkeypatch):
    several(context, model, 1)
    from frontdesk import queues

    def away(*_):
        raise queues.RedisError

    monkeypatch.setattr(context.queues, "replays", away)
    replay_id = start(context)
    assert dataclasses.is_dataclass(rows.get(context.db, replay_id)) and replaying.is_due(context)


# --- clients that answer from their documents -----------------------------------------------------------------------------------


def test_a_client_that_answers_only_from_its_documents_is_replayed_by_the_same_rule(context, model):
    clients.change(context.db, CLIENT, {"knowledge_only": 1, "unknown_text": "Somebody will tell you."}, context.now())
    add_document(context)
    customer_writes(context, "Who is the mayor of Springfield?")
    answer(context)
    assert model.chats == []
    replay_id = start(context)
    work(context)
    [item] = items(context, replay_id)
    assert (item.text, item.figures["declined"], item.figures["same"]) == ("Somebody will tell you.", [True, True], True) and model.chats == []
    checks.add(context.db, CLIENT, Question("Who is the mayor of Springfield?", must_decline=True), context.now())
    replay_id = replays.start_checks(context, CLIENT, replays.present(context, CLIENT), None)
    work(context)
    assert items(context, replay_id)[0].passed and model.chats == []


def test_the_line_that_names_the_sources_is_not_compared(context, model):
    clients.change(context.db, CLIENT, {"shows_sources": 1}, context.now())
    add_document(context)
    model.enqueue("Lemon cake costs 3.90 a piece.")
    customer_writes(context, "What is the lemon cake?")
    answer(context)
    [sent] = selected(context.db, "SELECT text FROM messages WHERE purpose = 'answer'")
    assert sent["text"] != "Lemon cake costs 3.90 a piece."
    replay_id = start(context)
    model.enqueue("Lemon cake costs 3.90 a piece.")
    work(context)
    [item] = items(context, replay_id)
    assert item.figures["same"] and item.figures["length"] == [30, 30] and item.figures["added"] == item.figures["lost"] == 0
