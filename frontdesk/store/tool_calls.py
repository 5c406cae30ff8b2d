"""What the model called for an answer, what came back, and what it wants done with the answer."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from frontdesk.store.database import exact

LONGEST_TEXT = 2_000  # characters that are kept of arguments and of a result


@dataclass(frozen=True, slots=True)
class Call:
    """`arguments`: JSON as the model gave it. `outcome`: done, failed, refused (wrong arguments), repeated (not called again)."""

    name: str
    arguments: str
    result: str
    outcome: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Used:
    """`options`: buttons that go with the answer. `hand_over`: why a person is wanted, None where none is. Neither is done yet."""

    calls: tuple[Call, ...] = ()
    options: tuple[str, ...] = ()
    hand_over: str | None = None

    def as_json(self) -> str:
        return json.dumps(asdict(self)) if self.calls else "{}"


def read(stored: str) -> Used:
    values = json.loads(stored)
    calls = tuple(Call(**call) for call in values.get("calls", ()))
    return Used(calls, tuple(values.get("options", ())), values.get("hand_over"))


def put(db: sqlite3.Connection, message_id: int, calls: Sequence[Call]) -> None:
    """`message_id`: of the answer's first part."""
    db.executemany(
        """
        INSERT OR REPLACE INTO tool_calls (message_id, position, name, arguments, result, outcome, seconds)
        VALUES (?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT), ?, ?)
        """,
        [
            (message_id, position, call.name, exact(call.arguments[:LONGEST_TEXT]), exact(call.result[:LONGEST_TEXT]), call.outcome, call.seconds)
            for position, call in enumerate(calls)
        ],
    )


def of_several(db: sqlite3.Connection, message_ids: Sequence[int]) -> dict[int, list[Call]]:
    """By message, of those for which something was called."""
    rows = db.execute(
        """
        SELECT message_id, name, arguments, result, outcome, seconds FROM json_each(?)
        JOIN tool_calls ON message_id = value ORDER BY message_id, position
        """,
        (json.dumps(list(message_ids)),),
    )
    found: dict[int, list[Call]] = {}
    for message_id, *call in rows:
        found.setdefault(message_id, []).append(Call(*call))
    return found
