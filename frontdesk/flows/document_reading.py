"""Files become texts before the model sees them: PDF, DOCX and HTML are read in `bulk`, away from the model and the web."""

import logging
import tempfile
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

from frontdesk.flows import document_ends, documents, extraction
from frontdesk.flows.context import Context
from frontdesk.flows.document_prompts import measure
from frontdesk.flows.extraction import Section, Unreadable
from frontdesk.store import document_files, documents as tasks
from frontdesk.store.database import transaction
from frontdesk.store.document_files import File

log = logging.getLogger(__name__)

# Broadcasts and media want their turn in `bulk`.
TURN_SECONDS = 20

DEADLINE_SECONDS = 60
LEASE_SECONDS = DEADLINE_SECONDS + 30
MOST_ATTEMPTS = 3


def read_all(context: Context) -> None:
    """Read what is due, one after the other, for about TURN_SECONDS; then ring for the rest."""
    context.queues.silence_document_files()
    ends_at = time.monotonic() + TURN_SECONDS
    rung = False
    while not context.stopping.is_set():
        file = _claim(context)
        if file is None:
            return
        if not rung:
            context.queues.document_files()  # a successor, and another worker beside this one
            rung = True
        _read(context, file)
        if time.monotonic() > ends_at:
            break
    context.queues.document_files()


def is_due(context: Context) -> bool:
    return document_files.is_due(context.db, context.now(), LEASE_SECONDS)


def _claim(context: Context) -> File | None:
    with transaction(context.db) as db:
        return document_files.claim(db, uuid.uuid4().hex, context.now(), LEASE_SECONDS)


def _read(context: Context, file: File) -> None:
    if file.attempts > MOST_ATTEMPTS:
        _fail(context, file, "The process that read it died each time.")
        return
    try:
        with tempfile.NamedTemporaryFile(prefix="frontdesk.") as copy:
            copy.write(file.data)
            copy.flush()
            found = extraction.extract(Path(copy.name), file.kind, deadline_seconds=DEADLINE_SECONDS)
    except Unreadable as error:
        _fail(context, file, f"It cannot be read: {error}.")
        return
    except Exception:  # a fault of ours must not be tried again for ever
        log.exception("the file of document %s could not be read", file.task_id)
        _fail(context, file, "A fault in Frontdesk: its log says more.")
        return
    _keep(context, file, _as_text(found.sections))


def _as_text(sections: Iterable[Section]) -> str:
    """With its headings as Markdown has them, so that the parts of a long one keep theirs."""
    lines: list[str] = []
    before: tuple[str, ...] = ()
    for section in sections:
        same = next((n for n, (a, b) in enumerate(zip(before, section.headings)) if a != b), min(len(before), len(section.headings)))
        lines += [f"{'#' * min(6, level)} {' '.join(words.split())}" for level, words in enumerate(section.headings, 1) if level > same]
        lines.append(section.text)
        before = section.headings
    return "\n\n".join(lines)


def _keep(context: Context, file: File, text: str) -> None:
    task = tasks.by_id(context.db, file.task_id)
    if documents.is_too_large(text):
        _fail(context, file, documents.TOO_LARGE)
        return
    size = measure(task.kind, task.options, text, context.settings)
    with transaction(context.db) as db:
        if not document_files.take_out(db, file):
            return
        tasks.keep_texts(db, [(file.task_id, text)])
        document_files.keep_size(db, file.task_id, size.part_bytes, size.parts_total, context.now())
    with context.ringing():
        context.queues.documents()


def _fail(context: Context, file: File, why: str) -> None:
    kept_until = context.now() + context.settings.document_kept_hours * 3600

    def end(db) -> bool:
        return document_files.take_out(db, file) and document_files.fail(db, file.task_id, why, context.now(), kept_until)

    document_ends.ending(context, file.task_id, end)
