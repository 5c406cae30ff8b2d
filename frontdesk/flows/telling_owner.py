"""A template message to somebody of the business itself, who has never written: by which number, in which conversation."""

import sqlite3
from collections.abc import Iterable

from frontdesk.channels import Person
from frontdesk.flows.context import Context
from frontdesk.store import contacts, conversations, listing, templates
from frontdesk.store.numbers import Number
from frontdesk.store.templates import Template


def number_with_template(db: sqlite3.Connection, known: Iterable[Number], name: str, language: str) -> tuple[Number, Template] | None:
    """The first of these numbers whose account has the template, one that is not stopped where there is such."""
    for number in sorted(known, key=lambda number: (number.stopped_at is not None, number.id)):
        if template := templates.find(db, number.account_id, name, language):
            return number, template
    return None


def conversation(context: Context, db: sqlite3.Connection, number: Number, phone: str) -> int:
    """Inside a transaction."""
    known = listing.conversation_with(db, phone, number_id=number.id, client_id=number.client_id)
    if known is not None:
        return known
    contact_id = contacts.resolve(db, number.client_id, Person(phone=phone), context.now())
    return conversations.of(db, number.id, contact_id, context.now())
