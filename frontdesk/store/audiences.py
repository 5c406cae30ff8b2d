"""Audiences: lists of recipients, who reads them in, and how far that is. Their members are in audience_members.py.

Reading is a lease, renewed with every batch in the transaction that keeps the batch: whoever lost it keeps nothing.
"""

import json
import sqlite3
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

STATES = ("wanted", "reading", "ready", "failed")


@dataclass(frozen=True, slots=True)
class Audience:
    """`state`: wanted, reading, ready, failed (`problem` says why). Every one of `rows` is in one of the five counts after it.

    `total_rows`: known beforehand of contacts only. `names`: of the members' variables. `file`: relative to DATA_DIR.
    """

    id: int
    public_id: str
    client_id: int
    number_id: int | None
    name: str
    source: str
    state: str
    problem: str
    file: str | None
    region: str | None
    filter: str | None
    total_bytes: int
    read_bytes: int
    total_rows: int | None
    rows: int
    good: int
    bad: int
    duplicates: int
    opted_out: int
    unreachable: int
    variables: str
    remark: str
    checkpoint: str | None
    attempts: int
    lease_owner: str | None
    lease_expires_at: float | None
    created_by: int | None
    created_at: float
    finished_at: float | None

    @property
    def names(self) -> list[str]:
        return json.loads(self.variables)

    @property
    def is_over(self) -> bool:
        return self.state in ("ready", "failed")

    @property
    def done(self) -> float:
        """The share that is read, 0 to 1."""
        if self.is_over:
            return 1.0
        if self.total_rows is not None:
            return min(1.0, self.rows / self.total_rows) if self.total_rows else 0.0
        return min(1.0, self.read_bytes / self.total_bytes) if self.total_bytes else 0.0


@dataclass(slots=True)
class Step:
    """What one batch adds to the counts, and the place after it."""

    checkpoint: str
    read_bytes: int = 0
    rows: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("good", "bad", "duplicates", "opted_out", "unreachable"), 0))


def add(
    db: sqlite3.Connection,
    client_id: int,
    *,
    name: str,
    source: str,
    now: float,
    public_id: str | None = None,
    number_id: int | None = None,
    file: str | None = None,
    total_bytes: int = 0,
    region: str | None = None,
    filter: str | None = None,
    created_by: int | None = None,
) -> int:
    return db.execute(
        """
        INSERT INTO audiences (public_id, client_id, number_id, name, source, file, total_bytes, region, filter, created_by, created_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (public_id or uuid.uuid4().hex, client_id, number_id, name, source, file, total_bytes, region, filter, created_by, now),
    ).lastrowid


def get(db: sqlite3.Connection, audience_id: int) -> Audience | None:
    row = db.execute("SELECT * FROM audiences WHERE id = ?", (audience_id,)).fetchone()
    return Audience(**row) if row else None


def find(db: sqlite3.Connection, public_id: str, *, client_id: int | None = None) -> Audience | None:
    """`client_id` None: of any client."""
    row = db.execute(
        "SELECT * FROM audiences WHERE public_id = ?1 AND (?2 IS NULL OR client_id = ?2)", (public_id, client_id)
    ).fetchone()
    return Audience(**row) if row else None


def newest(db: sqlite3.Connection, *, client_id: int | None = None, before: int | None = None, limit: int = 50) -> list[Audience]:
    rows = db.execute(
        """
        SELECT * FROM audiences WHERE (?1 IS NULL OR client_id = ?1) AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3
        """,
        (client_id, before, limit),
    )
    return [Audience(**row) for row in rows]


def page(db: sqlite3.Connection, *, client_id: int | None, after: int, limit: int) -> list[Audience]:
    """Oldest first."""
    rows = db.execute(
        "SELECT * FROM audiences WHERE (?1 IS NULL OR client_id = ?1) AND id > ?2 ORDER BY id LIMIT ?3", (client_id, after, limit)
    )
    return [Audience(**row) for row in rows]


def delete(db: sqlite3.Connection, audience_id: int) -> bool:
    """The row alone; its members follow by `audience_members.forget`. Raises sqlite3.IntegrityError where something rests on it."""
    return db.execute("DELETE FROM audiences WHERE id = ?", (audience_id,)).rowcount == 1


def files(db: sqlite3.Connection) -> set[str]:
    """The files that are still to be read."""
    return {row["file"] for row in db.execute("SELECT file FROM audiences WHERE file IS NOT NULL")}


# --- reading ----------------------------------------------------------------------------------------------------------------------

# A lease further ahead than one can be was made before the clock was set back.
_IS_FREE = """(lease_owner IS NULL OR lease_expires_at <= :now OR lease_expires_at > :now + 2 * :lease_seconds)"""


def due(db: sqlite3.Connection, now: float, lease_seconds: float) -> list[int]:
    """Those that nobody reads, and somebody should."""
    rows = db.execute(
        f"SELECT id FROM audiences WHERE state IN ('wanted', 'reading') AND {_IS_FREE} ORDER BY id",
        {"now": now, "lease_seconds": lease_seconds},
    )
    return [row["id"] for row in rows]


def claim(db: sqlite3.Connection, audience_id: int, owner: str, now: float, lease_seconds: float) -> Audience | None:
    """`attempts`: claims since the last batch that was kept."""
    claimed = db.execute(
        f"""
        UPDATE audiences SET state = 'reading', lease_owner = :owner, lease_expires_at = :now + :lease_seconds, attempts = attempts + 1
        WHERE id = :id AND state IN ('wanted', 'reading') AND {_IS_FREE}
        """,
        {"id": audience_id, "owner": owner, "now": now, "lease_seconds": lease_seconds},
    ).rowcount
    return get(db, audience_id) if claimed else None


def release(db: sqlite3.Connection, audience_id: int, owner: str) -> bool:
    return _settle(db, audience_id, owner, "lease_owner = NULL, lease_expires_at = NULL", ())


def begin(
    db: sqlite3.Connection, audience_id: int, owner: str, *, checkpoint: str, names: Iterable[str], remark: str = "", total_rows: int | None = None
) -> bool:
    """What was found out before the first row."""
    values = (checkpoint, json.dumps(list(names), ensure_ascii=False), remark, total_rows)
    return _settle(db, audience_id, owner, "checkpoint = ?, variables = ?, remark = ?, total_rows = ?", values)


def advance(db: sqlite3.Connection, audience_id: int, owner: str, step: Step, expires_at: float) -> bool:
    """With the batch's rows in one transaction. False: the lease was lost, and nothing of the batch may be kept."""
    added = {"rows": step.rows, **step.counts}
    sums = ", ".join(f"{column} = {column} + ?" for column in added)
    return _settle(
        db,
        audience_id,
        owner,
        f"checkpoint = ?, read_bytes = ?, lease_expires_at = ?, attempts = 0, {sums}",
        (step.checkpoint, step.read_bytes, expires_at, *added.values()),
    )


def finish(db: sqlite3.Connection, audience_id: int, owner: str, now: float, problem: str = "") -> bool:
    """With a problem it failed. The file is no longer needed either way."""
    return _settle(
        db,
        audience_id,
        owner,
        "state = ?, problem = ?, file = NULL, read_bytes = CASE WHEN ?2 = '' THEN total_bytes ELSE read_bytes END,"
        " lease_owner = NULL, lease_expires_at = NULL, finished_at = ?3",
        ("failed" if problem else "ready", problem, now),
    )


def _settle(db: sqlite3.Connection, audience_id: int, owner: str, changes: str, values: tuple) -> bool:
    changed = db.execute(
        f"UPDATE audiences SET {changes} WHERE id = ? AND state = 'reading' AND lease_owner = ?", (*values, audience_id, owner)
    )
    return changed.rowcount == 1
