"""Messages that are taken back before they go out: what nobody wants any more waits for no other attempt."""

import sqlite3

from frontdesk.errors import SendError
from frontdesk.store.outbox import OPEN, Outbound

# A dead letter that a person retried is theirs, whoever wrote it first.
_NOT_RETRIED_BY_PERSON = """
    NOT EXISTS (SELECT 1 FROM messages AS dead WHERE dead.conversation_id = messages.conversation_id AND dead.retried_as = messages.id)
"""


def withdraw_answers(db: sqlite3.Connection, conversation_id: int) -> list[int]:
    """What the bot wrote and nobody is sending at this moment, also what waits for a retry, is not sent. Returns the ids."""
    rows = db.execute(
        f"""
        UPDATE messages SET state = 'withdrawn', due_at = NULL
        WHERE conversation_id = ? AND {OPEN} AND state = 'queued' AND purpose IN ('answer', 'holding')
            AND {_NOT_RETRIED_BY_PERSON}
        RETURNING id
        """,
        (conversation_id,),
    )
    return [row["id"] for row in rows.fetchall()]


_TAKEN_OVER = f"""
    purpose = 'answer' AND {_NOT_RETRIED_BY_PERSON} AND EXISTS (
        SELECT 1 FROM conversations WHERE conversations.id = conversation_id AND conversations.state = 'human' AND taken_at >= messages.created_at)
"""
_UNWANTED_OFFER = """
    purpose = 'broadcast' AND (
        EXISTS (SELECT 1 FROM broadcasts WHERE broadcasts.id = broadcast_id AND broadcasts.state = 'cancelled')
        OR EXISTS (
            SELECT 1 FROM conversations JOIN opt_outs ON opt_outs.contact_id = conversations.contact_id
            WHERE conversations.id = conversation_id AND (opt_outs.number_id IS NULL OR opt_outs.number_id = messages.number_id)))
"""


def withdraw_unwanted(db: sqlite3.Connection, message: Outbound, error: SendError, *, was_accepted: bool = False) -> bool:
    """True if this attempt failed and nobody wants another: of the bot's answer because a person has taken the conversation over since it
    was written, of a broadcast because it was cancelled or its recipient opted out. `was_accepted` as in again().
    """
    return (
        db.execute(
            f"""
            UPDATE messages SET state = 'withdrawn', due_at = NULL, lease_owner = NULL, lease_expires_at = NULL,
                error_code = ?, error_title = ?, error_details = ?
            WHERE id = ? AND attempt = ? AND public_id = ? AND (state IN ('sending', 'unknown') OR (? AND state = 'sent'))
                AND (({_TAKEN_OVER}) OR ({_UNWANTED_OFFER}))
            """,
            (error.code, error.title, error.details, message.id, message.attempt, message.public_id, was_accepted),
        ).rowcount
        == 1
    )
