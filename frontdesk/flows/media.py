"""Media for sending: kept once by their content, fetched where a URL names them, uploaded once for each number.

What keep() returned is on the disk and in SQLite: no death of a process loses it. A fetch is claimed by a lease and found again by
the sweep. An upload may happen twice without harm, so its failures are never 'unknown'.
"""

import logging
import os
import threading
import time
import uuid
from typing import BinaryIO

from frontdesk import fetch as fetching
from frontdesk.errors import FetchFailed, FetchRefused, MediaRefused, Permanent, SendError
from frontdesk.flows import media_types
from frontdesk.flows.context import Context
from frontdesk.store import files, media as rows, numbers, retention
from frontdesk.store.database import transaction
from frontdesk.store.media import Media

log = logging.getLogger(__name__)

CHUNK_BYTES = 256 * 1024
LONGEST_FILENAME = 200
FETCH_SECONDS = 600  # of which 100 MB need 170 kB a second
RENEW_SECONDS = 5
MOST_ATTEMPTS = 10  # counted before each, so also those that took their process with them
DAY = 24 * 3600
UPLOAD_GOOD_SECONDS = 29 * DAY  # WhatsApp keeps them for 30 days; a message may wait a while for its turn
MEDIA_UPLOAD_FAILED = 131053
WRONG_PARAMETER = 100

# One upload at a time of one content for one number in this process. A fixed number of locks: two contents may share one.
_uploading = [threading.Lock() for _ in range(64)]


class Stopping(Exception):
    """The process was asked to end."""


# --- keeping ------------------------------------------------------------------------------------------------------------------


def keep(context: Context, stream: BinaryIO, *, client_id: int, filename: str, declared_type: str) -> Media:
    """The stream's content as media that are ready. Raises MediaRefused for what WhatsApp takes as no kind of message."""
    with files.unfinished(context.settings.media_dir, media_types.HEAD_BYTES) as file:
        while chunk := stream.read(CHUNK_BYTES):
            file.write(chunk)
            if file.size_bytes > media_types.MOST_BYTES:
                raise MediaRefused("too_large", f"a file may have {media_types.readable(media_types.MOST_BYTES)} at most")
        facts = _facts(file, filename, declared_type)
        file.sync()
        with transaction(context.db) as db:
            file.keep(context.settings.media_dir)
            return rows.add_ready(db, client_id=client_id, now=context.now(), **facts)


def _facts(file: files.Unfinished, filename: str, declared_type: str) -> dict:
    if not file.size_bytes:
        raise MediaRefused("empty", "the file is empty")
    name = clean_name(filename)
    mime_type = media_types.type_of(file.head, name, declared_type)
    animated = mime_type == "image/webp" and media_types.is_animated(file.head)
    if not media_types.kinds(mime_type, file.size_bytes, animated):
        own_kind = next(kind for kind, limit in media_types.LIMITS.items() if mime_type in limit.types)
        media_types.check(own_kind, mime_type, file.size_bytes, animated)
    return {"sha256": file.sha256, "mime_type": mime_type, "size_bytes": file.size_bytes, "filename": name, "animated": animated}


def clean_name(filename: str) -> str:
    """The last part of a name, in characters that any system and a header can hold; its ending survives shortening."""
    name = filename.replace("\\", "/").rpartition("/")[2].encode("utf-8", "replace").decode()
    name = "".join(letter if letter.isprintable() else " " for letter in name).strip(" .")
    if len(name) <= LONGEST_FILENAME:
        return name
    stem, ending = os.path.splitext(name)
    return stem[: LONGEST_FILENAME - 20] + ending[:20]


def path(context: Context, media: Media) -> os.PathLike:
    """Where the bytes of ready media are."""
    return files.path_of(context.settings.media_dir, media.sha256)


def kinds(media: Media) -> list[str]:
    """The kinds of message these can be sent as, their own first; none until they are ready."""
    return media_types.kinds(media.mime_type, media.size_bytes, media.animated) if media.state == "ready" else []


def check(context: Context, media: Media, kind: str, number: numbers.Number) -> None:
    """Raises MediaRefused where these cannot be sent as a message of this kind. Wanted ones may turn out wrong later."""
    if media.state == "failed":
        raise MediaRefused(media.error_code, media.error_words)
    if media.state == "ready":
        media_types.check(kind, media.mime_type, media.size_bytes, media.animated)
        side = context.channel(number.channel).sticker_pixels
        if kind == "sticker" and side:
            media_types.check_sticker(files.head(context.settings.media_dir, media.sha256, media_types.HEAD_BYTES), side)


# --- fetching -------------------------------------------------------------------------------------------------------------------


def keep_from_url(context: Context, url: str, *, client_id: int) -> Media:
    """Media that a job fetches. Raises FetchRefused for an address that is none; what DNS says of it is the job's to find out."""
    fetching.check(url)
    with transaction(context.db) as db:
        media = rows.add_wanted(db, client_id=client_id, url=url, now=context.now())
    with context.ringing():
        context.queues.fetch_media(media.id)
    return media


def fetch(context: Context, media_id: int) -> Media | None:
    """One attempt. The row as it is afterwards; None where there was nothing to do for this caller."""
    media = rows.claim(context.db, media_id, uuid.uuid4().hex, context.now(), lease_seconds(context))
    if media is None:
        return None
    try:
        if media.attempts > MOST_ATTEMPTS:
            raise FetchRefused("unreachable", "every attempt to fetch it ended with its process")
        _fetch(context, media)
    except Stopping:
        rows.again(context.db, media, context.now(), None)
    except (FetchRefused, MediaRefused) as error:
        rows.failed(context.db, media, error.code, error.words)
        log.info("media %s: refused (%s)", media.id, error.code)
    except FetchFailed as error:
        _later(context, media, error.words)
    except OSError as error:
        log.error("media %s: %s", media.id, error)
        _later(context, media, f"this machine could not keep it ({error.strerror})")
    return rows.get(context.db, media_id)


def _fetch(context: Context, media: Media) -> None:
    settings = context.settings
    with files.unfinished(settings.media_dir, media_types.HEAD_BYTES) as file:
        fetched = fetching.fetch(
            media.url,
            _Watched(context, media, file),
            most_bytes=media_types.MOST_BYTES,
            timeout_seconds=FETCH_SECONDS,
            allow_private=settings.fetch_private_addresses,
        )
        facts = _facts(file, fetched.filename, fetched.content_type)
        file.sync()
        with transaction(context.db) as db:
            if rows.became_ready(db, media, now=context.now(), **facts):
                file.keep(settings.media_dir)


def _later(context: Context, media: Media, words: str) -> None:
    delays = context.settings.send_retry_seconds
    if media.attempts > len(delays):
        rows.failed(context.db, media, "unreachable", words)
        log.info("media %s: given up after %s attempts (%s)", media.id, media.attempts, words)
        return
    rows.again(context.db, media, context.now() + delays[media.attempts - 1], words)


def lease_seconds(context: Context) -> float:
    """It is renewed when bytes come, so it outlives the longest silence that a fetch puts up with."""
    return context.settings.lease_seconds + fetching.READ_SECONDS + fetching.CONNECT_SECONDS


class _Watched:
    """A file that renews its row's lease while it is written."""

    def __init__(self, context: Context, media: Media, file: files.Unfinished):
        self._context, self._media, self._file = context, media, file
        self._renewed = time.monotonic()

    def write(self, data: bytes) -> int:
        if self._context.stopping.is_set():
            raise Stopping
        if time.monotonic() - self._renewed > RENEW_SECONDS:
            self._renewed = time.monotonic()
            rows.renew(self._context.db, self._media, self._context.now(), lease_seconds(self._context))
        return self._file.write(data)


def due(context: Context) -> list[int]:
    """What the sweep rings for."""
    return rows.due(context.db, context.now(), lease_seconds(context))


# --- uploading ----------------------------------------------------------------------------------------------------------------


def external_id(context: Context, number: numbers.Number, media: Media) -> str:
    """The provider's id of these media for this number, uploading them if need be. Raises SendError, never Unknown.

    An upload may take a while: call it before a message is claimed, not within its lease.
    """
    if media.state != "ready":
        raise Permanent(media.error_words or "the media are not there yet")
    with _uploading[hash((number.id, media.sha256)) % len(_uploading)]:
        known = rows.upload(context.db, number.id, media.sha256, context.now() - UPLOAD_GOOD_SECONDS, context.now())
        if known:
            return known
        made = _upload(context, number, media)
        with transaction(context.db) as db:
            rows.uploaded(db, number.id, media.sha256, made, context.now())
            rows.used(db, [media.id], context.now())
    log.info("media %s uploaded for number %s", media.id, number.id)
    return made


def _upload(context: Context, number: numbers.Number, media: Media) -> str:
    try:
        return context.channel(number.channel).upload_media(context.sender(number), path(context, media), media.mime_type, media.filename)
    except FileNotFoundError:
        raise Permanent("the file of these media is gone") from None


def upload_is_lost(error: SendError) -> bool:
    """A send failed for its media: 131053, or a 100 that names the media's id. Forget the upload, and the next attempt makes another."""
    names_media = "media" in f"{error.title} {error.details}".lower()
    return error.code == MEDIA_UPLOAD_FAILED or (error.code == WRONG_PARAMETER and names_media)


def forget_upload(context: Context, number_id: int, media: Media, external_id: str | None = None) -> None:
    rows.forget_upload(context.db, number_id, media.sha256, external_id)


# --- cleaning -----------------------------------------------------------------------------------------------------------------


def clean(context: Context) -> None:
    """Nightly: leftovers, and files nobody has used for MEDIA_KEEP_DAYS, or the client's own days."""
    settings, now = context.settings, context.now()
    leftovers = files.forget_leftovers(settings.media_dir)
    with transaction(context.db) as db:
        limits = [limit for limit in retention.limits(db, settings) if limit.media_days]
        expired = sum(rows.expire(db, one.client_id, now - one.media_days * DAY, f"not used for {one.media_days:g} days, and deleted") for one in limits)
        rows.clean_uploads(db, now - 30 * DAY)
    removed = sum(_clean_folder(context, beginning) for beginning in files.beginnings(settings.media_dir))
    if leftovers or expired or removed:
        log.info("media: %s leftovers, %s expired, %s files removed", leftovers, expired, removed)


def _clean_folder(context: Context, beginning: str) -> int:
    """In a transaction of its own: nobody keeps the same content meanwhile."""
    folder = context.settings.media_dir
    with transaction(context.db) as db:
        unneeded = rows.unneeded(db, files.kept(folder, beginning))
        files.forget(folder, unneeded)
    return len(unneeded)
