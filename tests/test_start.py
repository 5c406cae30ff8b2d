"""`bin/frontdesk start`: what it refuses, in one line with the mend, and how everything comes up and goes down."""

import os
import pty
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from frontdesk import redis_server
from frontdesk import settings as settings_module
from frontdesk.cli.start import welcome
from frontdesk.flows import diagnosis
from frontdesk.processes import environ_of, names
from frontdesk.settings import ROOT

STOP_SECONDS = 10


def eventually(check, within=30):
    deadline = time.monotonic() + within
    while not (found := check()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def listening(host="127.0.0.1"):
    with socket.socket() as listener:
        listener.bind((host, 0))
        listener.listen(1)
        yield listener.getsockname()[1]


@pytest.fixture
def environ():
    """A fresh installation: a folder and ports of its own, and no Ollama."""
    with tempfile.TemporaryDirectory(prefix="fd") as folder:
        yield {
            **os.environ,
            "DATA_DIR": folder,
            "WEB_PORT": str(free_port()),
            "SIMULATOR_PORT": str(free_port()),
            "OLLAMA_HOST": "http://127.0.0.1:9",
            "REDIS_URL": "",
        }


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "frontdesk", *arguments]


def refused(environ, *arguments: str) -> str:
    """The one line it says when it ends with 2."""
    done = subprocess.run(
        command(*(arguments or ["start"])), cwd=ROOT, env=environ, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("frontdesk: ")
    return done.stderr.removeprefix("frontdesk: ").strip()


def processes_of(environ) -> list[str]:
    """The command lines of all processes that run with this DATA_DIR (Redis writes over its environment)."""
    mark = environ["DATA_DIR"].encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command_line = (folder / "cmdline").read_bytes()
            if b"DATA_DIR=" + mark in (folder / "environ").read_bytes().split(b"\0") or mark in command_line:
                found.append(command_line.replace(b"\0", b" ").decode())
        except OSError:
            continue
    return [line for line in found if line]


# --- what it refuses ------------------------------------------------------------------------------------------


def test_a_wrong_setting_is_named_with_what_it_wants(environ):
    assert refused({**environ, "WEB_PORT": "x"}) == "WEB_PORT is 'x'; it wants a whole number from 1 to 65535"


def test_a_taken_web_port_names_the_setting_that_changes_it(environ):
    with listening() as port:
        line = refused({**environ, "WEB_PORT": str(port)})
    assert line.startswith(f"WEB_PORT is {port}, which another program uses; it wants a free port: WEB_PORT=")


def test_a_taken_simulator_port_names_its_setting(environ):
    with listening() as port:
        line = refused({**environ, "SIMULATOR_PORT": str(port)})
    assert line.startswith(f"SIMULATOR_PORT is {port}, which another program uses")


def test_in_production_the_simulator_port_does_not_matter(environ):
    with listening() as port:
        line = refused(
            {
                **environ,
                "FRONTDESK_ENV": "production",
                "WHATSAPP_APP_SECRETS": "a" * 32,
                "SIMULATOR_PORT": str(port),
                "REDIS_URL": "redis://127.0.0.1:9",
            }
        )
    assert line.startswith("the Redis of REDIS_URL does not answer")


def test_an_address_that_is_not_ours_names_web_host(environ):
    assert refused({**environ, "WEB_HOST": "203.0.113.7"}).startswith("WEB_HOST is '203.0.113.7' (")


def test_a_redis_that_does_not_answer_is_one_line(environ):
    line = refused({**environ, "REDIS_URL": "redis://127.0.0.1:9"})
    assert line.startswith("the Redis of REDIS_URL does not answer (") and "empty REDIS_URL" in line


def test_a_redis_that_refuses_the_password_does_not_print_it(environ):
    with listening() as port:
        line = refused({**environ, "REDIS_URL": f"redis://:opensesame@127.0.0.1:{port}"})
    assert "opensesame" not in line


def test_a_data_folder_that_cannot_be_made_is_one_line(environ):
    assert refused({**environ, "DATA_DIR": "/proc/frontdesk"}).startswith("DATA_DIR is '/proc/frontdesk' (")


def test_no_redis_at_all_says_how_to_get_one(monkeypatch, settings):
    from frontdesk.cli import start
    from frontdesk.errors import FrontdeskError

    monkeypatch.setattr(redis_server, "find_redis", lambda: None)
    with pytest.raises(FrontdeskError, match="apt-get install redis-server"):
        start._check_redis(settings)


def test_an_unknown_command_is_one_line(environ):
    assert refused(environ, "fly") == "No such command 'fly'. See: bin/frontdesk --help"


def test_an_unknown_option_is_one_line(environ):
    assert refused(environ, "start", "--fast") == "No such option '--fast'. See: bin/frontdesk start --help"


def test_help_lists_the_commands_even_with_a_wrong_setting(environ):
    shown = subprocess.check_output(command("--help"), cwd=ROOT, env={**environ, "WEB_PORT": "x"}, text=True)
    assert "start " in shown


# --- what it says ----------------------------------------------------------------------------------------------


def load(tmp_path, **values):
    return settings_module.load({"DATA_DIR": str(tmp_path), **values}, env_file=tmp_path / "none")


def test_the_welcome_says_where_the_simulator_is(tmp_path):
    shown = "\n".join(welcome(load(tmp_path, WEB_PORT="8010", WEB_HOST="0.0.0.0")))
    assert "http://127.0.0.1:8010/simulator " in shown and "http://127.0.0.1:8010/health" in shown


def test_production_runs_no_simulator(tmp_path):
    production = load(tmp_path, FRONTDESK_ENV="production", WHATSAPP_APP_SECRETS="a" * 32)
    assert names(production) == ["redis", "web", "high", "default", "bulk", "scheduler"]
    assert not any("simulator" in line for line in welcome(production))


def test_a_redis_elsewhere_is_not_started_here(tmp_path):
    assert names(load(tmp_path, REDIS_URL="redis://127.0.0.1"))[0] == "web"


def test_only_the_simulator_is_given_its_secret(tmp_path):
    settings = load(tmp_path)
    assert environ_of("simulator", settings)["SIMULATOR_APP_SECRET"] == settings.simulator_app_secret
    assert "SIMULATOR_APP_SECRET" not in environ_of("web", settings)


# --- coming up and going down ---------------------------------------------------------------------------------


@pytest.fixture
def start(environ):
    """Starts everything, in a session of its own, until the web port answers."""
    started = []

    def run():
        log = open(Path(environ["DATA_DIR"]) / "printed", "w+")
        started.append(
            subprocess.Popen(command("start"), cwd=ROOT, env=environ, stdout=log, stderr=log, start_new_session=True)
        )
        started[-1].printed = lambda: Path(log.name).read_text()
        eventually(lambda: answers(environ) or started[-1].poll() is not None)
        assert started[-1].poll() is None, started[-1].printed()
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    eventually(lambda: not processes_of(environ))


def answers(environ) -> bool:
    try:
        requests.get(f"http://127.0.0.1:{environ['WEB_PORT']}/health", timeout=2)
    except (requests.ConnectionError, requests.Timeout):
        return False
    return True


@pytest.mark.stack
def test_before_anything_runs_it_says_that_the_model_is_away(environ, start):
    said, _, _ = start().printed().partition("| ")
    assert "no answer at http://127.0.0.1:9" in said and "ollama pull llama3.2:3b" in said


@pytest.mark.stack
def test_a_second_start_says_that_the_first_runs(environ, start):
    first = start()
    line = refused(environ)
    assert line == (
        f"Frontdesk is already running here (pid {first.pid}); stop it with Ctrl-C there, or: kill {first.pid}"
    )
    assert answers(environ)


@pytest.mark.stack
def test_it_stops_in_time_with_nothing_left_and_redis_last(environ, start):
    running = start()
    running.send_signal(signal.SIGTERM)
    assert running.wait(STOP_SECONDS) == 143
    assert processes_of(environ) == []
    last = [line for line in running.printed().splitlines() if "| " in line][-1]
    assert "redis" in last, running.printed()


@pytest.mark.stack
def test_killed_outright_it_leaves_nothing_and_starts_again(environ, start):
    start().kill()
    eventually(lambda: not processes_of(environ), within=STOP_SECONDS)
    start()


@pytest.mark.stack
def test_a_redis_left_by_an_earlier_run_makes_way(environ, start):
    leftover = subprocess.Popen([sys.executable, "-m", "frontdesk.redis_server"], cwd=ROOT, env=environ)
    eventually(lambda: redis_server.answers(Path(environ["DATA_DIR"]) / "redis.sock"))
    start()
    assert leftover.wait(1) == 0
    assert len([line for line in processes_of(environ) if "redis.sock" in line]) == 1


@pytest.mark.stack
def test_a_process_that_dies_is_started_again_and_the_others_do_not_notice(environ, start):
    running = start()
    server = redis_server.holder_of(Path(environ["DATA_DIR"]) / "redis")
    os.kill(server, signal.SIGKILL)
    eventually(lambda: redis_server.holder_of(Path(environ["DATA_DIR"]) / "redis") not in (server, None))
    eventually(lambda: redis_server.answers(Path(environ["DATA_DIR"]) / "redis.sock"))
    assert running.poll() is None and answers(environ)


@pytest.mark.stack
@pytest.mark.parametrize("how, status", [("ctrl-c", 130), ("hang up", 129)])
def test_ctrl_c_and_a_closed_terminal_stop_everything(environ, how, status):
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, command("start"), environ)
    os.set_blocking(terminal, False)
    eventually(lambda: read_away(terminal) or answers(environ))
    if how == "ctrl-c":
        os.write(terminal, b"\x03")
    else:
        os.close(terminal)
    deadline = time.monotonic() + STOP_SECONDS
    while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
        assert time.monotonic() < deadline, processes_of(environ)
        if how == "ctrl-c":
            read_away(terminal)
        time.sleep(0.02)
    assert os.waitstatus_to_exitcode(ended[1]) == status
    assert processes_of(environ) == []
    if how == "ctrl-c":
        os.close(terminal)


def read_away(terminal: int) -> None:
    """A terminal that nobody reads would stop whoever writes to it."""
    try:
        os.read(terminal, 65536)
    except OSError:
        pass


def test_doctor_says_why_redis_does_not_answer(tmp_path):
    settings = settings_module.load({"DATA_DIR": str(tmp_path), "REDIS_URL": "redis://127.0.0.1:9"})
    found = next(finding for finding in diagnosis.examine(settings) if finding.subject == "Redis")
    assert "refused" in found.words and "REDIS_URL" in found.mend
