"""From acknowledged webhooks to rows: events a second, with 0, 1 M and 10 M messages already there.

    bench/run drain.py [--stored 0 1000000 10000000]

Each batch: 500 webhooks, half of them a customer's message (of 20,000 people), half a status of a message that was sent. The
limit in the same run: as many bare INSERTs of the same size in transactions of 500.
"""

import argparse
import dataclasses
import random
import sqlite3
import tempfile
import time
import uuid
from pathlib import Path

from machine import heading, redis_server, table

from frontdesk import queues
from frontdesk import settings as settings_module
from frontdesk.flows import first_run, inbound
from frontdesk.flows.context import Context, make
from frontdesk.store import database
from tests import webhooks

PEOPLE = 20_000
EVENTS = 10_000


def fill(db: sqlite3.Connection, count: int) -> None:
    """`count` messages in PEOPLE conversations, half of them sent and waiting for their statuses."""
    db.execute("PRAGMA synchronous = OFF")
    db.execute("BEGIN")
    if not db.execute("SELECT COUNT(*) FROM contacts").fetchone()[0]:
        people = range(1, PEOPLE + 1)
        db.executemany(
            "INSERT INTO contacts (id, client_id, phone, created_at, updated_at) VALUES (?, 1, ?, 0, 0)",
            ((n, f"49151{n:07}") for n in people),
        )
        db.executemany(
            "INSERT INTO contact_aliases VALUES (1, 'phone', ?, ?)", ((f"49151{n:07}", n) for n in people)
        )
        db.executemany(
            "INSERT INTO conversations (id, number_id, contact_id, created_at) VALUES (?, 1, ?, 0)", ((n, n) for n in people)
        )
    there = db.execute("SELECT COALESCE(MAX(id), 0) FROM messages").fetchone()[0]
    db.executemany(
        """
        INSERT INTO messages (id, conversation_id, number_id, direction, state, kind, text, raw, external_id, public_id,
            provider_at, created_at, attempt)
        VALUES (?, ?, 1, ?, ?, 'text', 'Hello, are you open tomorrow?', '{}', ?, ?, 0, 0, 1)
        """,
        (
            (n, random.randrange(1, PEOPLE + 1), *(("out", "sent") if n % 2 else ("in", "answered")), f"wamid.old{n}", _public_id(n))
            for n in range(there + 1, count + 1)
        ),
    )
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _public_id(n: int) -> str | None:
    return uuid.UUID(int=random.Random(n).getrandbits(128)).hex if n % 2 else None


def put_events(context: Context, stored: int, serial: int) -> None:
    now = time.time()
    for n in range(EVENTS):
        if n % 2 or not stored:
            phone = f"49151{random.randrange(1, PEOPLE + 1):07}"
            body = webhooks.texts(webhooks.text("Are you open?", sender=phone, id=f"wamid.new{serial}.{n}", at=now))
        else:
            old = random.randrange(0, stored // 2) * 2 + 1
            body = webhooks.statuses(webhooks.status("delivered", f"wamid.old{old}", f"{_public_id(old)}.1", at=now))
        context.inbox.put("cloud", body, now)


def bare_inserts(folder: Path) -> float:
    db = sqlite3.connect(folder / "bare.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, external_id TEXT UNIQUE, body TEXT)")
    begin = time.perf_counter()
    for start in range(0, EVENTS, 500):
        db.execute("BEGIN IMMEDIATE")
        for n in range(start, start + 500):
            db.execute("INSERT INTO messages VALUES (?, ?, ?)", (n, f"wamid.{n}", "x" * 600))
        db.execute("COMMIT")
    return EVENTS / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stored", type=int, nargs="+", default=[0, 1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    heading("Draining")
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench") as name, redis_server() as address:
        folder = Path(name)
        settings = settings_module.load({"DATA_DIR": str(folder / "data"), "REDIS_URL": address}, env_file=folder / "none")
        database.migrate(settings)
        first_run.prepare(settings)
        connection = queues.connect(address)
        context = make(dataclasses.replace(settings, quiet_seconds=2.0), connection)
        for stored in given.stored:
            db = database.connect(settings)
            fill(db, stored)
            db.close()
            rates = []
            for round in range(given.rounds):
                connection.flushall()
                put_events(context, stored, stored + round)
                begin = time.perf_counter()
                inbound.drain(context)
                rates.append(EVENTS / (time.perf_counter() - begin))
            rate = sorted(rates)[len(rates) // 2]
            size = settings.database_path.stat().st_size / 1e9
            rows.append([f"{stored:,}", f"{size:.1f}", rate, rate / bare_inserts(folder)])
            (folder / "bare.db").unlink()
    table(["messages stored", "GB", "events/s", "of bare inserts"], rows)
    print(f"cost with {rows[-1][0]} stored: {rows[0][2] / rows[-1][2]:.2f} of what it is with {rows[0][0]}")


if __name__ == "__main__":
    main()
