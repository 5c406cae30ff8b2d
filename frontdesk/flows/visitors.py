"""Visitors of the web chat: the token by which a browser is known again, whose page may ask, how often, and what goes into the inbox.

A token is the visitor's id with our signature, good for one widget; nothing of it is stored, and without it nothing of the
visitor's can be read. The id itself is on the contact, as its user id.
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
from typing import Any
from urllib.parse import urlsplit

from frontdesk.flows.context import Context
from frontdesk.queues import Rate
from frontdesk.settings import Settings
from frontdesk.store import numbers, widgets
from frontdesk.store.numbers import Number
from frontdesk.store.widgets import CHANNEL, Widget

DAY = 24 * 3600
TOKEN_SECONDS, RENEWED_AFTER_SECONDS = 180 * DAY, 7 * DAY
FILE_STEP_SECONDS = 3600  # an address of a file is good for one to two of these, and the same all through one

LONGEST_TEXT = 2000
MOST_STATUSES = 50
MESSAGE_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_ORIGIN = re.compile(r"https?://(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*(:\d{1,5})?")
_REFERENCE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_REFERENCE = re.compile(rf"\bFD([{_REFERENCE_LETTERS}]{{8}})\b")
REFERENCE_GOOD_SECONDS = 30 * DAY


# --- tokens -------------------------------------------------------------------------------------------------------------------


def issue(settings: Settings, key: str, now: float, visitor: str | None = None) -> str:
    """A token for `visitor`, or for a new one."""
    visitor = visitor or f"web:{secrets.token_urlsafe(16)}"
    signed = f"{visitor}.{int(now):x}"
    return f"{signed}.{_signature(settings, 'widget visitors', f'{key}.{signed}')}"


def read(settings: Settings, key: str, token: str, now: float) -> tuple[str, bool] | None:
    """The visitor, and whether it is time to give them a new token. None: forged, another widget's, or too old."""
    signed, _, signature = token.rpartition(".")
    visitor, _, issued = signed.rpartition(".")
    wanted = _signature(settings, "widget visitors", f"{key}.{signed}")
    if not hmac.compare_digest(wanted.encode(), signature.encode("utf-8", "replace")):
        return None
    age = now - int(issued, 16)
    return (visitor, age > RENEWED_AFTER_SECONDS) if -DAY < age < TOKEN_SECONDS else None


def _signature(settings: Settings, purpose: str, signed: str) -> str:
    digest = hmac.new(settings.derived_secret(purpose).encode(), signed.encode("utf-8", "replace"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:24]).decode()


def file_address(settings: Settings, key: str, public_id: str, now: float) -> str:
    """Where a visitor's page finds a file, for one to two hours; the path under our own address."""
    until = int(now // FILE_STEP_SECONDS + 2) * FILE_STEP_SECONDS
    return f"/widget/{key}/files/{public_id}?until={until}&signature={_signature(settings, 'widget files', f'{key}.{public_id}.{until}')}"


def may_open(settings: Settings, key: str, public_id: str, until: str, signature: str, now: float) -> bool:
    wanted = _signature(settings, "widget files", f"{key}.{public_id}.{until}")
    return hmac.compare_digest(wanted.encode(), signature.encode("utf-8", "replace")) and until.isdigit() and now < int(until)


# --- whose page asks --------------------------------------------------------------------------------------------------------------


def find(context: Context, key: str) -> tuple[Number, Widget] | None:
    number = numbers.find(context.db, CHANNEL, key)
    widget = number and widgets.get(context.db, number.id)
    return (number, widget) if widget else None


def is_origin(words: str) -> bool:
    return bool(_ORIGIN.fullmatch(words)) and (urlsplit(words.replace("*.", "", 1)).hostname or "") != ""


def origin_fits(widget: Widget, origin: str | None, own: str, fetch_site: str | None) -> bool:
    """`own`: our own origin, whose pages (the desk's preview, the demo) may always. Browsers leave Origin out of reading from the own site."""
    if not origin:
        return fetch_site == "same-origin"
    origin = origin.lower()
    return origin == own or any(_fits(allowed, origin) for allowed in widget.origins)


def _fits(allowed: str, origin: str) -> bool:
    scheme, star, domain = allowed.partition("://*.")
    if not star:
        return allowed == origin
    return origin.startswith(f"{scheme}://") and origin.endswith(f".{domain}")


# --- how often ----------------------------------------------------------------------------------------------------------------------


def writes(context: Context, number: Number, visitor: str, address: str) -> float:
    """0: it is counted. Else the seconds after which it may be tried again."""
    return context.limits.count(
        Rate(f"widget:visitor:{visitor}", 3, 10), Rate(f"widget:from:{address}", 0.5, 60), Rate(f"widget:client:{number.client_id}", 0.05, 400)
    )


def asks(context: Context, visitor: str, address: str) -> float:
    """As `writes`, for everything that is no message: reading, 'typing…', 'read'."""
    return context.limits.count(Rate(f"widget:asks:{visitor}", 0.25, 120), Rate(f"widget:asks:{address}", 0.02, 1000))


def begins(context: Context, address: str) -> float:
    """As `writes`, for a new visitor."""
    return context.limits.count(Rate(f"widget:begins:{address}", 5, 60))


# --- into the inbox -------------------------------------------------------------------------------------------------------------------


def put(context: Context, key: str, visitor: str, events: list[dict[str, Any]]) -> None:
    """Kept in Redis, and by that acknowledged: from here on it goes the way of a webhook. Raises RedisError: nothing was kept."""
    body = json.dumps({"key": key, "visitor": visitor, "events": events}).encode()
    if context.inbox.put(CHANNEL, body, context.now()):
        context.queues.drain()


def external_id(visitor: str, message_id: str) -> str:
    """The browser's own id of a message, which no other visitor's can meet: a message sent twice is one."""
    return f"{visitor}:{message_id}"


# --- on to WhatsApp -------------------------------------------------------------------------------------------------------------------


def new_reference() -> str:
    return "".join(secrets.choice(_REFERENCE_LETTERS) for _ in range(8))


def reference_in(text: str) -> str | None:
    """The code that a visitor took along, found in what they write by WhatsApp."""
    found = _REFERENCE.search(text) if "FD" in text else None
    return found[1] if found else None
