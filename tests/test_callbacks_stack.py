"""Callbacks with every process real: whoever is killed, each batch is told of at least once, under one id."""

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from frontdesk.flows import callbacks
from tests.stack import Stack, wait_for
from tests.test_documents_stack import CLASSIFIED, Api

pytestmark = pytest.mark.stack


class Program:
    """A program that is told: it answers late and now and then with an error."""

    def __init__(self):
        self.told: dict[str, list[dict]] = defaultdict(list)
        self.signatures: list[tuple[str, bytes]] = []
        program, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    program.told[self.headers["X-Frontdesk-Delivery"]].append(json.loads(body))
                    program.signatures.append((self.headers["X-Frontdesk-Signature"], body))
                program.pause.wait(0.2)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.pause = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/told"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("callbacks"), FETCH_PRIVATE_ADDRESSES="true") as running:
        yield running


def test_every_batch_is_told_of_under_one_id_whoever_is_killed(stack):
    program, api = Program(), Api(stack)
    stack.ollama.behave(text=CLASSIFIED, first_token_delay_seconds=0.02)
    asked = {"kind": "classification", "texts": ["a", "b", "c"], "callback_url": program.url}
    batches = [api.post("/batches", asked)["batch_id"] for _ in range(40)]
    for told in range(1, 7):  # however slow the machine: killed when it has got a little further
        wait_for(lambda: len(program.told) >= told, 60)
        stack.kill("bulk")
        stack.kill("default")
    assert len(program.told) < 40
    wait_for(lambda: not stack.rows("SELECT id FROM callbacks WHERE state <> 'delivered'") and len(program.told) == 40, 240)
    assert sorted(bodies[0]["batch_id"] for bodies in program.told.values()) == sorted(batches)
    for bodies in program.told.values():
        assert all(body == bodies[0] for body in bodies), "each time the same words"
    assert {row["public_id"] for row in stack.rows("SELECT public_id FROM callbacks")} == set(program.told)
    key = callbacks.secret(stack.settings, None)
    for signed, body in program.signatures:
        at = int(signed.partition(",")[0].removeprefix("t="))
        assert signed == callbacks.signature([key], at, body)
