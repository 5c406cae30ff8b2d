"""From what somebody gave (contents.py) to what can be queued (outgoing.py): templates filled in, files found or asked for.

Imported where something is written, not by the workers: contents.py brings pydantic.
"""

import sqlite3
from typing import Any

from frontdesk.channels import Content
from frontdesk.flows import contents, template_parts
from frontdesk.flows.context import Context
from frontdesk.flows.outgoing import CannotSend, Outgoing
from frontdesk.flows.template_parts import BadVariable
from frontdesk.store import numbers, templates


def outgoing(context: Context, db: sqlite3.Connection, number_id: int, given: contents.Sendable, reply_to: str | None = None) -> Outgoing:
    """Inside a transaction. Raises CannotSend, with the field that is wrong."""
    if isinstance(given, contents.TemplateMessage):
        return _template(context, db, number_id, given)
    if isinstance(given, contents.ReactionMessage):
        return Outgoing(given.content(), reply_to_external_id=given.message_id)
    return Outgoing(given.content(), reply_to_external_id=reply_to)


def _template(context: Context, db: sqlite3.Connection, number_id: int, given: contents.TemplateMessage) -> Outgoing:
    template = templates.find(db, numbers.get(db, number_id).account_id, given.name, given.language)
    if template is None:
        raise CannotSend("unknown_template", f"There is no template {given.name} in {given.language} on this number's account.", "name")
    kind = template_parts.header_file(template)
    _check_header(kind, given.header)
    try:
        filled = template_parts.fill(template, given.variables, given.header and given.header.filename)
    except BadVariable as error:
        raise CannotSend("bad_variable", str(error), error.field) from None
    return Outgoing(filled.content)


def _check_header(kind: str | None, header: contents.HeaderFile | None) -> None:
    if kind and header is None:
        raise CannotSend("invalid", f"The template's heading is a file: give header with type {kind}.", "header")
    if header and header.type != kind:
        wants = f"wants one of type {kind}" if kind else "has no file in its heading"
        raise CannotSend("invalid", f"The template {wants}.", "header")
