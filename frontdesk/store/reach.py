"""How many people each account may begin a conversation with in 24 hours, as Meta last said. `inf`: as many as it likes."""

import sqlite3


def get(db: sqlite3.Connection, account_id: str | None) -> float | None:
    row = db.execute("SELECT people FROM reach WHERE account_id = ?", (account_id,)).fetchone()
    return row["people"] if row else None


def put(db: sqlite3.Connection, account_id: str, people: float, now: float) -> None:
    db.execute(
        """
        INSERT INTO reach (account_id, people, read_at) VALUES (?, ?, ?)
        ON CONFLICT (account_id) DO UPDATE SET people = excluded.people, read_at = excluded.read_at
        """,
        (account_id, people, now),
    )


def used(db: sqlite3.Connection, account_id: str | None, since: float) -> int:
    """People whom the account's broadcasts reached since then."""
    return db.execute(
        """
        SELECT COUNT(DISTINCT conversation_id) FROM messages
        WHERE sent_at >= :since AND broadcast_id IN (
            SELECT broadcasts.id FROM broadcasts JOIN numbers ON numbers.id = number_id
            WHERE account_id = :account_id AND started_at IS NOT NULL AND (finished_at IS NULL OR finished_at >= :since)
        )
        """,
        {"account_id": account_id, "since": since},
    ).fetchone()[0]
