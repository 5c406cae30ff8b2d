"""The recipe as people write it: a Celery task for each document, a group of them, results in Redis."""

import json
import os
import time

import requests
from celery import Celery, group

REDIS = os.environ["BENCH_REDIS"]
SCHEMA = {
    "type": "object",
    "properties": {
        "category": {"type": "string", "enum": ["invoice", "contract", "report", "email", "other"]},
        "confidence": {"type": "string", "enum": ["high", "medium", "low"]},
    },
    "required": ["category", "confidence"],
}

celery = Celery("documents", broker=REDIS, backend=REDIS)
celery.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    result_expires=3600,
    broker_connection_retry_on_startup=True,
)
_kept = {}


@celery.task(max_retries=3, default_retry_delay=5)
def classify(text: str) -> dict:
    http = _kept.setdefault("http", requests.Session())
    asked = {
        "model": "llama3.2:3b",
        "messages": [{"role": "user", "content": f"Classify this document:\n\n{text[:2000]}"}],
        "stream": False,
        "think": False,
        "format": SCHEMA,
        "options": {"temperature": 0},
    }
    answer = http.post(f"{os.environ['BENCH_OLLAMA']}/api/chat", json=asked, timeout=60)
    return json.loads(answer.json()["message"]["content"])


def run(texts: list[str]) -> list[dict]:
    """Every result, when the whole group is done."""
    return group(classify.s(text) for text in texts).apply_async().get(timeout=3600)


def measured(count: int) -> dict:
    texts = [f"Invoice {n}: please pay {n} EUR. " * 20 for n in range(count)]
    begin = time.perf_counter()
    found = run(texts)
    return {"seconds": time.perf_counter() - begin, "done": sum(one["category"] == "invoice" for one in found)}
