"""Deliveries of callbacks: what was told to whom, what came back, once more; the secrets that sign them. For owners."""

import json

from flask import Blueprint, abort, render_template, request

from frontdesk.flows import callbacks as flow
from frontdesk.flows.context import Context
from frontdesk.store import audit, callbacks, clients
from frontdesk.store.callbacks import Callback
from frontdesk.store.database import transaction
from frontdesk.web import access
from frontdesk.web.pages import flash, see_other

PAGE = 50
STATES = {"wanted": ("accent", "on its way"), "delivered": ("success", "taken"), "failed": ("danger", "given up")}


def callback_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("callbacks", __name__), role=access.OWNER)

    @pages.get("/callbacks")
    def deliveries():
        return _page(context)

    @pages.get("/callbacks/<public_id>")
    def delivery(public_id: str):
        found = _known(context, public_id)
        body = json.dumps(json.loads(found.body), indent=2, ensure_ascii=False)
        return render_template(
            "desk/callback.html", one=found, states=STATES, body=body, address=flow.address, client=_names(context).get(found.client_id or 0)
        )

    @pages.post("/callbacks/<public_id>/resend")
    def resend(public_id: str):
        flow.send_again(context, _known(context, public_id))
        flash("It is on its way again, under the same id.", "success")
        return see_other(".delivery", public_id=public_id)

    @pages.post("/callbacks/resend-failed")
    def resend_failed():
        event = request.form.get("event", "")
        count = callbacks.send_failed_again(context.db, context.now(), event=event)
        with context.ringing():
            flow.sweep(context)
        flash(f"On their way again: {count}." if count else "There was none left to send again.", "success" if count else "warning")
        return see_other(".deliveries", event=event or None)

    @pages.post("/callbacks/secret")
    def secret():
        """It is in this answer alone, so there is no redirect."""
        client_id = _client(context)
        with transaction(context.db) as db:
            audit.record(db, "callbacks.secret_seen", f"client {client_id}" if client_id else None, context.now())
        return _page(context, secret=flow.secrets(context, client_id or None)[0], of=client_id)

    @pages.post("/callbacks/secret/change")
    def change_secret():
        client_id = _client(context)
        with transaction(context.db) as db:
            callbacks.change_secret(db, client_id or None, context.now())
            audit.record(db, "callbacks.secret_changed", f"client {client_id}" if client_id else None, context.now())
        return _page(context, secret=flow.secrets(context, client_id or None)[0], of=client_id, changed=True)

    return pages


def _known(context: Context, public_id: str) -> Callback:
    return callbacks.get(context.db, public_id) or abort(404, "This delivery is not there, or no longer: they are kept for 30 days.")


def _names(context: Context) -> dict[int, str]:
    """Client 0: what was asked for by a token of all clients, or on the desk for all."""
    return dict(clients.names(context.db)) | {0: "all clients"}


def _client(context: Context) -> int:
    client_id = request.form.get("client", type=int)
    return client_id if client_id in _names(context) else abort(404, "There is no such client.")


def _page(context: Context, **shown) -> str:
    db = context.db
    state, event = request.values.get("state", ""), request.values.get("event", "")
    state = state if state in STATES else ""
    found = callbacks.newest(db, state=state, event=event, before=request.args.get("before", type=int), limit=PAGE + 1)
    return render_template(
        "desk/callbacks.html",
        deliveries=found[:PAGE],
        older=found[PAGE - 1].id if len(found) > PAGE else None,
        counts=callbacks.counts(db, event=event),
        events=callbacks.events(db),
        state=state,
        event=event,
        states=STATES,
        names=_names(context),
        address=flow.address,
        **shown,
    )
