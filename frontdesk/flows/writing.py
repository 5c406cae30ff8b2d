"""From what somebody gave (contents.py) to what can be queued (outgoing.py): templates filled in, files found or asked for.

Imported where something is written, not by the workers: contents.py brings pydantic.
"""

import sqlite3
from typing import Any

from frontdesk import fetch
from frontdesk.errors import FetchRefused, MediaRefused
from frontdesk.flows import contents, media, template_parts
from frontdesk.flows.context import Context
from frontdesk.flows.outgoing import CannotSend, Outgoing, known_template
from frontdesk.flows.template_parts import BadVariable
from frontdesk.store import media as rows, numbers
from frontdesk.store.media import Media


def outgoing(context: Context, db: sqlite3.Connection, number_id: int, given: contents.Sendable, reply_to: str | None = None) -> Outgoing:
    """Inside a transaction. Raises CannotSend, with the field that is wrong."""
    if isinstance(given, contents.TemplateMessage):
        return _template(context, db, number_id, given)
    if isinstance(given, contents.ReactionMessage):
        return Outgoing(given.content(), reply_to_external_id=given.message_id)
    if isinstance(given, contents.WithFile):
        return _with_file(context, db, number_id, given, reply_to)
    if isinstance(given, contents.ButtonsMessage) and isinstance(given.header, contents.HeaderFile):
        found = _media(context, db, number_id, given.header, "header")
        return Outgoing(given.content(), found.id, _shown(found, given.header), reply_to)
    return Outgoing(given.content(), reply_to_external_id=reply_to)


def _with_file(context: Context, db: sqlite3.Connection, number_id: int, given: contents.WithFile, reply_to: str | None) -> Outgoing:
    found = _media(context, db, number_id, given)
    if isinstance(given, contents.DocumentMessage) and not given.filename and found.filename:
        given = given.model_copy(update={"filename": found.filename})
    return Outgoing(given.content(), found.id, _shown(found, given), reply_to)


def _media(context: Context, db: sqlite3.Connection, number_id: int, given: contents.WithFile, field: str = "") -> Media:
    """An upload of this client's, or a row for what is to be fetched: the sweep rings for it, and so does whoever sends."""
    number = numbers.get(db, number_id)
    if given.url is not None:
        try:
            fetch.check(given.url)
        except FetchRefused as error:
            raise CannotSend("bad_url", str(error), _within(field, "url")) from None
        return rows.add_wanted(db, client_id=number.client_id, url=given.url, now=context.now())
    found = rows.by_public_id(db, given.media_id)
    if found is None or found.client_id != number.client_id:
        raise CannotSend("unknown_media", "There is no such file of this client's.", _within(field, "media_id"))
    try:
        media.check(context, found, given.type, number)
    except MediaRefused as error:
        raise CannotSend(error.code, f"{str(error)[:1].upper()}{str(error)[1:]}.", _within(field, "media_id")) from None
    rows.used(db, [found.id], context.now())
    return found


def _within(field: str, part: str) -> str:
    return f"{field}.{part}" if field else part


def _shown(found: Media, given: contents.WithFile) -> dict[str, Any]:
    return {"kind": given.type, "filename": getattr(given, "filename", None) or found.filename, "mime_type": found.mime_type}


def _template(context: Context, db: sqlite3.Connection, number_id: int, given: contents.TemplateMessage) -> Outgoing:
    template = known_template(db, number_id, given.name, given.language)
    kind = template_parts.header_file(template)
    _check_header(kind, given.header)
    try:
        filled = template_parts.fill(template, given.variables, given.header and given.header.filename)
    except BadVariable as error:
        raise CannotSend("bad_variable", str(error), error.field) from None
    if given.header is None:
        return Outgoing(filled.content)
    found = _media(context, db, number_id, given.header, "header")
    return Outgoing(filled.content, found.id, _shown(found, given.header))


def _check_header(kind: str | None, header: contents.HeaderFile | None) -> None:
    if kind and header is None:
        raise CannotSend("invalid", f"The template's heading is a file: give header with type {kind}.", "header")
    if header and header.type != kind:
        wants = f"wants one of type {kind}" if kind else "has no file in its heading"
        raise CannotSend("invalid", f"The template {wants}.", "header")
