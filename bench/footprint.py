"""What the idle stack costs: memory of each process (PSS: shared pages counted by share), import times, seconds to readiness.

    bench/run footprint.py
"""

import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from machine import PRODUCT, ROOT, answers, free_port, heading, table, wait_until

LIMIT_MB = 300


def processes_of(leader: int) -> list[int]:
    found = [leader]
    for pid in found:
        try:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
        except OSError:
            continue
    return found


def pss_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1)) / 1024


def name_of(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    for key, name in (
        ("bin/keep", "keep (restarters)"), ("gunicorn", "web"), ("frontdesk.simulator", "simulator"), ("rq:worker", "worker"),
        ("worker high", "worker high"), ("worker default", "worker default"), ("worker bulk", "worker bulk"),
        ("scheduler.py", "scheduler"), ("redis-server", "redis"), ("valkey-server", "redis"), ("frontdesk.processes", "foreground"),
    ):  # fmt: skip
        if key in words:
            return name
    return words[:30] or "?"


def main() -> None:
    heading("Footprint of the idle stack")
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        web, simulator = free_port(), free_port()
        environ = {**os.environ, "DATA_DIR": folder, "WEB_PORT": str(web), "SIMULATOR_PORT": str(simulator)}
        begin = time.monotonic()
        started = subprocess.Popen([ROOT / "bin/start"], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{web}/ready"), 60)
            ready = time.monotonic() - begin
            time.sleep(10)
            memory: dict[str, list[float]] = {}
            for pid in processes_of(started.pid):
                memory.setdefault(name_of(pid), []).append(pss_mb(pid))
        finally:
            begin = time.monotonic()
            started.send_signal(signal.SIGINT)
            started.wait(15)
            stopped = time.monotonic() - begin
    rows = [[name, len(each), sum(each)] for name, each in sorted(memory.items(), key=lambda item: -sum(item[1]))]
    product = sum(row[2] for row in rows if row[0] != "simulator")
    table(["process", "how many", "PSS MB"], [*rows, ["all but the simulator", "", product]])
    print(f"{product / LIMIT_MB:.2f} of the {LIMIT_MB} MB it may have; ready in {ready:.1f} s, stopped in {stopped:.1f} s\n")
    modules = ["chatbot", "jobs", "scheduler", "frontdesk.ollama", "ollama"]
    times = []
    for module in modules:
        best = min(_import_seconds(module) for _ in range(3))
        times.append([module, best * 1000])
    table(["import of", "ms"], times)


def _import_seconds(module: str) -> float:
    begin = time.monotonic()
    subprocess.run([PRODUCT / "python", "-c", f"import {module}"], cwd=ROOT, check=True)
    return time.monotonic() - begin


if __name__ == "__main__":
    main()
