"""The audit log: who did what, written in the transaction of the deed itself. No message's text and no secret is ever in it.

Who acts is set once, where a request, a command or a job comes in (`act_as`), so that the flows between need not pass it on.
Rows are never changed (triggers refuse), and go only when they are older than AUDIT_KEEP_DAYS.
"""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

BATCH = 1_000

# What is recorded, in the words of the page.
DEEDS = {
    "login": "logged in",
    "logout": "logged out",
    "sessions.ended": "ended log-ins",
    "password.changed": "changed a password",
    "user.invited": "invited somebody",
    "user.invitation_withdrawn": "withdrew an invitation",
    "user.added": "became a user",
    "user.password_link": "made a link for a new password",
    "user.role": "changed a user's role",
    "user.disabled": "disabled a user",
    "user.enabled": "enabled a user",
    "user.renamed": "changed a name",
    "client.added": "added a client",
    "client.changed": "changed a client",
    "client.prompt": "changed a client's prompt",
    "client.tools": "switched a client's tools",
    "lookup.saved": "saved a lookup",
    "lookup.removed": "removed a lookup",
    "number.added": "added a number",
    "number.changed": "changed a number",
    "number.stopped": "stopped a number",
    "number.resumed": "resumed a number",
    "token.made": "made an API token",
    "token.revoked": "revoked an API token",
    "callbacks.secret_seen": "looked at the secret of callbacks",
    "callbacks.secret_changed": "changed the secret of callbacks",
    "canned.saved": "saved a canned answer",
    "canned.removed": "removed a canned answer",
    "knowledge.added": "added knowledge",
    "knowledge.replaced": "replaced knowledge",
    "knowledge.switched": "switched knowledge on or off",
    "knowledge.read_again": "had knowledge read again",
    "knowledge.removed": "removed knowledge",
    "audience.added": "added an audience",
    "audience.deleted": "deleted an audience",
    "broadcast.made": "made a broadcast",
    "broadcast.changed": "changed a broadcast",
    "broadcast.tested": "tested a broadcast",
    "broadcast.started": "started a broadcast",
    "broadcast.paused": "paused a broadcast",
    "broadcast.resumed": "resumed a broadcast",
    "broadcast.cancelled": "cancelled a broadcast",
    "documents.given": "gave documents to work on",
    "documents.changed": "paused, resumed, cancelled or retried documents",
    "dead_letters.retried": "retried dead letters",
    "dead_letters.dismissed": "dismissed dead letters",
    "rejected.replayed": "had a rejected webhook taken in again",
    "rejected.dismissed": "dismissed a rejected webhook",
    "contact.exported": "exported a person's data",
    "contact.erased": "erased a person",
    "audit.exported": "exported the audit log",
    "retention.cleaned": "deleted what was past its time",
    "backup.made": "made a backup",
    "restored": "restored a backup",
}


KINDS = ("user", "token", "system", "command line")


@dataclass(frozen=True, slots=True)
class Actor:
    """`kind`: one of KINDS. `name`: as it was when they acted."""

    kind: str
    id: int | None
    name: str
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """`subject`: what it was done to, as 'user 3'; `details`: in a few words and numbers."""

    id: int
    at: float
    actor: str
    actor_id: int | None
    actor_name: str
    address: str | None
    deed: str
    subject: str | None
    details: dict[str, Any]


_COLUMNS = ", ".join(Entry.__slots__)

SYSTEM = Actor("system", None, "Frontdesk")
_acting: ContextVar[Actor] = ContextVar("acting", default=SYSTEM)


def act_as(actor: Actor) -> None:
    """From here on in this thread."""
    _acting.set(actor)


def record(db: sqlite3.Connection, deed: str, subject: str | None, now: float, *, by: Actor | None = None, **details: Any) -> None:
    """Inside the transaction of the deed. `by`: where that is somebody else than who acts."""
    if deed not in DEEDS or not db.in_transaction:
        raise ValueError(f"{deed}: a deed is one of DEEDS, and is recorded in its own transaction")
    actor = by or _acting.get()
    db.execute(
        f"INSERT INTO audit ({_COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)",
        (now, actor.kind, actor.id, actor.name, actor.address, deed, subject, json.dumps(details, ensure_ascii=False)),
    )


def newest(
    db: sqlite3.Connection,
    *,
    actor: str | None = None,
    deed: str | None = None,
    since: float | None = None,
    until: float | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Entry]:
    """Newest first. `actor`: 'user 3', 'token 1', 'command line' or 'system'; `deed`: one, or all that begin with 'user.'."""
    numbered = re.fullmatch(r"(.+) ([0-9]{1,18})", actor or "")
    kind, id_ = numbered.groups() if numbered else (actor or "", None)
    conditions = ["id < COALESCE(:before, 9e18) AND at >= COALESCE(:since, 0) AND at < COALESCE(:until, 9e18)"]
    conditions += ["actor = :kind"] if kind else []
    conditions += ["actor_id = :actor_id"] if id_ else []
    if deed:  # one finds its index
        conditions.append("substr(deed, 1, length(:deed)) = :deed" if deed.endswith(".") else "deed = :deed")
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM audit WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT :limit",
        {
            "before": before, "kind": kind, "actor_id": int(id_) if id_ else None, "deed": deed, "since": since, "until": until, "limit": limit,
        },
    )  # fmt: skip
    return [_entry(row) for row in rows]


def oldest_first(db: sqlite3.Connection, **which: Any) -> Iterator[Entry]:
    """All of them, as newest() finds them; in pages, so that no transaction stays open while they are written out."""
    ids = [entry.id for entry in _pages(db, which)]
    for start in range(len(ids), 0, -BATCH):
        part = ids[max(0, start - BATCH) : start]
        rows = db.execute(f"SELECT {_COLUMNS} FROM audit WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id", (json.dumps(part),))
        yield from [_entry(row) for row in rows]


def _pages(db: sqlite3.Connection, which: dict[str, Any]) -> Iterator[Entry]:
    before = None
    while found := newest(db, before=before, limit=BATCH, **which):
        yield from found
        before = found[-1].id


def actors(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """Everybody who is in it: ('user 3', their newest name). By steps through the index: the log is long, its actors are few."""
    found = []
    for kind in KINDS:
        ids, last = [None], -1
        while row := db.execute("SELECT actor_id FROM audit WHERE actor = ? AND actor_id > ? ORDER BY actor_id LIMIT 1", (kind, last)).fetchone():
            ids.append(last := row["actor_id"])
        newest = "SELECT actor_name FROM audit WHERE actor = ? AND actor_id IS ? ORDER BY id DESC LIMIT 1"
        names = [(kind if id_ is None else f"{kind} {id_}", row["actor_name"]) for id_ in ids if (row := db.execute(newest, (kind, id_)).fetchone())]
        found += sorted(names, key=lambda each: each[1])
    return found


def clean(db: sqlite3.Connection, before: float) -> int:
    """Inside a transaction."""
    db.execute("UPDATE audit_kept SET since = ?1 WHERE since < ?1", (before,))
    # the oldest have the lowest ids: where nothing is over, not the whole log is looked through
    ids = db.execute("SELECT id FROM (SELECT id, at FROM audit ORDER BY id LIMIT ?) WHERE at < ?", (BATCH, before)).fetchall()
    db.executemany("DELETE FROM audit WHERE id = ?", ids)
    return len(ids)


def carry_over(db: sqlite3.Connection, entries: list[Entry]) -> None:
    """What was recorded in a database that another takes the place of."""
    db.executemany(
        f"INSERT INTO audit ({_COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (one.at, one.actor, one.actor_id, one.actor_name, one.address, one.deed, one.subject, json.dumps(one.details, ensure_ascii=False))
            for one in entries
        ],
    )


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(**{**dict(row), "details": json.loads(row["details"])})
