"""What the queue costs for each document of a batch, with a model that answers at once; and whether kills lose or double any.

    bench/run documents.py [--items 2000] [--rounds 3]
    bench/run documents.py --kill-every 5 --items 10000

From before the batch is handed over to the moment the last result can be read. `model` is the same calls made one after the other by a
bare loop; what a system takes beyond that is its overhead. Frontdesk is asked over HTTP and keeps everything in SQLite; the twin is a
Celery group with its results in Redis, asked in its own process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import requests
from machine import BENCH, ROOT, TWIN, heading, median, process, redis_server, table

from frontdesk.store import api_tokens
from frontdesk.store.database import transaction
from tests.stack import Stack, wait_for

ANSWER = '{"category": "invoice", "confidence": "high"}'
NOT_NEEDED = ("redis", "web", "high", "default", "bulk", "scheduler", "simulator")


def texts(count: int) -> list[str]:
    return [f"Invoice {n}: please pay {n} EUR. " * 20 for n in range(count)]


def model_alone(count: int) -> float:
    """Milliseconds for each call."""
    with tempfile.TemporaryDirectory(prefix="bench") as folder, Stack(Path(folder), without=NOT_NEEDED) as stack:
        stack.ollama.behave(text=ANSWER)
        session = requests.Session()
        body = {"model": "llama3.2:3b", "stream": False, "think": False, "format": {"type": "object"}}
        begin = time.perf_counter()
        for text in texts(count):
            asked = body | {"messages": [{"role": "user", "content": text}]}
            session.post(f"{stack.ollama.url}/api/chat", json=asked, timeout=10).raise_for_status()
        return (time.perf_counter() - begin) / count * 1000


class Api:
    def __init__(self, stack: Stack):
        db = stack.database()
        with transaction(db):
            token = api_tokens.add(db, "bench", None, ("documents",), None, time.time())
        self.url, self.session = f"{stack.web_url}/api/v1", requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token}"

    def hand_over(self, count: int) -> str:
        body = {"kind": "classification", "texts": texts(count)}
        return self.session.post(f"{self.url}/batches", json=body, timeout=60).json()["batch_id"]

    def done(self, batch_id: str) -> int:
        return self.session.get(f"{self.url}/batches/{batch_id}", timeout=60).json()["counts"].get("done", 0)

    def results(self, batch_id: str) -> list[dict]:
        lines = self.session.get(f"{self.url}/batches/{batch_id}/results", timeout=60).text.splitlines()
        return [json.loads(line) for line in lines]


def frontdesk(count: int) -> float:
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        with Stack(Path(folder), without=("simulator", "bulk"), LOG_LEVEL="warning", SWEEP_SECONDS="15") as stack:
            stack.ollama.behave(text=ANSWER)
            api = Api(stack)
            begin = time.perf_counter()
            batch = api.hand_over(count)
            wait_for(lambda: api.done(batch) == count, 600, every=0.2)
            return (time.perf_counter() - begin) / count * 1000


def celery(count: int) -> float:
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        with Stack(Path(folder), without=NOT_NEEDED) as stack, redis_server() as address:
            stack.ollama.behave(text=ANSWER)
            environ = {"BENCH_REDIS": address, "BENCH_OLLAMA": stack.ollama.url}
            worker = [TWIN / "celery", "-A", "twins.celery_documents:celery", "worker", "-c", "1", "-l", "WARNING", "-O", "fair"]
            with process(worker, **environ):
                in_twin(environ, 1)
                found = in_twin(environ, count)
    if found["done"] != count:
        raise SystemExit(f"the twin gave {found['done']} of {count} results")
    return found["seconds"] / count * 1000


def in_twin(environ: dict, count: int) -> dict:
    environ = {**os.environ, **environ, "PYTHONPATH": f"{ROOT}:{BENCH}"}
    code = f"import json; from twins.celery_documents import measured; print(json.dumps(measured({count})))"
    command = [TWIN / "python", "-c", code]
    return json.loads(subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, check=True).stdout)


SYSTEMS = {"model": model_alone, "frontdesk": frontdesk, "celery": celery}


def with_kills(count: int, every_seconds: float) -> None:
    """Every item's result once, however often the worker is killed."""
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        with Stack(Path(folder), without=("simulator", "bulk"), LEASE_SECONDS="30", SWEEP_SECONDS="15") as stack:
            stack.ollama.behave(text=ANSWER)
            api, over, kills = Api(stack), threading.Event(), []
            begin = time.perf_counter()
            batch = api.hand_over(count)

            def kill() -> None:
                while not over.wait(every_seconds):
                    stack.kill("default")
                    kills.append(time.perf_counter())

            killer = threading.Thread(target=kill)
            killer.start()
            try:
                wait_for(lambda: api.done(batch) == count, 1800, every=0.5)
            finally:
                over.set()
                killer.join()
            seconds = time.perf_counter() - begin
            found = api.results(batch)
            asked = stack.ollama.history()["request_count"]
    once = len({item["task_id"] for item in found}) == len(found) == count
    rows = [[count, len(kills), "each once" if once else "WRONG", seconds, asked]]
    table(["items", "kills", "results", "seconds", "requests to the model"], rows)
    if not once:
        sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=list(SYSTEMS))
    parser.add_argument("--kill-every", type=float, help="seconds between two kills of the worker; compares nothing")
    given = parser.parse_args()
    heading("Documents in a batch")
    if given.kill_every:
        with_kills(given.items, given.kill_every)
        return
    rounds = [{name: SYSTEMS[name](given.items) for name in given.only} for _ in range(given.rounds)]
    found = {name: median(one[name] for one in rounds) for name in given.only}
    base = found.get("model", 0.0)
    rows = [[name, each, each - base, 1000 / each] for name, each in found.items()]
    table(["system", "ms an item", "of it beyond the model", "items/s"], rows)


if __name__ == "__main__":
    main()
