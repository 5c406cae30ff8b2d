"""What beginning early gives: median time from a customer's last message to the answer, with and without, and what is wasted.

    bench/run early.py [--customers 30]

A model at 40 tokens a second, answers of 60 tokens, a quiet period of 2 seconds; half of the customers write one message, half
write three, 1.2 seconds apart. A customer comes every three seconds on average.
"""

import argparse
import random
import statistics
import tempfile
import threading
import time
from pathlib import Path

from machine import heading, table

from tests.stack import Stack, wait_for

ANSWER = " ".join(["word"] * 60)


def run(early: str, given) -> list:
    dice = random.Random(given.seed)
    took: list[float] = []
    settings = {"QUIET_SECONDS": "2", "LONGEST_WAIT_SECONDS": "15", "EARLY_START": early, "LEASE_SECONDS": "30"}
    with tempfile.TemporaryDirectory(prefix="bench") as folder, Stack(Path(folder), **settings) as stack:
        stack.ollama.behave(text=ANSWER, tokens_per_second=40)
        time.sleep(1)

        def customer(phone: str, count: int) -> None:
            for n in range(count):
                last = time.time()
                stack.simulator.customer_writes(phone, f"message {n}")
                if n < count - 1:
                    time.sleep(1.2)
            wait_for(lambda: stack.simulator.texts(phone), 60, every=0.1)
            took.append(stack.simulator.sends(phone)[0]["at"] - last)

        threads = []
        for n in range(given.customers):
            thread = threading.Thread(target=customer, args=(str(4915500000000 + n), dice.choice([1, 3])))
            thread.start()
            threads.append(thread)
            time.sleep(dice.expovariate(1 / 3))
        for thread in threads:
            thread.join()
        chats = [entry for entry in stack.ollama.history()["history"] if entry["path"] == "/api/chat" and entry["body"].get("messages")]
        spent = sum(entry["tokens_sent"] for entry in chats)
        useful = 60 * given.customers
        return [len(took), statistics.median(took), statistics.quantiles(took, n=20)[18], spent, 100 * max(0, spent - useful) / spent]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    heading("Beginning an answer early")
    rows = [[name, *run(early, given)] for name, early in (("after the quiet period", "no"), ("early", "yes"))]
    table(["begun", "customers", "median s", "p95 s", "tokens written", "wasted %"], rows)
    print(f"median: {rows[1][2] / rows[0][2]:.2f} of what it is without")


if __name__ == "__main__":
    main()
