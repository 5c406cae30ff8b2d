"""One's own account: name, password, and the browsers in which one is logged in."""

import re

from flask import Blueprint, abort, g, redirect, render_template, request, url_for

from frontdesk.flows import logging_in, people
from frontdesk.flows.context import Context
from frontdesk.store import user_sessions
from frontdesk.web import access
from frontdesk.web.forms import Form
from frontdesk.web.pages import flash, see_other, span


def account_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("account", __name__))

    @pages.get("/account")
    def account():
        return _account_page(context, Form(name=g.user.name))

    @pages.post("/account")
    def rename():
        form = Form()
        name = form.text("name", "Your name")
        if not form:
            return _account_page(context, form), 422
        people.rename(context, g.user.id, name)
        flash("Your name was changed.", "success")
        return see_other("account.account")

    @pages.post("/account/password")
    def change_password():
        form = Form(name=g.user.name)
        new = form.new_password("new_password", g.user.email, g.user.name)
        if not form:
            return _account_page(context, form), 422
        try:
            logging_in.count_attempt(context, f"password:{g.user.id}", g.address)
            ended = people.change_password(
                context, g.user.id, g.session.id, request.form.get("current_password", ""), new
            )
        except people.WrongPassword:
            form.wrong("current_password", "This is not your current password.")
            return _account_page(context, form), 422
        except logging_in.TooManyAttempts as error:
            form.wrong("current_password", f"Too many attempts. Try again in {span(error.wait_seconds)}.")
            return _account_page(context, form), 429
        others = f" You were logged out of {ended} other browser{'s' if ended != 1 else ''}." if ended else ""
        flash(f"Your password was changed.{others}", "success")
        return see_other("account.account")

    @pages.post("/account/sessions/<int:session_id>/end")
    def end_session(session_id: int):
        if not people.log_out(context, g.user.id, session_id):
            abort(404, "That browser is logged out already.")
        if session_id == g.session.id:
            return access.forget(redirect(url_for("login.log_in"), 303))
        flash("That browser is logged out.", "success")
        return see_other("account.account")

    @pages.post("/account/sessions/end")
    def end_all_sessions():
        people.log_out_everywhere(context, g.user.id)
        flash("You are logged out everywhere.", "success")
        return access.forget(redirect(url_for("login.log_in"), 303))

    return pages


def _account_page(context: Context, form: Form) -> str:
    sessions = user_sessions.of_user(context.db, g.user.id, context.now())
    return render_template("desk/account.html", form=form, sessions=sessions, browser=browser)


# The first that fits: each of these names also its ancestors.
_BROWSERS = [("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome|CriOS", "Chrome"), ("Safari", "Safari")]
_SYSTEMS = [
    ("iPhone|iPad", "iOS"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
]


def browser(user_agent: str) -> str:
    """'Firefox on Linux', as far as it tells."""
    name = next((name for sign, name in _BROWSERS if re.search(sign, user_agent)), "A browser")
    system = next((name for sign, name in _SYSTEMS if re.search(sign, user_agent)), None)
    return f"{name} on {system}" if system else name
