"""What needs a person: seen, told, not seen any more, over. One row from the first to the last; each step is taken once, whoever asks."""

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alert:
    """`since`: first seen. `told_at` None: not for long enough yet. `quiet_since`: not seen any more. `over_at`: all clear, told."""

    id: int
    condition: str
    words: str
    href: str | None
    since: float
    told_at: float | None
    quiet_since: float | None
    over_at: float | None


_COLUMNS = ", ".join(Alert.__slots__)


def open_ones(db: sqlite3.Connection) -> list[Alert]:
    """Those that are not over, told or not."""
    return [Alert(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM alerts WHERE over_at IS NULL ORDER BY id")]


def told(db: sqlite3.Connection) -> list[Alert]:
    return [alert for alert in open_ones(db) if alert.told_at is not None]


def begin(db: sqlite3.Connection, condition: str, words: str, href: str | None, now: float) -> Alert:
    db.execute("INSERT INTO alerts (condition, words, href, since) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", (condition, words, href, now))
    return Alert(*db.execute(f"SELECT {_COLUMNS} FROM alerts WHERE condition = ? AND over_at IS NULL", (condition,)).fetchone())


def seen(db: sqlite3.Connection, alert: Alert, words: str) -> None:
    """Still, or again before it was over."""
    if alert.quiet_since is not None or alert.words != words:
        db.execute("UPDATE alerts SET quiet_since = NULL, words = ? WHERE id = ? AND over_at IS NULL", (words, alert.id))


def tell(db: sqlite3.Connection, alert: Alert, now: float) -> bool:
    """False: it was told."""
    return db.execute("UPDATE alerts SET told_at = ? WHERE id = ? AND told_at IS NULL", (now, alert.id)).rowcount == 1


def quiet(db: sqlite3.Connection, alert: Alert, now: float) -> None:
    db.execute("UPDATE alerts SET quiet_since = ? WHERE id = ? AND quiet_since IS NULL", (now, alert.id))


def drop(db: sqlite3.Connection, alert: Alert) -> None:
    """It went before anybody was told."""
    db.execute("DELETE FROM alerts WHERE id = ? AND told_at IS NULL", (alert.id,))


def end(db: sqlite3.Connection, alert: Alert, now: float) -> bool:
    """False: it is over already, or was seen again."""
    changed = db.execute(
        "UPDATE alerts SET over_at = ? WHERE id = ? AND told_at IS NOT NULL AND quiet_since = ? AND over_at IS NULL",
        (now, alert.id, alert.quiet_since),
    )
    return changed.rowcount == 1


def over_since(db: sqlite3.Connection, condition: str, since: float) -> int:
    """How often the same was over since then."""
    return db.execute("SELECT COUNT(*) FROM alerts WHERE condition = ? AND over_at >= ?", (condition, since)).fetchone()[0]


def clean(db: sqlite3.Connection, before: float) -> None:
    db.execute("DELETE FROM alerts WHERE over_at < ?", (before,))
