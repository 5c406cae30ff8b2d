"""What tests share: settings in a folder of their own, a real SQLite, a real Redis on a socket, and flows wired to both."""

import dataclasses
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from frontdesk import queues, redis_server
from frontdesk import settings as settings_module
from frontdesk.channels.cloud import CloudChannel
from frontdesk.flows import first_run
from frontdesk.flows.context import Context
from frontdesk.ollama import Ollama
from frontdesk.store import database
from tests import desk

# A shell starts what it runs in the background with Ctrl-C ignored, and what tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def settings(tmp_path):
    """The defaults, with nothing of this machine's environment and no `.env`."""
    return settings_module.load({"DATA_DIR": str(tmp_path / "data")}, env_file=tmp_path / "none")


@pytest.fixture
def db(settings):
    database.migrate(settings)
    first_run.prepare(settings)
    connection = database.connect(settings)
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def redis_address():
    """A real Redis for the whole run; tests flush it around themselves."""
    with tempfile.TemporaryDirectory(prefix="fd") as folder:
        socket_path = Path(folder) / "redis.sock"
        command = redis_server.redis_command(
            redis_server.find_redis(), directory=Path(folder), socket_path=socket_path, appendfsync="everysec"
        )
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not redis_server.answers(socket_path):
            assert time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.02)
        yield f"unix://{socket_path}"
        process.terminate()
        process.wait(10)


@pytest.fixture
def redis(redis_address):
    connection = queues.connect(redis_address)
    connection.flushall()
    yield connection
    connection.close()


class Clock:
    """`now` for tests: stands still until moved."""

    def __init__(self, at: float = 1_790_000_000.0):
        self.at = at

    def __call__(self) -> float:
        return self.at

    def forward(self, seconds: float) -> float:
        self.at += seconds
        return self.at


class ScriptedChannel(CloudChannel):
    """The Cloud channel with its parsing, and sends that do what the test says instead of calling anybody."""

    def __init__(self):
        super().__init__(1.0)
        self.outcomes = []
        self.sent = []
        self.contents = []
        self.typing = []

    def send(self, sender, to, content, *, callback_data, reply_to_external_id=None, file_id=None):
        from frontdesk.channels import Accepted

        self.sent.append((to, content.text, callback_data))
        self.contents.append((content, file_id))
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        if callable(outcome):
            outcome()
        return Accepted(f"wamid.sent{len(self.sent)}")

    def show_typing(self, sender, inbound_external_id):
        self.typing.append(inbound_external_id)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def channel():
    return ScriptedChannel()


@pytest.fixture
def context(settings, db, redis, clock, channel):
    """Flows on a real SQLite and a real Redis; the model's address answers nobody unless a test gives another."""
    return Context(
        settings=settings,
        inbox=queues.Inbox(redis),
        queues=queues.Queues(redis),
        bells=queues.Bells(redis),
        limits=queues.Limits(redis),
        presence=queues.Presence(redis),
        live=queues.Live(redis),
        acknowledgements=queues.Acknowledgements(redis),
        speeds=queues.Speeds(redis),
        channel=lambda kind: channel,
        ollama=Ollama("http://127.0.0.1:9", timeout_seconds=20, load_timeout_seconds=20, crash_pause_seconds=0),
        now=clock,
    )


@pytest.fixture
def app(settings, db, redis_address, redis, clock):
    """The web application on the same SQLite and Redis, with a clock that tests move. Browsers: tests/desk.py."""
    from chatbot import create_app

    app = create_app(dataclasses.replace(settings, redis_url=redis_address))
    app.extensions["frontdesk"].now = clock
    return app


@pytest.fixture
def owner(app):
    """An owner's browser."""
    return desk.log_in(app, "owner")


@pytest.fixture
def agent(app):
    """An agent's browser."""
    return desk.log_in(app, "agent")


@pytest.fixture
def visitor(app):
    """A browser in which nobody is logged in."""
    return desk.visit(app)


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch):
    """A developer's own settings must not leak into tests."""
    for key in [key for key in os.environ if key.startswith(("WHATSAPP_", "OLLAMA_", "GRAPH_", "REDIS_", "FRONTDESK_"))]:
        if not key.startswith("OLLAMA_TEST_"):
            monkeypatch.delenv(key)
