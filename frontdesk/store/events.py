"""Webhook parts that are no message: what could not be understood, and what speaks of the account. Each kept once, whole."""

import hashlib
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
    """`event_key` names the webhook and the part of it; `raw` is anything JSON can hold.

    Taken in again in vain it is open again, unless the same was dismissed.
    """
    db.execute(
        """
        INSERT INTO rejected_events (event_key, channel, reason, body, received_at, webhook) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (event_key) DO UPDATE SET reason = excluded.reason, body = excluded.body, webhook = excluded.webhook,
            replayed_at = NULL, dismissed_at = CASE WHEN body = excluded.body THEN dismissed_at END
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


def get_rejected(db: sqlite3.Connection, event_id: int, open_only: bool = False) -> RejectedEvent | None:
    """Settled or not, unless `open_only`."""
    row = db.execute(
        f"""
        SELECT id, event_key, channel, reason, body, webhook, received_at FROM rejected_events
        WHERE id = ? AND (({_OPEN}) OR NOT ?)
        """,
        (event_id, open_only),
    ).fetchone()
    return RejectedEvent(*row) if row else None


def count_rejected(db: sqlite3.Connection) -> int:
    return db.execute(f"SELECT COUNT(*) FROM rejected_events WHERE {_OPEN}").fetchone()[0]


def taken_in_again(db: sqlite3.Connection, webhook_key: str, now: float) -> None:
    """Every open part of a webhook is settled, before its drain rejects what is still not understood. In that transaction."""
    db.execute(
        f"UPDATE rejected_events SET replayed_at = ? WHERE event_key >= ? || ':' AND event_key < ? || ';' AND {_OPEN}",
        (now, webhook_key, webhook_key),
    )


def dismiss_rejected(db: sqlite3.Connection, event_id: int, now: float) -> None:
    db.execute(f"UPDATE rejected_events SET dismissed_at = ? WHERE id = ? AND {_OPEN}", (now, event_id))


def keep_account_event(db: sqlite3.Connection, webhook_key: str, number_id: int | None, event: AccountEvent, now: float) -> None:
    """Once for a webhook, whichever part of it this is: that can change when it is taken in again."""
    raw = json.dumps(event.raw)
    content = hashlib.sha256(json.dumps([event.field, event.account_id, raw]).encode()).hexdigest()[:32]
    db.execute(
        """
        INSERT INTO account_events (event_key, number_id, account_id, field, raw, received_at) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT DO NOTHING
        """,
        (f"{webhook_key}:{content}", number_id, event.account_id, event.field, raw, now),
    )
