"""What customers send besides text: fetched while its address is good, kept by its content, read, and then answered.

Every step is a row's state in store/received_files.py. Whoever serves holds leases and renews them; one that dies leaves nothing but
leases that end. A file is kept and its row moved on in one transaction, and with the last file of a conversation goes its wait.
"""

import logging
import mimetypes
import sqlite3
import threading
import time
import uuid
from pathlib import Path
from typing import BinaryIO

from frontdesk import fetch as fetching
from frontdesk.errors import FetchFailed, FetchRefused, MediaRefused, NumberStopped, Permanent, SendError
from frontdesk.flows import extraction, media, media_types, take_over, transcription
from frontdesk.flows.context import Context
from frontdesk.flows.extraction import Unreadable
from frontdesk.flows.person_words import asks_for_person
from frontdesk.flows.transcription import NotTranscribed
from frontdesk.flows.watch import ring_for
from frontdesk.store import clients, conversations, files, media as media_rows, numbers, received_files as rows
from frontdesk.store.database import transaction
from frontdesk.store.received_files import Origin, ReceivedFile

log = logging.getLogger(__name__)

TURN_SECONDS = 20  # broadcasts and callbacks want theirs in `bulk`
THREADS = 6
LOOK_SECONDS = 0.2

FETCH_SECONDS = {"document": 300}
USUAL_FETCH_SECONDS = 60  # of which 16 MB need 280 kB a second
PAUSES_SECONDS = (2, 10, 60, 300, 1800, 7200)  # WhatsApp keeps files for seven days
STOPPED_SECONDS = 300
READ_PAUSES_SECONDS = (2, 10)
MOST_ATTEMPTS = 12  # counted before each, so also those that took their process with them
KEPT_BY_PROVIDER_SECONDS = 7 * 24 * 3600

EXPIRED = ("http_401", "http_403", "http_404", "http_410")  # how an address says that it is over
GONE = 100  # WhatsApp's code for an id that it does not know (any more)

DOCUMENT_SECONDS = 30
LONGEST_DOCUMENT = 40_000  # characters that are kept of one
DOCUMENT_KINDS = {"application/pdf": "pdf", media_types.WORD: "docx", "text/plain": "text"}


def want(context: Context, db: sqlite3.Connection, conversation_id: int, message_id: int, waits: bool, now: float) -> None:
    """Inside the drain's transaction: a message with a file came. `waits`: an answer is owed to it."""
    rows.want(db, message_id, now)
    if waits and context.settings.file_wait_seconds:
        conversations.wait_for_files(db, conversation_id, now, now + context.settings.file_wait_seconds)


def want_again(context: Context, message_id: int) -> bool:
    """By a person's hand, after it failed."""
    if not rows.want_again(context.db, message_id):
        return False
    with context.ringing():
        context.queues.receive_files()
    return True


def sweep(context: Context) -> None:
    if rows.is_due(context.db, context.now(), context.settings.lease_seconds):
        context.queues.receive_files(force=not context.queues.depth("bulk"))


def serve(context: Context) -> None:
    """`bulk`: everything that is due, several at once, for about TURN_SECONDS; then it rings for the rest."""
    context.queues.silence_received_files()
    owner, ends_at, renewed_at = uuid.uuid4().hex, time.monotonic() + TURN_SECONDS, time.monotonic()
    busy: list[threading.Thread] = []
    while not context.stopping.is_set():
        busy = [thread for thread in busy if thread.is_alive()]
        if time.monotonic() < ends_at:
            busy += _begin(context, owner, THREADS - len(busy))
        if not busy:
            break
        busy[0].join(LOOK_SECONDS)
        if time.monotonic() - renewed_at > context.settings.lease_seconds / 3:
            rows.renew(context.db, owner, context.now(), context.settings.lease_seconds)
            renewed_at = time.monotonic()
    rows.release(context.db, owner)  # of a process that was asked to stop; else there is none
    if rows.is_due(context.db, context.now(), context.settings.lease_seconds):
        context.queues.receive_files()


def _begin(context: Context, owner: str, most: int) -> list[threading.Thread]:
    begun = []
    while len(begun) < most and (file := rows.claim(context.db, owner, context.now(), context.settings.lease_seconds)):
        thread = threading.Thread(target=receive, args=(context, file), daemon=True)
        thread.start()
        begun.append(thread)
    return begun


def receive(context: Context, file: ReceivedFile) -> None:
    """One attempt at what this file needs next, and then at what it needs after that."""
    origin = rows.origin(context.db, file.message_id)
    if origin is None:
        return
    try:
        if file.attempts > MOST_ATTEMPTS:
            _over(context, file, origin, rows.failed if file.state == "wanted" else rows.unread, "given_up", "every attempt ended with its process")
            return
        if file.state == "wanted":
            _fetch(context, file, origin)
        _read(context, rows.get(context.db, file.message_id), rows.origin(context.db, file.message_id), file.lease_owner)
    except sqlite3.OperationalError:
        raise
    except Exception:  # a fault of ours must not be tried again for ever
        log.exception("the file of message %s failed", file.message_id)
        _again(context, file, origin, "a fault in Frontdesk: its log says more", PAUSES_SECONDS[2:])


# --- fetching -----------------------------------------------------------------------------------------------------------------


def _fetch(context: Context, file: ReceivedFile, origin: Origin) -> None:
    try:
        _fetch_and_keep(context, file, origin)
    except media.Stopping:
        rows.later(context.db, file, context.now(), "", counts=False)
    except NumberStopped as error:
        _when_number_is_back(context, file, origin, error)
    except Permanent as error:
        gone = error.code == GONE
        words = "WhatsApp no longer has it" if gone else error.title
        _over(context, file, origin, rows.failed, "expired" if gone else "refused", words)
    except SendError as error:
        _again(context, file, origin, error.title, PAUSES_SECONDS)
    except FetchRefused as error:
        if error.code in EXPIRED:
            _again(context, file, origin, "its address was over before it was fetched", PAUSES_SECONDS)
        else:
            _over(context, file, origin, rows.failed, error.code, _too_large(origin) if error.code == "too_large" else error.words)
    except MediaRefused as error:
        _over(context, file, origin, rows.failed, error.code, error.words)
    except FetchFailed as error:
        _again(context, file, origin, error.words, PAUSES_SECONDS)
    except OSError as error:
        log.error("the file of message %s: %s", file.message_id, error)
        _again(context, file, origin, f"this machine could not keep it ({error.strerror})", PAUSES_SECONDS)


def _fetch_and_keep(context: Context, file: ReceivedFile, origin: Origin) -> None:
    number, folder = numbers.get(context.db, origin.number_id), context.settings.media_dir
    kind = "audio" if origin.kind == "voice" else origin.kind
    with files.unfinished(folder, media_types.HEAD_BYTES) as kept:
        _download(context, number, origin, kind, kept)
        if not kept.size_bytes:
            raise MediaRefused("empty", "the file is empty")
        name = media.clean_name(origin.media.filename or "")
        mime_type = media_types.received(kind, kept.head, name)
        name = name or f"{'voice message' if origin.media.voice else kind}{mimetypes.guess_extension(mime_type) or ''}"
        animated = mime_type == "image/webp" and media_types.is_animated(kept.head)
        kept.sync()
        with transaction(context.db) as db:
            if not rows.fetched(db, file):
                return
            kept.keep(folder)
            made = media_rows.add_ready(
                db, client_id=origin.client_id, sha256=kept.sha256, mime_type=mime_type, size_bytes=kept.size_bytes, filename=name,
                animated=animated, now=context.now(),
            )  # fmt: skip
            rows.came(db, file.message_id, made.id)
    log.info("message %s: its file is here (%s, %s bytes)", file.message_id, mime_type, kept.size_bytes)


def _download(context: Context, number: numbers.Number, origin: Origin, kind: str, kept: files.Unfinished) -> None:
    """An address that is over already is asked for anew, once; later attempts do so anyway."""
    sender, channel = context.sender(number), context.channel(number.channel)
    for is_last in (False, True):
        address = channel.media_address(sender, origin.media)
        try:
            fetching.fetch(
                address.url,
                _Stoppable(context, kept),
                most_bytes=media_types.LIMITS[kind].most_bytes,
                timeout_seconds=FETCH_SECONDS.get(kind, USUAL_FETCH_SECONDS),
                headers=address.headers,
                allow_private=address.trusted,
            )
            return
        except FetchRefused as error:
            if is_last or kept.size_bytes or error.code not in EXPIRED:
                raise


class _Stoppable:
    """A file that is no longer written once the process was asked to end."""

    def __init__(self, context: Context, file: BinaryIO):
        self._context, self._file = context, file

    def write(self, data: bytes) -> int:
        if self._context.stopping.is_set():
            raise media.Stopping
        return self._file.write(data)


def _too_large(origin: Origin) -> str:
    limit = media_types.LIMITS["audio" if origin.kind == "voice" else origin.kind]
    return f"{limit.named} may have {media_types.readable(limit.most_bytes)}; this one is larger"


def _when_number_is_back(context: Context, file: ReceivedFile, origin: Origin, error: NumberStopped) -> None:
    if context.now() - file.created_at > KEPT_BY_PROVIDER_SECONDS:
        _over(context, file, origin, rows.failed, "expired", f"it could not be fetched while WhatsApp had it: {error.title}")
    else:
        rows.later(context.db, file, context.now() + STOPPED_SECONDS, error.title, counts=False)


# --- reading ------------------------------------------------------------------------------------------------------------------


def _read(context: Context, file: ReceivedFile | None, origin: Origin | None, owner: str | None) -> None:
    """What is said in a sound, or what a document says; of everything else there is nothing to read."""
    if file is None or file.state != "fetched" or file.lease_owner != owner:
        return  # postponed, over, deleted, or another's
    kept = media_rows.get(context.db, origin.media_id)
    path = Path(media.path(context, kept))
    try:
        if origin.kind in ("audio", "voice") and transcription.is_set_up(context.settings):
            _heard(context, file, origin, transcription.transcribe(context.settings, path, kept.mime_type))
        elif origin.kind == "document" and (kind := DOCUMENT_KINDS.get(kept.mime_type)):
            _over(context, file, origin, rows.done, _text_of(path, kind))
        else:
            _over(context, file, origin, rows.done)
    except NotTranscribed as error:
        if error.again:
            _again(context, file, origin, str(error), READ_PAUSES_SECONDS)
        else:
            _over(context, file, origin, rows.unread, "not_transcribed", str(error))
    except Unreadable as error:
        _over(context, file, origin, rows.unread, "unreadable", str(error))


def _text_of(path: Path, kind: str) -> str:
    found = extraction.extract(path, kind, deadline_seconds=DOCUMENT_SECONDS)
    text = "\n\n".join(section.text.strip() for section in found.sections)
    return text.encode("utf-8", "replace").decode().replace("\x00", "")[:LONGEST_DOCUMENT]


def _heard(context: Context, file: ReceivedFile, origin: Origin, said: str) -> None:
    """The words count as if they had been written: also when they ask for a person."""
    tell = False
    with transaction(context.db) as db:
        if not rows.done(db, file, said):
            return
        if said:
            rows.add_words(db, file.message_id, said)
        client = clients.get(db, origin.client_id, context.settings)
        if origin.state == "waiting" and asks_for_person(said, client.person_words):
            tell = take_over.ask_for_person(context, db, origin.conversation_id, client)
        _no_longer_waited_for(db, origin.conversation_id)
    with context.ringing():
        if tell:
            context.queues.send([origin.conversation_id])
        ring_for(context, origin.conversation_id)


# --- what came of it ------------------------------------------------------------------------------------------------------------


def _over(context: Context, file: ReceivedFile, origin: Origin, settle, *values: str) -> None:
    """`settle`: a function of the rows; with it goes the conversation's wait, if this was the last of its files."""
    with transaction(context.db) as db:
        if not settle(db, file, *values):
            return
        _no_longer_waited_for(db, origin.conversation_id)
    if settle is not rows.done:
        log.info("message %s: its file %s (%s)", file.message_id, "is not fetched" if settle is rows.failed else "is not read", values[0])
    with context.ringing():
        ring_for(context, origin.conversation_id)


def _no_longer_waited_for(db: sqlite3.Connection, conversation_id: int) -> None:
    if not rows.any_open(db, conversation_id):
        conversations.files_are_here(db, conversation_id)


def _again(context: Context, file: ReceivedFile, origin: Origin, words: str, pauses: tuple[float, ...]) -> None:
    known = rows.get(context.db, file.message_id)
    if known is None:
        return
    if known.attempts <= len(pauses):
        rows.later(context.db, file, context.now() + pauses[known.attempts - 1], words)
    elif known.state == "wanted":
        _over(context, file, origin, rows.failed, "unreachable", words)
    else:
        _over(context, file, origin, rows.unread, "unreadable", words)
