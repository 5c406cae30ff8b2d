"""What /metrics says of the database: counters that triggers keep (migration m020), and how things stand now. Every question has its index."""

import sqlite3
from dataclasses import dataclass

from frontdesk.store.dead_letters import DEAD

MOST_MODELS = 20
MOST_COUNTED = 1_000  # of what may be any number: a page says '1,000+' instead of counting on


@dataclass(frozen=True, slots=True)
class Standing:
    """Ages in seconds, 0 where nothing waits. `dead`: by the provider's code. `tokens_per_second`: by model."""

    waiting: int
    waiting_oldest: float
    unsent: int
    unsent_oldest: float
    for_a_person: int
    dead: dict[int | None, int]
    rejected: int
    numbers: int
    numbers_stopped: int
    models_away: int
    tokens_per_second: dict[str, float]


def counted(db: sqlite3.Connection) -> dict[str, dict[str, float]]:
    """Name → label → value: only ever more, until a backup is restored."""
    found: dict[str, dict[str, float]] = {}
    for name, label, value in db.execute("SELECT name, label, value FROM counters"):
        found.setdefault(name, {})[label] = value
    return found


def standing(db: sqlite3.Connection, now: float) -> Standing:
    waiting, waiting_since = db.execute(
        "SELECT COUNT(*), MIN(waiting_since) FROM conversations WHERE waiting_since IS NOT NULL AND state = 'bot'"
    ).fetchone()
    unsent, first = db.execute("SELECT COUNT(*), MIN(id) FROM messages WHERE state IN ('queued', 'sending', 'unknown')").fetchone()
    [unsent_since] = db.execute("SELECT MIN(created_at) FROM messages WHERE id = ?", (first,)).fetchone()
    numbers, stopped = db.execute("SELECT COUNT(*), COUNT(stopped_at) FROM numbers").fetchone()
    return Standing(
        waiting=waiting,
        waiting_oldest=max(0.0, now - (waiting_since or now)),
        unsent=unsent,
        unsent_oldest=max(0.0, now - (unsent_since or now)),
        for_a_person=_count(db, "conversations INDEXED BY inbox_person WHERE needs_person_at IS NOT NULL"),
        dead=dict(db.execute(f"SELECT error_code, COUNT(*) FROM messages WHERE {DEAD} GROUP BY error_code").fetchall()),
        rejected=_count(db, "rejected_events WHERE replayed_at IS NULL AND dismissed_at IS NULL"),
        numbers=numbers,
        numbers_stopped=stopped,
        models_away=_count(db, "models WHERE away_since IS NOT NULL"),
        tokens_per_second=_tokens_per_second(db),
    )


def _count(db: sqlite3.Connection, of: str) -> int:
    return db.execute(f"SELECT COUNT(*) FROM {of}").fetchone()[0]


def _tokens_per_second(db: sqlite3.Connection) -> dict[str, float]:
    rows = db.execute(
        """
        SELECT model, MAX(tokens_per_second) FROM models WHERE tokens_per_second IS NOT NULL
        GROUP BY model ORDER BY MAX(updated_at) DESC LIMIT ?
        """,
        (MOST_MODELS,),
    )
    return {model: rate for model, rate in rows}
