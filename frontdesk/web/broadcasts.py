"""Broadcasts on the desk: a template to everybody of an audience. Made, tried, started; watched, paused, resumed, cancelled. For owners."""

import csv
import dataclasses
import io
import math
from collections.abc import Iterator

from flask import Blueprint, Response, abort, g, render_template, request, stream_with_context
from werkzeug.utils import secure_filename

from frontdesk.flows import broadcasts as control, mends, reach, template_parts
from frontdesk.flows.broadcasts import CannotBroadcast, Wanted
from frontdesk.flows.context import Context
from frontdesk.flows.outgoing import CannotSend
from frontdesk.store import audience_members, audiences, broadcasts, clients, conversations, numbers, templates
from frontdesk.store.broadcasts import Broadcast
from frontdesk.web import access, attachments, broadcast_forms, errors
from frontdesk.web.broadcast_forms import Choice
from frontdesk.web.forms import Form
from frontdesk.web.inbox import if_changed
from frontdesk.web.pages import flash, iso, see_other
from frontdesk.web.schedules import read_time

PAGE, RECIPIENTS_PAGE = 30, 50

STATES = {
    "queued": "waiting to go", "sending": "being sent", "unknown": "sent, no answer from WhatsApp yet", "sent": "sent", "delivered": "delivered",
    "read": "read", "played": "played", "failed": "failed", "withdrawn": "not sent: cancelled", "skipped": "skipped",
}  # fmt: skip

# Of `pause_code`: what mends it.
MENDS = {
    "errors": "Look below at why they failed. Resume when that is mended; errors are counted anew.",
    "disliked": "People block or report these messages. Wait some hours, write to fewer people and only to those who expect it; then resume.",
    "template_unusable": "A paused template comes back by itself after some hours; a disabled one needs another broadcast with another template. Then resume.",
    "number_stopped": "Mend the number, and resume it; then resume the broadcast.",
    "file": "Make another broadcast with another file.",
    "person": "It goes on where it stopped as soon as somebody resumes it.",
}


def broadcast_pages(context: Context) -> Blueprint:
    pages = Blueprint("broadcasts", __name__)
    pages.before_request(attachments.take_files)
    access.protect(pages, role=access.OWNER)

    @pages.errorhandler(413)
    def too_large(error):
        return errors.shown(413, f"A file has at most {attachments.LARGEST_FORM_BYTES // 2**20} MB.")

    @pages.get("/broadcasts")
    def all_broadcasts():
        found = broadcasts.newest(context.db, before=request.args.get("before", type=int), limit=PAGE + 1)
        shown = [(one, control.progress(context, one, brief=True)) for one in found[:PAGE]]
        older = found[PAGE - 1].id if len(found) > PAGE else None
        has_audience = bool(found) or any(one.state == "ready" for one in audiences.newest(context.db))
        return render_template("desk/broadcasts.html", broadcasts=shown, older=older, has_audience=has_audience, names=dict(clients.names(context.db)))

    @pages.get("/broadcasts/new")
    def new():
        chosen = broadcast_forms.choice(context)
        return _new_page(chosen, broadcast_forms.fresh(context, chosen))

    @pages.post("/broadcasts")
    def make():
        chosen = broadcast_forms.choice(context)
        form, wanted = broadcast_forms.read(context, chosen)
        if wanted:
            try:
                return see_other(".show", public_id=_keep(context, wanted))
            except CannotBroadcast as error:
                form.wrong(broadcast_forms.field_of(error.field), str(error))
        return _new_page(chosen, form), 422

    @pages.get("/broadcasts/<public_id>")
    def show(public_id: str):
        return _page(context, _known(context, public_id))

    @pages.get("/broadcasts/<public_id>/standing")
    def standing(public_id: str):
        """204 where it is what `known` says. Once it has begun the page is another."""
        found = _known(context, public_id)
        if request.args.get("was") == "scheduled" and found.state != "scheduled":
            return Response(headers={"HX-Refresh": "true"})
        return if_changed("desk/_broadcast.html", **_standing(context, found))

    @pages.post("/broadcasts/<public_id>/test")
    def try_out(public_id: str):
        from frontdesk.flows import broadcast_trial

        found, form = _known(context, public_id), Form()
        phone = form.text("phone", "A phone number", 40)
        if form:
            try:
                conversation_id = broadcast_trial.send(context, found, phone, g.user.id)
                flash("The test is on its way.", "success")
                return see_other(".show", public_id=public_id, tested=conversation_id)
            except CannotSend as error:
                form.wrong("phone", str(error))
        return _page(context, found, form), 422

    @pages.post("/broadcasts/<public_id>/start")
    def start(public_id: str):
        found, form = _known(context, public_id), Form()
        at = None if request.form.get("when", "now") == "now" else read_time(form, _time_zone(context, found))
        form.values["when"] = request.form.get("when", "now")
        if at is not None and at <= context.now():
            form.wrong("on", "This time is over.")
        if form:
            try:
                control.start(context, found.id, at)
                return see_other(".show", public_id=public_id)
            except CannotBroadcast as error:
                form.wrong("on", str(error))
        return _page(context, found, form), 422

    @pages.post("/broadcasts/<public_id>/<action>")
    def turn(public_id: str, action: str):
        if action not in ("pause", "resume", "cancel"):
            abort(404)
        found = _known(context, public_id)
        try:
            getattr(control, action)(context, found.id)
        except CannotBroadcast as error:
            flash(str(error), "danger")
        if found.state == "draft":
            return see_other(".all_broadcasts")
        return see_other(".show", public_id=public_id)

    @pages.get("/broadcasts/<public_id>/recipients")
    def recipients(public_id: str):
        return render_template("desk/broadcast_recipients.html", **_recipients(context, _known(context, public_id)))

    @pages.get("/broadcasts/<public_id>/recipients.csv")
    def download(public_id: str):
        found = _known(context, public_id)
        name = secure_filename(f"{found.name} recipients.csv") or "recipients.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(stream_with_context(_as_csv(context, found)), mimetype="text/csv", headers=headers)

    return pages


def _keep(context: Context, wanted: Wanted) -> str:
    """A new draft, or the one that is changed, with what only programs give it. Its public id."""
    if not request.form.get("instead"):
        return control.make(context, wanted, user_id=g.user.id).public_id
    found = _known(context, request.form["instead"])
    control.change(context, found.id, dataclasses.replace(wanted, callback_url=found.callback_url))
    flash("Changed.", "success")
    return found.public_id


def _known(context: Context, public_id: str) -> Broadcast:
    return broadcasts.find(context.db, public_id, client_id=None) or abort(404, "There is no such broadcast.")


def _new_page(chosen: Choice, form: Form) -> str:
    return render_template(
        "desk/broadcast_new.html",
        chosen=chosen,
        form=form,
        like=request.values.get("like", ""),
        instead=request.values.get("instead", ""),
        slots=template_parts.slots(chosen.template) if chosen.template else [],
        header_file=template_parts.header_file(chosen.template) if chosen.template else None,
        shown=template_parts.preview(chosen.template, {}) if chosen.template else None,
    )


def _time_zone(context: Context, found: Broadcast) -> str:
    return clients.get(context.db, found.client_id, context.settings).time_zone


# --- one broadcast ------------------------------------------------------------------------------------------------------------------


def _page(context: Context, found: Broadcast, form: Form | None = None) -> str:
    begun = found.state not in ("draft", "scheduled")
    return render_template(
        "desk/broadcast.html",
        **_standing(context, found),
        form=Form() if form is None else form,  # one with errors is false
        known="",
        begun=begun,
        number=numbers.get(context.db, found.number_id),
        audience=audiences.get(context.db, found.audience_id),
        clock=broadcast_forms.clock,
        sources=_sources(context, found),
        time_zone=_time_zone(context, found),
        tested=request.args.get("tested", type=int),
        **({} if begun else _before_the_start(context, found)),
    )


def _before_the_start(context: Context, found: Broadcast) -> dict:
    price = request.args.get("price", type=lambda typed: float(typed.replace(",", ".")))
    price = price if price is not None and math.isfinite(price) and 0 <= price <= 1000 else None
    template = templates.find(context.db, numbers.get(context.db, found.number_id).account_id, found.content["name"], found.content["language"])
    return {
        "samples": control.samples(context, found),
        "seconds": control.estimate_seconds(context, found),
        "warning": reach.warning(context, found),
        "countries": audience_members.by_country(context.db, found.audience_id),
        "price": price,
        "category": template.category if template else "",
        "template_id": template.id if template else "",
        "unusable": template_parts.obstacle(template) if template else "It is not there any more.",
    }


def _sources(context: Context, found: Broadcast) -> list[tuple[str, dict[str, str]]]:
    """Of each variable: what people call it, and what stands for it."""
    number = numbers.get(context.db, found.number_id)
    template = templates.find(context.db, number.account_id, found.content["name"], found.content["language"])
    labels = {slot.name: slot.label for slot in template_parts.slots(template)} if template else {}
    return [(labels.get(name, name), source) for name, source in found.content["variables"].items()]


def _standing(context: Context, found: Broadcast) -> dict:
    """What changes while it runs."""
    db, running = context.db, found.state == "running"
    waiting = conversations.count_waiting(db) if running and found.most_waiting is not None else 0
    queued = broadcasts.tally(db, found.id).get("queued", 0) if running and found.quiet_from is not None else 0
    return {
        "broadcast": found,
        "progress": control.progress(context, found),
        "failures": _by_cause(broadcasts.failures(db, found.id)),
        "skips": sorted(broadcasts.skips(db, found.id).items(), key=lambda pair: -pair[1]),
        "mend_of_pause": MENDS.get(found.pause_code or "", ""),
        "holds_for": waiting if found.most_waiting is not None and waiting > found.most_waiting else 0,
        "quiet": queued - broadcasts.ready(db, found.id, context.now(), queued) if queued else 0,
    }


def _by_cause(rows) -> list[tuple[mends.Cause, int, list]]:
    """Cause, how many, and WhatsApp's own words for it; the most frequent first."""
    found: dict[str, list] = {}
    for row in rows:
        found.setdefault(mends.cause_of(row["error_code"]).name, []).append(row)
    causes = {cause.name: cause for cause in mends.CAUSES}
    return sorted(((causes[name], sum(row["count"] for row in of), of) for name, of in found.items()), key=lambda one: -one[1])


# --- its recipients -----------------------------------------------------------------------------------------------------------------


def _recipients(context: Context, found: Broadcast) -> dict:
    state, typed = request.args.get("state", ""), request.args.get("phone", "")[:40]
    state = state if state in (*STATES, "answered") else ""
    after, phone = request.args.get("after", 0, type=int), "".join(filter(str.isdecimal, typed)) or None
    which = {"phone": phone, "after": after, "limit": RECIPIENTS_PAGE + 1}
    if state == "skipped":
        rows, key = broadcasts.skipped(context.db, found.id, **which), "position"
    elif state == "answered":
        rows, key = broadcasts.recipients(context.db, found.id, answered=True, **which), "id"
    else:
        rows, key = broadcasts.recipients(context.db, found.id, state=state or None, **which), "id"
    return {
        "broadcast": found,
        "state": state,
        "typed": typed,
        "rows": rows[:RECIPIENTS_PAGE],
        "following": rows[RECIPIENTS_PAGE - 1][key] if len(rows) > RECIPIENTS_PAGE else None,
        "after": after,
        "states": STATES,
    }


def _as_csv(context: Context, found: Broadcast) -> Iterator[str]:
    """A byte-order mark tells spreadsheets that it is UTF-8. A cell that could be a formula begins with an apostrophe."""
    yield "\ufeff" + _csv_line("phone", "name", "state", "sent", "delivered", "read", "answered", "failed", "code", "reason")
    for row in broadcasts.all_recipients(context.db, found.id):
        times = ("sent_at", "delivered_at", "read_at", "replied_at", "failed_at")
        reason = row["error_title"] if row["state"] == "failed" else ""
        yield _csv_line(
            row["phone"], row["name"], STATES.get(row["state"], row["state"]), *(_time(row[name]) for name in times), row["error_code"], reason
        )
    for row in broadcasts.all_skipped(context.db, found.id):
        yield _csv_line(row["phone"], "", STATES["skipped"], "", "", "", "", "", "", row["cause"])


def _time(at: float | None) -> str:
    return "" if at is None else iso(at)


def _csv_line(*cells) -> str:
    line = io.StringIO()
    csv.writer(line).writerow([_harmless(cell) for cell in cells])
    return line.getvalue().encode("utf-8", "replace").decode()


def _harmless(cell) -> str:
    text = "" if cell is None else str(cell)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
