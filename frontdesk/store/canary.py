"""The canary's own client and number, the message that is under way, and how the last ones went. Its conversation is deleted each time."""

import sqlite3
from dataclasses import dataclass

from frontdesk.settings import Settings
from frontdesk.store import clients, numbers, personal

CHANNEL = EXTERNAL_ID = "canary"
CLIENT_NAME = "Canary (Frontdesk's own)"
PROMPT = "You are asked whether you are there. Answer with the one word: Yes."


@dataclass(frozen=True, slots=True)
class Canary:
    """`mark`: the external id of the message under way, None: there is none. `seconds`: of the last that came through, at `ok_at`.

    `failures`: since then, and in `words` what became of the last of them.
    """

    client_id: int
    number_id: int
    mark: str | None
    begun_at: float
    ok_at: float | None
    seconds: float | None
    failures: int
    words: str | None


_COLUMNS = ", ".join(Canary.__slots__)


def get(db: sqlite3.Connection) -> Canary | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM canary").fetchone()
    return Canary(*row) if row else None


def prepare(db: sqlite3.Connection, settings: Settings, now: float) -> None:
    """Its client and number, once. Inside a transaction."""
    if get(db):
        return
    client_id = clients.find(db, CLIENT_NAME) or clients.add(db, CLIENT_NAME, PROMPT, now)
    number_id = numbers.put(db, settings, client_id=client_id, channel=CHANNEL, external_id=EXTERNAL_ID, access_token="none", now=now)
    db.execute("INSERT INTO canary (only_one, client_id, number_id) VALUES (1, ?, ?)", (client_id, number_id))


def begin(db: sqlite3.Connection, mark: str, now: float) -> bool:
    """False: one is under way."""
    return db.execute("UPDATE canary SET mark = ?, begun_at = ? WHERE mark IS NULL", (mark, now)).rowcount == 1


def answered_at(db: sqlite3.Connection, mark: str) -> float | None:
    """When the answer to this message was sent."""
    return db.execute(
        """
        SELECT MIN(answer.sent_at) FROM canary
        JOIN messages AS asked ON asked.number_id = canary.number_id AND asked.external_id = ?
        JOIN messages AS answer ON answer.conversation_id = asked.conversation_id AND answer.direction = 'out' AND answer.purpose = 'answer'
        """,
        (mark,),
    ).fetchone()[0]


def came_through(db: sqlite3.Connection, mark: str, seconds: float, now: float) -> bool:
    """False: somebody else settled it."""
    return (
        db.execute(
            "UPDATE canary SET mark = NULL, ok_at = ?, seconds = ?, failures = 0, words = NULL WHERE mark = ?", (now, seconds, mark)
        ).rowcount
        == 1
    )


def failed(db: sqlite3.Connection, mark: str, words: str) -> bool:
    return db.execute("UPDATE canary SET mark = NULL, failures = failures + 1, words = ? WHERE mark = ?", (words, mark)).rowcount == 1


def remove_rows(db: sqlite3.Connection) -> None:
    """Its contacts, conversations and messages, with all that hangs on them. Inside a transaction."""
    contacts = db.execute("SELECT id FROM contacts WHERE client_id = (SELECT client_id FROM canary)").fetchall()
    for contact in contacts:
        of = personal.subject(db, contact["id"])
        personal.cut_off(db, of)
        personal.delete_contact(db, of.contact_id)
