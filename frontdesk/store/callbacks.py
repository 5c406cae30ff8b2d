"""What programs asked to be told, at an address of theirs: each at least once, until it was taken or a day is over."""

import json
import sqlite3
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from frontdesk.store.counters import MOST_COUNTED

FURTHEST_DUE_SECONDS = 6 * 3600
STATES = ("wanted", "delivered", "failed")


@dataclass(frozen=True, slots=True)
class Callback:
    """`status`, `answer`: HTTP status and beginning of the body of the newest attempt, None and '' where no answer came; `words` says what
    went wrong. `client_id` None: of no one client. `begun_at`, `begun_after`: when the attempts that now count began, after how many others.
    """

    id: int
    public_id: str
    client_id: int | None
    url: str
    host: str
    event: str
    body: str
    state: str
    attempts: int
    due_at: float | None
    status: int | None
    words: str | None
    answer: str
    created_at: float
    begun_at: float
    begun_after: int
    tried_at: float | None


_COLUMNS = ", ".join(Callback.__slots__)


def add(db: sqlite3.Connection, client_id: int | None, url: str, event: str, body: dict[str, Any], now: float) -> int:
    return db.execute(
        """
        INSERT INTO callbacks (public_id, client_id, url, host, event, body, state, due_at, created_at, begun_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'wanted', ?7, ?7, ?7)
        """,
        (uuid.uuid4().hex, client_id, url, _host(url), event, json.dumps(body, ensure_ascii=False), now),
    ).lastrowid


def _host(url: str) -> str:
    """As one server: what is tried for one delivery says something of the others."""
    return urlsplit(url).netloc.lower()


def due(db: sqlite3.Connection, now: float, limit: int = 100) -> list[int]:
    rows = db.execute(
        "SELECT id FROM callbacks WHERE state = 'wanted' AND (due_at <= ? OR due_at > ?) ORDER BY id LIMIT ?",
        (now, now + FURTHEST_DUE_SECONDS, limit),
    )
    return [row["id"] for row in rows]


def claim(db: sqlite3.Connection, callback_id: int, now: float, lease_seconds: float) -> Callback | None:
    """One attempt more; nobody else's until the lease is over."""
    row = db.execute(
        f"""
        UPDATE callbacks SET attempts = attempts + 1, due_at = ?, tried_at = ?
        WHERE id = ? AND state = 'wanted' AND (due_at <= ? OR due_at > ?) RETURNING {_COLUMNS}
        """,
        (now + lease_seconds, now, callback_id, now, now + FURTHEST_DUE_SECONDS),
    ).fetchone()
    return Callback(*row) if row else None


def settle(
    db: sqlite3.Connection, callback: Callback, state: str, due_at: float | None, status: int | None, words: str | None, answer: str = ""
) -> None:
    """After an attempt: 'delivered', 'failed', or 'wanted' again at `due_at`."""
    db.execute(
        "UPDATE callbacks SET state = ?, due_at = ?, status = ?, words = ?, answer = ? WHERE id = ? AND attempts = ?",
        (state, due_at, status, words, answer, callback.id, callback.attempts),
    )


def wait_for_host(db: sqlite3.Connection, host: str, until: float) -> None:
    """Nobody answers there: others for the same host are not tried before then."""
    db.execute("UPDATE callbacks SET due_at = ?1 WHERE state = 'wanted' AND host = ?2 AND due_at < ?1", (until, host))


def give_up_host(db: sqlite3.Connection, host: str, begun_before: float, words: str) -> int:
    """Deliveries that waited as long for a host as one that is given up."""
    return db.execute(
        "UPDATE callbacks SET state = 'failed', due_at = NULL, words = ? WHERE state = 'wanted' AND host = ? AND begun_at < ?",
        (words, host, begun_before),
    ).rowcount


# --- looking, and once more -------------------------------------------------------------------------------------------------------


def _chosen(state: str, event: str) -> str:
    """Only what is asked for, so that each finds its index."""
    parts = [":client_id IS NULL OR client_id = :client_id", *(["state = :state"] if state else []), *(["event = :event"] if event else [])]
    return " AND ".join(f"({part})" for part in parts)


def get(db: sqlite3.Connection, public_id: str, *, client_id: int | None = None) -> Callback | None:
    row = db.execute(
        f"SELECT {_COLUMNS} FROM callbacks WHERE public_id = :public_id AND (:client_id IS NULL OR client_id = :client_id)",
        {"public_id": public_id, "client_id": client_id},
    ).fetchone()
    return Callback(*row) if row else None


def newest(db: sqlite3.Connection, *, state: str = "", event: str = "", before: int | None = None, limit: int = 50) -> list[Callback]:
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM callbacks WHERE {_chosen(state, event)} AND id < :before ORDER BY id DESC LIMIT :limit",
        {"client_id": None, "state": state, "event": event, "before": 9e18 if before is None else before, "limit": limit},
    )
    return [Callback(*row) for row in rows]


def page(db: sqlite3.Connection, *, client_id: int | None, state: str, after: int, limit: int) -> list[Callback]:
    """Oldest first, behind the id `after`."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM callbacks WHERE {_chosen(state, '')} AND id > :after ORDER BY id LIMIT :limit",
        {"client_id": client_id, "state": state, "event": "", "after": after, "limit": limit},
    )
    return [Callback(*row) for row in rows]


def counts(db: sqlite3.Connection, *, event: str = "") -> dict[str, int]:
    """By state, of those that there are. What was delivered is counted to MOST_COUNTED, and one more where there is more."""
    found = {}
    for state in STATES:
        most = MOST_COUNTED + 1 if state == "delivered" else -1
        rows = f"SELECT 1 FROM callbacks WHERE {_chosen(state, event)} LIMIT :most"
        [found[state]] = db.execute(f"SELECT COUNT(*) FROM ({rows})", {"client_id": None, "state": state, "event": event, "most": most}).fetchone()
    return {state: count for state, count in found.items() if count}


def events(db: sqlite3.Connection) -> list[str]:
    rows = db.execute(
        """
        WITH RECURSIVE found (event) AS (
            SELECT MIN(event) FROM callbacks
            UNION ALL SELECT (SELECT MIN(event) FROM callbacks WHERE event > found.event) FROM found WHERE found.event IS NOT NULL)
        SELECT event FROM found WHERE event IS NOT NULL
        """
    )
    return [row["event"] for row in rows]


def send_again(db: sqlite3.Connection, callback_id: int, now: float) -> None:
    """At once, under the same public id, with a day of attempts of its own."""
    db.execute(
        "UPDATE callbacks SET state = 'wanted', due_at = ?1, begun_at = ?1, begun_after = attempts WHERE id = ?2", (now, callback_id)
    )


def send_failed_again(db: sqlite3.Connection, now: float, *, event: str = "") -> int:
    return db.execute(
        """
        UPDATE callbacks SET state = 'wanted', due_at = ?1, begun_at = ?1, begun_after = attempts
        WHERE state = 'failed' AND (?2 = '' OR event = ?2)
        """,
        (now, event),
    ).rowcount


def clean(db: sqlite3.Connection, before: float) -> None:
    db.execute("DELETE FROM callbacks WHERE created_at < ? AND state <> 'wanted'", (before,))


# --- secrets: derived, so only which version counts is kept ---------------------------------------------------------------------------


def secret_version(db: sqlite3.Connection, client_id: int | None) -> tuple[int, float]:
    """Which it is, beginning with 1, and since when."""
    row = db.execute("SELECT version, changed_at FROM callback_secrets WHERE client_id = ?", (client_id or 0,)).fetchone()
    return (row["version"], row["changed_at"]) if row else (1, 0.0)


def change_secret(db: sqlite3.Connection, client_id: int | None, now: float) -> None:
    db.execute(
        """
        INSERT INTO callback_secrets (client_id, version, changed_at) VALUES (?, 2, ?)
        ON CONFLICT (client_id) DO UPDATE SET version = version + 1, changed_at = excluded.changed_at
        """,
        (client_id or 0, now),
    )
