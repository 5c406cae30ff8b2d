"""Everything that is kept of a person, table by table: what an export holds and what an erasure does to it.

A table that speaks of contacts, conversations or messages stands here, or in NOT_PERSONAL with the reason; a test compares this with
the schema. Rows that only mention somebody (webhooks that were not understood, callbacks) are in MENTIONS and lose that part.
"""

import json
import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

BATCH = 200  # messages deleted in one transaction: 15 ms with a million of them there


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose data: ids and names, all that are known. `phones` as digits, also as WhatsApp may write them otherwise."""

    client_id: int
    contact_id: int
    conversations: tuple[int, ...] = ()
    phones: tuple[str, ...] = ()
    user_ids: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.phones, *self.user_ids)

    @property
    def parameters(self) -> dict[str, Any]:
        return {name: json.dumps(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Rule:
    """`where`: which rows of the table. `scrubbed`: what an erasure sets instead of deleting them. `later`: not in its first, short transaction."""

    table: str
    where: str
    scrubbed: str = ""
    exported: bool = True
    later: bool = False


OF_CONTACT = "contact_id = :contact_id"
OF_CONVERSATION = "conversation_id IN (SELECT value FROM json_each(:conversations))"
OF_MESSAGE = f"message_id IN (SELECT id FROM messages WHERE {OF_CONVERSATION})"
OF_PHONE = "phone IN (SELECT value FROM json_each(:phones))"
OF_SCHEDULE = f"{OF_CONVERSATION} OR (client_id = :client_id AND {OF_PHONE})"

THEIR_GROUPS = f"SELECT group_id FROM questions WHERE {OF_CONVERSATION} AND group_id IS NOT NULL"
OTHERS_GROUPS = f"SELECT group_id FROM questions WHERE NOT ({OF_CONVERSATION}) AND group_id IS NOT NULL"
OTHERS_TEXT = f"""bits = NULL, vector = NULL, text = (
    SELECT questions.text FROM questions WHERE group_id = question_groups.id AND NOT ({OF_CONVERSATION}) ORDER BY questions.id DESC LIMIT 1)"""
OF_DIGEST_TASKS = "client_id = :client_id AND kind = 'digest'"
OF_DAYS = f"""client_id = :client_id AND EXISTS (
    SELECT 1 FROM messages WHERE {OF_CONVERSATION} AND messages.created_at >= begins_at AND messages.created_at < ends_at)"""
LINES_GONE = "remark = 'Its lines are gone: somebody they may have told of was erased.'"

# In the order in which they are erased: what points before what it points to.
RULES = [
    Rule("contact_aliases", OF_CONTACT),
    Rule("contact_tags", OF_CONTACT),
    Rule("opt_outs", OF_CONTACT),
    Rule("visitor_details", OF_CONTACT),
    Rule("widget_references", OF_CONVERSATION),
    # A group of questions is named by one of them: by another's from now on, and found by its words no more.
    Rule("question_groups", f"id IN ({THEIR_GROUPS}) AND id NOT IN ({OTHERS_GROUPS})", exported=False),
    Rule("question_words", f"group_id IN ({THEIR_GROUPS})", exported=False),
    Rule("question_groups", f"id IN ({THEIR_GROUPS})", OTHERS_TEXT, exported=False),
    Rule("questions", OF_CONVERSATION),
    Rule("drafts", OF_CONVERSATION),
    Rule("suggestions", OF_CONVERSATION),
    Rule("notes", OF_CONVERSATION),
    Rule("schedule_firings", f"schedule_id IN (SELECT id FROM schedules WHERE {OF_SCHEDULE})"),
    Rule("schedules", OF_SCHEDULE),
    # The places of an audience's members run without a gap, so the member stays, as nobody.
    Rule(
        "audience_members",
        f"audience_id IN (SELECT id FROM audiences WHERE client_id = :client_id) AND {OF_PHONE}",
        "phone = 'erased ' || position, contact_id = NULL, variables = '{}'",
    ),
    Rule("broadcast_skips", f"broadcast_id IN (SELECT id FROM broadcasts WHERE client_id = :client_id) AND {OF_PHONE}", "phone = ''"),
    Rule("replay_items", OF_MESSAGE, later=True),
    Rule("digests", OF_MESSAGE, "message_id = NULL", exported=False),
    # A digest's lines are the model's, about many people: those of a day on which this one wrote go.
    Rule("document_texts", f"task_id IN (SELECT id FROM document_tasks WHERE {OF_DIGEST_TASKS})", exported=False),
    Rule("document_parts", f"task_id IN (SELECT id FROM document_tasks WHERE {OF_DIGEST_TASKS})", exported=False),
    Rule("document_tasks", OF_DIGEST_TASKS, "state = 'cancelled', claim_owner = NULL, result = NULL, first_answer = NULL, second_answer = NULL", exported=False),
    Rule("digests", OF_DAYS, "state = 'ready', task_id = NULL, lines = '[]', waiting = json_set(waiting, '$.first', json('[]')), " + LINES_GONE, exported=False),
    Rule("knowledge_sources", OF_MESSAGE, exported=False, later=True),
    Rule("knowledge_seen", OF_MESSAGE, exported=False, later=True),
    Rule("tool_calls", OF_MESSAGE, later=True),
    Rule("received_files", OF_MESSAGE, later=True),
    Rule("messages", OF_CONVERSATION, later=True),
    Rule("conversations", OF_CONTACT, later=True),
    Rule("contacts", "id = :contact_id", later=True),
]

# table → its columns that may mention somebody, the first of them being what an export shows.
MENTIONS = {
    "rejected_events": ("body", "webhook"),
    "unmatched_statuses": ("raw",),
    "account_events": ("raw",),
    "callbacks": ("body", "answer"),
    "idempotency": ("answer",),
    "audience_bad_lines": ("text",),
}
EXPORTED_MENTIONS = ("rejected_events", "unmatched_statuses")

# Files: a row of `media` is a person's where no other person's message, schedule or broadcast takes the same along.
NOT_PERSONAL = {
    "erasures": "ids that mean nobody any more",
    "digest_settings": "the number of the business's own people, set on the desk",
    "media": "see `files`: what somebody else uses too stays",
}

HIDDEN = {"claim_owner", "claim_expires_at", "lease_owner", "lease_expires_at", "dismissed_by"}


# --- who --------------------------------------------------------------------------------------------------------------------------


def contacts_named(db: sqlite3.Connection, name: str) -> list[int]:
    """Contacts known by this phone number (digits) or user id, now or before, of all clients; or of this id, as '#17'."""
    if name.startswith("#"):
        rows = db.execute("SELECT id FROM contacts WHERE id = ?", (int(name[1:]),)) if re.fullmatch("[0-9]{1,18}", name[1:]) else []
    else:
        rows = db.execute("SELECT DISTINCT contact_id AS id FROM contact_aliases WHERE value = ? ORDER BY contact_id", (name,))
    return [row["id"] for row in rows]


def subject(db: sqlite3.Connection, contact_id: int, also_known_as=lambda phone: (phone,)) -> Subject | None:
    """`also_known_as`: the ids under which the provider may know a phone number."""
    row = db.execute("SELECT client_id, phone, user_id FROM contacts WHERE id = ?", (contact_id,)).fetchone()
    if row is None:
        return None
    aliases = db.execute("SELECT kind, value FROM contact_aliases WHERE contact_id = ?", (contact_id,)).fetchall()
    phones = {alias["value"] for alias in aliases if alias["kind"] == "phone"} | ({row["phone"]} - {None})
    user_ids = {alias["value"] for alias in aliases if alias["kind"] == "user_id"} | ({row["user_id"]} - {None})
    conversations = db.execute("SELECT id FROM conversations WHERE contact_id = ?", (contact_id,))
    return Subject(
        row["client_id"],
        contact_id,
        tuple(one["id"] for one in conversations),
        tuple(sorted({name for phone in phones for name in also_known_as(phone)})),
        tuple(sorted(user_ids)),
    )


def names_of_client(db: sqlite3.Connection, client_id: int, until: float) -> Iterator[tuple[int, str]]:
    """Contact and each of its names, of those that were there by then."""
    rows = db.execute(
        "SELECT contact_id, value FROM contact_aliases JOIN contacts ON contacts.id = contact_id WHERE contacts.client_id = ? AND created_at <= ?",
        (client_id, until),
    )
    return (tuple(row) for row in rows.fetchall())


def phones_of_client(db: sqlite3.Connection, client_id: int) -> list[str]:
    """Every number on its lists, its broadcasts and its schedules."""
    rows = db.execute(
        """
        SELECT phone FROM audience_members WHERE audience_id IN (SELECT id FROM audiences WHERE client_id = ?1)
        UNION SELECT phone FROM broadcast_skips WHERE broadcast_id IN (SELECT id FROM broadcasts WHERE client_id = ?1)
        UNION SELECT phone FROM schedules WHERE client_id = ?1 AND phone IS NOT NULL
        """,
        (client_id,),
    )
    return [row["phone"] for row in rows]


def forget_phones(db: sqlite3.Connection, client_id: int, phones: Iterable[str]) -> None:
    """Of somebody who is no contact. Inside a transaction."""
    of = Subject(client_id, 0, phones=tuple(phones))
    for rule in RULES:
        if not rule.later and OF_PHONE in rule.where:
            what = f"UPDATE {rule.table} SET {rule.scrubbed}" if rule.scrubbed else f"DELETE FROM {rule.table}"
            db.execute(f"{what} WHERE {rule.where}", of.parameters)


# --- looking ------------------------------------------------------------------------------------------------------------------------


def counts(db: sqlite3.Connection, of: Subject, tables: Collection[str] = (), most: int = -1) -> dict[str, int]:
    """Rows of each table, or of these `tables`; counted up to `most`."""
    wanted = [rule for rule in RULES if rule.exported and (not tables or rule.table in tables)]
    return {
        rule.table: db.execute(f"SELECT COUNT(*) FROM (SELECT 1 FROM {rule.table} WHERE {rule.where} LIMIT {most:d})", of.parameters).fetchone()[0]
        for rule in wanted
    }


def count_files(db: sqlite3.Connection, of: Subject, most_messages: int) -> int:
    """Of the person's newest messages, so many of them, and of their schedules."""
    query = f"""
        SELECT COUNT(*) FROM (
            SELECT media_id FROM (SELECT media_id FROM messages WHERE {OF_CONVERSATION} ORDER BY id DESC LIMIT {most_messages:d})
            WHERE media_id IS NOT NULL
            UNION SELECT media_id FROM schedules WHERE {OF_SCHEDULE} AND media_id IS NOT NULL)
        """
    return db.execute(query, of.parameters).fetchone()[0]


def rows(db: sqlite3.Connection, of: Subject) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """Table after table, all that is kept of the person; JSON as what it says."""
    for rule in RULES:
        if rule.exported:
            found = db.execute(f"SELECT * FROM {rule.table} WHERE {rule.where}", of.parameters)
            yield rule.table, (_readable(row) for row in found)
    for table in EXPORTED_MENTIONS:
        yield table, ({MENTIONS[table][0]: _opened(value)} for value in _mentioned(db, of, table))


def _mentioned(db: sqlite3.Connection, of: Subject, table: str) -> Iterator[str]:
    column = MENTIONS[table][0]
    for row in db.execute(f"SELECT {column} FROM {table} WHERE {_mentions((column,))}", {"names": json.dumps(of.names)}):
        yield row[0]


def _readable(row: sqlite3.Row) -> dict[str, Any]:
    return {name: _opened(row[name]) for name in row.keys() if name not in HIDDEN and row[name] is not None}


def _opened(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value if not isinstance(value, bytes) else None


@dataclass(frozen=True, slots=True)
class File:
    """`only_theirs`: nobody else's message, schedule or broadcast takes it along."""

    media_id: int
    sha256: str | None
    filename: str
    only_theirs: bool


def files(db: sqlite3.Connection, of: Subject) -> list[File]:
    found = db.execute(
        f"""
        SELECT DISTINCT id, sha256, filename,
            NOT EXISTS (SELECT 1 FROM messages WHERE media_id = media.id AND NOT ({OF_CONVERSATION}))
            AND NOT EXISTS (SELECT 1 FROM schedules WHERE media_id = media.id AND NOT ({OF_CONVERSATION} OR COALESCE({OF_PHONE}, FALSE)))
            AND NOT EXISTS (SELECT 1 FROM broadcasts WHERE media_id = media.id) AS only_theirs
        FROM media WHERE id IN (
            SELECT media_id FROM messages WHERE {OF_CONVERSATION} UNION SELECT media_id FROM schedules WHERE {OF_SCHEDULE})
        """,
        of.parameters,
    )
    return [File(row["id"], row["sha256"], row["filename"], bool(row["only_theirs"])) for row in found]


# --- erasing, step by step ----------------------------------------------------------------------------------------------------------


def cut_off(db: sqlite3.Connection, of: Subject) -> None:
    """Inside one short transaction: from here on nobody is known by these names, nothing is written or sent, and what is left is nameless."""
    db.execute(
        f"""
        UPDATE messages SET state = 'withdrawn', due_at = NULL
        WHERE {OF_CONVERSATION} AND state = 'queued'
        """,
        of.parameters,
    )
    for rule in RULES:
        if not rule.later:
            what = f"UPDATE {rule.table} SET {rule.scrubbed}" if rule.scrubbed else f"DELETE FROM {rule.table}"
            db.execute(f"{what} WHERE {rule.where}", of.parameters)
    db.execute(
        f"""
        UPDATE conversations SET state = 'closed', taken_at = NULL, taken_by = NULL, resumes_at = NULL, waiting_since = NULL,
            reply_due_at = NULL, needs_person_at = NULL, needs_person_reason = NULL, claim_owner = NULL, claim_expires_at = NULL, unread = 0
        WHERE {OF_CONTACT}
        """,
        of.parameters,
    )
    db.execute("UPDATE contacts SET phone = NULL, user_id = NULL, username = NULL, name = NULL WHERE id = ?", (of.contact_id,))


def delete_some_messages(db: sqlite3.Connection, contact_id: int) -> bool:
    """A batch; false when none is left. Full-text search, what the bot was shown and broadcasts' figures follow by triggers and keys."""
    found = db.execute(
        "SELECT messages.id FROM messages JOIN conversations ON conversations.id = conversation_id WHERE contact_id = ? LIMIT ?",
        (contact_id, BATCH),
    ).fetchall()
    db.executemany("DELETE FROM messages WHERE id = ?", [tuple(row) for row in found])
    return len(found) == BATCH


def delete_contact(db: sqlite3.Connection, contact_id: int) -> None:
    """With what was written meanwhile."""
    while delete_some_messages(db, contact_id):
        pass
    db.execute("DELETE FROM schedules WHERE conversation_id IN (SELECT id FROM conversations WHERE contact_id = ?)", (contact_id,))
    db.execute("DELETE FROM conversations WHERE contact_id = ?", (contact_id,))
    db.execute("DELETE FROM contacts WHERE id = ?", (contact_id,))


def delete_media(db: sqlite3.Connection, media_ids: Iterable[int]) -> None:
    db.executemany("DELETE FROM media WHERE id = ?", [(media_id,) for media_id in media_ids])
    db.execute("DELETE FROM media_uploads WHERE sha256 NOT IN (SELECT sha256 FROM media WHERE sha256 IS NOT NULL)")


# --- mentions -----------------------------------------------------------------------------------------------------------------------


def _mentions(columns: Iterable[str]) -> str:
    tests = " OR ".join(f"instr({column}, CASE typeof({column}) WHEN 'blob' THEN CAST(name.value AS BLOB) ELSE name.value END)" for column in columns)
    return f"EXISTS (SELECT 1 FROM json_each(:names) AS name WHERE {tests})"


def mentioned_in(db: sqlite3.Connection, names: Iterable[str]) -> list[tuple[str, tuple]]:
    """Table and primary key of every row that mentions one of them. Reads all of these tables: not inside a transaction."""
    given = list(names)
    found = []
    for table, columns in MENTIONS.items():
        key = _key(db, table)
        where = _bad_line_mentions(given) if table == "audience_bad_lines" else _mentions(columns)
        parameters = {"names": json.dumps(given), **_tails(given)}
        found += [(table, tuple(row)) for row in db.execute(f"SELECT {', '.join(key)} FROM {table} WHERE {where}", parameters)]
    return found


def redact(db: sqlite3.Connection, table: str, key: tuple, names: Iterable[str]) -> None:
    """Inside a transaction. The parts that mention them go; a row of which nothing else is left goes too."""
    columns, given = MENTIONS[table], list(names)
    where = " AND ".join(f"{name} = ?" for name in _key(db, table))
    row = db.execute(f"SELECT {', '.join(columns)} FROM {table} WHERE {where}", key).fetchone()
    if row is None:
        return
    values = [without(value, given) for value in row]
    if values[0] in (None, "", "{}", "[]", "null") or table in ("unmatched_statuses", "audience_bad_lines", "idempotency"):
        db.execute(f"DELETE FROM {table} WHERE {where}", key)
        return
    db.execute(f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in columns)} WHERE {where}", (*values, *key))


def without(stored: str | bytes | None, names: list[str]) -> str | bytes | None:
    """JSON without the smallest parts that mention one of the names; what is no JSON goes whole if it does."""
    if stored is None:
        return None
    text = stored.decode("utf-8", "replace") if isinstance(stored, bytes) else stored
    if not any(name in text for name in names):
        return stored
    try:
        kept = json.dumps(_without(json.loads(text), names))
    except (ValueError, RecursionError):
        kept = ""
    if any(name in kept for name in names):
        kept = ""
    return (kept.encode() or None) if isinstance(stored, bytes) else kept


def _without(value: Any, names: list[str]) -> Any:
    """Of a list the elements that mention them go, unless it is only a part of such an element that does."""
    if not any(name in json.dumps(value) for name in names):
        return value
    if isinstance(value, list):
        return [kept for one in value if (kept := _without(one, names)) is not None]
    if not isinstance(value, dict):
        return None
    kept = {key: _without(one, names) for key, one in value.items() if isinstance(one, (dict, list))}
    plain = {key: one for key, one in value.items() if not isinstance(one, (dict, list))}
    if any(name in json.dumps(plain) for name in names):
        return None
    return plain | {key: one for key, one in kept.items() if one not in (None, {}, [])}


def _key(db: sqlite3.Connection, table: str) -> list[str]:
    rows = db.execute("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (table,))
    return [row["name"] for row in rows]


def _tails(names: list[str]) -> dict[str, str]:
    return {f"tail{place}": name[-8:] for place, name in enumerate(names)}


def _bad_line_mentions(names: list[str]) -> str:
    """In lists numbers stand as people write them: compared by their last eight digits."""
    digits = "text"
    for character in (" ", "-", "/", "(", ")", ".", "\u00a0"):
        digits = f"replace({digits}, '{character}', '')"
    return " OR ".join(f"instr({digits}, :tail{place})" for place in range(len(names))) or "FALSE"
