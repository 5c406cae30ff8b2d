"""Documents from the web are looked at again every night: what says something else by now becomes a new version.

The old version serves until the new one is found, and for as long as its page cannot be read. One page of each host at a time.
"""

import hashlib
import logging
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from frontdesk.errors import FetchError, FetchFailed
from frontdesk.flows import embedding, extraction, knowledge as reading
from frontdesk.flows.context import Context
from frontdesk.flows.extraction import Unreadable
from frontdesk.queues import jittered
from frontdesk.store import knowledge, knowledge_pages as pages
from frontdesk.store.database import transaction
from frontdesk.store.knowledge import Document

log = logging.getLogger(__name__)

LEASE_SECONDS = reading.FETCH_SECONDS + extraction.DEADLINE_SECONDS + 60
AT_ONCE = 20  # pages in one round of the sweep, each of another host
TRIES, TRY_AGAIN_SECONDS = 3, 1800
OLD_VERSIONS_KEPT_SECONDS = 30 * 24 * 3600


def begin_night(context: Context) -> None:
    """All pages are to be looked at, those that never could be read are to be read; older versions of pages go."""
    db, now = context.db, context.now()
    with transaction(db):
        pages.want(db, [(id_, _host(url)) for id_, url in pages.serving(db)], now)
        for document_id in pages.unread(db):
            knowledge.read_again(db, document_id, now)
        for document_id in pages.outdated(db, now - OLD_VERSIONS_KEPT_SECONDS):
            knowledge.remove(db, document_id, now)
    with context.ringing():
        reading.sweep(context)
        embedding.sweep(context)
        embedding.begin_night(context)
        sweep(context)


def _host(url: str) -> str:
    return urlsplit(url).netloc.lower()


def look_now(context: Context, document: Document) -> None:
    """On a person's word."""
    if document.url is None or not document.live:
        return
    with transaction(context.db) as db:
        pages.want(db, [(document.id, _host(document.url))], context.now())
    with context.ringing():
        context.queues.check_page(document.id)


def sweep(context: Context) -> None:
    for document_id in pages.due(context.db, context.now(), AT_ONCE):
        context.queues.check_page(document_id)


def check_page(context: Context, document_id: int) -> None:
    """`bulk`: one page. Killed anywhere, it is looked at again; a new version is there whole or not at all."""
    db = context.db
    attempt = pages.claim(db, document_id, context.now(), LEASE_SECONDS)
    if attempt is None:
        return
    document = knowledge.get(db, document_id)
    if document is None or not pages.is_newest(db, document_id):
        pages.unchanged(db, document_id, context.now())
        return
    try:
        if attempt > TRIES:
            raise Unreadable("the process that read it died each time")
        _look(context, document)
    except FetchFailed as error:
        if attempt < TRIES:
            return pages.later(db, document_id, context.now() + jittered(TRY_AGAIN_SECONDS))
        _give_up(context, document, error)
    except (FetchError, Unreadable) as error:
        _give_up(context, document, error)


def _give_up(context: Context, document: Document, error: Exception) -> None:
    log.warning("the page of document %s cannot be read: %s", document.id, error)
    pages.give_up(context.db, document.id, str(error), context.now())


def _look(context: Context, document: Document) -> None:
    kind, content = reading.page_at(context, document.url)
    if hashlib.sha256(content).hexdigest() == document.sha256 or _says(content, kind) == knowledge.sections(context.db, document.id):
        pages.unchanged(context.db, document.id, context.now())
        return
    sha256 = reading.keep_file(context, content)
    with transaction(context.db) as db:
        now = context.now()
        if not pages.is_newest(db, document.id):  # a person gave another one meanwhile
            pages.unchanged(db, document.id, now)
            return
        newer = knowledge.add(
            db, document.client_id, name=document.name, kind=kind, sha256=sha256, size_bytes=len(content), url=document.url,
            replaces=document, now=now,
        )  # fmt: skip
        pages.replaced(db, document.id, newer, now)
    log.info("the page of document %s has changed", document.id)
    with context.ringing():
        context.queues.read_document(newer)


def _says(content: bytes, kind: str) -> list[tuple[tuple[str, ...], int | None, str]]:
    """Its text, in the shape of knowledge.sections(): bytes differ with every clock and token in a page."""
    with tempfile.NamedTemporaryFile(prefix="frontdesk.") as file:
        file.write(content)
        file.flush()
        found = extraction.extract(Path(file.name), kind)
    return [(tuple(section.headings), section.page, section.text) for section in found.sections]
