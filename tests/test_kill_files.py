"""Files under kill -9: of the worker that uploads and sends, of the one that fetches, and of the web process that takes an upload."""

import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from tests import media_bodies as bodies
from tests.stack import Stack, wait_for
from tests.test_kinds import ANA, Api

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kill-files")
    with Stack(folder, without=("ollama", "default"), FETCH_PRIVATE_ADDRESSES="yes") as running:
        running.simulator.customer_writes(ANA, "Hello")
        wait_for(lambda: running.rows("SELECT id FROM messages"))
        yield running


@pytest.fixture(scope="module")
def api(stack):
    return Api(stack)


def sent_of(stack: Stack, task: dict) -> list[dict]:
    return [send for send in stack.simulator.sends(ANA) if send["callback_data"].startswith(task["task_id"])]


def done(stack: Stack, api: Api, task: dict, seconds: float = 60) -> None:
    wait_for(lambda: api.task(task["task_id"])["status"] in ("delivered", "read"), seconds, every=0.3)


def test_killed_in_the_middle_of_an_upload_it_is_sent_once(stack, api):
    media = api("POST", "/media", files={"file": ("cake.png", bodies.PNG + b"1")}).json()
    stack.simulator.behave(latency_ms=2500, latency_to="media")
    task = api.send({"type": "image", "media_id": media["media_id"]})
    time.sleep(1)
    stack.kill("high")
    stack.simulator.behave(latency_ms=0, latency_to=None)
    done(stack, api, task)
    assert len(sent_of(stack, task)) == 1


def test_files_and_texts_under_kills_each_arrive_once_and_in_their_order(stack, api):
    tasks, stop = [], threading.Event()

    def kill():
        while not stop.wait(1.5):
            stack.kill("high")

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        for n in range(12):
            media = api("POST", "/media", files={"file": (f"{n}.png", bodies.PNG + str(n).encode())}).json()
            tasks += [api.send({"type": "image", "media_id": media["media_id"], "caption": str(n)}), api.send(f"after {n}")]
            time.sleep(0.4)
    finally:
        stop.set()
        killer.join()
    for task in tasks:
        done(stack, api, task, 120)
    assert [len(sent_of(stack, task)) for task in tasks] == [1] * len(tasks)
    order = [sent_of(stack, task)[0]["seq"] for task in tasks]
    assert order == sorted(order)


def test_killed_while_it_fetches_it_is_fetched_again_and_sent_once(stack, api, tmp_path):
    (tmp_path / "cake.png").write_bytes(bodies.PNG + b"fetched")
    asked = threading.Event()

    class Slow(SimpleHTTPRequestHandler):
        def do_GET(self):
            if not asked.is_set():
                asked.set()
                time.sleep(5)
            super().do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Slow, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    task = api.send({"type": "image", "url": f"http://127.0.0.1:{server.server_port}/cake.png"})
    assert asked.wait(20)
    if not stack.kill_grandchild("bulk"):
        stack.kill("bulk")
    done(stack, api, task, 120)
    assert len(sent_of(stack, task)) == 1
    server.shutdown()


def test_an_upload_cut_by_the_death_of_the_web_process_leaves_nothing_and_can_be_repeated(stack, api):
    def slow_body():
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.png"\r\n\r\n' + bodies.PNG
        time.sleep(1)
        stack.kill_grandchild("web")
        stack.kill("web")
        time.sleep(1)
        yield b"\r\n--b--\r\n"

    with pytest.raises(requests.RequestException):
        api("POST", "/media", data=slow_body(), headers={"Content-Type": "multipart/form-data; boundary=b"}).raise_for_status()
    before = len(stack.rows("SELECT id FROM media"))
    wait_for(lambda: _up(stack), 30)
    media = api("POST", "/media", files={"file": ("x.png", bodies.PNG + b"again")}).json()
    assert media["status"] == "ready" and len(stack.rows("SELECT id FROM media")) == before + 1
    done(stack, api, api.send({"type": "image", "media_id": media["media_id"]}))


def _up(stack: Stack) -> bool:
    try:
        return requests.get(f"{stack.web_url}/health", timeout=1).ok
    except requests.RequestException:
        return False
