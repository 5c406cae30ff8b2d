"""Documents of the knowledge that come from an address of the web: when each is looked at again, and how that went."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

FURTHEST_DUE_SECONDS = 6 * 3600


@dataclass(frozen=True, slots=True)
class WebPage:
    """`checked_at`: when it was last there. `problem`: why it can no longer be read, since `problem_since`."""

    document_id: int
    checked_at: float | None
    problem: str | None
    problem_since: float | None


def get(db: sqlite3.Connection, document_id: int) -> WebPage | None:
    row = db.execute(
        "SELECT document_id, checked_at, problem, problem_since FROM knowledge_pages WHERE document_id = ?", (document_id,)
    ).fetchone()
    return WebPage(*row) if row else None


def gone(db: sqlite3.Connection, client_id: int) -> set[int]:
    """Documents whose pages can no longer be read."""
    rows = db.execute(
        "SELECT document_id FROM knowledge_pages JOIN knowledge_documents ON id = document_id WHERE client_id = ? AND problem IS NOT NULL",
        (client_id,),
    )
    return {row["document_id"] for row in rows}


def serving(db: sqlite3.Connection) -> list[tuple[int, str]]:
    """Documents from the web that searches find: (id, address)."""
    rows = db.execute(
        "SELECT id, url FROM knowledge_documents WHERE live = 1 AND url IS NOT NULL AND removed_at IS NULL AND superseded_at IS NULL ORDER BY id"
    )
    return [(row["id"], row["url"]) for row in rows]


def unread(db: sqlite3.Connection) -> list[int]:
    """Pages that never could be read."""
    rows = db.execute(
        "SELECT id FROM knowledge_documents WHERE state = 'failed' AND url IS NOT NULL AND removed_at IS NULL AND superseded_at IS NULL"
    )
    return [row["id"] for row in rows]


def outdated(db: sqlite3.Connection, before: float) -> list[int]:
    """Versions that a newer one of the same address replaced before then."""
    rows = db.execute(
        """
        SELECT old.id FROM knowledge_documents AS old JOIN knowledge_documents AS newer ON newer.replaces = old.id AND newer.url = old.url
        WHERE old.superseded_at < ? AND old.removed_at IS NULL
        """,
        (before,),
    )
    return [row["id"] for row in rows]


def want(db: sqlite3.Connection, pages: Iterable[tuple[int, str]], now: float) -> None:
    """Each, as (document's id, host), is to be looked at."""
    db.executemany(
        """
        INSERT INTO knowledge_pages (document_id, host, due_at) VALUES (?, ?, ?)
        ON CONFLICT (document_id) DO UPDATE SET due_at = excluded.due_at, attempts = 0
        """,
        [(document_id, host, now) for document_id, host in pages],
    )


def due(db: sqlite3.Connection, now: float, limit: int) -> list[int]:
    """One of each host at most, so that no server gets many requests at once."""
    rows = db.execute(
        """
        SELECT MIN(document_id) AS id FROM knowledge_pages WHERE due_at <= ?1 OR due_at > ?1 + ?2 GROUP BY host ORDER BY id LIMIT ?3
        """,
        (now, FURTHEST_DUE_SECONDS, limit),
    )
    return [row["id"] for row in rows]


def claim(db: sqlite3.Connection, document_id: int, now: float, lease_seconds: float) -> int | None:
    """Which attempt it is, this caller's until the lease is over; None: it is not due."""
    row = db.execute(
        """
        UPDATE knowledge_pages SET due_at = ?2 + ?3, attempts = attempts + 1
        WHERE document_id = ?1 AND (due_at <= ?2 OR due_at > ?2 + ?4) RETURNING attempts
        """,
        (document_id, now, lease_seconds, FURTHEST_DUE_SECONDS),
    ).fetchone()
    return row["attempts"] if row else None


def later(db: sqlite3.Connection, document_id: int, due_at: float) -> None:
    db.execute("UPDATE knowledge_pages SET due_at = ? WHERE document_id = ?", (due_at, document_id))


def give_up(db: sqlite3.Connection, document_id: int, problem: str, now: float) -> None:
    """Until the next night."""
    db.execute(
        "UPDATE knowledge_pages SET due_at = NULL, problem = ?, problem_since = COALESCE(problem_since, ?) WHERE document_id = ?",
        (problem, now, document_id),
    )


def unchanged(db: sqlite3.Connection, document_id: int, now: float) -> None:
    db.execute(
        "UPDATE knowledge_pages SET due_at = NULL, checked_at = ?, problem = NULL, problem_since = NULL WHERE document_id = ?",
        (now, document_id),
    )


def is_newest(db: sqlite3.Connection, document_id: int) -> bool:
    """Whether this version still serves and no newer one is on its way."""
    row = db.execute(
        """
        SELECT 1 FROM knowledge_documents AS old WHERE id = ? AND live = 1 AND superseded_at IS NULL AND removed_at IS NULL
            AND NOT EXISTS (SELECT 1 FROM knowledge_documents WHERE replaces = old.id AND removed_at IS NULL AND state <> 'failed')
        """,
        (document_id,),
    ).fetchone()
    return row is not None


def replaced(db: sqlite3.Connection, document_id: int, by: int, now: float) -> None:
    """What stands there now is another version. Inside a transaction."""
    unchanged(db, document_id, now)
    db.execute(
        "INSERT INTO knowledge_pages (document_id, host, checked_at) SELECT ?, host, ? FROM knowledge_pages WHERE document_id = ?",
        (by, now, document_id),
    )
