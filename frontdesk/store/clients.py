"""Clients: the businesses answered for, each with its prompt and its own say on waiting."""

import sqlite3
from dataclasses import dataclass

from frontdesk.settings import Settings

HOLDING_TEXT = "Thank you for your message. Our assistant is not available right now; someone will get back to you here."
APOLOGY_TEXT = "Sorry for the late answer."


@dataclass(frozen=True, slots=True)
class Client:
    """A client with the settings' defaults filled in."""

    id: int
    name: str
    system_prompt: str
    time_zone: str
    model: str
    quiet_seconds: float
    longest_wait_seconds: float
    stale_after_minutes: float
    patience_seconds: float
    answer_after_holding: bool
    holding_text: str
    apology_text: str
    pause_hours: float = 12
    person_words: str | None = None
    person_text: str = ""
    away_text: str = ""
    hours: str | None = None
    wait_threshold_seconds: float | None = None
    wait_text: str = ""


def get(db: sqlite3.Connection, client_id: int, settings: Settings) -> Client:
    row = db.execute("SELECT * FROM clients WHERE id = ?", (client_id,)).fetchone()
    return Client(
        id=row["id"],
        name=row["name"],
        system_prompt=row["system_prompt"],
        time_zone=row["time_zone"],
        model=row["model"] or settings.ollama_model,
        quiet_seconds=_or(row["quiet_seconds"], settings.quiet_seconds),
        longest_wait_seconds=_or(row["longest_wait_seconds"], settings.longest_wait_seconds),
        stale_after_minutes=_or(row["stale_after_minutes"], settings.stale_after_minutes),
        patience_seconds=_or(row["patience_seconds"], settings.patience_seconds),
        answer_after_holding=bool(_or(row["answer_after_holding"], settings.answer_after_holding)),
        holding_text=row["holding_text"],
        apology_text=row["apology_text"],
        pause_hours=row["pause_hours"],
        person_words=row["person_words"],
        person_text=row["person_text"],
        away_text=row["away_text"],
        hours=row["hours"],
        wait_threshold_seconds=row["wait_threshold_seconds"],
        wait_text=row["wait_text"],
    )


def _or(own, default):
    return default if own is None else own


def find(db: sqlite3.Connection, name: str) -> int | None:
    row = db.execute("SELECT id FROM clients WHERE name = ?", (name,)).fetchone()
    return row["id"] if row else None


def add(db: sqlite3.Connection, name: str, system_prompt: str, now: float, time_zone: str = "UTC") -> int:
    return db.execute(
        """
        INSERT INTO clients (name, system_prompt, time_zone, holding_text, apology_text, created_at, updated_at)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        (name, system_prompt, time_zone, HOLDING_TEXT, APOLOGY_TEXT, now, now),
    ).lastrowid


def set_prompt(db: sqlite3.Connection, name: str, system_prompt: str, now: float) -> bool:
    """False where there is no client of this name."""
    return (
        db.execute(
            "UPDATE clients SET system_prompt = ?, updated_at = ? WHERE name = ?", (system_prompt, now, name)
        ).rowcount
        == 1
    )


def all_of_them(db: sqlite3.Connection, settings: Settings) -> list[Client]:
    ids = [row["id"] for row in db.execute("SELECT id FROM clients ORDER BY name")]
    return [get(db, id_, settings) for id_ in ids]


def names(db: sqlite3.Connection) -> list[tuple[int, str]]:
    return [(row["id"], row["name"]) for row in db.execute("SELECT id, name FROM clients ORDER BY name")]


def models_in_use(db: sqlite3.Connection, settings: Settings) -> list[str]:
    """Every model that some client's answers come from; the setting's own where there is no client yet."""
    rows = db.execute("SELECT DISTINCT COALESCE(model, ?) AS model FROM clients ORDER BY 1", (settings.ollama_model,))
    return [row["model"] for row in rows] or [settings.ollama_model]
