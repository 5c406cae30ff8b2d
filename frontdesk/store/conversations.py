"""Conversations: one for each contact on each number; the answer that is owed in it, and who is writing that answer.

A claim is a lease: it is good until `claim_expires_at`, and one further ahead than a lease is long was made before the clock
was set back, so it is not believed either. Whoever finishes work must still hold the claim in the same transaction.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, fields

CLAIM_IS_FREE = """
    (claim_owner IS NULL OR claim_expires_at <= :now OR claim_expires_at > :now + 2 * :lease_seconds)
"""

# A due time further ahead than any quiet period was set before the clock went back.
FURTHEST_DUE_SECONDS = 700

FILES_ARE_HERE = f"(files_until IS NULL OR files_until <= :now OR files_until > :now + {FURTHEST_DUE_SECONDS})"


@dataclass(frozen=True, slots=True)
class Conversation:
    id: int
    number_id: int
    contact_id: int
    state: str
    needs_person_at: float | None
    needs_person_reason: str | None
    window_closes_at: float | None
    waiting_since: float | None
    reply_due_at: float | None
    reply_failures: int
    reply_restarted: int
    held_at: float | None
    claim_owner: str | None
    claim_expires_at: float | None
    created_at: float
    taken_at: float | None
    taken_by: int | None
    resumes_at: float | None
    told_wait_at: float | None
    files_until: float | None
    has_files: int

    @property
    def answer_due_at(self) -> float | None:
        """When the answer may begin: after the quiet period, and not before the customer's files are read or the wait for them over."""
        return self.reply_due_at and max(self.reply_due_at, self.files_until or 0)


_COLUMNS = ", ".join(field.name for field in fields(Conversation))


def get(db: sqlite3.Connection, conversation_id: int) -> Conversation | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM conversations WHERE id = ?", (conversation_id,)).fetchone()
    return Conversation(*row) if row else None


def of(db: sqlite3.Connection, number_id: int, contact_id: int, now: float, *, state: str = "bot") -> int:
    """The conversation of this contact on this number, made if new.

    `state` of a new one: 'closed' where a broadcast begins it, so that it fills nobody's inbox until the customer answers.
    """
    row = db.execute("SELECT id FROM conversations WHERE number_id = ? AND contact_id = ?", (number_id, contact_id)).fetchone()
    if row:
        return row["id"]
    return db.execute(
        "INSERT INTO conversations (number_id, contact_id, created_at, state) VALUES (?, ?, ?, ?)", (number_id, contact_id, now, state)
    ).lastrowid


def count_waiting(db: sqlite3.Connection) -> int:
    """Conversations in which a customer waits for the model or for a person."""
    return db.execute("SELECT COUNT(*) FROM conversations WHERE waiting_since IS NOT NULL").fetchone()[0]


def customer_wrote(
    db: sqlite3.Connection, conversation_id: int, *, window_closes_at: float, waits: bool, due_at: float, latest: float, now: float
) -> None:
    """A message came in. `waits`: an answer is owed, due at `due_at`, but never later than `latest` after the first one.

    `latest` is in seconds after `waiting_since`.
    """
    db.execute(
        """
        UPDATE conversations SET
            window_closes_at = MAX(COALESCE(window_closes_at, 0), :window_closes_at),
            state = CASE WHEN state = 'closed' THEN 'bot' ELSE state END,
            waiting_since = CASE WHEN :waits THEN COALESCE(waiting_since, :now) ELSE waiting_since END,
            reply_due_at = CASE WHEN :waits
                THEN MIN(:due_at, COALESCE(waiting_since, :now) + :latest) ELSE reply_due_at END
        WHERE id = :id
        """,
        {
            "id": conversation_id,
            "window_closes_at": window_closes_at,
            "waits": waits,
            "due_at": due_at,
            "latest": latest,
            "now": now,
        },
    )


def wait_for_files(db: sqlite3.Connection, conversation_id: int, now: float, until: float) -> None:
    """The answer waits for files; more of them that come meanwhile do not make it longer."""
    db.execute(
        f"UPDATE conversations SET files_until = CASE WHEN {FILES_ARE_HERE} THEN :until ELSE files_until END WHERE id = :id",
        {"id": conversation_id, "now": now, "until": until},
    )


def files_are_here(db: sqlite3.Connection, conversation_id: int) -> None:
    db.execute("UPDATE conversations SET files_until = NULL WHERE id = ?", (conversation_id,))


def claim(db: sqlite3.Connection, conversation_id: int, owner: str, now: float, lease_seconds: float) -> Conversation | None:
    """Take the right to write this conversation's answer, if one is owed, due, and nobody holds it."""
    row = db.execute(
        f"""
        UPDATE conversations SET claim_owner = :owner, claim_expires_at = :now + :lease_seconds
        WHERE id = :id AND state = 'bot' AND waiting_since IS NOT NULL
            AND (reply_due_at <= :now OR reply_due_at > :now + {FURTHEST_DUE_SECONDS})
            AND {FILES_ARE_HERE} AND {CLAIM_IS_FREE}
        RETURNING {_COLUMNS}
        """,
        {"id": conversation_id, "owner": owner, "now": now, "lease_seconds": lease_seconds},
    ).fetchone()
    return Conversation(*row) if row else None


def claim_early(
    db: sqlite3.Connection, conversation_id: int, owner: str, now: float, lease_seconds: float, at_least_seconds: float
) -> Conversation | None:
    """Like `claim`, while the quiet period lasts at least so long still."""
    row = db.execute(
        f"""
        UPDATE conversations SET claim_owner = :owner, claim_expires_at = :now + :lease_seconds
        WHERE id = :id AND state = 'bot' AND waiting_since IS NOT NULL
            AND reply_due_at BETWEEN :now + :at_least AND :now + {FURTHEST_DUE_SECONDS}
            AND {FILES_ARE_HERE} AND {CLAIM_IS_FREE}
        RETURNING {_COLUMNS}
        """,
        {
            "id": conversation_id,
            "owner": owner,
            "now": now,
            "lease_seconds": lease_seconds,
            "at_least": at_least_seconds,
        },
    ).fetchone()
    return Conversation(*row) if row else None


def renew(db: sqlite3.Connection, conversation_id: int, owner: str, now: float, lease_seconds: float) -> bool:
    """False if the claim was lost: whatever is being written must not be kept."""
    return (
        db.execute(
            "UPDATE conversations SET claim_expires_at = ? WHERE id = ? AND claim_owner = ?",
            (now + lease_seconds, conversation_id, owner),
        ).rowcount
        == 1
    )


def release(db: sqlite3.Connection, conversation_id: int, owner: str) -> bool:
    """Give the claim back with the answer still owed. False if it was lost before."""
    return (
        db.execute(
            "UPDATE conversations SET claim_owner = NULL, claim_expires_at = NULL WHERE id = ? AND claim_owner = ?",
            (conversation_id, owner),
        ).rowcount
        == 1
    )


def postpone(db: sqlite3.Connection, conversation_id: int, due_at: float) -> None:
    """The answer is still owed, but not before `due_at`."""
    db.execute("UPDATE conversations SET reply_due_at = ? WHERE id = ?", (due_at, conversation_id))


def settle(db: sqlite3.Connection, conversation_id: int) -> None:
    """After messages were answered or given up: what is owed now follows from what still waits."""
    db.execute(
        """
        UPDATE conversations SET
            waiting_since = CASE WHEN still_waits THEN waiting_from END,
            reply_due_at = CASE WHEN still_waits THEN reply_due_at END,
            reply_failures = 0, reply_restarted = 0,
            files_until = CASE WHEN still_waits THEN files_until END,
            held_at = CASE WHEN still_waits THEN held_at END,
            told_wait_at = CASE WHEN still_waits THEN told_wait_at END
        FROM (SELECT COUNT(*) > 0 AS still_waits, MIN(created_at) AS waiting_from
              FROM messages WHERE conversation_id = :id AND state = 'waiting')
        WHERE conversations.id = :id
        """,
        {"id": conversation_id},
    )


def hold(db: sqlite3.Connection, conversation_id: int, now: float) -> None:
    """The holding message was written."""
    db.execute("UPDATE conversations SET held_at = ? WHERE id = ?", (now, conversation_id))


def restart(db: sqlite3.Connection, conversation_id: int) -> None:
    db.execute("UPDATE conversations SET reply_restarted = 1 WHERE id = ?", (conversation_id,))


def count_failure(db: sqlite3.Connection, conversation_id: int) -> int:
    """One more answer that came to nothing; the number of them since the last good one."""
    return db.execute(
        "UPDATE conversations SET reply_failures = reply_failures + 1 WHERE id = ? RETURNING reply_failures",
        (conversation_id,),
    ).fetchone()["reply_failures"]


def need_person(db: sqlite3.Connection, conversation_id: int, reason: str, now: float) -> None:
    db.execute(
        """
        UPDATE conversations SET needs_person_at = COALESCE(needs_person_at, ?), needs_person_reason = ?
        WHERE id = ?
        """,
        (now, reason, conversation_id),
    )


def person_no_longer_needed(db: sqlite3.Connection, conversation_id: int, reason: str) -> None:
    """Take the mark away, if it was set for this `reason`."""
    db.execute(
        """
        UPDATE conversations SET needs_person_at = NULL, needs_person_reason = NULL
        WHERE id = ? AND needs_person_reason = ?
        """,
        (conversation_id, reason),
    )


def take_over(db: sqlite3.Connection, conversation_id: int, user_id: int | None, now: float, resumes_at: float) -> None:
    """A person answers from now on. Whoever is writing the bot's answer loses the claim, and with it the right to keep it.

    An answer from the phone app (`user_id` None) neither takes a conversation from an agent nor shortens their time.
    """
    db.execute(
        """
        UPDATE conversations SET state = 'human', taken_at = CASE WHEN state = 'human' THEN taken_at ELSE ? END,
            taken_by = COALESCE(?, taken_by), resumes_at = MAX(COALESCE(resumes_at, 0), ?),
            claim_owner = NULL, claim_expires_at = NULL
        WHERE id = ?
        """,
        (now, user_id, resumes_at, conversation_id),
    )


def hand_back(db: sqlite3.Connection, conversation_id: int, now: float, *, only_if_left: bool = False) -> bool:
    """The bot answers again, and what waits is due now. False where no person had it.

    `only_if_left`: also False where the person's time is not over (any more: they may just have written).
    """
    return (
        db.execute(
            """
            UPDATE conversations SET state = 'bot', taken_at = NULL, taken_by = NULL, resumes_at = NULL,
                reply_due_at = CASE WHEN waiting_since IS NOT NULL THEN ?1 END
            WHERE id = ?2 AND state <> 'bot' AND (NOT ?3 OR (state = 'human' AND resumes_at <= ?1))
            """,
            (now, conversation_id, only_if_left),
        ).rowcount
        == 1
    )


def close(db: sqlite3.Connection, conversation_id: int) -> None:
    """Done with, until the customer writes again; what still waits is the bot's."""
    db.execute(
        """
        UPDATE conversations SET state = CASE WHEN waiting_since IS NULL THEN 'closed' ELSE 'bot' END, taken_at = NULL, taken_by = NULL, resumes_at = NULL, claim_owner = NULL,
            claim_expires_at = NULL, needs_person_at = NULL, needs_person_reason = NULL
        WHERE id = ?
        """,
        (conversation_id,),
    )


def person_is_there(db: sqlite3.Connection, conversation_id: int) -> None:
    """Whatever a person was needed for, one has come."""
    db.execute("UPDATE conversations SET needs_person_at = NULL, needs_person_reason = NULL WHERE id = ?", (conversation_id,))


def to_hand_back(db: sqlite3.Connection, now: float, limit: int = 1000) -> list[int]:
    """Conversations that a person took over and left alone for as long as the client lets them."""
    rows = db.execute(
        "SELECT id FROM conversations WHERE state = 'human' AND resumes_at <= ? ORDER BY resumes_at LIMIT ?", (now, limit)
    )
    return [row["id"] for row in rows]


def told_wait(db: sqlite3.Connection, conversation_id: int, now: float) -> bool:
    """True for whoever is the first to tell the customer, in this wait, while it is the bot that they wait for."""
    return (
        db.execute(
            """
            UPDATE conversations SET told_wait_at = ?
            WHERE id = ? AND state = 'bot' AND told_wait_at IS NULL AND held_at IS NULL AND waiting_since IS NOT NULL
            """,
            (now, conversation_id),
        ).rowcount
        == 1
    )


def in_line(db: sqlite3.Connection, limit: int = 1000) -> list[Conversation]:
    """Conversations that the model owes an answer, in the order in which it gives them."""
    rows = db.execute(
        f"""
        SELECT {_COLUMNS} FROM conversations WHERE waiting_since IS NOT NULL AND state = 'bot'
        ORDER BY claim_owner IS NULL, waiting_since LIMIT ?
        """,
        (limit,),
    )
    return [Conversation(*row) for row in rows]


def due(
    db: sqlite3.Connection, now: float, lease_seconds: float, limit: int = 1000, without: Sequence[str] = (), usual: str = ""
) -> list[int]:
    """Conversations whose answer is due and which nobody is writing, the longest waiting first.

    `without`: not those of clients that are answered by these models; `usual`: the one of clients that name none.
    """
    of_others = f"AND number_id NOT IN ({_ANSWERED_BY})" if without else ""
    return [
        row["id"]
        for row in db.execute(
            f"""
            SELECT id FROM conversations
            WHERE waiting_since IS NOT NULL AND state = 'bot'
                AND (reply_due_at <= :now OR reply_due_at > :now + {FURTHEST_DUE_SECONDS})
                AND {FILES_ARE_HERE} AND {CLAIM_IS_FREE} {of_others}
            ORDER BY waiting_since LIMIT :limit
            """,
            {"now": now, "lease_seconds": lease_seconds, "limit": limit, "models": json.dumps(list(without)), "usual": usual},
        )
    ]


_ANSWERED_BY = """
    SELECT numbers.id FROM numbers JOIN clients ON clients.id = client_id
    WHERE COALESCE(clients.model, :usual) IN (SELECT value FROM json_each(:models))
"""
