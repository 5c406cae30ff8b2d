"""Turns that were: what a customer wrote, in one burst, and the bot's answer to it."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from frontdesk.store import search
from frontdesk.store.measures import first_since


@dataclass(frozen=True, slots=True)
class Found:
    """`id`: of the message that is the answer's first part."""

    id: int
    conversation_id: int
    at: float


@dataclass(frozen=True, slots=True)
class PastTurn:
    """`asked`: the customer's messages. `answer`: all its parts. `model_seconds` 0 where a draft was ready, None where it is not known."""

    id: int
    conversation_id: int
    asked: list[str]
    answer: str
    model_seconds: float | None
    at: float


_GIVEN = "answers.purpose = 'answer' AND answers.state NOT IN ('failed', 'withdrawn')"
_ASKED = "direction = 'in' AND revoked_at IS NULL AND messages.text <> ''"


def find(
    db: sqlite3.Connection, client_id: int, *, since: float, until: float, words: str = "", conversation_ids: Sequence[int] = (), limit: int
) -> tuple[list[Found], int]:
    """The newest `limit`, oldest first, and how many there are. `words`: all of them stand in what the customer wrote."""
    match = search.query(db, words) if words else None
    # with words from the index of words, however long ago they may have been said
    messages = "messages_fts CROSS JOIN messages ON messages.id = messages_fts.rowid AND messages_fts MATCH :match" if match else "messages"
    rows = db.execute(
        f"""
        SELECT answers.id, answers.conversation_id, answers.created_at, COUNT(*) OVER () AS total
        FROM (SELECT DISTINCT answered_by FROM {messages} WHERE messages.id >= :first AND answered_by IS NOT NULL AND {_ASKED}) AS asked
        JOIN messages AS answers ON answers.id = asked.answered_by
        JOIN numbers ON numbers.id = answers.number_id
        WHERE {_GIVEN} AND numbers.client_id = :client_id AND answers.created_at >= :since AND answers.created_at < :until
            AND (:conversations IS NULL OR answers.conversation_id IN (SELECT value FROM json_each(:conversations)))
        ORDER BY answers.id DESC LIMIT :limit
        """,
        {
            "client_id": client_id, "since": since, "until": until, "match": match, "limit": limit,
            "first": first_since(db, since), "conversations": json.dumps(list(conversation_ids)) if conversation_ids else None,
        },
    ).fetchall()  # fmt: skip
    return [Found(*row[:3]) for row in reversed(rows)], rows[0]["total"] if rows else 0


def get(db: sqlite3.Connection, message_ids: Sequence[int]) -> dict[int, PastTurn]:
    """By id, of those that are still there."""
    rows = db.execute(
        """
        SELECT id, conversation_id, model_seconds, created_at FROM messages
        WHERE id IN (SELECT value FROM json_each(?)) AND purpose = 'answer'
        """,
        (json.dumps(list(message_ids)),),
    ).fetchall()
    return {row["id"]: _turn(db, row) for row in rows}


def _turn(db: sqlite3.Connection, row: sqlite3.Row) -> PastTurn:
    given = {"id": row["id"], "conversation_id": row["conversation_id"], "at": row["created_at"]}
    asked = db.execute(
        f"SELECT text FROM messages WHERE conversation_id = :conversation_id AND answered_by = :id AND {_ASKED} ORDER BY provider_at, id", given
    )
    # the parts of an answer were queued in one transaction, at one time; the line that names its sources is none of the model's
    parts = db.execute(
        """
        SELECT text, COALESCE(line, '') AS line FROM messages LEFT JOIN knowledge_sources ON message_id = id
        WHERE conversation_id = :conversation_id AND id >= :id AND purpose = 'answer' AND created_at = :at ORDER BY id
        """,
        given,
    )
    answer = "\n\n".join(part["text"].removesuffix(part["line"]).rstrip() for part in parts).strip()
    return PastTurn(row["id"], row["conversation_id"], [one["text"] for one in asked], answer, row["model_seconds"], row["created_at"])
