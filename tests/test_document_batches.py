"""Batches of documents over the API: what comes of their items, files, pausing and the like, expiry."""

import io
import zipfile

from frontdesk.flows import document_files, document_reading, document_work, sweep
from frontdesk.store import documents
from tests.made_files import docx, pdf
from tests.standins.ollama_replies import Reply
from tests.test_api import ask, error  # noqa: F401
from tests.test_document_files import zipped
from tests.test_documents import CLASSIFIED, SCHEMA, SUMMARISED, items, model, token, upload, work  # noqa: F401
from tests.test_inbound import queued, rows


def test_a_batch_s_results_come_while_it_runs_and_in_the_order_given(ask, context, model):
    given = [{"name": f"mail {n}", "text": f"text {n}"} for n in range(3)]
    answer = ask("POST", "/batches", {"kind": "classification", "items": given})
    assert answer.status_code == 202 and answer.json["items"] == 3
    batch = answer.json["batch_id"]
    model.enqueue(CLASSIFIED, '{"category": "email", "confidence": "low"}', CLASSIFIED)
    document_work.work_on(context, document_work._claim(context))
    document_work.work_on(context, document_work._claim(context))
    assert [(item["name"], item["result"]["category"]) for item in items(ask, batch)] == [("mail 0", "invoice"), ("mail 1", "email")]
    standing = ask("GET", f"/batches/{batch}").json
    assert (standing["status"], standing["counts"], standing["progress"]["percent"]) == ("working", {"queued": 1, "done": 2}, 66)
    assert ask("GET", f"/progress/{batch}").json["current"] == 2
    work(context)
    assert ask("GET", f"/batches/{batch}").json["status"] == "done"
    assert [item["position"] for item in items(ask, batch, "?cursor=1")] == [2, 3]
    assert [item["name"] for item in items(ask, batch, "?category=email")] == ["mail 1"]
    assert error(ask("GET", f"/batches/{batch}/results?category=poem")) == (422, "invalid", "category")
    [item, *_] = items(ask, batch)
    assert ask("GET", f"/tasks/{item['task_id']}").json["batch_id"] == batch


def test_results_as_a_table_start_no_formula(ask, context, model):
    batch = ask("POST", "/batches", {"kind": "extraction", "schema": SCHEMA, "items": [{"name": "=1+1", "text": "a"}]}).json["batch_id"]
    model.enqueue('{"number": "@SUM(A1)", "total": 2.5}')
    work(context)
    answer = ask("GET", f"/batches/{batch}/results?format=csv")
    assert answer.mimetype == "text/csv"
    assert answer.text.splitlines()[0] == "position,name,task_id,status,number,total,error"
    assert "'=1+1" in answer.text and ",'@SUM(A1),2.5," in answer.text


def test_files_of_all_kinds_make_one_batch(ask, context, model):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", "from the archive")
        file.writestr("b.png", b"\x89PNG\0")
    sent = [
        (io.BytesIO(archive.getvalue()), "letters.zip"),
        (b"id;text\n7;first row\n8;\n", "rows.csv"),
        (b"a file", "note.txt"),
    ]
    files = [(io.BytesIO(data) if isinstance(data, bytes) else data, name) for data, name in sent]
    data = {"kind": "classification", "name_column": "id", "categories": '["x", "y"]', "file": files}
    answer = ask("POST", "/batches", data=data, content_type="multipart/form-data")
    batch = answer.json["batch_id"]
    assert answer.status_code == 202 and answer.json["items"] == 5
    model.behaviour.text = '{"category": "x", "confidence": "low"}'
    work(context)
    found = {item["name"]: item.get("result", item.get("failure", {}).get("message")) for item in items(ask, batch)}
    done = {"category": "x", "confidence": "low"}
    assert found == {"a.txt": done, "b.png": document_files.NOT_TEXT, "7": done, "8": "The text is empty.", "note.txt": done}
    assert ask("POST", f"/batches/{batch}/retry").json["items"] == 0, "there is nothing in them to try again"
    assert error(upload(ask, "/batches", "x.zip", b"none", kind="summary")) == (422, "invalid", "file")


def test_pdfs_and_the_like_are_read_before_the_model_sees_them(ask, context, model, db):
    page = b"<h1>Bill</h1><p>Thirty euros.</p><h2>Due</h2><p>Monday.</p>"
    files = {"a.pdf": pdf([["Invoice RE-7 of the bakery"]]), "b.docx": docx([("", "A letter")]), "c.html": page, "d.pdf": b"%PDF- broken"}
    archive = zipped(**files).getvalue()
    batch = upload(ask, "/batches", "all.zip", archive, kind="classification").json["batch_id"]
    single = upload(ask, "/summaries", "one.pdf", pdf([["A single page"]])).json["task_id"]
    assert error(upload(ask, "/summaries", "none.pdf", b"no pdf\0")) == (415, "not_text", "file")
    assert ask("GET", f"/progress/{single}").json == {"current": 0, "total": 1, "percent": 0, "eta_seconds": None}
    assert queued(context, "bulk") == ["files"] and not document_work.is_due(context)
    document_reading.read_all(context)
    assert rows(db, "SELECT * FROM document_files") == [] and "documents" in queued(context, "documents")
    model.enqueue(SUMMARISED)
    model.behaviour.text = CLASSIFIED
    work(context)
    assert ask("GET", f"/result/{single}").json["status"] == "done"
    assert [item["status"] for item in items(ask, batch)] == ["done", "done", "done", "failed"]
    assert items(ask, batch)[3]["failure"]["message"].startswith("It cannot be read: ")
    shown = [chat["body"]["messages"][-1]["content"] for chat in model.chats]
    assert "A single page" in shown[0] and "RE-7" in shown[1] and "A letter" in shown[2]
    assert shown[3] == "# Bill\n\nThirty euros.\n\n## Due\n\nMonday."
    assert ask("POST", f"/batches/{batch}/retry").json["items"] == 0


def test_a_file_is_read_again_when_its_reader_died_and_not_for_ever(ask, context, clock, db):
    task = upload(ask, "/summaries", "one.pdf", pdf([["A page"]])).json["task_id"]
    for _ in range(document_reading.MOST_ATTEMPTS):
        assert document_reading._claim(context) is not None, "and then it dies"
        document_reading.read_all(context)
        assert ask("GET", f"/result/{task}").json == {"status": "queued"}
        clock.forward(document_reading.LEASE_SECONDS + 1)
    context.queues.redis.delete("rq:queue:bulk")
    sweep.sweep(context)
    assert "files" in queued(context, "bulk")
    document_reading.read_all(context)
    assert "died" in ask("GET", f"/result/{task}").json["failure"]["message"]


def test_a_batch_paused_before_its_files_are_read_goes_on_when_resumed(ask, context, model):
    batch = upload(ask, "/batches", "one.pdf", pdf([["A page"]]), kind="classification").json["batch_id"]
    ask("POST", f"/batches/{batch}/pause")
    document_reading.read_all(context)
    assert ask("GET", f"/batches/{batch}").json["counts"] == {"paused": 1}
    ask("POST", f"/batches/{batch}/resume")
    document_reading.read_all(context)
    model.enqueue(CLASSIFIED)
    work(context)
    assert ask("GET", f"/batches/{batch}").json["counts"] == {"done": 1}


def test_files_of_what_was_given_up_are_cleaned_away(ask, context, db):
    batch = upload(ask, "/batches", "one.pdf", pdf([["A page"]]), kind="classification").json["batch_id"]
    ask("POST", f"/batches/{batch}/cancel")
    document_reading.read_all(context)
    sweep.clean(context)
    assert rows(db, "SELECT * FROM document_files") == [] and items(ask, batch)[0]["status"] == "cancelled"


def test_a_due_time_from_before_the_clock_was_set_back_is_not_waited_for(ask, context, clock):
    ask("POST", "/classify", {"text": "A bill."})
    clock.forward(-7200)
    assert not document_work.is_due(context)
    sweep.sweep(context)
    assert document_work.is_due(context)


def test_a_paused_batch_stops_at_once_and_goes_on_when_resumed(ask, context, model):
    batch = ask("POST", "/batches", {"kind": "classification", "texts": ["a", "b"]}).json["batch_id"]
    claimed = document_work._claim(context)
    assert ask("POST", f"/batches/{batch}/pause").json == {"batch_id": batch, "items": 2}
    model.enqueue(Reply("slow " * 500, tokens_per_second=20))
    document_work.work_on(context, claimed)
    model.wait_for(lambda standin: standin.cancelled_count == 1)
    assert ask("GET", f"/batches/{batch}").json["status"] == "paused"
    assert not document_work.is_due(context)
    assert ask("POST", f"/batches/{batch}/resume").json["items"] == 2
    model.enqueue(CLASSIFIED, CLASSIFIED)
    work(context)
    assert ask("GET", f"/batches/{batch}").json["counts"] == {"done": 2}


def test_a_cancelled_batch_keeps_what_is_done(ask, context, model):
    batch = ask("POST", "/batches", {"kind": "classification", "texts": ["a", "b", "c"]}).json["batch_id"]
    model.enqueue(CLASSIFIED)
    document_work.work_on(context, document_work._claim(context))
    assert ask("POST", f"/batches/{batch}/cancel").json["items"] == 2
    assert [item["status"] for item in items(ask, batch)] == ["done", "cancelled", "cancelled"]
    assert ask("GET", f"/batches/{batch}").json["status"] == "cancelled" and not document_work.is_due(context)


def test_failed_items_are_tried_again_alone(ask, context, model):
    batch = ask("POST", "/batches", {"kind": "classification", "texts": ["a", "b"]}).json["batch_id"]
    model.enqueue("no", "no", CLASSIFIED)
    work(context)
    assert ask("GET", f"/batches/{batch}").json["counts"] == {"failed": 1, "done": 1}
    assert ask("POST", f"/batches/{batch}/retry").json["items"] == 1
    model.enqueue(CLASSIFIED)
    work(context)
    assert ask("GET", f"/batches/{batch}").json["counts"] == {"done": 2} and len(model.chats) == 4


def test_single_documents_go_before_batches_and_batches_take_turns(ask, context, clock):
    first, second = (ask("POST", "/batches", {"kind": "summary", "texts": ["a"] * 9}).json["batch_id"] for _ in range(2))
    single = ask("POST", "/summaries", {"text": "soon"}).json["task_id"]
    claimed = []
    for _ in range(5):
        task = document_work._claim(context)
        claimed.append(task.public_id)
        documents.finish(context.db, task, {}, 1.0, clock(), clock())
        clock.forward(16)
    stems = [id_.rpartition("_")[0].replace("doc_", "batch_") for id_ in claimed[1:]]
    assert claimed[0] == single and stems == [first, first, second, second]


def test_one_job_stands_in_line_however_often_it_is_rung_for(ask, context):
    ask("POST", "/batches", {"kind": "summary", "texts": ["a", "b"]})
    for _ in range(3):
        context.queues.silence_documents()
        sweep.sweep(context)
    assert queued(context, "documents") == ["documents"]


def test_between_two_documents_it_is_looked_who_goes_first(ask, context, model):
    batch = ask("POST", "/batches", {"kind": "classification", "texts": ["a", "b", "c"]}).json["batch_id"]
    model.behaviour.text = CLASSIFIED
    context.queues.reply()
    document_work.serve(context)
    assert ask("GET", f"/batches/{batch}").json["counts"] == {"queued": 2, "done": 1}
    context.queues.redis.delete("rq:queue:default")
    context.queues.put("documents", "jobs.suggest", "suggest-1", 1, at_front=True)
    document_work.serve(context)
    assert ask("GET", f"/batches/{batch}").json["counts"] == {"queued": 1, "done": 2}
    assert queued(context, "documents") == ["suggest", "documents"]


def test_results_expire_and_are_gone(ask, context, model, clock, db):
    task = ask("POST", "/classify", {"text": "secret words"}).json["task_id"]
    batch = ask("POST", "/batches", {"kind": "classification", "texts": ["secret words"]}).json["batch_id"]
    model.enqueue(CLASSIFIED, CLASSIFIED)
    work(context)
    [item] = items(ask, batch)
    clock.forward(24 * 3600 + 1)
    assert error(ask("GET", f"/tasks/{task}")) == (410, "expired", None)
    assert ask("GET", f"/batches/{batch}").status_code == 200
    sweep.clean(context)
    assert error(ask("GET", f"/result/{task}")) == (410, "expired", None)
    clock.forward(30 * 24 * 3600)
    assert error(ask("GET", f"/batches/{batch}/results")) == (410, "expired", None)
    sweep.clean(context)
    for path in (f"/batches/{batch}", f"/progress/{batch}", f"/tasks/{item['task_id']}"):
        assert error(ask("GET", path)) == (410, "expired", None)
    assert rows(db, "SELECT * FROM document_texts") == []
    clock.forward(91 * 24 * 3600)
    sweep.clean(context)
    assert ask("GET", f"/batches/{batch}").status_code == 404 and rows(db, "SELECT id FROM document_tasks") == []
