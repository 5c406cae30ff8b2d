"""Under fire: a stream of signed messages while something is killed every second or so; then everything is counted.

    bench/run chaos.py [--kills 1000] [--conversations 200] [--seed 1]
    bench/run chaos.py --scenario NAME|all    (flushall, redis-frozen, disk-full, clock-steps …)

Real gunicorn, Redis, workers, scheduler and SQLite under bin/keep; the simulator and the Ollama stand-in are the world outside
and stay alive. A conversation's next message is posted when the one before was acknowledged, again and again until it is, as
Meta does. Counted from the simulator's own record and from SQLite: every acknowledged message answered exactly once, in order,
every status kept, nothing left in a state that nobody owns.
"""

import argparse
import collections
import hashlib
import hmac
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import requests
from machine import BENCH, ROOT, heading, table

from frontdesk import queues
from tests import webhooks
from tests.stack import Stack, children_of, wait_for

VICTIMS = ["web", "web worker", "high", "default", "bulk", "bulk's work-horse", "scheduler", "redis"]
POSTERS = 24
SETTINGS = {"OLLAMA_TIMEOUT_SECONDS": "10", "LOG_LEVEL": "warning"}


class Customers:
    """Conversations that each post one message after the other, for as long as they are let."""

    def __init__(self, stack: Stack, count: int, pause_seconds: float):
        self.stack, self.pause_seconds = stack, pause_seconds
        self.phones = [str(4915200000000 + n) for n in range(count)]
        self.acknowledged: dict[str, list[str]] = {phone: [] for phone in self.phones}
        self.refused = 0
        self.stopping = threading.Event()
        self.key = stack.settings.simulator_app_secret.encode()
        shares = [self.phones[n::POSTERS] for n in range(min(POSTERS, count))]
        self.threads = [threading.Thread(target=self._write, args=(share,)) for share in shares]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def _write(self, phones: list[str]) -> None:
        session = requests.Session()
        serial = 0
        while not self.stopping.is_set():
            serial += 1
            for phone in phones:
                self._post_until_acknowledged(session, phone, f"{phone} says {serial:05}")
                if self.stopping.wait(self.pause_seconds / len(phones) * random.uniform(0.5, 1.5)):
                    return

    def _post_until_acknowledged(self, session: requests.Session, phone: str, words: str) -> None:
        message = webhooks.text(words, sender=phone, id=f"wamid.{words}", at=time.time())
        body = webhooks.texts(message)
        signature = "sha256=" + hmac.new(self.key, body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": signature}
        while True:
            try:
                answer = session.post(f"{self.stack.web_url}/webhooks/whatsapp", data=body, headers=headers, timeout=10)
                if answer.status_code == 200:
                    self.acknowledged[phone].append(words)
                    return
            except requests.RequestException:
                pass
            self.refused += 1
            time.sleep(0.2)

    @property
    def count(self) -> int:
        return sum(len(words) for words in self.acknowledged.values())


class Killer:
    def __init__(self, stack: Stack, dice: random.Random):
        self.stack, self.dice = stack, dice
        self.kills: collections.Counter[str] = collections.Counter()

    def kill_one(self) -> None:
        victim = self.dice.choice(VICTIMS)
        pid = self._find(victim)
        if pid is None:
            return
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.kills[victim] += 1

    def _find(self, victim: str) -> int | None:
        if victim == "web worker":
            return self.dice.choice(_children(self.stack.child("web")) or [None])
        if victim == "bulk's work-horse":
            return self.dice.choice(_children(self.stack.child("bulk")) or [None])
        return self.stack.child(victim)


def _children(pid: int | None) -> list[int]:
    return children_of(pid) if pid else []


# --- what goes wrong ----------------------------------------------------------------------------------------------------------


def kills(stack: Stack, customers: Customers, given) -> dict:
    killer = Killer(stack, random.Random(given.seed))
    begin = shown = time.monotonic()
    while sum(killer.kills.values()) < given.kills:
        time.sleep(killer.dice.uniform(0.5, 2))
        killer.kill_one()
        if time.monotonic() - shown > 60:
            shown = time.monotonic()
            print(f"  {sum(killer.kills.values())} kills, {customers.count} acknowledged", file=sys.stderr, flush=True)
    return {"kills": sum(killer.kills.values()), **killer.kills, "minutes": round((time.monotonic() - begin) / 60, 1)}


def flushall(stack: Stack, customers: Customers, given) -> dict:
    """What was acknowledged and not yet drained is lost with Redis: the stated limit, counted here."""
    connection = queues.connect(stack.settings.redis_address)
    at_risk = []
    for _ in range(20):
        time.sleep(random.uniform(0.5, 1.5))
        pipeline = connection.pipeline()
        pipeline.xlen(queues.INBOX)
        pipeline.flushall()
        at_risk.append(pipeline.execute()[0])
    return {"flushes": len(at_risk), "webhooks in the inbox at a flush": sum(at_risk)}


def redis_frozen(stack: Stack, customers: Customers, given) -> dict:
    time.sleep(5)
    pid = stack.child("redis")
    os.kill(pid, signal.SIGSTOP)
    time.sleep(30)
    os.kill(pid, signal.SIGCONT)
    time.sleep(10)
    return {"seconds frozen": 30}


def graph_errors(stack: Stack, customers: Customers, given) -> dict:
    stack.simulator.behave(error_rate=0.3)
    time.sleep(30)
    stack.simulator.behave(error_rate=0)
    return {"error rate": 0.3}


def graph_slow(stack: Stack, customers: Customers, given) -> dict:
    stack.simulator.behave(latency_ms=5000)
    time.sleep(30)
    stack.simulator.behave(latency_ms=0)
    return {"latency seconds": 5}


def graph_cuts(stack: Stack, customers: Customers, given) -> dict:
    stack.simulator.behave(lose_answer_rate=0.3)
    time.sleep(30)
    stack.simulator.behave(lose_answer_rate=0)
    return {"answers cut after acceptance": sum(send["answer_lost"] for send in stack.simulator.sends())}


def model_chaos(stack: Stack, customers: Customers, given) -> dict:
    """Hanging, crashing in mid-stream, returning garbage; each now and then."""
    faults = [
        {"end": "stall", "end_after_tokens": 1},
        {"end": "cut", "end_after_tokens": 1},
        {"end": "reset", "end_after_tokens": 1},
        {"end": "error", "error": "unexpected EOF", "end_after_tokens": 1},
        {"end": "nothing"},
        {"kind": "runner_stopped"},
        {"kind": "busy"},
        {"kind": "proxy_page"},
        {"lines": ["not json at all\n"]},
    ]
    for fault in faults * 2:
        stack.ollama.next(fault)
        time.sleep(3)
    return {"faults": len(faults) * 2}


def wedged_worker(stack: Stack, customers: Customers, given) -> dict:
    """Stopped for longer than its lease, then awake again: each worker in turn, and the work-horse."""
    wedged = 0
    for _ in range(3):
        for name in ("high", "default"):
            pids = [pid for pid in [stack.child(name), *_children(stack.child(name))] if pid]
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(float(stack.environ["LEASE_SECONDS"]) + float(stack.environ["GRAPH_TIMEOUT_SECONDS"]) + 2)
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass
            wedged += 1
            time.sleep(2)
    return {"workers wedged": wedged}


def disk_full(stack: Stack, customers: Customers, given) -> dict:
    """Twice 20 s without a free byte for SQLite and the append-only file, which lie on a small tmpfs."""
    ballast = stack.folder / "ballast"
    refused = customers.refused
    for _ in range(2):
        with ballast.open("wb") as file:
            try:
                while True:
                    file.write(b"x" * 65536)
            except OSError:
                pass
        time.sleep(20)
        ballast.unlink()
        time.sleep(10)
    return {"refused while it was full": customers.refused - refused}


def clock_steps(stack: Stack, customers: Customers, given) -> dict:
    """The wall clock of every process but Redis jumps an hour forth, back, an hour back, and right again; twice."""
    for offset in ("3600", "0", "-3600", "0") * 2:
        draft = stack.folder / "clock.new"
        draft.write_text(offset)
        draft.rename(stack.folder / "clock")
        time.sleep(15)
    return {"steps of an hour": 8}


SCENARIOS = {
    "kills": kills,
    "flushall": flushall,
    "redis-frozen": redis_frozen,
    "graph-errors": graph_errors,
    "graph-slow": graph_slow,
    "graph-cuts": graph_cuts,
    "model-chaos": model_chaos,
    "wedged-worker": wedged_worker,
    "disk-full": disk_full,
    "clock-steps": clock_steps,
}

@contextmanager
def place(scenario: str):
    """A folder for the stack and the environment it wants. The full disk needs root."""
    with tempfile.TemporaryDirectory(prefix="chaos") as folder:
        if scenario == "clock-steps":
            (Path(folder) / "clock").write_text("0")
            yield Path(folder), {"STEPPED_CLOCK": f"{folder}/clock", "PYTHONPATH": f"{BENCH / 'stepped_clock'}:{ROOT}"}
        elif scenario == "disk-full":
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=True)
            try:
                yield Path(folder), {}
            finally:
                subprocess.run(["umount", "-l", folder], check=True)
        else:
            yield Path(folder), {}


# --- counting -----------------------------------------------------------------------------------------------------------------


def settled(stack: Stack) -> bool:
    return not stack.rows(
        """
        SELECT id FROM messages WHERE state IN ('waiting', 'queued', 'sending', 'unknown')
        UNION ALL SELECT id FROM conversations WHERE claim_owner IS NOT NULL OR waiting_since IS NOT NULL LIMIT 1
        """
    )


def inbox_is_empty(stack: Stack) -> bool:
    try:
        return queues.Inbox(queues.connect(stack.settings.redis_address)).length() == 0
    except queues.RedisError:
        return False


def count(stack: Stack, customers: Customers) -> dict[str, int]:
    """Everything here but the first two must be 0."""
    said: dict[str, list[str]] = collections.defaultdict(list)
    wamids = {}
    sends = stack.simulator.sends()
    for send in sends:
        wamids[send["wamid"]] = send
        body = send["payload"]["text"]["body"]
        said[send["to"]] += [line for line in body.splitlines() if " says " in line]
    lost = doubled = misplaced = 0
    for phone, words in customers.acknowledged.items():
        times = collections.Counter(said[phone])
        lost += sum(1 for word in words if times[word] == 0)
        doubled += sum(times[word] - 1 for word in words if times[word] > 1)
        misplaced += sum(1 for before, after in zip(said[phone], said[phone][1:]) if after < before)
    outbound = stack.rows("SELECT state, external_id FROM messages WHERE direction = 'out'")
    not_read = sum(1 for row in outbound if row["state"] not in ("read", "failed"))
    unknown_to_us = len(wamids.keys() - {row["external_id"] for row in outbound})
    [orphans] = stack.rows(
        """
        SELECT (SELECT COUNT(*) FROM messages WHERE state IN ('waiting', 'queued', 'sending', 'unknown'))
             + (SELECT COUNT(*) FROM conversations WHERE claim_owner IS NOT NULL OR waiting_since IS NOT NULL) AS n
        """
    )
    [needs] = stack.rows("SELECT COUNT(*) AS n FROM messages WHERE state IN ('unanswered', 'failed')")
    return {
        "acknowledged": customers.count,
        "messages sent": len(sends),
        "lost": lost,
        "doubled": doubled,
        "out of order": misplaced,
        "statuses lost": not_read,
        "sends that no row knows": unknown_to_us,
        "rows nobody owns": orphans["n"],
        "left to a person": needs["n"],
    }


def run(scenario: str, given) -> dict:
    with place(scenario) as (folder, environ), Stack(folder, **SETTINGS, **environ) as stack:
        stack.simulator.behave(windows=False)  # the customers do not write through it
        customers = Customers(stack, given.conversations, given.pause)
        customers.start()
        try:
            done = SCENARIOS[scenario](stack, customers, given)
        finally:
            customers.stop()
        try:
            wait_for(lambda: inbox_is_empty(stack), 60)
            wait_for(lambda: settled(stack), given.settle)
            wait_for(lambda: stack.simulator.pending() == 0 and inbox_is_empty(stack), 180)
            time.sleep(2)
        except AssertionError:
            print("  not settled in time", file=sys.stderr)
        result = {**done, "refused and sent again": customers.refused, **count(stack, customers)}
        if given.keep and (result["lost"] or result["doubled"]):
            input(f"kept in {folder}; Enter ends it")
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", choices=[*SCENARIOS, "all"], default="kills")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--pause", type=float, default=20, help="seconds between two messages of one conversation")
    parser.add_argument("--settle", type=float, default=300, help="seconds the last work may take")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="stop to look when a count is wrong")
    given = parser.parse_args()
    heading("Under fire")
    for scenario in SCENARIOS if given.scenario == "all" else [given.scenario]:
        print(f"{scenario}\n")
        table(["what", "count"], [[name, value] for name, value in run(scenario, given).items()])


if __name__ == "__main__":
    main()
