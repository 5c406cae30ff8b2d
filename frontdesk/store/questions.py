"""Questions that the documents did not answer, each once, and the groups of those that are alike.

A question is written in the transaction of what happened to it, and put into a group afterwards (flows/question_groups.py). A group
carries its count, so that a page of the most asked is read from an index however many there are.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from frontdesk.store.database import exact

LONGEST_TEXT = 1_000
FIELDS = "id, client_id, text, count, latest_at, state, document_id, answered_at"


@dataclass(frozen=True, slots=True)
class Question:
    """`cause`: no_passage (nothing that was found fits), declined (the model said that it does not know), person (one stepped in)."""

    id: int
    client_id: int
    conversation_id: int
    cause: str
    text: str
    asked_at: float


@dataclass(frozen=True, slots=True)
class Group:
    """`text`: its first question. `state`: open, dismissed, answered (by `document_id`, at `answered_at`)."""

    id: int
    client_id: int
    text: str
    count: int
    latest_at: float
    state: str
    document_id: int | None
    answered_at: float | None


# --- questions -----------------------------------------------------------------------------------------------------------------


def record(db: sqlite3.Connection, client_id: int, conversation_id: int, message_id: int, cause: str, text: str, now: float) -> None:
    """`message_id`: the customer's message that asks. What is known already stays, whoever tells it again."""
    db.execute(
        """
        INSERT INTO questions (client_id, conversation_id, message_id, cause, text, asked_at) VALUES (?, ?, ?, ?, CAST(? AS TEXT), ?)
        ON CONFLICT (message_id) DO NOTHING
        """,
        (client_id, conversation_id, message_id, cause, exact(text[:LONGEST_TEXT]), now),
    )


def newest_texts(db: sqlite3.Connection, conversation_id: int, since: float, limit: int) -> list[tuple[int, str]]:
    """What the customer wrote last, newest first, as (message, text)."""
    rows = db.execute(
        """
        SELECT id, text FROM messages
        WHERE conversation_id = ? AND direction = 'in' AND kind NOT IN ('reaction', 'system', 'unsupported') AND text <> ''
            AND revoked_at IS NULL AND group_id IS NULL AND provider_at >= ?
        ORDER BY id DESC LIMIT ?
        """,
        (conversation_id, since, limit),
    )
    return [(row["id"], row["text"]) for row in rows]


def person_wrote_since(db: sqlite3.Connection, conversation_id: int, since: float) -> bool:
    row = db.execute(
        """
        SELECT 1 FROM messages WHERE conversation_id = ? AND purpose IN ('person', 'phone_app') AND kind <> 'reaction' AND created_at >= ?
        LIMIT 1
        """,
        (conversation_id, since),
    ).fetchone()
    return row is not None


def ungrouped(db: sqlite3.Connection, limit: int) -> list[Question]:
    rows = db.execute(
        """
        SELECT id, client_id, conversation_id, cause, text, asked_at FROM questions INDEXED BY questions_ungrouped
        WHERE group_id IS NULL ORDER BY id LIMIT ?
        """,
        (limit,),
    )
    return [Question(*row) for row in rows]


def of_group(db: sqlite3.Connection, group_id: int, limit: int) -> list[Question]:
    """Newest first."""
    rows = db.execute(
        "SELECT id, client_id, conversation_id, cause, text, asked_at FROM questions WHERE group_id = ? ORDER BY id DESC LIMIT ?",
        (group_id, limit),
    )
    return [Question(*row) for row in rows]


def clean(db: sqlite3.Connection, before: float, limit: int) -> int:
    """Questions from before this time go, and groups that have none left."""
    gone = db.execute(
        "DELETE FROM questions WHERE id IN (SELECT id FROM questions WHERE asked_at < ? ORDER BY asked_at LIMIT ?)", (before, limit)
    ).rowcount
    db.execute("DELETE FROM question_groups WHERE latest_at < ?", (before,))
    return gone


# --- groups --------------------------------------------------------------------------------------------------------------------


def put_in(db: sqlite3.Connection, question: Question, group_id: int) -> None:
    """Inside a transaction; a question that another process has put somewhere stays there. Of an answered group it says that it is open."""
    changed = db.execute("UPDATE questions SET group_id = ? WHERE id = ? AND group_id IS NULL", (group_id, question.id)).rowcount
    db.execute(
        """
        UPDATE question_groups SET count = count + ?1, latest_at = MAX(latest_at, ?2),
            state = CASE WHEN state = 'answered' AND answered_at < ?2 THEN 'open' ELSE state END
        WHERE id = ?3 AND ?1
        """,
        (changed, question.asked_at, group_id),
    )


def is_ungrouped(db: sqlite3.Connection, question_id: int) -> bool:
    return db.execute("SELECT 1 FROM questions WHERE id = ? AND group_id IS NULL", (question_id,)).fetchone() is not None


def new_group(db: sqlite3.Connection, question: Question, words: Iterable[str], vector: tuple[int, bytes, bytes] | None) -> int:
    """`vector`: (model's id, bits, whole)."""
    words = set(words)
    group_id = db.execute(
        """
        INSERT INTO question_groups (client_id, text, word_count, model_id, bits, vector, latest_at)
        VALUES (?, CAST(? AS TEXT), ?, ?, ?, ?, ?)
        """,
        (question.client_id, exact(question.text), len(words), *(vector or (None, None, None)), question.asked_at),
    ).lastrowid
    db.executemany(
        "INSERT INTO question_words (client_id, word, group_id) VALUES (?, ?, ?)", [(question.client_id, word, group_id) for word in words]
    )
    return group_id


def nearest_by_words(db: sqlite3.Connection, client_id: int, words: Sequence[str], most_of_a_word: int) -> tuple[int, float] | None:
    """The group that shares most words with these, and which share of both its and these words that is. Of a common word, its newest groups."""
    row = db.execute(
        """
        SELECT held.group_id, CAST(COUNT(*) AS REAL) / (word_count + :count - COUNT(*)) AS share FROM json_each(:words) AS asked
        CROSS JOIN question_words AS held ON held.client_id = :client_id AND held.word = asked.value AND held.group_id >= COALESCE((
            SELECT newer.group_id FROM question_words AS newer WHERE newer.client_id = :client_id AND newer.word = asked.value
            ORDER BY newer.group_id DESC LIMIT 1 OFFSET :most), 0)
        CROSS JOIN question_groups ON question_groups.id = held.group_id
        GROUP BY held.group_id ORDER BY share DESC, held.group_id LIMIT 1
        """,
        {"words": json.dumps(list(words)), "count": len(words), "client_id": client_id, "most": most_of_a_word},
    ).fetchone()
    return (row["group_id"], row["share"]) if row else None


def nearest_by_vector(
    db: sqlite3.Connection, client_id: int, model_id: int, bits: bytes, vector: bytes, newest: int, near: int
) -> tuple[int, float] | None:
    """The group whose first question is nearest, and its cosine; of the `newest` groups. Wants sqlite-vec."""
    row = db.execute(
        """
        SELECT id, 1 - vec_distance_cosine(vector, :vector) AS similarity FROM (
            SELECT id, vector FROM (
                SELECT id, bits, vector FROM question_groups WHERE client_id = :client_id AND model_id = :model_id AND vector IS NOT NULL
                ORDER BY latest_at DESC LIMIT :newest)
            WHERE length(vector) = length(:vector) ORDER BY vec_distance_hamming(vec_bit(bits), vec_bit(:bits)) LIMIT :near)
        ORDER BY similarity DESC LIMIT 1
        """,
        {"client_id": client_id, "model_id": model_id, "bits": bits, "vector": vector, "newest": newest, "near": near},
    ).fetchone()
    return (row["id"], row["similarity"]) if row else None


def group(db: sqlite3.Connection, group_id: int) -> Group | None:
    row = db.execute(f"SELECT {FIELDS} FROM question_groups WHERE id = ?", (group_id,)).fetchone()
    return Group(*row) if row else None


def open_groups(db: sqlite3.Connection, client_id: int, start: int, limit: int) -> list[Group]:
    """Most asked first, then the latest."""
    rows = db.execute(
        f"""
        SELECT {FIELDS} FROM question_groups WHERE client_id = ? AND state = 'open'
        ORDER BY count DESC, latest_at DESC LIMIT ? OFFSET ?
        """,
        (client_id, limit, start),
    )
    return [Group(*row) for row in rows]


def answered_groups(db: sqlite3.Connection, client_id: int, limit: int) -> list[Group]:
    """The latest answered first."""
    rows = db.execute(
        f"SELECT {FIELDS} FROM question_groups WHERE client_id = ? AND state = 'answered' ORDER BY answered_at DESC LIMIT ?", (client_id, limit)
    )
    return [Group(*row) for row in rows]


def count_open(db: sqlite3.Connection, client_id: int, most: int) -> int:
    """Groups to be looked at, counted up to `most`."""
    row = db.execute(
        "SELECT COUNT(*) FROM (SELECT 1 FROM question_groups WHERE client_id = ? AND state = 'open' LIMIT ?)", (client_id, most)
    ).fetchone()
    return row[0]


def dismiss(db: sqlite3.Connection, group_id: int) -> None:
    db.execute("UPDATE question_groups SET state = 'dismissed' WHERE id = ? AND state = 'open'", (group_id,))


def answered(db: sqlite3.Connection, group_id: int, text: str, document_id: int, now: float) -> None:
    """`text`: the question as it stands in the document."""
    db.execute(
        "UPDATE question_groups SET state = 'answered', text = CAST(? AS TEXT), document_id = ?, answered_at = ? WHERE id = ?",
        (exact(text), document_id, now, group_id),
    )
