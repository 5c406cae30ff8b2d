"""What the model was shown of the documents for an answer, as it was then: the document may change or go."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shown:
    """`place`: the document's name, headings and page. `similarity`: its cosine to the question, None without vectors."""

    document_id: int
    place: str
    text: str
    similarity: float | None = None


def put(db: sqlite3.Connection, message_id: int, shown: Sequence[Shown]) -> None:
    """`message_id`: of the answer's first part."""
    db.executemany(
        """
        INSERT OR REPLACE INTO knowledge_seen (message_id, position, document_id, place, text, similarity)
        VALUES (?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?)
        """,
        [
            (message_id, position, each.document_id, _bytes(each.place), _bytes(each.text), each.similarity)
            for position, each in enumerate(shown)
        ],
    )


def of(db: sqlite3.Connection, message_id: int) -> list[Shown]:
    rows = db.execute(
        "SELECT document_id, place, text, similarity FROM knowledge_seen WHERE message_id = ? ORDER BY position", (message_id,)
    )
    return [Shown(*row) for row in rows]


def of_several(db: sqlite3.Connection, message_ids: Sequence[int]) -> dict[int, list[Shown]]:
    """By message, of those that saw anything."""
    rows = db.execute(
        """
        SELECT message_id, document_id, place, text, similarity FROM json_each(?)
        JOIN knowledge_seen ON message_id = value ORDER BY message_id, position
        """,
        (json.dumps(list(message_ids)),),
    )
    found: dict[int, list[Shown]] = {}
    for message_id, *shown in rows:
        found.setdefault(message_id, []).append(Shown(*shown))
    return found


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
