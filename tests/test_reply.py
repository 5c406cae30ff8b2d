"""One answer from claim to queue, against an Ollama stand-in over HTTP: flows/reply.py."""

import dataclasses
import threading

import pytest

from frontdesk.flows import grounding, model_away, prompt, reply, sweep
from frontdesk.flows.inbound import drain
from frontdesk.ollama import ModelOptions, Ollama
from frontdesk.store import conversations, models
from frontdesk.store.clients import Client
from frontdesk.store.messages import Turn
from tests import webhooks
from tests.standins.ollama import OllamaStandIn
from tests.standins.ollama_replies import Reply
from tests.test_inbound import queued, receive, rows


@pytest.fixture
def model():
    with OllamaStandIn() as standin:
        yield standin


@pytest.fixture
def context(context, model, settings):
    context.settings = dataclasses.replace(settings, ollama_host=model.url)
    context.ollama = Ollama(model.url, timeout_seconds=20, load_timeout_seconds=20, crash_pause_seconds=0)
    return context


def customer_writes(context, *words: str, **fields) -> None:
    receive(context, webhooks.texts(*[webhooks.text(word, at=context.now(), **fields) for word in words]))


def answer(context) -> None:
    context.now.forward(context.settings.quiet_seconds)
    reply.answer(context, 1)


def outbound(context) -> list[str]:
    return [row["text"] for row in rows(context.db, "SELECT text FROM messages WHERE direction = 'out' ORDER BY id")]


def inbound_states(context) -> list[str]:
    return [row["state"] for row in rows(context.db, "SELECT state FROM messages WHERE direction = 'in' ORDER BY id")]


def test_a_burst_is_answered_once_and_together(context, model):
    model.enqueue("We open at **seven**.")
    customer_writes(context, "Hi", "when do", "you open?")
    answer(context)
    assert outbound(context) == ["We open at *seven*."]
    assert inbound_states(context) == ["answered"] * 3
    assert list(context.queues.take_sends()) == [1]
    assert model.chats[0]["body"]["messages"][-1] == {"role": "user", "content": "Hi\nwhen do\nyou open?"}


def test_running_the_job_again_answers_nothing_twice(context, model):
    customer_writes(context, "Hi")
    for _ in range(3):
        answer(context)
    assert len(outbound(context)) == 1
    assert len(model.chats) == 1


def test_before_the_quiet_period_is_over_it_only_rings_later(context, model):
    customer_writes(context, "Hi")
    context.bells.redis.delete(context.bells.ENTRIES)
    reply.answer(context, 1)
    assert model.chats == []
    assert context.bells.redis.zrange(context.bells.ENTRIES, 0, -1) == [b"reply-1"]


def test_the_prompt_begins_the_same_every_time_and_ends_with_what_changes(context, model):
    customer_writes(context, "first")
    answer(context)
    context.now.forward(3600)
    customer_writes(context, "second")
    answer(context)
    one, two = (chat["body"]["messages"] for chat in model.chats)
    assert one[0] == two[0] and "Corner Bakery" in one[0]["content"]
    assert [message["role"] for message in two] == ["system", "user", "assistant", "system", "user"]
    assert "It is now" in two[-2]["content"]
    assert model.reload_count == 0


def test_what_came_while_an_answer_was_being_written_stands_after_it(context, model, clock):
    customer_writes(context, "first")
    clock.forward(2.6)
    reply.answer(context, 1)
    receive(context, webhooks.texts(webhooks.text("second", at=clock() - 0.6)))
    answer(context)
    assert [message["content"] for message in model.chats[1]["body"]["messages"][1:]][::3] == ["first", "second"]
    assert [message["role"] for message in model.chats[1]["body"]["messages"]][-3:] == ["assistant", "system", "user"]


def test_an_answer_in_a_person_s_hands_is_not_written(context, model):
    customer_writes(context, "Hi")
    context.db.execute("UPDATE conversations SET state = 'human'")
    answer(context)
    assert model.chats == []


def test_a_take_over_while_the_model_writes_throws_the_answer_away(context, model):
    model.enqueue(Reply("a long answer " * 50, tokens_per_second=20))
    customer_writes(context, "Hi")

    def take_over(standin):
        if standin.chats:
            context.db.execute("UPDATE conversations SET state = 'human'")
            return True

    watcher = threading.Thread(target=lambda: model.wait_for(take_over, 10))
    watcher.start()
    answer(context)
    watcher.join()
    assert outbound(context) == []
    model.wait_for(lambda standin: standin.cancelled_count == 1)
    assert inbound_states(context) == ["waiting"]


def while_writing(model, act):
    """Calls `act` once, in another thread, when the model has begun to write."""

    def run():
        model.wait_for(lambda standin: standin.chats, 10)
        act()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_newer_message_cancels_and_the_answer_is_to_all(context, model):
    model.enqueue(Reply("too early " * 100, tokens_per_second=20), "to both")
    customer_writes(context, "first")
    thread = while_writing(model, lambda: customer_writes(context, "second"))
    answer(context)
    thread.join()
    assert outbound(context) == []
    answer(context)
    assert outbound(context) == ["to both"]
    assert model.chats[-1]["body"]["messages"][-1]["content"] == "first\nsecond"
    assert inbound_states(context) == ["answered", "answered"]


def test_words_that_are_changed_while_the_answer_is_written_begin_it_anew(context, model, clock):
    model.enqueue(Reply("about Sundays " * 50, tokens_per_second=20), "about Mondays")
    receive(context, webhooks.texts(webhooks.text("Is it open on Sunday?", at=clock(), id="wamid.1")))
    thread = while_writing(model, lambda: receive(context, webhooks.edited("wamid.1", "Is it open on Monday?", at=clock())))
    answer(context)
    thread.join()
    reply.answer(context, 1)
    assert outbound(context) == ["about Mondays"]


def test_it_is_cancelled_once_only_and_what_came_still_later_gets_its_own_answer(context, model):
    model.enqueue(Reply("too early " * 100, tokens_per_second=20), Reply("to two " * 10, tokens_per_second=20), "to the third")
    customer_writes(context, "first")
    thread = while_writing(model, lambda: customer_writes(context, "second"))
    answer(context)
    thread.join()
    model.wait_for(lambda standin: standin.under_way == 0)
    thread = threading.Thread(
        target=lambda: (model.wait_for(lambda standin: len(standin.chats) == 2, 10), customer_writes(context, "third"))
    )
    thread.start()
    answer(context)
    thread.join()
    assert len(outbound(context)) == 1
    assert inbound_states(context) == ["answered", "answered", "waiting"]
    answer(context)
    assert outbound(context)[1] == "to the third"


def test_asked_to_stop_the_work_is_handed_back_for_the_next_process(context, model):
    model.enqueue(Reply("a long answer " * 50, tokens_per_second=20))
    customer_writes(context, "Hi")
    thread = while_writing(model, context.stopping.set)
    answer(context)
    thread.join()
    assert outbound(context) == []
    assert queued(context, "default") == ["reply"]
    assert conversations.get(context.db, 1).claim_owner is None


def test_an_answer_written_without_the_claim_is_thrown_away(context, model):
    model.enqueue(Reply("late", first_token_delay_seconds=0.5))
    customer_writes(context, "Hi")
    thread = while_writing(model, lambda: context.db.execute("UPDATE conversations SET claim_owner = 'other'"))
    answer(context)
    thread.join()
    assert outbound(context) == []
    assert inbound_states(context) == ["waiting"]


def test_a_dead_writer_s_claim_is_taken_over_after_its_lease(context, model, clock):
    customer_writes(context, "Hi")
    clock.forward(2)
    assert conversations.claim(context.db, 1, "dead", clock(), 30)
    reply.answer(context, 1)
    assert outbound(context) == []
    clock.forward(31)
    sweep.sweep(context)
    assert queued(context, "default") == ["reply"]
    reply.answer(context, 1)
    assert len(outbound(context)) == 1


def test_a_claim_from_before_the_clock_was_set_back_is_not_believed(context, model, clock):
    customer_writes(context, "Hi")
    clock.forward(2)
    conversations.claim(context.db, 1, "dead", clock() + 3600, 30)
    reply.answer(context, 1)
    assert len(outbound(context)) == 1


def test_messages_of_a_long_absence_get_one_answer_that_apologises(context, model, clock):
    model.enqueue("Here we are.")
    written_at = clock()
    clock.forward(3600)
    receive(context, webhooks.texts(*[webhooks.text(f"m{n}", at=written_at + n) for n in range(4)]))
    answer(context)
    assert outbound(context) == ["Sorry for the late answer.\n\nHere we are."]
    assert inbound_states(context) == ["answered"] * 4


def test_messages_older_than_the_window_are_left_to_a_person(context, model, clock):
    written_at = clock()
    clock.forward(25 * 3600)
    receive(context, webhooks.texts(webhooks.text(at=written_at)))
    answer(context)
    assert model.chats == []
    assert inbound_states(context) == ["unanswered"]
    assert conversations.get(context.db, 1).needs_person_reason == "window_closed"


def test_an_empty_answer_is_never_sent_and_a_person_is_asked_in_the_end(context, model, clock):
    model.enqueue(*["  \n "] * 20)
    customer_writes(context, "Hi")
    for _ in range(3):
        answer(context)
        clock.forward(60)
    assert inbound_states(context) == ["unanswered"]
    assert conversations.get(context.db, 1).needs_person_reason == "model_failed"
    assert len(outbound(context)) == 1, "the holding message"


def test_a_fault_of_our_own_ends_with_a_person_not_in_a_circle(context, model, clock, monkeypatch):
    monkeypatch.setattr(grounding, "whatsapp_text", lambda text: 1 / 0)
    customer_writes(context, "Hi")
    for _ in range(3):
        answer(context)
        clock.forward(60)
    assert inbound_states(context) == ["unanswered"]
    assert conversations.get(context.db, 1).needs_person_reason == "model_failed"


def test_a_fault_in_keeping_an_answer_ends_with_a_person_too(context, model, clock, monkeypatch):
    monkeypatch.setattr(reply.sources, "line", lambda *_: 1 / 0)
    customer_writes(context, "Hi")
    for _ in range(4):
        answer(context)
        clock.forward(60)
    assert len(model.chats) == 3 and inbound_states(context) == ["unanswered"]
    assert conversations.get(context.db, 1).needs_person_reason == "model_failed"


def test_a_long_answer_goes_out_in_parts(context, model):
    model.enqueue("\n\n".join(f"Paragraph {n}: " + f"{'word' * 8} " * 20 for n in range(12)))
    customer_writes(context, "Tell me everything")
    answer(context)
    assert len(outbound(context)) > 1
    assert all(len(part) <= 4096 for part in outbound(context))


def test_a_prompt_that_is_too_long_is_halved_once(context, model):
    model.enqueue(Reply.context_exceeded(), "Here.")
    customer_writes(context, "Hi")
    answer(context)
    assert outbound(context) == ["Here."]
    assert len(model.chats) == 2


def test_a_missing_model_tells_the_operator_what_to_type_and_the_customer_waits(context, model):
    model.behaviour.models = ["another:1b"]
    customer_writes(context, "Hi")
    answer(context)
    state = models.get(context.db, model.url, "llama3.2:3b")
    assert "ollama pull llama3.2:3b" in state.reason
    assert inbound_states(context) == ["waiting"]
    assert outbound(context) == []


def test_a_model_that_is_away_beyond_patience_brings_one_holding_message_and_later_the_answer(context, model, clock):
    model.behaviour.busy = True
    customer_writes(context, "Hi")
    for _ in range(30):
        clock.forward(10)
        reply.answer(context, 1)
    assert outbound(context) == [rows(context.db, "SELECT holding_text FROM clients")[0]["holding_text"]]
    assert conversations.get(context.db, 1).needs_person_reason == "model_away"
    model.behaviour.busy = False
    clock.forward(60)
    reply.answer(context, 1)
    assert len(outbound(context)) == 2
    assert conversations.get(context.db, 1).needs_person_reason is None
    assert models.get(context.db, model.url, "llama3.2:3b").away_since is None


def test_a_client_may_want_no_answer_after_the_holding_message(context, model, clock):
    context.db.execute("UPDATE clients SET answer_after_holding = 0")
    model.behaviour.busy = True
    customer_writes(context, "Hi")
    for _ in range(10):
        clock.forward(10)
        reply.answer(context, 1)
    model.behaviour.busy = False
    clock.forward(60)
    reply.answer(context, 1)
    assert len(outbound(context)) == 1
    assert inbound_states(context) == ["unanswered"]


def test_many_waiting_conversations_do_not_all_knock_at_a_model_that_is_away(context, model):
    model.behaviour.busy = True
    for n in range(10):
        customer_writes(context, "Hi", sender=f"49177{n}")
    context.now.forward(2)
    for n in range(1, 11):
        reply.answer(context, n)
    assert len(model.chats) <= 2


def test_the_sweep_asks_a_model_that_is_away_also_while_nobody_writes(context, model, clock):
    model.behaviour.models = []
    model_away.warm_up(context)
    assert models.get(context.db, model.url, "llama3.2:3b").away_since == clock()
    clock.forward(60)
    sweep.sweep(context)
    assert context.queues.depth("default") == 1
    model.behaviour.models = ["llama3.2:3b"]
    model_away.warm_up(context)
    assert models.get(context.db, model.url, "llama3.2:3b").away_since is None


def test_warming_up_and_answering_load_the_model_once(context, model):
    model_away.warm_up(context)
    customer_writes(context, "Hi")
    answer(context)
    assert (model.load_count, model.reload_count) == (1, 0)


def test_the_customer_sees_typing(context, model, channel):
    customer_writes(context, "Hi", id="wamid.seen")
    model.enqueue(Reply("slowly " * 8, tokens_per_second=10))
    answer(context)
    assert channel.typing == ["wamid.seen"]


def test_strange_characters_reach_the_model_as_text(context, model):
    customer_writes(context, "a\x00b \ud83d c")
    answer(context)
    assert model.chats[0]["body"]["messages"][-1]["content"] == "ab ? c"


# --- the prompt by itself -----------------------------------------------------------------------------------------------------

CLIENT = Client(1, "Shop", "You are a shop.", "Europe/Berlin", "m", 2, 15, 10, 60, True, "hold", "sorry")
OPTIONS = ModelOptions(model="m", num_ctx=1024, num_predict=200)


def turns(count: int, length: int = 100) -> list[Turn]:
    return [Turn(n, "in" if n % 2 == 0 else "out", f"{n}:" + "x" * length) for n in range(count)]


def test_the_history_is_cut_in_steps_so_that_prompts_begin_alike():
    starts = []
    for count in range(21, 41, 2):
        made = prompt.messages(CLIENT, turns(count), 0, OPTIONS, 2.5, 1_790_000_000)
        starts.append(made[1]["content"].split(":")[0])
    assert len(set(starts)) <= 3, starts


def test_the_history_fits_the_room_left_for_it():
    for count in (1, 15, 60, 200):
        made = prompt.messages(CLIENT, turns(count), 0, OPTIONS, 2.5, 1_790_000_000)
        assert sum(len(message["content"]) for message in made) <= (1024 - 200) * 2.5
        assert made[-1]["content"].startswith(f"{count - 1}:") or count % 2 == 0


def test_one_message_longer_than_the_context_is_cut_not_dropped():
    made = prompt.messages(CLIENT, [Turn(1, "in", "y" * 100_000)], 0, OPTIONS, 2.5, 1_790_000_000)
    assert 200 <= len(made[-1]["content"]) <= 2060


def test_the_time_is_the_client_s():
    made = prompt.messages(CLIENT, turns(1), 0, OPTIONS, None, 1_790_000_000)
    assert made[-2]["content"] == "It is now Monday, 21 September 2026, 16:13 (Europe/Berlin)."


def test_tokens_are_learnt_from_what_the_model_counted():
    sent = [{"role": "user", "content": "z" * 4000}]
    assert prompt.learnt_ratio(sent, 1008, None) == 3.5, "the first lesson is not believed wholly"
    assert prompt.learnt_ratio(sent, 1008, 2.5) == 2.6
    assert prompt.learnt_ratio(sent, None, 2.5) == 2.5


def test_draining_rings_for_an_answer_at_the_end_of_the_quiet_period(context):
    context.inbox.put("cloud", webhooks.texts(webhooks.text()), context.now())
    drain(context)
    assert context.bells.redis.zscore(context.bells.ENTRIES, "reply-1") == context.now() + context.settings.quiet_seconds
