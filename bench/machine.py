"""What every benchmark needs: a Redis with the same durability for all, servers that come and go, medians and a table."""

import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import requests

BENCH = Path(__file__).parent
ROOT = BENCH.parent
sys.path.insert(0, str(ROOT))
PRODUCT = ROOT / ".venv" / "bin"
TWIN = BENCH / ".venv" / "bin"
SECRET = "the app secret of the benchmark"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def redis_server(appendfsync: str = "everysec"):
    """A Redis on a port, as Celery wants it, with the options of Frontdesk's own otherwise. Yields its address."""
    from frontdesk import redis_server as own

    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        options = own.redis_command(
            own.find_redis(), directory=Path(folder), socket_path=Path(folder) / "s", appendfsync=appendfsync
        )
        with process([*options, "--port", str(port), "--bind", "127.0.0.1"]):
            wait_until(lambda: own.answers(Path(folder) / "s"))
            yield f"redis://127.0.0.1:{port}"


@contextmanager
def process(command: list, **environ: str):
    """Runs in a session of its own, its output thrown away unless BENCH_LOG names a file."""
    log = open(os.environ.get("BENCH_LOG", os.devnull), "ab")
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{BENCH}", **environ}
    running = subprocess.Popen(list(map(str, command)), cwd=ROOT, env=environ, stdout=log, stderr=log, start_new_session=True)
    try:
        yield running
    finally:
        for signum, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            try:
                os.killpg(running.pid, signum)
                running.wait(seconds)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        log.close()


def wait_until(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("a server did not come up")
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        requests.get(url, timeout=1)
        return True
    except requests.RequestException:
        return False


def median(values) -> float:
    return statistics.median(values)


def heading(title: str) -> None:
    print(f"\n{title}")
    print(f"{date.today()}, {os.cpu_count()} cores, Python {platform.python_version()}, {' '.join(sys.argv)}\n", flush=True)


def table(columns: list[str], rows: list[list]) -> None:
    cells = [[f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    print("| " + " | ".join(columns) + " |")
    print("|" + "|".join("---" if place == 0 else "--:" for place in range(len(columns))) + "|")
    for row in cells:
        print("| " + " | ".join(row) + " |")
    print(flush=True)
