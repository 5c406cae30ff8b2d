"""bin/keep starts its command again when it ends, hands signals on, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from frontdesk.settings import ROOT

KEEP = str(ROOT / "bin/keep")
PATIENCE_SECONDS = 20

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="wants Linux' /proc")


def eventually(check, within=PATIENCE_SECONDS):
    deadline = time.monotonic() + within
    while not (found := check()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
    return found


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


class Kept:
    """A running bin/keep and the log that its command writes, one line for each word the command says."""

    def __init__(self, folder: Path, script: str):
        self.log, self.errors = folder / "said", folder / "errors"
        self.log.touch()
        program = folder / "command.py"
        program.write_text(f"import os, signal, sys, time\nsaid = open({str(self.log)!r}, 'a', 1)\n{script}\n")
        with open(self.errors, "w") as errors:
            self.keep = subprocess.Popen([KEEP, sys.executable, str(program)], stderr=errors, start_new_session=True)

    def said(self, count: int = 1) -> list[str]:
        """What was said, once it is at least `count` lines."""
        return eventually(lambda: len(lines := self.log.read_text().splitlines()) >= count and lines)

    def told(self, pattern: str) -> list[str]:
        return re.findall(pattern, self.errors.read_text())

    def close(self):
        if self.keep.poll() is None:
            self.keep.send_signal(signal.SIGTERM)
            self.keep.wait(PATIENCE_SECONDS)


@pytest.fixture
def kept(tmp_path):
    running = []

    def start(script: str) -> Kept:
        running.append(Kept(tmp_path, script))
        return running[-1]

    yield start
    for each in running:
        each.close()


STAYS = "print(os.getpid(), file=said); signal.pause()"
OBEYS = """
def stop(signum, frame):
    print(signal.Signals(signum).name, time.monotonic(), file=said)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print(os.getpid(), file=said)
while True: signal.pause()
"""


def test_a_command_that_ends_well_is_started_again(kept):
    each = kept("print('here', file=said); sys.exit(0)")
    assert each.said(3) == ["here"] * 3
    assert each.told(r"exited with status 0 after \d+ s; starting it again in 0\.2 s")


def test_each_start_after_a_quick_death_waits_longer(kept):
    each = kept("print(time.monotonic(), file=said); sys.exit(3)")
    times = [float(line) for line in each.said(4)]
    waits = [later - earlier for earlier, later in zip(times, times[1:])]
    assert waits[0] >= 0.2 and waits[1] >= 0.4 and waits[2] >= 0.8
    assert each.told(r"status 3 after \d+ s; starting it again in (\S+) s")[:3] == ["0.2", "0.4", "0.8"]


def test_a_command_that_was_killed_is_named_with_its_signal_and_started_again(kept):
    each = kept(STAYS)
    first = int(each.said()[0])
    os.kill(first, signal.SIGKILL)
    assert int(each.said(2)[1]) != first
    assert len(each.told(r"was killed by KILL after")) == 1


def test_its_log_has_one_line_for_each_death(kept):
    each = kept(STAYS)
    os.kill(int(each.said()[0]), signal.SIGKILL)
    each.said(2)
    assert len(each.errors.read_text().splitlines()) == 1


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_keep_reaches_the_command_once_as_term(kept, signum):
    each = kept(OBEYS)
    each.said()
    each.keep.send_signal(signum)
    assert each.keep.wait(PATIENCE_SECONDS) == 0
    assert [line.split()[0] for line in each.said(2)[1:]] == ["SIGTERM"]


def test_a_signal_to_the_whole_group_reaches_the_command_once(kept):
    each = kept(OBEYS.replace("sys.exit(0)", "time.sleep(0.5); print('end', file=said); sys.exit(0)"))
    each.said()
    os.killpg(each.keep.pid, signal.SIGTERM)
    assert each.keep.wait(PATIENCE_SECONDS) == 0
    assert [line.split()[0] for line in each.said(3)[1:]] == ["SIGTERM", "end"]


def test_a_second_signal_is_passed_on_too(kept):
    each = kept(OBEYS.replace("sys.exit(0)", "len(open(said.name).readlines()) > 2 and sys.exit(0)"))
    each.said()
    each.keep.send_signal(signal.SIGTERM)
    each.said(2)
    each.keep.send_signal(signal.SIGTERM)
    assert each.keep.wait(PATIENCE_SECONDS) == 0
    assert len(each.said(3)) == 3


def test_a_term_while_it_waits_to_start_again_ends_it_at_once(kept):
    each = kept("print('here', file=said); sys.exit(3)")
    eventually(lambda: each.told("starting it again in 3.2 s"))
    told_at = time.monotonic()
    each.keep.send_signal(signal.SIGTERM)
    assert each.keep.wait(PATIENCE_SECONDS) == 0
    assert time.monotonic() - told_at < 3.1, "it waited until the next start"


def test_no_signal_is_lost_however_early_it_comes():
    signalled = []
    for delay in range(40):
        keep = subprocess.Popen([KEEP, "sleep", "60"], start_new_session=True, stderr=subprocess.DEVNULL)
        time.sleep(delay / 2000)
        os.killpg(keep.pid, signal.SIGTERM)
        signalled.append(keep)
    # Before the first trap is set, TERM ends the shell itself, and nothing runs yet.
    assert {keep.wait(PATIENCE_SECONDS) for keep in signalled} <= {0, -signal.SIGTERM}


def test_a_command_that_dies_leaves_no_orphan_to_do_its_work_twice(kept):
    each = kept(
        "orphan = os.fork()\n"
        "if orphan == 0:\n    os.setpgid(0, 0)\n    signal.pause()\n"
        "print(os.getpid(), orphan, file=said); signal.pause()"
    )
    parent, orphan = map(int, each.said()[0].split())
    os.kill(parent, signal.SIGKILL)
    each.said(2)
    assert not alive(orphan)


def test_when_keep_is_killed_outright_its_command_ends(kept):
    each = kept(OBEYS)
    child = int(each.said()[0])
    each.keep.kill()
    eventually(lambda: not alive(child))
    assert each.said(2)[1].startswith("SIGTERM")


@pytest.mark.stack
def test_a_command_that_does_not_obey_is_told_again_and_then_killed(kept):
    each = kept(OBEYS.replace("sys.exit(0)", "pass"))
    child = int(each.said()[0])
    each.keep.send_signal(signal.SIGTERM)
    assert each.keep.wait(PATIENCE_SECONDS) == 0
    assert not alive(child)
    terms = [float(line.split()[1]) for line in each.said(3)[1:]]
    assert len(terms) == 2 and terms[1] - terms[0] > 1  # what an RQ worker takes for "now"


def test_a_command_that_lived_a_while_is_started_again_soon(kept, monkeypatch):
    monkeypatch.setenv("KEEP_SETTLED_SECONDS", "1")
    each = kept("print(os.getpid(), file=said); time.sleep(2 if len(open(said.name).readlines()) > 2 else 0); sys.exit(1)")
    each.said(4)
    assert each.told(r"after [23] s; starting it again in (\S+) s") == ["0.2"]


def test_without_a_command_it_says_what_it_wants():
    done = subprocess.run([KEEP], capture_output=True, text=True)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
