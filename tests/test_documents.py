"""Documents that a program has summarised, classified or extracted: over the API, with the model's stand-in doing the work."""

import io
import json
import threading

import pytest

from frontdesk.flows import document_work, sweep
from frontdesk.store import api_tokens
from frontdesk.store.database import transaction
from tests.standins.ollama import OllamaStandIn
from tests.standins.ollama_replies import Reply
from tests.test_api import ask, error  # noqa: F401
from tests.test_inbound import queued, rows

CLASSIFIED = '{"category": "invoice", "confidence": "high"}'
SUMMARISED = '{"points": ["It is spring.", "Bread is dearer.", "Rolls are not."]}'
SCHEMA = {"type": "object", "properties": {"number": {"type": "string"}, "total": {"type": "number"}}, "required": ["number", "total"]}


@pytest.fixture
def token(app, db, clock):
    with transaction(db):
        return api_tokens.add(db, "archive", None, ("documents",), None, clock())


@pytest.fixture
def model(context):
    with OllamaStandIn() as standin:
        context.ollama.host = standin.url
        yield standin


def work(context) -> None:
    """What the worker does, until nothing is due."""
    context.queues.redis.delete("rq:queue:documents")
    while document_work.is_due(context):
        document_work.serve(context)
    context.queues.redis.delete("rq:queue:documents")


def upload(ask, path, name, data, **fields):
    return ask("POST", path, data={**fields, "file": (io.BytesIO(data), name)}, content_type="multipart/form-data")


def items(ask, batch_id, query="") -> list[dict]:
    return [json.loads(line) for line in ask("GET", f"/batches/{batch_id}/results{query}").text.splitlines()]


# --- one document -----------------------------------------------------------------------------------------------------------


def test_a_text_is_summarised_in_bullet_points(ask, context, model):
    answer = ask("POST", "/summaries", {"text": "A long letter about spring and bread."})
    assert answer.status_code == 202 and answer.json["status"] == "queued"
    task = answer.json["task_id"]
    assert answer.json["check_status"] == f"/api/v1/tasks/{task}" and queued(context, "documents") == ["documents"]
    assert ask("GET", f"/tasks/{task}/result").json == {"status": "queued"}
    assert ask("GET", f"/tasks/{task}/progress").json == {"current": 0, "total": 1, "percent": 0, "eta_seconds": None}
    model.enqueue(SUMMARISED)
    work(context)
    result = ask("GET", f"/tasks/{task}/result").json
    assert result["status"] == "done"
    assert result["result"]["summary"] == "• It is spring.\n• Bread is dearer.\n• Rolls are not."
    assert ask("GET", f"/tasks/{task}/progress").json == {"current": 1, "total": 1, "percent": 100, "eta_seconds": 0.0}
    assert ask("GET", f"/tasks/{task}").json["result"]["points"][0] == "It is spring."


def test_a_classification_has_the_usual_categories_or_one_s_own(ask, context, model):
    usual = ask("POST", "/classifications", {"text": "Invoice 7: 30 EUR"}).json["task_id"]
    own = ask("POST", "/classifications", {"text": "My roof leaks", "categories": ["damage", "praise"]}).json["task_id"]
    model.enqueue(CLASSIFIED, '{"category": "damage", "confidence": "low"}')
    work(context)
    assert ask("GET", f"/tasks/{usual}/result").json["result"] == {"category": "invoice", "confidence": "high"}
    assert ask("GET", f"/tasks/{own}/result").json["result"] == {"category": "damage", "confidence": "low"}
    first, second = (chat["body"]["format"]["properties"]["category"]["enum"] for chat in model.chats)
    assert first == ["invoice", "contract", "report", "email", "other"] and second == ["damage", "praise"]


def test_a_classification_is_judged_by_the_first_two_thousand_characters(ask, context, model):
    ask("POST", "/classifications", {"text": "x" * 1999 + "yz"})
    model.enqueue(CLASSIFIED)
    work(context)
    assert model.chats[0]["body"]["messages"][-1]["content"] == "x" * 1999 + "y"


def test_an_extraction_gives_what_the_schema_names(ask, context, model):
    task = ask("POST", "/extractions", {"text": "Invoice RE-7, 30 EUR", "schema": SCHEMA}).json["task_id"]
    model.enqueue('```json\n{"number": "RE-7", "total": 30}\n```')
    work(context)
    assert ask("GET", f"/tasks/{task}/result").json == {"status": "done", "result": {"number": "RE-7", "total": 30}}
    assert model.chats[0]["body"]["format"] == SCHEMA


def test_the_same_document_is_asked_about_in_the_same_way(ask, context, model):
    for _ in range(2):
        ask("POST", "/summaries", {"text": "A letter."})
    model.enqueue(SUMMARISED, SUMMARISED)
    work(context)
    first, second = (chat["body"] for chat in model.chats)
    assert first == second and (first["options"]["temperature"], first["options"]["seed"]) == (0.0, 1)


def test_the_short_names_do_the_same(ask, context, model):
    summary, category = ask("POST", "/summarise", {"text": "A letter."}).json, ask("POST", "/classify", {"text": "A bill."}).json
    assert summary["status"] == category["status"] == "queued"
    model.enqueue(SUMMARISED, CLASSIFIED)
    work(context)
    assert ask("GET", f"/result/{category['task_id']}").json == {"status": "done", "result": {"category": "invoice", "confidence": "high"}}
    assert ask("GET", f"/progress/{summary['task_id']}").json["percent"] == 100


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/summaries", {"text": ""}, (422, "invalid", "text")),
        ("/summaries", {"text": " \n\u200b"}, (422, "invalid", "text")),
        ("/summaries", {}, (422, "invalid", "text")),
        ("/summaries", {"text": 7}, (422, "invalid", "text")),
        ("/summaries", {"text": "x", "bullets": 0}, (422, "invalid", "bullets")),
        ("/summaries", {"text": "x", "model": "-rf /"}, (422, "invalid", "model")),
        ("/summaries", {"text": "é" * 1_000_001}, (413, "too_large", "text")),
        ("/classify", {"text": "x", "categories": ["one"]}, (422, "invalid", "categories")),
        ("/classify", {"text": "x", "categories": ["A", "a"]}, (422, "invalid", "categories")),
        ("/classify", {"text": "x", "categories": "invoice"}, (422, "invalid", "categories")),
        ("/classify", {"text": "x", "categories": ["x" * 101, "y"]}, (422, "invalid", "categories.0")),
        ("/extractions", {"text": "x", "schema": {"type": "object", "properties": {"x" * 20_000: {}}}}, (422, "invalid", "schema")),
        ("/extractions", {"text": "x"}, (422, "invalid", "schema")),
        ("/extractions", {"text": "x", "schema": {"type": "string"}}, (422, "invalid_schema", "schema")),
        ("/extractions", {"text": "x", "schema": {"type": "object", "properties": {"a": {"type": "date"}}}}, (422, "invalid_schema", "schema")),
        ("/summaries", {"text": "half \ud83d"}, (422, "invalid", "text")),
        ("/batches", {"kind": "summary"}, (422, "invalid", "texts")),
        ("/batches", {"kind": "summary", "texts": []}, (422, "invalid", "texts")),
        ("/batches", {"kind": "summary", "texts": ["a", " "]}, (422, "invalid", "texts.1")),
        ("/batches", {"kind": "translation", "texts": ["a"]}, (422, "invalid", "kind")),
        ("/batches", {"kind": "summary", "texts": ["a"], "categories": ["a", "b"]}, (422, "invalid", "categories")),
        ("/batches", {"kind": "extraction", "texts": ["a"]}, (422, "invalid", "schema")),
        ("/batches", {"kind": "summary", "texts": ["a"] * 10_001}, (422, "invalid", "texts")),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_kept(ask, db, path, body, expected):
    assert error(ask("POST", path, body)) == expected
    assert rows(db, "SELECT id FROM document_tasks UNION ALL SELECT id FROM document_batches") == []


def test_a_hundred_megabytes_are_refused_before_they_are_read(ask):
    class Endless(io.RawIOBase):
        def read(self, size=-1):
            raise AssertionError("it was read")

    huge = {"wsgi.input": Endless(), "CONTENT_LENGTH": "100000000"}
    answer = ask("POST", "/summaries", content_type="application/json", environ_overrides=huge)
    assert error(answer) == (413, "too_large", None)


def test_a_text_file_is_taken_and_what_is_none_refused(ask, context, model):
    task = upload(ask, "/classifications", "bill.txt", "Rechnung 7 über 30 €".encode(), categories='["bill", "other"]').json["task_id"]
    utf16 = upload(ask, "/summarise", "letter.txt", "Grüße".encode("utf-16")).json["task_id"]
    model.enqueue('{"category": "bill", "confidence": "high"}', SUMMARISED)
    work(context)
    assert ask("GET", f"/result/{task}").json["result"]["category"] == "bill"
    assert ask("GET", f"/result/{utf16}").json["status"] == "done"
    assert [chat["body"]["messages"][-1]["content"] for chat in model.chats] == ["Rechnung 7 über 30 €", "Grüße"]
    assert error(upload(ask, "/summaries", "picture.png", b"\x89PNG\r\n\x1a\n\0")) == (415, "not_text", "file")
    assert error(upload(ask, "/summaries", "empty.txt", b"")) == (422, "invalid", "text")
    assert error(upload(ask, "/summaries", "both.txt", b"x", text="y")) == (422, "invalid", "text")
    assert error(upload(ask, "/summaries", "large.txt", b"x" * 2_000_001)) == (413, "too_large", "file")
    assert error(upload(ask, "/classify", "bill.txt", b"x", categories="bill, other")) == (422, "invalid", "categories")


def test_the_same_key_and_request_are_one_task(ask, db):
    first, second = (ask("POST", "/summaries", {"text": "A letter."}, key="k").json["task_id"] for _ in range(2))
    assert first == second and len(rows(db, "SELECT id FROM document_tasks")) == 1
    assert error(ask("POST", "/summaries", {"text": "Another."}, key="k"))[:2] == (409, "idempotency_conflict")


def test_the_same_key_and_batch_are_one_batch(ask, db):
    body = {"kind": "summary", "texts": ["a", "b"]}
    first, second = (ask("POST", "/batches", body, key="k").json["batch_id"] for _ in range(2))
    assert first == second and len(rows(db, "SELECT id FROM document_tasks")) == 2
    assert ask("POST", "/batches", {**body, "texts": ["a", "c"]}, key="k").status_code == 409


def test_a_task_can_be_waited_for(ask, context, model, db):
    task = ask("POST", "/classify", {"text": "A bill."}).json["task_id"]
    found = []
    waiting = threading.Thread(target=lambda: found.append(ask("GET", f"/tasks/{task}?wait=10").json["status"]))
    waiting.start()
    model.enqueue(CLASSIFIED)
    work(context)
    waiting.join(10)
    assert found[0] in ("working", "done")


def test_documents_have_a_scope_of_their_own_and_clients_see_their_own(ask, db, clock):
    task = ask("POST", "/summaries", {"text": "A letter."}).json["task_id"]
    sender = api_tokens.add(db, "sender", None, ("send", "read"), None, clock())
    assert error(ask("POST", "/summaries", {"text": "x"}, token=sender))[:2] == (403, "missing_scope")
    assert ask("GET", f"/tasks/{task}", token=sender).status_code == 404
    other = api_tokens.add(db, "B", 1, ("documents",), None, clock())
    assert [ask("GET", path, token=other).status_code for path in (f"/tasks/{task}", f"/result/{task}", f"/progress/{task}")] == [404] * 3
    batch = ask("POST", "/batches", {"kind": "summary", "texts": ["a"]}).json["batch_id"]
    assert ask("POST", f"/batches/{batch}/cancel", token=other).status_code == 404
    assert ask("GET", f"/tasks/{'0' * 32}").status_code == 404


# --- what does not fit --------------------------------------------------------------------------------------------------------


def test_an_answer_that_does_not_fit_is_asked_for_once_more_with_the_reason(ask, context, model):
    task = ask("POST", "/classify", {"text": "A bill."}).json["task_id"]
    model.enqueue('{"category": "love letter", "confidence": "high"}', CLASSIFIED)
    work(context)
    assert ask("GET", f"/result/{task}").json == {"status": "done", "result": {"category": "invoice", "confidence": "high"}}
    *_, answer, again = model.chats[1]["body"]["messages"]
    assert "love letter" in answer["content"] and "'love letter' is not one of" in again["content"]


def test_an_answer_that_never_fits_fails_and_both_are_kept(ask, context, model):
    task = ask("POST", "/extractions", {"text": "A bill.", "schema": SCHEMA}).json["task_id"]
    model.enqueue("The number is 7.", '{"number": "7"}', "never asked for")
    work(context)
    failed = ask("GET", f"/result/{task}").json
    assert failed["status"] == "failed" and "'total' is a required property" in failed["failure"]["message"]
    assert failed["failure"]["answers"] == ["The number is 7.", '{"number": "7"}'] and len(model.chats) == 2


@pytest.mark.parametrize("answer", ['{"a": NaN}', "[" * 100_000, '{"points": ["\\ud83d", "b", "c"]}', "1" * 5000, "null"])
def test_no_answer_of_a_model_s_breaks_anything(ask, context, model, answer):
    task = ask("POST", "/summaries", {"text": "x"}).json["task_id"]
    model.enqueue(Reply(answer, done_reason="stop"), Reply(answer, done_reason="stop"))
    work(context)
    assert ask("GET", f"/tasks/{task}").json["status"] in ("done", "failed")


# --- a model that fails --------------------------------------------------------------------------------------------------------


def test_what_the_model_broke_off_is_tried_again_three_times(ask, context, model, clock):
    task = ask("POST", "/classify", {"text": "A bill."}).json["task_id"]
    broken = Reply("half", end="cut")
    model.enqueue(*[broken] * 6, CLASSIFIED)  # the client itself tries each twice
    for n in range(3):
        work(context)
        assert ask("GET", f"/result/{task}").json == {"status": "queued"}, n
        clock.forward(5)
    work(context)
    assert ask("GET", f"/result/{task}").json["status"] == "done"


def test_a_model_that_hangs_on_one_item_costs_that_item_alone(ask, context, model, clock, settings):
    object.__setattr__(context.settings, "document_timeout_seconds", 1)
    batch = ask("POST", "/batches", {"kind": "classification", "texts": ["a", "b", "c"]}).json["batch_id"]
    stalls = Reply("never", end="stall", end_after_tokens=0)
    model.enqueue(stalls, CLASSIFIED, CLASSIFIED)
    work(context)
    assert ask("GET", f"/batches/{batch}").json["counts"] == {"queued": 1, "done": 2}
    for _ in range(3):
        model.enqueue(stalls)
        clock.forward(5)
        work(context)
    [failed, *others] = items(ask, batch)
    assert failed["status"] == "failed" and "tried 4 times" in failed["failure"]["message"]
    assert [item["status"] for item in others] == ["done", "done"]


def test_while_the_model_is_away_nothing_is_burnt(ask, context, model, clock):
    batch = ask("POST", "/batches", {"kind": "classification", "texts": ["a", "b"]}).json["batch_id"]
    model.stop()
    for _ in range(10):
        work(context)
        clock.forward(31)
    assert ask("GET", f"/batches/{batch}").json["counts"] == {"queued": 2}
    model.start()
    model.enqueue(CLASSIFIED, CLASSIFIED)
    clock.forward(31)
    sweep.sweep(context)
    assert "documents" in queued(context, "documents")
    work(context)
    assert ask("GET", f"/batches/{batch}").json["counts"] == {"done": 2}


def test_work_of_a_process_that_died_is_taken_over_and_not_for_ever(ask, context, model, clock):
    task = ask("POST", "/classify", {"text": "A bill."}).json["task_id"]
    for _ in range(document_work.MOST_DEATHS):
        assert document_work._claim(context) is not None, "and then it dies"
        assert document_work._claim(context) is None
        clock.forward(31)
    work(context)
    assert "died 5 times" in ask("GET", f"/result/{task}").json["failure"]["message"]


def test_a_worker_that_must_end_hands_its_document_back(ask, context, model):
    task = ask("POST", "/classify", {"text": "A bill."}).json["task_id"]
    model.enqueue(Reply("slow " * 50, tokens_per_second=20))
    claimed = document_work._claim(context)
    context.stopping.set()
    document_work.work_on(context, claimed)
    assert ask("GET", f"/result/{task}").json == {"status": "queued"}


# --- long documents -----------------------------------------------------------------------------------------------------------


def test_a_long_document_is_read_in_parts_that_keep_their_headings(ask, context, model):
    chapters = [f"# Chapter {n}\n\n" + f"Sentence {n} about bread. " * 500 for n in range(1, 5)]
    task = ask("POST", "/summaries", {"text": "\n\n".join(chapters)}).json["task_id"]
    total = ask("GET", f"/progress/{task}").json["total"]
    model.behaviour.text = "A note."
    for current in range(total - 1):
        assert ask("GET", f"/progress/{task}").json["current"] == current
        document_work.work_on(context, document_work._claim(context))
    model.enqueue(SUMMARISED)
    work(context)
    assert ask("GET", f"/result/{task}").json["status"] == "done"
    assert ask("GET", f"/progress/{task}").json == {"current": total, "total": total, "percent": 100, "eta_seconds": 0.0}
    *parts, last = [chat["body"]["messages"][-1]["content"] for chat in model.chats]
    assert len(parts) > 4 and all(text.startswith("# Chapter") for text in parts)
    assert last == "\n\n".join(f"Part {n}:\nA note." for n in range(1, total))
