"""The operations on documents: single ones, batches, their results."""

from collections.abc import Callable, Iterable

from pydantic import BaseModel

from frontdesk.flows import document_files, document_results, documents
from frontdesk.flows.refusals import Refused
from frontdesk.flows.document_prompts import CATEGORIES
from frontdesk.flows.documents import Asker, Document
from frontdesk.store import document_batches
from frontdesk.store.document_batches import Batch
from frontdesk.store.documents import Task
from frontdesk.web.api import document_models as models
from frontdesk.web.api.models import Queued
from frontdesk.web.api.operation import Call, Operation, Raw, sound

LARGEST_DOCUMENT_BODY_BYTES = 24 * 1024 * 1024
LARGEST_BATCH_BODY_BYTES = 24 * 1024 * 1024


def _summarise(call: Call) -> Queued:
    return _queued(call, "summary", {"bullets": call.given.bullets})


def _classify(call: Call) -> Queued:
    return _queued(call, "classification", {"categories": call.given.categories})


def _extract(call: Call) -> Queued:
    return _queued(call, "extraction", {"schema": call.given.schema_})


def _queued(call: Call, kind: str, options: dict) -> Queued:
    options = _chosen({**options, "model": call.given.model})
    task_id = documents.ask(call.context, _asker(call), kind, options, _one_document(call), call.key, call.given.callback_url)
    return Queued(task_id=task_id, check_status=f"/api/v1/tasks/{task_id}")


def _asker(call: Call) -> Asker:
    return Asker(call.token.client_id, call.token.id)


def _chosen(options: dict) -> dict:
    return {name: value for name, value in options.items() if value is not None}


def _one_document(call: Call) -> Document:
    if (call.given.text is None) == (not call.files) or len(call.files) > 1:
        raise Refused(422, "invalid", "Give either text or one file.", "text")
    if call.given.text is not None:
        return Document(call.given.text)
    file = call.files[0]
    document = document_files.read_one(file.filename or "", file.read(document_files.LARGEST_FILE_BYTES + 1))
    if document.error == document_files.NOT_TEXT:
        raise Refused(415, "not_text", document.error, "file")
    if document.error:
        raise Refused(413, "too_large", document.error, "file")
    return document


# --- what became of it ------------------------------------------------------------------------------------------------------


def task_of(call: Call) -> models.DocumentTask | None:
    """None where this is no document's id, or not this token's to see. Raises Refused (410)."""
    if "documents" not in call.token.scopes:
        return None
    task = documents.find_task(call.context, call.token.client_id, call.path["task_id"])
    return _as_task(task) if task else None


def _known(call: Call) -> Task:
    task = documents.find_task(call.context, call.token.client_id, call.path["task_id"])
    if task is None:
        raise Refused(404, "not_found", "There is no such task.")
    return task


def _as_task(task: Task) -> models.DocumentTask:
    return models.DocumentTask(
        task_id=task.public_id,
        kind=task.kind,
        status=task.state,
        name=sound(task.name),
        batch_id=task.batch_public_id,
        result=task.result,
        failure=_failure(task),
        created_at=task.created_at,
        started_at=task.started_at,
        finished_at=task.finished_at,
        expires_at=task.expires_at,
    )


def _failure(task: Task) -> models.DocumentFailure | None:
    failure = document_results.failure_of(task)
    return models.DocumentFailure(**failure) if failure else None


def _result(call: Call) -> models.DocumentResult:
    task = _known(call)
    return models.DocumentResult(status=task.state, result=task.result, failure=_failure(task))


def _progress(call: Call) -> models.DocumentProgress:
    if call.path["task_id"].startswith("batch_"):
        batch = documents.find_batch(call.context, call.token.client_id, call.path["task_id"])
        return _as_progress(documents.progress_of_batch(call.context, batch))
    return _as_progress(documents.progress_of_task(call.context, _known(call)))


def _as_progress(progress: documents.Progress) -> models.DocumentProgress:
    percent = 100 * progress.current // progress.total if progress.total else 100
    eta = None if progress.eta_seconds is None else round(progress.eta_seconds, 1)
    return models.DocumentProgress(current=progress.current, total=progress.total, percent=percent, eta_seconds=eta)


# --- batches ----------------------------------------------------------------------------------------------------------------


def _make_batch(call: Call) -> models.BatchQueued:
    given = call.given
    needs = {"summary": "bullets", "classification": "categories", "extraction": "schema_"}
    for kind, field in needs.items():
        if kind != given.kind and getattr(given, field) is not None:
            raise Refused(422, "invalid", f"This is only for the kind {kind}.", field.rstrip("_"))
    if given.kind == "extraction" and given.schema_ is None:
        raise Refused(422, "invalid", "An extraction needs a schema.", "schema")
    options = _chosen({"bullets": given.bullets, "categories": given.categories, "schema": given.schema_, "model": given.model})
    items = _items(call)
    batch_id = documents.ask_for_many(call.context, _asker(call), given.kind, options, items, call.key, given.callback_url)
    return models.BatchQueued(batch_id=batch_id, items=len(items), check_status=f"/api/v1/batches/{batch_id}")


def _items(call: Call) -> list[Document]:
    given = call.given
    if [given.texts is not None, given.items is not None, bool(call.files)].count(True) != 1:
        raise Refused(422, "invalid", "Give either texts, or items, or files.", "texts")
    if call.files:
        files = [(file.filename or "", file.stream) for file in call.files]
        return document_files.read_all(files, given.column, given.name_column)
    field = "texts" if given.texts is not None else "items"
    found = [Document(text) for text in given.texts or ()] + [Document(item.text, item.name) for item in given.items or ()]
    for place, document in enumerate(found):
        if not document.text.strip():
            raise Refused(422, "invalid", documents.EMPTY, f"{field}.{place}")
    return found


def _known_batch(call: Call) -> Batch:
    return documents.find_batch(call.context, call.token.client_id, call.path["batch_id"])


def _batch(call: Call) -> models.Batch:
    batch = _known_batch(call)
    counts = document_batches.counts(call.context.db, batch.id)
    return models.Batch(
        batch_id=batch.public_id,
        kind=batch.kind,
        status=documents.status_of(counts),
        counts=dict(counts),
        progress=_as_progress(documents.progress_of_batch(call.context, batch)),
        created_at=batch.created_at,
        expires_at=batch.expires_at,
        results=f"/api/v1/batches/{batch.public_id}/results",
    )


def _changing(change: Callable[..., int]) -> Callable[[Call], BaseModel]:
    def does(call: Call) -> models.Changed:
        batch = _known_batch(call)
        return models.Changed(batch_id=batch.public_id, items=change(call.context, batch))

    return does


def _results(call: Call) -> Raw:
    batch, given = _known_batch(call), call.given
    if given.category is not None:
        _check_category(batch, given.category)
    tasks: Iterable[Task] = document_batches.results(call.context.db, batch.id, after=given.cursor, limit=given.limit)
    if given.category is not None:
        tasks = [task for task in tasks if task.result and task.result["category"] == given.category]
    if given.format == "csv":
        return Raw(document_results.as_csv(batch, tasks), document_results.CSV)
    return Raw(document_results.as_lines(tasks), document_results.JSON_LINES)


def _check_category(batch: Batch, category: str) -> None:
    known = batch.options.get("categories") or CATEGORIES if batch.kind == "classification" else ()
    if category not in known:
        words = f"It has {', '.join(known)}" if known else "It classifies nothing"
        raise Refused(422, "invalid", f"This batch has no such category. {words}.", "category")


# --- the table --------------------------------------------------------------------------------------------------------------

_SINGLE = {"refusals": (409,), "takes_key": True, "takes_files": True, "largest_body_bytes": LARGEST_DOCUMENT_BODY_BYTES}
_GONE = (404, 410)


def _single(name: str, path: str, summary: str, given: type[BaseModel], does) -> Operation:
    return Operation(name, "POST", path, "documents", summary, given, Queued, 202, does, **_SINGLE)


def _of_task(name: str, path: str, summary: str, answers: type[BaseModel], does) -> Operation:
    return Operation(name, "GET", path, "documents", summary, None, answers, 200, does, _GONE)


def _change(verb: str, summary: str, change: Callable[..., int]) -> Operation:
    path = f"/batches/<batch_id>/{verb}"
    return Operation(f"{verb}Batch", "POST", path, "documents", summary, None, models.Changed, 200, _changing(change), _GONE)


OPERATIONS = [
    _single("makeSummary", "/summaries", "Summarise a document", models.Summarise, _summarise),
    _single("makeClassification", "/classifications", "Say which category a document belongs to", models.Classify, _classify),
    _single("makeExtraction", "/extractions", "Take values from a document by a JSON schema", models.Extract, _extract),
    _single("summarise", "/summarise", "The same as /summaries", models.Summarise, _summarise),
    _single("classify", "/classify", "The same as /classifications", models.Classify, _classify),
    _of_task("getTaskResult", "/tasks/<task_id>/result", "What came of a document", models.DocumentResult, _result),
    _of_task("getTaskProgress", "/tasks/<task_id>/progress", "How far a document is", models.DocumentProgress, _progress),
    _of_task("getResult", "/result/<task_id>", "The same as /tasks/{task_id}/result", models.DocumentResult, _result),
    _of_task("getProgress", "/progress/<task_id>", "How far a document or a batch is", models.DocumentProgress, _progress),
    Operation(
        "makeBatch", "POST", "/batches", "documents", "The same work on many documents", models.MakeBatch, models.BatchQueued, 202,
        _make_batch, (409,), takes_key=True, takes_files=True, largest_body_bytes=LARGEST_BATCH_BODY_BYTES,
    ),
    Operation("getBatch", "GET", "/batches/<batch_id>", "documents", "How a batch stands", None, models.Batch, 200, _batch, _GONE),
    Operation(
        "getBatchResults", "GET", "/batches/<batch_id>/results", "documents", "What came of a batch's items so far, as lines or as a table",
        models.Results, models.DocumentResult, 200, _results, _GONE, media=(document_results.JSON_LINES, document_results.CSV),
    ),
    _change("pause", "Stop working on a batch, at once", documents.pause),
    _change("resume", "Go on with a batch that is paused", documents.resume),
    _change("cancel", "Give up what is left of a batch, at once", documents.cancel),
    _change("retry", "Try the failed items of a batch again", documents.retry),
]  # fmt: skip
