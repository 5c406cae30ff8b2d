"""Drafts: answers written before the customer's quiet period was over. Good only for exactly the messages they answer."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from frontdesk.store.seen import Shown
from frontdesk.store.tool_calls import Used, read


@dataclass(frozen=True, slots=True)
class Draft:
    """`shown`: what of the documents the model saw for it. `gap`: why they did not answer, None where they did. `used`: nothing of it is done yet."""

    text: str
    shown: list[Shown]
    gap: str | None = None
    used: Used = Used()


def put(
    db: sqlite3.Connection, conversation_id: int, message_ids: list[int], text: str, shown: Sequence[Shown], now: float, gap: str | None = None,
    used: Used = Used(),
) -> None:  # fmt: skip
    db.execute(
        "INSERT OR REPLACE INTO drafts (conversation_id, message_ids, text, passages, created_at, gap, tools) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (conversation_id, json.dumps(sorted(message_ids)), text, json.dumps([asdict(each) for each in shown]), now, gap, used.as_json()),
    )


def take(db: sqlite3.Connection, conversation_id: int, message_ids: list[int]) -> Draft | None:
    """The draft that answers just these messages, None where there is none. Whatever there is, is gone afterwards."""
    if not db.execute("SELECT 1 FROM drafts WHERE conversation_id = ?", (conversation_id,)).fetchone():
        return None  # without asking for the write lock
    row = db.execute(
        "DELETE FROM drafts WHERE conversation_id = ? RETURNING message_ids, text, passages, gap, tools", (conversation_id,)
    ).fetchone()
    if row is None or json.loads(row["message_ids"]) != sorted(message_ids):
        return None
    return Draft(row["text"], [Shown(**each) for each in json.loads(row["passages"])], row["gap"], read(row["tools"]))


def remove(db: sqlite3.Connection, conversation_id: int) -> None:
    db.execute("DELETE FROM drafts WHERE conversation_id = ?", (conversation_id,))
