"""A business's own server that lookups ask: a real HTTP server on loopback.

with Shop({"status": "sent"}) as shop: shop.url, shop.asked (path and headers). Each request takes the next of the answers, the last one
again and again: anything for JSON, or an Answer with status, type, body and seconds to wait.
"""

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    body: bytes = b""
    status: int = 200
    type: str = "application/json"
    wait_seconds: float = 0.0
    location: str = ""


class Shop:
    def __init__(self, *answers: Any):
        self.answers, self.asked = list(answers), []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Shop":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def _handler(shop):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                shop.asked.append((self.path, dict(self.headers)))
                answer = shop.answers.pop(0) if len(shop.answers) > 1 else shop.answers[0]
                if not isinstance(answer, Answer):
                    answer = Answer(json.dumps(answer).encode())
                time.sleep(answer.wait_seconds)
                with suppress(ConnectionError):  # whoever asked may be gone
                    self.send_response(answer.status)
                    if answer.location:
                        self.send_header("Location", answer.location)
                    self.send_header("Content-Type", answer.type)
                    self.send_header("Content-Length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body)

            def log_message(self, *_):
                pass

        return Handler
