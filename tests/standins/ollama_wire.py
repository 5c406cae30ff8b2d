"""HTTP/1.1 as the Ollama stand-in needs it: one asyncio protocol for each connection, one task for each request.

A client that leaves (FIN or RST) cancels the task of its request at once, wherever that task waits. asyncio sets
TCP_NODELAY on every connection, so each `write` leaves as its own segment.
"""

import asyncio
import json
import socket
import struct
from typing import Any, Awaitable, Callable

REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 411: "Length Required",
           500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}  # fmt: skip


def go_json(value: Any) -> str:
    """JSON as Go's encoder writes it: no spaces, raw UTF-8, but <, >, & and the two Unicode line ends escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


class Exchange:
    """One request and the means to answer it. `body` is the raw request body."""

    def __init__(self, connection: "Connection", method: str, path: str, body: bytes):
        self.method, self.path, self.body = method, path, body
        self._connection = connection
        self.started = False

    def json(self) -> Any:
        """The body as JSON; {} when there is none; ValueError when it is not JSON."""
        return json.loads(self.body) if self.body.strip() else {}

    def answer(self, status: int, body: bytes, content_type: str) -> None:
        self.started = True
        head = _head(status, content_type, f"Content-Length: {len(body)}")
        self._connection.write(head if self.method == "HEAD" else head + body)

    def answer_json(self, status: int, value: Any) -> None:
        self.answer(status, go_json(value).encode(), "application/json; charset=utf-8")

    def write(self, *chunks: bytes) -> None:
        """Send these chunks of a streamed answer in one socket write; the head goes out before the first."""
        data = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        if not self.started:
            self.started = True
            data = _head(200, "application/x-ndjson", "Transfer-Encoding: chunked") + data
        self._connection.write(data)

    def finish(self, *chunks: bytes) -> None:
        """End a streamed answer properly, with these last chunks in the same socket write."""
        data = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        if not self.started:
            self.started = True
            data = _head(200, "application/x-ndjson", "Transfer-Encoding: chunked") + data
        self._connection.write(data)

    def cut(self, reset: bool = False) -> None:
        """Drop the connection in the middle of the answer: FIN, or RST with `reset`."""
        self._connection.drop(reset)


class Connection(asyncio.Protocol):
    def __init__(self, answer: Callable[[Exchange], Awaitable[None]], connections: set["Connection"]):
        self._answer, self._connections = answer, connections
        self._buffer = b""
        self._task: asyncio.Task | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._take_request()

    def eof_received(self) -> None:
        self._client_left()

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        self._client_left()

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def drop(self, reset: bool) -> None:
        self._task = None  # it ends by itself; this is no client that left
        if not reset:
            self._transport.close()
            return
        linger_zero = struct.pack("ii", 1, 0)
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)
        self._transport.abort()

    def _client_left(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _take_request(self) -> None:
        if self._task is not None:
            return
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            if headers.get("expect", "").lower() == "100-continue" and not rest:
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        self._buffer = rest[length:]
        exchange = Exchange(self, method, target.split("?")[0], rest[:length])
        if "transfer-encoding" in headers:
            exchange.answer_json(411, {"error": "the stand-in wants a Content-Length"})
            return
        self._task = asyncio.get_running_loop().create_task(self._run(exchange, headers.get("connection", "")))

    async def _run(self, exchange: Exchange, connection_header: str) -> None:
        try:
            await self._answer(exchange)
        except BaseException:  # the client left, or the stand-in is wrong: nobody shall wait for an answer
            self._transport.abort()
            raise
        self._task = None
        if connection_header.lower() == "close":
            self._transport.close()
        elif self._buffer:
            self._take_request()


def _head(status: int, content_type: str, framing: str) -> bytes:
    first = f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"
    return f"{first}\r\nContent-Type: {content_type}\r\n{framing}\r\n\r\n".encode()
