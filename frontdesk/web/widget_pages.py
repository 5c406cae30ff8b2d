"""The web chat on the desk: made, shown as it will look while it is changed, its origins and words, and the line for the website. For owners."""

import json
import re
from dataclasses import replace

from flask import Blueprint, abort, render_template, request

from frontdesk.flows import visitors, widget_look, widget_texts, widgets as making
from frontdesk.flows.context import Context
from frontdesk.store import audit, clients, numbers, widgets
from frontdesk.store.database import transaction
from frontdesk.store.widgets import Widget
from frontdesk.web import access
from frontdesk.web.forms import Form
from frontdesk.web.pages import flash, see_other

MOST_ORIGINS = 50
LONGEST_VOICE, LONGEST_LABEL = 600, 120
SCHEMES = [("auto", "as the visitor's system is"), ("light", "light"), ("dark", "dark")]
SIDES = [("end", "right (left in Arabic)"), ("start", "left (right in Arabic)")]


def widget_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("widgets", __name__), role=access.OWNER)

    @pages.get("/widgets/new")
    def new():
        return _new_page(context, Form(client=request.args.get("client", ""), name="Website"))

    @pages.post("/widgets")
    def add():
        form = Form()
        name, client_id, origins = form.text("name", "A name"), _client(context, form), _origins(form)
        if not form:
            return _new_page(context, form), 422
        with transaction(context.db) as db:
            number_id = making.make(db, context.settings, client_id=client_id, name=name, origins=origins, now=context.now())
            audit.record(db, "number.added", f"number {number_id}", context.now(), name=name, client_id=client_id)
        flash("The web chat is there. Put its line into your website.", "success")
        return see_other(".show", number_id=number_id)

    @pages.get("/widgets/<int:number_id>")
    def show(number_id: int):
        number, widget = _known(context, number_id)
        return _page(context, number, widget, _language(widget))

    @pages.post("/widgets/<int:number_id>")
    def save(number_id: int):
        number, widget = _known(context, number_id)
        form = Form()
        language = form.choice("words_language", tuple(widget_texts.LANGUAGES))
        name, client_id = form.text("name", "A name"), _client(context, form)
        changed = _read(context, form, widget, language, client_id)
        if not form:
            return _page(context, number, changed, language if language in widget_texts.LANGUAGES else "en", form), 422
        with transaction(context.db) as db:
            rate = number.messages_per_second
            numbers.change(db, number_id, client_id=client_id, account_id=None, display_phone=name, messages_per_second=rate)
            widgets.put(db, replace(changed, changed_at=context.now()))
            audit.record(db, "number.changed", f"number {number_id}", context.now())
        flash("Saved. Pages show it within a minute.", "success")
        return see_other(".show", number_id=number_id, language=language)

    @pages.post("/widgets/<int:number_id>/preview")
    def preview(number_id: int):
        number, widget = _known(context, number_id)
        form, language = Form(), request.form.get("words_language", "en")
        changed = _read(context, form, widget, language, number.client_id)
        if "accent" in form.errors:
            changed = replace(changed, accent=widget.accent)
        return render_template("desk/_widget_look.html", **_look(context, number, changed, language))

    return pages


def _known(context: Context, number_id: int) -> tuple[numbers.Number, Widget]:
    widget = widgets.get(context.db, number_id)
    if widget is None:
        abort(404, "There is no such web chat.")
    return numbers.get(context.db, number_id), widget


def _language(widget: Widget) -> str:
    asked = request.args.get("language", widget.language)
    return asked if asked in widget_texts.LANGUAGES else "en"


# --- what was typed -----------------------------------------------------------------------------------------------------------------


def _client(context: Context, form: Form) -> int:
    chosen = form.choice("client", tuple(str(id_) for id_, _ in clients.names(context.db)))
    return int(chosen) if chosen.isdigit() else 0


def _origins(form: Form) -> tuple[str, ...]:
    typed = form.words("origins", "The list of origins", 5000, required=False)
    found = tuple(dict.fromkeys(line.strip().lower().rstrip("/") for line in re.split(r"[\s,]+", typed) if line.strip()))
    wrong = [origin for origin in found if not visitors.is_origin(origin)]
    if wrong:
        form.wrong("origins", f"{wrong[0]} is no origin. One looks like https://shop.example or https://*.shop.example: no path behind it.")
    if len(found) > MOST_ORIGINS:
        form.wrong("origins", f"{MOST_ORIGINS} origins are the most.")
    return found


def _read(context: Context, form: Form, widget: Widget, language: str, client_id: int) -> Widget:
    accent = form.values["accent"] = request.form.get("accent", "").strip().lower()
    if not re.fullmatch(r"#[0-9a-f]{6}", accent):
        form.wrong("accent", "A colour looks like #1b6b58.")
        accent = widget.accent
    phones = _phones(context, client_id)
    whatsapp = form.choice("whatsapp", ("", *(id_ for id_, _ in phones)))
    own = {name: text for name in widget_texts.TEXTS["en"] if (text := _words(form, name))}
    return replace(
        widget,
        origins=_origins(form),
        accent=accent,
        scheme=form.choice("scheme", tuple(name for name, _ in SCHEMES)) if request.form.get("scheme") else widget.scheme,
        side=form.choice("side", tuple(name for name, _ in SIDES)) if request.form.get("side") else widget.side,
        language=form.choice("language", tuple(widget_texts.LANGUAGES)) if request.form.get("language") else widget.language,
        words={**widget.words, language: own},
        ask_details=request.form.get("ask_details") == "yes",
        whatsapp_number_id=int(whatsapp) if whatsapp.isdigit() else None,
    )


def _words(form: Form, name: str) -> str:
    voice = name in widget_texts.VOICE
    return form.words(f"w_{name}", "This text", LONGEST_VOICE if voice else LONGEST_LABEL, required=False)


def _phones(context: Context, client_id: int) -> list[tuple[str, str]]:
    """The client's WhatsApp numbers that visitors can be pointed to: those whose digits are known."""
    found = numbers.of_client(context.db, client_id)
    return [(str(each.id), each.display_phone) for each in found if each.channel != widgets.CHANNEL and each.display_phone]


# --- pages --------------------------------------------------------------------------------------------------------------------------


def _choices(context: Context) -> list[tuple[str, str]]:
    return [(str(id_), name) for id_, name in clients.names(context.db)]


def _new_page(context: Context, form: Form) -> str:
    return render_template("desk/widget_new.html", form=form, clients=_choices(context))


def _page(context: Context, number: numbers.Number, widget: Widget, language: str, form: Form | None = None) -> str:
    form = form if form is not None else Form(
        name=number.display_phone or "",
        client=str(number.client_id),
        origins="\n".join(widget.origins),
        accent=widget.accent,
        scheme=widget.scheme,
        side=widget.side,
        language=widget.language,
        whatsapp=str(widget.whatsapp_number_id or ""),
        ask_details="yes" if widget.ask_details else "",
        **{f"w_{name}": text for name, text in widget.words.get(language, {}).items()},
    )
    return render_template(
        "desk/widget.html",
        number=number,
        form=form,
        clients=_choices(context),
        languages=list(widget_texts.LANGUAGES.items()),
        words_language=language,
        changed_languages=[code for code, texts in widget.words.items() if texts],
        voice=widget_texts.VOICE,
        labels=widget_texts.LABELS,
        built_in=widget_texts.TEXTS[language],
        schemes=SCHEMES,
        sides=SIDES,
        phones=[("", "no"), *_phones(context, number.client_id)],
        snippet=f'<script src="{request.url_root}widget.js" data-key="{number.external_id}" defer></script>',
        waiting=numbers.waiting(context.db, number.id),
        origins=widget.origins,
        **_look(context, number, widget, language),
    )


def _look(context: Context, number: numbers.Number, widget: Widget, language: str) -> dict:
    shown = widget_look.shown(context, number, replace(widget, language=language), language)
    on_accent = shown["colours"]["on_accent"]
    return {
        "look": json.dumps(shown),
        "on_accent": "white" if on_accent == "#ffffff" else "black",
        "contrast": widget_look.contrast(widget.accent, on_accent),
        "mixed": [ground for ground in ("light", "dark") if shown["colours"][ground] != widget.accent],
    }
