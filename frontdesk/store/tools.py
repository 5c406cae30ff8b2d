"""Which tools a client's model may call, and the lookups that its owner declared. A lookup's secret is encrypted here as it came."""

import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any

OPENING_HOURS, HAND_OVER, OFFER_CHOICES = BUILT_IN = ("opening_hours", "hand_over", "offer_choices")


@dataclass(frozen=True, slots=True)
class Lookup:
    """A GET of the business's own. `url` has {parameters} in its path and query; `secret` is encrypted, None without one."""

    id: int
    client_id: int
    name: str
    description: str
    url: str
    parameters: dict[str, Any]
    headers: dict[str, str]
    secret_header: str
    secret: str | None = field(repr=False)
    timeout_seconds: float
    hosts: list[str]
    is_on: bool
    changed_at: float


def switched_on(db: sqlite3.Connection, client_id: int) -> set[str]:
    return {row["name"] for row in db.execute("SELECT name FROM client_tools WHERE client_id = ?", (client_id,))}


def switch(db: sqlite3.Connection, client_id: int, names: set[str]) -> None:
    """Just these are on, of those that are built in. Inside a transaction."""
    db.execute("DELETE FROM client_tools WHERE client_id = ?", (client_id,))
    db.executemany("INSERT INTO client_tools (client_id, name) VALUES (?, ?)", [(client_id, name) for name in sorted(names)])


def lookups(db: sqlite3.Connection, client_id: int, *, only_on: bool = False) -> list[Lookup]:
    rows = db.execute("SELECT * FROM lookups WHERE client_id = ? AND is_on >= ? ORDER BY id", (client_id, int(only_on)))
    return [_lookup(row) for row in rows]


def get(db: sqlite3.Connection, lookup_id: int) -> Lookup | None:
    row = db.execute("SELECT * FROM lookups WHERE id = ?", (lookup_id,)).fetchone()
    return _lookup(row) if row else None


def _lookup(row: sqlite3.Row) -> Lookup:
    values = dict(row)
    for name in ("parameters", "headers", "hosts"):
        values[name] = json.loads(values[name])
    return Lookup(**{**values, "is_on": bool(values["is_on"])})


def put(db: sqlite3.Connection, lookup: Lookup) -> int:
    """`id` 0: a new one. Raises sqlite3.IntegrityError where the client has another of this name."""
    values = (
        lookup.client_id, lookup.name, lookup.description, lookup.url, json.dumps(lookup.parameters), json.dumps(lookup.headers),
        lookup.secret_header, lookup.secret, lookup.timeout_seconds, json.dumps(lookup.hosts), lookup.is_on, lookup.changed_at,
    )  # fmt: skip
    if lookup.id:
        db.execute(
            """
            UPDATE lookups SET client_id = ?, name = ?, description = ?, url = ?, parameters = ?, headers = ?, secret_header = ?, secret = ?,
                timeout_seconds = ?, hosts = ?, is_on = ?, changed_at = ? WHERE id = ?
            """,
            (*values, lookup.id),
        )
        return lookup.id
    return db.execute(
        """
        INSERT INTO lookups (client_id, name, description, url, parameters, headers, secret_header, secret, timeout_seconds, hosts, is_on, changed_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        values,
    ).lastrowid


def remove(db: sqlite3.Connection, lookup_id: int) -> None:
    db.execute("DELETE FROM lookups WHERE id = ?", (lookup_id,))
