"""Files and reactions from the desk's forms, as take_over.py wants them; and files shown on the desk.

What customers and agents send is never run: it is shown as what it was found to be, and only pictures open in the page.
"""

from flask import Blueprint, abort, request, send_file
from werkzeug.datastructures import FileStorage

from frontdesk.errors import MediaRefused
from frontdesk.flows import media, media_types
from frontdesk.flows.context import Context
from frontdesk.flows.outgoing import CannotSend, Outgoing
from frontdesk.flows.take_over import Prepare
from frontdesk.store import conversations, media as rows, numbers
from frontdesk.web import access

LARGEST_FORM_BYTES = media_types.MOST_BYTES + 256 * 1024
TAKE_FILES = ("thread.answer", "compose.send", "broadcasts.make")
SHOWN = ("image/jpeg", "image/png", "image/webp")
PLAYED = ("audio/", "video/")
LONGEST_CAPTION = 1024


def take_files() -> None:
    """Before anything reads the form, and of these addresses alone."""
    if request.endpoint in TAKE_FILES:
        request.max_content_length = LARGEST_FORM_BYTES


def file(context: Context, conversation_id: int, uploaded: FileStorage, caption: str, reply_to: str | None) -> Prepare:
    """The file is kept before the conversation is touched: a large one takes a while. Raises CannotSend."""
    caption = caption.strip()
    found = kept(context, conversation_id, uploaded)
    kind = media.kinds(found)[0]
    given = {"type": kind, "media_id": found.public_id}
    if caption and kind in ("audio", "sticker"):
        raise CannotSend("invalid", "WhatsApp sends no words with a sound or a sticker: send them by themselves.", "text")
    if len(caption) > LONGEST_CAPTION:
        raise CannotSend("too_long", f"That is {len(caption):,} characters; with a file WhatsApp takes {LONGEST_CAPTION:,}.", "text")
    return _writing(context, given | ({"caption": caption} if caption else {}), reply_to)


def kept(context: Context, conversation_id: int, uploaded: FileStorage) -> rows.Media:
    number = numbers.get(context.db, conversations.get(context.db, conversation_id).number_id)
    try:
        return media.keep(
            context, uploaded.stream, client_id=number.client_id, filename=uploaded.filename or "", declared_type=uploaded.mimetype
        )
    except MediaRefused as error:
        raise CannotSend(error.code, f"This file cannot be sent: {error}.", "header") from None


def reaction(context: Context, message_id: str | None, emoji: str) -> Prepare:
    if not message_id:
        raise CannotSend("invalid", "Choose the message to react to first.")
    return _writing(context, {"type": "reaction", "message_id": message_id, "emoji": emoji}, None)


def _writing(context: Context, given: dict, reply_to: str | None) -> Prepare:
    from pydantic import ValidationError

    from frontdesk.flows import contents, writing

    try:
        message = contents.read(given)
    except ValidationError as error:
        raise CannotSend("invalid", error.errors()[0]["msg"].removeprefix("Value error, ")) from None

    def prepare(db, conversation) -> Outgoing:
        return writing.outgoing(context, db, conversation.number_id, message, reply_to)

    return prepare


def attachment_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("attachments", __name__))

    @pages.get("/media/<public_id>")
    def show(public_id: str):
        found = rows.by_public_id(context.db, public_id)
        if found is None or found.state != "ready":
            abort(404, "This file is not here (any more).")
        opens = found.mime_type in SHOWN or found.mime_type.startswith(PLAYED)
        try:
            response = send_file(
                media.path(context, found), found.mime_type, as_attachment=not opens, download_name=found.filename or "file", conditional=True
            )
        except FileNotFoundError:
            abort(404, "This file is not here (any more).")
        response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
        response.headers["Cache-Control"] = "private, max-age=86400, immutable"
        return response

    return pages
