"""Tries: questions that an owner puts to the model with a prompt of theirs. Nothing of them reaches a customer."""

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Try:
    """`state`: wanted, ready (`text` is the answer), failed (`text` says why). `gap`: the documents had no answer, a person would be asked."""

    id: int
    client_id: int
    user_id: int
    prompt: str
    persona: str
    language: str
    question: str
    state: str
    text: str
    seconds: float | None
    tokens_per_second: float | None
    created_at: float
    gap: str | None
    tools: str  # JSON: tool_calls.Used, of which nothing is done


def add(
    db: sqlite3.Connection, client_id: int, user_id: int, *, prompt: str, persona: str, language: str, question: str, now: float
) -> int:
    return db.execute(
        """
        INSERT INTO tries (client_id, user_id, prompt, persona, language, question, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        (client_id, user_id, prompt, persona, language, question, now),
    ).lastrowid


def get(db: sqlite3.Connection, try_id: int) -> Try | None:
    row = db.execute("SELECT * FROM tries WHERE id = ?", (try_id,)).fetchone()
    return Try(*row) if row else None


def settle(
    db: sqlite3.Connection, try_id: int, state: str, text: str, seconds: float | None = None, tokens_per_second: float | None = None,
    gap: str | None = None, tools: str = "{}",
) -> None:  # fmt: skip
    db.execute(
        "UPDATE tries SET state = ?, text = ?, seconds = ?, tokens_per_second = ?, gap = ?, tools = ? WHERE id = ? AND state = 'wanted'",
        (state, text, seconds, tokens_per_second, gap, tools, try_id),
    )


def wanted_since(db: sqlite3.Connection, before: float) -> list[int]:
    """Those that nobody has answered yet, asked before this time."""
    return [row["id"] for row in db.execute("SELECT id FROM tries WHERE state = 'wanted' AND created_at < ?", (before,))]


def clean(db: sqlite3.Connection, before: float) -> int:
    return db.execute("DELETE FROM tries WHERE created_at < ?", (before,)).rowcount
