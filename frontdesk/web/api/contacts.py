"""People: who they are, and that they want no marketing."""

import io

from frontdesk.flows import erasing, personal_export
from frontdesk.flows.refusals import Refused
from frontdesk.store import listing, opt_outs, tags
from frontdesk.store.database import transaction
from frontdesk.web.api import models
from frontdesk.web.api.operation import Call, Operation, Raw, page, sound

ZIP = "application/zip"


def _contacts(call: Call) -> models.Contacts:
    rows, following = page(call, listing.contacts, client_id=call.token.client_id)
    return models.Contacts(items=[_as_contact(call, row) for row in rows], next_cursor=following)


def _contact(call: Call) -> models.Contact:
    return _as_contact(call, _known(call))


def _opt_out(call: Call) -> models.Contact:
    with transaction(call.context.db) as db:
        opt_outs.put(db, _known(call)["id"], None, call.context.now())
    return _contact(call)


def _tag(call: Call) -> models.Contact:
    row, tag = _known(call), tags.normal(call.given.tag)
    if not tag:
        raise Refused(422, "invalid", "A tag has a letter or a digit at least.", "tag")
    tags.add(call.context.db, row["client_id"], [row["id"]], tag)
    return _contact(call)


def _untag(call: Call) -> models.Contact:
    row = _known(call)
    tags.remove(call.context.db, row["client_id"], [row["id"]], call.path["tag"])
    return _contact(call)


def _export(call: Call) -> Raw:
    file = io.BytesIO()
    personal_export.write(call.context, _known(call)["id"], file)
    return Raw(file.getvalue(), ZIP)


def _erase(call: Call) -> models.Erased:
    contact_id = _known(call)["id"]
    erasing.erase(call.context, contact_id)
    return models.Erased(contact_id=contact_id, erased=True)


def _known(call: Call) -> dict:
    row = listing.contact(call.context.db, call.path["contact_id"], client_id=call.token.client_id)
    if row is None:
        raise Refused(404, "not_found", "There is no such contact.")
    return row


def _as_contact(call: Call, row: dict) -> models.Contact:
    worn = tags.of_contact(call.context.db, row["id"])
    named = {name: sound(value) if isinstance(value, str) else value for name, value in row.items()}
    return models.Contact(marketing_stopped=bool(named.pop("marketing_stopped")), tags=worn, **named)


OPERATIONS = [
    Operation("listContacts", "GET", "/contacts", "read", "Contacts, oldest first", models.Page, models.Contacts, 200, _contacts),
    Operation("getContact", "GET", "/contacts/<int:contact_id>", "read", "One contact", None, models.Contact, 200, _contact, (404,)),
    Operation(
        "optOut", "POST", "/contacts/<int:contact_id>/opt-out", "send", "This person wants no marketing; only they can take that back",
        None, models.Contact, 200, _opt_out, (404,),
    ),
    Operation(
        "exportContact", "GET", "/contacts/<int:contact_id>/export", "privacy", "Everything that is kept of a person, as a ZIP file", None,
        models.Contact, 200, _export, (404,), media=(ZIP,),
    ),
    Operation(
        "eraseContact", "DELETE", "/contacts/<int:contact_id>", "privacy", "Erase a person for ever: messages, notes, schedules, files", None,
        models.Erased, 200, _erase, (404,),
    ),
    Operation("addTag", "POST", "/contacts/<int:contact_id>/tags", "send", "Put a tag on a contact", models.AddTag, models.Contact, 200, _tag, (404,)),
    Operation(
        "removeTag", "DELETE", "/contacts/<int:contact_id>/tags/<tag>", "send", "Take a tag off a contact", None, models.Contact, 200, _untag, (404,)
    ),
]  # fmt: skip
