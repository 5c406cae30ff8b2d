"""What people chose and typed for a new broadcast. Which number, audience and template is asked first: the other fields follow from them."""

from dataclasses import dataclass

from flask import request

from frontdesk.errors import MediaRefused
from frontdesk.flows import media, template_parts
from frontdesk.flows.broadcasts import Wanted
from frontdesk.flows.context import Context
from frontdesk.store import audiences, broadcasts, media as media_rows, numbers, templates
from frontdesk.store.audiences import Audience
from frontdesk.store.numbers import Number
from frontdesk.store.templates import Template
from frontdesk.web.forms import Form

COLUMN, SAME = "column:", "text"
MOST_OFFERED = 200
EMPTY = {"error_percent": "10", "spread_hours": "", "rate": "", "quiet_from": "", "quiet_until": "", "most_waiting": "", "name": ""}

# Where in the page's form an error of flows/broadcasts.py stands.
FIELDS = {
    "number_id": "number", "audience_id": "audience", "template": "template", "media_id": "file", "messages_per_second": "rate",
    "spread_seconds": "spread_hours", "error_limit": "error_percent", "quiet_from": "quiet_from", "quiet_until": "quiet_until", "name": "name",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choice:
    """What may be chosen, and what is. A template or an audience of another number's is none."""

    numbers: list[Number]
    number: Number | None
    audiences: list[Audience]
    audience: Audience | None
    templates: list[Template]
    template: Template | None

    @property
    def is_whole(self) -> bool:
        return bool(self.number and self.audience and self.template)


def choice(context: Context) -> Choice:
    """By the ids in the address or the form; the only one of a kind chooses itself."""
    db = context.db
    all_numbers = numbers.of_channel(db, "cloud")  # templates go through no other
    number = _one(all_numbers, "number")
    if number is None and all_numbers:
        number = all_numbers[0]
    ready = [one for one in audiences.newest(db, client_id=number.client_id, limit=MOST_OFFERED) if one.state == "ready" and one.good] if number else []
    usable = [one for one in templates.approved(db, number.account_id) if not template_parts.obstacle(one)] if number else []
    return Choice(all_numbers, number, ready, _one(ready, "audience"), usable, _one(usable, "template"))


def _one(found: list, field: str):
    wanted = request.values.get(field, type=int)
    return next((one for one in found if one.id == wanted), found[0] if len(found) == 1 else None)


def fresh(context: Context, chosen: Choice) -> Form:
    """With a guess for each variable, or as the broadcast `like` was."""
    form = Form(**EMPTY)
    if not chosen.is_whole:
        return form
    for slot in template_parts.slots(chosen.template):
        form.values[f"from_{slot.name}"] = next((COLUMN + name for name in chosen.audience.names if name.lower() == slot.name.lower()), "")
    like = broadcasts.find(context.db, request.args.get("like") or request.args.get("instead", ""), client_id=chosen.number.client_id)
    if like:
        _fill(context, form, like, chosen.audience.names)
    if like and "instead" in request.args:
        form.values["name"] = like.name
    return form


def _fill(context: Context, form: Form, like: broadcasts.Broadcast, columns: list[str]) -> None:
    for name, source in like.content["variables"].items():
        if source.get("column") in columns:
            form.values[f"from_{name}"] = COLUMN + source["column"]
        elif "text" in source:
            form.values |= {f"from_{name}": SAME, f"text_{name}": source["text"]}
    for field, value in (("rate", like.messages_per_second), ("most_waiting", like.most_waiting), ("error_percent", like.error_limit * 100)):
        form.values[field] = "" if value is None else f"{value:g}"
    form.values["spread_hours"] = f"{like.spread_seconds / 3600:g}" if like.spread_seconds else ""
    for field, minutes in (("quiet_from", like.quiet_from), ("quiet_until", like.quiet_until)):
        form.values[field] = "" if minutes is None else clock(minutes)
    kept = media_rows.get(context.db, like.media_id) if like.media_id else None
    form.values["media_id"] = kept.public_id if kept else ""


def read(context: Context, chosen: Choice) -> tuple[Form, Wanted | None]:
    """None: the form says what is wrong."""
    form = Form()
    name = form.words("name", "A name", 200, required=False)
    rate = form.number("rate", "A rate", 0.01, 1000)
    hours = form.number("spread_hours", "A number of hours", 0.02, 336)
    waiting = form.number("most_waiting", "A number of conversations", 0, 1_000_000)
    percent = form.number("error_percent", "A share", 1, 100)
    quiet_from, quiet_until = _minutes(form, "quiet_from"), _minutes(form, "quiet_until")
    for field, found in (("number", chosen.number), ("audience", chosen.audience), ("template", chosen.template)):
        if found is None:
            form.wrong(field, "Choose one of these.")
    if not chosen.is_whole:
        return form, None
    variables = {slot.name: _source(form, slot.name) for slot in template_parts.slots(chosen.template)}
    media_id = _file(context, form, chosen)
    if not form:
        return form, None
    wanted = Wanted(
        name, chosen.number.id, chosen.audience.id, chosen.template.name, chosen.template.language, variables,
        media_id=media_id, messages_per_second=rate, spread_seconds=hours and hours * 3600, quiet_from=quiet_from, quiet_until=quiet_until,
        most_waiting=None if waiting is None else int(waiting), error_limit=0.1 if percent is None else percent / 100,
    )  # fmt: skip
    return form, wanted


def field_of(error_field: str | None) -> str:
    """`variables.NAME` stands at where NAME is taken from."""
    kind, _, name = (error_field or "").partition(".")
    return f"from_{name}" if kind == "variables" and name else FIELDS.get(kind, "template")


def clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _source(form: Form, name: str) -> dict[str, str]:
    chosen = form.values[f"from_{name}"] = request.form.get(f"from_{name}", "")
    text = form.values[f"text_{name}"] = request.form.get(f"text_{name}", "").strip()
    if chosen.startswith(COLUMN):
        return {"column": chosen.removeprefix(COLUMN)}
    if chosen != SAME:
        form.wrong(f"from_{name}", "Choose a column, or the same text for everybody.")
    elif not text:
        form.wrong(f"text_{name}", "WhatsApp refuses an empty variable.")
    return {"text": text}


def _minutes(form: Form, field: str) -> int | None:
    typed = form.values[field] = request.form.get(field, "").strip()
    if not typed:
        return None
    hours, _, minutes = typed.partition(":")
    if not (hours.isdecimal() and minutes[:2].isdecimal()) or int(hours) > 23 or int(minutes[:2]) > 59:
        form.wrong(field, "A time of day looks like 21:00.")
        return None
    return int(hours) * 60 + int(minutes[:2])


def _file(context: Context, form: Form, chosen: Choice) -> str | None:
    """One that was kept with a form that was wrong elsewhere need not be chosen again."""
    uploaded, media_id = request.files.get("file"), request.form.get("media_id", "")
    if template_parts.header_file(chosen.template) is None:
        return None
    if uploaded and uploaded.filename:
        try:
            kept = media.keep(
                context, uploaded.stream, client_id=chosen.number.client_id, filename=uploaded.filename, declared_type=uploaded.mimetype
            )
            media_id = kept.public_id
        except MediaRefused as error:
            form.wrong("file", f"This file cannot be sent: {error}.")
    elif not media_id:
        form.wrong("file", "Choose a file.")
    form.values["media_id"] = media_id
    return media_id or None
