"""The accounts' templates as Meta has them: state, words, and what stands in the way of sending one."""

from flask import Blueprint, render_template

from frontdesk.flows import template_parts
from frontdesk.flows.context import Context
from frontdesk.store import numbers, templates
from frontdesk.web import access
from frontdesk.web.pages import flash, see_other


def template_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("templates", __name__))

    @pages.get("/templates")
    def all_templates():
        found = numbers.of_channel(context.db, "cloud")
        accounts = {number.account_id: number for number in found if number.account_id}
        return render_template(
            "desk/templates.html",
            accounts=[_account(context, account_id) for account_id in accounts],
            without_account=[number for number in found if not number.account_id],
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
