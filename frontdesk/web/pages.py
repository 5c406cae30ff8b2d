"""What every page shares: the navigation, flashes, filters of the templates, the version in static addresses."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask, abort, flash, g, get_flashed_messages, redirect, request, url_for
from jinja2 import Template
from markupsafe import Markup, escape

from frontdesk.flows.context import Context
from frontdesk.store import clients
from frontdesk.store.counters import MOST_COUNTED
from frontdesk.web import access
from frontdesk.web.banners import banners
from frontdesk.web.errors import wants_fragment

__all__ = ["add_pages", "flash", "known_client", "redirect_back", "see_other", "wants_fragment"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the navigation; shown where its path exists."""

    name: str
    label: str
    path: str
    icon: str
    owner: bool = False


NAVIGATION = [
    Entry("inbox", "Inbox", "/inbox", "inbox"),
    Entry("overview", "Overview", "/overview", "chart"),
    Entry("templates", "Templates", "/templates", "file"),
    Entry("schedules", "Schedules", "/schedules", "calendar"),
    Entry("digests", "Digests", "/digests", "clock"),
    Entry("clients", "Clients", "/clients", "store", owner=True),
    Entry("knowledge", "Knowledge", "/knowledge", "note", owner=True),
    Entry("replays", "Replays", "/replays", "refresh", owner=True),
    Entry("audiences", "Audiences", "/audiences", "list", owner=True),
    Entry("broadcasts", "Broadcasts", "/broadcasts", "send", owner=True),
    Entry("dead-letters", "Dead letters", "/dead-letters", "undelivered", owner=True),
    Entry("documents", "Documents", "/documents", "copy", owner=True),
    Entry("users", "Users", "/users", "people", owner=True),
    Entry("tokens", "API tokens", "/tokens", "key", owner=True),
    Entry("callbacks", "Callbacks", "/callbacks", "link", owner=True),
    Entry("audit", "Audit log", "/audit", "clock", owner=True),
    Entry("queues", "Queues", "/rq", "queue", owner=True),
]


class Page(Template):
    """What customers write may end in half an emoji, which UTF-8 has no form for: a page with it could not be sent at all."""

    def render(self, *args, **kwargs) -> str:
        html = super().render(*args, **kwargs)
        try:
            html.encode()
        except UnicodeEncodeError:
            return re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", html)
        return html


def add_pages(app: Flask) -> None:
    """Filters and what base.html needs. Called when all blueprints are there."""
    paths = {rule.rule.rstrip("/") for rule in app.url_map.iter_rules()}
    entries = [entry for entry in NAVIGATION if entry.path in paths]
    versions: dict[str, int] = {}

    def asset(filename: str) -> str:
        """A static file's address, which changes when the file does."""
        if filename not in versions:
            versions[filename] = int((Path(app.static_folder) / filename).stat().st_mtime)
        return url_for("static", filename=filename, v=versions[filename])

    def navigation() -> list[Entry]:
        user = g.get("user")
        return [entry for entry in entries if user and (user.role == "owner" or not entry.owner)]

    app.jinja_env.template_class = Page
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals |= {
        "asset": asset,
        "banners": lambda: banners(access.context()) if g.get("user") else [],
        "csrf_token": access.csrf_token,
        "flashes": lambda: get_flashed_messages(with_categories=True),
        "me": lambda: g.get("user"),
        "navigation": navigation,
    }
    app.jinja_env.filters |= {"iso": iso, "utc": utc, "span": span, "initials": initials, "lines": lines, "counted": counted}


def known_client(context: Context, client_id: int) -> dict:
    """Its row, or the page that says there is none."""
    return clients.as_stored(context.db, client_id) or abort(404, "There is no such client.")


def see_other(endpoint: str, **values):
    """POST → redirect → GET."""
    return redirect(url_for(endpoint, **values), 303)


def redirect_back(otherwise: str):
    """To the page that the form was on, if it is one of ours."""
    return redirect(access.local_path(request.form.get("next"), otherwise), 303)


# --- filters --------------------------------------------------------------------------------------------------------------------


def iso(at: float) -> str:
    """UTC, as `<time datetime>` wants it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc(at: float) -> str:
    """For readers without scripts."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def span(seconds: float) -> str:
    """A wait in words: '40 seconds', '3 minutes', '2 hours', '5 days'."""
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return _counted(-int(-seconds // size), name)
    return _counted(max(1, -int(-seconds // 1)), "second")


def _counted(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def counted(count: int) -> str:
    """A count that goes no further than MOST_COUNTED."""
    return f"{MOST_COUNTED:,}+" if count > MOST_COUNTED else str(count)


def initials(name: str) -> str:
    words = re.findall(r"\w+", name)
    return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper() or "?"


def lines(text: str) -> Markup:
    """Escaped, with its line breaks."""
    return Markup("<br>").join(escape(line) for line in text.split("\n"))
