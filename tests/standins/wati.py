"""A WATI made of no WhatsApp: a real HTTP server on loopback that takes session messages and posts webhooks, as docs.wati.io has it.

    with WatiStandIn(webhook_url) as wati:
        wati.customer_writes("4915112345678", "Hello")
        wati.replies.append(lost)          # for the next send: refused(…), failing(503), lost, unheard, slow(2)
        wati.sent                          # every message that was taken, in order

`events`: which of a taken message's events are posted ("_v2" ones carry localMessageId, "" ones do not; () none). Not acknowledged
with 200, a webhook is posted again up to 144 times, as WATI does, here every `retry_seconds`.
"""

import itertools
import json
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import requests

TENANT = "384776"
TOKEN = "wati-test-token-0123456789"
MOST_TRIES = 144


@dataclass(frozen=True)
class Taken:
    """One message that went out to a customer. `text` of a file: its caption."""

    to: str
    text: str
    kind: str
    local_id: str | None
    external_id: str
    at: float


Reply = Callable[["WatiStandIn", dict], tuple[int, dict] | None]


def refused(words: str, status: int = 200) -> Reply:
    return lambda wati, asked: (status, {"result": False, "info": words})


def failing(status: int, headers: dict[str, str] | None = None) -> Reply:
    return lambda wati, asked: (status, {"headers": headers or {}})


def lost(wati: "WatiStandIn", asked: dict) -> None:
    """Taken, and the connection breaks before the answer."""
    wati.take(asked)


def unheard(wati: "WatiStandIn", asked: dict) -> None:
    """Read, not taken, and the connection breaks."""


def slow(seconds: float) -> Reply:
    def reply(wati: "WatiStandIn", asked: dict) -> tuple[int, dict]:
        time.sleep(seconds)
        return accepted(wati, asked)

    return reply


def accepted(wati: "WatiStandIn", asked: dict) -> tuple[int, dict]:
    taken = wati.take(asked)
    message = {"whatsappMessageId": taken.external_id, "localMessageId": taken.local_id, "text": taken.text, "type": taken.kind, "id": uuid.uuid4().hex}
    return 200, {"ok": True, "result": "success", "message": message}


class WatiStandIn:
    def __init__(self, webhook_url: str = "", *, events: tuple[str, ...] = ("_v2",), retry_seconds: float = 0.5, latency_seconds: float = 0.0):
        self.webhook_url, self.events, self.retry_seconds, self.latency_seconds = webhook_url, events, retry_seconds, latency_seconds
        self.sent: list[Taken] = []
        self.calls: list[dict] = []
        self.replies: deque[Reply] = deque()
        self.posted: list[tuple[int, float]] = []  # each attempt of each webhook: its answer (0: none) and the seconds it took
        self._serial, self._lock, self._ended = itertools.count(1), threading.Lock(), threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"wati": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.endpoint = f"{self.url}/{TENANT}"

    def __enter__(self) -> "WatiStandIn":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    # --- customers -----------------------------------------------------------------------------------------------------------

    def message(self, wa_id: str, text: str, **fields: Any) -> dict:
        """A message's webhook body."""
        number = next(self._serial)
        return {
            "id": f"{uuid.uuid4().hex[:24]}",
            "created": "2026-03-11T14:27:32.9655388Z",
            "whatsappMessageId": f"wamid.customer{number}.{uuid.uuid4().hex[:8]}",
            "conversationId": f"conversation-{wa_id}",
            "ticketId": "ticket",
            "text": text,
            "type": "text",
            "data": None,
            "timestamp": str(int(time.time())),
            "owner": False,
            "eventType": "message",
            "statusString": "SENT",
            "waId": wa_id,
            "senderName": f"Customer {wa_id[-3:]}",
            **fields,
        }

    def customer_writes(self, wa_id: str, text: str, **fields: Any) -> dict:
        body = self.message(wa_id, text, **fields)
        self.deliver(body)
        return body

    def deliver(self, body: dict) -> int:
        """One webhook, again until it is acknowledged. The last answer's status."""
        for _ in range(MOST_TRIES):
            status = self._post(body)
            if status == 200 or self._ended.wait(self.retry_seconds):
                return status
        return status

    def _post(self, body: dict) -> int:
        begun = time.monotonic()
        try:
            status = requests.post(self.webhook_url, json=body, timeout=10).status_code
        except requests.RequestException:
            status = 0
        self.posted.append((status, time.monotonic() - begun))
        return status

    # --- sends ---------------------------------------------------------------------------------------------------------------

    def texts(self, to: str) -> list[str]:
        return [taken.text for taken in self.sent if taken.to == to]

    def take(self, asked: dict) -> Taken:
        with self._lock:
            text = asked.get("messageText", asked.get("caption", ""))
            local_id = asked.get("localMessageId")
            taken = Taken(asked["to"], text, asked["kind"], local_id, f"wamid.wati{next(self._serial)}", time.time())
            self.sent.append(taken)
        threading.Thread(target=self._tell, args=(taken,), daemon=True).start()
        return taken

    def _tell(self, taken: Taken) -> None:
        for version in self.events:
            local = {"localMessageId": taken.local_id} if version else {}
            body = {"id": uuid.uuid4().hex, "whatsappMessageId": taken.external_id, "text": taken.text or None, "type": taken.kind, **local}
            body["timestamp"] = str(int(taken.at))
            self.deliver({**body, "eventType": f"sessionMessageSent{version}", "owner": True, "waId": taken.to, "statusString": "SENT"})
            self.deliver({**body, "eventType": f"sentMessageDELIVERED{version}", "statusString": "Delivered"})

    def answer(self, asked: dict) -> tuple[int, dict] | None:
        with self._lock:
            self.calls.append(asked)
            reply = self.replies.popleft() if self.replies else accepted
        time.sleep(self.latency_seconds)
        return reply(self, asked)


def _kind(form: bytes) -> str:
    """Of a form with one file, by the type that stands in it."""
    found = re.search(rb'name="file".*?Content-Type: (\w+)/', form, re.DOTALL)
    kind = found[1].decode() if found else ""
    return kind if kind in ("image", "video", "audio") else "document"


class _Handler(BaseHTTPRequestHandler):
    wati: WatiStandIn
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        before, _, target = parts.path.rpartition("/")
        edge = before.removeprefix(f"/{TENANT}/api/v1/")
        if edge not in ("sendSessionMessage", "sendSessionFile"):
            return self._say(404, {})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._say(401, {})
        asked = {"to": unquote(target), "kind": _kind(body) if edge == "sendSessionFile" else "text", "bytes": len(body)}
        asked |= {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        answer = self.wati.answer(asked)
        if answer is None:
            self.close_connection = True
            self.connection.close()
        else:
            self._say(*answer)

    def do_GET(self) -> None:
        if urlsplit(self.path).path != f"/{TENANT}/api/v1/getContacts":
            return self._say(404, {})
        good = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        self._say(200 if good else 401, {"result": "success", "contact_list": []} if good else {})

    def _say(self, status: int, body: dict) -> None:
        headers = body.pop("headers", {})
        data = json.dumps(body).encode() if body else b""
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass
