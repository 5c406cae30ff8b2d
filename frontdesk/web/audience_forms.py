"""What people typed for a new audience: a file, a pasted text, or which contacts."""

import io
import re
from dataclasses import dataclass
from typing import BinaryIO

from flask import request

from frontdesk.flows import audience_source, phones
from frontdesk.flows.context import Context
from frontdesk.store import clients
from frontdesk.web.forms import Form

WAYS = ("file", "paste", "contacts")
EMPTY = dict.fromkeys(("name", "client", "region", "text", "tags_any", "tags_all", "tags_none", "wrote_within_days", "countries"), "")
LONGEST_WORDS = 1_000


@dataclass(frozen=True, slots=True)
class List:
    client_id: int | None
    name: str
    source: str
    region: str | None
    stream: BinaryIO | None


@dataclass(frozen=True, slots=True)
class Contacts:
    client_id: int | None
    name: str
    source: str
    filter: dict


def read_list(context: Context, form: Form, way: str) -> List:
    """Nothing of the list itself goes into the form again when it is a file; a browser cannot choose a file for somebody."""
    client_id, region = _client(context, form), form.choice("region", ("", *phones.regions())) or None
    if way == "paste":
        form.values["text"] = text = request.form.get("text", "")
        if not text.strip():
            form.wrong("text", "The list is empty: paste one number on each line.")
        name = form.text("name", "A name")
        return List(client_id, name, "paste", region, io.BytesIO(text.encode("utf-8", "replace")))
    uploaded = request.files.get("file")
    stem = re.sub(r"\.\w{1,5}$", "", uploaded.filename or "") if uploaded else ""
    form.values["name"] = name = " ".join((request.form.get("name", "").strip() or stem).split())[:100]
    if not uploaded or not uploaded.filename:
        form.wrong("file", "Choose a file.")
    elif not name:
        form.wrong("name", "A name is missing.")
    return List(client_id, name, "csv", region, uploaded.stream if uploaded else None)


def read_contacts(context: Context, form: Form, *, name_needed: bool) -> Contacts:
    client_id = _client(context, form)
    name = form.text("name", "A name") if name_needed else _typed(form, "name")
    filter: dict = {part: [tag for tag in re.split(r"[,\n]", _typed(form, part)) if tag.strip()] for part in ("tags_any", "tags_all", "tags_none")}
    filter["countries"] = _countries(_typed(form, "countries"))
    days = form.number("wrote_within_days", "Days", 1, 3650)
    filter["wrote_within_days"] = int(days) if days and form else None
    form.values["never_answered"] = request.form.get("never_answered", "")
    filter["never_answered"] = form.values["never_answered"] == "yes"
    by_tag = bool(filter["tags_any"] or filter["tags_all"]) and not (filter["countries"] or days or filter["never_answered"])
    return Contacts(client_id, name, "tag" if by_tag else "filter", filter)


def _countries(typed: str) -> list[str]:
    """Codes, or names as the select of countries has them. What is neither is left for the filter to refuse."""
    by_name = {name.lower(): code for code, name in phones.country_names().items()}
    parts = [part.strip() for part in re.split(r"[,;\n]", typed) if part.strip()]
    return [by_name.get(part.lower(), part) for part in parts]


def _client(context: Context, form: Form) -> int | None:
    chosen = form.choice("client", tuple(str(id_) for id_, _ in clients.names(context.db)))
    return None if "client" in form.errors else int(chosen)


def _typed(form: Form, field: str) -> str:
    value = form.values[field] = request.form.get(field, "")[:LONGEST_WORDS]
    return value


def choices(context: Context, client_id: int | None, *, alone: bool) -> list[tuple[str, str]]:
    """Countries for a select; the first is none: as the business has it. `alone`: there is one client, so it can be named."""
    names = phones.country_names()
    own = audience_source.home_region(context, client_id, None) if client_id and alone else None
    first = f"the business's own ({names.get(own, own)})" if own else "the business's own country"
    return [("", first), *sorted(((region, names.get(region, region)) for region in phones.regions()), key=lambda pair: pair[1])]
