"""Where webhooks come in: verified over their exact bytes, kept in Redis, acknowledged. SQLite and the model are not on this way.

It stands before Flask as plain WSGI, because it is the one route whose cost decides how many webhooks a server takes:
Flask's request, routing and response cost three times what verifying and keeping do (bench/RESULTS.md).
"""

import contextlib
import hashlib
import hmac
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence

from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.wsgi import get_input_stream

from frontdesk.flows import webhook_address
from frontdesk.flows.logging_in import network
from frontdesk.queues import Acknowledgements, Inbox, OwnLimits, Queues, Rate, RedisError

log = logging.getLogger(__name__)

# Of one address: so many a second that no secret of ours made, of which so many at once. What is signed is never refused for this.
STRANGERS_INTERVAL_SECONDS, STRANGERS_BURST = 1, 60

KEPT_THREADS = 2
LONGEST_WAIT_SECONDS = 0.25  # in which the one who waits holds a thread that a webhook could have

PATH = "/webhooks/whatsapp"
WATI_PATH = "/webhooks/wati"  # with the number's secret behind it, or as the body's `passkey`
PROBES = ("/health", "/ready")  # they must also answer while the desk is busy

# Meta's largest webhook is 3 MB; a 413 is sent again for days, so the limit is above it.
LARGEST_BODY_BYTES = 3 * 1024 * 1024 + 64 * 1024


class Refused(Exception):
    """What is answered in place of 200: an HTTP status line, a code and a message."""

    def __init__(self, status: str, code: str, message: str):
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


class Unproven(Refused):
    """No secret of ours made it: such are counted."""


class WebhookDoor:
    """Takes POSTs to PATH and WATI_PATH; every other request goes on to `rest`, the Flask application.

    `address_key`: addresses with a secret in them were made with it. `threads`: of this process. Pages never hold the last two of them, so a slow page keeps no webhook waiting.
    """

    def __init__(
        self,
        rest: Callable,
        app_secrets: Sequence[str],
        address_key: bytes,
        inbox: Inbox,
        work: Queues,
        acknowledgements: Acknowledgements,
        threads: int,
        trusted_proxies: int = 0,
    ):
        self.trusted_proxies, self.strangers = trusted_proxies, OwnLimits()
        self.rest = rest
        self.acknowledgements = acknowledgements
        self.keys, self.address_key = [secret.encode() for secret in app_secrets], address_key
        self.inbox, self.work = inbox, work
        self.places = threading.BoundedSemaphore(max(1, threads - KEPT_THREADS))

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        verify = self.verifier(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "POST" else None
        if verify is None:
            return self.pass_on(environ, start_response)
        try:
            self.receive(environ, verify)
        except Unproven as refused:
            return _error(start_response, self.too_many(environ) or refused)
        except Refused as refused:
            return _error(start_response, refused)
        except Exception:
            log.exception("a webhook failed")
            message = "Something went wrong here; it was written to the log."
            return _error(start_response, Refused("500 Internal Server Error", "internal_error", message))
        return _answer(start_response, "200 OK", "text/plain; charset=utf-8", b"ok")

    def too_many(self, environ: dict) -> Refused | None:
        """Counted in this process alone: whoever knocks without a secret costs Redis nothing."""
        told = [part.strip() for part in environ.get("HTTP_X_FORWARDED_FOR", "").split(",")]
        believed = self.trusted_proxies and len(told) >= self.trusted_proxies
        address = told[-self.trusted_proxies] if believed else environ.get("REMOTE_ADDR", "unknown")
        if not self.strangers.count(Rate(network(address), STRANGERS_INTERVAL_SECONDS, STRANGERS_BURST)):
            return None
        return Refused("429 Too Many Requests", "too_many_requests", "Too much that is not signed comes from this address.")

    def pass_on(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        if environ["PATH_INFO"] in PROBES:
            return self.rest(environ, start_response)
        if not self.places.acquire(timeout=LONGEST_WAIT_SECONDS):
            busy = Refused("503 Service Unavailable", "busy", "Too much is asked at once; try again in a moment.")
            return _error(start_response, busy)
        try:
            return self.rest(environ, start_response)
        finally:
            self.places.release()

    def verifier(self, path: str) -> Callable[[dict], tuple[str, bytes]] | None:
        """What proves a webhook to this path: the channel it is for and its body. None: no webhooks come here."""
        if path == PATH:
            return self.signed
        if path == WATI_PATH:
            return self.with_passkey
        return self.addressed if path.startswith(f"{WATI_PATH}/") else None

    def signed(self, environ: dict) -> tuple[str, bytes]:
        signature = environ.get("HTTP_X_HUB_SIGNATURE_256", "")
        if not signature:
            raise Unproven("401 Unauthorized", "unsigned", "The header X-Hub-Signature-256 is missing.")
        body = _body(environ)
        if not is_signed(body, signature, self.keys):
            message = "The signature was not made with an app secret known here."
            raise Unproven("403 Forbidden", "wrong_signature", message)
        return "cloud", body

    def addressed(self, environ: dict) -> tuple[str, bytes]:
        whose = webhook_address.proven(self.address_key, environ["PATH_INFO"].removeprefix(f"{WATI_PATH}/"))
        if whose is None:
            raise Unproven("403 Forbidden", "wrong_address", "No number here has this address: copy it from the number's page.")
        return f"wati/{whose}", _body(environ)

    def with_passkey(self, environ: dict) -> tuple[str, bytes]:
        """The passkey is not kept. Where a body has no id it gets one here: it is one message, whenever it is read."""
        body = _object(_body(environ))
        passkey = body.pop("passkey", None)
        whose = webhook_address.proven(self.address_key, passkey) if isinstance(passkey, str) else None
        if whose is None:
            raise Unproven("403 Forbidden", "wrong_passkey", "The passkey is no number's here: copy it from the number's page.")
        if not any(body.get(name) for name in ("whatsappMessageId", "id", "localMessageId")):
            body["id"] = f"passkey-{uuid.uuid4().hex}"
        return f"wati/{whose}", json.dumps(body).encode()

    def receive(self, environ: dict, verify: Callable[[dict], tuple[str, bytes]]) -> None:
        """Keep one webhook. Raises Refused: nothing was kept."""
        begun = time.perf_counter()
        channel, body = verify(environ)
        now = time.time()
        try:
            if self.inbox.put(channel, body, now):
                self.work.drain()
        except RedisError as error:
            log.error("webhook refused, Redis did not take it: %s", type(error).__name__)
            message = "Nothing was kept; send it again."
            raise Refused("503 Service Unavailable", "try_again", message) from None
        with contextlib.suppress(RedisError):
            self.acknowledgements.count(time.perf_counter() - begun, now)


def _body(environ: dict) -> bytes:
    try:
        return get_input_stream(environ, max_content_length=LARGEST_BODY_BYTES).read()
    except RequestEntityTooLarge:
        message = f"A webhook has at most {LARGEST_BODY_BYTES} bytes."
        raise Refused("413 Request Entity Too Large", "request_entity_too_large", message) from None
    except (ClientDisconnected, OSError):
        raise Refused("400 Bad Request", "incomplete", "The body ended early.") from None


def _object(body: bytes) -> dict:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refused("400 Bad Request", "not_an_object", "The body is no JSON object.")
    return found


def is_signed(body: bytes, signature: str, keys: Sequence[bytes]) -> bool:
    """Whether `signature` is "sha256=" and the body's HMAC-SHA256 under one of `keys`, in hex."""
    scheme, _, given = signature.partition("=")
    if scheme != "sha256" or not given.isascii():
        return False
    made = [hmac.new(key, body, hashlib.sha256).hexdigest() for key in keys]
    return any([hmac.compare_digest(own, given) for own in made])  # a list: every key is compared, whichever fits


def _error(start_response: Callable, refused: Refused) -> list[bytes]:
    error = {"error": {"code": refused.code, "message": refused.message}}
    return _answer(start_response, refused.status, "application/json", json.dumps(error).encode())


def _answer(start_response: Callable, status: str, content_type: str, content: bytes) -> list[bytes]:
    start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(content)))])
    return [content]
