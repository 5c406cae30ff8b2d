"""What customers sent besides text: one row for each such message, from the moment it came until its file was fetched and read.

wanted → fetched → done, or failed where the file never came. `done` with an error: the file is here and could not be read. The
file itself is the message's row in `media`.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, fields

from frontdesk.channels import Media
from frontdesk.store.database import exact

FURTHEST_DUE_SECONDS = 3 * 3600  # a due time further ahead than the longest pause was set before the clock went back

IS_DUE = f"""
    state IN ('wanted', 'fetched') AND (due_at IS NULL OR due_at <= :now OR due_at > :now + {FURTHEST_DUE_SECONDS})
    AND (lease_expires_at IS NULL OR lease_expires_at <= :now OR lease_expires_at > :now + 2 * :lease_seconds)
"""


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """`text`: what was said in it, or what the document says; None where nothing was read."""

    message_id: int
    state: str
    text: str | None
    error_code: str | None
    error_words: str | None
    attempts: int
    due_at: float | None
    lease_owner: str | None
    lease_expires_at: float | None
    created_at: float


@dataclass(frozen=True, slots=True)
class Origin:
    """The message that a file came in."""

    conversation_id: int
    number_id: int
    client_id: int
    kind: str
    state: str
    media: Media
    media_id: int | None


_COLUMNS = ", ".join(field.name for field in fields(ReceivedFile))


def want(db: sqlite3.Connection, message_id: int, now: float) -> None:
    db.execute("INSERT INTO received_files (message_id, state, created_at) VALUES (?, 'wanted', ?)", (message_id, now))
    db.execute("UPDATE conversations SET has_files = 1 WHERE id = (SELECT conversation_id FROM messages WHERE id = ?)", (message_id,))


def get(db: sqlite3.Connection, message_id: int) -> ReceivedFile | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM received_files WHERE message_id = ?", (message_id,)).fetchone()
    return ReceivedFile(*row) if row else None


def of_messages(db: sqlite3.Connection, message_ids: Iterable[int]) -> dict[int, ReceivedFile]:
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM received_files WHERE message_id IN (SELECT value FROM json_each(?))", (json.dumps(list(message_ids)),)
    )
    return {row["message_id"]: ReceivedFile(*row) for row in rows}


def origin(db: sqlite3.Connection, message_id: int) -> Origin | None:
    """None where the message was deleted meanwhile."""
    row = db.execute(
        """
        SELECT conversation_id, number_id, client_id, kind, state, media, media_id
        FROM messages JOIN numbers ON numbers.id = number_id WHERE messages.id = ?
        """,
        (message_id,),
    ).fetchone()
    return Origin(**{**dict(row), "media": Media(**json.loads(row["media"]))}) if row else None


def is_due(db: sqlite3.Connection, now: float, lease_seconds: float) -> bool:
    found = db.execute(f"SELECT 1 FROM received_files WHERE {IS_DUE} LIMIT 1", {"now": now, "lease_seconds": lease_seconds})
    return found.fetchone() is not None


def claim(db: sqlite3.Connection, owner: str, now: float, lease_seconds: float) -> ReceivedFile | None:
    """The oldest that is due, this owner's until the lease ends; counts an attempt."""
    row = db.execute(
        f"""
        UPDATE received_files SET lease_owner = :owner, lease_expires_at = :now + :lease_seconds, attempts = attempts + 1
        WHERE message_id = (SELECT message_id FROM received_files WHERE {IS_DUE} ORDER BY message_id LIMIT 1)
        RETURNING {_COLUMNS}
        """,
        {"owner": owner, "now": now, "lease_seconds": lease_seconds},
    ).fetchone()
    return ReceivedFile(*row) if row else None


def renew(db: sqlite3.Connection, owner: str, now: float, lease_seconds: float) -> None:
    """Of everything that this owner has."""
    db.execute(
        "UPDATE received_files SET lease_expires_at = ? WHERE state IN ('wanted', 'fetched') AND lease_owner = ?", (now + lease_seconds, owner)
    )


def release(db: sqlite3.Connection, owner: str) -> None:
    """Everything that this owner has is another's; what it had begun counts as no attempt."""
    db.execute(
        """
        UPDATE received_files SET lease_owner = NULL, lease_expires_at = NULL, attempts = attempts - 1
        WHERE state IN ('wanted', 'fetched') AND lease_owner = ?
        """,
        (owner,),
    )


def fetched(db: sqlite3.Connection, file: ReceivedFile) -> bool:
    """The file is here and is read next, by the same owner. False if it is no longer this owner's."""
    return _mine(db, file, "state = 'fetched', attempts = 1, error_code = NULL, error_words = NULL")


def done(db: sqlite3.Connection, file: ReceivedFile, text: str | None = None) -> bool:
    return _over(db, file, "state = 'done', text = CAST(? AS TEXT), error_code = NULL, error_words = NULL", exact(text))


def unread(db: sqlite3.Connection, file: ReceivedFile, code: str, words: str) -> bool:
    """The file is here, and what it says will not be known."""
    return _over(db, file, "state = 'done', error_code = ?, error_words = ?", code, words)


def failed(db: sqlite3.Connection, file: ReceivedFile, code: str, words: str) -> bool:
    return _over(db, file, "state = 'failed', error_code = ?, error_words = ?", code, words)


def later(db: sqlite3.Connection, file: ReceivedFile, due_at: float, words: str, *, counts: bool = True) -> bool:
    """Again then. `counts` False: nothing was tried."""
    changes = "error_words = ?, due_at = ?, attempts = attempts - ?, lease_owner = NULL, lease_expires_at = NULL"
    return _mine(db, file, changes, words, due_at, 0 if counts else 1)


def want_again(db: sqlite3.Connection, message_id: int) -> bool:
    """From the beginning, or, where the file is here, from its reading. False where there is nothing to do again."""
    return (
        db.execute(
            """
            UPDATE received_files SET state = CASE WHEN state = 'failed' THEN 'wanted' ELSE 'fetched' END, attempts = 0, due_at = NULL
            WHERE message_id = ? AND (state = 'failed' OR (state = 'done' AND error_code IS NOT NULL))
            """,
            (message_id,),
        ).rowcount
        == 1
    )


def any_open(db: sqlite3.Connection, conversation_id: int) -> bool:
    """Whether a file of this conversation is still to be fetched or read."""
    found = db.execute(
        """
        SELECT 1 FROM received_files CROSS JOIN messages ON messages.id = message_id
        WHERE received_files.state IN ('wanted', 'fetched') AND conversation_id = ? LIMIT 1
        """,
        (conversation_id,),
    )
    return found.fetchone() is not None


def came(db: sqlite3.Connection, message_id: int, media_id: int) -> None:
    """The message's file, from now on."""
    db.execute("UPDATE messages SET media_id = ? WHERE id = ?", (media_id, message_id))


def add_words(db: sqlite3.Connection, message_id: int, words: str) -> None:
    """What was said becomes the message's own text: people find it, and the model reads it."""
    db.execute("UPDATE messages SET text = text || ' ' || CAST(? AS TEXT) WHERE id = ?", (exact(words), message_id))


def _over(db: sqlite3.Connection, file: ReceivedFile, changes: str, *values) -> bool:
    return _mine(db, file, f"due_at = NULL, {changes}, lease_owner = NULL, lease_expires_at = NULL", *values)


def _mine(db: sqlite3.Connection, file: ReceivedFile, changes: str, *values) -> bool:
    return (
        db.execute(
            f"UPDATE received_files SET {changes} WHERE message_id = ? AND state IN ('wanted', 'fetched') AND lease_owner = ?",
            (*values, file.message_id, file.lease_owner),
        ).rowcount
        == 1
    )
