"""What the desk calls a customer, in SQL. WhatsApp may tell a user id alone, and an empty name is none."""

import json
import sqlite3

SHOWN_NAME = """COALESCE(NULLIF(TRIM(contacts.name), ''), NULLIF(contacts.username, ''), '+' || contacts.phone,
    'Visitor ' || UPPER(SUBSTR(CASE WHEN contacts.user_id LIKE 'web:%' THEN contacts.user_id END, 5, 4)), contacts.user_id, 'Unknown')"""


def names_of_conversations(db: sqlite3.Connection, conversation_ids: set[int]) -> dict[int, str]:
    rows = db.execute(
        f"""
        SELECT conversations.id, {SHOWN_NAME} AS name FROM conversations JOIN contacts ON contacts.id = contact_id
        WHERE conversations.id IN (SELECT value FROM json_each(?))
        """,
        (json.dumps(list(conversation_ids)),),
    )
    return {row["id"]: row["name"] for row in rows}
