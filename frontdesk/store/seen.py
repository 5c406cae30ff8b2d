"""What the model was shown of the documents for an answer, as it was then: the document may change or go."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from frontdesk.store.database import exact


@dataclass(frozen=True, slots=True)
class Shown:
    """`place`: the document's name, headings and page. `similarity`: its cosine to the question, None without vectors."""

    document_id: int
    place: str
    text: str
    similarity: float | None = None
    page: int | None = None


def put(db: sqlite3.Connection, message_id: int, shown: Sequence[Shown]) -> None:
    """`message_id`: of the answer's first part."""
    db.executemany(
        """
        INSERT OR REPLACE INTO knowledge_seen (message_id, position, document_id, place, text, similarity, page)
        VALUES (?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?)
        """,
        [
            (message_id, position, each.document_id, exact(each.place), exact(each.text), each.similarity, each.page)
            for position, each in enumerate(shown)
        ],
    )


def put_line(db: sqlite3.Connection, message_id: int, line: str) -> None:
    """What stands at the end of this message to name its sources: no words of the model's."""
    if line:
        db.execute("INSERT OR REPLACE INTO knowledge_sources (message_id, line) VALUES (?, CAST(? AS TEXT))", (message_id, exact(line)))


def of(db: sqlite3.Connection, message_id: int) -> list[Shown]:
    rows = db.execute(
        "SELECT document_id, place, text, similarity, page FROM knowledge_seen WHERE message_id = ? ORDER BY position", (message_id,)
    )
    return [Shown(*row) for row in rows]


def of_several(db: sqlite3.Connection, message_ids: Sequence[int]) -> dict[int, list[Shown]]:
    """By message, of those that saw anything."""
    rows = db.execute(
        """
        SELECT message_id, document_id, place, text, similarity, page FROM json_each(?)
        JOIN knowledge_seen ON message_id = value ORDER BY message_id, position
        """,
        (json.dumps(list(message_ids)),),
    )
    found: dict[int, list[Shown]] = {}
    for message_id, *shown in rows:
        found.setdefault(message_id, []).append(Shown(*shown))
    return found
