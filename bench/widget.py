"""Open streams of the web chat: what each costs in memory, and what a thousand of them cost the webhook.

    bench/run widget.py [--streams 1000] [--rate 100] [--seconds 12] [--rounds 2]

The web processes as they come (2 with 8 threads) and a Redis; no workers. Webhooks come at a fixed rate, each timed from the moment it
was due, from a process of its own: before, with all streams open and quiet, and while twenty answers are written, ten pieces a second.
"""

import argparse
import asyncio
import hashlib
import hmac
import http.client
import json
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from machine import ROOT, heading, median, table  # puts the project on the path

from frontdesk import queues
from frontdesk.flows import visitors
from frontdesk.flows.first_run import DEMO_WIDGET
from tests.stack import Stack, children_of

CONNECTIONS = 8
AT_ONCE = 10  # streams are opened so many at a time: pages have six threads of each process
ANSWERS, PIECES_PER_SECOND = 20, 10
WRITTEN = "The millet loaf keeps four days in a paper bag, and it freezes very well indeed. " * 8


# --- webhooks at a fixed rate, in a process of its own ----------------------------------------------------------------------------


def webhooks(port: int, secret: str, rate: float, seconds: float) -> list[float]:
    """Milliseconds from when each was due to its acknowledgement."""
    count = int(rate * seconds)
    begins = time.perf_counter() + 0.2

    def one_connection(first: int) -> list[float]:
        connection, took = http.client.HTTPConnection("127.0.0.1", port, timeout=10), []
        for place in range(first, count, CONNECTIONS):
            body = _body(place).encode()
            signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
            due = begins + place / rate
            time.sleep(max(0, due - time.perf_counter()))
            connection.request("POST", "/webhooks/whatsapp", body, {"X-Hub-Signature-256": signature, "Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise SystemExit(f"a webhook was refused: {answer.status}")
            took.append((time.perf_counter() - due) * 1000)
        return took

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return [one for part in pool.map(one_connection, range(CONNECTIONS)) for one in part]


def _body(place: int) -> str:
    message = {"from": "4915112345678", "id": f"wamid.{time.time_ns()}.{place}", "timestamp": "1790000000", "type": "text", "text": {"body": "Hello"}}
    metadata = {"display_phone_number": "15550100001", "phone_number_id": "100000000000001"}
    value = {"messaging_product": "whatsapp", "metadata": metadata, "messages": [message]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [{"id": "2", "changes": [{"field": "messages", "value": value}]}]})


# --- streams ------------------------------------------------------------------------------------------------------------------------


class Streams:
    """`heard`: seconds on the way of each piece of an answer, which says when it was published."""

    def __init__(self, stack: Stack):
        self.port = int(stack.web_url.rpartition(":")[2])
        self.stack, self.writers, self.readers = stack, [], []
        self.visitors: list[str] = []
        self.heard: list[float] = []

    async def begin(self, count: int) -> None:
        for first in range(0, count, AT_ONCE):
            await asyncio.gather(*(self._one(place) for place in range(first, min(first + AT_ONCE, count))))

    async def _one(self, place: int) -> None:
        token = visitors.issue(self.stack.settings, DEMO_WIDGET, time.time())
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(
            f"GET /widget/{DEMO_WIDGET}/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: {self.stack.settings.simulator_url}\r\n"
            f"X-Forwarded-For: 10.0.{place // 250}.{place % 250}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )
        self.visitors.append(token.partition(".")[0])
        self.writers.append(writer)
        opened = asyncio.Event()
        self.readers.append(asyncio.create_task(self._read(reader, opened)))
        await asyncio.wait_for(opened.wait(), 30)

    async def _read(self, reader: asyncio.StreamReader, opened: asyncio.Event) -> None:
        while line := await reader.readline():
            if line.startswith(b"HTTP/1.1") and b" 200 " not in line:
                raise SystemExit(f"a stream was refused: {line.decode()}")
            if not line.startswith(b"data: "):
                continue
            event = json.loads(line[6:])
            if event["type"] == "open":
                opened.set()
            elif event["type"] == "writing" and event["text"]:
                self.heard.append((time.time() - float(event["text"].partition(" ")[0])) * 1000)

    async def write_answers(self, live: queues.Live, seconds: float) -> None:
        ends = time.monotonic() + seconds
        length = 0
        while time.monotonic() < ends:
            length = (length + 8) % len(WRITTEN)
            for visitor in self.visitors[:ANSWERS]:
                await asyncio.to_thread(live.writing, visitor, f"{time.time()} {WRITTEN[:length]}")
            await asyncio.sleep(1 / PIECES_PER_SECOND)

    async def close(self) -> None:
        for writer in self.writers:
            writer.close()
        await asyncio.gather(*self.readers, return_exceptions=True)


def memory_mb(stack: Stack) -> float:
    """Of the web processes: what would be free without them (PSS)."""
    keeper = stack.processes["web"].pid
    pids = [*children_of(keeper), *(grandchild for child in children_of(keeper) for grandchild in children_of(child))]
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:")]
    return sum(int(line.split()[1]) for line in lines) / 1024


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def one_round(stack: Stack, given: argparse.Namespace) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    live = queues.Live(queues.connect(stack.settings.redis_address))
    port, secret = int(stack.web_url.rpartition(":")[2]), stack.settings.simulator_app_secret

    async def measure() -> list[float]:
        with context.Pool(1) as pool:
            asked = pool.apply_async(webhooks, (port, secret, given.rate, given.seconds))
            return await asyncio.to_thread(asked.get, given.seconds + 60)

    before = await measure()
    empty_mb = memory_mb(stack)
    streams = Streams(stack)
    begun = time.monotonic()
    await streams.begin(given.streams)
    took = time.monotonic() - begun
    await asyncio.sleep(1)
    full_mb = memory_mb(stack)
    quiet = await measure()
    writing = asyncio.create_task(streams.write_answers(live, given.seconds + 2))
    busy = await measure()
    await writing
    await streams.close()
    return {
        "opened": given.streams / took,
        "kb": (full_mb - empty_mb) * 1024 / given.streams,
        **{
            f"{name} {share}": percentile(found, share / 100)
            for name, found in (("before", before), ("quiet", quiet), ("busy", busy))
            for share in (50, 99)
        },
        "piece 50": percentile(streams.heard, 0.5),
        "piece 99": percentile(streams.heard, 0.99),
        "pieces": len(streams.heard),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    os.chdir(ROOT)
    without = ("ollama", "simulator", "high", "default", "bulk", "scheduler")
    with tempfile.TemporaryDirectory(prefix="bench") as folder, Stack(Path(folder), without=without, TRUSTED_PROXIES="1") as stack:
        rounds = [asyncio.run(one_round(stack, given)) for _ in range(given.rounds)]
    found = {name: median([one[name] for one in rounds]) for name in rounds[0]}
    heading(f"{given.streams} open streams, {given.rate:g} webhooks a second for {given.seconds:g} s, median of {given.rounds} rounds")
    names = {
        "before": "webhook without streams",
        "quiet": "with quiet streams",
        "busy": f"while {ANSWERS} answers are written",
        "piece": "a piece of an answer on its way",
    }
    rows = [[name, *(f"{found[f'{key} {share}']:.1f}" for share in (50, 99))] for key, name in names.items()]
    table(["", "p50 ms", "p99 ms"], rows)
    quiet, busy = (found[f"{name} 99"] / found["before 99"] for name in ("quiet", "busy"))
    print(f"webhook p99 with quiet streams / without: {quiet:.2f}; with answers / without: {busy:.2f}")
    print(f"{found['kb']:.1f} kB a stream; {found['opened']:.0f} opened a second; {found['pieces']:.0f} pieces came")


if __name__ == "__main__":
    main()
