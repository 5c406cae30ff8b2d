"""From receipt to send: what the machinery itself costs, with a model that answers at once and no quiet period.

    bench/run loop.py [--messages 200] [--burst 300] [--rounds 3]

Latency: one message at a time, from before its webhook is posted to the moment the Graph API (the simulator) has the answer.
Throughput: many customers at once, until the last answer is out. The twin does the same steps in one Celery task.
"""

import argparse
import hashlib
import hmac
import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import requests
from machine import SECRET, TWIN, answers, free_port, heading, median, process, redis_server, table, wait_until

from tests import webhooks
from tests.stack import Stack, wait_for

APART_SECONDS = 0.05


@contextmanager
def frontdesk(folder: Path):
    with Stack(folder, QUIET_SECONDS="0", WHATSAPP_APP_SECRETS=SECRET, LOG_LEVEL="warning", SWEEP_SECONDS="15") as stack:
        stack.simulator.behave(windows=False, statuses={"off": True})
        lift_the_rate(stack)
        yield stack.web_url, stack.simulator


def lift_the_rate(stack: Stack) -> None:
    """From 80 messages a second, which Frontdesk keeps to and the twin knows nothing of, to Meta's upper limit."""
    stack.database().execute("UPDATE numbers SET messages_per_second = 1000")


@contextmanager
def celery(folder: Path):
    """The twin beside the stack's own simulator and Ollama stand-in; one Celery process, for there is one model."""
    with (
        Stack(folder, without=("redis", "web", "high", "default", "bulk", "scheduler")) as stack,
        redis_server() as address,
    ):
        port = free_port()
        environ = {
            "BENCH_SECRET": SECRET,
            "BENCH_REDIS": address,
            "BENCH_OLLAMA": stack.ollama.url,
            "BENCH_GRAPH": stack.simulator.url,
            "BENCH_DATABASE": str(folder / "twin.db"),
        }
        uvicorn = [TWIN / "uvicorn", "--port", port, "--workers", "2", "--no-access-log", "twins.fastapi_celery:app"]
        worker = [TWIN / "celery", "-A", "twins.fastapi_celery:celery", "worker", "-c", "1", "-l", "WARNING", "-O", "fair"]
        with process([*uvicorn, "--log-level", "warning"], **environ), process(worker, **environ):
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/"))
            stack.simulator.behave(windows=False, statuses={"off": True})
            yield f"http://127.0.0.1:{port}", stack.simulator


SYSTEMS = {"frontdesk": frontdesk, "fastapi + celery": celery}


def post(session: requests.Session, url: str, phone: str, serial: int) -> None:
    body = webhooks.texts(webhooks.text(f"message {serial}", sender=phone, id=f"wamid.b{serial}", at=time.time()))
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    session.post(f"{url}/webhooks/whatsapp", data=body, headers={"X-Hub-Signature-256": signature}, timeout=10).raise_for_status()


def latencies(url: str, simulator, count: int, offset: int) -> list[float]:
    """Milliseconds from before the post to the send."""
    session = requests.Session()
    found = []
    for n in range(count):
        phone = str(4915300000000 + offset + n)
        begin = time.time()
        post(session, url, phone, offset + n)
        send = wait_for(lambda: [send for send in simulator.newest_sends(1) if send["to"] == phone], 20, every=0.004)[0]
        found.append((send["at"] - begin) * 1000)
        time.sleep(APART_SECONDS)
    return found


def throughput(url: str, simulator, count: int, offset: int) -> float:
    """Conversations a second, all begun at once."""
    session = requests.Session()
    begin = time.time()
    for n in range(count):
        post(session, url, str(4915400000000 + offset + n), 10**6 + offset + n)
    wait_for(lambda: len(simulator.newest_sends(count)) >= count, 120, every=0.3)
    return count / (simulator.newest_sends(1)[0]["at"] - begin)


def one_round(name: str, given) -> dict:
    with tempfile.TemporaryDirectory(prefix="bench") as folder, SYSTEMS[name](Path(folder)) as (url, simulator):
        latencies(url, simulator, 10, 0)
        took = latencies(url, simulator, given.messages, 1000)
        simulator._call("POST", "reset")
        simulator.behave(windows=False, statuses={"off": True})
        rate = throughput(url, simulator, given.burst, 0)
    cuts = statistics.quantiles(took, n=100)
    return {"p50": statistics.median(took), "p99": cuts[98], "rate": rate}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=200)
    parser.add_argument("--burst", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=list(SYSTEMS))
    given = parser.parse_args()
    heading("From receipt to send")
    rounds = [{name: one_round(name, given) for name in given.only} for _ in range(given.rounds)]
    rows = []
    for name in given.only:
        figures = {key: median(one[name][key] for one in rounds) for key in ("p50", "p99", "rate")}
        own = {key: median(one["frontdesk"][key] for one in rounds) for key in figures} if "frontdesk" in given.only else figures
        rows.append([name, *figures.values(), own["p50"] / figures["p50"], own["rate"] / figures["rate"]])
    table(["system", "p50 ms", "p99 ms", "conversations/s", "p50 ×", "rate ×"], rows)


if __name__ == "__main__":
    main()
