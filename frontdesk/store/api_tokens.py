"""API tokens, of which only the SHA-256 is kept, and what was answered under each idempotency key."""

import sqlite3
from dataclasses import dataclass

from frontdesk.store import tokens

SCOPES = ("send", "read", "documents", "broadcasts", "privacy")
PREFIX = "fd_"

_COLUMNS = "id, name, client_id, scopes, created_at, last_used_at, revoked_at"


@dataclass(frozen=True, slots=True)
class ApiToken:
    """`client_id` None: it speaks for every client. `scopes`: words of SCOPES."""

    id: int
    name: str
    client_id: int | None
    scopes: frozenset[str]
    created_at: float
    last_used_at: float | None
    revoked_at: float | None


def _token(row: sqlite3.Row) -> ApiToken:
    values = dict(row)
    return ApiToken(**{**values, "scopes": frozenset(values["scopes"].split())})


def add(db: sqlite3.Connection, name: str, client_id: int | None, scopes: tuple[str, ...], user_id: int | None, now: float) -> str:
    """The token itself: it is shown once and cannot be read again."""
    token = PREFIX + tokens.new()
    db.execute(
        "INSERT INTO api_tokens (name, token_hash, client_id, scopes, created_by, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        (name, tokens.digest(token), client_id, " ".join(scopes), user_id, now),
    )
    return token


def find(db: sqlite3.Connection, token: str) -> ApiToken | None:
    """None where there is none, or it was revoked. By its hash, so nothing is told by how long the comparison takes."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM api_tokens WHERE token_hash = ? AND revoked_at IS NULL", (tokens.digest(token),)
    ).fetchone()
    return _token(row) if row else None


def all_of_them(db: sqlite3.Connection) -> list[ApiToken]:
    rows = db.execute(f"SELECT {_COLUMNS} FROM api_tokens ORDER BY revoked_at IS NOT NULL, id DESC")
    return [_token(row) for row in rows]


def used(db: sqlite3.Connection, token_id: int, now: float) -> None:
    db.execute("UPDATE api_tokens SET last_used_at = ? WHERE id = ?", (now, token_id))


def revoke(db: sqlite3.Connection, token_id: int, now: float) -> None:
    db.execute("UPDATE api_tokens SET revoked_at = COALESCE(revoked_at, ?) WHERE id = ?", (now, token_id))


def answered(db: sqlite3.Connection, token_id: int, key: str) -> tuple[str, int, str] | None:
    """Hash of the request, status and body of the answer that was given under this key."""
    row = db.execute(
        "SELECT request_hash, status, answer FROM idempotency WHERE token_id = ? AND key = ?", (token_id, key)
    ).fetchone()
    return tuple(row) if row else None


def remember(db: sqlite3.Connection, token_id: int, key: str, request_hash: str, status: int, answer: str, now: float) -> None:
    """Inside the transaction of what was done."""
    db.execute("INSERT INTO idempotency VALUES (?, ?, ?, ?, ?, ?)", (token_id, key, request_hash, status, answer, now))


def clean(db: sqlite3.Connection, before: float) -> int:
    return db.execute("DELETE FROM idempotency WHERE created_at < ?", (before,)).rowcount
