"""A transcription server made of no model: a real HTTP server on loopback with OpenAI's /v1/audio/transcriptions.

with Transcriptions("When do you open?") as server: server.url, server.asked. Each request takes the next of the answers, the last
one again and again: a text, an HTTP status to refuse with, or a function of the asked that returns either and may take its time.
"""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Asked:
    path: str
    authorization: str | None
    fields: dict[str, str]
    filename: str
    mime_type: str
    sound: bytes


Answer = str | int | Callable[[Asked], "str | int"]


class Transcriptions:
    def __init__(self, *answers: Answer):
        self.answers, self.asked = list(answers), []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Transcriptions":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(stand_in):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                asked = _read(self.path, self.headers, body)
                stand_in.asked.append(asked)
                answer = stand_in.answers.pop(0) if len(stand_in.answers) > 1 else stand_in.answers[0]
                answer = answer(asked) if callable(answer) else answer
                refused = isinstance(answer, int)
                data = json.dumps({"error": {"message": "refused"}} if refused else {"text": answer}).encode()
                with suppress(ConnectionError):  # whoever asked may be gone
                    self.send_response(answer if refused else 200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *_):
                pass

        return Handler


def _read(path: str, headers, body: bytes) -> Asked:
    """By the library's own MIME parser, not by ours."""
    form = message_from_bytes(b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body, policy=policy.HTTP)
    parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
    sound = parts.pop("file")
    fields = {name: part.get_payload(decode=True).decode() for name, part in parts.items()}
    return Asked(path, headers["Authorization"], fields, sound.get_filename(), sound.get_content_type(), sound.get_payload(decode=True))
