"""Where a stream of the web chat begins: the request is checked as any other, then its socket leaves gunicorn's thread.

gunicorn hands the socket in `environ`. We keep a copy of it and put a closed one in the original's place, for gunicorn shuts down
and closes what it holds when the request is over. StopIteration is how an application tells gunicorn that nothing is to be
written any more. A server that hands no socket over answers 501, and the page polls.
"""

import json
import math
import os
import re
import socket
from collections.abc import Callable, Iterable

from frontdesk.flows import visitors
from frontdesk.flows.context import Context
from frontdesk.web.streams import Streams
from frontdesk.web.widget import Refused, admitted, visitor_of_token

PATH = re.compile(r"/widget/([\w-]+)/stream")
# no-transform: Caddy and others would compress it, and hold back what is small
HEAD = """HTTP/1.1 200 OK\r
Content-Type: text/event-stream; charset=utf-8\r
Cache-Control: no-store, no-transform\r
X-Accel-Buffering: no\r
X-Content-Type-Options: nosniff\r
Connection: close\r
Vary: Origin\r
"""


class StreamDoor:
    """Takes GETs of streams; every other request goes on to `rest`."""

    def __init__(self, rest: Callable, context: Context):
        self.rest, self.context, self.streams = rest, context, Streams(context.live)

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        found = PATH.fullmatch(environ["PATH_INFO"])
        if found is None or environ["REQUEST_METHOD"] != "GET":
            return self.rest(environ, start_response)
        try:
            visitor = self.admit(environ, found[1])
        except Refused as refused:
            return _error(environ, start_response, refused)
        self.streams.add(_taken(environ["gunicorn.socket"]), visitor, _head(environ))
        raise StopIteration

    def admit(self, environ: dict, key: str) -> str:
        own = f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}"
        headers = {"Sec-Fetch-Site": environ.get("HTTP_SEC_FETCH_SITE")}
        admitted(self.context, key, environ.get("HTTP_ORIGIN"), own, headers)
        visitor, _ = visitor_of_token(self.context, key, environ.get("HTTP_AUTHORIZATION"))
        wait_seconds = visitors.asks(self.context, visitor, environ.get("REMOTE_ADDR") or "unknown")
        if wait_seconds:
            raise Refused(429, "too_many_requests", "That is too quick; wait a moment.", retry_after=wait_seconds)
        if "gunicorn.socket" not in environ:
            raise Refused(501, "no_streams", "This server has no streams; ask for the messages from time to time.")
        if not self.streams.has_room(visitor):
            raise Refused(503, "too_many_streams", "Too many pages are open; ask for the messages from time to time.", retry_after=60)
        return visitor


def _taken(original: socket.socket) -> socket.socket:
    own = original.dup()
    left, right = socket.socketpair()
    with left, right:
        os.dup2(left.fileno(), original.fileno())
    return own


def _head(environ: dict) -> bytes:
    origin = environ.get("HTTP_ORIGIN")
    return (HEAD + (f"Access-Control-Allow-Origin: {origin}\r\n" if origin else "") + "\r\n").encode("latin-1")


def _error(environ: dict, start_response: Callable, refused: Refused) -> list[bytes]:
    content = json.dumps({"error": {"code": refused.code, "message": refused.message}}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(content))), ("Cache-Control", "no-store"), ("Vary", "Origin")]
    if refused.retry_after is not None:
        headers.append(("Retry-After", str(math.ceil(refused.retry_after))))
    if environ.get("HTTP_ORIGIN") and refused.code not in ("wrong_origin", "unknown_key"):
        headers += [("Access-Control-Allow-Origin", environ["HTTP_ORIGIN"]), ("Access-Control-Expose-Headers", "Retry-After")]
    start_response(f"{refused.status} {_REASONS.get(refused.status, 'Refused')}", headers)
    return [content]


_REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 429: "Too Many Requests", 501: "Not Implemented", 503: "Service Unavailable"}
