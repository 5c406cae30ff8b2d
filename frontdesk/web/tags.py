"""Tags of the customer in a conversation, put on and taken off by anybody of the desk."""

from flask import Blueprint, abort, redirect, request, url_for

from frontdesk.flows.context import Context
from frontdesk.store import conversations, numbers, tags
from frontdesk.web import access
from frontdesk.web.pages import flash

MOST_TAGS = 30  # of one contact


def tag_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("tags", __name__))
    pages.add_app_template_global(lambda contact_id: tags.of_contact(context.db, contact_id), "contact_tags")

    @pages.post("/inbox/<int:conversation_id>/tags")
    def put(conversation_id: int):
        client_id, contact_id = _customer(context, conversation_id)
        tag = tags.normal(request.form.get("tag", ""))
        if tag and len(tags.of_contact(context.db, contact_id)) >= MOST_TAGS:
            flash(f"A customer has at most {MOST_TAGS} tags.", "warning")
        elif tag:
            tags.add(context.db, client_id, [contact_id], tag)
        return redirect(url_for("thread.show", conversation_id=conversation_id), 303)

    @pages.post("/inbox/<int:conversation_id>/tags/remove")
    def remove(conversation_id: int):
        client_id, contact_id = _customer(context, conversation_id)
        tags.remove(context.db, client_id, [contact_id], request.form.get("tag", ""))
        return redirect(url_for("thread.show", conversation_id=conversation_id), 303)

    return pages


def _customer(context: Context, conversation_id: int) -> tuple[int, int]:
    conversation = conversations.get(context.db, conversation_id) or abort(404, "There is no such conversation.")
    return numbers.get(context.db, conversation.number_id).client_id, conversation.contact_id
