"""Who is asking, and may they. Hooks on each blueprint, never on the app: a webhook pays nothing for them.

    pages = access.protect(Blueprint("clients", __name__), role="owner")

A log-in is a random token in a cookie; its row is in SQLite. The CSRF token is an HMAC of that cookie (before log-in, of a
visitor's cookie), so it needs no storage and ends with it.
"""

import hashlib
import hmac
from functools import wraps
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, current_app, g, redirect, request, url_for

from werkzeug.exceptions import HTTPException

from frontdesk.flows import logging_in
from frontdesk.flows.context import Context
from frontdesk.store import audit, tokens
from frontdesk.store.audit import Actor
from frontdesk.store.user_sessions import LIFETIME_SECONDS
from frontdesk.web import errors

SESSION_COOKIE = "frontdesk_session"
VISITOR_COOKIE = "frontdesk_visitor"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
ANYBODY, AGENT, OWNER = None, "agent", "owner"


def protect(blueprint: Blueprint, role: str | None = AGENT) -> Blueprint:
    """`role`: the least that is needed for every page of the blueprint; ANYBODY still has CSRF checked."""

    @blueprint.before_request
    def check():
        identify()
        if role is not ANYBODY and g.user is None:
            return _ask_to_log_in()
        if request.method not in SAFE_METHODS and not _csrf_fits():
            return errors.form_expired()
        if role == OWNER:
            require_owner()

    blueprint.after_request(_after)
    errors.add_error_pages(blueprint)
    return blueprint


def owner_only(view):
    """For single pages of a blueprint that agents may open."""

    @wraps(view)
    def checked(*args, **kwargs):
        require_owner()
        return view(*args, **kwargs)

    return checked


def require_owner() -> None:
    if g.user.role != "owner":
        abort(403, "Only an owner may do this. Ask one of yours.")


def context() -> Context:
    return current_app.extensions["frontdesk"]


def identify() -> None:
    """Sets g.user (None: nobody is logged in), g.session and g.address."""
    g.user = g.session = None
    g.address = request.remote_addr or "unknown"
    token = request.cookies.get(SESSION_COOKIE)
    found = logging_in.current(context(), token, g.address) if token else None
    if found:
        g.session, g.user = found
    audit.act_as(Actor("user", g.user.id, g.user.name, g.address) if g.user else Actor("system", None, "a visitor", g.address))


def _ask_to_log_in():
    if errors.wants_fragment() or errors.wants_json():
        return errors.shown(401, "You are logged out. Log in in another tab, then go on here.")
    if request.method not in SAFE_METHODS:
        return errors.form_expired(logged_out=True)
    return redirect(url_for("login.log_in", next=_here()))


def _here() -> str:
    return request.full_path.rstrip("?")


def lost(error: HTTPException):
    """An address that is no page's: told in the frame of whoever is logged in."""
    identify()
    return _after(current_app.make_response(errors.http_error(error)))


# --- CSRF -----------------------------------------------------------------------------------------------------------------------


def csrf_token() -> str:
    """For forms (field `csrf_token`) and htmx (header X-CSRF-Token). Gives a visitor their cookie."""
    return _csrf_of(request.cookies[SESSION_COOKIE] if g.user else _visitor())


def _csrf_fits() -> bool:
    cookie = request.cookies.get(SESSION_COOKIE if g.user else VISITOR_COOKIE)
    given = request.headers.get("X-CSRF-Token") or request.headers.get("X-CSRFToken") or request.form.get("csrf_token", "")
    return bool(cookie) and hmac.compare_digest(_csrf_of(cookie).encode(), given.encode("utf-8", "surrogatepass"))


def _csrf_of(cookie: str) -> str:
    key = context().settings.derived_secret("csrf")
    return hmac.new(key.encode(), cookie.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _visitor() -> str:
    if "visitor" not in g:
        g.visitor = request.cookies.get(VISITOR_COOKIE) or tokens.new()
    return g.visitor


# --- cookies and headers --------------------------------------------------------------------------------------------------------


def keep_logged_in(response: Response, token: str) -> Response:
    _set_cookie(response, SESSION_COOKIE, token, max_age=LIFETIME_SECONDS)
    response.delete_cookie(VISITOR_COOKIE)
    return response


def forget(response: Response) -> Response:
    response.delete_cookie(SESSION_COOKIE)
    return response


def _set_cookie(response: Response, name: str, value: str, max_age: int | None = None) -> None:
    secure = request.is_secure or not context().settings.development
    response.set_cookie(name, value, max_age=max_age, secure=secure, httponly=True, samesite="Lax")


def _after(response: Response) -> Response:
    """Nothing of the desk stays in a cache; a cookie in use is prolonged with its session."""
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    response.headers.setdefault("X-Frame-Options", "DENY")
    if "visitor" in g:
        _set_cookie(response, VISITOR_COOKIE, g.visitor)
    elif g.get("session") and _was_just_prolonged() and not _sets_session(response):
        _set_cookie(response, SESSION_COOKIE, request.cookies[SESSION_COOKIE], max_age=LIFETIME_SECONDS)
    return response


def _was_just_prolonged() -> bool:
    return abs(context().now() - g.session.last_used_at) > logging_in.TOUCH_SECONDS


def _sets_session(response: Response) -> bool:
    return any(cookie.startswith(f"{SESSION_COOKIE}=") for cookie in response.headers.getlist("Set-Cookie"))


def local_path(address: str | None, otherwise: str = "/inbox") -> str:
    """Where to go on after log-in: a path of our own, never another site."""
    if not address or not address.startswith("/") or any(sign in address for sign in "\\\r\n\t"):
        return otherwise
    parts = urlsplit(address)
    return otherwise if parts.scheme or parts.netloc or address.startswith("//") else address
