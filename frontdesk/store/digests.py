"""Daily digests: one of each client and day, and what a client wants of them."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from frontdesk.store.digest_counts import Numbers

USUAL_HOUR = 7


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client wants: `hour` of its own day; `phone`, `template`, `language` None: on the desk alone."""

    client_id: int
    is_on: bool = False
    hour: int = USUAL_HOUR
    phone: str | None = None
    template: str | None = None
    language: str | None = None


def wish(db: sqlite3.Connection, client_id: int) -> Wish:
    row = db.execute(
        "SELECT client_id, is_on, hour, phone, template, language FROM digest_settings WHERE client_id = ?", (client_id,)
    ).fetchone()
    return Wish(row[0], bool(row[1]), *row[2:]) if row else Wish(client_id)


def keep_wish(db: sqlite3.Connection, new: Wish, now: float) -> None:
    db.execute(
        """
        INSERT INTO digest_settings (client_id, is_on, hour, phone, template, language, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (client_id) DO UPDATE SET is_on = excluded.is_on, hour = excluded.hour, phone = excluded.phone,
            template = excluded.template, language = excluded.language, updated_at = excluded.updated_at
        """,
        (new.client_id, new.is_on, new.hour, new.phone, new.template, new.language, now),
    )


def wanted(db: sqlite3.Connection) -> list[tuple[int, int, str, float]]:
    """Whose are on: (client, hour, its time zone, when the client was made)."""
    rows = db.execute(
        "SELECT client_id, hour, time_zone, created_at FROM digest_settings JOIN clients ON clients.id = client_id WHERE is_on ORDER BY 1"
    )
    return [tuple(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Digest:
    """`day`: year-month-day in the client's zone. `waiting`: conversations that waited for a person when it was made, `waiting_count` of all.

    `message_state`, `message_error`: of the WhatsApp message; `refused_words`: why there is none. `remark`: on the lines.
    """

    id: int
    client_id: int
    day: str
    begins_at: float
    ends_at: float
    state: str
    numbers: Numbers
    waiting: list[dict[str, Any]]
    waiting_count: int
    lines: list[str]
    remark: str
    task_id: int | None
    message_id: int | None
    conversation_id: int | None
    message_state: str | None
    message_error: str | None
    refused_words: str | None
    created_at: float
    finished_at: float | None


_READ = """
    SELECT digests.id, digests.client_id, day, begins_at, ends_at, digests.state, numbers, waiting, lines, remark, task_id, message_id,
        messages.conversation_id, messages.state AS message_state, messages.error_title AS message_error, refused_words,
        digests.created_at, finished_at
    FROM digests LEFT JOIN messages ON messages.id = message_id
"""


def _digest(row: sqlite3.Row) -> Digest:
    values = dict(row)
    found = json.loads(values["waiting"])
    values |= {"numbers": Numbers(**json.loads(values["numbers"])), "lines": json.loads(values["lines"])}
    return Digest(**values | {"waiting": found["first"], "waiting_count": found["count"]})


def is_there(db: sqlite3.Connection, client_id: int, day: str) -> bool:
    return db.execute("SELECT 1 FROM digests WHERE client_id = ? AND day = ?", (client_id, day)).fetchone() is not None


def add(
    db: sqlite3.Connection, client_id: int, day: str, begins_at: float, ends_at: float, counted: Numbers, waiting: tuple[Sequence[dict], int],
    now: float,
) -> int | None:
    """None: it is there already. Inside a transaction."""
    row = db.execute(
        """
        INSERT INTO digests (client_id, day, begins_at, ends_at, numbers, waiting, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (client_id, day) DO NOTHING RETURNING id
        """,
        (client_id, day, begins_at, ends_at, json.dumps(asdict(counted)), json.dumps({"first": waiting[0], "count": waiting[1]}), now),
    ).fetchone()  # fmt: skip
    return row["id"] if row else None


def written_by(db: sqlite3.Connection, digest_id: int, task_public_id: str, remark: str) -> None:
    """Which document task writes its lines."""
    db.execute(
        "UPDATE digests SET remark = ?, task_id = (SELECT id FROM document_tasks WHERE public_id = ?) WHERE id = ?",
        (remark, task_public_id, digest_id),
    )


def writing(db: sqlite3.Connection) -> list[int]:
    return [row["id"] for row in db.execute("SELECT id FROM digests WHERE state = 'writing' ORDER BY id LIMIT 100")]


def settle(db: sqlite3.Connection, digest: Digest, lines: Sequence[str], remark: str, now: float) -> bool:
    """It is ready, and the task that wrote it goes with the texts that it read. False: it was. Inside a transaction."""
    changed = db.execute(
        "UPDATE digests SET state = 'ready', lines = ?, remark = ?, task_id = NULL, finished_at = ? WHERE id = ? AND state = 'writing'",
        (json.dumps(list(lines)), remark, now, digest.id),
    )
    db.execute("DELETE FROM document_tasks WHERE id = ? AND kind = 'digest'", (digest.task_id,))
    return changed.rowcount == 1


def sent_as(db: sqlite3.Connection, digest: Digest, message_id: int) -> bool:
    """False: somebody has sent it meanwhile. Inside the transaction that queues the message."""
    changed = db.execute(
        "UPDATE digests SET message_id = ?, refused_words = NULL WHERE id = ? AND message_id IS ?", (message_id, digest.id, digest.message_id)
    )
    return changed.rowcount == 1


def refused(db: sqlite3.Connection, digest_id: int, words: str) -> None:
    db.execute("UPDATE digests SET refused_words = ? WHERE id = ?", (words, digest_id))


def get(db: sqlite3.Connection, digest_id: int) -> Digest | None:
    row = db.execute(f"{_READ} WHERE digests.id = ?", (digest_id,)).fetchone()
    return _digest(row) if row else None


def newest(db: sqlite3.Connection, client_id: int | None, *, before: int | None = None, limit: int = 1) -> list[Digest]:
    rows = db.execute(
        f"""
        {_READ} WHERE (:client_id IS NULL OR digests.client_id = :client_id) AND (:before IS NULL OR digests.id < :before)
        ORDER BY digests.id DESC LIMIT :limit
        """,
        {"client_id": client_id, "before": before, "limit": limit},
    )
    return [_digest(row) for row in rows]


def clean(db: sqlite3.Connection, before: float) -> None:
    db.execute("DELETE FROM digests WHERE created_at < ? AND state = 'ready'", (before,))
