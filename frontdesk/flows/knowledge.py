"""Documents on their way into the indexes and out of them: kept, read, parted into chunks, found, taken out.

`read_document` brings one document to what people want of it, in steps that each end in a commit; killed anywhere, the next run
goes on from there. Its vectors come afterwards (embedding.py): words find it at once.
"""

import hashlib
import logging
import os
import sqlite3
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from frontdesk import fetch as fetching
from frontdesk.errors import FetchError
from frontdesk.flows import chunking, extraction
from frontdesk.flows.context import Context
from frontdesk.flows.extraction import Section, Unreadable
from frontdesk.store import audit, knowledge, passages
from frontdesk.store.database import transaction
from frontdesk.store.knowledge import Document

log = logging.getLogger(__name__)

BATCH_CHUNKS = 100  # in one transaction, some 30 ms in which nobody else writes
PROGRESS_EVERY_SECONDS = 1
LONGEST_NAME = 120
FETCH_SECONDS = 60
CONTENT_TYPES = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/plain": "text",
    "text/markdown": "markdown",
    "text/csv": "questions",
    "application/pdf": "pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
}


class Stopping(Exception):
    """This process was asked to end, or somebody else has the document now."""


def add(
    context: Context, client_id: int, name: str, content: bytes, *, kind: str | None = None, url: str | None = None,
    replaces: int | None = None,
) -> int:  # fmt: skip
    """Keep a document and have it read. `kind`: as extraction.KINDS has it, by the name if None. Raises Unreadable."""
    kind = kind or extraction.kind_of(name)
    name = " ".join(_title(name).split())[:LONGEST_NAME] or "Untitled"
    if not content.strip():
        raise Unreadable("it is empty")
    if len(content) > extraction.LARGEST_FILE_BYTES:
        raise Unreadable(f"it has more than {extraction.LARGEST_FILE_BYTES // 2**20} MB: split it or leave pictures out")
    sha256 = keep_file(context, content)
    with transaction(context.db) as db:
        before = knowledge.get(db, replaces) if replaces else None
        document_id = knowledge.add(
            db, client_id, name=name, kind=kind, sha256=sha256, size_bytes=len(content), url=url, replaces=before, now=context.now()
        )
        _record(db, "replaced" if before else "added", document_id, context.now(), name=name, client_id=client_id)
    ring(context, document_id)
    return document_id


def add_page(context: Context, client_id: int, url: str, *, replaces: int | None = None) -> int:
    """A page of the web, fetched when it is read. Raises FetchRefused for an address that is none."""
    fetching.check(url)
    parts = urlsplit(url)
    with transaction(context.db) as db:
        before = knowledge.get(db, replaces) if replaces else None
        name = " ".join(f"{parts.hostname}{parts.path.rstrip('/')}".split())[:LONGEST_NAME]
        document_id = knowledge.add(
            db, client_id, name=name, kind="page", sha256="", size_bytes=0, url=url, replaces=before, now=context.now()
        )
        _record(db, "replaced" if before else "added", document_id, context.now(), name=name, client_id=client_id)
    ring(context, document_id)
    return document_id


def switch(context: Context, document_id: int, active: bool) -> None:
    with transaction(context.db) as db:
        knowledge.switch(db, document_id, active, context.now())
        _record(db, "switched", document_id, context.now(), on=active)
    ring(context, document_id)


def remove(context: Context, document_id: int) -> None:
    with transaction(context.db) as db:
        knowledge.remove(db, document_id, context.now())
        _record(db, "removed", document_id, context.now())
    ring(context, document_id)


def read_again(context: Context, document_id: int) -> None:
    """After a failure; of a page, what stands there now."""
    with transaction(context.db) as db:
        knowledge.read_again(db, document_id, context.now())
        _record(db, "read_again", document_id, context.now())
    ring(context, document_id)


def _record(db: sqlite3.Connection, what: str, document_id: int, now: float, **details) -> None:
    audit.record(db, f"knowledge.{what}", f"knowledge {document_id}", now, **details)


def ring(context: Context, document_id: int) -> None:
    with context.ringing():
        context.queues.read_document(document_id)


def file_of(context: Context, sha256: str) -> Path:
    return context.settings.data_dir / "knowledge" / sha256


def _title(name: str) -> str:
    path = Path(name.replace("\\", "/"))
    return path.stem if path.suffix.lower() in extraction.KINDS else name


def keep_file(context: Context, content: bytes) -> str:
    """Whole or not at all, and before its row: a row without a file could not be read."""
    sha256 = hashlib.sha256(content).hexdigest()
    path = file_of(context, sha256)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        descriptor, draft = tempfile.mkstemp(prefix="draft.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    return sha256


# --- the job -------------------------------------------------------------------------------------------------------------------


def read_document(context: Context, document_id: int) -> None:
    """`bulk`: whatever is to be done with this document."""
    try:
        with claimed(context, document_id) as document:
            if document and not document.settled:
                _bring_to_rest(context, document)
    except Stopping:
        log.info("document %s is left to the next run", document_id)
        return
    document = knowledge.get(context.db, document_id)
    if document and document.live:
        context.queues.index_document(document_id)
        for older in knowledge.versions_to_take_out(context.db, document_id):
            context.queues.read_document(older)


def _bring_to_rest(context: Context, document: Document) -> None:
    if document.wanted and document.state == "new" and not _read(context, document):
        return
    if document.wanted:
        _put_in(context, document)
        return
    _take_out(context, document)
    if document.removed_at is None:
        with transaction(context.db) as db:
            now = knowledge.get(db, document.id)
            if not now.wanted and now.removed_at is None:
                knowledge.settle(db, document.id)
        return
    knowledge.forget(context.db, document.id)
    if document.sha256 and not knowledge.file_is_used(context.db, document.sha256):
        file_of(context, document.sha256).unlink(missing_ok=True)


def _read(context: Context, document: Document) -> bool:
    told_at = time.monotonic()

    def when_read(done: int, of: int) -> None:
        nonlocal told_at
        if context.stopping.is_set():
            raise Stopping
        if done == of or time.monotonic() - told_at >= PROGRESS_EVERY_SECONDS:
            told_at = time.monotonic()
            knowledge.progress(context.db, document.id, done, of)

    try:
        if not document.sha256:
            document = _fetch(context, document)
        found = extraction.extract(file_of(context, document.sha256), document.kind, when_read=when_read)
    except FetchError as error:
        knowledge.fail(context.db, document.id, f"the page could not be fetched: {error}", context.now())
        return False
    except FileNotFoundError:
        knowledge.fail(context.db, document.id, "its file is no longer there; add it again", context.now())
        return False
    except Unreadable as error:
        knowledge.fail(context.db, document.id, str(error), context.now())
        return False
    sections = ((section.headings, section.page, section.text) for section in found.sections)
    with transaction(context.db) as db:
        knowledge.keep_text(db, document.id, sections, found.notes, context.now())
    return True


def _fetch(context: Context, document: Document) -> Document:
    """What is at the document's address becomes its file. Raises FetchError, Unreadable."""
    kind, content = page_at(context, document.url)
    sha256 = keep_file(context, content)
    knowledge.fetched(context.db, document.id, kind, sha256, len(content))
    return knowledge.get(context.db, document.id)


def page_at(context: Context, url: str) -> tuple[str, bytes]:
    """Its kind and contents. Raises FetchError, Unreadable."""
    with tempfile.TemporaryFile() as file:
        fetched = fetching.fetch(
            url, file, most_bytes=extraction.LARGEST_FILE_BYTES, timeout_seconds=FETCH_SECONDS,
            allow_private=context.settings.fetch_private_addresses,
        )  # fmt: skip
        file.seek(0)
        content = file.read()
    if not content.strip():
        raise Unreadable("it is empty")
    kind = CONTENT_TYPES.get(fetched.content_type.partition(";")[0].strip().lower()) or extraction.kind_of(fetched.filename or "page")
    return kind, content


def _put_in(context: Context, document: Document) -> None:
    """In batches, from where the last run got to; searches find it when all of it is in."""
    db = context.db
    sections = [Section(*section) for section in knowledge.sections(db, document.id)]
    chunks = chunking.chunks(sections)
    for start in range(passages.count(db, document.id), len(chunks), BATCH_CHUNKS):
        if context.stopping.is_set():
            raise Stopping
        batch = [_new_chunk(document.name, chunk) for chunk in chunks[start : start + BATCH_CHUNKS]]
        with transaction(db):
            passages.add(db, document.client_id, document.id, batch)
    with transaction(db):
        now = knowledge.get(db, document.id)
        if now and now.wanted:
            knowledge.now_found(db, now, context.now())


def _new_chunk(name: str, chunk: chunking.Chunk) -> passages.NewChunk:
    told = chunking.told(name, chunk.headings, chunk.text)
    return passages.NewChunk(chunk.position, chunk.headings, chunk.page, chunk.text, told, chunking.digest(told))


def _take_out(context: Context, document: Document) -> None:
    def told(headings: tuple[str, ...], text: str) -> str:
        return chunking.told(document.name, headings, text)

    taken = BATCH_CHUNKS
    while taken == BATCH_CHUNKS:
        if context.stopping.is_set():
            raise Stopping
        with transaction(context.db) as db:
            taken = passages.take_out(db, document.id, BATCH_CHUNKS, told)


# --- whose it is ---------------------------------------------------------------------------------------------------------------


@contextmanager
def claimed(context: Context, document_id: int) -> Iterator[Document | None]:
    """The document for this process alone, None if another one has it; the claim is renewed for as long as this lasts."""
    owner, lease_seconds = uuid.uuid4().hex, context.settings.lease_seconds
    document = knowledge.claim(context.db, document_id, owner, context.now(), lease_seconds)
    if document is None:
        yield None
        return
    over = threading.Event()

    def keep_renewing() -> None:
        while not over.wait(lease_seconds / 3):
            knowledge.renew(context.db, document_id, owner, context.now(), lease_seconds)

    renewing = threading.Thread(target=keep_renewing, name="claim", daemon=True)
    renewing.start()
    try:
        yield document
    finally:
        over.set()
        renewing.join()
        knowledge.release(context.db, document_id, owner)


def sweep(context: Context) -> None:
    """Rings again for documents that something is to be done with and that nobody carries."""
    now, lease_seconds = context.now(), context.settings.lease_seconds
    for document_id in knowledge.unsettled(context.db, now, lease_seconds):
        context.queues.read_document(document_id)


