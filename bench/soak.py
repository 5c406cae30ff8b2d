"""A steady load for an hour: memory, descriptors, logs that must stay bounded, acknowledgements that must stay quick.

    bench/run soak.py [--minutes 60]

20 customers' messages a second, each answered by an instant model, each answer with three statuses: 60 a second. Limits: memory and descriptors
flat, SQLite's log and Redis' file bounded, the p99 of the acknowledgements at the end within 20 % of the start's.
"""

import argparse
import tempfile
from pathlib import Path

from machine import heading, table

from tests.soaking import OURS, Soak
from tests.stack import Stack, wait_for

SETTINGS = {
    "LOG_LEVEL": "warning", "QUIET_SECONDS": "2", "LONGEST_WAIT_SECONDS": "15", "LEASE_SECONDS": "45", "SWEEP_SECONDS": "15", "UNKNOWN_WAIT_SECONDS": "120",
    "GRAPH_TIMEOUT_SECONDS": "20", "PATIENCE_SECONDS": "60",
}  # fmt: skip


def main() -> None:
    given = argparse.ArgumentParser()
    given.add_argument("--minutes", type=float, default=60)
    minutes = given.parse_args().minutes
    heading(f"Soak: {minutes:g} minutes")
    with tempfile.TemporaryDirectory(prefix="bench") as folder, Stack(Path(folder), **SETTINGS) as stack:
        soak = Soak(stack, minutes * 60)
        soak.run()
        wait_for(lambda: soak.answered()[1] == soak.sent, 120, every=1)
        came, answered = soak.answered()
    rows = []
    for name in OURS:
        memory = [one.memory[name] for one in soak.samples]
        descriptors = [one.descriptors[name] for one in soak.samples]
        slope = soak.slope(lambda one, name=name: one.memory[name])
        rows.append([name, memory[0], memory[-1], slope, descriptors[0], descriptors[-1], max(descriptors)])
    table(["process", "MB first", "MB last", "MB an hour", "descriptors first", "last", "most"], rows)
    total = soak.slope(lambda one: sum(one.memory.values()))
    first, last = soak.p99(first=True), soak.p99(first=False)
    table(
        ["messages", "answered", "memory MB an hour", "SQLite's log, most MB", "Redis' file, most MB", "p99 first ms", "p99 last ms", "last of first"],
        [[came, answered, total, max(one.wal for one in soak.samples), max(one.aof for one in soak.samples), first, last, last / first]],
    )


if __name__ == "__main__":
    main()
