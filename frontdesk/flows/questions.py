"""Questions that the documents did not answer, written down in the transaction of what happened, so that none is lost or doubled.

What counts: nothing that was found fits, the model said that it does not know, or a person stepped in. Greetings never do.
"""

import sqlite3
from collections.abc import Sequence

from frontdesk.flows.person_words import asks_for_person
from frontdesk.flows.small_talk import asks_nothing
from frontdesk.store import questions
from frontdesk.store.clients import Client
from frontdesk.store.messages import Waiting

PERSON = "person"
LOOKED_BACK_SECONDS = 24 * 3600  # what was asked longer ago is not what a person came for
LOOKED_AT = 10


def missed(db: sqlite3.Connection, client: Client, conversation_id: int, waiting: Sequence[Waiting], gap: str, now: float) -> None:
    """The answer to these messages is kept, and the documents had nothing for it."""
    asking = [message for message in waiting if not asks_nothing(message.text)]
    if asking:
        text = "\n".join(message.text.strip() for message in asking)
        questions.record(db, client.id, conversation_id, asking[-1].id, gap, text, now)


def person_stepped_in(db: sqlite3.Connection, client: Client, conversation_id: int, now: float) -> None:
    """The newest thing that the customer asked, besides asking for a person."""
    for message_id, text in questions.newest_texts(db, conversation_id, now - LOOKED_BACK_SECONDS, LOOKED_AT):
        if not asks_nothing(text) and not asks_for_person(text, client.person_words):
            questions.record(db, client.id, conversation_id, message_id, PERSON, text.strip(), now)
            return


def first_answer_of_person(db: sqlite3.Connection, state: str, conversation_id: int, taken_at: float | None) -> bool:
    """Whether a person begins to answer here: what is said in a long talk with them is no gap in the documents."""
    return state != "human" or not questions.person_wrote_since(db, conversation_id, taken_at or 0)
