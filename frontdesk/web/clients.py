"""Clients: the businesses answered for, how the bot speaks for each, and trying that out. For owners."""

import sqlite3
from zoneinfo import available_timezones

from flask import Blueprint, abort, g, render_template, request

from frontdesk.flows import model_hosts, trying
from frontdesk.flows.context import Context
from frontdesk.store import audit, clients, digests, numbers, tool_calls, tries
from frontdesk.store.database import transaction
from frontdesk.web import access, digest_form, opening_hours
from frontdesk.web.forms import Form
from frontdesk.web.pages import flash, known_client, see_other
from frontdesk.web.text_differences import lines_of
from frontdesk.work_options import model_or_none

LONGEST_PROMPT = 40_000
LONGEST_TEXT = 1_000  # of a sentence that customers are sent
VERSIONS = 50  # of a prompt, on one page

# field, label, least, most
NUMBERS = [
    ("temperature", "Temperature", 0, 2),
    ("quiet_seconds", "The quiet time", 0, 60),
    ("longest_wait_seconds", "The longest wait", 0, 600),
    ("stale_after_minutes", "Late after", 0, 1440),
    ("patience_seconds", "Patience", 0, 86_400),
    ("wait_threshold_seconds", "The threshold", 0, 86_400),
]
# field, label, least but 0, which is for ever
KEEPS = [
    ("messages_keep_days", "Messages", 8),
    ("closed_keep_days", "Closed conversations", 8),
    ("media_keep_days", "Files", 1),
    ("documents_keep_days", "Documents' results", 0.01),
]
TEXTS = [
    ("holding_text", "The holding text", True),
    ("apology_text", "The apology", True),
    ("person_text", "The text for who asks for a person", False),
    ("away_text", "The text outside opening hours", False),
    ("wait_text", "The text about waiting", False),
    ("image_text", "The text for pictures", False),
    ("voice_text", "The text for voice messages", False),
    ("stop_text", "The text for who writes STOP", False),
    ("start_text", "The text for who writes START", False),
    ("unknown_text", "The sentence for what the knowledge does not hold", False),
    ("sources_text", "The words before the sources", False),
    ("passage_text", "The words before a passage", False),
]


CHECKS = ("knowledge_only", "shows_sources", "passage_when_away")


def client_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("clients", __name__), role=access.OWNER)

    @pages.get("/clients")
    def all_clients():
        return render_template("desk/clients.html", clients=_with_numbers(context))

    @pages.get("/clients/new")
    def new():
        return render_template("desk/client_new.html", form=Form(name="", prompt="", time_zone="UTC"), zones=_zones())

    @pages.post("/clients")
    def add():
        form = Form()
        name, zone, prompt = form.text("name", "A name"), _zone(form), form.words("prompt", "The prompt", LONGEST_PROMPT)
        client_id = _added(context, form, name, prompt, zone) if form else None
        if client_id is None:
            return render_template("desk/client_new.html", form=form, zones=_zones()), 422
        flash(f"{name} is there. Give it a number next.", "success")
        return see_other(".show", client_id=client_id)

    @pages.get("/clients/<int:client_id>")
    def show(client_id: int):
        return _client_page(context, client_id)

    @pages.post("/clients/<int:client_id>/prompt")
    def save_prompt(client_id: int):
        known_client(context, client_id)
        form = Form()
        prompt = form.words("prompt", "The prompt", LONGEST_PROMPT)
        persona, language = form.words("persona", "The persona", LONGEST_TEXT, required=False), _language(form)
        with transaction(context.db) as db:
            if form and _is_as_seen(db, client_id, form, "prompt"):
                clients.set_prompt(db, client_id, prompt, context.now(), g.user.id)
                clients.change(db, client_id, {"persona": persona, "language": language}, context.now())
                audit.record(db, "client.prompt", f"client {client_id}", context.now())
        if not form:
            return _client_page(context, client_id, form), 422
        flash("Saved. It counts from the next answer on.", "success")
        return see_other(".show", client_id=client_id)

    @pages.post("/clients/<int:client_id>")
    def save(client_id: int):
        known_client(context, client_id)
        form = Form()
        values = _read(form)
        if form:
            try:
                with transaction(context.db) as db:
                    if _is_as_seen(db, client_id, form, "name"):
                        changed = [name for name, value in values.items() if value != clients.as_stored(db, client_id)[name]]
                        clients.change(db, client_id, values, context.now())
                        audit.record(db, "client.changed", f"client {client_id}", context.now(), changed=changed)
            except sqlite3.IntegrityError:
                form.wrong("name", "There is a client of this name already.")
        if not form:
            return _client_page(context, client_id, form), 422
        flash("Saved. It counts from the next answer on.", "success")
        return see_other(".show", client_id=client_id)

    @pages.post("/clients/<int:client_id>/digest")
    def save_digest(client_id: int):
        known_client(context, client_id)
        form = Form()
        wish = digest_form.read(context, client_id, form)
        if not form:
            return _client_page(context, client_id, form), 422
        with transaction(context.db) as db:
            digests.keep_wish(db, wish, context.now())
            audit.record(db, "client.changed", f"client {client_id}", context.now(), changed=["digest"])
        flash(f"Saved: {digest_form.in_words(wish)}", "success")
        return see_other(".show", client_id=client_id)

    @pages.get("/clients/<int:client_id>/versions")
    def versions(client_id: int):
        stored = known_client(context, client_id)
        found = clients.prompt_versions(context.db, client_id, limit=VERSIONS + 1)
        befores = [before.text for before in found[1:]] + ([""] if len(found) <= VERSIONS else [])
        steps = [(version, lines_of(before, version.text)) for version, before in zip(found, befores)]
        return render_template("desk/versions.html", client=stored, versions=steps)

    @pages.post("/clients/<int:client_id>/versions/<int:version_id>/revert")
    def revert(client_id: int, version_id: int):
        found = {version.id: version for version in clients.prompt_versions(context.db, client_id)}
        version = found.get(version_id) or abort(404)
        with transaction(context.db) as db:
            clients.set_prompt(db, client_id, version.text, context.now(), g.user.id)
            audit.record(db, "client.prompt", f"client {client_id}", context.now(), as_in_version=version_id)
        flash("The older prompt counts again, as a version of its own.", "success")
        return see_other(".show", client_id=client_id)

    @pages.post("/clients/<int:client_id>/try")
    def try_it(client_id: int):
        known_client(context, client_id)
        form = Form()
        question = form.words("question", "A question", LONGEST_TEXT)
        if not form:
            return render_template("desk/_try.html", tried=None, error=form.errors["question"]), 422
        try_id = trying.ask(
            context,
            client_id,
            g.user.id,
            text=request.form.get("prompt", "")[:LONGEST_PROMPT],
            persona=request.form.get("persona", "")[:LONGEST_TEXT],
            language=_language(form),
            question=question,
        )
        return _try(context, client_id, try_id)

    @pages.get("/clients/<int:client_id>/tries/<int:try_id>")
    def tried(client_id: int, try_id: int):
        return _try(context, client_id, try_id)

    return pages


def _added(context: Context, form: Form, name: str, prompt: str, zone: str) -> int | None:
    try:
        with transaction(context.db) as db:
            client_id = clients.add(db, name, prompt, context.now(), zone)
            audit.record(db, "client.added", f"client {client_id}", context.now(), name=name)
            return client_id
    except sqlite3.IntegrityError:
        form.wrong("name", "There is a client of this name already.")
        return None


def _is_as_seen(db: sqlite3.Connection, client_id: int, form: Form, field: str) -> bool:
    """Inside the transaction that saves: nobody else has saved since the form was loaded."""
    if request.form.get("seen", "") in ("", repr(clients.as_stored(db, client_id)["updated_at"])):
        return True
    form.wrong(field, "Somebody saved this client after you opened it. Compare in another tab; saving again overwrites what they saved.")
    return False


def _try(context: Context, client_id: int, try_id: int) -> str:
    found = tries.get(context.db, try_id)
    if found is None or found.client_id != client_id:
        abort(404)
    return render_template("desk/_try.html", tried=found, used=tool_calls.read(found.tools), waited=context.now() - found.created_at)


def _with_numbers(context: Context) -> list[tuple]:
    return [(client, numbers.of_client(context.db, client.id)) for client in clients.all_of_them(context.db, context.settings)]


def _client_page(context: Context, client_id: int, form: Form | None = None) -> str:
    stored = known_client(context, client_id)
    shown = _as_typed(stored) | digest_form.typed(digests.wish(context.db, client_id))
    if form:
        pass
    elif form is not None:
        form.values = shown | form.values
    else:
        form = Form(**shown)
    return render_template(
        "desk/client.html",
        client=stored,
        form=form,
        numbers=numbers.of_client(context.db, client_id),
        defaults=context.settings,
        digest_hours=digest_form.HOURS,
        digest_templates=digest_form.templates_of(context, client_id),
        days=opening_hours.NAMES,
        zones=_zones(),
        models=sorted({name for _, server in model_hosts.standing(context) for name in server.models or ()}),
        version_count=len(clients.prompt_versions(context.db, client_id)),
    )


def _as_typed(stored: dict) -> dict[str, str]:
    """A client's row as the form's fields show it."""
    values = {name: "" if value is None else f"{value:g}" if isinstance(value, float) else str(value) for name, value in stored.items()}
    values |= opening_hours.typed(stored["hours"])
    values |= {"prompt": stored["system_prompt"], "seen": repr(stored["updated_at"])}
    values["own_words"] = "" if stored["person_words"] is None else "yes"
    values |= {field: "yes" if stored[field] else "" for field in CHECKS}
    values["after_holding"] = {None: "", 0: "no", 1: "yes"}[stored["answer_after_holding"]]
    return values


def _read(form: Form) -> dict:
    """Every column that this form changes."""
    values: dict = {"name": form.text("name", "A name"), "time_zone": _zone(form)}
    for field in clients.OWN_MODEL.values():
        values[field] = _model(form, field)
    for field, label, low, high in NUMBERS:
        values[field] = form.number(field, label, low, high)
    for field, label, least in KEEPS:
        values[field] = form.number(field, label, 0, 36_500)
        if values[field] and values[field] < least:
            form.wrong(field, f"{label} are kept for {least:g} days at least; 0 is for ever.")
    values["pause_hours"] = form.number("pause_hours", "The pause", 0.1, 168) or 12
    for field, label, required in TEXTS:
        values[field] = form.words(field, label, LONGEST_TEXT, required=required)
    for field in CHECKS:
        form.values[field] = request.form.get(field, "")
        values[field] = form.values[field] == "yes"
    if values["knowledge_only"] and not values["unknown_text"]:
        form.wrong("unknown_text", "Customers need a sentence to read where the knowledge has no answer.")
    values["hours"] = opening_hours.read(form)
    form.values["own_words"] = request.form.get("own_words", "")
    words = form.words("person_words", "The words", 4_000, required=False)
    values["person_words"] = words if form.values["own_words"] == "yes" else None
    after = form.choice("after_holding", ("", "yes", "no"))
    values["answer_after_holding"] = {"": None, "yes": 1, "no": 0}.get(after)
    longest, quiet = values["longest_wait_seconds"], values["quiet_seconds"]
    if longest is not None and quiet is not None and longest < quiet:
        form.wrong("longest_wait_seconds", "The longest wait cannot be shorter than the quiet time.")
    return values


def _model(form: Form, field: str) -> str | None:
    """None: the setting decides."""
    name = form.words(field, "The model", 200, required=False)
    try:
        return model_or_none(name) or None
    except ValueError:
        form.wrong(field, "A model is called as `ollama list` names it, such as llama3.2:3b.")
        return None


def _zone(form: Form) -> str:
    zone = form.text("time_zone", "The time zone")
    if zone and zone not in available_timezones():
        form.wrong("time_zone", "A time zone looks like Europe/Berlin.")
    return zone


def _zones() -> list[str]:
    return sorted(zone for zone in available_timezones() if "/" in zone or zone == "UTC")


def _language(form: Form) -> str:
    value = form.values["language"] = " ".join(request.form.get("language", "").split())[:60]
    return value
