"""Where the time goes: CPU for each conversation by process, and the shares inside web, drain, reply and send.

    bench/run profile.py [--conversations 600] [--raw FOLDER]

The whole stack with an instant model and no quiet period answers a burst of conversations; py-spy samples each process meanwhile.
A share is of the samples in which the process was working, and inclusive: what a function calls counts for it.
"""

import argparse
import collections
import os
import re
import subprocess
import tempfile
import threading
from pathlib import Path

import requests
from loop import lift_the_rate, post
from machine import SECRET, TWIN, heading, table

from tests.stack import Stack, children_of, wait_for

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

# Process → lines of the table: what it is called, and the frames (function and file) that it is known by.
PARTS = {
    "web": [
        ("gunicorn: connections, threads", r"\(gunicorn/workers/"),
        ("· parsing the request", r"\(gunicorn/http/"),
        ("the webhook", r"\(frontdesk/web/webhook"),
        ("· verifying the signature", r"is_signed \("),
        ("· keeping it in Redis", r"Inbox\.put \("),
        ("· ringing for the drain", r"Queues\.drain \("),
    ],
    "high": [
        ("drain", r"^drain \(jobs"),
        ("· parsing the body", r"\.parse \(frontdesk/channels"),
        ("· storing the events", r"^_record_event "),
        ("· ringing", r"^ring \(frontdesk/flows/inbound"),
        ("send", r"Senders\._serve \("),
        ("· calling Graph", r"^_call \(frontdesk/flows/sending"),
        ("· rows", r"\(frontdesk/store/"),
        ("· the rate limit", r"Limits\.take \("),
        ("RQ and its jobs", r"\(rq/worker/"),
    ],
    "default": [
        ("reply", r"^answer_due \("),
        ("· asking the model", r"\(frontdesk/ollama"),
        ("· · HTTP client", r"\((httpx|httpcore|anyio|h11)/"),
        ("· typing…", r"^_show_typing "),
        ("· rows", r"\(frontdesk/store/"),
        ("· ringing for the send", r"Queues\.send \("),
        ("RQ and its jobs", r"\(rq/worker/"),
    ],
}


# Where a thread only waits, whatever py-spy takes it for.
WAITING = r"^(_worker \(concurrent/|\w*\.?(select|wait|result|poll) \(|.*_read_from_socket \()"


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of its children that are there."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
    return own + sum(cpu_seconds(child) for child in children_of(pid))


def burst(stack: Stack, count: int, offset: int) -> None:
    session = requests.Session()
    before = len(stack.simulator.sends())
    for n in range(count):
        post(session, stack.web_url, str(4915500000000 + offset + n), 10**7 + offset + n)
    wait_for(lambda: len(stack.simulator.sends()) >= before + count, 300, every=0.5)


def sampled(stack: Stack, names: list[str], raw: Path, work) -> None:
    """Run `work` while py-spy looks at each process; stacks are written to `raw`."""
    spies = []
    for name in names:
        spies.append(
            subprocess.Popen(
                [TWIN / "py-spy", "record", "--pid", str(stack.child(name)), "--subprocesses", "--rate", "150", "--format", "raw",
                 "--full-filenames", "--output", raw / f"{name}.txt", "--duration", "600"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        )
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    for spy in spies:
        spy.send_signal(2)
        spy.wait(60)


def shares(path: Path, parts: list[tuple[str, str]]) -> tuple[int, list[list]]:
    """The samples there were, and for each part its share of them."""
    total, found = 0, collections.Counter()
    for line in path.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [_short(frame) for frame in stack.split(";")]
        if re.search(WAITING, frames[-1]):
            continue
        total += int(count)
        for label, pattern in parts:
            found[label] += int(count) * any(re.search(pattern, frame) for frame in frames)
    return total, [[label, 100 * found[label] / max(1, total)] for label, _ in parts]


def _short(frame: str) -> str:
    """"drain (/somewhere/site-packages/rq/job.py:12)" → "drain (rq/job.py:12)"."""
    return re.sub(r"\((?:.*/site-packages/|.*/lib/python3\.\d+/|(?:.*/)?(?=frontdesk/|jobs\.py|chatbot\.py))", "(", frame)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=600)
    parser.add_argument("--raw", type=Path, help="keep the sampled stacks in this folder")
    given = parser.parse_args()
    heading("Where the time goes")
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        raw = given.raw or Path(folder)
        raw.mkdir(parents=True, exist_ok=True)
        changes = {"QUIET_SECONDS": "0", "WHATSAPP_APP_SECRETS": SECRET, "LOG_LEVEL": "warning", "SWEEP_SECONDS": "15"}
        with Stack(Path(folder), **changes) as stack:
            stack.simulator.behave(windows=False, statuses={"off": True})
            lift_the_rate(stack)
            burst(stack, 50, 0)
            names = ["web", "high", "default", "scheduler", "redis", "simulator", "ollama"]
            before = {name: cpu_seconds(stack.child(name)) for name in names}
            burst(stack, given.conversations, 1000)
            spent = {name: 1000 * (cpu_seconds(stack.child(name)) - before[name]) / given.conversations for name in names}
            sampled(stack, list(PARTS), raw, lambda: burst(stack, given.conversations, 100_000))
        table(["process", "CPU ms for each conversation"], [[name, spent[name]] for name in names])
        for name, parts in PARTS.items():
            total, rows = shares(raw / f"{name}.txt", parts)
            table([f"{name} ({total} samples)", "%"], rows)


if __name__ == "__main__":
    main()
