"""What a digest is made of: a day's numbers of a client, who waits for a person, and what was said. Broadcasts are counted apart."""

import sqlite3
import statistics
from dataclasses import dataclass

from frontdesk.store.measures import first_since

# Messages are numbered as they are written; a clock that was set back put some in another order.
OUT_OF_ORDER = 2000

_OF_DAY = """
    FROM messages JOIN numbers ON numbers.id = messages.number_id
    WHERE messages.id BETWEEN :first AND :last AND messages.created_at >= :begin AND messages.created_at < :end AND client_id = :client_id
"""
_BY_CUSTOMER = "direction = 'in' AND kind NOT IN ('reaction', 'system')"


@dataclass(frozen=True, slots=True)
class Numbers:
    """`conversations`: in which the customer wrote. `sent`: what WhatsApp took, without broadcasts. `median_seconds`: of the bot's answers,
    from the first message to WhatsApp; None where there was none.
    """

    conversations: int
    received: int
    sent: int
    bot: int
    person: int
    failed: int
    broadcast: int
    opted_out: int
    median_seconds: float | None


def numbers(db: sqlite3.Connection, client_id: int, begin: float, end: float) -> Numbers:
    given = _given(db, client_id, begin, end)
    row = db.execute(
        f"""
        SELECT COUNT(DISTINCT CASE WHEN {_BY_CUSTOMER} THEN conversation_id END) AS conversations,
            COUNT(*) FILTER (WHERE {_BY_CUSTOMER}) AS received,
            COUNT(*) FILTER (WHERE direction = 'out' AND sent_at IS NOT NULL AND COALESCE(purpose, '') NOT IN ('broadcast', 'digest', 'alert')) AS sent,
            COUNT(*) FILTER (WHERE purpose = 'answer' AND waited_seconds IS NOT NULL AND sent_at IS NOT NULL) AS bot,
            COUNT(*) FILTER (WHERE purpose IN ('person', 'phone_app')) AS person,
            COUNT(*) FILTER (WHERE messages.state = 'failed') AS failed,
            COUNT(*) FILTER (WHERE purpose = 'broadcast' AND sent_at IS NOT NULL) AS broadcast
        {_OF_DAY}
        """,
        given,
    ).fetchone()
    seconds = db.execute(
        f"""
        SELECT waited_seconds + COALESCE(retrieval_seconds, 0) + COALESCE(model_seconds, 0) + sent_at - messages.created_at AS s
        {_OF_DAY} AND purpose = 'answer' AND waited_seconds IS NOT NULL AND sent_at IS NOT NULL
        """,
        given,
    )
    took = [each["s"] for each in seconds]
    [opted_out] = db.execute(
        """
        SELECT COUNT(DISTINCT contact_id) FROM opt_outs CROSS JOIN contacts ON contacts.id = contact_id
        WHERE client_id = ? AND stopped_at >= ? AND stopped_at < ?
        """,
        (client_id, begin, end),
    ).fetchone()
    return Numbers(**dict(row), opted_out=opted_out, median_seconds=statistics.median(took) if took else None)


def _given(db: sqlite3.Connection, client_id: int, begin: float, end: float) -> dict:
    first, last = first_since(db, begin), first_since(db, end) + OUT_OF_ORDER
    return {"client_id": client_id, "begin": begin, "end": end, "first": first, "last": last}


def waiting(db: sqlite3.Connection, client_id: int, limit: int) -> tuple[list[dict], int]:
    """Conversations that wait for a person, longest first: id, reason, since (UTC epoch seconds); and how many there are in all."""
    rows = db.execute(
        """
        SELECT conversations.id, needs_person_reason AS reason, needs_person_at AS since
        FROM conversations JOIN numbers ON numbers.id = number_id
        WHERE needs_person_at IS NOT NULL AND client_id = ? ORDER BY needs_person_at
        """,
        (client_id,),
    ).fetchall()
    return [dict(row) for row in rows[:limit]], len(rows)


@dataclass(frozen=True, slots=True)
class Said:
    """`turns`: (by the customer, text), oldest first."""

    needs_person: bool
    turns: list[tuple[bool, str]]


def said(db: sqlite3.Connection, client_id: int, begin: float, end: float, conversations: int, messages: int) -> list[Said]:
    """So many conversations with so many messages of each: those that wait for a person, then those in which most was written."""
    given = _given(db, client_id, begin, end) | {"limit": conversations}
    rows = db.execute(
        f"""
        SELECT conversation_id, conversations.needs_person_at IS NOT NULL AS needs_person
        FROM (SELECT conversation_id, COUNT(*) AS written {_OF_DAY} AND {_BY_CUSTOMER} GROUP BY conversation_id)
        JOIN conversations ON conversations.id = conversation_id
        ORDER BY needs_person DESC, written DESC, conversation_id LIMIT :limit
        """,
        given,
    ).fetchall()
    return [Said(bool(row["needs_person"]), _turns(db, row["conversation_id"], given | {"limit": messages})) for row in rows]


def _turns(db: sqlite3.Connection, conversation_id: int, given: dict) -> list[tuple[bool, str]]:
    rows = db.execute(
        """
        SELECT direction = 'in' AS by_customer, text FROM messages
        WHERE conversation_id = :conversation_id AND id BETWEEN :first AND :last AND created_at >= :begin AND created_at < :end
            AND text <> '' AND kind NOT IN ('reaction', 'system') AND COALESCE(purpose, '') NOT IN ('broadcast', 'digest', 'alert')
            AND state <> 'withdrawn' AND revoked_at IS NULL
        ORDER BY id LIMIT :limit
        """,
        given | {"conversation_id": conversation_id},
    )
    return [(bool(row["by_customer"]), row["text"]) for row in rows]
