"""Who may log in: inviting, roles, disabling. For owners."""

from flask import Blueprint, abort, render_template, url_for

from frontdesk.flows import links, people
from frontdesk.flows.context import Context
from frontdesk.store import login_links, users
from frontdesk.store.database import transaction
from frontdesk.web import access
from frontdesk.web.forms import Form
from frontdesk.web.pages import flash, see_other


def user_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("users", __name__), role=access.OWNER)

    @pages.get("/users")
    def all_users():
        return _users_page(context, Form(email="", role="agent"))

    @pages.post("/users/invitations")
    def invite():
        """The link is in this answer and nowhere else, so there is no redirect."""
        form = Form()
        email, role = form.email(), form.choice("role", users.ROLES)
        if not form:
            return _users_page(context, form), 422
        try:
            with transaction(context.db) as db:
                token = links.invitation(db, email, role, context.now())
        except links.EmailTaken:
            form.wrong("email", "There is a user with this e-mail already.")
            return _users_page(context, form), 422
        return _users_page(context, Form(email="", role="agent"), _link(token), f"Send this link to {email}"), 201

    @pages.post("/users/invitations/<int:link_id>/withdraw")
    def withdraw(link_id: int):
        if people.withdraw_invitation(context, link_id):
            flash("The invitation was withdrawn; its link no longer works.", "success")
        return see_other("users.all_users")

    @pages.post("/users/<int:user_id>/password-link")
    def password_link(user_id: int):
        user = _known(context, user_id)
        if user.disabled:
            abort(409, "Enable this user first.")
        with transaction(context.db) as db:
            token = links.new_password(db, user_id, context.now())
        return _users_page(context, Form(email="", role="agent"), _link(token), f"{user.name} can set a new password here"), 201

    @pages.post("/users/<int:user_id>/role")
    def change_role(user_id: int):
        user, form = _known(context, user_id), Form()
        role = form.choice("role", users.ROLES)
        if not form:
            abort(400)
        try:
            people.change_role(context, user_id, role)
            again = ", and must log in again" if (role, user.role) == ("owner", "agent") else ""
            flash(f"{user.name} is now an {role}{again}.", "success")
        except people.LastOwner:
            flash(f"{user.name} is the only owner who can log in. Make somebody else an owner first.", "danger")
        return see_other("users.all_users")

    @pages.post("/users/<int:user_id>/disable")
    def disable(user_id: int):
        user = _known(context, user_id)
        try:
            people.disable(context, user_id)
            flash(f"{user.name} is logged out everywhere and can no longer log in.", "success")
        except people.LastOwner:
            flash(f"{user.name} is the only owner who can log in. Make somebody else an owner first.", "danger")
        return see_other("users.all_users")

    @pages.post("/users/<int:user_id>/enable")
    def enable(user_id: int):
        user = _known(context, user_id)
        people.enable(context, user_id)
        flash(f"{user.name} can log in again.", "success")
        return see_other("users.all_users")

    return pages


def _known(context: Context, user_id: int) -> users.User:
    user = users.get(context.db, user_id)
    if user is None:
        abort(404)
    return user


def _link(token: str) -> str:
    return url_for("login.link", token=token, _external=True)


def _users_page(context: Context, form: Form, link: str | None = None, link_words: str = "") -> str:
    return render_template(
        "desk/users.html",
        users=users.all_of_them(context.db),
        invitations=login_links.open_invitations(context.db, context.now()),
        form=form,
        link=link,
        link_words=link_words,
    )
