"""Documents that a program has summarised, classified or extracted: one, or a batch of them. What works on them: document_work.py."""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from frontdesk.flows import callbacks, document_ends
from frontdesk.flows.refusals import Refused
from frontdesk.flows.context import Context
from frontdesk.flows.document_prompts import Size, measure
from frontdesk.flows.structured import BadSchema, check_schema
from frontdesk.store import api_tokens, audit, document_batches, document_files, documents, retention
from frontdesk.store.database import transaction
from frontdesk.store.document_batches import Batch
from frontdesk.store.documents import NewTask, Task

LARGEST_TEXT_BYTES = 2_000_000
LARGEST_BATCH_BYTES = 24_000_000
MOST_ITEMS = 10_000

EMPTY, TOO_LARGE = "The text is empty.", f"A text has at most {LARGEST_TEXT_BYTES} bytes."

# That something was here is told so long after it went.
TOLD_SECONDS = 90 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose it will be (None: every client's), and by which token it was asked for (None: on the desk)."""

    client_id: int | None = None
    token_id: int | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """`name`: the sender's own word for it. `error`: why its text could not be had; then `text` is ''.

    `file_kind`: what `data` is, where the text must be read out of it first (flows/extraction); '' where `text` is all there is.
    """

    text: str
    name: str = ""
    error: str | None = None
    file_kind: str = ""
    data: bytes = field(default=b"", repr=False)


def ask(
    context: Context, asker: Asker, kind: str, options: dict, document: Document, key: str | None = None, callback_url: str | None = None
) -> str:
    """The task's id. The same `key` (of a token) with the same request gives the same id. Raises Refused.

    `callback_url`: told when it is done or failed, as in ask_for_many() when the batch is done or cancelled.
    """
    callbacks.check(context, callback_url)
    _check_options(kind, options)
    if document.error:
        raise Refused(422, "invalid", document.error, "file")
    if is_too_large(document.text):
        raise Refused(413, "too_large", TOO_LARGE, "text")
    if not document.file_kind and _is_empty(document.text):
        raise Refused(422, "invalid", EMPTY, "text")
    new = _new(context, kind, options, document)

    def add(db: sqlite3.Connection) -> str:
        given = {"client_id": asker.client_id, "token_id": asker.token_id, "callback_url": callback_url}
        return documents.add(db, kind, options, new, now=context.now(), **given)

    return _once(context, asker, key, _asked(kind, options, document, callback_url), add)


def ask_for_many(
    context: Context, asker: Asker, kind: str, options: dict, items: Sequence[Document], key: str | None = None, callback_url: str | None = None
) -> str:
    """The batch's id; an item that nothing can be done with is there as failed. Raises Refused."""
    callbacks.check(context, callback_url)
    _check_options(kind, options)
    if not items:
        raise Refused(422, "invalid", "A batch has at least one document.", "texts")
    if len(items) > MOST_ITEMS:
        raise Refused(422, "invalid", f"A batch has at most {MOST_ITEMS} documents, this one has {len(items)}.", "texts")
    if sum(len(item.text) + len(item.data) for item in items) > LARGEST_BATCH_BYTES:
        raise Refused(413, "too_large", f"A batch has at most {LARGEST_BATCH_BYTES} bytes.", "texts")
    new = [_new_item(context, kind, options, item) for item in items]
    now = context.now()

    def add(db: sqlite3.Connection) -> str:
        expires_at = now + context.settings.batch_kept_days * 24 * 3600
        given = {"client_id": asker.client_id, "token_id": asker.token_id, "now": now, "expires_at": expires_at}
        batch_id, public_id = document_batches.add(db, kind, options, new, callback_url=callback_url, **given)
        document_ends.batch_over(context, db, batch_id)  # where nothing can be done with any item
        audit.record(db, "documents.given", f"batch {public_id}", now, kind=kind, documents=len(new), client_id=asker.client_id)
        return public_id

    return _once(context, asker, key, _asked(kind, options, list(items), callback_url), add)


def _asked(kind: str, options: dict, given: Any, callback_url: str | None) -> Sequence[Any]:
    return (kind, options, given, callback_url) if callback_url else (kind, options, given)


def _check_options(kind: str, options: dict) -> None:
    categories = options.get("categories")
    if categories is not None and len({category.casefold() for category in categories}) < len(categories):
        raise Refused(422, "invalid", "A category is named twice.", "categories")
    if kind == "extraction":
        try:
            check_schema(options["schema"])
        except BadSchema as error:
            raise Refused(422, "invalid_schema", f"This is no schema to extract by: {error}.", "schema") from None


def _is_empty(text: str) -> bool:
    return not any(character.isprintable() and not character.isspace() for character in text)


def is_too_large(text: str) -> bool:
    return len(text) > LARGEST_TEXT_BYTES or len(text.encode("utf-8", "replace")) > LARGEST_TEXT_BYTES


def _measured(context: Context, kind: str, options: dict, text: str) -> Size:
    try:
        return measure(kind, options, text, context.settings)
    except ValueError:
        words = "The schema or the categories leave no room for a document in the model's context (OLLAMA_NUM_CTX)."
        raise Refused(422, "invalid", words, "schema" if kind == "extraction" else "categories") from None


def _new_item(context: Context, kind: str, options: dict, item: Document) -> NewTask:
    why = item.error or (not item.file_kind and _is_empty(item.text) and EMPTY) or (is_too_large(item.text) and TOO_LARGE)
    return NewTask("", 0, 0, item.name, why) if why else _new(context, kind, options, item)


def _new(context: Context, kind: str, options: dict, document: Document) -> NewTask:
    """A file has no parts before it is read."""
    size = _measured(context, kind, options, document.text)
    if document.file_kind:
        return NewTask("", 0, 0, document.name, file=(document.file_kind, document.data))
    return NewTask(document.text, size.part_bytes, size.parts_total, document.name)


def _once(context: Context, asker: Asker, key: str | None, asked: Sequence[Any], add: Callable[[sqlite3.Connection], str]) -> str:
    digest = _digest(asked) if key else ""
    with transaction(context.db) as db:
        if key and (known := api_tokens.answered(db, asker.token_id, key)):
            if known[0] != digest:
                raise Refused(409, "idempotency_conflict", "This Idempotency-Key was used for another request.")
            return json.loads(known[2])
        id_ = add(db)
        if key:
            api_tokens.remember(db, asker.token_id, key, digest, 202, json.dumps(id_), context.now())
    _ring(context)
    return id_


def _ring(context: Context) -> None:
    with context.ringing():
        context.queues.documents()
        if document_files.is_waiting(context.db):
            context.queues.document_files()


def _digest(asked: Sequence[Any]) -> str:
    """Piece by piece: a batch is large."""
    digest = hashlib.sha256()
    for one in asked:
        for piece in one if isinstance(one, list) else [one]:
            digest.update(repr(piece).encode("utf-8", "surrogatepass"))
            digest.update(getattr(piece, "data", b""))
    return digest.hexdigest()


# --- looking ----------------------------------------------------------------------------------------------------------------


def find_task(context: Context, client_id: int | None, public_id: str) -> Task | None:
    """`client_id` None: whosever it is. Raises Refused (410) for one that has expired."""
    task = documents.get(context.db, public_id, client_id=client_id)
    if task is not None and (task.state == "expired" or (task.expires_at is not None and task.expires_at <= context.now())):
        raise Refused(410, "expired", "This result has expired and was deleted.")
    return task


def find_batch(context: Context, client_id: int | None, public_id: str) -> Batch:
    """Raises Refused."""
    batch = document_batches.get(context.db, public_id, client_id=client_id)
    if batch is None:
        raise Refused(404, "not_found", "There is no such batch.")
    if batch.expired_at is not None or batch.expires_at <= context.now():
        raise Refused(410, "expired", "This batch has expired and was deleted.")
    return batch


@dataclass(frozen=True, slots=True)
class Progress:
    """`eta_seconds` None: nothing is known yet to judge by. Customers' answers go first and are not part of it."""

    current: int
    total: int
    eta_seconds: float | None


def progress_of_task(context: Context, task: Task) -> Progress:
    if task.state not in documents.UNFINISHED:
        return Progress(task.parts_done, max(task.parts_total, task.parts_done), 0.0)
    each = task.seconds / task.parts_done if task.parts_done else documents.usual_seconds(context.db, task.kind)
    total = max(task.parts_total, 1)  # a file that is still to be read
    left = total - task.parts_done
    return Progress(task.parts_done, total, None if each is None else each * left)


def progress_of_batch(context: Context, batch: Batch) -> Progress:
    """In items; the time is judged by parts."""
    counts = document_batches.counts(context.db, batch.id)
    unfinished = sum(counts[state] for state in documents.UNFINISHED)
    seconds, done, left = document_batches.seconds(context.db, batch.id)
    eta = 0.0 if not left else seconds / done * left if done else None
    return Progress(counts.total() - unfinished, counts.total(), eta)


def status_of(counts: Counter) -> str:
    """Of a batch, by its items': queued, working, paused, done (also where some failed) or cancelled."""
    if counts["paused"]:
        return "paused"
    if counts["queued"] or counts["working"]:
        return "working" if counts["working"] or counts["done"] else "queued"
    return "cancelled" if counts["cancelled"] else "done"


# --- batches ----------------------------------------------------------------------------------------------------------------


def pause(context: Context, batch: Batch) -> int:
    """How many items it concerned, as with the following. An inference under way is broken off."""
    with transaction(context.db) as db:
        return _changed(db, "pause", batch, document_batches.pause(db, batch.id), context.now())


def resume(context: Context, batch: Batch) -> int:
    with transaction(context.db) as db:
        count = _changed(db, "resume", batch, document_batches.resume(db, batch.id, context.now()), context.now())
    _ring(context)
    return count


def cancel(context: Context, batch: Batch) -> int:
    with transaction(context.db) as db:
        count = _changed(db, "cancel", batch, document_batches.cancel(db, batch.id, context.now()), context.now())
        callback_id = document_ends.batch_over(context, db, batch.id) if count else None
    document_ends.ring(context, callback_id)
    return count


def retry(context: Context, batch: Batch) -> int:
    with transaction(context.db) as db:
        count = _changed(db, "retry", batch, document_batches.retry_failed(db, batch.id, context.now()), context.now())
    _ring(context)
    return count


def _changed(db: sqlite3.Connection, how: str, batch: Batch, count: int, now: float) -> int:
    if count:
        audit.record(db, "documents.changed", f"batch {batch.public_id}", now, how=how, documents=count)
    return count


def expire(context: Context) -> None:
    """Nightly."""
    now = context.now()
    with transaction(context.db) as db:
        document_files.clean(db)
        for limit in retention.limits(db, context.settings):
            if limit.documents_days is not None:
                document_batches.keep_for(db, limit.client_id, limit.documents_days)
        documents.expire(db, now)
        document_batches.expire(db, now)
        documents.forget(db, now - TOLD_SECONDS)
        document_batches.forget(db, now - TOLD_SECONDS)
