"""An import whose process is killed again and again, and one of 100,000 rows: nothing twice, nothing lost, memory flat."""

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from frontdesk import queues
from frontdesk.flows import audience
from frontdesk.flows.context import make
from frontdesk.store import audience_members, audiences
from tests.stack import Stack, wait_for

ROOT = Path(__file__).parent.parent

# A worker's process: reads the audience at a time that is so many seconds ahead, so that the lease of who was killed is over.
READER = """
import resource, sys, time
from pathlib import Path
from frontdesk import queues, settings as settings_module
from frontdesk.flows import audience
from frontdesk.flows.context import make

data_dir, audience_id, ahead = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
settings = settings_module.load({"DATA_DIR": data_dir}, env_file=Path(data_dir) / "none")
context = make(settings, queues.connect("unix:///nowhere"))
context.now = lambda: time.time() + ahead
audience.read(context, audience_id)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def reader(settings, audience_id: int, ahead: float = 0) -> subprocess.Popen:
    command = [sys.executable, "-c", READER, str(settings.data_dir), str(audience_id), str(ahead)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def a_list(count: int) -> io.BytesIO:
    """Every tenth line is bad, every seventh a duplicate; names run over two lines."""
    numbers = ["nonsense" if n % 10 == 9 else f"+49151{20000000 + n - n % 7 % 2}" for n in range(count)]
    return io.BytesIO("".join(["phone,name\n", *(f'{number},"Person\n{n}"\n' for n, number in enumerate(numbers))]).encode())


def uploaded(context, stream) -> int:
    return audience.from_file(context, 1, stream, name="List")


def wait_for_rows(process, db, audience_id: int, rows: int) -> None:
    while process.poll() is None and audiences.get(db, audience_id).rows <= rows:
        time.sleep(0.002)


def test_an_import_that_is_killed_again_and_again_has_every_row_once(context, settings, db):
    expected = audiences.get(db, _read_undisturbed(context, a_list(12_000)))
    audience_id, kills = uploaded(context, a_list(12_000)), 0
    chance = random.Random(7)
    while audiences.get(db, audience_id).state != "ready":
        process = reader(settings, audience_id, ahead=kills * 100)
        wait_for_rows(process, db, audience_id, audiences.get(db, audience_id).rows)
        time.sleep(chance.random() * 0.05)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        _, complaints = process.communicate()
        assert "Error" not in complaints
    found = audiences.get(db, audience_id)
    assert kills >= 3
    assert [getattr(found, name) for name in ("rows", "good", "bad", "duplicates")] == [
        getattr(expected, name) for name in ("rows", "good", "bad", "duplicates")
    ]
    assert _members(db, audience_id) == _members(db, expected.id)
    assert list(audience_members.all_bad_lines(db, audience_id)) == list(audience_members.all_bad_lines(db, expected.id))
    assert list((settings.data_dir / "uploads").iterdir()) == []


def _read_undisturbed(context, stream) -> int:
    audience_id = uploaded(context, stream)
    audience.read(context, audience_id)
    return audience_id


def _members(db, audience_id: int) -> list:
    rows = db.execute("SELECT position, phone, variables FROM audience_members WHERE audience_id = ? ORDER BY position", (audience_id,))
    return [(row["position"], row["phone"], json.loads(row["variables"])) for row in rows]


@pytest.mark.stack
def test_the_import_of_a_killed_bulk_worker_goes_on_by_the_sweep(tmp_path):
    with Stack(tmp_path, without=("ollama", "simulator", "web", "default")) as stack:
        context = make(stack.settings, queues.connect(stack.settings.redis_address))
        audience_id, rows = uploaded(context, a_list(30_000)), 0
        for _ in range(2):
            wait_for(lambda: audiences.get(context.db, audience_id).rows > rows, seconds=40, every=0.005)
            stack.kill("bulk")
            rows = audiences.get(context.db, audience_id).rows
        found = wait_for(lambda: (one := audiences.get(context.db, audience_id)).is_over and one, seconds=60)
        assert rows < 30_000 and (found.state, found.rows, found.bad) == ("ready", 30_000, 3_000)
        assert audience_members.count(context.db, audience_id) == found.good


@pytest.mark.slow
def test_a_hundred_thousand_rows_take_no_more_memory_than_a_thousand(context, settings, db):
    peaks = []
    for count in (1_000, 100_000):
        audience_id = uploaded(context, a_list(count))
        printed, complaints = reader(settings, audience_id).communicate()
        assert audiences.get(db, audience_id).rows == count, complaints
        peaks.append(float(printed))
    assert peaks[1] - peaks[0] < 12, peaks
