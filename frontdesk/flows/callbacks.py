"""Callbacks: a signed POST to a program's address, tried for a day. The row is written with what it tells, in the same transaction.

`X-Frontdesk-Signature: t=<seconds>,v1=<hex>`, the HMAC-SHA256 of "<t>.<body>" under the client's own secret; for a day after that was
changed a second `v1=` is of the one before. Told at least once: `X-Frontdesk-Delivery` is the same for each attempt.
"""

import hashlib
import hmac
import logging
from urllib.parse import parse_qsl, urlsplit

from frontdesk import fetch
from frontdesk.errors import FetchFailed, FetchRefused
from frontdesk.flows.context import Context
from frontdesk.flows.refusals import Refused
from frontdesk.queues import jittered
from frontdesk.settings import Settings
from frontdesk.store import callbacks
from frontdesk.store.callbacks import Callback

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 15
LEASE_SECONDS = 2 * TIMEOUT_SECONDS
DELAYS_SECONDS = (10, 60, 300, 1800, 3600)
LONGEST_SECONDS = 24 * 3600
ANSWER_BYTES = 2048  # of an answer's body, that are kept
LEAST_SECRET = 8  # characters of a value in an address that could be a secret


def check(context: Context, url: str | None) -> None:
    """Raises Refused for an address that is known to be none, or a private one. What its name leads to is seen when it is called."""
    if url is None:
        return
    try:
        fetch.check(url, allow_private=context.settings.fetch_private_addresses)
    except FetchRefused as error:
        raise Refused(422, "bad_url", f"{str(error)[:1].upper()}{str(error)[1:]}.", "callback_url") from None


def secret(settings: Settings, client_id: int | None, version: int = 1) -> str:
    whose = f"client {client_id}" if client_id else "no one client"
    return settings.derived_secret(f"callbacks of {whose}" if version == 1 else f"callbacks of {whose}, version {version}")


def secrets(context: Context, client_id: int | None) -> list[str]:
    """The one that counts; for a day after it was changed also the one before."""
    version, changed_at = callbacks.secret_version(context.db, client_id)
    also = version > 1 and context.now() - changed_at < LONGEST_SECONDS
    return [secret(context.settings, client_id, each) for each in ((version, version - 1) if also else (version,))]


def signature(keys: list[str], at: int, body: bytes) -> str:
    signed = [hmac.new(key.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest() for key in keys]
    return ",".join([f"t={at}", *(f"v1={each}" for each in signed)])


def deliver(context: Context, callback_id: int) -> None:
    """One attempt."""
    callback = callbacks.claim(context.db, callback_id, context.now(), LEASE_SECONDS)
    if callback is None:
        return
    try:
        status, answer = _post(context, callback)
    except FetchRefused as error:
        return callbacks.settle(context.db, callback, "failed", None, None, str(error))
    except FetchFailed as error:
        return _nobody_there(context, callback, str(error))
    if 200 <= status < 300:
        return callbacks.settle(context.db, callback, "delivered", None, status, None, answer)
    _later(context, callback, status, f"answered {status}", answer)


def _post(context: Context, callback: Callback) -> tuple[int, str]:
    body = callback.body.encode("utf-8", "replace")
    signed = signature(secrets(context, callback.client_id), int(context.now()), body)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Frontdesk",
        "X-Frontdesk-Event": callback.event,
        "X-Frontdesk-Delivery": callback.public_id,
        "X-Frontdesk-Signature": signed,
    }
    own = callback.client_id is None and callback.url == context.settings.alert_webhook_url  # from the settings, on nobody else's word
    allow = context.settings.fetch_private_addresses or own
    reply = fetch.post(
        callback.url, body, headers, timeout_seconds=TIMEOUT_SECONDS, allow_private=allow, most_bytes=ANSWER_BYTES, whole=False
    )
    return reply.status, _shown(reply.body, callback.url, signed)


def _shown(answer: bytes, url: str, signed: str) -> str:
    """What is kept of an answer: a text, without what it may repeat of our secrets."""
    text = "".join(letter for letter in answer.decode("utf-8", "replace") if letter.isprintable() or letter in "\n\t")
    hidden = [value for _, value in parse_qsl(urlsplit(url).query) if len(value) >= LEAST_SECRET]
    for value in [*hidden, *(part.partition("=")[2] for part in signed.split(",")[1:])]:
        text = text.replace(value, "•••")
    return text


def address(url: str) -> str:
    """For people: a query may hold a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}{'?…' if parts.query else ''}"


def _nobody_there(context: Context, callback: Callback, words: str) -> None:
    """An address that hangs takes the worker's time: of one host one delivery is tried, the others wait for how that ends."""
    due_at = _later(context, callback, None, words)
    if due_at is not None:
        callbacks.wait_for_host(context.db, callback.host, due_at)
    else:
        callbacks.give_up_host(context.db, callback.host, context.now() - LONGEST_SECONDS, words)


def _later(context: Context, callback: Callback, status: int | None, words: str, answer: str = "") -> float | None:
    """When it is tried again; None: it is given up."""
    now = context.now()
    if now - callback.begun_at > LONGEST_SECONDS:
        log.warning("callback %s given up: %s", callback.id, words)
        callbacks.settle(context.db, callback, "failed", None, status, words, answer)
        return None
    delay = DELAYS_SECONDS[min(callback.attempts - callback.begun_after, len(DELAYS_SECONDS)) - 1]
    due_at = now + jittered(delay)
    callbacks.settle(context.db, callback, "wanted", due_at, status, words, answer)
    return due_at


def send_again(context: Context, callback: Callback) -> None:
    """The same delivery id; a day of new attempts."""
    callbacks.send_again(context.db, callback.id, context.now())
    with context.ringing():
        context.queues.call_back(callback.id)


def sweep(context: Context) -> None:
    for callback_id in callbacks.due(context.db, context.now()):
        context.queues.call_back(callback_id)
