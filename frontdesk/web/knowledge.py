"""Knowledge on the desk: what a business's documents say, and how far they are on their way into the searches. For owners."""

from flask import Blueprint, abort, render_template, request

from frontdesk.errors import FetchError
from frontdesk.fetch import LONGEST_URL
from frontdesk.flows import extraction, knowledge as flow, reindexing, retrieval
from frontdesk.flows.context import Context
from frontdesk.flows.extraction import Unreadable
from frontdesk.store import clients, embeddings, knowledge, knowledge_pages as web_pages, questions, vectors
from frontdesk.web import access, uploads
from frontdesk.web.forms import Form
from frontdesk.web.pages import flash, see_other

LONGEST_TEXT = 200_000  # typed into the page; more is a file
LARGEST_UPLOAD_BYTES = 4 * extraction.LARGEST_FILE_BYTES
MOST_FILES = 50
SECTIONS_SHOWN = 40
MOST_COUNTED = 100
UPLOADS = ("knowledge.add", "knowledge.replace")
TOO_LARGE = f"Files may have {LARGEST_UPLOAD_BYTES // 2**20} MB together. Add them a few at a time."


def knowledge_pages(context: Context) -> Blueprint:
    pages = Blueprint("knowledge", __name__)
    uploads.take(pages, UPLOADS, upload_bytes=LARGEST_UPLOAD_BYTES, typed_bytes=8 * LONGEST_TEXT, too_large=TOO_LARGE)
    access.protect(pages, role=access.OWNER)

    @pages.get("/knowledge")
    def all_knowledge():
        return _list(context, chosen_client(context, request.args.get("client")), Form())

    @pages.post("/knowledge/of/<int:client_id>")
    def add(client_id: int):
        client_id = chosen_client(context, str(client_id))
        form = Form()
        added = _add(context, client_id, form)
        if not form:
            return _list(context, client_id, form), 422
        flash(f"{added} {'is' if added == 1 else 'are'} being read." if added > 1 else "It is being read.", "success")
        return see_other(".all_knowledge", client=client_id)

    @pages.get("/knowledge/<int:document_id>")
    def one(document_id: int):
        return _document(context, _known(context, document_id), Form())

    @pages.post("/knowledge/<int:document_id>/replace")
    def replace(document_id: int):
        document, form, file = _known(context, document_id), Form(), request.files.get("file")
        if not file or not file.filename:
            form.wrong("file", "Choose the file that takes its place.")
        else:
            _adding(form, "file", lambda: flow.add(context, document.client_id, file.filename, file.read(), replaces=document.id))
        if not form:
            return _document(context, document, form), 422
        flash("The new version is being read. Until it is found, the old one goes on serving.", "success")
        return see_other(".all_knowledge", client=document.client_id)

    @pages.post("/knowledge/<int:document_id>/switch")
    def switch(document_id: int):
        document = _known(context, document_id)
        flow.switch(context, document.id, not document.active)
        return see_other(".one", document_id=document_id)

    @pages.post("/knowledge/<int:document_id>/again")
    def read_again(document_id: int):
        flow.read_again(context, _known(context, document_id).id)
        return see_other(".one", document_id=document_id)

    @pages.post("/knowledge/<int:document_id>/check")
    def check_page(document_id: int):
        reindexing.look_now(context, _known(context, document_id))
        flash("Its address is being looked at. If it says something else by now, that becomes a new version.", "success")
        return see_other(".one", document_id=document_id)

    @pages.post("/knowledge/<int:document_id>/remove")
    def remove(document_id: int):
        document = _known(context, document_id)
        flow.remove(context, document.id)
        flash(f"“{document.name}” is removed. No answer uses it any more.", "success")
        return see_other(".all_knowledge", client=document.client_id)

    return pages


def chosen_client(context: Context, given: str | None) -> int:
    """The client asked for; the first one if none is."""
    known = [id_ for id_, _ in clients.names(context.db)]
    if given is None and known:
        return known[0]
    if not known or given not in map(str, known):
        abort(404, "There is no such client.")
    return int(given)


def _known(context: Context, document_id: int) -> knowledge.Document:
    document = knowledge.get(context.db, document_id)
    if document is None or document.removed_at is not None:
        abort(404, "This document is not there, or no longer.")
    return document


def _add(context: Context, client_id: int, form: Form) -> int:
    if any(request.files.getlist("file")):
        return _add_files(context, client_id, form)
    return _add_page(context, client_id, form) if "url" in request.form else _add_text(context, client_id, form)


def _add_page(context: Context, client_id: int, form: Form) -> int:
    url = form.text("url", "The address", LONGEST_URL)
    if form:
        try:
            flow.add_page(context, client_id, url)
        except FetchError as error:
            form.wrong("url", f"{str(error)[:1].upper()}{str(error)[1:]}.")
    return 1


def _add_files(context: Context, client_id: int, form: Form) -> int:
    files = [file for file in request.files.getlist("file") if file.filename]
    if len(files) > MOST_FILES:
        form.wrong("file", f"These are {len(files)} files; {MOST_FILES} at a time is the most.")
        return 0
    for file in files:
        _adding(form, "file", lambda file=file: flow.add(context, client_id, file.filename, file.read()), file.filename)
    return len(files)


def _add_text(context: Context, client_id: int, form: Form) -> int:
    name = form.text("name", "A name")
    text = form.words("text", "The text", LONGEST_TEXT)
    if form:
        content = text.encode("utf-8", "surrogatepass")
        _adding(form, "text", lambda: flow.add(context, client_id, name, content, kind="markdown"))
    return 1


def _adding(form: Form, field: str, add, name: str = "") -> None:
    try:
        add()
    except Unreadable as error:
        form.wrong(field, f"{name}: {error}." if name else f"{str(error)[:1].upper()}{str(error)[1:]}.")


def _list(context: Context, client_id: int, form: Form) -> str:
    query = request.args.get("q", "").strip()
    found = found_by_words(context, client_id, query) if query else []
    return render_template(
        "desk/knowledge.html", client_id=client_id, names=clients.names(context.db), form=form, query=query, found=found,
        documents=[(each, _standing(context, each)) for each in knowledge.of_client(context.db, client_id)],
        meaning=_meaning(context), kinds=",".join(extraction.KINDS), gone=web_pages.gone(context.db, client_id),
        unanswered=questions.count_open(context.db, client_id, MOST_COUNTED),
    )  # fmt: skip


def found_by_words(context: Context, client_id: int, query: str) -> list[retrieval.Passage]:
    """By words alone: this process asks no model."""
    scores: dict[int, float] = {}
    retrieval.rank(context.db, client_id, query[: retrieval.LONGEST_QUERY], scores, {})
    return retrieval.best(context.db, scores, {}, retrieval.SHOWN)


def _document(context: Context, document: knowledge.Document, form: Form) -> str:
    start = max(0, request.args.get("from", 0, type=int))
    sections = knowledge.sections(context.db, document.id, start, SECTIONS_SHOWN + 1)
    return render_template(
        "desk/knowledge_document.html", document=document, standing=_standing(context, document), form=form,
        sections=sections[:SECTIONS_SHOWN], start=start, more=start + SECTIONS_SHOWN if len(sections) > SECTIONS_SHOWN else None,
        before=max(0, start - SECTIONS_SHOWN) if start else None, client=dict(clients.names(context.db))[document.client_id],
        kinds=",".join(extraction.KINDS), meaning=_meaning(context), page=web_pages.get(context.db, document.id),
    )  # fmt: skip


def _standing(context: Context, document: knowledge.Document) -> tuple[str, str, bool]:
    """A badge's kind, its words, and whether that will change of itself."""
    if document.state == "failed":
        return "danger", "cannot be read", False
    if not document.active:
        return "plain", "switched off", False
    if document.state == "new":
        done = f", page {document.pages_read} of {document.pages}" if document.pages else ""
        return "accent", f"being read{done}", True
    if not document.live:
        return "accent", "being put in", True
    model = embeddings.model(context.db, context.settings.embed_model) if context.settings.embed_model else None
    if model is None or model.away_reason or document.embedded_by == model.id:
        return "success", "found", False
    return "accent", "found by its words, meaning follows", True


def _meaning(context: Context) -> str:
    """Why searches go by words alone; '' where they do not."""
    name = context.settings.embed_model
    if name is None:
        return "Documents are found by their words alone: OLLAMA_EMBED_MODEL is none."
    if not vectors.available(context.db):
        return "Documents are found by their words alone: this Python's SQLite cannot load sqlite-vec."
    model = embeddings.model(context.db, name)
    return f"Documents are found by their words alone for now: {model.away_reason}." if model.away_reason else ""
