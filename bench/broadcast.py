"""Broadcasts against the number's limit and against the recipe: rate, windows, pause, replies meanwhile, memory, kills.

    bench/run broadcast.py [--only limit speed memory twin] [--recipients 10000]
    bench/run broadcast.py --kill-every 2 --recipients 10000

The simulator answers after 100 ms and posts three statuses for each message; one bulk worker. Rates and windows are counted from the
simulator's own record, between the first and the last message it took.
"""

import argparse
import bisect
import io
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from machine import BENCH, ROOT, TWIN, heading, process, redis_server, table

from frontdesk.flows import audience, broadcasts as control
from frontdesk.flows.broadcasts import Wanted
from frontdesk.flows.context import make as make_context
from frontdesk.queues import connect
from frontdesk.store import audiences, broadcasts, outbox
from tests.stack import Stack, children_of, wait_for

SETTINGS = {"LOG_LEVEL": "warning", "LEASE_SECONDS": "30", "SWEEP_SECONDS": "15", "UNKNOWN_WAIT_SECONDS": "30", "GRAPH_TIMEOUT_SECONDS": "10"}
LATENCY_MS = 100
REPLY_EVERY_SECONDS = 0.2


class Desk:
    def __init__(self, stack: Stack, rate: float):
        self.stack = stack
        self.context = make_context(stack.settings, connect(stack.settings.redis_address))
        self.context.db.execute("UPDATE numbers SET messages_per_second = ?", (rate,))
        self.context.queues.refresh_templates()
        wait_for(lambda: stack.rows("SELECT id FROM templates WHERE name = 'order_ready'"))
        stack.simulator.behave(latency_ms=LATENCY_MS, limits=False)

    def broadcast(self, count: int) -> int:
        lines = "phone,name,order\n" + "".join(f"+49151{n:08},Customer {n},{n}\n" for n in range(count))
        id_ = audience.from_file(self.context, 1, io.BytesIO(lines.encode()), name="bench")
        wait_for(lambda: audiences.get(self.context.db, id_).state == "ready", 120)
        variables = {"1": {"column": "name"}, "2": {"column": "order"}}
        return control.make(self.context, Wanted("bench", 1, id_, "order_ready", "en", variables)).id

    def start(self, id_: int) -> None:
        control.start(self.context, id_)

    def wait_until_done(self, id_: int, seconds: float) -> None:
        wait_for(lambda: broadcasts.get(self.context.db, id_).state == "done", seconds, every=0.25)

    def read(self, id_: int) -> int:
        return broadcasts.tally(self.context.db, id_).get("read", 0)


@contextmanager
def desk(rate: float, **changes):
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        with Stack(Path(folder), without=("ollama", "default"), **{**SETTINGS, **changes}) as stack:
            yield Desk(stack, rate)


def times(stack: Stack, beginning: str = "49151") -> list[float]:
    """When the simulator had each request in its hands: its own latency comes after."""
    return sorted(send["arrived_at"] for send in stack.simulator.sends() if send["to"].startswith(beginning))


def fullest_second(at: list[float]) -> int:
    """The most messages that any window of one second holds."""
    return max(bisect.bisect_left(at, moment + 1) - place for place, moment in enumerate(at))


class Replies:
    """People who are answered meanwhile: from the row to the simulator's record."""

    def __init__(self, desk: Desk):
        self.desk, self.over, self.asked = desk, threading.Event(), {}
        for n in range(200):
            desk.stack.simulator.customer_writes(f"49170{n:07}", "Hello")
        wait_for(lambda: desk.stack.rows("SELECT COUNT(*) AS n FROM conversations")[0]["n"] >= 200, 60)
        self.rows = desk.stack.rows("SELECT conversations.id, phone FROM conversations JOIN contacts ON contacts.id = contact_id")
        self.thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        context, serial = self.desk.context, 0
        while not self.over.wait(REPLY_EVERY_SECONDS):
            row = self.rows[serial % len(self.rows)]
            serial += 1
            self.asked[f"reply {serial}"] = time.time()
            outbox.queue_text(context.db, row["id"], 1, f"reply {serial}", purpose="api", now=context.now())
            context.queues.send([row["id"]])

    def milliseconds(self) -> list[float]:
        sends = [send for send in self.desk.stack.simulator.sends() if send["type"] == "text"]
        return sorted((send["at"] - self.asked[send["payload"]["text"]["body"]]) * 1000 for send in sends)


def of(sorted_values: list[float], share: float) -> float:
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


def replies_for(desk: Desk, seconds: float) -> list[float]:
    replies = Replies(desk)
    replies.thread.start()
    time.sleep(seconds)
    replies.over.set()
    replies.thread.join()
    wait_for(lambda: len(replies.milliseconds()) == len(replies.asked), 20, every=0.5)
    return replies.milliseconds()


def limit(given) -> None:
    """80 a second, replies and a pause meanwhile."""
    with desk(80) as one:
        alone = replies_for(one, 10)
    with desk(80) as one:
        id_ = one.broadcast(2400)
        replies = Replies(one)
        one.start(id_)
        wait_for(lambda: len(times(one.stack)) > 100, 30)
        one.wait_until_done(id_, 120)
        at = times(one.stack)
        rate = (len(at) - 1) / (at[-1] - at[0])
        table(
            ["limit a second", "recipients", "messages/s", "of the limit", "fullest second", "each once"],
            [[80, len(at), rate, rate / 80, fullest_second(at), len(set(send["to"] for send in one.stack.simulator.sends())) == len(at) == 2400]],
        )
    with desk(80) as one:
        id_ = one.broadcast(2400)
        replies = Replies(one)
        one.start(id_)
        wait_for(lambda: len(times(one.stack)) > 100, 30)
        replies.thread.start()
        time.sleep(10)
        replies.over.set()
        replies.thread.join()
        wait_for(lambda: len(replies.milliseconds()) == len(replies.asked), 20, every=0.5)
        during = replies.milliseconds()
        paused_at = time.time()
        control.pause(one.context, id_)
        time.sleep(3)
        last = times(one.stack)[-1]
    table(
        ["a reply until WhatsApp has it", "p50 ms", "p95 ms", "n"],
        [["alone", of(alone, 0.5), of(alone, 0.95), len(alone)], ["during the broadcast", of(during, 0.5), of(during, 0.95), len(during)]],
    )
    print(f"delayed at p95 by {of(during, 0.95) - of(alone, 0.95):.0f} ms; the last message after a pause began {max(0, last - paused_at):.2f} s later\n")


def speed(given) -> None:
    with desk(1000) as one:
        id_ = one.broadcast(given.recipients)
        begin = time.time()
        one.start(id_)
        one.wait_until_done(id_, 300)
        at = times(one.stack)
        wait_for(lambda: one.read(id_) == given.recipients, 120, every=0.5)
        all_read = time.time()
        webhooks = [hook for hook in one.stack.simulator.webhooks() if hook["kind"] == "statuses"]
    rate = (len(at) - 1) / (at[-1] - at[0])
    table(
        ["system", "recipients", "messages/s", "fullest second", "first after s", "all statuses stored after s", "statuses' acknowledgement p50 ms"],
        [["Frontdesk", len(at), rate, fullest_second(at), at[0] - begin, all_read - at[0], statistics.median(hook["ms"] for hook in webhooks)]],
    )


def twin(given) -> None:
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        with Stack(Path(folder), without=("ollama", "default", "high", "bulk", "scheduler"), **SETTINGS) as stack, redis_server() as address:
            stack.simulator.behave(latency_ms=LATENCY_MS)
            graph = f"{stack.simulator.url}/v25.0/100000000000001/messages"
            environ = {"BENCH_REDIS": address, "BENCH_GRAPH": graph}
            rows = []
            for pool, threads in (("prefork", 8), ("threads", 120)):
                stack.simulator.reset()
                stack.simulator.behave(latency_ms=LATENCY_MS)
                count = given.recipients if pool == "threads" else given.recipients // 10
                command = [TWIN / "celery", "-A", "twins.celery_broadcast:celery", "worker", "-P", pool, "-c", threads, "-l", "WARNING"]
                with process(command, **environ):
                    code = f"from twins.celery_broadcast import queue; queue({count}, 0)"
                    env = {**os.environ, **environ, "PYTHONPATH": f"{ROOT}:{BENCH}"}
                    subprocess.run([TWIN / "python", "-c", code], cwd=ROOT, env=env, check=True)
                    wait_for(lambda: len(times(stack)) >= count, 400, every=1)
                at = times(stack)
                rows.append([f"Celery group, {pool} {threads}", count, (len(at) - 1) / (at[-1] - at[0]), fullest_second(at)])
    table(["system", "recipients", "messages/s", "fullest second"], rows)


def memory(given) -> None:
    rows = []
    for count in (1_000, given.most):
        with desk(1000) as one:
            id_, peak = one.broadcast(count), 0.0
            one.start(id_)
            while broadcasts.get(one.context.db, id_).state != "done":
                time.sleep(0.5)
                peak = max(peak, _megabytes(one.stack))
        rows.append([f"{count:,}", peak])
    table(["recipients", "bulk worker and its job, peak MB (PSS)"], rows)


def _megabytes(stack: Stack) -> float:
    pid = stack.child("bulk")
    total = 0
    for one in [pid, *children_of(pid)] if pid else []:
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def with_kills(given) -> None:
    """Each recipient exactly once by the simulator's record, or shown as unknown."""
    with desk(1000, UNKNOWN_WAIT_SECONDS="20") as one:
        one.stack.simulator.behave(lose_answer_rate=0.05)
        id_, over, kills = one.broadcast(given.recipients), threading.Event(), []
        one.start(id_)

        def kill() -> None:
            """Only one that has begun to send: on a slow machine it would never come to it."""
            sent = -1
            while not over.wait(given.kill_every):
                newest = one.stack.simulator.newest_sends(1)
                if newest and newest[0]["seq"] > sent:
                    one.stack.kill("bulk")
                    kills.append(time.time())
                    sent = newest[0]["seq"]

        killer = threading.Thread(target=kill)
        killer.start()
        begin = time.time()
        try:
            wait_for(lambda: len(times(one.stack)) >= given.recipients, 1200, every=1)
        finally:
            over.set()
            killer.join()
        one.wait_until_done(id_, 200)
        seconds = time.time() - begin
        counts: dict[str, int] = {}
        for send in one.stack.simulator.sends():
            counts[send["to"]] = counts.get(send["to"], 0) + 1
        tally = broadcasts.tally(one.context.db, id_)
    doubled = sum(count > 1 for count in counts.values())
    table(
        ["recipients", "kills", "seconds", "got it once", "twice or more", "never", "shown as unknown"],
        [[given.recipients, len(kills), seconds, len(counts) - doubled, doubled, given.recipients - len(counts), tally.get("unknown", 0)]],
    )
    if doubled or len(counts) < given.recipients:
        sys.exit(1)


PARTS = {"limit": limit, "speed": speed, "twin": twin, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipients", type=int, default=10_000)
    parser.add_argument("--most", type=int, default=100_000, help="recipients of the memory's second measurement")
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--kill-every", type=float, help="seconds between two kills of the bulk worker; compares nothing")
    given = parser.parse_args()
    heading("Broadcasts")
    if given.kill_every:
        return with_kills(given)
    for part in given.only:
        PARTS[part](given)


if __name__ == "__main__":
    main()
