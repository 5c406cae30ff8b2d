"""How often models are loaded when the memory holds one at a time and several kinds of work are mixed.

    bench/run models.py [--each 60]

So many summaries and so many classifications by another model, by turns: half of them single, half in two batches. A third model
answers customers: five write, one after the other. All is handed over before the worker starts. A load takes a second, an answer a twentieth.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import requests
from documents import Api
from machine import heading, table

from tests.stack import Stack, wait_for

SUMMARY, CLASSIFICATION, REPLY = "summary:3b", "classes:1b", "llama3.2:3b"
ANSWERS = {SUMMARY: '{"points": ["It is spring.", "Bread is dearer.", "Rolls are not."]}', CLASSIFICATION: '{"category": "invoice", "confidence": "high"}'}
LOAD_SECONDS, ANSWER_SECONDS, CUSTOMERS = 1.0, 0.05, 5


def hand_over(api: Api, each: int) -> None:
    for n in range(each // 2):
        ask(api, "/summaries", {"text": f"Letter {n}", "model": SUMMARY})
        ask(api, "/classifications", {"text": f"Bill {n}", "model": CLASSIFICATION})
    for kind, model in (("summary", SUMMARY), ("classification", CLASSIFICATION)):
        ask(api, "/batches", {"kind": kind, "texts": [f"Text {n}" for n in range(each - each // 2)], "model": model})


def ask(api: Api, path: str, body: dict) -> None:
    for _ in range(20):
        response = api.session.post(f"{api.url}{path}", json=body, timeout=60)
        if response.status_code != 429:
            break
        time.sleep(float(response.headers.get("Retry-After", 1)))
    response.raise_for_status()


def open_count(stack: Stack) -> int:
    return stack.rows("SELECT count(*) AS n FROM document_tasks WHERE state IN ('queued', 'working')")[0]["n"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=60)
    each = parser.parse_args().each
    heading("Models that do not fit together")
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        with Stack(Path(folder), without=("bulk", "default"), OLLAMA_EMBED_MODEL="none", LEASE_SECONDS="30") as stack:
            stack.ollama.behave(
                models=[SUMMARY, CLASSIFICATION, REPLY], most_loaded=1, load_seconds=LOAD_SECONDS, first_token_delay_seconds=ANSWER_SECONDS,
                texts=ANSWERS,
            )  # fmt: skip
            hand_over(Api(stack), each)
            begin, waits = time.perf_counter(), []
            stack.start("default")
            for n in range(CUSTOMERS):
                time.sleep(1)
                wrote_at = time.perf_counter()
                stack.simulator.customer_writes(f"49151200{n}", "Are you open?")
                stack.simulator.wait_for_answers(f"49151200{n}", 1)
                waits.append(time.perf_counter() - wrote_at)
            wait_for(lambda: not open_count(stack), 600, every=0.2)
            seconds = time.perf_counter() - begin
            states = Counter(row["state"] for row in stack.rows("SELECT state FROM document_tasks"))
            found = requests.get(f"{stack.ollama.url}/standin/history", timeout=30).json()
    table(["documents done", "answers", "loads", "seconds", "longest wait of a customer, s"],
          [[states["done"], len(waits), found["load_count"], seconds, max(waits)]])  # fmt: skip


if __name__ == "__main__":
    main()
