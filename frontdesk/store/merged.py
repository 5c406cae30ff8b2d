"""Two conversations on one number that turn out to be one person's: one of them goes, and nothing that it had does."""

import sqlite3

# What hangs on a conversation. Its draft goes with it: that answers messages which do not stand alone any more.
_PARTS = ("messages", "schedules", "notes", "questions", "suggestions")


def merge(db: sqlite3.Connection, *, keep: int, gone: int) -> None:
    """Ids of conversations. What either waits for is owed, and who has either keeps it. Inside a transaction."""
    for table in _PARTS:
        db.execute(f"UPDATE {table} SET conversation_id = ? WHERE conversation_id = ?", (keep, gone))
    db.execute("UPDATE OR IGNORE widget_references SET conversation_id = ? WHERE conversation_id = ?", (keep, gone))
    db.execute("UPDATE widget_references SET joined_conversation_id = ? WHERE joined_conversation_id = ?", (keep, gone))
    db.execute(
        """
        UPDATE conversations AS ours SET
            state = CASE WHEN 'human' IN (ours.state, theirs.state) THEN 'human' WHEN 'bot' IN (ours.state, theirs.state) THEN 'bot' ELSE 'closed' END,
            taken_at = COALESCE(ours.taken_at, theirs.taken_at),
            taken_by = COALESCE(ours.taken_by, theirs.taken_by),
            resumes_at = COALESCE(MAX(ours.resumes_at, theirs.resumes_at), ours.resumes_at, theirs.resumes_at),
            needs_person_at = COALESCE(MIN(ours.needs_person_at, theirs.needs_person_at), ours.needs_person_at, theirs.needs_person_at),
            needs_person_reason = COALESCE(ours.needs_person_reason, theirs.needs_person_reason),
            window_closes_at = COALESCE(MAX(ours.window_closes_at, theirs.window_closes_at), ours.window_closes_at, theirs.window_closes_at),
            waiting_since = COALESCE(MIN(ours.waiting_since, theirs.waiting_since), ours.waiting_since, theirs.waiting_since),
            reply_due_at = COALESCE(MIN(ours.reply_due_at, theirs.reply_due_at), ours.reply_due_at, theirs.reply_due_at),
            held_at = COALESCE(ours.held_at, theirs.held_at),
            told_wait_at = COALESCE(ours.told_wait_at, theirs.told_wait_at),
            files_until = COALESCE(ours.files_until, theirs.files_until),
            has_files = MAX(ours.has_files, theirs.has_files),
            unread = ours.unread + theirs.unread,
            last_message_id = COALESCE(MAX(ours.last_message_id, theirs.last_message_id), ours.last_message_id, theirs.last_message_id),
            last_message_at = MAX(ours.last_message_at, theirs.last_message_at)
        FROM (SELECT * FROM conversations WHERE id = :gone) AS theirs WHERE ours.id = :keep
        """,
        {"keep": keep, "gone": gone},
    )
    db.execute("DELETE FROM conversations WHERE id = ?", (gone,))
