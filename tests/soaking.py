"""A stack under a steady load for as long as one likes: what it uses, sampled, and what the samples say."""

import os
import re
import statistics
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.stack import Stack, children_of

MESSAGES_PER_SECOND = 20
CUSTOMERS = 2_000
SAMPLE_EVERY_SECONDS = 5
OURS = ("web", "high", "default", "bulk", "scheduler", "redis")


@dataclass
class Sample:
    """`at`: seconds since the load began. Megabytes; by process: memory (PSS) and open descriptors."""

    at: float
    memory: dict[str, float]
    descriptors: dict[str, int]
    wal: float
    aof: float
    waiting: int
    acknowledged: list[float] = field(default_factory=list)  # milliseconds, since the sample before


class Soak:
    def __init__(self, stack: Stack, seconds: float):
        self.stack, self.seconds = stack, seconds
        self.samples: list[Sample] = []
        self.sent = self._seen = 0
        self._began = time.monotonic()

    def run(self) -> None:
        driver = threading.Thread(target=self._drive)
        self._began = time.monotonic()
        driver.start()
        while driver.is_alive():
            time.sleep(SAMPLE_EVERY_SECONDS)
            self.samples.append(self._sample())
        driver.join()

    def _drive(self) -> None:
        """Customers write at even intervals; each is answered, and each answer brings three statuses."""
        while (passed := time.monotonic() - self._began) < self.seconds:
            due = int(passed * MESSAGES_PER_SECOND) - self.sent
            for _ in range(due):
                self.sent += 1
                self.stack.simulator.customer_writes(f"49151{self.sent % CUSTOMERS:08}", f"Question {self.sent}")
            time.sleep(0.02)

    def _sample(self) -> Sample:
        pids = {name: _tree(self.stack.processes[name].pid) for name in OURS if name in self.stack.processes}
        data = self.stack.settings.data_dir
        return Sample(
            at=time.monotonic() - self._began,
            memory={name: sum(map(_pss, of)) for name, of in pids.items()},
            descriptors={name: sum(map(_descriptors, of)) for name, of in pids.items()},
            wal=_size(data / "frontdesk.db-wal"),
            aof=sum(_size(path) for path in (data / "redis" / "appendonlydir").glob("*")),
            waiting=self.stack.rows("SELECT COUNT(*) AS n FROM conversations WHERE waiting_since IS NOT NULL")[0]["n"],
            acknowledged=self._acknowledged(),
        )

    def _acknowledged(self) -> list[float]:
        found = self.stack.simulator.webhooks(self._seen)
        self._seen = found[-1]["seq"] if found else self._seen
        return [one["ms"] for one in found if one["status"] == 200]

    # --- what the samples say ---------------------------------------------------------------------------------------------------

    def slope(self, of) -> float:
        """Per hour, by least squares over the last two thirds: the first one fills caches."""
        points = [(one.at, of(one)) for one in self.samples if one.at > self.seconds / 3]
        return statistics.linear_regression(*zip(*points)).slope * 3600

    def p99(self, first: bool) -> float:
        """Of the acknowledgements in the first or in the last fifth, milliseconds."""
        border = self.seconds / 5
        times = [ms for one in self.samples if (one.at < border if first else one.at > self.seconds - border) for ms in one.acknowledged]
        return sorted(times)[int(len(times) * 0.99)]

    def answered(self) -> tuple[int, int]:
        """Customers' messages, and those of them that are answered."""
        row = self.stack.rows("SELECT COUNT(*) AS n, SUM(state = 'answered') AS answered FROM messages WHERE direction = 'in'")[0]
        return row["n"], row["answered"]


def _tree(pid: int) -> list[int]:
    return [pid, *(one for child in children_of(pid) for one in _tree(child))]


def _pss(pid: int) -> float:
    try:
        return int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) / 1024
    except (OSError, TypeError):
        return 0.0


def _descriptors(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def _size(path: Path) -> float:
    try:
        return path.stat().st_size / 1e6
    except OSError:
        return 0.0
