"""Canned answers: texts that agents put in by a shortcut. Everybody of the desk may change them."""

import re

from flask import Blueprint, render_template, request

from frontdesk.flows.context import Context
from frontdesk.flows.take_over import LONGEST_TEXT
from frontdesk.store import audit, canned, clients
from frontdesk.store.database import transaction
from frontdesk.web import access
from frontdesk.web.forms import Form
from frontdesk.web.pages import flash, see_other


def canned_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("canned", __name__))

    @pages.get("/canned")
    def all_canned():
        return _page(context, Form(client=""))

    @pages.post("/canned")
    def put():
        form = Form()
        names = dict(clients.names(context.db))
        shortcut = form.values["shortcut"] = request.form.get("shortcut", "").strip().lstrip("/").lower()
        if not re.fullmatch(r"[\w-]{1,30}", shortcut):
            form.wrong("shortcut", "A shortcut is one word, such as hours.")
        text = form.words("text", "The text", LONGEST_TEXT)
        client = form.choice("client", ("", *map(str, names)))
        if not form:
            return _page(context, form), 422
        with transaction(context.db) as db:
            canned.put(db, int(client) if client else None, shortcut, text)
            audit.record(db, "canned.saved", None, context.now(), shortcut=shortcut)
        flash(f"Typing /{shortcut} in an answer puts it in.", "success")
        return see_other(".all_canned")

    @pages.post("/canned/<int:canned_id>/remove")
    def remove(canned_id: int):
        with transaction(context.db) as db:
            canned.remove(db, canned_id)
            audit.record(db, "canned.removed", f"canned answer {canned_id}", context.now())
        return see_other(".all_canned")

    return pages


def _page(context: Context, form: Form) -> str:
    return render_template(
        "desk/canned.html", answers=canned.all_of_them(context.db), names=dict(clients.names(context.db)), form=form
    )
