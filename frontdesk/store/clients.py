"""Clients: the businesses answered for, each with its prompt and its own say on waiting."""

import sqlite3
from dataclasses import dataclass

from frontdesk.settings import Settings
from frontdesk.work_options import KINDS

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
    persona: str = ""
    language: str = ""
    temperature: float | None = None
    image_text: str = ""
    voice_text: str = ""
    stop_text: str = ""
    start_text: str = ""
    knowledge_only: bool = False
    unknown_text: str = ""
    shows_sources: bool = False
    sources_text: str = ""
    passage_when_away: bool = False
    passage_text: str = ""
    list_word: str = "Choose"


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
        persona=row["persona"],
        language=row["language"],
        temperature=row["temperature"],
        image_text=row["image_text"],
        voice_text=row["voice_text"],
        stop_text=row["stop_text"],
        start_text=row["start_text"],
        knowledge_only=bool(row["knowledge_only"]),
        unknown_text=row["unknown_text"],
        shows_sources=bool(row["shows_sources"]),
        sources_text=row["sources_text"],
        passage_when_away=bool(row["passage_when_away"]),
        passage_text=row["passage_text"],
        list_word=row["list_word"],
    )


def _or(own, default):
    return default if own is None else own


def find(db: sqlite3.Connection, name: str) -> int | None:
    row = db.execute("SELECT id FROM clients WHERE name = ?", (name,)).fetchone()
    return row["id"] if row else None


def add(db: sqlite3.Connection, name: str, system_prompt: str, now: float, time_zone: str = "UTC") -> int:
    client_id = db.execute(
        """
        INSERT INTO clients (name, system_prompt, time_zone, holding_text, apology_text, created_at, updated_at)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        (name, system_prompt, time_zone, HOLDING_TEXT, APOLOGY_TEXT, now, now),
    ).lastrowid
    _add_version(db, client_id, system_prompt, None, now)
    return client_id


def set_prompt(db: sqlite3.Connection, client_id: int, system_prompt: str, now: float, user_id: int | None = None) -> None:
    """The new prompt, as a version; the same one again makes none."""
    changed = db.execute(
        "UPDATE clients SET system_prompt = ?, updated_at = ? WHERE id = ? AND system_prompt <> ?",
        (system_prompt, now, client_id, system_prompt),
    ).rowcount
    if changed:
        _add_version(db, client_id, system_prompt, user_id, now)


def _add_version(db: sqlite3.Connection, client_id: int, text: str, user_id: int | None, now: float) -> None:
    db.execute(
        "INSERT INTO prompt_versions (client_id, text, user_id, created_at) VALUES (?, ?, ?, ?)",
        (client_id, text, user_id, now),
    )


@dataclass(frozen=True, slots=True)
class PromptVersion:
    id: int
    text: str
    user_name: str | None
    created_at: float


def prompt_versions(db: sqlite3.Connection, client_id: int, limit: int = 50) -> list[PromptVersion]:
    """Newest first."""
    rows = db.execute(
        """
        SELECT prompt_versions.id, text, users.name, prompt_versions.created_at
        FROM prompt_versions LEFT JOIN users ON users.id = user_id
        WHERE client_id = ? ORDER BY prompt_versions.id DESC LIMIT ?
        """,
        (client_id, limit),
    )
    return [PromptVersion(*row) for row in rows]


# What a page may change; a column's NULL means that the setting of the same name decides.
CHANGEABLE = (
    "name", "time_zone", "model", "temperature", "quiet_seconds", "longest_wait_seconds", "stale_after_minutes",
    "patience_seconds", "answer_after_holding", "holding_text", "apology_text", "pause_hours", "person_words", "person_text",
    "away_text", "hours", "wait_threshold_seconds", "wait_text", "persona", "language", "region",
    "stop_text", "start_text", "knowledge_only", "unknown_text", "shows_sources", "sources_text", "passage_when_away", "passage_text",
    "image_text", "voice_text", "list_word",
    "messages_keep_days", "closed_keep_days", "media_keep_days", "documents_keep_days",
    "summary_model", "classification_model", "extraction_model",
)  # fmt: skip


def change(db: sqlite3.Connection, client_id: int, values: dict, now: float) -> None:
    """`values`: columns of CHANGEABLE. Raises sqlite3.IntegrityError where another client has the name."""
    if not set(values) <= set(CHANGEABLE):
        raise ValueError("not a column that may be changed")
    marks = ", ".join(f"{column} = ?" for column in values)
    db.execute(f"UPDATE clients SET {marks}, updated_at = ? WHERE id = ?", (*values.values(), now, client_id))


def as_stored(db: sqlite3.Connection, client_id: int) -> dict | None:
    """The row itself, without the settings' defaults."""
    row = db.execute("SELECT * FROM clients WHERE id = ?", (client_id,)).fetchone()
    return dict(row) if row else None


CUSTOMERS = "id NOT IN (SELECT client_id FROM canary)"


def all_of_them(db: sqlite3.Connection, settings: Settings) -> list[Client]:
    ids = [row["id"] for row in db.execute(f"SELECT id FROM clients WHERE {CUSTOMERS} ORDER BY name")]
    return [get(db, id_, settings) for id_ in ids]


def names(db: sqlite3.Connection) -> list[tuple[int, str]]:
    return [(row["id"], row["name"]) for row in db.execute(f"SELECT id, name FROM clients WHERE {CUSTOMERS} ORDER BY name")]


OWN_MODEL = {"reply": "model"} | {kind: f"{kind}_model" for kind in ("summary", "classification", "extraction")}


def model_for(db: sqlite3.Connection, client_id: int | None, kind: str, settings: Settings) -> str | None:
    """The model that does this kind of work for a client; None where nobody does it."""
    column = OWN_MODEL.get(kind)
    row = db.execute(f"SELECT {column} AS model FROM clients WHERE id = ?", (client_id,)).fetchone() if column else None
    return row["model"] if row and row["model"] else settings.model_of(kind)


def models_by_kind(db: sqlite3.Connection, settings: Settings) -> dict[str, list[str]]:
    """Kind of work → every model that does it for somebody."""
    found = {kind: [] if (model := settings.model_of(kind)) is None else [model] for kind in KINDS}
    found["reply"] = models_in_use(db, settings)
    columns = ", ".join(OWN_MODEL.values())
    for row in db.execute(f"SELECT DISTINCT {columns} FROM clients"):
        for kind, column in OWN_MODEL.items():
            if row[column] and row[column] not in found[kind]:
                found[kind].append(row[column])
    return found


def models_in_use(db: sqlite3.Connection, settings: Settings) -> list[str]:
    """Every model that some client's answers come from; the setting's own where there is no client yet."""
    rows = db.execute("SELECT DISTINCT COALESCE(model, ?) AS model FROM clients ORDER BY 1", (settings.ollama_model,))
    return [row["model"] for row in rows] or [settings.ollama_model]
