"""Whether a message may go out now, whoever writes it: an agent, a program, a schedule. Then it is a row; sending.py does the rest.

What is checked here can change between writing and sending (the 24 hours, a template's state), so sending.py meets it again.
"""

import sqlite3
from dataclasses import dataclass

from frontdesk.channels import Content
from frontdesk.errors import FrontdeskError
from frontdesk.flows import template_parts
from frontdesk.flows.context import Context
from frontdesk.store import messages, numbers, opt_outs, outbox, templates
from frontdesk.store.conversations import Conversation
from frontdesk.store.templates import Template

MOST_OFFERED = 20


class CannotSend(FrontdeskError):
    """Nothing was queued. `code` is for programs, `field` the part of the message that is wrong, the words are for people.

    `templates`: after 'window_closed', those that could go instead, as (name, language).
    """

    def __init__(self, code: str, words: str, field: str | None = None, templates: list[tuple[str, str]] = []):
        self.code, self.field, self.templates = code, field, templates
        super().__init__(words)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """`media_id`: the row of the file it carries, `media` what the desk shows of that file."""

    content: Content
    media_id: int | None = None
    media: dict | None = None
    reply_to_external_id: str | None = None


def check(context: Context, db: sqlite3.Connection, conversation: Conversation, outgoing: Outgoing) -> None:
    """Raises CannotSend."""
    channel = context.channel(numbers.get(db, conversation.number_id).channel)
    if refusal := channel.refusal(outgoing.content):
        raise CannotSend("not_on_this_channel", refusal, "type" if outgoing.content.kind != "text" else "text")
    if outgoing.content.kind == "template":
        return _check_template(db, conversation, outgoing.content)
    if (conversation.window_closes_at or 0) <= context.now():
        raise window_closed(context, db, conversation.number_id)
    target = outgoing.reply_to_external_id
    if target and messages.conversation_of(db, conversation.number_id, target) != conversation.id:
        raise CannotSend("unknown_message", "The message it speaks of is not in this conversation.", "reply_to")


def queue(
    context: Context, db: sqlite3.Connection, conversation: Conversation, outgoing: Outgoing, *, purpose: str, user_id: int | None = None
) -> int:
    """The message's id. Inside a transaction; raises CannotSend. The caller rings (`queues.send`) once it is committed."""
    check(context, db, conversation, outgoing)
    return outbox.queue(
        db,
        conversation.id,
        conversation.number_id,
        outgoing.content,
        purpose=purpose,
        now=context.now(),
        reply_to_external_id=outgoing.reply_to_external_id,
        media_id=outgoing.media_id,
        media=outgoing.media,
        user_id=user_id,
    )


def window_closed(context: Context, db: sqlite3.Connection, number_id: int, words: str = "") -> CannotSend:
    """`words`: why, where it is not that the customer wrote too long ago."""
    number = numbers.get(db, number_id)
    why = words or "The customer last wrote over 24 hours ago."
    if "template" not in context.channel(number.channel).carries:
        return CannotSend("window_closed", f"{why} WhatsApp allows only a template now, and this number sends none from here: send it at its provider.")
    usable = [one for one in templates.approved(db, number.account_id) if not template_parts.obstacle(one)]
    offered = [(one.name, one.language) for one in usable[:MOST_OFFERED]]
    names = ", ".join(f"{name} ({language})" for name, language in offered)
    instead = f" These could go instead: {names}." if names else ""
    return CannotSend("window_closed", f"{why} WhatsApp allows only a template now.{instead}", templates=offered)


def known_template(db: sqlite3.Connection, number_id: int, name: str, language: str) -> Template:
    """Of the number's account. Raises CannotSend."""
    template = templates.find(db, numbers.get(db, number_id).account_id, name, language)
    if template is None:
        raise CannotSend("unknown_template", f"There is no template {name} in {language} on this number's account.", "name")
    return template


def _check_template(db: sqlite3.Connection, conversation: Conversation, content: Content) -> None:
    name = content.body["name"]
    template = known_template(db, conversation.number_id, name, content.body["language"]["code"])
    if obstacle := template_parts.obstacle(template):
        raise CannotSend("template_unusable", f"The template {name}: {obstacle}", "name")
    if is_unwanted_offer(db, conversation, content):
        raise CannotSend("opted_out", "This customer wants no marketing, and the template is of that category.")


def is_unwanted_offer(db: sqlite3.Connection, conversation: Conversation, content: Content) -> bool:
    """Of a template. Asked again when it is sent: it can wait for its number or its file for days."""
    if not opt_outs.wants_none(db, conversation.contact_id, conversation.number_id):
        return False
    account_id = numbers.get(db, conversation.number_id).account_id
    template = templates.find(db, account_id, content.body["name"], content.body["language"]["code"])
    return template is not None and template.category == "MARKETING"
