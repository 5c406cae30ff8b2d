"""Ten thousand schedules due in the same minute: how fast they go out against the number's rate, and whether each conversation's are in order.

    bench/run schedules.py [--schedules 10000] [--conversations 2000] [--rate 80]

The real stack with two schedulers. Due times are spread over one minute, in another order than they were made in. Counted at the
simulator: each sent once, in a conversation in the order of their times. Meanwhile customers write, and it is measured how long
their messages take to become rows.
"""

import argparse
import collections
import random
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from machine import PRODUCT, ROOT, heading, table

from frontdesk.store import database, schedules
from frontdesk.store.database import transaction
from tests.stack import Stack, wait_for

SETTINGS = {"LOG_LEVEL": "warning", "LEASE_SECONDS": "30", "UNKNOWN_WAIT_SECONDS": "60", "SWEEP_SECONDS": "15", "QUIET_SECONDS": "120", "LONGEST_WAIT_SECONDS": "120"}


def plan(stack: Stack, given, begins_at: float) -> None:
    """Half a minute of them is due before `begins_at`, half after; the text is the place in the conversation."""
    dice = random.Random(given.seed)
    times = [begins_at - 30 + 60 * n / given.schedules for n in range(given.schedules)]
    dice.shuffle(times)
    of_conversation = collections.defaultdict(list)
    for n, at in enumerate(times):
        of_conversation[n % given.conversations + 1].append(at)
    db = stack.database()
    with transaction(db):
        db.execute("UPDATE numbers SET messages_per_second = ?", (given.rate,))
        for n in range(1, given.conversations + 1):
            db.execute(
                "INSERT INTO contacts (id, client_id, phone, created_at, updated_at) VALUES (?, 1, ?, 0, 0)", (n, f"49160{n:07}")
            )
            db.execute(
                "INSERT INTO conversations (id, number_id, contact_id, window_closes_at, created_at) VALUES (?, 1, ?, 9e9, 0)", (n, n)
            )
        rows = [(at, n, place) for n, found in of_conversation.items() for place, at in enumerate(sorted(found))]
        dice.shuffle(rows)
        for at, n, place in rows:
            schedules.add(
                db, client_id=1, number_id=1, conversation_id=n, phone=None, name="", content={"kind": "text", "text": str(place)},
                rule=None, time_zone="UTC", next_at=at, late_limit_seconds=3600, created_by=None, now=begins_at,
            )  # fmt: skip
    db.close()


def customers(stack: Stack, stopping: threading.Event, took: list[float]) -> None:
    """One writes every 50 ms: until the message is a row."""
    db, serial = database.connect(stack.settings), 0
    while not stopping.is_set():
        serial += 1
        begin = time.perf_counter()
        stack.simulator.customer_writes(f"49170{serial:07}", "Hello")
        while not db.execute("SELECT 1 FROM contacts WHERE phone = ?", (f"49170{serial:07}",)).fetchone():
            time.sleep(0.005)
        took.append(time.perf_counter() - begin)
        time.sleep(0.05)
    db.close()


def in_order(sends: list[dict], given) -> tuple[int, int]:
    """Messages sent, and conversations that did not get theirs once each, in order."""
    got = collections.defaultdict(list)
    for send in sends:
        got[send["to"]].append(int(send["payload"]["text"]["body"]))
    each = [given.schedules // given.conversations + (n < given.schedules % given.conversations) for n in range(given.conversations)]
    wrong = sum(got[f"49160{n + 1:07}"] != list(range(count)) for n, count in enumerate(each))
    return len(sends), wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--conversations", type=int, default=2_000)
    parser.add_argument("--rate", type=float, default=80)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    heading("Schedules due in the same minute")
    with (
        tempfile.TemporaryDirectory(prefix="bench") as folder,
        Stack(Path(folder), without=("ollama", "default", "bulk"), **SETTINGS) as stack,
    ):
        stack.simulator.behave(windows=False)
        second = subprocess.Popen([PRODUCT / "python", "scheduler.py"], cwd=ROOT, env=stack.environ)
        stopping, took = threading.Event(), []
        writer = threading.Thread(target=customers, args=(stack, stopping, took))
        try:
            begins_at = time.time() + 2
            plan(stack, given, begins_at)
            while time.time() < begins_at:
                time.sleep(0.01)
            writer.start()
            fired = lambda: not stack.rows("SELECT id FROM schedules WHERE state = 'active' LIMIT 1")  # noqa: E731
            wait_for(fired, 120, every=0.2)
            fired_at = time.time()
            stopping.set()
            sent = "SELECT COUNT(*) AS n FROM messages WHERE purpose = 'schedule' AND sent_at IS NOT NULL"
            wait_for(lambda: stack.rows(sent)[0]["n"] >= given.schedules, given.schedules / given.rate * 4 + 60, every=0.5)
            sends = [send for send in stack.simulator.sends() if send["to"].startswith("49160")]
        finally:
            stopping.set()
            writer.join()
            second.terminate()
            second.wait(5)
    count, wrong = in_order(sends, given)
    seconds = sends[-1]["at"] - sends[0]["at"]
    rate = (count - 1) / seconds
    table(
        ["schedules", "sent", "conversations out of order", "all fired after s", "messages/s", "of the number's rate"],
        [[f"{given.schedules:,}", f"{count:,}", wrong, fired_at - begins_at, rate, rate / given.rate]],
    )
    took.sort()
    print(f"a customer's message meanwhile became a row in {statistics.median(took):.3f} s (p95 {took[int(len(took) * 0.95)]:.3f}, n {len(took)})")


if __name__ == "__main__":
    main()
