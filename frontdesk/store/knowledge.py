"""Knowledge: the documents of each client, every version of them, and the text that was read from each.

What people want of a document (active, replaced, removed) is written at once; jobs.read_document makes it so and sets `settled`.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from frontdesk.store.database import exact


@dataclass(frozen=True, slots=True)
class Document:
    """One version of a document. `state`: new (to be read), read, failed (`error` says why). `live`: searches find it now."""

    id: int
    client_id: int
    name: str
    kind: str
    url: str | None
    sha256: str
    size_bytes: int
    version: int
    replaces: int | None
    state: str
    error: str | None
    notes: list[str]
    pages_read: int | None
    pages: int | None
    active: bool
    superseded_at: float | None
    removed_at: float | None
    live: bool
    chunk_count: int
    settled: bool
    embedded_by: int | None
    created_at: float
    updated_at: float

    @property
    def wanted(self) -> bool:
        """Whether searches are to find it, as soon as its text is there."""
        return self.active and self.superseded_at is None and self.removed_at is None and self.state != "failed"


COLUMNS = """
    id, client_id, name, kind, url, sha256, size_bytes, version, replaces, state, error, notes, pages_read, pages, active,
    superseded_at, removed_at, live, chunk_count, settled, embedded_by, created_at, updated_at
"""


def add(
    db: sqlite3.Connection,
    client_id: int,
    *,
    name: str,
    kind: str,
    sha256: str,
    size_bytes: int,
    now: float,
    url: str | None = None,
    replaces: Document | None = None,
) -> int:
    return db.execute(
        """
        INSERT INTO knowledge_documents (client_id, name, kind, url, sha256, size_bytes, version, replaces, created_at, updated_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            client_id, name, kind, url, sha256, size_bytes, replaces.version + 1 if replaces else 1,
            replaces.id if replaces else None, now, now,
        ),
    ).lastrowid  # fmt: skip


def get(db: sqlite3.Connection, document_id: int) -> Document | None:
    row = db.execute(f"SELECT {COLUMNS} FROM knowledge_documents WHERE id = ?", (document_id,)).fetchone()
    return _document(row) if row else None


def of_client(db: sqlite3.Connection, client_id: int) -> list[Document]:
    """The documents as people see them: the newest version of each, and those that serve until it is found."""
    rows = db.execute(
        f"""
        SELECT {COLUMNS} FROM knowledge_documents
        WHERE client_id = ? AND removed_at IS NULL AND superseded_at IS NULL ORDER BY name COLLATE NOCASE, id
        """,
        (client_id,),
    )
    return [_document(row) for row in rows]


def newest_named(db: sqlite3.Connection, client_id: int, name: str, kind: str) -> Document | None:
    """The newest version of the document of this name and kind that is in use, also one that is still being read."""
    row = db.execute(
        f"""
        SELECT {COLUMNS} FROM knowledge_documents
        WHERE client_id = ? AND name = ? AND kind = ? AND active AND superseded_at IS NULL AND removed_at IS NULL AND state <> 'failed'
        ORDER BY version DESC, id DESC LIMIT 1
        """,
        (client_id, name, kind),
    ).fetchone()
    return _document(row) if row else None


def any_of(db: sqlite3.Connection, client_id: int) -> bool:
    """Whether this client has anything that searches could find."""
    row = db.execute("SELECT 1 FROM knowledge_documents WHERE client_id = ? AND live = 1 LIMIT 1", (client_id,)).fetchone()
    return row is not None


def first_live(db: sqlite3.Connection) -> int | None:
    """Any document that searches find."""
    row = db.execute("SELECT id FROM knowledge_documents WHERE live = 1 LIMIT 1").fetchone()
    return row["id"] if row else None


def live_count(db: sqlite3.Connection) -> int:
    """Documents of all clients that searches find."""
    return db.execute("SELECT COUNT(*) FROM knowledge_documents WHERE live = 1").fetchone()[0]


def unsettled(db: sqlite3.Connection, now: float, lease_seconds: float) -> list[int]:
    """Documents with work for jobs.read_document that nobody carries. A lease further ahead than it can be is not believed."""
    rows = db.execute(
        """
        SELECT id FROM knowledge_documents
        WHERE settled = 0 AND (claim_expires_at IS NULL OR claim_expires_at NOT BETWEEN ? AND ?) ORDER BY id LIMIT 100
        """,
        (now, now + lease_seconds),
    )
    return [row["id"] for row in rows]


def not_embedded(db: sqlite3.Connection, model_id: int, now: float, lease_seconds: float) -> list[int]:
    """Live documents that lack vectors of this model and that nobody works on."""
    rows = db.execute(
        """
        SELECT id FROM knowledge_documents
        WHERE live = 1 AND embedded_by IS NOT ? AND (claim_expires_at IS NULL OR claim_expires_at NOT BETWEEN ? AND ?)
        ORDER BY id LIMIT 20
        """,
        (model_id, now, now + lease_seconds),
    )
    return [row["id"] for row in rows]


def claim(db: sqlite3.Connection, document_id: int, owner: str, now: float, lease_seconds: float) -> Document | None:
    """This document, if nobody else works on it; it is the owner's for `lease_seconds`."""
    row = db.execute(
        f"""
        UPDATE knowledge_documents SET claim_owner = ?, claim_expires_at = ?
        WHERE id = ? AND (claim_expires_at IS NULL OR claim_expires_at NOT BETWEEN ? AND ?) RETURNING {COLUMNS}
        """,
        (owner, now + lease_seconds, document_id, now, now + lease_seconds),
    ).fetchone()
    return _document(row) if row else None


def renew(db: sqlite3.Connection, document_id: int, owner: str, now: float, lease_seconds: float) -> bool:
    changed = db.execute(
        "UPDATE knowledge_documents SET claim_expires_at = ? WHERE id = ? AND claim_owner = ?", (now + lease_seconds, document_id, owner)
    )
    return changed.rowcount == 1


def release(db: sqlite3.Connection, document_id: int, owner: str) -> None:
    db.execute(
        "UPDATE knowledge_documents SET claim_owner = NULL, claim_expires_at = NULL WHERE id = ? AND claim_owner = ?", (document_id, owner)
    )


def progress(db: sqlite3.Connection, document_id: int, pages_read: int, pages: int) -> None:
    db.execute("UPDATE knowledge_documents SET pages_read = ?, pages = ? WHERE id = ?", (pages_read, pages, document_id))


def keep_text(
    db: sqlite3.Connection, document_id: int, sections: Iterable[tuple[tuple[str, ...], int | None, str]], notes: list[str], now: float
) -> None:
    """What was read, as (headings, page, text)."""
    db.execute("DELETE FROM knowledge_sections WHERE document_id = ?", (document_id,))
    db.executemany(
        "INSERT INTO knowledge_sections (document_id, position, headings, page, text) VALUES (?, ?, ?, ?, CAST(? AS TEXT))",
        (
            (document_id, position, json.dumps(headings), page, exact(text))
            for position, (headings, page, text) in enumerate(sections)
        ),
    )
    db.execute(
        "UPDATE knowledge_documents SET state = 'read', error = NULL, notes = ?, updated_at = ? WHERE id = ?",
        (json.dumps(notes), now, document_id),
    )


def fetched(db: sqlite3.Connection, document_id: int, kind: str, sha256: str, size_bytes: int) -> None:
    """The page's file is there now."""
    db.execute("UPDATE knowledge_documents SET kind = ?, sha256 = ?, size_bytes = ? WHERE id = ?", (kind, sha256, size_bytes, document_id))


def fail(db: sqlite3.Connection, document_id: int, error: str, now: float) -> None:
    db.execute(
        "UPDATE knowledge_documents SET state = 'failed', error = ?, settled = 1, updated_at = ? WHERE id = ?", (error, now, document_id)
    )


def sections(db: sqlite3.Connection, document_id: int, start: int = 0, limit: int = -1) -> list[tuple[tuple[str, ...], int | None, str]]:
    """The text as it was read: (headings, page, text)."""
    rows = db.execute(
        "SELECT headings, page, text FROM knowledge_sections WHERE document_id = ? AND position >= ? ORDER BY position LIMIT ?",
        (document_id, start, limit),
    )
    return [(tuple(json.loads(row["headings"])), row["page"], row["text"]) for row in rows]


def now_found(db: sqlite3.Connection, document: Document, now: float) -> None:
    """Searches find this version from now on, and those before it no longer, also where one between them never was found. Inside a
    transaction.
    """
    db.execute("UPDATE knowledge_documents SET live = 1, settled = 1, updated_at = ? WHERE id = ?", (now, document.id))
    db.execute(
        """
        WITH RECURSIVE versions (id) AS (
            SELECT ? UNION SELECT replaces FROM knowledge_documents JOIN versions USING (id) WHERE replaces IS NOT NULL
        )
        UPDATE knowledge_documents SET live = 0, superseded_at = ?, settled = 0
        WHERE client_id = ? AND id IN (SELECT id FROM versions) AND superseded_at IS NULL
        """,
        (document.replaces, now, document.client_id),
    )


def versions_to_take_out(db: sqlite3.Connection, document_id: int) -> list[int]:
    """Those before this one whose chunks are still in the indexes."""
    rows = db.execute(
        """
        WITH RECURSIVE versions (id) AS (
            SELECT ? UNION SELECT replaces FROM knowledge_documents JOIN versions USING (id) WHERE replaces IS NOT NULL
        )
        SELECT id FROM knowledge_documents WHERE id IN (SELECT id FROM versions) AND id <> ? AND settled = 0
        """,
        (document_id, document_id),
    )
    return [row["id"] for row in rows]


def settle(db: sqlite3.Connection, document_id: int) -> None:
    db.execute("UPDATE knowledge_documents SET settled = 1 WHERE id = ?", (document_id,))


def embedded(db: sqlite3.Connection, document_id: int, model_id: int | None) -> None:
    db.execute("UPDATE knowledge_documents SET embedded_by = ? WHERE id = ?", (model_id, document_id))


def switch(db: sqlite3.Connection, document_id: int, active: bool, now: float) -> bool:
    """Off: searches no longer find it, at once. On: as soon as its chunks are there again."""
    changed = db.execute(
        """
        UPDATE knowledge_documents SET active = ?1, live = live AND ?1, settled = 0, embedded_by = NULL, updated_at = ?2
        WHERE id = ?3 AND active <> ?1 AND superseded_at IS NULL AND removed_at IS NULL
        """,
        (active, now, document_id),
    )
    return changed.rowcount == 1


def read_again(db: sqlite3.Connection, document_id: int, now: float) -> None:
    db.execute(
        "UPDATE knowledge_documents SET state = 'new', error = NULL, settled = 0, updated_at = ? WHERE id = ? AND state = 'failed'",
        (now, document_id),
    )


def remove(db: sqlite3.Connection, document_id: int, now: float) -> None:
    """Searches no longer find it, at once; its rows and its file go in the background, and those of its older versions."""
    db.execute(
        """
        WITH RECURSIVE versions (id) AS (
            SELECT ? UNION SELECT replaces FROM knowledge_documents JOIN versions USING (id) WHERE replaces IS NOT NULL
        )
        UPDATE knowledge_documents SET removed_at = ?, live = 0, settled = 0, updated_at = ?
        WHERE id IN (SELECT id FROM versions) AND removed_at IS NULL
        """,
        (document_id, now, now),
    )


def forget(db: sqlite3.Connection, document_id: int) -> None:
    """After its chunks have left the indexes."""
    db.execute("DELETE FROM knowledge_documents WHERE id = ?", (document_id,))


def file_is_used(db: sqlite3.Connection, sha256: str) -> bool:
    return db.execute("SELECT 1 FROM knowledge_documents WHERE sha256 = ? LIMIT 1", (sha256,)).fetchone() is not None


def _document(row: sqlite3.Row) -> Document:
    fields = dict(row)
    fields["notes"] = json.loads(fields["notes"])
    for flag in ("active", "live", "settled"):
        fields[flag] = bool(fields[flag])
    return Document(**fields)
