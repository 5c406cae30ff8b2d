"""Webhook parts that are no message: what could not be understood, and what speaks of the account. Each kept once, whole."""

import json
import sqlite3
from typing import Any

from frontdesk.channels import AccountEvent


def reject(db: sqlite3.Connection, event_key: str, channel: str, reason: str, raw: Any, now: float) -> None:
    """`event_key` names the webhook and the part of it; `raw` is anything JSON can hold."""
    db.execute(
        """
        INSERT INTO rejected_events (event_key, channel, reason, body, received_at) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT DO NOTHING
        """,
        (event_key, channel, reason, json.dumps(raw), now),
    )


def keep_account_event(db: sqlite3.Connection, event_key: str, number_id: int | None, event: AccountEvent, now: float) -> None:
    db.execute(
        """
        INSERT INTO account_events (event_key, number_id, account_id, field, raw, received_at) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT DO NOTHING
        """,
        (event_key, number_id, event.account_id, event.field, json.dumps(event.raw), now),
    )
