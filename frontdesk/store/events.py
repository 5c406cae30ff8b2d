"""Webhook parts that are no message: what could not be understood, and what speaks of the account. Each kept once, whole."""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from frontdesk.channels import AccountEvent


@dataclass(frozen=True, slots=True)
class RejectedEvent:
    """`body` is the part that was not understood, as JSON; `webhook` the exact bytes it came in."""

    id: int
    event_key: str
    channel: str
    reason: str
    body: str
    webhook: bytes | None
    received_at: float

    @property
    def webhook_key(self) -> str:
        return self.event_key.rpartition(":")[0]


_OPEN = "replayed_at IS NULL AND dismissed_at IS NULL"


def reject(
    db: sqlite3.Connection, event_key: str, channel: str, reason: str, raw: Any, now: float, webhook: bytes | None = None
) -> None:
    """`event_key` names the webhook and the part of it; `raw` is anything JSON can hold."""
    db.execute(
        """
        INSERT INTO rejected_events (event_key, channel, reason, body, received_at, webhook) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT DO NOTHING
        """,
        (event_key, channel, reason, json.dumps(raw), now, webhook),
    )


def rejected(db: sqlite3.Connection, before: int | None = None, limit: int = 30) -> list[RejectedEvent]:
    """Those that nobody has settled, newest first."""
    rows = db.execute(
        f"""
        SELECT id, event_key, channel, reason, body, webhook, received_at FROM rejected_events
        WHERE {_OPEN} AND id < COALESCE(?, 9e18) ORDER BY id DESC LIMIT ?
        """,
        (before, limit),
    )
    return [RejectedEvent(*row) for row in rows]


def get_rejected(db: sqlite3.Connection, event_id: int) -> RejectedEvent | None:
    """Settled or not."""
    row = db.execute(
        "SELECT id, event_key, channel, reason, body, webhook, received_at FROM rejected_events WHERE id = ?", (event_id,)
    ).fetchone()
    return RejectedEvent(*row) if row else None


def count_rejected(db: sqlite3.Connection) -> int:
    return db.execute(f"SELECT COUNT(*) FROM rejected_events WHERE {_OPEN}").fetchone()[0]


def take_rejected(db: sqlite3.Connection, event_id: int, now: float) -> RejectedEvent | None:
    """For whoever replays it: None for everybody but the first."""
    row = db.execute(
        f"""
        UPDATE rejected_events SET replayed_at = ? WHERE id = ? AND {_OPEN} AND webhook IS NOT NULL
        RETURNING id, event_key, channel, reason, body, webhook, received_at
        """,
        (now, event_id),
    ).fetchone()
    return RejectedEvent(*row) if row else None


def take_siblings(db: sqlite3.Connection, event: RejectedEvent, now: float) -> None:
    """The other open parts of the same webhook: a replay brings them again, or not."""
    db.execute(
        f"UPDATE rejected_events SET replayed_at = ? WHERE event_key >= ? || ':' AND event_key < ? || ';' AND {_OPEN}",
        (now, event.webhook_key, event.webhook_key),
    )


def give_back_rejected(db: sqlite3.Connection, event: RejectedEvent, taken_at: float) -> None:
    """What `take_rejected` and `take_siblings` took at this moment is open again."""
    db.execute(
        """
        UPDATE rejected_events SET replayed_at = NULL
        WHERE event_key >= ? || ':' AND event_key < ? || ';' AND replayed_at = ? AND dismissed_at IS NULL
        """,
        (event.webhook_key, event.webhook_key, taken_at),
    )


def dismiss_rejected(db: sqlite3.Connection, event_id: int, now: float) -> None:
    db.execute(f"UPDATE rejected_events SET dismissed_at = ? WHERE id = ? AND {_OPEN}", (now, event_id))


def keep_account_event(db: sqlite3.Connection, event_key: str, number_id: int | None, event: AccountEvent, now: float) -> None:
    db.execute(
        """
        INSERT INTO account_events (event_key, number_id, account_id, field, raw, received_at) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT DO NOTHING
        """,
        (event_key, number_id, event.account_id, event.field, json.dumps(event.raw), now),
    )
