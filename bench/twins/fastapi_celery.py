"""The recipe of the sources: FastAPI verifies, SET NX against duplicates, Celery's `delay()` for each message, 200.

JSON, acks_late, prefetch 1, results expire; two uvicorn workers with uvloop and httptools. `process` does what Frontdesk's
loop does in one task: store, model, send, store.
"""

import hashlib
import hmac
import json
import os
import sqlite3
import time

import redis
import redis.asyncio
import requests
from celery import Celery
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

SECRET = os.environ["BENCH_SECRET"].encode()
REDIS = os.environ["BENCH_REDIS"]

celery = Celery("twin", broker=REDIS, backend=REDIS)
celery.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    result_expires=300,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)
app = FastAPI()
cache = redis.asyncio.Redis.from_url(REDIS) if REDIS.startswith("redis://") else None


@app.post("/webhooks/whatsapp")
async def receive(request: Request) -> Response:
    body = await request.body()
    made = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest("sha256=" + made, request.headers.get("x-hub-signature-256", "")):
        return Response(status_code=403)
    for entry in json.loads(body)["entry"]:
        for change in entry["changes"]:
            for message in change["value"].get("messages", []):
                if await cache.set(f"seen:{message['id']}", 1, nx=True, ex=86400):
                    await run_in_threadpool(process.delay, message["from"], message["id"], message["text"]["body"])
    return Response("ok")


@celery.task(max_retries=3, default_retry_delay=10)
def process(sender: str, external_id: str, text: str) -> None:
    db = _database()
    with db:
        db.execute("INSERT OR IGNORE INTO messages VALUES (?, ?, 'in', ?, ?)", (external_id, sender, text, time.time()))
    history = db.execute("SELECT direction, text FROM messages WHERE sender = ? ORDER BY at DESC LIMIT 20", (sender,)).fetchall()
    turns = [{"role": "user" if way == "in" else "assistant", "content": words} for way, words in reversed(history)]
    with _http().post(
        f"{os.environ['BENCH_OLLAMA']}/api/chat",
        json={"model": "llama3.2:3b", "messages": turns, "stream": False, "think": False},
        timeout=60,
    ) as response:
        answer = response.json()["message"]["content"]
    sent = _http().post(
        f"{os.environ['BENCH_GRAPH']}/v25.0/100000000000001/messages",
        json={"messaging_product": "whatsapp", "to": sender, "type": "text", "text": {"body": answer[:4096]}},
        headers={"Authorization": "Bearer simulator"},
        timeout=20,
    ).json()
    with db:
        db.execute(
            "INSERT INTO messages VALUES (?, ?, 'out', ?, ?)", (sent["messages"][0]["id"], sender, answer, time.time())
        )


_kept = {}


def _http() -> requests.Session:
    return _kept.setdefault("http", requests.Session())


def _database() -> sqlite3.Connection:
    if "db" not in _kept:
        db = _kept["db"] = sqlite3.connect(os.environ["BENCH_DATABASE"], timeout=30)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("CREATE TABLE IF NOT EXISTS messages (id TEXT PRIMARY KEY, sender TEXT, direction TEXT, text TEXT, at REAL)")
        db.execute("CREATE INDEX IF NOT EXISTS of_sender ON messages (sender, at)")
    return _kept["db"]
