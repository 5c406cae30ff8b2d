"""Media: what callers uploaded or named by a URL, and which of it each number has handed to its provider. The bytes: files.py.

A row is `wanted` (its URL is still to be fetched), `ready`, or `failed` (refused, given up, or long unused and gone: 'expired').
"""

import sqlite3
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

FURTHEST_DUE_SECONDS = 3600  # a due time further ahead than it can be is not believed: the clock was set back since

COLUMNS = """id, public_id, client_id, state, url, sha256, mime_type, size_bytes, filename, animated, error_code, error_words,
    attempts, due_at, lease_owner, lease_expires_at, created_at, used_at"""

IS_FREE = """
    (lease_expires_at IS NULL OR lease_expires_at <= :now OR lease_expires_at > :now + :longest_lease_seconds)
"""


@dataclass(frozen=True, slots=True)
class Media:
    """`sha256`, `mime_type` and `size_bytes` are None until it is ready. `used_at`: when anybody last needed it."""

    id: int
    public_id: str
    client_id: int
    state: str
    url: str | None
    sha256: str | None
    mime_type: str | None
    size_bytes: int | None
    filename: str
    animated: bool
    error_code: str | None
    error_words: str | None
    attempts: int
    due_at: float | None
    lease_owner: str | None
    lease_expires_at: float | None
    created_at: float
    used_at: float


def _media(row: sqlite3.Row | None) -> Media | None:
    return Media(**{**dict(row), "animated": bool(row["animated"])}) if row else None


def add_ready(
    db: sqlite3.Connection, *, client_id: int, sha256: str, mime_type: str, size_bytes: int, filename: str, animated: bool, now: float
) -> Media:
    return _media(
        db.execute(
            f"""
            INSERT INTO media (public_id, client_id, state, sha256, mime_type, size_bytes, filename, animated, created_at, used_at)
            VALUES (?1, ?2, 'ready', ?3, ?4, ?5, ?6, ?7, ?8, ?8)
            RETURNING {COLUMNS}
            """,
            (uuid.uuid4().hex, client_id, sha256, mime_type, size_bytes, filename, animated, now),
        ).fetchone()
    )


def add_wanted(db: sqlite3.Connection, *, client_id: int, url: str, now: float) -> Media:
    return _media(
        db.execute(
            f"""
            INSERT INTO media (public_id, client_id, state, url, due_at, created_at, used_at) VALUES (?1, ?2, 'wanted', ?3, ?4, ?4, ?4)
            RETURNING {COLUMNS}
            """,
            (uuid.uuid4().hex, client_id, url, now),
        ).fetchone()
    )


def get(db: sqlite3.Connection, media_id: int) -> Media | None:
    return _media(db.execute(f"SELECT {COLUMNS} FROM media WHERE id = ?", (media_id,)).fetchone())


def by_public_id(db: sqlite3.Connection, public_id: str) -> Media | None:
    return _media(db.execute(f"SELECT {COLUMNS} FROM media WHERE public_id = ?", (public_id,)).fetchone())


def used(db: sqlite3.Connection, media_ids: Iterable[int], now: float) -> None:
    """Somebody needs these: they are kept from now on as if they were new."""
    db.executemany("UPDATE media SET used_at = MAX(used_at, ?) WHERE id = ?", [(now, media_id) for media_id in media_ids])


# --- fetching what is wanted ------------------------------------------------------------------------------------------------


def due(db: sqlite3.Connection, now: float, longest_lease_seconds: float, limit: int = 200) -> list[int]:
    """What is to be fetched and nobody fetches, the oldest first."""
    rows = db.execute(
        f"""
        SELECT id FROM media
        WHERE state = 'wanted' AND (due_at <= :now OR due_at > :now + {FURTHEST_DUE_SECONDS}) AND {IS_FREE}
        ORDER BY id LIMIT :limit
        """,
        {"now": now, "longest_lease_seconds": longest_lease_seconds, "limit": limit},
    )
    return [row["id"] for row in rows]


def claim(db: sqlite3.Connection, media_id: int, owner: str, now: float, lease_seconds: float) -> Media | None:
    """This owner's until the lease ends; counts an attempt. None: it is not due, or another's."""
    return _media(
        db.execute(
            f"""
            UPDATE media SET lease_owner = :owner, lease_expires_at = :now + :longest_lease_seconds, attempts = attempts + 1
            WHERE id = :id AND state = 'wanted' AND (due_at <= :now OR due_at > :now + {FURTHEST_DUE_SECONDS}) AND {IS_FREE}
            RETURNING {COLUMNS}
            """,
            {"id": media_id, "owner": owner, "now": now, "longest_lease_seconds": lease_seconds},
        ).fetchone()
    )


def renew(db: sqlite3.Connection, media: Media, now: float, lease_seconds: float) -> bool:
    return _mine(db, media, "lease_expires_at = ?", now + lease_seconds)


def became_ready(
    db: sqlite3.Connection, media: Media, *, sha256: str, mime_type: str, size_bytes: int, filename: str, animated: bool, now: float
) -> bool:
    """True if it was still this owner's."""
    changes = """state = 'ready', sha256 = ?, mime_type = ?, size_bytes = ?, filename = ?, animated = ?, used_at = MAX(used_at, ?),
        error_code = NULL, error_words = NULL, due_at = NULL, lease_owner = NULL, lease_expires_at = NULL"""
    return _mine(db, media, changes, sha256, mime_type, size_bytes, filename, animated, now)


def again(db: sqlite3.Connection, media: Media, due_at: float, words: str | None) -> bool:
    """Try again then. Without `words` nothing went wrong (the process was asked to stop): the attempt does not count."""
    changes = "due_at = ?, error_words = ?, attempts = attempts - ?, lease_owner = NULL, lease_expires_at = NULL"
    return _mine(db, media, changes, due_at, words, 0 if words else 1)


def failed(db: sqlite3.Connection, media: Media, code: str, words: str) -> bool:
    changes = "state = 'failed', error_code = ?, error_words = ?, due_at = NULL, lease_owner = NULL, lease_expires_at = NULL"
    return _mine(db, media, changes, code, words)


def _mine(db: sqlite3.Connection, media: Media, changes: str, *values) -> bool:
    return (
        db.execute(
            f"UPDATE media SET {changes} WHERE id = ? AND state = 'wanted' AND lease_owner = ?", (*values, media.id, media.lease_owner)
        ).rowcount
        == 1
    )


# --- what numbers have uploaded -----------------------------------------------------------------------------------------------


def upload(db: sqlite3.Connection, number_id: int, sha256: str, after: float, now: float) -> str | None:
    """The provider's id of this content, uploaded by this number after that time."""
    row = db.execute(
        "SELECT external_id FROM media_uploads WHERE number_id = ? AND sha256 = ? AND uploaded_at BETWEEN ? AND ?",
        (number_id, sha256, after, now),
    ).fetchone()
    return row["external_id"] if row else None


def uploaded(db: sqlite3.Connection, number_id: int, sha256: str, external_id: str, now: float) -> None:
    db.execute(
        """
        INSERT INTO media_uploads (number_id, sha256, external_id, uploaded_at) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (number_id, sha256) DO UPDATE SET external_id = ?3, uploaded_at = ?4
        """,
        (number_id, sha256, external_id, now),
    )


def forget_upload(db: sqlite3.Connection, number_id: int, sha256: str, external_id: str | None = None) -> bool:
    """The provider no longer has it. With `external_id` only that upload is forgotten, not one made since."""
    return (
        db.execute(
            "DELETE FROM media_uploads WHERE number_id = ?1 AND sha256 = ?2 AND (?3 IS NULL OR external_id = ?3)",
            (number_id, sha256, external_id),
        ).rowcount
        == 1
    )


# --- cleaning -----------------------------------------------------------------------------------------------------------------


def expire(db: sqlite3.Connection, client_id: int, before: float, words: str) -> int:
    """What nobody has used since, and no message or schedule waits to take along, goes; its row stays, for messages that show it."""
    return db.execute(
        """
        UPDATE media SET state = 'failed', error_code = 'expired', error_words = ?
        WHERE state = 'ready' AND client_id = ? AND used_at < ?
            AND id NOT IN (SELECT media_id FROM messages WHERE state IN ('queued', 'sending', 'unknown') AND media_id IS NOT NULL)
            AND id NOT IN (SELECT media_id FROM schedules WHERE state IN ('active', 'paused') AND media_id IS NOT NULL)
        """,
        (words, client_id, before),
    ).rowcount


def clean_uploads(db: sqlite3.Connection, before: float) -> int:
    return db.execute("DELETE FROM media_uploads WHERE uploaded_at < ?", (before,)).rowcount


def unneeded(db: sqlite3.Connection, hashes: Iterable[str]) -> list[str]:
    """Those of these contents that no row needs."""
    return [
        sha256
        for sha256 in hashes
        if db.execute("SELECT 1 FROM media WHERE sha256 = ? AND state = 'ready' LIMIT 1", (sha256,)).fetchone() is None
    ]
