"""The canary: now and then a message of our own goes the whole way, from a signed webhook to a send, and is taken away again.

Its send goes to nobody. One at a time, and none begins while a customer waits. What stays is how long it took, and when.
"""

import hashlib
import hmac
import json
import logging
import uuid

from frontdesk import fetch
from frontdesk.errors import FetchFailed, FetchRefused
from frontdesk.flows.context import Context
from frontdesk.store import canary, counters
from frontdesk.store.canary import Canary
from frontdesk.store.database import transaction

log = logging.getLogger(__name__)

PATH = "/webhooks/whatsapp"
PHONE = "15550100999"  # kept for fiction
TIMEOUT_SECONDS = 10
PATIENCE_SECONDS = 110  # less than a customer may wait before the owner is told (conditions.py)


def turn(context: Context) -> None:
    """Called every few seconds; does what is due."""
    bird, now = canary.get(context.db), context.now()
    if bird and bird.mark:
        return _look(context, bird)
    every_seconds = 60 * context.settings.canary_minutes
    if every_seconds and not (bird and 0 <= now - bird.begun_at < every_seconds) and not counters.standing(context.db, now).waiting:
        _begin(context)


def _begin(context: Context) -> None:
    mark = f"canary.{uuid.uuid4().hex}"
    with transaction(context.db) as db:
        canary.prepare(db, context.settings, context.now())
        if not canary.begin(db, mark, context.now()):
            return
        canary.remove_rows(db)
    try:
        status = _post(context, _webhook(mark, context.now()))
    except (FetchFailed, FetchRefused) as error:
        return _failed(context, mark, f"its webhook was not taken: {error}.")
    if status != 200:
        _failed(context, mark, f"its webhook was answered with {status}.")


def _post(context: Context, body: bytes) -> int:
    signature = hmac.new(context.settings.trusted_app_secrets[0].encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}
    url = (context.settings.canary_url or context.settings.web_url) + PATH
    return fetch.post(url, body, headers, timeout_seconds=TIMEOUT_SECONDS, allow_private=True, whole=False).status


def _webhook(mark: str, now: float) -> bytes:
    message = {"from": PHONE, "id": mark, "timestamp": str(int(now)), "type": "text", "text": {"body": "Are you there?"}}
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "0", "phone_number_id": canary.EXTERNAL_ID},
        "contacts": [{"profile": {"name": "Canary"}, "wa_id": PHONE}],
        "messages": [message],
    }
    return json.dumps({"object": "whatsapp_business_account", "entry": [{"id": "0", "changes": [{"field": "messages", "value": value}]}]}).encode()


def _look(context: Context, bird: Canary) -> None:
    sent_at, now = canary.answered_at(context.db, bird.mark), context.now()
    if sent_at is not None:
        return _came_through(context, bird, max(0.0, sent_at - bird.begun_at))
    if not 0 <= now - bird.begun_at < PATIENCE_SECONDS:
        _failed(context, bird.mark, f"no answer in {PATIENCE_SECONDS} seconds.")


def _came_through(context: Context, bird: Canary, seconds: float) -> None:
    with transaction(context.db) as db:
        if not canary.came_through(db, bird.mark, seconds, context.now()):
            return
        canary.remove_rows(db)
    log.info("the canary came through in %.1f s", seconds)
    if context.settings.canary_ping_url:
        _ping(context.settings.canary_ping_url)


def _ping(url: str) -> None:
    try:
        status = fetch.call("GET", url, timeout_seconds=TIMEOUT_SECONDS, whole=False, allow_private=True).status
    except (FetchFailed, FetchRefused) as error:
        return log.warning("CANARY_PING_URL: %s", error)
    if status >= 300:
        log.warning("CANARY_PING_URL answered %s", status)


def _failed(context: Context, mark: str, words: str) -> None:
    with transaction(context.db) as db:
        if canary.failed(db, mark, words):
            canary.remove_rows(db)
    log.warning("the canary did not come through: %s", words)
