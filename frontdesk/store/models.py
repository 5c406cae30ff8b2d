"""What the processes know of each model: whether it answers, since when not, and how long its tokens are."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelState:
    """`away_since` None: it answers. `retry_at`: nobody needs to try before. `reason`: words for the operator."""

    away_since: float | None = None
    retry_at: float | None = None
    failures: int = 0
    reason: str | None = None
    characters_per_token: float | None = None
    answer_seconds: float | None = None
    tokens_per_second: float | None = None
    updated_at: float = 0.0


def get(db: sqlite3.Connection, host: str, model: str) -> ModelState:
    row = db.execute(
        """
        SELECT away_since, retry_at, failures, reason, characters_per_token, answer_seconds, tokens_per_second,
            updated_at
        FROM models WHERE host = ? AND model = ?
        """,
        (host, model),
    ).fetchone()
    return ModelState(*row) if row else ModelState()


def best(db: sqlite3.Connection, hosts: Sequence[str], model: str) -> ModelState:
    """How it stands with the model where it stands best: a server that answers, and of those one that was measured."""
    states = [get(db, host, model) for host in hosts]
    return min(states, key=lambda state: (state.away_since is not None, state.answer_seconds is None), default=ModelState())


def away(db: sqlite3.Connection, host: str, model: str, reason: str, retry_at: float, now: float) -> None:
    db.execute(
        """
        INSERT INTO models (host, model, away_since, retry_at, failures, reason, updated_at)
        VALUES (:host, :model, :now, :retry_at, 1, :reason, :now)
        ON CONFLICT (host, model) DO UPDATE SET
            away_since = COALESCE(away_since, :now), retry_at = :retry_at, failures = failures + 1, reason = :reason,
            updated_at = :now
        """,
        {"host": host, "model": model, "reason": reason, "retry_at": retry_at, "now": now},
    )


def answered(db: sqlite3.Connection, host: str, model: str, now: float, characters_per_token: float | None = None) -> None:
    """It works. Writes only what changed: this runs after every answer."""
    state = get(db, host, model)
    learnt = characters_per_token or state.characters_per_token
    if state.away_since is None and state.failures == 0 and learnt == state.characters_per_token:
        return
    db.execute(
        """
        INSERT INTO models (host, model, characters_per_token, updated_at) VALUES (:host, :model, :learnt, :now)
        ON CONFLICT (host, model) DO UPDATE SET
            away_since = NULL, retry_at = NULL, failures = 0, reason = NULL, characters_per_token = :learnt,
            updated_at = :now
        """,
        {"host": host, "model": model, "learnt": learnt, "now": now},
    )


def took(db: sqlite3.Connection, host: str, model: str, seconds: float, tokens_per_second: float | None, now: float) -> None:
    """How long one answer took. The newest count most: a fifth, of which half is left after three more."""
    db.execute(
        """
        INSERT INTO models (host, model, answer_seconds, tokens_per_second, updated_at) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (host, model) DO UPDATE SET
            answer_seconds = 0.8 * COALESCE(answer_seconds, ?3) + 0.2 * ?3,
            tokens_per_second = COALESCE(0.8 * COALESCE(tokens_per_second, ?4) + 0.2 * ?4, tokens_per_second),
            updated_at = ?5
        """,
        (host, model, seconds, tokens_per_second, now),
    )


def resting(db: sqlite3.Connection, host: str, now: float, furthest: float) -> list[str]:
    """Models that nobody needs to ask yet. A time beyond `furthest` was written before the clock was set back."""
    rows = db.execute("SELECT model FROM models WHERE host = ? AND retry_at > ? AND retry_at <= ?", (host, now, furthest))
    return [row["model"] for row in rows]


def away_now(db: sqlite3.Connection, host: str) -> list[tuple[str, str]]:
    """Models that do not answer, each with the reason."""
    rows = db.execute(
        "SELECT model, reason FROM models WHERE host = ? AND away_since IS NOT NULL ORDER BY model", (host,)
    )
    return [(row["model"], row["reason"] or "no reason was given") for row in rows]
