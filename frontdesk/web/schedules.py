"""Messages for later: what is coming, as a list and as a month, what did not go out, and changing it."""

import calendar
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta

from flask import Blueprint, abort, redirect, render_template, request, url_for

from frontdesk.flows import recurrence
from frontdesk.flows.context import Context
from frontdesk.flows.outgoing import CannotSend
from frontdesk.flows.recurrence import BadTime
from frontdesk.store import schedules
from frontdesk.store.names import names_of_conversations
from frontdesk.store.schedules import Schedule
from frontdesk.web import access
from frontdesk.web.forms import Form
from frontdesk.web.pages import flash

MOST_SHOWN = 200
MOST_IN_A_DAY = 4
MISSED_SHOWN_SECONDS = 14 * 86400
NEXT_TIMES = 5


def schedule_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("schedules", __name__))

    @pages.get("/schedules")
    def all_schedules():
        db, now = context.db, context.now()
        coming = schedules.coming(db, client_id=None, before=1e12, limit=MOST_SHOWN)
        resting = schedules.page(db, client_id=None, states=("paused", "missed"), limit=MOST_SHOWN)
        unsent = [pair for pair in schedules.unsent(db, client_id=None, since=now - MISSED_SHOWN_SECONDS) if pair[0].state != "missed"]
        shown = [*coming, *resting, *(schedule for schedule, _ in unsent)]
        return render_template(
            "desk/schedules.html", coming=coming, resting=resting, unsent=unsent, names=_names(context, shown), in_words=_in_words, most=MOST_SHOWN
        )

    @pages.get("/schedules/month")
    @pages.get("/schedules/month/<month>")
    def month(month: str | None = None):
        zone = _readers_zone()
        first = _first_of(month) if month else datetime.fromtimestamp(context.now(), recurrence.zone(zone)).date().replace(day=1)
        return render_template("desk/schedules_month.html", **_month(context, first, zone))

    @pages.get("/schedules/<public_id>")
    def show(public_id: str):
        return _page(context, _known(context, public_id), None)

    @pages.post("/schedules/<public_id>")
    def change(public_id: str):
        from frontdesk.flows import scheduling

        schedule, form = _known(context, public_id), Form()
        changes = _changes(schedule, form)
        if form:
            try:
                scheduling.change(context, public_id, changes)
            except CannotSend as error:
                form.wrong(_FIELDS.get(error.field, "rule" if schedule.rule else "on"), str(error))
        if not form:
            return _page(context, schedule, form), 422
        flash("Changed.", "success")
        return redirect(url_for(".show", public_id=public_id), 303)

    @pages.post("/schedules/<public_id>/<action>")
    def turn(public_id: str, action: str):
        from frontdesk.flows import scheduling

        if action not in ("pause", "resume", "cancel"):
            abort(404)
        _known(context, public_id)
        try:
            getattr(scheduling, action)(context, public_id)
        except CannotSend as error:
            flash(str(error), "danger")
        return redirect(url_for(".show", public_id=public_id), 303)

    return pages


# Where in the page's form an error of scheduling.py stands.
_FIELDS = {"at": "on", "rule": "rule", "name": "name", "time_zone": "rule"}


def _known(context: Context, public_id: str) -> Schedule:
    return schedules.find(context.db, public_id, client_id=None) or abort(404, "There is no such schedule.")


def _names(context: Context, shown: list[Schedule]) -> dict[int, str]:
    """Schedule → to whom."""
    known = names_of_conversations(context.db, {one.conversation_id for one in shown if one.conversation_id is not None})
    return {one.id: known.get(one.conversation_id) or f"+{one.phone}" for one in shown}


def _in_words(schedule: Schedule) -> str | None:
    return recurrence.parse(schedule.rule).words if schedule.rule else None


def _changes(schedule: Schedule, form: Form):
    """What was typed; what was left as it is stays."""
    from frontdesk.flows.scheduling import Changes

    name = form.words("name", "A name", 200, required=False)
    if schedule.rule:
        rule = form.words("rule", "How often", 200)
        return Changes(name=name, rule=rule if rule != schedule.rule else None)
    return Changes(name=name, at=read_time(form, schedule.time_zone, unless=schedule.next_at))


def read_time(form: Form, time_zone: str, unless: float | None = None) -> float | None:
    """The form's `on` and `clock` on the clocks of `time_zone`. None where it is wrong, or says what was there (`unless`)."""
    on, clock = form.text("on", "The day"), form.text("clock", "The time")
    if not on or not clock:
        return None
    try:
        at = recurrence.local_to_utc(on, clock, time_zone)
    except BadTime as error:
        form.wrong("on", str(error))
        return None
    return None if unless is not None and abs(at - unless) < 60 else at


def _page(context: Context, schedule: Schedule, form: Form | None) -> str:
    upcoming = []
    if schedule.state == "active":
        from frontdesk.flows import scheduling

        upcoming = scheduling.times_between(schedule, context.now(), context.now() + 5 * 366 * 86400, most=NEXT_TIMES)
    return render_template(
        "desk/schedule.html",
        schedule=schedule,
        name=_names(context, [schedule])[schedule.id],
        words=_in_words(schedule),
        upcoming=upcoming,
        firings=schedules.firings(context.db, schedule.id, limit=20),
        form=form or _filled(schedule),
    )


def _filled(schedule: Schedule) -> Form:
    form = Form(name=schedule.name, rule=schedule.rule or "")
    if schedule.rule is None and schedule.next_at is not None:
        local = datetime.fromtimestamp(schedule.next_at, recurrence.zone(schedule.time_zone))
        form.values |= {"on": local.date().isoformat(), "clock": f"{local:%H:%M}"}
    return form


# --- a month -----------------------------------------------------------------------------------------------------------------------


def _readers_zone() -> str:
    """As the browser said (desk.js keeps it in a cookie), else UTC."""
    try:
        return recurrence.zone(request.cookies.get("zone", "").replace("%2F", "/")).key
    except BadTime:
        return "UTC"


def _first_of(month: str) -> date:
    try:
        return date.fromisoformat(f"{month}-01")
    except ValueError:
        abort(404)


def _month(context: Context, first: date, zone: str) -> dict:
    from frontdesk.flows import scheduling

    following = (first + timedelta(days=32)).replace(day=1)
    begins, ends = (recurrence.local_to_utc(day.isoformat(), "00:00", zone) for day in (first, following))
    by_day: dict[int, list] = defaultdict(list)
    found = schedules.coming(context.db, client_id=None, before=ends, limit=MOST_SHOWN)
    for schedule in found:
        for at in scheduling.times_between(schedule, max(begins, context.now()), ends, most=31 * 24):
            local = datetime.fromtimestamp(at, recurrence.zone(zone))
            by_day[local.day].append((at, f"{local:%H:%M}", schedule))
    today = datetime.fromtimestamp(context.now(), UTC).astimezone(recurrence.zone(zone)).date()
    return {
        "first": first,
        "weeks": calendar.Calendar().monthdayscalendar(first.year, first.month),
        "by_day": {day: sorted(entries, key=lambda entry: entry[0]) for day, entries in by_day.items()},
        "names": _names(context, found),
        "before": (first - timedelta(days=1)).strftime("%Y-%m"),
        "after": following.strftime("%Y-%m"),
        "today": today.day if today.replace(day=1) == first else None,
        "zone": zone,
        "most": MOST_IN_A_DAY,
        "cut": len(found) == MOST_SHOWN,
    }
