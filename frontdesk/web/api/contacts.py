"""People: who they are, and that they want no marketing."""

from frontdesk.flows.refusals import Refused
from frontdesk.store import contacts, listing
from frontdesk.web.api import models
from frontdesk.web.api.operation import Call, Operation, page, sound


def _contacts(call: Call) -> models.Contacts:
    rows, following = page(call, listing.contacts, client_id=call.token.client_id)
    return models.Contacts(items=[_as_contact(row) for row in rows], next_cursor=following)


def _contact(call: Call) -> models.Contact:
    return _as_contact(_known(call))


def _opt_out(call: Call) -> models.Contact:
    contacts.set_marketing(call.context.db, _known(call)["id"], True, call.context.now())
    return _contact(call)


def _known(call: Call) -> dict:
    row = listing.contact(call.context.db, call.path["contact_id"], client_id=call.token.client_id)
    if row is None:
        raise Refused(404, "not_found", "There is no such contact.")
    return row


def _as_contact(row: dict) -> models.Contact:
    named = {name: sound(value) if isinstance(value, str) else value for name, value in row.items()}
    return models.Contact(marketing_stopped=named.pop("marketing_stopped_at") is not None, **named)


OPERATIONS = [
    Operation("listContacts", "GET", "/contacts", "read", "Contacts, oldest first", models.Page, models.Contacts, 200, _contacts),
    Operation("getContact", "GET", "/contacts/<int:contact_id>", "read", "One contact", None, models.Contact, 200, _contact, (404,)),
    Operation(
        "optOut", "POST", "/contacts/<int:contact_id>/opt-out", "send", "This person wants no marketing; only they can take that back",
        None, models.Contact, 200, _opt_out, (404,),
    ),
]  # fmt: skip
