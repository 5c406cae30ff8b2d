"""Logging in and out, and the links that are good once: the first owner's, invitations, new passwords."""

from flask import Blueprint, g, redirect, render_template, request, url_for

from frontdesk.flows import links, logging_in, people
from frontdesk.flows.context import Context
from frontdesk.store import users
from frontdesk.web import access, errors
from frontdesk.web.forms import Form
from frontdesk.web.pages import flash, span


def login_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("login", __name__), role=access.ANYBODY)

    @pages.get("/login")
    def log_in():
        if g.user:
            return redirect(access.local_path(request.args.get("next")))
        return _login_page(context, Form(email=""))

    @pages.post("/login")
    def try_log_in():
        form = Form(email=request.form.get("email", ""))
        try:
            token = logging_in.log_in(
                context,
                email=form.values["email"],
                password=request.form.get("password", ""),
                address=g.address,
                user_agent=request.user_agent.string,
            )
        except logging_in.WrongCredentials:
            form.wrong("password", "This e-mail and password do not fit together.")
            return _login_page(context, form), 422
        except logging_in.TooManyAttempts as error:
            return _throttled(_login_page, context, form, error)
        _end_old_session(context)
        return access.keep_logged_in(redirect(access.local_path(request.form.get("next")), 303), token)

    @pages.post("/logout")
    def log_out():
        _end_old_session(context)
        flash("You are logged out.", "success")
        return access.forget(redirect(url_for("login.log_in"), 303))

    @pages.get("/first-run/<token>", endpoint="first_run")
    @pages.get("/link/<token>", endpoint="link")
    def open_link(token: str):
        link = links.usable(context.db, token, context.now())
        if link is None:
            return _link_over(context)
        return _link_page(context, link, Form(name="", email=link.email or ""))

    @pages.post("/first-run/<token>", endpoint="use_first_run")
    @pages.post("/link/<token>", endpoint="use_link")
    def use_link(token: str):
        link = links.usable(context.db, token, context.now())
        if link is None:
            return _link_over(context)
        form = Form(name="", email=link.email or "")
        if link.kind != "password":
            form.text("name", "Your name")
        if link.kind == "first_run":
            form.email()
        password = form.new_password("password", form.values["email"], form.values["name"])
        if not form:
            return _link_page(context, link, form), 422
        try:
            session_token = links.accept(
                context,
                token,
                name=form.values["name"],
                email=form.values["email"],
                password=password,
                address=g.address,
                user_agent=request.user_agent.string,
            )
        except links.LinkOver:
            return _link_over(context)
        except links.EmailTaken:
            form.wrong("email", "There is a user with this e-mail already.")
            return _link_page(context, link, form), 422
        return access.keep_logged_in(redirect("/inbox", 303), session_token)

    return pages


def _end_old_session(context: Context) -> None:
    if g.session:
        people.log_out(context, g.user.id, g.session.id)


def _login_page(context: Context, form: Form, notice: str | None = None):
    return render_template(
        "desk/login.html",
        form=form,
        notice=notice,
        next=access.local_path(request.values.get("next"), ""),
        nobody_yet=not users.exist(context.db),
    )


def _throttled(page, context: Context, form: Form, error: logging_in.TooManyAttempts):
    wait = span(error.wait_seconds)
    headers = {"Retry-After": str(int(error.wait_seconds) + 1)}
    return page(context, form, notice=f"Too many attempts. Try again in {wait}."), 429, headers


def _link_page(context: Context, link: links.LoginLink, form: Form):
    user = users.get(context.db, link.user_id) if link.user_id else None
    return render_template("desk/link.html", link=link, user=user, form=form)


def _link_over(context: Context):
    """A good link is never refused: only what is none is counted."""
    try:
        logging_in.count_attempt(context, "link", g.address)
    except logging_in.TooManyAttempts:
        return errors.shown(429)
    return render_template("desk/link_over.html"), 404
