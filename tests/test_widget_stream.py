"""The web chat's streams on a real gunicorn: an answer comes as the model writes it, and an open stream holds no thread."""

import json
import socket
import time

import pytest
import requests

from frontdesk.flows import visitors
from frontdesk.flows.first_run import DEMO_WIDGET
from tests.stack import Stack, wait_for

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("stack"), without=("simulator", "bulk"), WEB_WORKERS="1", WEB_THREADS="4") as running:
        yield running


class Chat:
    """One browser's calls, and its stream on a socket of its own."""

    def __init__(self, stack: Stack):
        self.url = f"{stack.web_url}/widget/{DEMO_WIDGET}"
        self.port = int(stack.web_url.rpartition(":")[2])
        self.session = requests.Session()
        self.session.headers["Origin"] = stack.settings.simulator_url
        token = visitors.issue(stack.settings, DEMO_WIDGET, time.time())
        self.session.headers["Authorization"] = f"Bearer {token}"
        self.line: socket.socket | None = None
        self.received = b""

    def listen(self, **headers: str) -> "Chat":
        lines = {"Host": f"127.0.0.1:{self.port}", **self.session.headers, **headers}
        request = f"GET /widget/{DEMO_WIDGET}/stream HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
        self.line = socket.create_connection(("127.0.0.1", self.port), 10)
        self.line.sendall(request.encode())
        self.line.settimeout(0.05)
        wait_for(lambda: b"\r\n\r\n" in self.take())
        return self

    def take(self) -> bytes:
        try:
            self.received += self.line.recv(65536)
        except TimeoutError:
            pass
        return self.received

    def events(self) -> list[dict]:
        lines = self.take().partition(b"\r\n\r\n")[2].split(b"\n")
        return [json.loads(line[6:]) for line in lines[:-1] if line.startswith(b"data: ")]

    def write(self, text: str) -> None:
        self.session.post(f"{self.url}/messages", json={"id": f"message-{time.time_ns()}", "text": text}, timeout=10).raise_for_status()

    def messages(self) -> list[dict]:
        return self.session.get(f"{self.url}/messages", timeout=10).json()["messages"]


def test_an_answer_comes_as_the_model_writes_it(stack):
    stack.ollama.reset()
    stack.ollama.behave(tokens_per_second=6)
    stack.ollama.next({"text": "One two three four five six seven **eight** nine ten."})
    chat = Chat(stack).listen()
    chat.write("Count, please")
    wait_for(lambda: any(line["from"] == "bot" for line in chat.messages()))
    written = [event["text"] for event in chat.events() if event["type"] == "writing"]
    assert len(written) >= 4 and all(later.startswith(earlier[:3]) for earlier, later in zip(written, written[1:]))
    assert chat.messages()[-1]["text"] == "One two three four five six seven *eight* nine ten."
    assert chat.events()[-1] == {"type": "changed"}
    stack.ollama.reset()


def test_the_headers_are_those_of_a_stream_for_the_page_s_origin(stack):
    head = Chat(stack).listen().received.partition(b"\r\n\r\n")[0].decode()
    assert head.startswith("HTTP/1.1 200 OK")
    for line in ("text/event-stream", "no-transform", f"Access-Control-Allow-Origin: {stack.settings.simulator_url}", "Vary: Origin"):
        assert line in head


@pytest.mark.parametrize(("headers", "status"), [({"Authorization": "Bearer forged"}, 401), ({"Origin": "https://evil.example"}, 403)])
def test_a_stream_is_refused_as_everything_else_is(stack, headers, status):
    assert f"HTTP/1.1 {status} ".encode() in Chat(stack).listen(**headers).received


def test_open_streams_hold_no_thread(stack):
    """Four threads, sixty streams, and all else is answered at once."""
    chats = [Chat(stack).listen() for _ in range(60)]
    for chat in chats:
        wait_for(lambda: chat.events() == [{"type": "open"}])
    for _ in range(50):
        assert requests.get(f"{stack.web_url}/health", timeout=10).status_code == 200
    for chat in chats:
        chat.line.close()
    again = Chat(stack).listen()
    wait_for(lambda: again.events() == [{"type": "open"}])


def test_a_visitor_has_a_few_streams_and_no_more(stack):
    chat = Chat(stack)
    others = [chat.listen().line for _ in range(6)]
    wait_for(lambda: chat.events())
    assert len({line.fileno() for line in others}) == 6
    chat.received = b""
    assert b"HTTP/1.1 503 " in chat.listen().received


def test_a_stream_goes_on_when_redis_comes_back(stack):
    chat = Chat(stack).listen()
    wait_for(lambda: chat.events() == [{"type": "open"}])
    stack.kill("redis")
    wait_for(lambda: {"type": "changed"} in chat.events(), 20)
    chat.write("Are you still there?")
    before = chat.events().count({"type": "changed"})
    wait_for(lambda: any(line["from"] == "bot" for line in chat.messages()), 30)
    wait_for(lambda: chat.events().count({"type": "changed"}) > before)


def test_a_web_process_that_ends_closes_its_streams_so_that_pages_come_again(stack):
    chat = Chat(stack).listen()
    wait_for(lambda: chat.events() == [{"type": "open"}])
    assert stack.kill_grandchild("web")

    def is_closed() -> bool:
        try:
            return chat.line.recv(65536) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    wait_for(is_closed)


def test_a_worker_that_dies_while_it_writes_leaves_one_answer(stack):
    stack.ollama.reset()
    stack.ollama.behave(tokens_per_second=5)
    chat = Chat(stack).listen()
    chat.write("Please tell me slowly what you have today, and what it costs, and when you close")
    wait_for(lambda: any(event["type"] == "writing" and event["text"] for event in chat.events()))
    stack.kill("default")
    stack.ollama.reset()
    wait_for(lambda: any(line["from"] == "bot" for line in chat.messages()), 40)
    wait_for(lambda: chat.events()[-1] == {"type": "changed"})
    time.sleep(2)  # a second answer would be here by now
    assert [line["from"] for line in chat.messages()] == ["visitor", "bot"]
    assert chat.session.get(f"{chat.url}/messages", timeout=10).json()["writing"] == ""
