"""Broadcasts: one template to every member of an audience. Each recipient is a row of `messages` with the broadcast's id.

`position` is the last member that became a message (or was skipped): it moves in the transaction that writes those.
"""

import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from frontdesk.store.counters import MOST_COUNTED
from frontdesk.store.outbox import COLUMNS, RANK, Outbound

STATES = ("draft", "scheduled", "running", "paused", "done", "cancelled")
OPEN_STATES = ("queued", "sending", "unknown")
BATCH = 1_000  # recipients read at a time
OPT_OUT_SECONDS = 30 * 86400  # who wants no more offers later than that does not say so of this one


@dataclass(frozen=True, slots=True)
class Broadcast:
    """`content`: {"name", "language", "variables": {slot: {"column"} | {"text"}}}. Times in UTC epoch seconds.

    `quiet_from`, `quiet_until`: minutes of the recipient's day between which nothing goes out. `most_waiting`: it holds while more
    conversations than that wait. `pause_code`: one word for why it stands still. `guard_…`: what the error rate is counted from.
    """

    id: int
    public_id: str
    client_id: int
    number_id: int
    audience_id: int
    name: str
    content: dict[str, Any]
    media_id: int | None
    state: str
    pause_code: str | None
    pause_words: str | None
    starts_at: float | None
    messages_per_second: float | None
    spread_seconds: float | None
    quiet_from: int | None
    quiet_until: int | None
    most_waiting: int | None
    error_limit: float
    position: int
    total: int
    guard_failed: int
    guard_out: int
    callback_url: str | None
    created_by: int | None
    created_at: float
    started_at: float | None
    resumed_at: float | None
    finished_at: float | None


_COLUMNS = ", ".join(Broadcast.__slots__)


def _broadcast(row: sqlite3.Row | None) -> Broadcast | None:
    return Broadcast(**{**dict(row), "content": json.loads(row["content"])}) if row else None


def add(db: sqlite3.Connection, now: float, **columns: Any) -> int:
    """`columns`: those of Broadcast that its maker chooses."""
    values = {**columns, "content": json.dumps(columns["content"]), "public_id": uuid.uuid4().hex, "created_at": now}
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    return db.execute(f"INSERT INTO broadcasts ({names}) VALUES ({marks})", values).lastrowid


def change(db: sqlite3.Connection, broadcast_id: int, **columns: Any) -> bool:
    """`columns` as in add(). False where it has begun."""
    values = {**columns, "content": json.dumps(columns["content"])}
    marks = ", ".join(f"{name} = :{name}" for name in values)
    changed = db.execute(f"UPDATE broadcasts SET {marks} WHERE id = :id AND state IN ('draft', 'scheduled')", {**values, "id": broadcast_id})
    return changed.rowcount == 1


def get(db: sqlite3.Connection, broadcast_id: int) -> Broadcast | None:
    return _broadcast(db.execute(f"SELECT {_COLUMNS} FROM broadcasts WHERE id = ?", (broadcast_id,)).fetchone())


def find(db: sqlite3.Connection, public_id: str, *, client_id: int | None) -> Broadcast | None:
    row = db.execute(
        f"SELECT {_COLUMNS} FROM broadcasts WHERE public_id = :public_id AND (:client_id IS NULL OR client_id = :client_id)",
        {"public_id": public_id, "client_id": client_id},
    )
    return _broadcast(row.fetchone())


def newest(db: sqlite3.Connection, *, client_id: int | None = None, before: int | None = None, limit: int = 50) -> list[Broadcast]:
    rows = db.execute(
        f"""
        SELECT {_COLUMNS} FROM broadcasts
        WHERE id < COALESCE(:before, 9e18) AND (:client_id IS NULL OR client_id = :client_id) ORDER BY id DESC LIMIT :limit
        """,
        {"client_id": client_id, "before": before, "limit": limit},
    )
    return [_broadcast(row) for row in rows]


def page(db: sqlite3.Connection, *, client_id: int | None, after: int, limit: int) -> list[Broadcast]:
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM broadcasts WHERE id > :after AND (:client_id IS NULL OR client_id = :client_id) ORDER BY id LIMIT :limit",
        {"client_id": client_id, "after": after, "limit": limit},
    )
    return [_broadcast(row) for row in rows]


def running(db: sqlite3.Connection) -> list[Broadcast]:
    return [_broadcast(row) for row in db.execute(f"SELECT {_COLUMNS} FROM broadcasts WHERE state = 'running' ORDER BY id")]


def paused_by_themselves(db: sqlite3.Connection) -> list[Broadcast]:
    rows = db.execute(f"SELECT {_COLUMNS} FROM broadcasts WHERE state = 'paused' AND pause_code <> 'person' ORDER BY id DESC LIMIT 3")
    return [_broadcast(row) for row in rows]


def done_since(db: sqlite3.Connection, since: float) -> list[Broadcast]:
    rows = db.execute(f"SELECT {_COLUMNS} FROM broadcasts WHERE state = 'done' AND finished_at >= ? ORDER BY id DESC LIMIT 3", (since,))
    return [_broadcast(row) for row in rows]


def to_start(db: sqlite3.Connection, now: float) -> list[int]:
    return [row["id"] for row in db.execute("SELECT id FROM broadcasts WHERE state = 'scheduled' AND starts_at <= ?", (now,))]


def turn(db: sqlite3.Connection, broadcast_id: int, state: str, come_from: Iterable[str], **columns: Any) -> bool:
    """To this state, if it is in one of those; with these other columns set. True for whoever turned it."""
    marks = "".join(f", {name} = :{name}" for name in columns)
    states = ", ".join(f"'{one}'" for one in come_from if one in STATES)
    changed = db.execute(
        f"UPDATE broadcasts SET state = :state{marks} WHERE id = :id AND state IN ({states})", {"id": broadcast_id, "state": state, **columns}
    )
    return changed.rowcount == 1


# --- recipients ---------------------------------------------------------------------------------------------------------------------


def move(db: sqlite3.Connection, broadcast_id: int, come_from: int, to: int) -> bool:
    """The members after `come_from` up to `to` are taken. False where somebody else took them, or it does not run any more."""
    changed = db.execute(
        "UPDATE broadcasts SET position = ? WHERE id = ? AND position = ? AND state = 'running'", (to, broadcast_id, come_from)
    )
    return changed.rowcount == 1


def skip(db: sqlite3.Connection, broadcast_id: int, position: int, phone: str, cause: str) -> None:
    db.execute(
        "INSERT INTO broadcast_skips (broadcast_id, position, phone, cause) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (broadcast_id, position, phone, cause),
    )


def ready(db: sqlite3.Connection, broadcast_id: int, now: float, most: int) -> int:
    """How many of its messages could go now, counted up to `most`."""
    return db.execute(
        """
        SELECT COUNT(*) FROM (
            SELECT 1 FROM messages WHERE broadcast_id = ? AND state = 'queued' AND due_at <= ? LIMIT ?)
        """,
        (broadcast_id, now, most),
    ).fetchone()[0]


def ready_by_zone(db: sqlite3.Connection, broadcast: Broadcast, now: float) -> dict[str, list[int]]:
    """The recipients' time zones, and the messages that could go to each now. '' where none is known."""
    found: dict[str, list[int]] = {}
    for message_id, zone in db.execute(
        """
        SELECT messages.id, (
            SELECT time_zone FROM conversations CROSS JOIN contact_aliases USING (contact_id) CROSS JOIN audience_members ON phone = value
            WHERE conversations.id = conversation_id AND kind = 'phone' AND audience_id = ? LIMIT 1)
        FROM messages WHERE broadcast_id = ? AND state = 'queued' AND due_at <= ?
        """,
        (broadcast.audience_id, broadcast.id, now),
    ):
        found.setdefault(zone or "", []).append(message_id)
    return found


def postpone(db: sqlite3.Connection, broadcast_id: int, message_ids: list[int], due_at: float) -> None:
    db.execute(
        "UPDATE messages SET due_at = ? WHERE broadcast_id = ? AND state = 'queued' AND id IN (SELECT value FROM json_each(?))",
        (due_at, broadcast_id, json.dumps(message_ids)),
    )


def claim(db: sqlite3.Connection, broadcast_id: int, owner: str, now: float, lease_seconds: float, most: int) -> list[Outbound]:
    """queued → sending, one attempt more, for up to `most` that are due and of a broadcast that runs; in their order."""
    rows = db.execute(
        f"""
        UPDATE messages SET state = 'sending', attempt = attempt + 1, lease_owner = ?, lease_expires_at = ?
        WHERE id IN (
                SELECT id FROM messages WHERE broadcast_id = ? AND state = 'queued' AND due_at <= ? ORDER BY due_at, id LIMIT ?)
            AND EXISTS (SELECT 1 FROM broadcasts WHERE broadcasts.id = broadcast_id AND broadcasts.state = 'running')
        RETURNING {COLUMNS}
        """,
        (owner, now + lease_seconds, broadcast_id, now, most),
    ).fetchall()
    return sorted((Outbound(*row) for row in rows), key=lambda message: message.id)


def withdraw(db: sqlite3.Connection, broadcast_id: int) -> int:
    """What has not gone out does not."""
    return db.execute(
        "UPDATE messages SET state = 'withdrawn', due_at = NULL WHERE broadcast_id = ? AND state = 'queued'", (broadcast_id,)
    ).rowcount


def is_finished(db: sqlite3.Connection, broadcast: Broadcast) -> bool:
    if broadcast.position < broadcast.total:
        return False
    states = ", ".join(f"'{state}'" for state in OPEN_STATES)
    left = db.execute(f"SELECT 1 FROM messages WHERE broadcast_id = ? AND state IN ({states}) LIMIT 1", (broadcast.id,))
    return left.fetchone() is None


# --- what became of them --------------------------------------------------------------------------------------------------------------


def tally(db: sqlite3.Connection, broadcast_id: int) -> dict[str, int]:
    """Messages by state, those included that are gone since."""
    rows = db.execute(
        """
        SELECT state, SUM(count) AS count FROM (
            SELECT state, count FROM broadcast_counts WHERE broadcast_id = ?1
            UNION ALL SELECT state, count FROM broadcast_gone WHERE broadcast_id = ?1) GROUP BY state HAVING SUM(count) > 0
        """,
        (broadcast_id,),
    )
    return {row["state"]: row["count"] for row in rows}


def skips(db: sqlite3.Connection, broadcast_id: int) -> dict[str, int]:
    rows = db.execute("SELECT cause, COUNT(*) AS count FROM broadcast_skips WHERE broadcast_id = ? GROUP BY cause", (broadcast_id,))
    return {row["cause"]: row["count"] for row in rows}


def failures(db: sqlite3.Connection, broadcast_id: int) -> list[sqlite3.Row]:
    """error_code, error_title (of the newest), count; the most frequent first."""
    return db.execute(
        """
        SELECT error_code, (SELECT error_title FROM messages WHERE id = newest) AS error_title, count FROM (
            SELECT error_code, MAX(id) AS newest, COUNT(*) AS count FROM messages
            WHERE broadcast_id = ? AND state = 'failed' GROUP BY error_code) ORDER BY count DESC
        """,
        (broadcast_id,),
    ).fetchall()


def answered(db: sqlite3.Connection, broadcast_id: int) -> int:
    return db.execute(
        """
        SELECT (SELECT COUNT(*) FROM messages WHERE broadcast_id = ?1 AND replied_at IS NOT NULL)
            + COALESCE((SELECT SUM(answered) FROM broadcast_gone WHERE broadcast_id = ?1), 0)
        """,
        (broadcast_id,),
    ).fetchone()[0]


def opted_out(db: sqlite3.Connection, broadcast_id: int) -> int:
    """Recipients who wanted no marketing within OPT_OUT_SECONDS of it. From their side: they are fewer than all recipients."""
    first, last = _ends(db, broadcast_id)
    if first is None:
        return 0
    return db.execute(
        """
        SELECT COUNT(DISTINCT messages.id) FROM opt_outs
        CROSS JOIN conversations ON conversations.contact_id = opt_outs.contact_id
        CROSS JOIN messages ON messages.conversation_id = conversations.id AND messages.id BETWEEN ?2 AND ?3
        WHERE +broadcast_id = ?1 AND stopped_at BETWEEN messages.created_at AND messages.created_at + ?4
            AND stopped_at BETWEEN (SELECT created_at FROM messages WHERE id = ?2) AND (SELECT created_at FROM messages WHERE id = ?3) + ?4
            AND (opt_outs.number_id IS NULL OR opt_outs.number_id = messages.number_id)
        """,
        (broadcast_id, first, last, OPT_OUT_SECONDS),
    ).fetchone()[0]


def _ends(db: sqlite3.Connection, broadcast_id: int) -> tuple[int, int] | tuple[None, None]:
    """Its first and its last message's id."""
    return db.execute(
        "SELECT (SELECT MIN(id) FROM messages WHERE broadcast_id = ?1), (SELECT MAX(id) FROM messages WHERE broadcast_id = ?1)", (broadcast_id,)
    ).fetchone()


_RECIPIENT = """messages.id, conversation_id, public_id, messages.state, contacts.phone, contacts.name, sent_at, delivered_at, read_at,
    failed_at, replied_at, error_code, error_title, attempt, due_at"""


def recipients(
    db: sqlite3.Connection,
    broadcast_id: int,
    *,
    state: str | None = None,
    answered: bool = False,
    phone: str | None = None,
    after: int = 0,
    limit: int = 50,
) -> list[sqlite3.Row]:
    """Those that became messages, by message id. `phone`: digits that stand in theirs. `answered`: only who wrote after it."""
    conditions = ["broadcast_id = :broadcast_id", "messages.id > :after"]
    if state:  # what is over is due no more, and so comes by id from the index
        conditions += ["messages.state = :state", *([] if state in OPEN_STATES else ["due_at IS NULL"])]
    conditions += ["replied_at IS NOT NULL"] if answered else []
    conversations = _with_phone(db, broadcast_id, phone) if phone else None
    if conversations is not None:
        conditions[0] = "+broadcast_id = :broadcast_id"
        conditions += ["conversation_id IN (SELECT value FROM json_each(:conversations))", "messages.id BETWEEN :first AND :last"]
    conditions += ["contacts.phone LIKE '%' || :phone || '%'"] if phone else []
    first, last = _ends(db, broadcast_id) if conversations is not None else (0, 0)
    return db.execute(
        f"""
        SELECT {_RECIPIENT}
        FROM messages CROSS JOIN conversations ON conversations.id = conversation_id CROSS JOIN contacts ON contacts.id = contact_id
        WHERE {" AND ".join(conditions)} ORDER BY messages.id LIMIT :limit
        """,
        {
            "broadcast_id": broadcast_id, "state": state, "phone": phone, "after": after, "limit": limit, "first": first, "last": last,
            "conversations": json.dumps(conversations),
        },
    ).fetchall()  # fmt: skip


def _with_phone(db: sqlite3.Connection, broadcast_id: int, phone: str) -> list[int] | None:
    """Its number's conversations with who has such a phone. None: they are so many that some are soon met among the recipients."""
    rows = db.execute(
        """
        SELECT conversations.id FROM broadcasts
        CROSS JOIN contact_aliases ON contact_aliases.client_id = broadcasts.client_id AND kind = 'phone' AND value LIKE '%' || ? || '%'
        CROSS JOIN conversations ON conversations.number_id = broadcasts.number_id AND conversations.contact_id = contact_aliases.contact_id
        WHERE broadcasts.id = ? LIMIT ?
        """,
        (phone, broadcast_id, MOST_COUNTED + 1),
    ).fetchall()
    return None if len(rows) > MOST_COUNTED else [row["id"] for row in rows]


def all_recipients(db: sqlite3.Connection, broadcast_id: int) -> Iterator[sqlite3.Row]:
    """In pages, so that no transaction stays open while they are downloaded. Its messages lie close together: they are read by id."""
    first, end = _ends(db, broadcast_id)
    last = first - 1 if first is not None else None
    while last is not None and last < end:
        found = db.execute(
            f"""
            SELECT {_RECIPIENT}
            FROM messages JOIN conversations ON conversations.id = conversation_id JOIN contacts ON contacts.id = contact_id
            WHERE messages.id > ? AND messages.id <= ? AND +broadcast_id = ? ORDER BY messages.id LIMIT ?
            """,
            (last, end, broadcast_id, BATCH),
        ).fetchall()
        yield from found
        last = found[-1]["id"] if found else end


def skipped(db: sqlite3.Connection, broadcast_id: int, *, phone: str | None = None, after: int = 0, limit: int = 50) -> list[sqlite3.Row]:
    """position, phone, cause; `phone` as in recipients()."""
    return db.execute(
        """
        SELECT position, phone, cause FROM broadcast_skips
        WHERE broadcast_id = :broadcast_id AND position > :after AND (:phone IS NULL OR phone LIKE '%' || :phone || '%')
        ORDER BY position LIMIT :limit
        """,
        {"broadcast_id": broadcast_id, "phone": phone, "after": after, "limit": limit},
    ).fetchall()


def all_skipped(db: sqlite3.Connection, broadcast_id: int) -> Iterator[sqlite3.Row]:
    position = -1
    while found := skipped(db, broadcast_id, after=position, limit=BATCH):
        yield from found
        position = found[-1]["position"]


def out(counts: dict[str, int]) -> int:
    """Of a tally: how many the provider took."""
    return sum(count for state, count in counts.items() if RANK.get(state, 0) >= 2)
