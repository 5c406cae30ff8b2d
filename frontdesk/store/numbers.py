"""Numbers: the channels a client is reached through, with encrypted tokens. A stopped number sends nothing until resumed."""

import sqlite3
from dataclasses import dataclass

from frontdesk.channels import Sender
from frontdesk.settings import Settings
from frontdesk.store import secrets

BY_HAND = "stopped by hand"  # a reason to stop that has no code
TOLD_EVERY_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Number:
    id: int
    client_id: int
    channel: str
    external_id: str
    account_id: str | None
    display_phone: str | None
    base_url: str | None
    access_token_encrypted: str
    messages_per_second: float
    stopped_at: float | None
    stopped_code: int | None
    stopped_reason: str | None
    created_at: float
    webhook_key: str | None
    told_at: float | None


def get(db: sqlite3.Connection, number_id: int) -> Number:
    return Number(*db.execute("SELECT * FROM numbers WHERE id = ?", (number_id,)).fetchone())


def known(db: sqlite3.Connection, number_id: int) -> bool:
    return db.execute("SELECT 1 FROM numbers WHERE id = ?", (number_id,)).fetchone() is not None


def find(db: sqlite3.Connection, channel: str, external_id: str) -> Number | None:
    row = db.execute("SELECT * FROM numbers WHERE channel = ? AND external_id = ?", (channel, external_id)).fetchone()
    return Number(*row) if row else None


def named(db: sqlite3.Connection, external_id: str) -> Number | None:
    """Whatever its channel: for people, who type the id alone."""
    row = db.execute("SELECT * FROM numbers WHERE external_id = ? ORDER BY id LIMIT 1", (external_id,)).fetchone()
    return Number(*row) if row else None


def at_address(db: sqlite3.Connection, channel: str, number_id: int, webhook_key: str) -> Number | None:
    row = db.execute(
        "SELECT * FROM numbers WHERE id = ? AND channel = ? AND webhook_key = ?", (number_id, channel, webhook_key)
    ).fetchone()
    return Number(*row) if row else None


def move(db: sqlite3.Connection, number_id: int, webhook_key: str) -> None:
    """Its webhooks come to a new address from now on; what comes to the old one is refused."""
    db.execute("UPDATE numbers SET webhook_key = ? WHERE id = ?", (webhook_key, number_id))


def tells(db: sqlite3.Connection, number_id: int, now: float) -> None:
    """A webhook told what became of a message we sent; noted once an hour."""
    db.execute(
        "UPDATE numbers SET told_at = ? WHERE id = ? AND COALESCE(told_at, 0) < ?", (now, number_id, now - TOLD_EVERY_SECONDS)
    )


def all_of_them(db: sqlite3.Connection) -> list[Number]:
    """Of customers: not the canary's."""
    return [Number(*row) for row in db.execute("SELECT * FROM numbers WHERE channel <> 'canary' ORDER BY id")]


def of_channel(db: sqlite3.Connection, channel: str) -> list[Number]:
    return [Number(*row) for row in db.execute("SELECT * FROM numbers WHERE channel = ? ORDER BY id", (channel,))]


def put(
    db: sqlite3.Connection,
    settings: Settings,
    *,
    client_id: int,
    channel: str,
    external_id: str,
    access_token: str,
    now: float,
    account_id: str | None = None,
    display_phone: str | None = None,
    base_url: str | None = None,
    webhook_key: str | None = None,
) -> int:
    """Add the number, or give the one that is there its new token, account and address. Resumes it: the cause may be mended."""
    return db.execute(
        """
        INSERT INTO numbers (
            client_id, channel, external_id, account_id, display_phone, base_url, access_token_encrypted, created_at, webhook_key)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (channel, external_id) DO UPDATE SET
            client_id = excluded.client_id,
            account_id = COALESCE(excluded.account_id, account_id),
            display_phone = COALESCE(excluded.display_phone, display_phone),
            base_url = excluded.base_url,
            access_token_encrypted = excluded.access_token_encrypted,
            webhook_key = COALESCE(webhook_key, excluded.webhook_key),
            stopped_at = NULL, stopped_code = NULL, stopped_reason = NULL
        RETURNING id
        """,
        (
            client_id,
            channel,
            external_id,
            account_id,
            display_phone,
            base_url,
            secrets.encrypt(settings, access_token),
            now,
            webhook_key,
        ),
    ).fetchone()["id"]


def of_client(db: sqlite3.Connection, client_id: int) -> list[Number]:
    return [Number(*row) for row in db.execute("SELECT * FROM numbers WHERE client_id = ? ORDER BY id", (client_id,))]


def change(
    db: sqlite3.Connection, number_id: int, *, client_id: int, account_id: str | None, display_phone: str | None, messages_per_second: float
) -> None:
    db.execute(
        "UPDATE numbers SET client_id = ?, account_id = ?, display_phone = ?, messages_per_second = ? WHERE id = ?",
        (client_id, account_id, display_phone, messages_per_second, number_id),
    )


def relocate(db: sqlite3.Connection, number_id: int, *, external_id: str, base_url: str) -> None:
    """The same number, found elsewhere at its provider."""
    db.execute("UPDATE numbers SET external_id = ?, base_url = ? WHERE id = ?", (external_id, base_url, number_id))


def set_token(db: sqlite3.Connection, settings: Settings, number_id: int, access_token: str) -> None:
    db.execute(
        "UPDATE numbers SET access_token_encrypted = ? WHERE id = ?", (secrets.encrypt(settings, access_token), number_id)
    )


def waiting(db: sqlite3.Connection, number_id: int) -> int:
    """Messages that wait to be sent."""
    return db.execute(
        """
        SELECT COUNT(*) FROM messages WHERE number_id = ? AND state IN ('queued', 'sending', 'unknown')
        """,
        (number_id,),
    ).fetchone()[0]


def sender(number: Number, settings: Settings) -> Sender:
    """What a channel needs for a call. Raises secrets.CannotDecrypt."""
    return Sender(
        number_external_id=number.external_id,
        access_token=secrets.decrypt(settings, number.access_token_encrypted),
        base_url=number.base_url or settings.graph_url,
        version=settings.graph_version,
        account_id=number.account_id,
    )


def stop(db: sqlite3.Connection, number_id: int, reason: str, code: int | None, now: float) -> bool:
    """True if this call is the one that stopped it."""
    return (
        db.execute(
            "UPDATE numbers SET stopped_at = ?, stopped_code = ?, stopped_reason = ? WHERE id = ? AND stopped_at IS NULL",
            (now, code, reason, number_id),
        ).rowcount
        == 1
    )


def resume(db: sqlite3.Connection, number_id: int) -> bool:
    """True if it was stopped. The sweep rings for what waited."""
    return (
        db.execute(
            """
            UPDATE numbers SET stopped_at = NULL, stopped_code = NULL, stopped_reason = NULL
            WHERE id = ? AND stopped_at IS NOT NULL
            """,
            (number_id,),
        ).rowcount
        == 1
    )
