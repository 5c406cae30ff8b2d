"""Tags of contacts: words with which the desk sorts a client's people, and audiences are chosen."""

import sqlite3
from collections.abc import Iterable

LONGEST_TAG = 50


def normal(tag: str) -> str:
    """One form for each tag: without a leading # and commas, in small letters."""
    return " ".join(tag.replace(",", " ").strip().lstrip("#").lower().split())[:LONGEST_TAG].strip()


def add(db: sqlite3.Connection, client_id: int, contact_ids: Iterable[int], tag: str) -> int:
    """How many did not have it yet. Contacts of other clients are passed over."""
    before = db.total_changes
    db.executemany(
        """
        INSERT INTO contact_tags (client_id, contact_id, tag) SELECT client_id, id, ? FROM contacts WHERE id = ? AND client_id = ?
        ON CONFLICT DO NOTHING
        """,
        [(normal(tag), contact_id, client_id) for contact_id in contact_ids],
    )
    return db.total_changes - before


def remove(db: sqlite3.Connection, client_id: int, contact_ids: Iterable[int], tag: str) -> int:
    before = db.total_changes
    db.executemany(
        "DELETE FROM contact_tags WHERE client_id = ? AND tag = ? AND contact_id = ?",
        [(client_id, normal(tag), contact_id) for contact_id in contact_ids],
    )
    return db.total_changes - before


def of_contact(db: sqlite3.Connection, contact_id: int) -> list[str]:
    rows = db.execute("SELECT tag FROM contact_tags WHERE contact_id = ? ORDER BY tag", (contact_id,))
    return [row["tag"] for row in rows]


def of_client(db: sqlite3.Connection, client_id: int) -> list[tuple[str, int]]:
    """Every tag in use, with how many contacts have it."""
    rows = db.execute("SELECT tag, COUNT(*) AS count FROM contact_tags WHERE client_id = ? GROUP BY tag ORDER BY tag", (client_id,))
    return [(row["tag"], row["count"]) for row in rows]
