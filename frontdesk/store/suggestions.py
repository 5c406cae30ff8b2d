"""Suggestions: answers that an agent asked the model for. They are edited and sent by a person, or thrown away."""

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`state`: wanted, ready (`text` is the model's), failed (`text` says why, for the agent)."""

    id: int
    conversation_id: int
    user_id: int
    hint: str
    state: str
    text: str
    created_at: float
    tools: str  # JSON: tool_calls.Used, of which nothing is done


def add(db: sqlite3.Connection, conversation_id: int, user_id: int, hint: str, now: float) -> int:
    return db.execute(
        "INSERT INTO suggestions (conversation_id, user_id, hint, created_at) VALUES (?, ?, ?, ?)",
        (conversation_id, user_id, hint, now),
    ).lastrowid


def get(db: sqlite3.Connection, suggestion_id: int) -> Suggestion | None:
    row = db.execute("SELECT * FROM suggestions WHERE id = ?", (suggestion_id,)).fetchone()
    return Suggestion(*row) if row else None


def settle(db: sqlite3.Connection, suggestion: Suggestion, state: str, text: str, tools: str = "{}") -> None:
    """Of this very suggestion: one that was erased has left its id to another."""
    db.execute(
        "UPDATE suggestions SET state = ?, text = ?, tools = ? WHERE id = ? AND conversation_id = ? AND created_at = ? AND state = 'wanted'",
        (state, text, tools, suggestion.id, suggestion.conversation_id, suggestion.created_at),
    )


def wanted_since(db: sqlite3.Connection, before: float) -> list[int]:
    """Those that nobody has written yet, asked for before this time."""
    return [row["id"] for row in db.execute("SELECT id FROM suggestions WHERE state = 'wanted' AND created_at < ?", (before,))]


def clean(db: sqlite3.Connection, before: float) -> int:
    return db.execute("DELETE FROM suggestions WHERE created_at < ?", (before,)).rowcount
