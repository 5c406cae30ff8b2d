"""The accounts' templates as Meta has them: state, words, and what stands in the way of sending one."""

from flask import Blueprint, render_template

from frontdesk.flows import template_parts
from frontdesk.flows.context import Context
from frontdesk.store import numbers, templates, widgets
from frontdesk.web import access
from frontdesk.web.pages import flash, see_other


def template_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("templates", __name__))

    @pages.get("/templates")
    def all_templates():
        accounts = {number.account_id: number for number in numbers.all_of_them(context.db) if number.account_id}
        return render_template(
            "desk/templates.html",
            accounts=[_account(context, account_id) for account_id in accounts],
            without_account=[number for number in numbers.all_of_them(context.db) if not number.account_id and number.channel != widgets.CHANNEL],
        )

    @pages.post("/templates/refresh")
    def refresh():
        context.queues.refresh_templates()
        flash("They are read from Meta now; look again in a moment.", "success")
        return see_other(".all_templates")

    return pages


def _account(context: Context, account_id: str) -> dict:
    found = templates.of_account(context.db, account_id)
    return {
        "id": account_id,
        "read": templates.last_read(context.db, account_id),
        "templates": [(one, template_parts.preview(one, {}), template_parts.obstacle(one), template_parts.header_file(one)) for one in found],
    }
