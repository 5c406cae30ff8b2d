"""The whole of Frontdesk on free ports, in real processes, for end-to-end tests: what they know, they know over HTTP.

    with Stack(folder) as stack:
        stack.simulator.customer_writes("491511", "Hello")
        stack.simulator.wait_for_answers("491511", 1)

Every process runs under bin/keep, as the Procfile has it, so one that is killed comes back.
"""

import base64
import mimetypes
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from frontdesk import settings as settings_module
from frontdesk.cli.start import prepare
from frontdesk.flows import links
from frontdesk.store import database

ROOT = Path(__file__).parent.parent
PYTHON = sys.executable

COMMANDS = {
    "redis": [PYTHON, "-m", "frontdesk.redis_server"],
    "ollama": [PYTHON, "-m", "tests.standins.ollama", "--port", "{ollama}", "--instant"],
    "simulator": [PYTHON, "-m", "frontdesk.simulator"],
    "web": [PYTHON, "-m", "gunicorn", "-c", "gunicorn.conf.py", "chatbot:create_app()"],
    "high": [PYTHON, "bin/worker", "high"],
    "default": [PYTHON, "bin/worker", "default"],
    "bulk": [PYTHON, "bin/worker", "bulk"],
    "scheduler": [PYTHON, "scheduler.py"],
}

START_SECONDS = 90  # eight Python processes at once, on a machine that does other things too

# Quick enough for tests; nothing but time is different from the defaults.
QUICK = {
    "QUIET_SECONDS": "0.3",
    "LONGEST_WAIT_SECONDS": "3",
    "LEASE_SECONDS": "3",
    "SWEEP_SECONDS": "2",
    "UNKNOWN_WAIT_SECONDS": "8",
    "SEND_RETRY_SECONDS": "1,2,4,4,4,4",
    "GRAPH_TIMEOUT_SECONDS": "3",
    "OLLAMA_TIMEOUT_SECONDS": "20",
    "PATIENCE_SECONDS": "5",
}


def wait_for(condition: Callable[[], Any], seconds: float = 20, every: float = 0.05) -> Any:
    """The first true value of `condition`; AssertionError when there was none within these seconds."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {getattr(condition, '__name__', condition)}")
        time.sleep(every)


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Stack:
    """`changes`: settings different from QUICK. `without`: processes that are not started."""

    def __init__(self, folder: Path, without: tuple[str, ...] = (), **changes: str):
        web, simulator, ollama = free_ports(3)
        self.folder = folder
        self.names = [name for name in COMMANDS if name not in without]
        self.environ = {
            **{key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"},
            **QUICK,
            "DATA_DIR": str(folder / "data"),
            "WEB_PORT": str(web),
            "SIMULATOR_PORT": str(simulator),
            "OLLAMA_HOST": f"http://127.0.0.1:{ollama}",
            "LOG_LEVEL": "info",
            "PYTHONPATH": str(ROOT),
            **changes,
        }
        self.settings = settings_module.load(self.environ, env_file=folder / "none")
        self.environ |= {
            "SECRET_KEY": self.settings.secret_key,
            "SIMULATOR_WEBHOOK_URL": f"http://127.0.0.1:{web}/webhooks/whatsapp",
            "SIMULATOR_APP_SECRET": self.settings.simulator_app_secret,
            "SIMULATOR_ACCESS_TOKEN": "simulator",
        }
        self.web_url = f"http://127.0.0.1:{web}"
        self.ollama_port = ollama
        self.processes: dict[str, subprocess.Popen] = {}
        self.simulator = Simulator(self.settings.simulator_url)
        self.ollama = OllamaControl(self.settings.ollama_host)

    def __enter__(self) -> "Stack":
        prepare(self.settings)
        try:
            for name in self.names:
                self.start(name)
            self.wait_until_ready()
        except BaseException:
            self.stop_all()
            raise
        return self

    def __exit__(self, kind, *_) -> None:
        self.stop_all()
        if kind is not None:
            for name in self.names:
                print(f"--- {name}\n{self.log(name)[-3000:]}")

    def start(self, name: str, **environ: str) -> None:
        """`default@b` is a second `default`, with settings of its own in `environ`."""
        command = [word.format(ollama=self.ollama_port) for word in COMMANDS[name.partition("@")[0]]]
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                ["bin/keep", *command], cwd=ROOT, env=self.environ | environ, stdout=log, stderr=log, start_new_session=True
            )

    def wait_until_ready(self) -> None:
        if "web" in self.names:
            wait_for(lambda: _answers(f"{self.web_url}/ready"), START_SECONDS)
        if "simulator" in self.names:
            wait_for(lambda: _answers(f"{self.simulator.url}/simulator/api/behaviour"), START_SECONDS)
        if "ollama" in self.names:
            wait_for(lambda: _answers(f"{self.ollama.url}/api/version"), START_SECONDS)
        for name in {"high", "default", "bulk"} & set(self.names):
            wait_for(lambda: self.worker_count(name), START_SECONDS)

    def worker_count(self, name: str) -> int:
        from frontdesk import queues

        try:
            return queues.workers_alive(queues.connect(self.settings.redis_address))[name]
        except queues.RedisError:
            return 0

    def stop(self, name: str) -> None:
        process = self.processes.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(8)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)

    def stop_all(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for name in list(self.processes):
            self.stop(name)

    def first_run_url(self) -> str:
        """Where the first owner is made; bin/start prints such a link."""
        db = self.database()
        with database.transaction(db):
            token = links.first_run(db, time.time())
        db.close()
        return f"{self.web_url}/first-run/{token}"

    # --- breaking things ------------------------------------------------------------------------------------------------------

    def child(self, name: str) -> int | None:
        """The process that bin/keep keeps, now."""
        return next(iter(children_of(self.processes[name].pid)), None)

    def kill(self, name: str, signum: int = signal.SIGKILL) -> None:
        """Kill the process itself, not its restarter. A gunicorn's or worker's own children are left to their fate."""
        pid = wait_for(lambda: self.child(name))
        os.kill(pid, signum)

    def kill_grandchild(self, name: str) -> bool:
        """Kill a work-horse or web worker, if there is one now."""
        pid = self.child(name)
        for grandchild in children_of(pid) if pid else []:
            os.kill(grandchild, signal.SIGKILL)
            return True
        return False

    # --- looking --------------------------------------------------------------------------------------------------------------

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def rows(self, sql: str, *parameters: Any) -> list[dict]:
        db = database.connect(self.settings)
        try:
            return [dict(row) for row in db.execute(sql, parameters)]
        finally:
            db.close()

    def database(self) -> sqlite3.Connection:
        return database.connect(self.settings)


class Simulator:
    """The simulator's control API."""

    def __init__(self, url: str):
        self.url = url
        self.session = requests.Session()

    def _call(self, method: str, path: str, **options) -> Any:
        response = self.session.request(method, f"{self.url}/simulator/api/{path}", timeout=60, **options)
        response.raise_for_status()
        return response.json()

    def customer_writes(self, sender: str, text: str, **fields) -> dict:
        """`sender`: a phone number. Returns what the simulator says of the message, its wamid under "id"."""
        return self._call("POST", "messages", json={"from": sender, "type": "text", "text": text, **fields})

    def customer_sends(self, sender: str, path: Path, type: str = "", caption: str = "", **fields) -> dict:
        """A file, as this type of message: image, voice, audio, video, document, sticker; '' by the file's own."""
        mime_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        form = {"from": sender, "type": type, "caption": caption, **fields}
        return self._call("POST", "files", files={"file": (path.name, path.read_bytes(), mime_type)}, data=form)

    def posts(self, body: bytes, **options) -> dict:
        """A raw webhook body, signed. Returns the status codes under "statuses"."""
        encoded = base64.b64encode(body).decode()
        return self._call("POST", "webhooks", json={"body_base64": encoded, **options})

    def sends(self, to: str | None = None) -> list[dict]:
        """Every message that was accepted, oldest first."""
        found, after = [], 0
        while page := self._call("GET", f"sends?after={after}")["sends"]:
            found += page
            after = page[-1]["seq"]
        return [send for send in found if to is None or to in (send.get("to"), send.get("recipient"))]

    def newest_sends(self, count: int) -> list[dict]:
        return self._call("GET", f"sends?newest={count}")["sends"]

    def texts(self, to: str) -> list[str]:
        return [send["payload"]["text"]["body"] for send in self.sends(to) if send["type"] == "text"]

    def calls(self) -> list[dict]:
        return self._call("GET", "calls?after=0")["calls"]

    def webhooks(self, after: int = 0) -> list[dict]:
        """Every attempt to deliver a webhook since this `seq`: kind, status, ms."""
        return self._call("GET", f"webhooks?after={after}")["webhooks"]

    def pending(self) -> int:
        """Webhooks and statuses still to be acknowledged."""
        return self._call("GET", "pending")["pending"]

    def behave(self, **behaviour) -> None:
        self._call("PUT", "behaviour", json=behaviour)

    def wait_for_answers(self, to: str, count: int = 1, seconds: float = 20) -> list[str]:
        return wait_for(lambda: (found := self.texts(to)) and len(found) >= count and found, seconds)

    def reset(self) -> None:
        self._call("POST", "reset")


class OllamaControl:
    """The Ollama stand-in's control API."""

    def __init__(self, url: str):
        self.url = url

    def next(self, *replies: Any) -> None:
        requests.post(f"{self.url}/standin/next", json=list(replies), timeout=10).raise_for_status()

    def behave(self, **behaviour) -> None:
        requests.post(f"{self.url}/standin/behaviour", json=behaviour, timeout=10).raise_for_status()

    def history(self) -> dict:
        return requests.get(f"{self.url}/standin/history", timeout=10).json()

    def reset(self) -> None:
        """Once it is done with what the test before has left: that must not take a reply of the next one's."""
        wait_for(lambda: self.history()["under_way"] == 0, 60)
        requests.post(f"{self.url}/standin/reset", timeout=10).raise_for_status()


def children_of(pid: int) -> list[int]:
    """Direct children. bin/keep's own come behind `setsid`, which becomes the command and keeps its pid."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).status_code == 200
    except requests.RequestException:
        return False
