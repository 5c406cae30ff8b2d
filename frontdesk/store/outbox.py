"""Outbound messages and what becomes of them: queued → sending → sent → delivered → read, or unknown, or failed.

A state only goes forward. `attempt` counts calls to the provider and travels with each (`callback_data`), so a status tells
which call it speaks of. `public_id` says that a row is still the one it was: SQLite gives the id of one that was erased again.
In a conversation the oldest message that is not yet out stands before all later ones.
"""

import json
import sqlite3
import uuid
from dataclasses import dataclass
from typing import Any

from frontdesk import logs
from frontdesk.channels import Content, Echo
from frontdesk.errors import SendError
from frontdesk.store.database import exact

# How far a message has come. A status that would go back, or stay, changes nothing but a missing time.
RANK = {"queued": 0, "sending": 1, "unknown": 1, "sent": 2, "delivered": 3, "read": 4, "played": 5}

# One that waits longer than this for its retry lets the later ones pass.
BLOCKS_FOR_SECONDS = 900

# Word for word the condition of the index messages_to_send: SQLite uses a partial index for nothing else.
OPEN = "state IN ('queued', 'sending', 'unknown')"

LATEST_BY_WORDS = 50  # of a conversation: what is older is settled

COLUMNS = """id, conversation_id, number_id, state, kind, purpose, text, public_id, reply_to_external_id, external_id, due_at,
    attempt, failures, throttles, lease_owner, lease_expires_at, error_code, raw, media_id, trace"""


@dataclass(frozen=True, slots=True)
class Outbound:
    id: int
    conversation_id: int
    number_id: int
    state: str
    kind: str
    purpose: str | None
    text: str
    public_id: str
    reply_to_external_id: str | None
    external_id: str | None
    due_at: float | None
    attempt: int
    failures: int
    throttles: int
    lease_owner: str | None
    lease_expires_at: float | None
    error_code: int | None
    raw: str | None
    media_id: int | None
    trace: str | None

    @property
    def content(self) -> Content:
        return Content(self.kind, self.text, json.loads(self.raw)[self.kind] if self.raw else None)

    @property
    def refused(self) -> bool:
        """It waits to be sent again because the provider said no to the attempt before."""
        return self.state == "queued" and self.error_code is not None

    @property
    def callback_data(self) -> str:
        """Comes back in every status of this very call: the message's own id and the attempt."""
        return f"{self.public_id}.{self.attempt}"


def queue(
    db: sqlite3.Connection,
    conversation_id: int,
    number_id: int,
    content: Content,
    *,
    purpose: str,
    now: float,
    due_at: float | None = None,
    reply_to_external_id: str | None = None,
    media_id: int | None = None,
    media: dict[str, Any] | None = None,
    user_id: int | None = None,
    broadcast_id: int | None = None,
    waited_seconds: float | None = None,
    retrieval_seconds: float | None = None,
    model_seconds: float | None = None,
) -> int:
    """`purpose`: 'answer' (the model's), 'holding' (what is said while somebody waits), 'person' (of the user `user_id`), 'api', 'schedule',
    'broadcast' (broadcasting.py sends these, and nothing else waits for them). `due_at`: at once where it is not given.

    `media_id`: the file it carries; `media`: what the desk shows of it without opening it.
    """
    return db.execute(
        """
        INSERT INTO messages (
            conversation_id, number_id, direction, state, kind, purpose, text, public_id, reply_to_external_id, provider_at,
            created_at, due_at, user_id, waited_seconds, model_seconds, raw, media_id, media, trace, retrieval_seconds, broadcast_id)
        VALUES (?1, ?2, 'out', 'queued', ?11, ?3, CAST(?4 AS TEXT), ?5, ?6, ?7, ?7, ?17, ?8, ?9, ?10, ?12, ?13, ?14, ?15, ?16, ?18)
        """,
        (
            conversation_id,
            number_id,
            purpose,
            exact(content.text),
            uuid.uuid4().hex,
            reply_to_external_id,
            now,
            user_id,
            waited_seconds,
            model_seconds,
            content.kind,
            None if content.body is None else json.dumps({"type": content.kind, content.kind: content.body}),
            media_id,
            media and json.dumps(media),
            logs.trace(),
            retrieval_seconds,
            now if due_at is None else due_at,
            broadcast_id,
        ),
    ).lastrowid


def queue_text(db: sqlite3.Connection, conversation_id: int, number_id: int, text: str, **more: Any) -> int:
    return queue(db, conversation_id, number_id, Content("text", text), **more)


def public_id(db: sqlite3.Connection, message_id: int) -> str:
    return db.execute("SELECT public_id FROM messages WHERE id = ?", (message_id,)).fetchone()["public_id"]


def head(db: sqlite3.Connection, conversation_id: int, now: float) -> Outbound | None:
    """The message that stands first: the next one to send, or the one the rest must wait for."""
    row = db.execute(
        f"""
        SELECT {COLUMNS} FROM messages
        WHERE conversation_id = ? AND {OPEN} AND purpose IS NOT 'broadcast'
            AND (state <> 'queued' OR due_at <= ?)
        ORDER BY id LIMIT 1
        """,
        (conversation_id, now + BLOCKS_FOR_SECONDS),
    ).fetchone()
    return Outbound(*row) if row else None


def claim(db: sqlite3.Connection, message: Outbound, owner: str, now: float, lease_seconds: float) -> Outbound | None:
    """queued → sending, one attempt more. None if somebody else was quicker."""
    row = db.execute(
        f"""
        UPDATE messages SET state = 'sending', attempt = attempt + 1, lease_owner = ?, lease_expires_at = ?
        WHERE id = ? AND state = 'queued' AND attempt = ? AND public_id = ?
        RETURNING {COLUMNS}
        """,
        (owner, now + lease_seconds, message.id, message.attempt, message.public_id),
    ).fetchone()
    return Outbound(*row) if row else None


def accepted(db: sqlite3.Connection, message: Outbound, external_id: str, now: float) -> None:
    """The provider took this attempt. Also right if the row was parked meanwhile, or a status came first."""
    db.execute(
        """
        UPDATE messages SET
            external_id = ?1,
            state = CASE WHEN state IN ('sending', 'unknown') THEN 'sent' ELSE state END,
            sent_at = COALESCE(sent_at, ?2), lease_owner = NULL, lease_expires_at = NULL, due_at = NULL
        WHERE id = ?3 AND attempt = ?4 AND public_id = ?5
        """,
        (external_id, now, message.id, message.attempt, message.public_id),
    )


def again(
    db: sqlite3.Connection,
    message: Outbound,
    *,
    due_at: float,
    error: SendError,
    failures: int = 0,
    throttles: int = 0,
    was_accepted: bool = False,
) -> bool:
    """Back to queued, due at `due_at`, with the error that caused it and so many more `failures`.

    Only from where this attempt still stands, and False otherwise: another attempt may have been proven meanwhile.
    `was_accepted`: it stands at 'sent', and a status took that back.
    """
    return (
        db.execute(
            """
            UPDATE messages SET state = 'queued', due_at = ?, failures = failures + ?, throttles = ?,
                lease_owner = NULL, lease_expires_at = NULL, error_code = ?, error_title = ?, error_details = ?
            WHERE id = ? AND attempt = ? AND public_id = ? AND (state IN ('sending', 'unknown') OR (? AND state = 'sent'))
            """,
            (
                due_at,
                failures,
                throttles,
                error.code,
                error.title,
                error.details,
                message.id,
                message.attempt,
                message.public_id,
                was_accepted,
            ),
        ).rowcount
        == 1
    )


def failed(db: sqlite3.Connection, message: Outbound, error: SendError, now: float) -> bool:
    return (
        db.execute(
            """
            UPDATE messages SET state = 'failed', failed_at = ?, due_at = NULL, lease_owner = NULL, lease_expires_at = NULL,
                error_code = ?, error_title = ?, error_details = ?
            WHERE id = ? AND attempt = ? AND public_id = ? AND state IN ('queued', 'sending', 'unknown', 'sent')
            """,
            (now, error.code, error.title, error.details, message.id, message.attempt, message.public_id),
        ).rowcount
        == 1
    )


def parked(db: sqlite3.Connection, message: Outbound, until: float, title: str) -> None:
    """No answer came: wait for a status as proof until `until`."""
    db.execute(
        """
        UPDATE messages SET state = 'unknown', due_at = ?, lease_owner = NULL, lease_expires_at = NULL,
            error_code = NULL, error_title = ?, error_details = NULL
        WHERE id = ? AND attempt = ? AND public_id = ? AND state = 'sending'
        """,
        (until, title, message.id, message.attempt, message.public_id),
    )


def park_abandoned(db: sqlite3.Connection, now: float, lease_seconds: float, until: float) -> int:
    """Sends whose process died, or whose lease the clock made nonsense of: the call may have gone out, so they are parked.

    Not in the web chat, where nothing is called: what its row does not say was not shown.
    """
    return db.execute(
        f"""
        UPDATE messages SET state = 'unknown', lease_owner = NULL, lease_expires_at = NULL,
            due_at = CASE WHEN number_id IN (SELECT id FROM numbers WHERE channel = 'widget') THEN :now ELSE :until END,
            error_title = 'The process that sent it stopped before the answer came'
        WHERE {OPEN} AND state = 'sending' AND (lease_expires_at <= :now OR lease_expires_at > :furthest)
        """,
        {"now": now, "until": until, "furthest": now + 2 * lease_seconds},
    ).rowcount


def unproven(db: sqlite3.Connection, now: float, wait_seconds: float, read_until: float) -> list[Outbound]:
    """Parked messages whose waiting time was over before `read_until` (or is further ahead than it can be, after the clock was set back)."""
    rows = db.execute(
        f"SELECT {COLUMNS} FROM messages WHERE {OPEN} AND state = 'unknown' AND (due_at <= ? OR due_at > ?)",
        (min(now, read_until), now + 2 * wait_seconds),
    )
    return [Outbound(*row) for row in rows]


def by_callback(db: sqlite3.Connection, number_id: int, public_id: str) -> Outbound | None:
    row = db.execute(
        f"SELECT {COLUMNS} FROM messages WHERE public_id = ? AND number_id = ?", (public_id, number_id)
    ).fetchone()
    return Outbound(*row) if row else None


def by_external_id(db: sqlite3.Connection, number_id: int, external_id: str) -> Outbound | None:
    row = db.execute(
        f"SELECT {COLUMNS} FROM messages WHERE number_id = ? AND external_id = ? AND direction = 'out'",
        (number_id, external_id),
    ).fetchone()
    return Outbound(*row) if row else None


def by_words(db: sqlite3.Connection, conversation_id: int, echo: Echo) -> Outbound | None:
    """The oldest message with these words, or this kind of file, whose call was made and that has no id of the provider's own yet."""
    rows = db.execute(
        f"""
        SELECT {COLUMNS} FROM (
            SELECT * FROM messages WHERE conversation_id = ? AND direction = 'out' ORDER BY id DESC LIMIT {LATEST_BY_WORDS})
        WHERE attempt > 0 AND state <> 'withdrawn' AND (external_id IS NULL OR external_id = public_id || '.' || attempt)
        ORDER BY id
        """,
        (conversation_id,),
    )
    return next((message for row in rows if _is_what(message := Outbound(*row), echo)), None)


def _is_what(message: Outbound, echo: Echo) -> bool:
    """Providers trim and wrap, so white space says nothing."""
    if message.kind == "text" or message.media_id is None:
        return message.text.split() == echo.text.split()
    body = message.content.body or {}
    return message.kind == echo.kind and (not echo.caption or echo.caption in (body.get("caption"), body.get("filename")))


def advance(db: sqlite3.Connection, message: Outbound, status: str, external_id: str, at: float) -> None:
    """A status arrived. It proves every earlier step too; it never takes one back."""
    forward = RANK[status] > RANK.get(message.state, 2)
    db.execute(
        """
        UPDATE messages SET
            state = CASE WHEN :forward THEN :status ELSE state END,
            external_id = COALESCE(external_id, :external_id),
            sent_at = COALESCE(sent_at, :at),
            delivered_at = CASE WHEN :rank >= 3 THEN COALESCE(delivered_at, :at) ELSE delivered_at END,
            read_at = CASE WHEN :rank >= 4 THEN COALESCE(read_at, :at) ELSE read_at END,
            failed_at = CASE WHEN :forward THEN NULL ELSE failed_at END,
            due_at = CASE WHEN :forward THEN NULL ELSE due_at END,
            lease_owner = CASE WHEN :forward THEN NULL ELSE lease_owner END,
            lease_expires_at = CASE WHEN :forward THEN NULL ELSE lease_expires_at END
        WHERE id = :id
        """,
        {
            "id": message.id,
            "forward": forward,
            "status": status,
            "rank": RANK[status],
            "external_id": external_id,
            "at": at,
        },
    )


def keep_unmatched(
    db: sqlite3.Connection, number_id: int, external_id: str, status: str, at: float, raw: dict, now: float
) -> None:
    """A status of a message that is not known (yet) by this id."""
    db.execute(
        "INSERT INTO unmatched_statuses VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (number_id, external_id, status, at, json.dumps(raw), now),
    )


def take_unmatched(db: sqlite3.Connection, number_id: int, external_id: str) -> list[sqlite3.Row]:
    """The statuses that came before the message was known by this id; they are no longer kept apart."""
    return db.execute(
        "DELETE FROM unmatched_statuses WHERE number_id = ? AND external_id = ? RETURNING status, at, raw",
        (number_id, external_id),
    ).fetchall()


def to_send(db: sqlite3.Connection, now: float, limit: int = 1000) -> list[int]:
    """Conversations with a message that is due, on numbers that are not stopped: what the sweep must find a job for."""
    return [
        row["conversation_id"]
        for row in db.execute(
            f"""
            SELECT DISTINCT conversation_id FROM messages JOIN numbers ON numbers.id = messages.number_id
            WHERE {OPEN} AND state = 'queued' AND due_at <= ? AND numbers.stopped_at IS NULL AND purpose IS NOT 'broadcast' LIMIT ?
            """,
            (now, limit),
        )
    ]


def waiting_for(db: sqlite3.Connection, media_id: int) -> list[int]:
    """Conversations that have a message with this file to send."""
    rows = db.execute("SELECT DISTINCT conversation_id FROM messages WHERE media_id = ? AND state = 'queued'", (media_id,))
    return [row["conversation_id"] for row in rows]


def clean_unmatched(db: sqlite3.Connection, before: float) -> int:
    return db.execute("DELETE FROM unmatched_statuses WHERE received_at < ?", (before,)).rowcount
