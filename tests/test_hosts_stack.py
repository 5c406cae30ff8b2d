"""Two Ollama servers, each with a worker of its own, everything real: work spreads, and a server that dies hands its work over."""

import json
import re
import subprocess
import time
from collections import Counter

import pytest

from tests.stack import PYTHON, ROOT, START_SECONDS, Stack, wait_for
from tests.standins.ollama import OllamaStandIn
from tests.test_documents_stack import CLASSIFIED, Api

pytestmark = pytest.mark.stack

MODEL, SECOND = "llama3.2:3b", "second:1b"
BUSY = {"first_token_delay_seconds": 0.5}


@pytest.fixture(scope="module")
def second():
    with OllamaStandIn(models=[MODEL], texts={SECOND: CLASSIFIED}) as standin:
        yield standin


@pytest.fixture(scope="module")
def running(tmp_path_factory, second):
    settings = {"DOCUMENT_TIMEOUT_SECONDS": "10", "QUIET_SECONDS": "0.1", "EARLY_START": "no", "OLLAMA_EMBED_MODEL": "none", "PATIENCE_SECONDS": "60"}
    with Stack(tmp_path_factory.mktemp("stack"), **settings) as stack:
        stack.start("default@b", OLLAMA_HOST=second.url)
        wait_for(lambda: stack.worker_count("default") == 2, START_SECONDS)
        yield stack


@pytest.fixture
def stack(running, second):
    """Both servers have looked about, and have the same model."""
    running.ollama.reset()
    second.behaviour.models = [MODEL]
    second.behaviour.first_token_delay_seconds = 0.0
    return running


def people(start: int, count: int) -> list[str]:
    return [f"4915130{start + n:04}" for n in range(count)]


def chats(history: list[dict]) -> list[dict]:
    return [one for one in history if one["path"] == "/api/chat" and one["body"].get("messages")]


def asked(stack) -> list[dict]:
    return chats(stack.ollama.history()["history"])


def are_answered_once(stack, senders: list[str]) -> None:
    for sender in senders:
        stack.simulator.wait_for_answers(sender, 1, 60)
    time.sleep(1)
    assert Counter(len(stack.simulator.texts(sender)) for sender in senders) == {1: len(senders)}


def test_answers_spread_over_both_servers(stack, second):
    stack.ollama.behave(**BUSY)
    second.behaviour.change(BUSY)
    before = len(second.chats)
    senders = people(0, 12)
    for sender in senders:
        stack.simulator.customer_writes(sender, "Are you open?")
    are_answered_once(stack, senders)
    shares = len(asked(stack)), len(second.chats) - before
    assert sum(shares) == 12 and min(shares) >= 4, shares


def test_documents_spread_over_both_servers(stack, second):
    stack.ollama.behave(text=CLASSIFIED, first_token_delay_seconds=0.1)
    second.behaviour.change({"text": CLASSIFIED, "first_token_delay_seconds": 0.1})
    before, api = len(second.chats), Api(stack)
    batch = api.post("/batches", {"kind": "classification", "texts": [f"text {n}" for n in range(60)]})["batch_id"]
    assert api.wait_for_batch(batch, 60)["counts"] == {"done": 60}
    shares = len(asked(stack)), len(second.chats) - before
    assert sum(shares) == 60 and min(shares) >= 20, shares
    second.behaviour.text = None


def test_documents_for_a_model_that_one_server_alone_has_go_there_and_to_no_other(stack, second):
    second.behaviour.models = [MODEL, SECOND]
    wait_for(lambda: SECOND in models_known(stack), 60)  # they look every ten seconds
    api = Api(stack)
    ids = [api.post("/classify", {"text": f"Bill {n}", "model": SECOND})["task_id"] for n in range(5)]
    for task_id in ids:
        assert api.wait_for_result(task_id)["status"] == "done"
    assert not [one for one in asked(stack) if one["body"]["model"] == SECOND]
    # Doctor gives a server two seconds to answer, which a busy machine may take. "for 2 workers": one that was restarted counts for a while.
    has = rf"at {second.url}(, for \d+ workers)?; has {MODEL}, {SECOND}\n(.*\n)*.*work at {stack.ollama.url}: can do"
    wait_for(lambda: re.search(has, doctor(stack)), 60, every=1)


def doctor(stack) -> str:
    command = [PYTHON, "-m", "frontdesk", "doctor"]
    return subprocess.run(command, cwd=ROOT, env=stack.environ, capture_output=True, text=True, timeout=120).stdout


def models_known(stack) -> set[str]:
    from frontdesk import queues

    workers = queues.Presence(queues.connect(stack.settings.redis_address)).workers(time.time())
    return {model for worker in workers for server in worker.servers.values() for model in server.models or ()}


def test_a_server_that_dies_while_it_writes_hands_its_answers_to_the_other_and_comes_back(stack, second):
    stack.ollama.behave(**BUSY)
    second.behaviour.change({"first_token_delay_seconds": 5.0})
    senders = people(100, 8)
    for sender in senders:
        stack.simulator.customer_writes(sender, "Are you open?")
    second.wait_for(lambda standin: standin.generating, 20)
    second.stop()
    try:
        are_answered_once(stack, senders)
        assert not stack.rows("SELECT id FROM conversations WHERE needs_person_at IS NOT NULL")
    finally:
        second.start()
    second.behaviour.change({"first_token_delay_seconds": 0.3})
    before = len(second.chats)

    def is_used_again() -> bool:
        senders = people(int(time.time() * 10) % 9000 + 200, 4)
        for sender in senders:
            stack.simulator.customer_writes(sender, "Are you open?")
        are_answered_once(stack, senders)
        return len(second.chats) > before

    wait_for(is_used_again, 60, every=1)


def test_workers_that_are_killed_while_both_answer_leave_no_answer_out_and_write_none_twice(stack, second):
    stack.ollama.behave(first_token_delay_seconds=0.2)
    second.behaviour.change({"first_token_delay_seconds": 0.2})
    senders = people(300, 24)
    for n, sender in enumerate(senders):
        stack.simulator.customer_writes(sender, "Are you open?")
        if n in (8, 16):
            stack.kill("default@b" if n == 8 else "default")
    are_answered_once(stack, senders)


def test_documents_are_done_once_though_a_server_dies_among_them(stack, second):
    stack.ollama.behave(text=CLASSIFIED, first_token_delay_seconds=0.05)
    second.behaviour.change({"text": CLASSIFIED, "first_token_delay_seconds": 0.05})
    api, before = Api(stack), len(second.chats)
    batch = api.post("/batches", {"kind": "classification", "texts": [f"text {n}" for n in range(200)]})["batch_id"]
    second.wait_for(lambda standin: len(standin.chats) > before + 5, 30)
    second.stop()
    try:
        assert api.wait_for_batch(batch, 60)["counts"] == {"done": 200}
        assert [item["position"] for item in api.results(batch)] == list(range(1, 201))
        assert json.dumps(api.results(batch)[0]["result"]) == CLASSIFIED
    finally:
        second.start()
