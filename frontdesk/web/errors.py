"""What goes wrong, told in the asker's own language: a page to a browser, a banner to htmx, JSON to everything else."""

import logging
import sqlite3
from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request
from werkzeug.exceptions import HTTPException

from frontdesk import queues

log = logging.getLogger(__name__)

WORDS = {
    400: ("That request could not be read", "Go back and try again."),
    401: ("You are logged out", "Log in to go on."),
    403: ("This is not yours to open", "Ask an owner of this desk if you need it."),
    404: ("There is nothing here", "The address is wrong, or what was here is gone."),
    405: ("That cannot be done here", "Go back and try again."),
    413: ("That is too large", "Send less at once."),
    429: ("Too many attempts", "Wait a little and try again."),
    500: ("Something went wrong here", "It was written to the log. Try again; if it stays, bin/frontdesk doctor may know more."),
    503: ("Not now", "A part of Frontdesk does not answer. Try again in a minute."),
}

# Fields of a form that are never shown again.
UNSPOKEN = ("csrf_token", "password", "current_password", "new_password", "access_token", "next")


def error_response(status: int, code: str, message: str, field: str | None = None, **more: Any) -> tuple[Response, int]:
    """The one shape of an error: {"error": {"code", "message", "field"?}}; `more`: what else this one tells."""
    error = {"code": code, "message": message, **more}
    if field:
        error["field"] = field
    return jsonify(error=error), status


def wants_fragment() -> bool:
    """htmx asks: it puts a part into a page that is there."""
    return request.headers.get("HX-Request") == "true" and request.headers.get("HX-Boosted") != "true"


def wants_json() -> bool:
    """A program asks. Browsers name text/html, curl and fetch take anything."""
    return not wants_fragment() and "text/html" not in request.headers.get("Accept", "")


def is_for_people() -> bool:
    """Whether an address that leads nowhere is shown as a page."""
    return not request.path.startswith(("/webhooks/", "/api/", "/static/")) and not wants_json()


def add_error_pages(blueprint: Blueprint) -> None:
    blueprint.register_error_handler(HTTPException, http_error)
    blueprint.register_error_handler(queues.RedisError, _redis_away)
    blueprint.register_error_handler(sqlite3.OperationalError, _database_busy)
    blueprint.register_error_handler(OverflowError, _no_such_id)
    blueprint.register_error_handler(Exception, own_error)


def http_error(error: HTTPException):
    if error.response is not None or (error.code or 500) < 400:
        return error
    own_words = error.description if "description" in vars(error) else None
    return shown(error.code or 500, own_words)


def own_error(error: Exception):
    log.error("%s %s failed", request.method, place(), exc_info=error)
    return shown(500)


def _redis_away(error: Exception):
    log.error("%s %s: Redis does not answer: %s", request.method, place(), type(error).__name__)
    return shown(503, "Redis does not answer just now. Nothing was changed; try again in a minute.")


def _database_busy(error: sqlite3.OperationalError):
    log.error("%s %s: %s", request.method, place(), error)
    return shown(503, "The database is busy or cannot be reached. Nothing was changed; try again in a moment.")


def _no_such_id(error: OverflowError):
    """A number in the address or the form that is larger than any id can be."""
    return shown(404) if "SQLite INTEGER" in str(error) else own_error(error)


def place() -> str:
    """The path for a log line, without the token that some paths are."""
    return str(request.url_rule) if "token" in (request.view_args or {}) else request.path


def shown(status: int, message: str | None = None):
    """The error as a page, a fragment or JSON."""
    title, usual = WORDS.get(status, WORDS[500])
    message = message or usual
    if wants_json():
        return error_response(status, title.lower().replace(" ", "_"), message)
    template = "desk/_error.html" if wants_fragment() else "desk/error.html"
    response = Response(render_template(template, status=status, title=title, message=message), status)
    if status in (429, 503):
        response.headers.setdefault("Retry-After", "30")
    return response


def form_expired(logged_out: bool = False):
    """A form came without a valid token. What was typed is shown for copying; it is not sent again by itself."""
    status = 401 if logged_out else 403
    if wants_json() or wants_fragment():
        return shown(status, "This page is too old to send from. Copy what you typed and load it again.")
    typed = [(name, text) for name, text in request.form.items() if name not in UNSPOKEN and text.strip()]
    return render_template("desk/form_expired.html", logged_out=logged_out, typed=typed, back=_back()), status


def _back() -> str:
    """The page with the form: this path, where it can be opened."""
    return request.path if "GET" in (request.url_rule.methods or ()) else "/"
