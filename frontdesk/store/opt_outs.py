"""Who wants no marketing: from one number, or (without a number) from every number of the client. Only they can take it back."""

import sqlite3

# Of a row with contact_id and number_id named by the caller: whether, and since when, nothing but answers may go out.
STOPPED_AT = """
    (SELECT MIN(stopped_at) FROM opt_outs WHERE opt_outs.contact_id = {contact} AND (opt_outs.number_id IS NULL OR opt_outs.number_id = {number}))
"""


def wants_none(db: sqlite3.Connection, contact_id: int, number_id: int) -> bool:
    query = "SELECT 1 FROM opt_outs WHERE contact_id = ? AND (number_id IS NULL OR number_id = ?)"
    return db.execute(query, (contact_id, number_id)).fetchone() is not None


def put(db: sqlite3.Connection, contact_id: int, number_id: int | None, now: float) -> None:
    """A first stop keeps its date. What a broadcast was just about to send is withdrawn too."""
    db.execute("INSERT INTO opt_outs (contact_id, number_id, stopped_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (contact_id, number_id, now))
    _withdraw_offers(db, contact_id)


def _withdraw_offers(db: sqlite3.Connection, contact_id: int) -> None:
    db.execute(
        """
        UPDATE messages SET state = 'withdrawn', due_at = NULL
        WHERE state = 'queued' AND purpose = 'broadcast' AND conversation_id IN (
            SELECT id FROM conversations WHERE contact_id = :contact AND EXISTS (
                SELECT 1 FROM opt_outs WHERE opt_outs.contact_id = :contact
                    AND (opt_outs.number_id IS NULL OR opt_outs.number_id = conversations.number_id)))
        """,
        {"contact": contact_id},
    )


def take_back(db: sqlite3.Connection, contact_id: int, number_id: int) -> None:
    """They said so at this number: it holds for this number, and what stopped every number is over."""
    db.execute("DELETE FROM opt_outs WHERE contact_id = ? AND (number_id IS NULL OR number_id = ?)", (contact_id, number_id))


def merge(db: sqlite3.Connection, keep: int, gone: int) -> None:
    """Two contacts are one person."""
    db.execute("UPDATE OR IGNORE opt_outs SET contact_id = ? WHERE contact_id = ?", (keep, gone))
    _withdraw_offers(db, keep)
