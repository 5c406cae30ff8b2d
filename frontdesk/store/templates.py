"""Message templates as Meta last told of them, by account, name and language. Only what Meta approved can go out."""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

APPROVED = "APPROVED"

_COLUMNS = "id, account_id, external_id, name, language, status, category, parameter_format, components, reason, quality, updated_at"


@dataclass(frozen=True, slots=True)
class Template:
    """`status`, `category`, `parameter_format`, `components`: Meta's own words and shapes. `reason`: of a rejection or a pause."""

    id: int
    account_id: str
    external_id: str | None
    name: str
    language: str
    status: str
    category: str
    parameter_format: str
    components: list[dict[str, Any]]
    reason: str | None
    quality: str | None
    updated_at: float


def _template(row: sqlite3.Row) -> Template:
    return Template(**{**dict(row), "components": json.loads(row["components"])})


def of_account(db: sqlite3.Connection, account_id: str) -> list[Template]:
    rows = db.execute(f"SELECT {_COLUMNS} FROM templates WHERE account_id = ? ORDER BY name, language", (account_id,))
    return [_template(row) for row in rows]


def approved(db: sqlite3.Connection, account_id: str | None) -> list[Template]:
    return [template for template in of_account(db, account_id or "") if template.status == APPROVED]


def get(db: sqlite3.Connection, template_id: int) -> Template | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM templates WHERE id = ?", (template_id,)).fetchone()
    return _template(row) if row else None


def find(db: sqlite3.Connection, account_id: str | None, name: str, language: str) -> Template | None:
    row = db.execute(
        f"SELECT {_COLUMNS} FROM templates WHERE account_id = ? AND name = ? AND language = ?", (account_id, name, language)
    ).fetchone()
    return _template(row) if row else None


def replace_all(db: sqlite3.Connection, account_id: str, read: list[dict[str, Any]], now: float) -> None:
    """What Meta listed just now; what it lists no longer is gone. Inside a transaction."""
    for one in read:
        db.execute(
            """
            INSERT INTO templates (
                account_id, external_id, name, language, status, category, parameter_format, components, reason, quality, updated_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (account_id, name, language) DO UPDATE SET
                external_id = excluded.external_id, status = excluded.status, category = excluded.category,
                parameter_format = excluded.parameter_format, components = excluded.components, reason = excluded.reason,
                quality = excluded.quality, updated_at = excluded.updated_at
            """,
            (
                account_id,
                one["external_id"],
                one["name"],
                one["language"],
                one["status"],
                one["category"],
                one["parameter_format"],
                json.dumps(one["components"]),
                one["reason"],
                one["quality"],
                now,
            ),
        )
    db.execute("DELETE FROM templates WHERE account_id = ? AND updated_at <> ?", (account_id, now))
    _note_read(db, account_id, now, None)


def not_read(db: sqlite3.Connection, account_id: str, words: str, now: float) -> None:
    """Why the list could not be read; what is known stays."""
    _note_read(db, account_id, now, words)


def _note_read(db: sqlite3.Connection, account_id: str, now: float, error: str | None) -> None:
    db.execute(
        """
        INSERT INTO template_reads (account_id, read_at, error) VALUES (?, ?, ?)
        ON CONFLICT (account_id) DO UPDATE SET read_at = excluded.read_at, error = excluded.error
        """,
        (account_id, now, error),
    )


def last_read(db: sqlite3.Connection, account_id: str) -> tuple[float, str | None] | None:
    """When the list was last asked for, and why that failed."""
    row = db.execute("SELECT read_at, error FROM template_reads WHERE account_id = ?", (account_id,)).fetchone()
    return (row["read_at"], row["error"]) if row else None


def change(db: sqlite3.Connection, account_id: str, name: str, language: str, **columns: str | None) -> bool:
    """`columns`: of status, category, quality, reason. False where the template is not known."""
    names = [name for name in ("status", "category", "quality", "reason") if name in columns]
    if not names:
        return False
    marks = ", ".join(f"{column} = ?" for column in names)
    changed = db.execute(
        f"UPDATE templates SET {marks} WHERE account_id = ? AND name = ? AND language = ?",
        (*(columns[column] for column in names), account_id, name, language),
    )
    return changed.rowcount == 1
