"""A client's tools on the desk: what its model may call, lookups at the business's own server, and trying one. For owners."""

import json
import re
import sqlite3
import time
from typing import Any

from flask import Blueprint, abort, render_template, request

from frontdesk import strict_json
from frontdesk.errors import ModelError
from frontdesk.flows import lookups
from frontdesk.flows.context import Context
from frontdesk.flows.lookups import BadArguments, BadLookup, LookupFailed
from frontdesk.store import audit, clients, tools
from frontdesk.store.database import transaction
from frontdesk.store.secrets import encrypt
from frontdesk.store.tools import Lookup
from frontdesk.web import access
from frontdesk.web.forms import Form
from frontdesk.web.pages import flash, known_client, see_other

MOST_LOOKUPS = 10
LONGEST_DESCRIPTION, LONGEST_SCHEMA, LONGEST_HEADERS, LONGEST_SECRET, LONGEST_LIST_WORD = 300, 4_000, 2_000, 1_000, 20
USUAL_TIMEOUT_SECONDS = 8
TRY_SECONDS = 10  # a browser waits for it
HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,60})\s*:\s*([ -~]{1,500})")
NOT_OURS_TO_SET = {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "user-agent"}


def tool_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("tools", __name__), role=access.OWNER)

    @pages.get("/clients/<int:client_id>/tools")
    def show(client_id: int):
        return _page(context, known_client(context, client_id))

    @pages.post("/clients/<int:client_id>/tools")
    def save(client_id: int):
        client, form = known_client(context, client_id), Form()
        for name in tools.BUILT_IN:
            form.values[name] = request.form.get(name, "")
        list_word = form.text("list_word", "The word on a list's button", LONGEST_LIST_WORD)
        if not form:
            return _page(context, client, form), 422
        with transaction(context.db) as db:
            on = [name for name in tools.BUILT_IN if form.values[name] == "yes"]
            tools.switch(db, client_id, set(on))
            audit.record(db, "client.tools", f"client {client_id}", context.now(), on=on)
            clients.change(db, client_id, {"list_word": list_word}, context.now())
        _tell_saved(context, client)
        return see_other(".show", client_id=client_id)

    @pages.get("/clients/<int:client_id>/tools/new")
    def new(client_id: int):
        form = Form(timeout_seconds=f"{USUAL_TIMEOUT_SECONDS}", is_on="yes")
        return render_template("desk/lookup.html", client=known_client(context, client_id), lookup=None, form=form)

    @pages.post("/clients/<int:client_id>/tools/new")
    def add(client_id: int):
        client, form = known_client(context, client_id), Form()
        if len(tools.lookups(context.db, client_id)) >= MOST_LOOKUPS:
            form.wrong("name", f"{MOST_LOOKUPS} lookups are the most: remove one first.")
        lookup_id = _kept(context, client_id, form, None)
        if lookup_id is None:
            return render_template("desk/lookup.html", client=client, lookup=None, form=form), 422
        _tell_saved(context, client)
        return see_other(".edit", client_id=client_id, lookup_id=lookup_id)

    @pages.get("/clients/<int:client_id>/tools/<int:lookup_id>")
    def edit(client_id: int, lookup_id: int):
        lookup = _known(context, client_id, lookup_id)
        return render_template("desk/lookup.html", client=known_client(context, client_id), lookup=lookup, form=_typed(lookup), **_tried(lookup))

    @pages.post("/clients/<int:client_id>/tools/<int:lookup_id>")
    def change(client_id: int, lookup_id: int):
        client, lookup, form = known_client(context, client_id), _known(context, client_id, lookup_id), Form()
        if _kept(context, client_id, form, lookup) is None:
            return render_template("desk/lookup.html", client=client, lookup=lookup, form=form, **_tried(lookup)), 422
        _tell_saved(context, client)
        return see_other(".edit", client_id=client_id, lookup_id=lookup_id)

    @pages.post("/clients/<int:client_id>/tools/<int:lookup_id>/remove")
    def remove(client_id: int, lookup_id: int):
        lookup = _known(context, client_id, lookup_id)
        with transaction(context.db) as db:
            tools.remove(db, lookup_id)
            audit.record(db, "lookup.removed", f"client {client_id}", context.now(), name=lookup.name)
        flash(f"{lookup.name} is removed. What it found for earlier answers stays with them.", "success")
        return see_other(".show", client_id=client_id)

    @pages.post("/clients/<int:client_id>/tools/<int:lookup_id>/try")
    def try_it(client_id: int, lookup_id: int):
        """Asks the business's server while the browser waits."""
        return render_template("desk/_lookup_try.html", **_asked(context, _known(context, client_id, lookup_id)))

    return pages


def _known(context: Context, client_id: int, lookup_id: int) -> Lookup:
    found = tools.get(context.db, lookup_id)
    return found if found and found.client_id == client_id else abort(404, "There is no such lookup any more.")


def _page(context: Context, client: dict, form: Form | None = None) -> str:
    on = tools.switched_on(context.db, client["id"])
    form = form if form is not None else Form(list_word=client["list_word"], **{name: "yes" for name in on})
    return render_template("desk/tools.html", client=client, form=form, lookups=tools.lookups(context.db, client["id"]))


def _tell_saved(context: Context, client: dict) -> None:
    """Where the model is away nobody knows what it can."""
    model = client["model"] or context.settings.ollama_model
    try:
        if context.ollama.can_use_tools(model):
            return flash("Saved. It counts from the next answer on.", "success")
    except ModelError:
        return flash(f"Saved. Whether {model} can use tools is not known now: it does not answer.", "warning")
    flash(f"Saved, but {model} cannot use tools: it answers without. `ollama show` tells what a model can.", "warning")


# --- what was typed ------------------------------------------------------------------------------------------------------------------


def _kept(context: Context, client_id: int, form: Form, old: Lookup | None) -> int | None:
    """The lookup's id; None where something is wrong."""
    lookup = _read(context, client_id, form, old)
    if not form:
        return None
    try:
        with transaction(context.db) as db:
            lookup_id = tools.put(db, lookup)
            audit.record(db, "lookup.saved", f"client {client_id}", context.now(), name=lookup.name, hosts=lookup.hosts, on=lookup.is_on)
            return lookup_id
    except sqlite3.IntegrityError:
        form.wrong("name", "This client has a lookup of this name already.")
        return None


def _read(context: Context, client_id: int, form: Form, old: Lookup | None) -> Lookup:
    name, description = form.text("name", "A name", 40), form.words("description", "A description", LONGEST_DESCRIPTION)
    if name and not lookups.NAME.fullmatch(name):
        form.wrong("name", "A name is small letters, digits and _, as in order_status.")
    if name in tools.BUILT_IN:
        form.wrong("name", "This is the name of a tool that is built in.")
    url, parameters, host = _address(context, form)
    hosts = _hosts(form, host)
    timeout_seconds = form.number("timeout_seconds", "The time-out", 1, lookups.LONGEST_TIMEOUT_SECONDS)
    headers = _headers(form)
    secret_header, secret = _secret(context, form, old, hosts)
    form.values["is_on"] = request.form.get("is_on", "")
    return Lookup(
        id=old.id if old else 0, client_id=client_id, name=name, description=description, url=url, parameters=parameters, headers=headers,
        secret_header=secret_header, secret=secret, timeout_seconds=timeout_seconds or USUAL_TIMEOUT_SECONDS, hosts=hosts,
        is_on=form.values["is_on"] == "yes", changed_at=context.now(),
    )  # fmt: skip


def _address(context: Context, form: Form) -> tuple[str, dict[str, Any], str]:
    """The template, its parameters' schema, its host."""
    url = form.words("url", "The address", 1_000)
    typed = form.words("parameters", "The parameters", LONGEST_SCHEMA, required=False)
    host, schema = "", {}
    try:
        if url:
            host = lookups.check_url(context, url)
            schema = lookups.check_parameters(url, strict_json.loads(typed) if typed else lookups.usual_parameters(url))
    except BadLookup as error:
        form.wrong(error.field, str(error))
    except (ValueError, RecursionError):
        form.wrong("parameters", "This is not JSON.")
    return url, schema, host


def _hosts(form: Form, host: str) -> list[str]:
    typed = form.words("hosts", "The list of hosts", 1_000, required=False)
    hosts = list(dict.fromkeys(part.lower() for part in re.split(r"[\s,]+", typed) if part)) or ([host] if host else [])
    if host and host not in hosts:
        form.wrong("hosts", f"The address's own host is missing: {host}.")
    wrong = next((one for one in hosts if not re.fullmatch(r"\[?[a-z0-9.:-]{1,253}\]?", one) or "/" in one), None)
    if wrong:
        form.wrong("hosts", f"{wrong} is no host. One looks like shop.example, without https:// and without a path.")
    return hosts


def _headers(form: Form) -> dict[str, str]:
    found = {}
    for line in filter(None, map(str.strip, form.words("headers", "The headers", LONGEST_HEADERS, required=False).splitlines())):
        header = HEADER.fullmatch(line)
        if header is None or header[1].lower() in NOT_OURS_TO_SET:
            form.wrong("headers", f"{line[:60]}: a header looks like Accept-Language: de, and the request's own cannot be set.")
        else:
            found[header[1]] = header[2].strip()
    return found


def _secret(context: Context, form: Form, old: Lookup | None, hosts: list[str]) -> tuple[str, str | None]:
    """The header and its value, encrypted. An empty field keeps what is stored, for the hosts that it was stored for."""
    name = form.values["secret_header"] = request.form.get("secret_header", "").strip()
    typed = request.form.get("secret", "").strip()
    if not name:
        if typed:
            form.wrong("secret_header", "Which header is the secret for? Often it is Authorization or X-API-Key.")
        return "", None
    if not HEADER.fullmatch(f"{name}: x") or name.lower() in NOT_OURS_TO_SET:
        form.wrong("secret_header", "A header's name looks like Authorization or X-API-Key.")
    if typed:
        if len(typed) > LONGEST_SECRET or not typed.isascii() or not typed.isprintable():
            form.wrong("secret", f"A secret is at most {LONGEST_SECRET} letters, digits and signs.")
        return name, encrypt(context.settings, typed)
    if old is None or old.secret is None:
        form.wrong("secret", "The secret is missing.")
        return name, None
    if not set(hosts) <= set(old.hosts):
        form.wrong("secret", "Type the secret again: it was stored for other hosts.")
    return name, old.secret


def _typed(lookup: Lookup) -> Form:
    return Form(
        name=lookup.name, description=lookup.description, url=lookup.url, parameters=json.dumps(lookup.parameters, indent=2, ensure_ascii=False),
        headers="\n".join(f"{name}: {value}" for name, value in lookup.headers.items()), secret_header=lookup.secret_header,
        timeout_seconds=f"{lookup.timeout_seconds:g}", hosts="\n".join(lookup.hosts), is_on="yes" if lookup.is_on else "",
    )  # fmt: skip


# --- trying it -----------------------------------------------------------------------------------------------------------------------


def _tried(lookup: Lookup) -> dict[str, Any]:
    """The fields of 'try it'."""
    return {"places": lookups.places(lookup.url), "required": lookup.parameters.get("required", [])}


def _asked(context: Context, lookup: Lookup) -> dict[str, Any]:
    """What came back, or why nothing did."""
    given = {name: value for name in lookup.parameters["properties"] if (value := request.form.get(f"p_{name}", "").strip())}
    phone = "".join(filter(str.isdigit, request.form.get("p_phone", ""))) or None
    began = time.monotonic()
    try:
        arguments = lookups.fitted(given, lookup.parameters)
        result = lookups.ask(lookups.request(context, lookup, arguments, phone, most_seconds=TRY_SECONDS))
    except (BadArguments, LookupFailed) as error:
        words = str(error)
        return {"error": f"{words[:1].upper()}{words[1:]}."}
    return {"result": result[:4_000], "seconds": time.monotonic() - began}
