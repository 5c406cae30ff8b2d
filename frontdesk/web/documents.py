"""Documents on the desk: hand files over, watch the work, read what came of them, take it along. For owners."""

import json

from flask import Blueprint, Response, abort, render_template, request

from frontdesk import strict_json
from frontdesk.fetch import LONGEST_URL
from frontdesk.flows import document_files, document_results, documents
from frontdesk.flows.refusals import Refused
from frontdesk.flows.context import Context
from frontdesk.flows.document_prompts import BULLETS, CATEGORIES
from frontdesk.flows.documents import Asker, Document
from frontdesk.store import clients, document_batches
from frontdesk.store.document_batches import Batch
from frontdesk.web import access, errors, uploads
from frontdesk.web.forms import Form
from frontdesk.web.inbox import if_changed
from frontdesk.web.pages import flash, see_other

LARGEST_UPLOAD_BYTES = 24 * 1024 * 1024
LARGEST_PASTE_BYTES = 4 * 1024 * 1024
TOO_LARGE = f"Files may have {LARGEST_UPLOAD_BYTES // 2**20} MB together. Hand them over in several batches."
PAGE, RESULTS_PAGE = 30, 50

KINDS = {"summary": "Summarise", "classification": "Classify", "extraction": "Extract"}
TITLES = {"summary": "Summaries", "classification": "Classifications", "extraction": "Extractions"}
CHANGES = {"pause": documents.pause, "resume": documents.resume, "cancel": documents.cancel, "retry": documents.retry}
SCHEMA = json.dumps(
    {"type": "object", "properties": {"number": {"type": "string"}, "total": {"type": ["number", "null"]}}, "required": ["number", "total"]}, indent=2
)

# Fields of the API that have another name in the form.
FIELDS = {"texts": "text", "column": "column"}


def document_pages(context: Context) -> Blueprint:
    pages = Blueprint("documents", __name__)
    uploads.take(pages, ("documents.hand_over",), upload_bytes=LARGEST_UPLOAD_BYTES, typed_bytes=LARGEST_PASTE_BYTES, too_large=TOO_LARGE)
    access.protect(pages, role=access.OWNER)

    @pages.errorhandler(Refused)
    def refused(error: Refused):
        return errors.shown(error.status, str(error))

    @pages.get("/documents")
    def all_documents():
        return _list(context, _empty())

    @pages.post("/documents")
    def hand_over():
        form = _empty()
        kind = form.choice("kind", tuple(KINDS))
        options = _options(form, kind)
        client = form.choice("client", ("", *(str(id_) for id_, _ in clients.names(context.db))))
        url = form.words("callback_url", "The address", LONGEST_URL, required=False) or None
        items = _given(form)
        if form:
            try:
                asker = Asker(int(client) if client else None)
                batch_id = documents.ask_for_many(context, asker, kind, options, items, callback_url=url)
                return see_other(".batch", batch_id=batch_id)
            except Refused as error:
                form.wrong(FIELDS.get(error.field, error.field) or "text", str(error))
        return _list(context, form), 422

    @pages.get("/documents/<batch_id>")
    def batch(batch_id: str):
        return render_template("desk/document_batch.html", **_standing(context, batch_id), known="")

    @pages.get("/documents/<batch_id>/standing")
    def standing(batch_id: str):
        return if_changed("desk/_document_batch.html", **_standing(context, batch_id))

    @pages.post("/documents/<batch_id>/<change>")
    def change(batch_id: str, change: str):
        if change not in CHANGES:
            abort(404)
        count = CHANGES[change](context, documents.find_batch(context, None, batch_id))
        if not count:
            flash("There was nothing left to change.", "warning")
        return see_other(".batch", batch_id=batch_id)

    @pages.get("/documents/<batch_id>/results.<form>")
    def results(batch_id: str, form: str):
        if form not in ("csv", "jsonl"):
            abort(404)
        found = documents.find_batch(context, None, batch_id)
        tasks = document_batches.results(context.db, found.id, after=0, limit=documents.MOST_ITEMS)
        body = document_results.as_csv(found, tasks) if form == "csv" else document_results.as_lines(tasks)
        media = document_results.CSV if form == "csv" else document_results.JSON_LINES
        return Response(body, mimetype=media, headers={"Content-Disposition": f"attachment; filename={found.public_id}.{form}"})

    return pages


def _empty() -> Form:
    return Form(kind="summary", client="", bullets=str(BULLETS), categories="\n".join(CATEGORIES), schema=SCHEMA)


def _list(context: Context, form: Form) -> str:
    found = document_batches.newest(context.db, before=request.args.get("before", type=int), limit=PAGE + 1)
    return render_template(
        "desk/documents.html",
        form=form,
        kinds=KINDS,
        batches=[(batch, counts, documents.status_of(counts)) for batch, counts in found[:PAGE]],
        older=found[PAGE - 1][0].id if len(found) > PAGE else None,
        names=dict(clients.names(context.db)),
    )


def _options(form: Form, kind: str) -> dict:
    """Of the kind that is chosen; the fields of the others are kept as they are typed."""
    categories = [line.strip() for line in form.words("categories", "Categories", 6000, required=False).split("\n") if line.strip()]
    schema = form.words("schema", "The schema", 40_000, required=False)
    bullets = form.number("bullets", "The number of points", 1, 10)
    if kind == "summary":
        return {"bullets": int(bullets or BULLETS)}
    if kind == "classification":
        if not 2 <= len(categories) <= 50 or max(map(len, categories)) > 100:
            form.wrong("categories", "Write 2 to 50 categories, one on each line, of at most 100 characters.")
        return {"categories": categories}
    try:
        found = strict_json.loads(schema)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        form.wrong("schema", "This is not JSON, or not an object.")
    return {"schema": found}


def _given(form: Form) -> list[Document]:
    """Files, or what was pasted."""
    text = form.words("text", "The text", documents.LARGEST_TEXT_BYTES, required=False)
    column = form.values["column"] = request.form.get("column", "").strip()
    uploaded = request.files.getlist("file") + [file for file in request.files.getlist("folder") if not document_files.is_skipped(file.filename)]
    files = [(file.filename, file.stream) for file in uploaded if file.filename]
    if bool(files) == bool(text):
        form.wrong("text", "Choose files, or paste a text." if not files else "Either files or a text: take one of them away.")
        return []
    if text:
        return [Document(text, "pasted")]
    try:
        return document_files.read_all(files, column or None, None)
    except Refused as error:
        form.wrong(FIELDS.get(error.field, "text"), str(error))
        return []


def _standing(context: Context, batch_id: str) -> dict:
    batch: Batch = documents.find_batch(context, None, batch_id)
    counts = document_batches.counts(context.db, batch.id)
    after = request.args.get("after", 0, type=int)
    tasks = document_batches.results(context.db, batch.id, after=after, limit=RESULTS_PAGE + 1)
    return {
        "batch": batch,
        "title": TITLES[batch.kind],
        "counts": counts,
        "status": documents.status_of(counts),
        "progress": documents.progress_of_batch(context, batch),
        "columns": document_results.columns_of(batch),
        "tasks": tasks[:RESULTS_PAGE],
        "after": after,
        "following": tasks[RESULTS_PAGE - 1].position if len(tasks) > RESULTS_PAGE else None,
        "client": dict(clients.names(context.db)).get(batch.client_id, "all clients"),
    }
