"""The desk as a person uses it: a browser (Flask's client) that is logged in and sends each form's CSRF token along.

    browser = log_in(app, role="agent")
    browser.get("/inbox"); browser.submit("/account", name="Mina"); browser.fragment("/inbox/list")
"""

from flask import Flask
from flask.testing import FlaskClient

from frontdesk.flows import passwords
from frontdesk.flows.logging_in import begin_session
from frontdesk.store import users
from frontdesk.store.database import transaction
from frontdesk.web import access

PASSWORD = "bread and butter"
PAGE = "text/html,application/xhtml+xml"


class Browser(FlaskClient):
    def open(self, *args, **kwargs):
        headers = {"Accept": PAGE, **dict(kwargs.pop("headers", None) or {})}
        return super().open(*args, headers=headers, **kwargs)

    def submit(self, path: str, headers: dict | None = None, **fields):
        """POST a form of a page that was just loaded."""
        return self.post(path, data={"csrf_token": self.csrf_token(), **fields}, headers=headers)

    def fragment(self, path: str, method: str = "GET", **fields):
        """As htmx asks."""
        headers = {"HX-Request": "true", "X-CSRF-Token": self.csrf_token(), "Accept": "*/*"}
        return self.open(path, method=method, data=fields or None, headers=headers)

    def csrf_token(self) -> str:
        if not self.get_cookie(access.SESSION_COOKIE) and not self.get_cookie(access.VISITOR_COOKIE):
            self.get("/login")
        cookie = self.get_cookie(access.SESSION_COOKIE) or self.get_cookie(access.VISITOR_COOKIE)
        with self.application.app_context():
            return access._csrf_of(cookie.value)


def visit(app: Flask) -> Browser:
    """A browser that is not logged in."""
    return Browser(app, app.response_class, use_cookies=True)


def add_user(app: Flask, role: str = "owner", email: str | None = None, name: str | None = None) -> int:
    context = app.extensions["frontdesk"]
    with transaction(context.db) as db:
        return users.add(
            db,
            name=name or f"Some {role.capitalize()}",
            email=email or f"{role}@example.com",
            role=role,
            password_hash=_hash(),
            now=context.now(),
        )


def log_in(app: Flask, role: str = "owner", email: str | None = None, name: str | None = None) -> Browser:
    """A browser in which a user of this role is logged in; the user is made where there is none with this e-mail."""
    context = app.extensions["frontdesk"]
    known = users.find(context.db, email or f"{role}@example.com")
    user_id = known.id if known else add_user(app, role, email, name)
    with transaction(context.db) as db:
        token = begin_session(db, user_id, address="127.0.0.1", user_agent="Firefox on Linux", now=context.now())
    browser = visit(app)
    browser.set_cookie(access.SESSION_COOKIE, token)
    return browser


_made: list[str] = []


def _hash() -> str:
    if not _made:
        _made.append(passwords.hashed(PASSWORD))
    return _made[0]
