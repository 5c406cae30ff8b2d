"""A database that was brought back: what it was about to send and to answer may have happened after it was copied."""

import sqlite3
from contextlib import closing
from pathlib import Path

from frontdesk.store import audit

RESTORED = "restored"


def leave_to_people(db: sqlite3.Connection, now: float) -> tuple[int, int]:
    """Nothing of it goes out by itself: sends become dead letters, answers a person's, schedules that were due pause. Returns how
    many sends and answers. Inside a transaction."""
    sends = db.execute(
        """
        UPDATE messages SET state = 'failed', failed_at = ?, due_at = NULL, lease_owner = NULL, lease_expires_at = NULL,
            error_code = NULL, error_title = 'Brought back from a backup', error_details = 'It may have gone out after that backup was made.'
        WHERE direction = 'out' AND state IN ('queued', 'sending', 'unknown')
        """,
        (now,),
    ).rowcount
    db.execute(
        """
        UPDATE conversations SET needs_person_at = COALESCE(needs_person_at, ?), needs_person_reason = COALESCE(needs_person_reason, ?),
            waiting_since = NULL, reply_due_at = NULL, reply_failures = 0, reply_restarted = 0, held_at = NULL, told_wait_at = NULL,
            claim_owner = NULL, claim_expires_at = NULL
        WHERE waiting_since IS NOT NULL
        """,
        (now, RESTORED),
    )
    answers = db.execute("UPDATE messages SET state = 'unanswered' WHERE direction = 'in' AND state = 'waiting'").rowcount
    db.execute("UPDATE schedules SET state = 'paused', updated_at = ?1 WHERE state = 'active' AND next_at <= ?1", (now,))
    db.execute(
        """
        UPDATE broadcasts SET state = 'paused', pause_code = 'restored',
            pause_words = 'Brought back from a backup: recipients may have had it after that backup was made. Look before you resume.'
        WHERE state IN ('running', 'scheduled')
        """
    )
    return sends, answers


def audit_since(path: Path, at: float) -> list[audit.Entry]:
    """What the database at `path` recorded since then, oldest first; nothing where it is not there, is damaged or knows no such log."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            return list(audit.oldest_first(db, since=at))
    except sqlite3.Error:
        return []
