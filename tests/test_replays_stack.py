"""Replays with every process real: workers that are killed, customers who write meanwhile, a simulator that must hear nothing."""

import threading
import time

import pytest

from frontdesk import queues
from frontdesk.flows import replays
from frontdesk.flows.context import make as make_context
from frontdesk.store import past_turns
from frontdesk.store import replays as rows
from tests.stack import Stack, wait_for

pytestmark = pytest.mark.stack

CLIENT, TURNS = 1, 12


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """With customers who have been answered, each turn with words of its own."""
    with Stack(tmp_path_factory.mktemp("stack")) as stack:
        for n in range(TURNS):
            stack.simulator.customer_writes(f"4915130{n:02}", f"Question {n}: do you bake?")
        for n in range(TURNS):
            stack.simulator.wait_for_answers(f"4915130{n:02}", 1)
        yield stack


@pytest.fixture
def context(stack):
    stack.ollama.reset()
    return make_context(stack.settings, queues.connect(stack.settings.redis_address))


def start(context, times: int, **changed) -> int:
    """Each turn so many times, that there is work for a while."""
    turns, total = past_turns.find(context.db, CLIENT, since=0, until=9e9, words="do you bake", limit=500)
    assert total == TURNS
    candidate = {**replays.present(context, CLIENT), "system_prompt": "REPLAYED", **changed}
    return replays.start_turns(context, CLIENT, [turn.id for turn in turns] * times, candidate, "all", None)


def done(context, replay_id: int) -> int:
    return rows.counts(context.db, replay_id)["done"]


def chats(stack) -> list[dict]:
    return [one for one in stack.ollama.history()["history"] if one["path"] == "/api/chat" and one["body"].get("messages")]


def replayed(stack) -> list[dict]:
    return [one for one in chats(stack) if one["body"]["messages"][0]["content"].startswith("REPLAYED")]


def test_every_turn_has_its_result_once_whoever_is_killed_and_nothing_is_sent(context, stack):
    """Nor is the model asked again, but for what was under way when a worker died."""
    stack.ollama.behave(text="The new answer.", first_token_delay_seconds=0.02)
    sends, calls = len(stack.simulator.sends()), len(stack.simulator.calls())
    messages = stack.rows("SELECT COUNT(*) AS n, MAX(id) AS newest FROM messages")
    replay_id = start(context, 25)
    killed, over = [], threading.Event()

    def kill() -> None:
        while not over.wait(1.2):
            stack.kill_grandchild("default")
            stack.kill("default")
            killed.append(time.time())

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        wait_for(lambda: len(killed) >= 4 and done(context, replay_id), 60)
        assert done(context, replay_id) < TURNS * 25
    finally:
        over.set()
        killer.join()
    wait_for(lambda: done(context, replay_id) == TURNS * 25, 120, every=0.3)
    items = rows.finished(context.db, replay_id, "all", after=0, limit=1000)
    assert sorted(item.position for item in items) == list(range(1, TURNS * 25 + 1))
    assert [item.sequence for item in items] == list(range(1, TURNS * 25 + 1)) and {item.text for item in items} == {"The new answer."}
    assert len(replayed(stack)) - len(items) <= len(killed)
    time.sleep(1)
    assert (len(stack.simulator.sends()), len(stack.simulator.calls())) == (sends, calls)
    assert stack.rows("SELECT COUNT(*) AS n, MAX(id) AS newest FROM messages") == messages


def test_a_customer_who_writes_meanwhile_waits_for_one_inference_at_most(context, stack):
    stack.ollama.behave(first_token_delay_seconds=0.4)
    replay_id = start(context, 40)
    wait_for(lambda: done(context, replay_id) >= 2)
    begin = time.time()
    for n in range(3):
        stack.simulator.customer_writes(f"49151400{n}", "Are you open?")
        stack.simulator.wait_for_answers(f"49151400{n}", 1)
    everything = chats(stack)
    answers = [one for one in everything if one["body"]["messages"][-1]["content"] == "Are you open?"]
    assert len(answers) == 3
    asked_at = [row["created_at"] for row in stack.rows("SELECT created_at FROM messages WHERE direction = 'in' AND created_at > ? ORDER BY id", begin)]
    again = replayed(stack)
    for written, answer in zip(asked_at, answers, strict=True):
        due_at = written + stack.settings.quiet_seconds
        between = [one for one in again if due_at < one["received_at"] < answer["received_at"]]
        assert len(between) <= 1, "after the quiet period one inference at most begins before the answer"
    assert replays.cancel(context, replay_id) > 400
    wait_for(lambda: not stack.ollama.history()["generating"])
    assert rows.counts(context.db, replay_id)["working"] == 0


def test_a_redis_that_forgets_everything_holds_nothing_up(context, stack):
    stack.ollama.behave(first_token_delay_seconds=0.1)
    replay_id = start(context, 3)
    wait_for(lambda: done(context, replay_id) >= 1)
    context.queues.redis.delete("rq:queue:documents")
    wait_for(lambda: done(context, replay_id) == TURNS * 3, 60)
