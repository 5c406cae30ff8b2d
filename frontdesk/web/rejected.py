"""Rejected events: webhooks, or parts of them, that were not understood. Look, take in again after a fix, dismiss. For owners."""

import json

from flask import Blueprint, abort, render_template, request

from frontdesk.flows import dead_letters as flow
from frontdesk.flows.context import Context
from frontdesk.store import audit, events
from frontdesk.store.database import transaction
from frontdesk.web import access
from frontdesk.web.dead_letters import tab_counts
from frontdesk.web.pages import flash, see_other

PAGE = 20
PREVIEW = 2000  # characters of a body in the list; its own page has all of it


def rejected_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("rejected", __name__), role=access.OWNER)

    @pages.get("/rejected")
    def rejected():
        found = events.rejected(context.db, before=request.args.get("before", type=int), limit=PAGE + 1)
        return render_template(
            "desk/rejected.html",
            rejected=[(event, pretty(event.body)) for event in found[:PAGE]],
            preview=PREVIEW,
            older=found[PAGE - 1].id if len(found) > PAGE else None,
            one=False,
            **tab_counts(context),
        )

    @pages.get("/rejected/<int:event_id>")
    def one(event_id: int):
        event = events.get_rejected(context.db, event_id)
        if event is None:
            abort(404)
        shown = [(event, pretty(event.body))]
        return render_template("desk/rejected.html", rejected=shown, preview=None, older=None, one=True, **tab_counts(context))

    @pages.post("/rejected/<int:event_id>/replay")
    def replay(event_id: int):
        if flow.replay(context, event_id):
            flash("Taken in again. In a moment it is gone from here, or still not understood.", "success")
        else:
            flash("It was settled already, or its whole webhook was not kept.", "warning")
        return see_other(".rejected")

    @pages.post("/rejected/<int:event_id>/dismiss")
    def dismiss(event_id: int):
        with transaction(context.db) as db:
            events.dismiss_rejected(db, event_id, context.now())
            audit.record(db, "rejected.dismissed", f"rejected event {event_id}", context.now())
        flash("Dismissed.", "success")
        return see_other(".rejected")

    return pages


def pretty(body: str) -> str:
    """Indented where it is JSON. What could not be parsed or stored is kept as a string, which may itself hold JSON."""
    value = _read(body)
    if isinstance(value, str):
        value = _read(value)
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _read(text: str):
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
