"""The members of audiences, the lines that became none, and what is known of a phone number before it becomes one.

Members are kept in batches, in the transaction of `audiences.advance`. The engine that sends reads them by `after`.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

BATCH = 1_000  # rows written or deleted in one transaction


@dataclass(frozen=True, slots=True)
class Member:
    """`phone`: E.164 without its plus, as contacts have it. `contact_id`: where the client knew the person already."""

    position: int
    phone: str
    contact_id: int | None
    variables: dict[str, str]
    time_zone: str
    country: str

    @property
    def erased(self) -> bool:
        """A person who was erased (store/personal.py); only the place is left."""
        return not self.phone.isdigit()


@dataclass(frozen=True, slots=True)
class BadLine:
    """`cause`: bad, opted_out, unreachable."""

    line: int
    cause: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Known:
    """What a client knows of a phone number's owner."""

    contact_id: int
    opted_out: bool
    unreachable: bool


def add(db: sqlite3.Connection, audience_id: int, members: Iterable[Member]) -> None:
    db.executemany(
        """
        INSERT INTO audience_members (audience_id, position, phone, contact_id, variables, time_zone, country)
        VALUES (?, ?, ?, ?, CAST(? AS TEXT), ?, ?)
        """,
        [
            (audience_id, one.position, one.phone, one.contact_id, json.dumps(one.variables, ensure_ascii=False), one.time_zone, one.country)
            for one in members
        ],
    )


def add_bad_lines(db: sqlite3.Connection, audience_id: int, lines: Iterable[BadLine]) -> None:
    db.executemany(
        "INSERT INTO audience_bad_lines (audience_id, line, cause, reason, text) VALUES (?, ?, ?, ?, ?)",
        [(audience_id, one.line, one.cause, one.reason, one.text) for one in lines],
    )


def already_in(db: sqlite3.Connection, audience_id: int, phones: Iterable[str]) -> set[str]:
    rows = db.execute(
        "SELECT phone FROM audience_members WHERE audience_id = ? AND phone IN (SELECT value FROM json_each(?))",
        (audience_id, json.dumps(list(phones))),
    )
    return {row["phone"] for row in rows}


def known(
    db: sqlite3.Connection, client_id: int, phones: Iterable[str], *, unreachable_codes: tuple[int, ...], failed_since: float
) -> dict[str, Known]:
    """By phone, of those that are contacts of the client.

    Opted out: no number of the client may send them marketing; who stopped some of the numbers is left out when one of these sends.
    Unreachable: the newest thing that happened with the person is a message that failed for such a code, since `failed_since`.
    """
    rows = db.execute(
        """
        SELECT value AS phone, contact_id,
            EXISTS (SELECT 1 FROM opt_outs WHERE opt_outs.contact_id = contacts.id) AND NOT EXISTS (
                SELECT 1 FROM numbers WHERE numbers.client_id = :client_id AND NOT EXISTS (
                    SELECT 1 FROM opt_outs WHERE opt_outs.contact_id = contacts.id
                        AND (opt_outs.number_id IS NULL OR opt_outs.number_id = numbers.id)
                )
            ) AS opted_out,
            EXISTS (
                SELECT 1 FROM conversations JOIN messages ON messages.id = (
                    SELECT MAX(id) FROM messages WHERE conversation_id = conversations.id
                        AND (direction = 'in' OR messages.state IN ('failed', 'delivered', 'read', 'played'))
                )
                WHERE conversations.contact_id = contacts.id AND messages.state = 'failed' AND failed_at >= :since
                    AND error_code IN (SELECT value FROM json_each(:codes))
            ) AS unreachable
        FROM contact_aliases JOIN contacts ON contacts.id = contact_id
        WHERE contact_aliases.client_id = :client_id AND kind = 'phone' AND value IN (SELECT value FROM json_each(:phones))
        """,
        {"client_id": client_id, "phones": json.dumps(list(phones)), "codes": json.dumps(unreachable_codes), "since": failed_since},
    )
    return {row["phone"]: Known(row["contact_id"], bool(row["opted_out"]), bool(row["unreachable"])) for row in rows}


# --- reading them ---------------------------------------------------------------------------------------------------------------


def after(db: sqlite3.Connection, audience_id: int, position: int = 0, limit: int = BATCH) -> list[Member]:
    """The next ones behind this position."""
    rows = db.execute(
        """
        SELECT position, phone, contact_id, variables, time_zone, country FROM audience_members
        WHERE audience_id = ? AND position > ? ORDER BY position LIMIT ?
        """,
        (audience_id, position, limit),
    )
    return [
        Member(row["position"], row["phone"], row["contact_id"], json.loads(row["variables"]), row["time_zone"], row["country"]) for row in rows
    ]


def count(db: sqlite3.Connection, audience_id: int) -> int:
    return db.execute("SELECT COUNT(*) AS count FROM audience_members WHERE audience_id = ?", (audience_id,)).fetchone()["count"]


def by_country(db: sqlite3.Connection, audience_id: int, limit: int = 8) -> list[tuple[str, int]]:
    rows = db.execute(
        """
        SELECT country, COUNT(*) AS count FROM audience_members WHERE audience_id = ? GROUP BY country ORDER BY count DESC, country LIMIT ?
        """,
        (audience_id, limit),
    )
    return [(row["country"], row["count"]) for row in rows]


def bad_lines(
    db: sqlite3.Connection, audience_id: int, *, after_line: int = -1, limit: int = BATCH, cause: str | None = None
) -> list[BadLine]:
    rows = db.execute(
        """
        SELECT line, cause, reason, text FROM audience_bad_lines
        WHERE audience_id = ?1 AND line > ?2 AND (?4 IS NULL OR cause = ?4) ORDER BY line LIMIT ?3
        """,
        (audience_id, after_line, limit, cause),
    )
    return [BadLine(**row) for row in rows]


def all_bad_lines(db: sqlite3.Connection, audience_id: int) -> Iterator[BadLine]:
    """In pages, so that a hundred thousand of them are never in memory together."""
    line = -1
    while found := bad_lines(db, audience_id, after_line=line):
        yield from found
        line = found[-1].line


def forget(db: sqlite3.Connection, audience_id: int) -> bool:
    """Deletes a batch of what a deleted audience left; false when nothing is left."""
    gone = 0
    for table, key in (("audience_members", "position"), ("audience_bad_lines", "line")):
        gone += db.execute(
            f"""
            DELETE FROM {table} WHERE audience_id = ?1 AND {key} IN
                (SELECT {key} FROM {table} WHERE audience_id = ?1 ORDER BY {key} LIMIT ?2)
            """,
            (audience_id, BATCH),
        ).rowcount
    return gone > 0


def left_behind(db: sqlite3.Connection) -> list[int]:
    """Audiences that are deleted and whose members are still there. One look-up for each audience, however many members."""
    rows = db.execute(
        """
        WITH RECURSIVE
            with_members (id) AS (
                SELECT MIN(audience_id) FROM audience_members
                UNION ALL SELECT (SELECT MIN(audience_id) FROM audience_members WHERE audience_id > with_members.id)
                FROM with_members WHERE with_members.id IS NOT NULL
            ),
            with_lines (id) AS (
                SELECT MIN(audience_id) FROM audience_bad_lines
                UNION ALL SELECT (SELECT MIN(audience_id) FROM audience_bad_lines WHERE audience_id > with_lines.id)
                FROM with_lines WHERE with_lines.id IS NOT NULL
            )
        SELECT id FROM with_members WHERE id IS NOT NULL AND id NOT IN (SELECT id FROM audiences)
        UNION SELECT id FROM with_lines WHERE id IS NOT NULL AND id NOT IN (SELECT id FROM audiences)
        """
    )
    return [row["id"] for row in rows]
