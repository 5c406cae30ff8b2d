"""Checks: questions of a client's with what their answers must and must not say."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked and what is expected. `must_decline`: the answer must say that it does not know."""

    question: str
    must: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()
    must_decline: bool = False

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Question":
        found = json.loads(text)
        return cls(found["question"], tuple(found["must"]), tuple(found["must_not"]), found["must_decline"])


@dataclass(frozen=True, slots=True)
class Check:
    id: int
    client_id: int
    asked: Question


def add(db: sqlite3.Connection, client_id: int, asked: Question, now: float) -> int:
    return db.execute(
        """
        INSERT INTO checks (client_id, question, must, must_not, must_decline, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
        """,
        (client_id, *_columns(asked), now),
    ).lastrowid


def change(db: sqlite3.Connection, check_id: int, asked: Question, now: float) -> None:
    db.execute(
        "UPDATE checks SET question = ?, must = ?, must_not = ?, must_decline = ?, updated_at = ? WHERE id = ?",
        (*_columns(asked), now, check_id),
    )


def _columns(asked: Question) -> Sequence:
    return asked.question, json.dumps(asked.must), json.dumps(asked.must_not), int(asked.must_decline)


def get(db: sqlite3.Connection, check_id: int) -> Check | None:
    row = db.execute(f"{_READ} WHERE id = ?", (check_id,)).fetchone()
    return _check(row) if row else None


def of_client(db: sqlite3.Connection, client_id: int) -> list[Check]:
    """In the order in which they were written down."""
    return [_check(row) for row in db.execute(f"{_READ} WHERE client_id = ? ORDER BY id", (client_id,))]


_READ = "SELECT id, client_id, question, must, must_not, must_decline FROM checks"


def _check(row: sqlite3.Row) -> Check:
    asked = Question(row["question"], tuple(json.loads(row["must"])), tuple(json.loads(row["must_not"])), bool(row["must_decline"]))
    return Check(row["id"], row["client_id"], asked)


def remove(db: sqlite3.Connection, check_id: int) -> bool:
    return db.execute("DELETE FROM checks WHERE id = ?", (check_id,)).rowcount == 1


def count(db: sqlite3.Connection, client_id: int) -> int:
    return db.execute("SELECT COUNT(*) FROM checks WHERE client_id = ?", (client_id,)).fetchone()[0]
