"""Messages, in and out, in one table. What a customer wrote moves waiting → answered; sending is in outbox.py."""

import json
import sqlite3
from dataclasses import dataclass

from frontdesk import logs
from frontdesk.channels import Echo, InboundMessage
from frontdesk.store.database import exact


@dataclass(frozen=True, slots=True)
class Waiting:
    """A customer's message that is owed an answer. Times in UTC epoch seconds; `provider_at` is when it was written."""

    id: int
    external_id: str
    text: str
    provider_at: float
    created_at: float
    trace: str | None


@dataclass(frozen=True, slots=True)
class Turn:
    """One message as the model sees it."""

    id: int
    direction: str
    text: str


def add_inbound(
    db: sqlite3.Connection, conversation_id: int, number_id: int, message: InboundMessage, state: str, at: float, now: float
) -> int | None:
    """The new row's id, or None: this message is already here."""
    media = message.media
    row = db.execute(
        """
        INSERT INTO messages (
            conversation_id, number_id, direction, state, kind, text, media, raw, external_id, reply_to_external_id,
            group_id, provider_at, created_at, trace)
        VALUES (?, ?, 'in', ?, ?, CAST(? AS TEXT), ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (number_id, external_id) WHERE external_id IS NOT NULL DO NOTHING
        RETURNING id
        """,
        (
            conversation_id,
            number_id,
            state,
            message.kind,
            exact(message.text),
            media and json.dumps({name: getattr(media, name) for name in media.__slots__}),
            json.dumps(message.raw),
            message.external_id,
            message.reply_to_external_id,
            message.group_id,
            at,
            now,
            logs.trace(),
        ),
    ).fetchone()
    return row["id"] if row else None


def add_echo(db: sqlite3.Connection, conversation_id: int, number_id: int, echo: Echo, at: float, now: float) -> bool:
    """What the business itself sent from its phone: part of the history, nothing of ours to send. False: it is here already."""
    added = db.execute(
        """
        INSERT INTO messages (
            conversation_id, number_id, direction, state, kind, purpose, text, raw, external_id, provider_at, created_at,
            sent_at)
        VALUES (?, ?, 'out', 'sent', ?, 'phone_app', CAST(? AS TEXT), ?, ?, ?, ?, ?)
        ON CONFLICT DO NOTHING
        """,
        (conversation_id, number_id, echo.kind, exact(echo.text), json.dumps(echo.raw), echo.external_id, at, now, at),
    )
    return added.rowcount == 1


def conversation_of(db: sqlite3.Connection, number_id: int, external_id: str) -> int | None:
    row = db.execute(
        "SELECT conversation_id FROM messages WHERE number_id = ? AND external_id = ?", (number_id, external_id)
    ).fetchone()
    return row["conversation_id"] if row else None


def edit(db: sqlite3.Connection, number_id: int, external_id: str, text: str, at: float) -> int | None:
    """The customer changed their words; returns the conversation, None where the message is not here.

    An older edit than the one that is kept changes nothing: webhooks come in any order.
    """
    row = db.execute(
        """
        UPDATE messages SET
            text = CASE WHEN COALESCE(edited_at, 0) <= ?1 THEN CAST(?2 AS TEXT) ELSE text END,
            edited_at = MAX(COALESCE(edited_at, 0), ?1)
        WHERE number_id = ?3 AND external_id = ?4 AND direction = 'in'
        RETURNING conversation_id
        """,
        (at, exact(text), number_id, external_id),
    ).fetchone()
    return row["conversation_id"] if row else None


def revoke(db: sqlite3.Connection, number_id: int, external_id: str, at: float) -> int | None:
    """The customer took the message back: no answer is owed to it. Returns the conversation, None where it is not here."""
    row = db.execute(
        """
        UPDATE messages SET revoked_at = ?, state = CASE WHEN state = 'waiting' THEN 'withdrawn' ELSE state END
        WHERE number_id = ? AND external_id = ? AND direction = 'in'
        RETURNING conversation_id
        """,
        (at, number_id, external_id),
    ).fetchone()
    return row["conversation_id"] if row else None


def waiting(db: sqlite3.Connection, conversation_id: int) -> list[Waiting]:
    """What is owed an answer, in the order it was written."""
    return [
        Waiting(*row)
        for row in db.execute(
            """
            SELECT id, external_id, text, provider_at, created_at, trace FROM messages
            WHERE conversation_id = ? AND state = 'waiting' ORDER BY provider_at, id
            """,
            (conversation_id,),
        )
    ]


def mark_waiting_as(db: sqlite3.Connection, ids: list[int], state: str, answered_by: int | None = None) -> None:
    """`state`: 'answered' (`answered_by` the first part of the bot's answer), or 'unanswered' where a person must."""
    db.executemany(
        "UPDATE messages SET state = ?, answered_by = ? WHERE id = ? AND state = 'waiting'",
        [(state, answered_by, id_) for id_ in ids],
    )


def owe_again(db: sqlite3.Connection, conversation_id: int, withdrawn: list[int]) -> bool:
    """These answers did not go out: what they answered waits again, unless a person has answered it since. True if anything does."""
    moved = [
        db.execute(
            """
            UPDATE messages SET state = 'waiting', answered_by = NULL
            WHERE conversation_id = ?1 AND answered_by = ?2 AND state = 'answered' AND revoked_at IS NULL
                AND NOT EXISTS (
                    SELECT 1 FROM messages AS of_person
                    WHERE of_person.conversation_id = ?1 AND of_person.id > ?2
                        AND of_person.purpose IN ('person', 'phone_app') AND of_person.provider_at >= messages.provider_at)
            """,
            (conversation_id, answer_id),
        ).rowcount
        for answer_id in withdrawn
    ]
    return any(moved)


def answered_by_person(
    db: sqlite3.Connection, conversation_id: int, *, seen_message_id: int | None = None, until: float | None = None
) -> None:
    """What waited for an answer, or was left to a person by the model, has one: up to the newest that this person had
    seen, and up to the time at which they wrote, where these are known.
    """
    db.execute(
        """
        UPDATE messages SET state = 'answered'
        WHERE conversation_id = ?1 AND direction = 'in' AND state IN ('waiting', 'unanswered')
            AND (?2 IS NULL OR id <= ?2) AND (?3 IS NULL OR provider_at <= ?3)
        """,
        (conversation_id, seen_message_id, until),
    )


def of_other_people_since(db: sqlite3.Connection, conversation_id: int, message_id: int, user_id: int) -> list[int]:
    """Ids of what other people of the business wrote here after this message."""
    rows = db.execute(
        """
        SELECT id FROM messages
        WHERE conversation_id = ? AND id > ? AND direction = 'out' AND purpose IN ('person', 'phone_app')
            AND kind <> 'reaction' AND user_id IS NOT ?
        """,
        (conversation_id, message_id, user_id),
    )
    return [row["id"] for row in rows]


def seconds_to_a_person(db: sqlite3.Connection, client_id: int, limit: int = 20) -> list[float]:
    """How long the newest answers of people took, each from the oldest customer's message since the answer before."""
    rows = db.execute(
        """
        SELECT answer.created_at - (
            SELECT MIN(asked.created_at) FROM messages AS asked
            WHERE asked.conversation_id = answer.conversation_id AND asked.direction = 'in' AND asked.id < answer.id
                AND asked.id > COALESCE((
                    SELECT MAX(before.id) FROM messages AS before
                    WHERE before.conversation_id = answer.conversation_id AND before.id < answer.id
                        AND before.direction = 'out' AND before.purpose <> 'holding'), 0)) AS seconds
        FROM (
            SELECT messages.id, conversation_id, messages.created_at FROM messages JOIN numbers ON numbers.id = number_id
            WHERE purpose = 'person' AND client_id = ? ORDER BY messages.id DESC LIMIT ?) AS answer
        """,
        (client_id, limit),
    )
    return [row["seconds"] for row in rows if row["seconds"] is not None]


def history(db: sqlite3.Connection, conversation_id: int, limit: int, before: int = 2**62) -> tuple[list[Turn], int]:
    """The newest `limit` messages before those that wait, in the order they came, and how many older ones there are.

    `before`: as it was when this answer was written. Left out: lines that name an answer's sources (the model would write such ones
    itself), what was taken back, system notes (they answer nothing), and what never went out. A customer's reaction stands with what
    it is to, the newest to each message alone: a thumb up may be the answer to a question.
    """
    which = """
        conversation_id = ?1 AND id < ?2 AND COALESCE(answered_by, 0) < ?2 AND revoked_at IS NULL AND text <> '' AND group_id IS NULL
        AND kind NOT IN ('system', 'unsupported') AND state NOT IN ('waiting', 'failed', 'withdrawn')
        AND COALESCE(purpose, '') <> 'holding'
        AND (kind <> 'reaction' OR direction = 'in')
    """
    count = db.execute(f"SELECT COUNT(*) FROM messages WHERE {which}", (conversation_id, before)).fetchone()[0]
    rows = db.execute(
        f"""
        SELECT id, direction, text, kind, line FROM messages LEFT JOIN knowledge_sources ON message_id = id WHERE {which}
        ORDER BY id DESC LIMIT ?3
        """,
        (conversation_id, before, limit),
    ).fetchall()
    reactions = [row["id"] for row in rows if row["kind"] == "reaction"]
    words = _reactions(db, reactions) if reactions else {}
    turns = [Turn(row["id"], row["direction"], _told(row, words)) for row in reversed(rows)]
    return [turn for turn in turns if turn.text], max(0, count - limit)


def _told(row: sqlite3.Row, reactions: dict[int, str]) -> str:
    if row["kind"] == "reaction":
        return reactions.get(row["id"], "")
    return row["text"].removesuffix(row["line"]).rstrip() if row["line"] else row["text"]


def _reactions(db: sqlite3.Connection, ids: list[int]) -> dict[int, str]:
    """These reactions in words, without those that were taken back or replaced."""
    newest = {}
    for row in db.execute(
        """
        SELECT this.id, this.text, this.reply_to_external_id, substr(reacted.text, 1, 120) AS reacted FROM messages AS this
        LEFT JOIN messages AS reacted ON reacted.number_id = this.number_id AND reacted.external_id = this.reply_to_external_id
        WHERE this.id IN (SELECT value FROM json_each(?)) ORDER BY this.id
        """,
        (json.dumps(ids),),
    ):
        newest[row["reply_to_external_id"]] = row
    shown = (row for row in newest.values() if row["text"] != "[reaction removed]")
    return {row["id"]: row["text"].replace("]", f' to: "{row["reacted"]}"]') if row["reacted"] else row["text"] for row in shown}


def newest_inbound_external_id(db: sqlite3.Connection, conversation_id: int) -> str | None:
    row = db.execute(
        """
        SELECT external_id FROM messages WHERE conversation_id = ? AND direction = 'in' AND group_id IS NULL
        ORDER BY provider_at DESC, id DESC LIMIT 1
        """,
        (conversation_id,),
    ).fetchone()
    return row["external_id"] if row else None
