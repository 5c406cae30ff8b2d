"""API tokens: made, shown once, revoked. For owners."""

from flask import Blueprint, g, render_template, request

from frontdesk.flows.context import Context
from frontdesk.store import api_tokens, audit, clients
from frontdesk.store.database import transaction
from frontdesk.web import access
from frontdesk.web.forms import Form
from frontdesk.web.pages import flash, see_other

LABELS = {
    "send": "Send messages and see what became of them",
    "read": "Read conversations, contacts and numbers",
    "documents": "Have documents summarised, classified or extracted",
    "broadcasts": "Make broadcasts, start and stop them, and see who got them",
    "privacy": "Export everything on a person, and erase people for ever",
}


def token_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("tokens", __name__), role=access.OWNER)

    @pages.get("/tokens")
    def all_tokens():
        return _page(context, _empty())

    @pages.post("/tokens")
    def make():
        """The token is in this answer and nowhere else, so there is no redirect."""
        form = Form()
        name = form.text("name", "A name")
        client = form.choice("client", ("", *(str(id_) for id_, _ in clients.names(context.db))))
        for scope in api_tokens.SCOPES:
            form.values[scope] = request.form.get(scope, "")
        scopes = tuple(scope for scope in api_tokens.SCOPES if form.values[scope] == "yes")
        if not scopes:
            form.wrong("send", "Choose at least one thing it may do.")
        if not form:
            return _page(context, form), 422
        with transaction(context.db) as db:
            audit.record(db, "token.made", None, context.now(), name=name, client_id=int(client) if client else None, scopes=list(scopes))
            token = api_tokens.add(db, name, int(client) if client else None, scopes, g.user.id, context.now())
        return _page(context, _empty(), token), 201

    @pages.post("/tokens/<int:token_id>/revoke")
    def revoke(token_id: int):
        with transaction(context.db) as db:
            api_tokens.revoke(db, token_id, context.now())
            audit.record(db, "token.revoked", f"token {token_id}", context.now())
        flash("Revoked: nothing can be asked with it any more.", "success")
        return see_other(".all_tokens")

    return pages


def _empty() -> Form:
    return Form(client="", send="yes", read="yes")


def _page(context: Context, form: Form, token: str | None = None) -> str:
    return render_template(
        "desk/tokens.html",
        tokens=api_tokens.all_of_them(context.db),
        names=dict(clients.names(context.db)),
        labels=LABELS,
        form=form,
        token=token,
    )
