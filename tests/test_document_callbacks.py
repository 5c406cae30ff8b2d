"""Programs are told when their documents and batches are over, in the transaction that ended them; deliveries by the API."""

import json

import pytest

from frontdesk.flows import callbacks as flow, document_ends, document_reading, document_work
from frontdesk.store import api_tokens, callbacks, clients
from frontdesk.store.database import transaction
from tests.standins.ollama_replies import Reply
from tests.test_api import ask, error  # noqa: F401
from tests.test_documents import CLASSIFIED, SUMMARISED, model, token, upload, work  # noqa: F401
from tests.test_inbound import queued, rows

HOOK = "https://shop.example/told"


def told(context) -> list[tuple[str, dict]]:
    return [(one.event, json.loads(one.body)) for one in reversed(callbacks.newest(context.db))]


def test_a_task_that_is_done_is_told_of_once(ask, context, model):
    model.enqueue(SUMMARISED)
    task = ask("POST", "/summaries", {"text": "Spring is here.", "callback_url": HOOK}).json["task_id"]
    assert told(context) == []
    work(context)
    document_work.serve(context)
    [(event, body)] = told(context)
    assert event == "document.done"
    assert body == {"task_id": task, "kind": "summary", "status": "done", "result": f"/api/v1/tasks/{task}/result"}
    assert ask("GET", body["result"].removeprefix("/api/v1")).json["status"] == "done"
    assert queued(context, "bulk") == ["call_back"]


def test_a_task_that_failed_is_told_of_and_one_that_nobody_asks_about_is_not(ask, context, model):
    model.enqueue(Reply(status=400, error="no"), CLASSIFIED)
    ask("POST", "/classifications", {"text": "a", "callback_url": HOOK})
    ask("POST", "/classifications", {"text": "b"})
    work(context)
    assert [event for event, _ in told(context)] == ["document.failed"]


def test_a_file_that_cannot_be_read_is_told_of(ask, context):
    upload(ask, "/summaries", "a.pdf", b"%PDF-1.4 nothing", callback_url=HOOK)
    document_reading.read_all(context)
    assert [event for event, _ in told(context)] == ["document.failed"]


def test_dying_before_the_commit_neither_ends_the_task_nor_tells(ask, context, model, monkeypatch):
    model.enqueue(CLASSIFIED, CLASSIFIED)
    ask("POST", "/classifications", {"text": "a", "callback_url": HOOK})

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(document_ends.callbacks, "add", die)
    with pytest.raises(KeyboardInterrupt):
        document_work.work_on(context, document_work._claim(context))
    assert rows(context.db, "SELECT state FROM document_tasks")[0]["state"] == "working" and told(context) == []


def test_a_batch_is_told_of_when_its_last_item_is_over(ask, context, model):
    model.behaviour.text = CLASSIFIED
    batch = ask("POST", "/batches", {"kind": "classification", "texts": ["a", "b", "c"], "callback_url": HOOK}).json["batch_id"]
    document_work.work_on(context, document_work._claim(context))
    assert told(context) == []
    work(context)
    assert told(context) == [
        ("batch.done", {"batch_id": batch, "kind": "classification", "status": "done", "counts": {"done": 3}, "results": f"/api/v1/batches/{batch}/results"})
    ]


def test_a_batch_that_is_cancelled_is_told_of_once_and_a_paused_one_is_not(ask, context):
    batch = ask("POST", "/batches", {"kind": "classification", "texts": ["a", "b"], "callback_url": HOOK}).json["batch_id"]
    ask("POST", f"/batches/{batch}/pause")
    assert told(context) == []
    ask("POST", f"/batches/{batch}/cancel")
    ask("POST", f"/batches/{batch}/cancel")
    assert [(event, body["counts"]) for event, body in told(context)] == [("batch.cancelled", {"cancelled": 2})]


def test_a_batch_with_nothing_to_work_on_is_told_of_at_once(ask, context):
    upload(ask, "/batches", "a.png", b"\x89\0", kind="summary", callback_url=HOOK)
    assert [(event, body["counts"]) for event, body in told(context)] == [("batch.done", {"failed": 1})]


@pytest.mark.parametrize("path, body", [
    ("/summaries", {"text": "a"}), ("/classifications", {"text": "a"}), ("/extractions", {"text": "a", "schema": {"type": "object", "properties": {"a": {}}}}),
    ("/batches", {"kind": "summary", "texts": ["a"]}),
])  # fmt: skip
def test_a_private_address_is_refused_by_name_and_nothing_is_kept(ask, db, path, body):
    assert error(ask("POST", path, {**body, "callback_url": "http://169.254.169.254/latest"})) == (422, "bad_url", "callback_url")
    assert rows(db, "SELECT id FROM document_tasks") == []


def test_the_same_key_with_another_address_is_another_request(ask):
    body = {"text": "a", "callback_url": HOOK}
    first = ask("POST", "/summaries", body, key="k").json
    assert ask("POST", "/summaries", body, key="k").json == first
    assert error(ask("POST", "/summaries", {"text": "a"}, key="k"))[:2] == (409, "idempotency_conflict")


def test_deliveries_are_listed_in_pages_and_made_again_by_whom_they_concern(ask, context, db, clock):
    other = clients.add(db, "Other", "", clock())
    ids = [callbacks.add(db, client_id, f"{HOOK}?key=12345678", "batch.done", {"n": n}, clock()) for n, client_id in enumerate((1, 1, other, None))]
    with transaction(db):
        own = api_tokens.add(db, "own", 1, ("documents",), None, clock())
        reads = api_tokens.add(db, "reads", 1, ("read",), None, clock())
    page = ask("GET", "/callbacks?limit=3").json
    assert len(page["items"]) == 3 and len(ask("GET", f"/callbacks?cursor={page['next_cursor']}").json["items"]) == 1
    first, _ = ask("GET", "/callbacks", token=own).json["items"]
    assert (first["url"], first["state"], first["attempts"], first["http_status"]) == (f"{HOOK}?…", "wanted", 0, None)
    db.execute("UPDATE callbacks SET state = 'failed', due_at = NULL WHERE id = ?", (ids[0],))
    assert [one["delivery_id"] for one in ask("GET", "/callbacks?state=failed", token=own).json["items"]] == [first["delivery_id"]]
    again = ask("POST", f"/callbacks/{first['delivery_id']}/resend", token=own)
    assert (again.status_code, again.json["state"], again.json["delivery_id"]) == (200, "wanted", first["delivery_id"])
    foreign = callbacks.newest(db)[1].public_id
    assert error(ask("POST", f"/callbacks/{foreign}/resend", token=own))[:2] == (404, "not_found")
    assert error(ask("GET", "/callbacks", token=reads))[:2] == (403, "missing_scope")


def test_a_delivery_of_no_one_client_is_signed_with_a_secret_of_its_own(context):
    assert flow.secrets(context, None) not in [flow.secrets(context, 1), flow.secrets(context, 2)]
