"""People are erased while they write, are answered and are sent to, and while workers are killed: nothing of them comes back."""

import subprocess
import sys
import time

import pytest

from tests.stack import ROOT, Stack, wait_for
from tests.test_erasing import everything

pytestmark = [pytest.mark.stack, pytest.mark.slow]

BEN = "4915112349999"


def on_disk(stack: Stack) -> bytes:
    folder = stack.settings.data_dir
    return b"".join(path.read_bytes() for path in [*folder.glob("frontdesk.db*"), *(folder / "redis" / "appendonlydir").glob("*")])


def test_erased_in_the_middle_of_everything_and_under_kills_nobody_comes_back(tmp_path):
    with Stack(tmp_path) as stack:
        stack.simulator.customer_writes(BEN, "Ben stays")
        stack.simulator.wait_for_answers(BEN)
        people = {f"49151200000{n:02}": (0.1 + 0.35 * n, killed) for n, killed in enumerate(("high", None, "default", "bulk", "high", None))}
        for phone, (delay, killed) in people.items():
            for n in range(3):
                stack.simulator.customer_writes(phone, f"geheim{phone} {n}")
            time.sleep(delay)
            wait_for(lambda: stack.rows("SELECT 1 FROM contact_aliases WHERE value = ?", phone))
            erasing = subprocess.Popen(
                [sys.executable, "-c", "from frontdesk.cli import main; main()", "contacts", "erase", phone, "--yes"],
                cwd=ROOT, env=stack.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            if killed:
                stack.kill(killed)
            said, _ = erasing.communicate(timeout=90)
            assert "is erased" in said, said
        wait_for(lambda: stack.rows("SELECT COUNT(*) AS n FROM erasures WHERE finished_at IS NULL")[0]["n"] == 0, 90, every=0.3)
        wait_for(lambda: stack.simulator.pending() == 0, 30)
        time.sleep(3)
        db = stack.database()
        left = everything(db)
        db.close()
        assert [phone for phone in people if phone in left or f"geheim{phone}" in left] == []
        assert "Ben stays" in left and stack.rows("SELECT COUNT(*) AS n FROM contacts")[0]["n"] == 1
        whole = on_disk(stack)
        assert [phone for phone in people if phone.encode() in whole or f"geheim{phone}".encode() in whole] == []
        back = next(iter(people))
        stack.simulator.customer_writes(back, "Hello again")
        stack.simulator.wait_for_answers(back)
        assert stack.rows("SELECT text FROM messages WHERE text LIKE '%geheim%'") == []


def test_killed_between_the_steps_of_an_erasure_it_is_finished_by_whoever_comes_next(tmp_path):
    with Stack(tmp_path, without=("ollama", "default")) as stack:
        for n in range(30):
            stack.simulator.customer_writes("4915120000077", f"geheim {n}")
        wait_for(lambda: stack.rows("SELECT COUNT(*) AS n FROM messages")[0]["n"] == 30)
        stack.stop("bulk")
        code = """
import os
from frontdesk.store import personal
from frontdesk.cli import main
personal.BATCH, deleted = 5, personal.delete_some_messages
calls = []
def dies(db, contact_id):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), 9)
    return deleted(db, contact_id)
personal.delete_some_messages = dies
main()
"""
        command = [sys.executable, "-c", code, "contacts", "erase", "4915120000077", "--yes"]
        assert subprocess.run(command, cwd=ROOT, env=stack.environ, timeout=60).returncode == -9
        assert stack.rows("SELECT COUNT(*) AS n FROM messages")[0]["n"] == 20, "ten were gone before it died"
        assert stack.rows("SELECT * FROM contact_aliases") == []
        stack.start("bulk")
        wait_for(lambda: stack.rows("SELECT COUNT(*) AS n FROM erasures WHERE finished_at IS NOT NULL")[0]["n"] == 1, 60)
        assert stack.rows("SELECT * FROM messages") == [] and stack.rows("SELECT * FROM contacts") == []
        assert b"geheim" not in on_disk(stack) and b"4915120000077" not in on_disk(stack)
