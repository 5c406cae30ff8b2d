"""Audiences: lists of recipients, uploaded, pasted or chosen among the contacts; how far they are read; what was left out. For owners."""

import csv
import io
import sqlite3
from collections.abc import Iterator

from flask import Blueprint, Response, abort, g, render_template, request, stream_with_context
from werkzeug.utils import secure_filename

from frontdesk.errors import BadFilter
from frontdesk.flows import audience, contact_filter
from frontdesk.flows.context import Context
from frontdesk.store import audience_members, audiences, clients, tags
from frontdesk.store.audience_members import BadLine
from frontdesk.web import access, uploads
from frontdesk.web.audience_forms import EMPTY, WAYS, choices, read_contacts, read_list
from frontdesk.web.forms import Form
from frontdesk.web.pages import flash, see_other, wants_fragment

LARGEST_UPLOAD_BYTES = 64 * 1024 * 1024  # a million rows with three variables
LARGEST_PASTE_BYTES = 8 * 1024 * 1024
TOO_LARGE = f"An uploaded list has at most {LARGEST_UPLOAD_BYTES // 2**20} MB and a pasted one {LARGEST_PASTE_BYTES // 2**20} MB. Split it in two."
SHOWN_MEMBERS, SHOWN_LINES = 10, 10
PAGE = 30

CAUSES = {"bad": "not a recipient", "opted_out": "opted out", "unreachable": "not reachable"}


def audience_pages(context: Context) -> Blueprint:
    pages = Blueprint("audiences", __name__)
    uploads.take(pages, ("audiences.add",), upload_bytes=LARGEST_UPLOAD_BYTES, typed_bytes=LARGEST_PASTE_BYTES, too_large=TOO_LARGE)
    access.protect(pages, role=access.OWNER)

    @pages.get("/audiences")
    def all_audiences():
        found = audiences.newest(context.db, before=request.args.get("before", type=int), limit=PAGE + 1)
        return render_template(
            "desk/audiences.html",
            audiences=found[:PAGE],
            names=dict(clients.names(context.db)),
            older=found[PAGE - 1].id if len(found) > PAGE else None,
        )

    @pages.get("/audiences/new")
    def new():
        way = request.args.get("way", "file")
        return _new_page(context, way if way in WAYS else "file", Form(**EMPTY), request.args.get("client", type=int))

    @pages.post("/audiences")
    def add():
        form = Form(**EMPTY)
        way = form.choice("way", WAYS)
        if way == "contacts":
            return _choose(context, form)
        return _take_list(context, form, way if way in WAYS else "file")

    @pages.get("/audiences/<int:audience_id>")
    def show(audience_id: int):
        found = _audience(context, audience_id)
        return render_template("desk/_audience.html" if wants_fragment() else "desk/audience.html", **_shown(context, found))

    @pages.get("/audiences/<int:audience_id>/left-out.csv")
    def left_out(audience_id: int):
        found = _audience(context, audience_id)
        lines = _as_csv(audience_members.all_bad_lines(context.db, found.id))
        name = secure_filename(f"{found.name} left out.csv") or "left_out.csv"
        return Response(stream_with_context(lines), mimetype="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}"'})

    @pages.post("/audiences/<int:audience_id>/again")
    def again(audience_id: int):
        """The same filter asked once more: an audience is a list of that moment."""
        found = _audience(context, audience_id)
        if not found.filter:
            abort(404)
        chosen_id = audience.from_contacts(
            context, found.client_id, contact_filter.loads(found.filter), name=found.name, source=found.source, created_by=g.user.id
        )
        return see_other(".show", audience_id=chosen_id)

    @pages.post("/audiences/<int:audience_id>/delete")
    def delete(audience_id: int):
        found = _audience(context, audience_id)
        try:
            audience.delete(context, audience_id)
        except sqlite3.IntegrityError:
            flash(f"{found.name} is in use by a broadcast and stays.", "warning")
            return see_other(".show", audience_id=audience_id)
        flash(f"{found.name} is deleted.", "success")
        return see_other(".all_audiences")

    return pages


def _audience(context: Context, audience_id: int) -> audiences.Audience:
    return audiences.get(context.db, audience_id) or abort(404, "There is no such audience; it may have been deleted.")


def _take_list(context: Context, form: Form, way: str):
    wanted = read_list(context, form, way)
    if not form:
        return _new_page(context, way, form, wanted.client_id), 422
    audience_id = audience.from_file(
        context, wanted.client_id, wanted.stream, name=wanted.name, source=wanted.source, region=wanted.region, created_by=g.user.id
    )
    if wanted.region:
        clients.change(context.db, wanted.client_id, {"region": wanted.region}, context.now())
    return see_other(".show", audience_id=audience_id)


def _choose(context: Context, form: Form):
    """With 'count' pressed it is only counted."""
    counts_only = "count" in request.form
    wanted = read_contacts(context, form, name_needed=not counts_only)
    if not form:
        return _new_page(context, "contacts", form, wanted.client_id), 422
    try:
        filter = contact_filter.checked(wanted.filter)
    except BadFilter as error:
        form.wrong(error.field, str(error))
        return _new_page(context, "contacts", form, wanted.client_id), 422
    if counts_only:
        counted = contact_filter.count(context.db, wanted.client_id, filter, context.now())
        about, noun = "Up to " if contact_filter.is_about(filter) else "", "contact" if counted == 1 else "contacts"
        words = f"{about}{counted:,} {noun}: {contact_filter.words(filter)}."
        return _new_page(context, "contacts", form, wanted.client_id, counted=words)
    audience_id = audience.from_contacts(
        context, wanted.client_id, filter, name=wanted.name, source=wanted.source, created_by=g.user.id
    )
    return see_other(".show", audience_id=audience_id)


def _new_page(context: Context, way: str, form: Form, client_id: int | None, counted: str = "") -> str:
    names = clients.names(context.db)
    client_id = client_id if client_id in dict(names) else names[0][0] if names else None
    form.values["client"] = form.values.get("client") or str(client_id or "")
    return render_template(
        "desk/audience_new.html",
        way=way,
        form=form,
        names=names,
        client_id=client_id,
        countries=choices(context, client_id, alone=len(names) == 1),
        tags=tags.of_client(context.db, client_id) if client_id and way == "contacts" else [],
        counted=counted,
        largest=LARGEST_UPLOAD_BYTES // 2**20,
    )


def _shown(context: Context, found: audiences.Audience) -> dict:
    return {
        "audience": found,
        "client": dict(clients.names(context.db)).get(found.client_id, ""),
        "chosen": contact_filter.words(contact_filter.loads(found.filter)) if found.filter else "",
        "members": audience_members.after(context.db, found.id, limit=SHOWN_MEMBERS),
        "lines": audience_members.bad_lines(context.db, found.id, limit=SHOWN_LINES),
        "countries": audience_members.by_country(context.db, found.id) if found.is_over else [],
        "causes": CAUSES,
    }


def _as_csv(lines: Iterator[BadLine]) -> Iterator[str]:
    """A byte-order mark tells spreadsheets that it is UTF-8. A cell that could be a formula begins with an apostrophe."""
    yield "\ufeff" + _csv_line("line", "cause", "reason", "text")
    for one in lines:
        yield _csv_line(one.line, CAUSES[one.cause], one.reason, f"'{one.text}" if one.text[:1] in ("=", "+", "-", "@", "\t", "\r") else one.text)


def _csv_line(*cells) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
