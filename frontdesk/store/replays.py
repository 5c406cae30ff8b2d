"""Replays: past turns or checks asked again, each an item. A claim is a lease: `due_at` of a working item is its end."""

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from frontdesk.store.checks import Question
from frontdesk.store.database import exact
from frontdesk.store.tool_calls import Used, read

UNFINISHED = ("queued", "working", "paused")
MARKS = ("better", "worse", "same")


@dataclass(frozen=True, slots=True)
class Replay:
    """`candidate`: columns of the client as they are tried. `model`: what answers. `chosen`: which turns, in words."""

    id: int
    client_id: int
    kind: str
    chosen: str
    candidate: dict[str, Any]
    model: str
    user_id: int | None
    created_at: float
    adopted_at: float | None


@dataclass(frozen=True, slots=True)
class Item:
    """Of a turn `message_id` (its answer's first part), of a check `question`. `passages`: place and text of each. `figures`: what was compared.
    `tools`: what was called and would be done.
    """

    id: int
    replay_id: int
    position: int
    message_id: int | None
    question: Question | None
    state: str
    claim_owner: str | None
    attempts: int
    failures: int
    sequence: int | None
    text: str | None
    passages: list[list[str]]
    figures: dict[str, Any]
    passed: bool | None
    error: str | None
    mark: str | None
    tools: Used


_REPLAY = "SELECT id, client_id, kind, chosen, candidate, model, user_id, created_at, adopted_at FROM replays"
_ITEM = """SELECT id, replay_id, position, message_id, question, state, claim_owner, attempts, failures, sequence, text, passages, figures,
    passed, error, mark, tools FROM replay_items"""


def add(
    db: sqlite3.Connection, client_id: int, kind: str, chosen: str, candidate: dict, model: str, items: Sequence[int | Question], *,
    user_id: int | None, now: float,
) -> int:  # fmt: skip
    """Inside a transaction. `items`: answers' message ids, or questions."""
    replay_id = db.execute(
        "INSERT INTO replays (client_id, kind, chosen, candidate, model, user_id, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (client_id, kind, chosen, json.dumps(candidate), model, user_id, now),
    ).lastrowid
    db.executemany(
        "INSERT INTO replay_items (replay_id, position, message_id, question, due_at) VALUES (?, ?, ?, ?, ?)",
        [
            (replay_id, position, *((None, item.as_json()) if isinstance(item, Question) else (item, None)), now)
            for position, item in enumerate(items, 1)
        ],
    )
    return replay_id


def get(db: sqlite3.Connection, replay_id: int) -> Replay | None:
    row = db.execute(f"{_REPLAY} WHERE id = ?", (replay_id,)).fetchone()
    return _replay(row) if row else None


def newest(db: sqlite3.Connection, *, client_id: int | None, before: int | None, limit: int) -> list[Replay]:
    rows = db.execute(
        f"""
        {_REPLAY} WHERE (:client_id IS NULL OR client_id = :client_id) AND (:before IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit
        """,
        {"client_id": client_id, "before": before, "limit": limit},
    )
    return [_replay(row) for row in rows]


def newest_of_checks(db: sqlite3.Connection, client_id: int) -> Replay | None:
    row = db.execute(f"{_REPLAY} WHERE client_id = ? AND kind = 'checks' ORDER BY id DESC LIMIT 1", (client_id,)).fetchone()
    return _replay(row) if row else None


def _replay(row: sqlite3.Row) -> Replay:
    return Replay(**{**dict(row), "candidate": json.loads(row["candidate"])})


def item(db: sqlite3.Connection, item_id: int) -> Item | None:
    row = db.execute(f"{_ITEM} WHERE id = ?", (item_id,)).fetchone()
    return _item(row) if row else None


def _item(row: sqlite3.Row) -> Item:
    values = dict(row)
    values["question"] = Question.from_json(values["question"]) if values["question"] else None
    values["passages"] = json.loads(values["passages"] or "[]")
    values["figures"] = json.loads(values["figures"] or "{}")
    values["tools"] = read(values["tools"])
    values["passed"] = None if values["passed"] is None else bool(values["passed"])
    return Item(**values)


# What the page's filters show, in SQL.
FILTERS = {
    "all": "TRUE",
    "unmarked": "mark IS NULL AND state = 'done'",
    "better": "mark = 'better'",
    "worse": "mark = 'worse'",
    "same": "mark = 'same'",
    "declined": "state = 'done' AND (figures ->> '$.declined[0]') <> (figures ->> '$.declined[1]')",
    "wrong": "passed = 0 OR state = 'failed'",
    "passed": "passed = 1",
}


def finished(db: sqlite3.Connection, replay_id: int, which: str, *, after: int, limit: int) -> list[Item]:
    """Items that are over, in the order in which they ended, from behind the one numbered `after`."""
    rows = db.execute(
        f"{_ITEM} WHERE replay_id = ? AND sequence > ? AND ({FILTERS[which]}) ORDER BY sequence LIMIT ?", (replay_id, after, limit)
    )
    return [_item(row) for row in rows]


def counts(db: sqlite3.Connection, replay_id: int) -> Counter:
    """Items by state."""
    rows = db.execute("SELECT state, COUNT(*) AS n FROM replay_items WHERE replay_id = ? GROUP BY state", (replay_id,))
    return Counter({row["state"]: row["n"] for row in rows})


def filter_counts(db: sqlite3.Connection, replay_id: int) -> Counter:
    sums = ", ".join(f"TOTAL(sequence IS NOT NULL AND ({condition})) AS of_{name}" for name, condition in FILTERS.items())
    row = db.execute(f"SELECT {sums} FROM replay_items WHERE replay_id = ?", (replay_id,)).fetchone()
    return Counter({name: int(row[f"of_{name}"]) for name in FILTERS})


def figures(db: sqlite3.Connection, replay_id: int) -> list[dict[str, Any]]:
    rows = db.execute("SELECT figures FROM replay_items WHERE replay_id = ? AND state = 'done'", (replay_id,))
    return [json.loads(row["figures"]) for row in rows]


# --- claiming -------------------------------------------------------------------------------------------------------------


_DUE = """
    FROM replay_items JOIN replays ON replays.id = replay_id
    WHERE state IN ('queued', 'working') AND due_at <= ? AND model NOT IN (SELECT value FROM json_each(?))
"""


def claim(db: sqlite3.Connection, owner: str, now: float, lease_seconds: float, resting: Sequence[str] = ()) -> Item | None:
    """The next item that is due, now this owner's: of the oldest replay. Inside a transaction. `resting`: models that need not be asked now."""
    row = db.execute(f"SELECT replay_items.id {_DUE} ORDER BY replay_id, position LIMIT 1", (now, json.dumps(list(resting)))).fetchone()
    if row is None:
        return None
    db.execute(
        "UPDATE replay_items SET state = 'working', claim_owner = ?, due_at = ?, attempts = attempts + 1 WHERE id = ?",
        (owner, now + lease_seconds, row["id"]),
    )
    return item(db, row["id"])


def is_due(db: sqlite3.Connection, now: float, resting: Sequence[str] = ()) -> bool:
    return db.execute(f"SELECT 1 {_DUE} LIMIT 1", (now, json.dumps(list(resting)))).fetchone() is not None


def correct_times(db: sqlite3.Connection, now: float, furthest_seconds: float) -> int:
    """A due time further ahead than it can be was written before the clock was set back."""
    return db.execute(
        "UPDATE replay_items SET due_at = ?1 WHERE state IN ('queued', 'working') AND due_at > ?1 + ?2", (now, furthest_seconds)
    ).rowcount


_OURS = "WHERE id = :id AND claim_owner = :owner AND state = 'working'"


def is_ours(db: sqlite3.Connection, item_id: int, owner: str) -> bool:
    """Whether nobody has paused, cancelled, deleted or taken over what this owner works on."""
    return db.execute(f"SELECT 1 FROM replay_items {_OURS}", {"id": item_id, "owner": owner}).fetchone() is not None


def renew(db: sqlite3.Connection, item_id: int, owner: str, lease_ends_at: float) -> bool:
    given = {"id": item_id, "owner": owner, "at": lease_ends_at}
    return db.execute(f"UPDATE replay_items SET due_at = :at {_OURS}", given).rowcount == 1


# --- what came of it: each True while the claim is still this owner's, else nothing is kept ----------------------------------


def give_back(db: sqlite3.Connection, item_id: int, owner: str, due_at: float, *, failed: bool = False) -> bool:
    """Not done, to be done from `due_at` on. `failed`: a call came to nothing, which is counted."""
    return (
        db.execute(
            f"""
            UPDATE replay_items SET state = 'queued', claim_owner = NULL, due_at = :at, attempts = 0, failures = failures + :failed {_OURS}
            """,
            {"id": item_id, "owner": owner, "at": due_at, "failed": int(failed)},
        ).rowcount
        == 1
    )


def finish(
    db: sqlite3.Connection, item: Item, text: str, passages: list[list[str]], figures: dict[str, Any], passed: bool | None, now: float,
    tools: Used = Used(),
) -> bool:
    return _end(
        db, item, "done", now, text=exact(text), passages=json.dumps(passages), figures=json.dumps(figures), passed=passed, tools=tools.as_json()
    )  # fmt: skip


def fail(db: sqlite3.Connection, item: Item, error: str, now: float) -> bool:
    return _end(db, item, "failed", now, error=error)


def _end(db, item: Item, state: str, now: float, *, text=None, passages=None, figures=None, passed=None, error=None, tools="{}") -> bool:
    return (
        db.execute(
            f"""
            UPDATE replay_items SET state = :state, claim_owner = NULL, text = CAST(:text AS TEXT), passages = :passages, figures = :figures,
                passed = :passed, error = :error, tools = :tools, finished_at = :now,
                sequence = (SELECT COALESCE(MAX(sequence), 0) + 1 FROM replay_items AS others WHERE others.replay_id = replay_items.replay_id)
            {_OURS}
            """,
            {
                "id": item.id, "owner": item.claim_owner, "state": state, "text": text, "passages": passages, "figures": figures,
                "passed": passed, "error": error, "tools": tools, "now": now,
            },
        ).rowcount
        == 1
    )  # fmt: skip


# --- what people do with them ------------------------------------------------------------------------------------------------


def pause(db: sqlite3.Connection, replay_id: int) -> int:
    """Whoever works on an item finds that it is no longer theirs."""
    return db.execute(
        "UPDATE replay_items SET state = 'paused', claim_owner = NULL WHERE replay_id = ? AND state IN ('queued', 'working')", (replay_id,)
    ).rowcount


def resume(db: sqlite3.Connection, replay_id: int, now: float) -> int:
    return db.execute(
        "UPDATE replay_items SET state = 'queued', due_at = ?, attempts = 0 WHERE replay_id = ? AND state = 'paused'", (now, replay_id)
    ).rowcount


def cancel(db: sqlite3.Connection, replay_id: int) -> int:
    return db.execute(
        """
        UPDATE replay_items SET state = 'cancelled', claim_owner = NULL WHERE replay_id = ? AND state IN ('queued', 'working', 'paused')
        """,
        (replay_id,),
    ).rowcount


def retry_failed(db: sqlite3.Connection, replay_id: int, now: float) -> int:
    return db.execute(
        """
        UPDATE replay_items SET state = 'queued', due_at = ?, attempts = 0, failures = 0, sequence = NULL, error = NULL
        WHERE replay_id = ? AND state = 'failed'
        """,
        (now, replay_id),
    ).rowcount


def mark(db: sqlite3.Connection, item_id: int, mark: str | None) -> None:
    db.execute("UPDATE replay_items SET mark = ? WHERE id = ? AND state = 'done'", (mark, item_id))


def adopted(db: sqlite3.Connection, replay_id: int, now: float) -> None:
    db.execute("UPDATE replays SET adopted_at = ? WHERE id = ?", (now, replay_id))


def delete(db: sqlite3.Connection, replay_id: int) -> bool:
    """With its items."""
    return db.execute("DELETE FROM replays WHERE id = ?", (replay_id,)).rowcount == 1


def clean(db: sqlite3.Connection, before: float) -> int:
    return db.execute("DELETE FROM replays WHERE created_at < ?", (before,)).rowcount
