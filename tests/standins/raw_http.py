"""An HTTP server on loopback that does to a connection exactly what a test asks for: answers, silence, cuts, trickles.

`RawServer` keeps every request it read. Each request takes the next of `turns`, the last one again and again when the list
is used up. A turn is a function of the connection's socket; it returns True to keep the connection open.
"""

import json
import socket
import ssl
import struct
import threading
from dataclasses import dataclass
from typing import Any, Callable

Turn = Callable[[socket.socket], bool]


@dataclass(frozen=True)
class Request:
    line: str
    headers: dict[str, str]
    body: bytes
    connection: int

    def json(self) -> Any:
        return json.loads(self.body)


def answer(status: int, body: Any = b"", headers: dict[str, str] | None = None, keep: bool = True) -> Turn:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Content-Length": str(len(data)), **(headers or {})}
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{key}: {value}\r\n" for key, value in lines.items()) + "\r\n"

    def turn(connection: socket.socket) -> bool:
        connection.sendall(head.encode() + data)
        return keep

    return turn


def raw(data: bytes) -> Turn:
    """These bytes, then the connection is closed."""

    def turn(connection: socket.socket) -> bool:
        connection.sendall(data)
        return False

    return turn


def cut(connection: socket.socket) -> bool:
    """Read the request, close without a word."""
    return False


def reset(connection: socket.socket) -> bool:
    """Read the request, answer with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


class RawServer:
    def __init__(self, *turns: Turn, tls: ssl.SSLContext | None = None, on_accept: Turn | None = None):
        self.turns, self.requests, self.connections = list(turns), [], 0
        self._tls, self._on_accept = tls, on_accept
        self._ended = threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme = "http" if tls is None and on_accept is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "RawServer":
        return self

    def __exit__(self, *_: Any) -> None:
        self._ended.set()
        self._listener.close()
        for connection in self._open:
            connection.close()

    def silence(self, connection: socket.socket) -> bool:
        """Say nothing until the server is closed."""
        self._ended.wait()
        return False

    def trickle(self, connection: socket.socket) -> bool:
        """A promising head, then a byte at a time for as long as the test lasts."""
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not self._ended.wait(0.05):
            connection.sendall(b" ")
        return False

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            if self._on_accept is not None:
                self._on_accept(connection)
                return
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection.makefile("rb") as stream:
                while (request := _read(stream, number)) is not None:
                    self.requests.append(request)
                    turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
                    if not turn(connection):
                        return
        except OSError:
            return
        finally:
            connection.close()


def _read(stream: Any, number: int) -> Request | None:
    line = stream.readline().decode("latin-1").strip()
    if not line:
        return None
    headers = {}
    while header := stream.readline().decode("latin-1").strip():
        key, _, value = header.partition(":")
        headers[key.lower()] = value.strip()
    return Request(line, headers, stream.read(int(headers.get("content-length", 0))), number)
