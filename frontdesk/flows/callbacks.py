"""Callbacks: a signed POST to a program's address, tried for a day. The row is written with what it tells, in the same transaction.

`X-Frontdesk-Signature: t=<seconds>,v1=<hex>`, the HMAC-SHA256 of "<t>.<body>" under the client's own secret. Told at least once:
`X-Frontdesk-Delivery` is the same for each attempt.
"""

import hashlib
import hmac
import logging

from frontdesk import fetch
from frontdesk.errors import FetchFailed, FetchRefused
from frontdesk.flows.context import Context
from frontdesk.queues import jittered
from frontdesk.settings import Settings
from frontdesk.store import callbacks
from frontdesk.store.callbacks import Callback

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 15
LEASE_SECONDS = 60
DELAYS_SECONDS = (10, 60, 300, 1800, 3600)
LONGEST_SECONDS = 24 * 3600


def secret(settings: Settings, client_id: int) -> str:
    return settings.derived_secret(f"callbacks of client {client_id}")


def signature(key: str, at: int, body: bytes) -> str:
    return f"t={at},v1={hmac.new(key.encode(), f'{at}.'.encode() + body, hashlib.sha256).hexdigest()}"


def deliver(context: Context, callback_id: int) -> None:
    """One attempt."""
    callback = callbacks.claim(context.db, callback_id, context.now(), LEASE_SECONDS)
    if callback is None:
        return
    try:
        status = _post(context, callback)
    except FetchRefused as error:
        return callbacks.settle(context.db, callback, "failed", None, None, str(error))
    except FetchFailed as error:
        return _later(context, callback, None, str(error))
    if 200 <= status < 300:
        return callbacks.settle(context.db, callback, "delivered", None, status, None)
    _later(context, callback, status, f"answered {status}")


def _post(context: Context, callback: Callback) -> int:
    body = callback.body.encode("utf-8", "replace")
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Frontdesk",
        "X-Frontdesk-Event": callback.event,
        "X-Frontdesk-Delivery": callback.public_id,
        "X-Frontdesk-Signature": signature(secret(context.settings, callback.client_id), int(context.now()), body),
    }
    allow = context.settings.fetch_private_addresses
    return fetch.post(callback.url, body, headers, timeout_seconds=TIMEOUT_SECONDS, allow_private=allow).status


def _later(context: Context, callback: Callback, status: int | None, words: str) -> None:
    now = context.now()
    if now - callback.created_at > LONGEST_SECONDS:
        log.warning("callback %s given up: %s", callback.id, words)
        return callbacks.settle(context.db, callback, "failed", None, status, words)
    delay = DELAYS_SECONDS[min(callback.attempts, len(DELAYS_SECONDS)) - 1]
    callbacks.settle(context.db, callback, "wanted", now + jittered(delay), status, words)


def sweep(context: Context) -> None:
    for callback_id in callbacks.due(context.db, context.now()):
        context.queues.call_back(callback_id)
