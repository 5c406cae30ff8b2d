"""Schedules: messages for later, once or again and again, and what came of each time that came.

A time fires once: its row in `schedule_firings`, the message and the schedule's next time are written in one transaction.
"""

import json
import sqlite3
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

STATES = ("active", "paused", "done", "cancelled", "missed")


@dataclass(frozen=True, slots=True)
class Schedule:
    """`rule` None: once. `next_at`: None when it is over. `last_…`: of its newest firing; `last_outcome` 'sent', 'missed' or 'refused'."""

    id: int
    public_id: str
    client_id: int
    number_id: int
    conversation_id: int | None
    phone: str | None
    name: str
    content: dict[str, Any]
    rule: str | None
    time_zone: str
    next_at: float | None
    late_limit_seconds: float
    state: str
    created_by: int | None
    created_at: float
    updated_at: float
    last_fired_at: float | None
    last_outcome: str | None
    last_code: str | None
    last_words: str | None


@dataclass(frozen=True, slots=True)
class Firing:
    schedule_id: int
    due_at: float
    fired_at: float
    outcome: str
    message_id: int | None
    code: str | None
    words: str | None


_COLUMNS = """schedules.id, public_id, client_id, number_id, conversation_id, phone, name, content, rule, time_zone, next_at,
    late_limit_seconds, state, created_by, created_at, updated_at, last_fired_at, outcome, code, words"""

_WITH_LAST = """schedules LEFT JOIN schedule_firings ON schedule_id = schedules.id
    AND due_at = (SELECT MAX(due_at) FROM schedule_firings AS newest WHERE newest.schedule_id = schedules.id)"""


def _schedule(row: sqlite3.Row) -> Schedule:
    values = list(row)
    values[7] = json.loads(values[7])
    return Schedule(*values)


def add(
    db: sqlite3.Connection,
    *,
    client_id: int,
    number_id: int,
    conversation_id: int | None,
    phone: str | None,
    name: str,
    content: dict[str, Any],
    rule: str | None,
    time_zone: str,
    next_at: float,
    late_limit_seconds: float,
    created_by: int | None,
    now: float,
) -> int:
    return db.execute(
        """
        INSERT INTO schedules (
            public_id, client_id, number_id, conversation_id, phone, name, content, media_id, rule, time_zone, next_at,
            late_limit_seconds, created_by, created_at, updated_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14)
        """,
        (
            uuid.uuid4().hex,
            client_id,
            number_id,
            conversation_id,
            phone,
            name,
            json.dumps(content),
            content.get("media_id"),
            rule,
            time_zone,
            next_at,
            late_limit_seconds,
            created_by,
            now,
        ),
    ).lastrowid


def get(db: sqlite3.Connection, schedule_id: int) -> Schedule | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM {_WITH_LAST} WHERE schedules.id = ?", (schedule_id,)).fetchone()
    return _schedule(row) if row else None


def find(db: sqlite3.Connection, public_id: str, *, client_id: int | None) -> Schedule | None:
    row = db.execute(
        f"""
        SELECT {_COLUMNS} FROM {_WITH_LAST}
        WHERE public_id = :public_id AND (:client_id IS NULL OR client_id = :client_id)
        """,
        {"public_id": public_id, "client_id": client_id},
    ).fetchone()
    return _schedule(row) if row else None


def page(
    db: sqlite3.Connection,
    *,
    client_id: int | None,
    after: int = 0,
    limit: int = 50,
    states: Iterable[str] = STATES,
    conversation_id: int | None = None,
) -> list[Schedule]:
    """By id, oldest first, which stays right while new ones come."""
    rows = db.execute(
        f"""
        SELECT {_COLUMNS} FROM {_WITH_LAST}
        WHERE schedules.id > :after AND (:client_id IS NULL OR client_id = :client_id)
            AND (:conversation_id IS NULL OR conversation_id = :conversation_id)
            AND state IN (SELECT value FROM json_each(:states))
        ORDER BY schedules.id LIMIT :limit
        """,
        {
            "after": after,
            "client_id": client_id,
            "conversation_id": conversation_id,
            "states": json.dumps(list(states)),
            "limit": limit,
        },
    )
    return [_schedule(row) for row in rows]


def coming(db: sqlite3.Connection, *, client_id: int | None, before: float, limit: int = 1000) -> list[Schedule]:
    """Active ones that go out for the next time before `before`, the next one first."""
    rows = db.execute(
        f"""
        SELECT {_COLUMNS} FROM {_WITH_LAST}
        WHERE state = 'active' AND next_at < :before AND (:client_id IS NULL OR client_id = :client_id)
        ORDER BY next_at, schedules.id LIMIT :limit
        """,
        {"client_id": client_id, "before": before, "limit": limit},
    )
    return [_schedule(row) for row in rows]


# What a person may change, beside the state.
CHANGEABLE = {"name", "content", "rule", "time_zone", "next_at", "late_limit_seconds", "state"}


def change(db: sqlite3.Connection, schedule_id: int, values: dict[str, Any], now: float) -> None:
    """`values`: columns of CHANGEABLE, `content` as it is in Schedule."""
    if not set(values) <= CHANGEABLE:
        raise ValueError("not a column that may be changed")
    if "content" in values:
        values = {**values, "content": json.dumps(values["content"]), "media_id": values["content"].get("media_id")}
    marks = "".join(f"{column} = ?, " for column in values)
    db.execute(f"UPDATE schedules SET {marks}updated_at = ? WHERE id = ?", (*values.values(), now, schedule_id))


# --- firing ----------------------------------------------------------------------------------------------------------------------


def due(db: sqlite3.Connection, now: float, limit: int) -> list[Schedule]:
    """In the order in which they are sent. Without what came of them before."""
    rows = db.execute(
        f"""
        SELECT {_COLUMNS.replace("outcome, code, words", "NULL, NULL, NULL")} FROM schedules
        WHERE state = 'active' AND next_at <= ? ORDER BY next_at, id LIMIT ?
        """,
        (now, limit),
    )
    return [_schedule(row) for row in rows]


def earliest(db: sqlite3.Connection) -> float | None:
    return db.execute("SELECT MIN(next_at) FROM schedules WHERE state = 'active'").fetchone()[0]


def has_fired(db: sqlite3.Connection, schedule_id: int, due_at: float) -> bool:
    return (
        db.execute("SELECT 1 FROM schedule_firings WHERE schedule_id = ? AND due_at = ?", (schedule_id, due_at)).fetchone()
        is not None
    )


def waits_still(db: sqlite3.Connection, schedule_id: int) -> bool:
    """What it queued the last time has not gone out."""
    row = db.execute(
        """
        SELECT messages.state FROM schedule_firings JOIN messages ON messages.id = message_id
        WHERE schedule_id = ? ORDER BY schedule_firings.due_at DESC LIMIT 1
        """,
        (schedule_id,),
    ).fetchone()
    return row is not None and row["state"] == "queued"


def record_firing(db: sqlite3.Connection, firing: Firing) -> None:
    """Raises sqlite3.IntegrityError where this time fired before."""
    db.execute(
        "INSERT INTO schedule_firings (schedule_id, due_at, fired_at, outcome, message_id, code, words) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (firing.schedule_id, firing.due_at, firing.fired_at, firing.outcome, firing.message_id, firing.code, firing.words),
    )


def move_on(db: sqlite3.Connection, schedule_id: int, state: str, next_at: float | None, fired_at: float | None) -> None:
    """After its time came. `fired_at` None: it did not go out."""
    db.execute(
        "UPDATE schedules SET state = ?, next_at = ?, last_fired_at = COALESCE(?, last_fired_at) WHERE id = ?",
        (state, next_at, fired_at, schedule_id),
    )


def met(db: sqlite3.Connection, schedule_id: int, conversation_id: int) -> None:
    """The conversation with somebody who was known by a phone number only."""
    db.execute("UPDATE schedules SET conversation_id = ? WHERE id = ?", (conversation_id, schedule_id))


def fired_after(db: sqlite3.Connection, at: float) -> list[Schedule]:
    """Recurring ones with a firing later than `at`."""
    rows = db.execute(
        f"""
        SELECT {_COLUMNS} FROM {_WITH_LAST}
        WHERE state = 'active' AND rule IS NOT NULL
            AND schedules.id IN (SELECT schedule_id FROM schedule_firings AS later WHERE later.fired_at > ?)
        """,
        (at,),
    )
    return [_schedule(row) for row in rows]


def bring_forward(db: sqlite3.Connection, schedule: Schedule, next_at: float) -> None:
    """Unless it changed meanwhile."""
    db.execute(
        "UPDATE schedules SET next_at = ? WHERE id = ? AND state = 'active' AND next_at = ?", (next_at, schedule.id, schedule.next_at)
    )


def firings(db: sqlite3.Connection, schedule_id: int, limit: int = 50) -> list[Firing]:
    """Newest first."""
    rows = db.execute(
        """
        SELECT schedule_id, due_at, fired_at, outcome, message_id, code, words FROM schedule_firings
        WHERE schedule_id = ? ORDER BY due_at DESC LIMIT ?
        """,
        (schedule_id, limit),
    )
    return [Firing(*row) for row in rows]


def unsent(db: sqlite3.Connection, *, client_id: int | None, since: float, limit: int = 100) -> list[tuple[Schedule, Firing]]:
    """What came due since then and was not sent, newest first."""
    rows = db.execute(
        """
        SELECT schedule_id, due_at, fired_at, outcome, message_id, code, words
        FROM schedule_firings JOIN schedules ON schedules.id = schedule_id
        WHERE outcome <> 'sent' AND fired_at >= :since AND (:client_id IS NULL OR client_id = :client_id)
        ORDER BY fired_at DESC LIMIT :limit
        """,
        {"client_id": client_id, "since": since, "limit": limit},
    ).fetchall()
    return [(get(db, row["schedule_id"]), Firing(*row)) for row in rows]


def clean(db: sqlite3.Connection, before: float) -> int:
    """Firings from before then, except each schedule's newest, which guards against a second one."""
    return db.execute(
        """
        DELETE FROM schedule_firings WHERE fired_at < ?
            AND due_at < (SELECT MAX(due_at) FROM schedule_firings AS newest WHERE newest.schedule_id = schedule_firings.schedule_id)
        """,
        (before,),
    ).rowcount
