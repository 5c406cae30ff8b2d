"""Documents with every process real: over HTTP, with workers that are killed, beside customers who write."""

import json
import threading
import time

import pytest
import requests

from frontdesk.store import api_tokens
from frontdesk.store.database import transaction
from tests.made_files import pdf
from tests.stack import Stack, wait_for

pytestmark = pytest.mark.stack

CLASSIFIED = '{"category": "invoice", "confidence": "high"}'
SUMMARISED = '{"points": ["It is spring.", "Bread is dearer.", "Rolls are not."]}'


class Api:
    """The stack's API, with a token for documents."""

    def __init__(self, stack: Stack):
        db = stack.database()
        with transaction(db):
            token = api_tokens.add(db, "archive", None, ("documents",), None, time.time())
        self.url, self.session = f"{stack.web_url}/api/v1", requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str) -> dict:
        return self.session.get(f"{self.url}{path}", timeout=30).json()

    def post(self, path: str, body: dict | None = None, **options) -> dict:
        response = self.session.post(f"{self.url}{path}", json=body, timeout=60, **options)
        response.raise_for_status()
        return response.json()

    def results(self, batch_id: str) -> list[dict]:
        text = self.session.get(f"{self.url}/batches/{batch_id}/results", timeout=60).text
        return [json.loads(line) for line in text.splitlines()]

    def wait_for_result(self, task_id: str) -> dict:
        return wait_for(lambda: (found := self.get(f"/result/{task_id}"))["status"] in ("done", "failed") and found)

    def wait_for_batch(self, batch_id: str, seconds: float) -> dict:
        done = ("done", "cancelled")
        return wait_for(lambda: (found := self.get(f"/batches/{batch_id}"))["status"] in done and found, seconds, every=0.3)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    settings = {"DOCUMENT_TIMEOUT_SECONDS": "3"}
    with Stack(tmp_path_factory.mktemp("stack"), **settings) as stack:
        yield stack


@pytest.fixture
def api(stack):
    stack.ollama.reset()
    return Api(stack)


def test_a_summary_a_classification_and_a_batch_as_a_program_asks_for_them(api, stack):
    stack.ollama.next(SUMMARISED)
    asked = api.post("/summarise", {"text": "A letter about spring, bread and rolls.", "model": "llama3.2:3b"})
    assert set(asked) >= {"task_id", "status"} and asked["status"] == "queued"
    found = api.wait_for_result(asked["task_id"])
    assert found["status"] == "done" and found["result"]["summary"].count("•") == 3

    stack.ollama.next(CLASSIFIED)
    task = api.post("/classify", files={"file": ("bill.txt", b"Invoice 7, 30 EUR")})["task_id"]
    assert api.wait_for_result(task)["result"] == {"category": "invoice", "confidence": "high"}

    stack.ollama.behave(text=CLASSIFIED)
    batch = api.post("/batches", {"kind": "classification", "texts": [f"text {n}" for n in range(20)]})["batch_id"]
    api.wait_for_batch(batch, 20)
    progress = api.get(f"/progress/{batch}")
    assert (progress["current"], progress["total"], progress["percent"]) == (20, 20, 100)
    assert [item["result"]["category"] for item in api.results(batch)] == ["invoice"] * 20


def test_a_pdf_is_read_and_summarised(api, stack):
    stack.ollama.behave(text=SUMMARISED)
    task = api.post("/summaries", files={"file": ("letter.pdf", pdf([["Spring is here."], ["Bread is dearer."]]))})["task_id"]
    assert api.wait_for_result(task)["status"] == "done"
    [asked] = [one for one in stack.ollama.history()["history"] if (one["body"] or {}).get("format")]
    assert "Spring is here." in asked["body"]["messages"][-1]["content"]


def test_a_customer_who_writes_during_a_batch_waits_for_one_item_only(api, stack):
    stack.ollama.behave(text=CLASSIFIED, first_token_delay_seconds=0.4)
    batch = api.post("/batches", {"kind": "classification", "texts": [f"text {n}" for n in range(1000)]})["batch_id"]
    wait_for(lambda: len(api.results(batch)) >= 2)
    for n in range(3):
        stack.simulator.customer_writes(f"49151200{n}", "Are you open?")
        stack.simulator.wait_for_answers(f"49151200{n}", 1)
    chats = [one for one in stack.ollama.history()["history"] if one["path"] == "/api/chat" and one["body"].get("messages")]
    replies = [one for one in chats if "format" not in one["body"]]
    assert len(replies) == 3
    asked_at = [row["created_at"] for row in stack.rows("SELECT created_at FROM messages WHERE direction = 'in' ORDER BY id")]
    for begin, reply in zip(asked_at, replies, strict=True):
        due_at = begin + stack.settings.quiet_seconds
        between = [one for one in chats if "format" in one["body"] and due_at < one["received_at"] < reply["received_at"]]
        assert len(between) <= 1, "after the quiet period one item at most begins before the answer"
    assert api.post(f"/batches/{batch}/cancel")["items"] > 900
    wait_for(lambda: not stack.ollama.history()["generating"])


def test_a_model_that_hangs_on_one_item_holds_up_nothing_else(api, stack):
    stack.ollama.behave(text=CLASSIFIED)
    stack.ollama.next({"text": "", "end": "stall", "end_after_tokens": 0})
    batch = api.post("/batches", {"kind": "classification", "texts": [f"text {n}" for n in range(30)]})["batch_id"]
    wait_for(lambda: api.get(f"/batches/{batch}")["counts"].get("done") == 29)
    assert api.get(f"/batches/{batch}")["counts"] == {"queued": 1, "done": 29}, "it is tried again after five seconds"
    assert api.wait_for_batch(batch, 20)["counts"] == {"done": 30}


def test_every_item_has_its_result_once_whoever_is_killed(api, stack):
    """Nor is the model asked again, but for what was under way when a worker died."""
    stack.ollama.behave(text=CLASSIFIED, first_token_delay_seconds=0.004)
    texts = [f"text {n}" for n in range(2000)]
    batch = api.post("/batches", {"kind": "classification", "texts": texts})["batch_id"]
    killed, over = [], threading.Event()

    def kill() -> None:
        while not over.wait(1.5):
            stack.kill("default")
            killed.append(time.time())

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        wait_for(lambda: len(killed) >= 4, 60)
        assert api.get(f"/batches/{batch}")["status"] == "working"
    finally:
        over.set()
        killer.join()
    found = api.wait_for_batch(batch, 120)
    assert found["counts"] == {"done": 2000}
    items = api.results(batch)
    assert [item["position"] for item in items] == list(range(1, 2001))
    assert len({item["task_id"] for item in items}) == 2000
    asked = [one["body"]["messages"][-1]["content"] for one in stack.ollama.history()["history"] if (one["body"] or {}).get("format")]
    assert len(asked) - len(set(asked)) <= len(killed)
