"""Messages that want more than a line of text: a template, buttons, a list, a place. Each is a form with the bubble it becomes beside it.

contents.py, which checks them, brings pydantic: it is imported when somebody opens one of these pages.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, abort, g, redirect, render_template, request, url_for

from frontdesk.flows import take_over, template_parts
from frontdesk.flows.context import Context
from frontdesk.flows.outgoing import CannotSend, Outgoing
from frontdesk.flows.take_over import SomebodyAnswered
from frontdesk.store import clients, conversations, numbers, templates, thread
from frontdesk.store.conversations import Conversation
from frontdesk.web import access, attachments, offers
from frontdesk.web.forms import Form
from frontdesk.web.pages import flash
from frontdesk.web.schedules import read_time

MOST_BUTTONS = 3


@dataclass(frozen=True, slots=True)
class Kind:
    """`given`: the form as contents.py wants it. `field`: which field of the form an error at this place belongs to."""

    title: str
    given: Callable[[Form], dict[str, Any]]
    field: Callable[[tuple], str]


@dataclass(frozen=True, slots=True)
class When:
    """Once `at` a time (UTC epoch seconds), or by a `rule`; neither: now."""

    at: float | None = None
    rule: str | None = None
    name: str = ""


NOW = When()


def compose_pages(context: Context) -> Blueprint:
    pages = Blueprint("compose", __name__)
    pages.before_request(attachments.take_files)
    access.protect(pages)

    @pages.before_request
    def fits_the_channel():
        """What the menu does not offer is no page either."""
        values = request.view_args or {}
        conversation = _conversation(context, values["conversation_id"])
        if values["kind"] not in [offer.kind for offer in _offered(context, conversation)]:
            abort(404, "This kind of message cannot be sent in this conversation.")

    @pages.get("/inbox/<int:conversation_id>/compose/<kind>")
    def show(conversation_id: int, kind: str):
        return _page(context, _conversation(context, conversation_id), kind, Form())

    @pages.post("/inbox/<int:conversation_id>/compose/<kind>")
    def send(conversation_id: int, kind: str):
        conversation, form = _conversation(context, conversation_id), Form(seen=request.form.get("seen", type=int))
        given = _read(context, conversation, kind, form)
        when = _when(context, conversation, form)
        if not form:
            return _page(context, conversation, kind, form), 422
        try:
            _send(context, conversation_id, given, request.form.get("seen", type=int)) if when is NOW else _schedule(context, conversation_id, given, when)
        except CannotSend as error:
            if isinstance(error, SomebodyAnswered):
                form.values.pop("seen", None)
            form.wrong(_field_of(error), str(error))
            return _page(context, conversation, kind, form), 422
        if when is NOW:
            return redirect(url_for("thread.show", conversation_id=conversation_id), 303)
        flash("Scheduled.", "success")
        return redirect(url_for("schedules.all_schedules"), 303)

    @pages.post("/inbox/<int:conversation_id>/compose/<kind>/preview")
    def preview(conversation_id: int, kind: str):
        conversation, form = _conversation(context, conversation_id), Form()
        return render_template("desk/_preview.html", **_preview(context, conversation, kind, form))

    return pages


def _conversation(context: Context, conversation_id: int) -> Conversation:
    return conversations.get(context.db, conversation_id) or abort(404, "This conversation is not here.")


def _offered(context: Context, conversation: Conversation) -> list[offers.Offer]:
    return offers.of(context.channel(numbers.get(context.db, conversation.number_id).channel))


def _send(context: Context, conversation_id: int, given, seen_message_id: int | None) -> None:
    from frontdesk.flows import writing

    def prepare(db, conversation: Conversation) -> Outgoing:
        return writing.outgoing(context, db, conversation.number_id, given)

    take_over.send_by_person(context, conversation_id, g.user.id, prepare, seen_message_id=seen_message_id)


def _schedule(context: Context, conversation_id: int, given, when: When) -> None:
    from frontdesk.flows import scheduling

    wanted = scheduling.Wanted(given, conversation_id=conversation_id, name=when.name, at=when.at, rule=when.rule)
    scheduling.make(context, wanted, user_id=g.user.id)


def _when(context: Context, conversation: Conversation, form: Form) -> When:
    """When it goes out; what is wrong with it stands in the form."""
    how = form.values["when"] = request.form.get("when", "now")
    if how == "now":
        return NOW
    name = form.words("schedule_name", "A name", 200, required=False)
    if how == "again":
        return When(rule=form.words("rule", "How often", 200), name=name)
    return When(at=read_time(form, _time_zone(context, conversation)), name=name)


def _time_zone(context: Context, conversation: Conversation) -> str:
    return clients.get(context.db, numbers.get(context.db, conversation.number_id).client_id, context.settings).time_zone


def _field_of(error: CannotSend) -> str:
    """A template's variables stand in the form under their names, a time under its day."""
    return {"at": "on", None: "message"}.get(error.field, error.field).removeprefix("variables.")


# --- what was typed -----------------------------------------------------------------------------------------------------------------


def _read(context: Context, conversation: Conversation, kind: str, form: Form):
    """The message as contents.py has it, None where the form says what is wrong."""
    from pydantic import ValidationError

    from frontdesk.flows import contents

    given = _template_given(context, conversation, form) if kind == "template" else _kind(kind).given(form)
    if given is None:
        return None
    try:
        return contents.read(given)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False, include_context=False):
            field = _template_field(one["loc"]) if kind == "template" else _kind(kind).field(one["loc"][1:])
            form.wrong(field, _in_words(one))
        return None


def _in_words(error: dict[str, Any]) -> str:
    match error["type"]:
        case "string_too_short" | "missing" | "float_parsing" | "too_short":
            return "This is missing." if error["type"] != "float_parsing" else "This is a number."
        case "string_too_long":
            return error["msg"].replace("String should have at most", "WhatsApp takes") + " at most."
    words = error["msg"].removeprefix("Value error, ").rpartition(": ")[2]
    return f"{words[:1].upper()}{words[1:]}."


def _kind(kind: str) -> Kind:
    return KINDS.get(kind) or abort(404)


def _typed(form: Form, field: str) -> str:
    value = form.values[field] = request.form.get(field, "").replace("\r\n", "\n")
    return value.strip()


def _buttons_given(form: Form) -> dict[str, Any]:
    titles = [_typed(form, f"button_{place}") for place in range(1, MOST_BUTTONS + 1)]
    return _with_optional(form, {"type": "buttons", "text": _typed(form, "text"), "buttons": [{"title": title} for title in titles if title]})


def _with_optional(form: Form, given: dict[str, Any]) -> dict[str, Any]:
    return given | {name: value for name in ("header", "footer") if (value := _typed(form, name))}


def _buttons_field(place: tuple) -> str:
    if place[:1] == ("buttons",):
        return f"button_{place[1] + 1}" if len(place) > 1 else "button_1"
    return str(place[0]) if place else "button_1"


def _list_given(form: Form) -> dict[str, Any]:
    """A line is a row: its title and, behind a |, what it means. One that begins with # names the section that follows."""
    sections: list[dict[str, Any]] = []
    for line in filter(None, (line.strip() for line in _typed(form, "rows").split("\n"))):
        if line.startswith("#"):
            sections.append({"title": line[1:].strip(), "rows": []})
            continue
        if not sections:
            sections.append({"rows": []})
        title, _, description = (part.strip() for part in line.partition("|"))
        sections[-1]["rows"].append({"title": title} | ({"description": description} if description else {}))
    given = {"type": "list", "text": _typed(form, "text"), "button": _typed(form, "button"), "sections": sections}
    return _with_optional(form, given)


def _list_field(place: tuple) -> str:
    return str(place[0]) if place and place[0] != "sections" else "rows"


def _location_given(form: Form) -> dict[str, Any]:
    """A pair, as maps give it when one copies a place, may stand in the first field."""
    latitude, longitude = _typed(form, "latitude"), _typed(form, "longitude")
    if not longitude and "," in latitude:
        latitude, _, longitude = (part.strip() for part in latitude.partition(","))
    given = {"type": "location", "latitude": latitude, "longitude": longitude}
    return given | {name: value for name in ("name", "address") if (value := _typed(form, name))}


def _location_field(place: tuple) -> str:
    return str(place[0]) if place else "name"


KINDS = {
    "text": Kind("A text", lambda form: {"type": "text", "text": _typed(form, "text")}, lambda place: "text"),
    "buttons": Kind("Buttons", _buttons_given, _buttons_field),
    "list": Kind("A list", _list_given, _list_field),
    "location": Kind("A place", _location_given, _location_field),
}


def _template_given(context: Context, conversation: Conversation, form: Form) -> dict[str, Any] | None:
    template = _chosen(context, conversation)
    if template is None:
        form.wrong("template", "Choose a template.")
        return None
    variables = {slot.name: _typed(form, slot.name) for slot in template_parts.slots(template)}
    given = {"type": "template", "name": template.name, "language": template.language, "variables": variables}
    if header := _header_given(context, conversation, template, form):
        given["header"] = header
    for name in [name for name, value in variables.items() if not value]:
        form.wrong(name, "This is missing.")
    return given if form else None


def _header_given(context: Context, conversation: Conversation, template: templates.Template, form: Form) -> dict[str, Any] | None:
    """The file above the text. One that was kept with a form that was wrong elsewhere need not be chosen again."""
    kind, file = template_parts.header_file(template), request.files.get("file")
    media_id = request.form.get("media_id", "")
    if kind is None:
        return None
    if file and file.filename:
        try:
            media_id = attachments.kept(context, conversation.id, file).public_id
        except CannotSend as error:
            form.wrong("header", str(error))
    elif not media_id:
        form.wrong("header", "Choose a file.")
    form.values["media_id"] = media_id
    return {"type": kind, "media_id": media_id} if media_id else None


def _template_field(place: tuple) -> str:
    return str(place[2]) if place[1:2] == ("variables",) and len(place) > 2 else "template"


def _chosen(context: Context, conversation: Conversation) -> templates.Template | None:
    id_ = request.values.get("template", type=int)
    template = templates.get(context.db, id_) if id_ else None
    return template if template and template.account_id == numbers.get(context.db, conversation.number_id).account_id else None


# --- pages ----------------------------------------------------------------------------------------------------------------------------


def _page(context: Context, conversation: Conversation, kind: str, form: Form) -> str:
    title = "A template" if kind == "template" else _kind(kind).title
    account_id = numbers.get(context.db, conversation.number_id).account_id
    usable = [one for one in templates.approved(context.db, account_id) if not template_parts.obstacle(one)] if kind == "template" else []
    chosen = _chosen(context, conversation) if kind == "template" else None
    return render_template(
        "desk/compose.html",
        kind=kind,
        offered=_offered(context, conversation),
        title=title,
        form=form,
        seen=form.values.get("seen") or thread.newest(context.db, conversation.id),
        conversation_id=conversation.id,
        customer=thread.customer(context.db, conversation.id),
        window_open=(conversation.window_closes_at or 0) > context.now(),
        time_zone=_time_zone(context, conversation),
        usable=usable,
        chosen=chosen,
        slots=template_parts.slots(chosen) if chosen else [],
        header_file=template_parts.header_file(chosen) if chosen else None,
        **_preview(context, conversation, kind, Form(**form.values)),
    )


def _preview(context: Context, conversation: Conversation, kind: str, form: Form) -> dict[str, Any]:
    """What the bubble shows of what is typed so far, whether or not it could go."""
    if kind == "template":
        return _template_preview(context, conversation, form)
    given = _kind(kind).given(form)
    if kind == "location":
        place = ", ".join(filter(None, (given.get("name"), given.get("address"))))
        return {"bubble": {"text": place or f"{given['latitude']}, {given['longitude']}".strip(", "), "place": True}}
    rows = [row for section in given.get("sections", ()) for row in [{"section": section.get("title")}, *section["rows"]]]
    choices = [button["title"] for button in given.get("buttons", ())]
    bubble = {"header": given.get("header"), "text": given["text"], "footer": given.get("footer"), "choices": choices}
    return {"bubble": bubble | {"rows": rows, "opens": given.get("button")}}


def _template_preview(context: Context, conversation: Conversation, form: Form) -> dict[str, Any]:
    template = _chosen(context, conversation)
    if template is None:
        return {"bubble": None}
    shown = template_parts.preview(template, {slot.name: _typed(form, slot.name) for slot in template_parts.slots(template)})
    file = template_parts.header_file(template)
    return {"bubble": {"header": shown.header, "text": shown.body, "footer": shown.footer, "choices": shown.buttons, "file": file}}
