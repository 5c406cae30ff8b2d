"""Whom a program's message goes to and from which number, the same for what goes out now and for what goes out later."""

import sqlite3

from frontdesk.flows.outgoing import CannotSend
from frontdesk.store import conversations, listing
from frontdesk.store.conversations import Conversation


class CannotAddress(CannotSend):
    """`code`: 'not_found' or 'invalid'; `field`: a part of the request, never of the message."""


def find(
    db: sqlite3.Connection, *, conversation_id: int | None, phone: str | None, number_id: int | None, client_id: int | None
) -> tuple[int, Conversation | None]:
    """The number it goes out from, and the conversation where there is one already. Raises CannotAddress.

    Either a conversation or a phone number (digits) says to whom. `client_id`: the one client that the asker may act for, None: every one.
    """
    if conversation_id is not None:
        if listing.conversation(db, conversation_id, client_id=client_id) is None:
            raise CannotAddress("not_found", "There is no such conversation.", "conversation_id")
        known = conversation_id
    else:
        known = listing.conversation_with(db, phone, number_id=number_id, client_id=client_id)
    if known is None:
        return _number(db, number_id, client_id), None
    conversation = conversations.get(db, known)
    return conversation.number_id, conversation


def _number(db: sqlite3.Connection, number_id: int | None, client_id: int | None) -> int:
    if number_id is not None:
        if not listing.number_is_of(db, number_id, client_id=client_id):
            raise CannotAddress("not_found", "There is no such number.", "number_id")
        return number_id
    found = listing.numbers(db, client_id=client_id, after=0, limit=2, by_phone=True)
    if not found:
        raise CannotAddress("not_found", "There is no number yet that it could go out from.", "number_id")
    if len(found) != 1:
        raise CannotAddress("invalid", "Say which of your numbers it goes out from.", "number_id")
    return found[0]["id"]
