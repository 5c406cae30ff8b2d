"""Daily digests: the newest in full, earlier ones behind it. Everybody at the desk may read them; owners send one again."""

from flask import Blueprint, abort, render_template, request

from frontdesk.flows import digest_days, digest_words, digests as flow
from frontdesk.flows.context import Context
from frontdesk.flows.outgoing import CannotSend
from frontdesk.store import clients, digests
from frontdesk.store.digests import Digest
from frontdesk.store.names import names_of_conversations
from frontdesk.web import access
from frontdesk.web.pages import flash, see_other

PAGE = 30

DELIVERY = {
    "queued": ("accent", "on its way"), "sending": ("accent", "on its way"), "unknown": ("warning", "WhatsApp gave no answer yet"),
    "sent": ("success", "sent"), "delivered": ("success", "delivered"), "read": ("success", "read"), "failed": ("danger", "not delivered"),
    "withdrawn": ("plain", "withdrawn"),
}  # fmt: skip


def digest_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("digests", __name__))

    @pages.get("/digests")
    def all_digests():
        names = clients.names(context.db)
        client_id = request.args.get("client", type=int)
        if client_id is not None and client_id not in dict(names):
            abort(404, "There is no such client.")
        before = request.args.get("before", type=int)
        found = digests.newest(context.db, client_id, before=before, limit=PAGE + 1)
        older = found[PAGE - 1].id if len(found) > PAGE else None
        return render_template(
            "desk/digests.html", names=names, client_id=client_id, newest=None if before else next(iter(found), None),
            earlier=found[:PAGE] if before else found[1:PAGE], older=older, **_words(context, found[:1]),
        )  # fmt: skip

    @pages.get("/digests/<int:digest_id>")
    def one(digest_id: int):
        found = _known(context, digest_id)
        return render_template("desk/digest.html", digest=found, names=clients.names(context.db), **_words(context, [found]))

    @pages.post("/digests/<int:digest_id>/send")
    @access.owner_only
    def send(digest_id: int):
        try:
            flow.send_again(context, _known(context, digest_id))
        except CannotSend as error:
            flash(str(error), "warning")
        return see_other(".one", digest_id=digest_id)

    return pages


def _known(context: Context, digest_id: int) -> Digest:
    return digests.get(context.db, digest_id) or abort(404, "There is no such digest, or no longer: they are kept for 90 days.")


def _words(context: Context, shown: list[Digest]) -> dict:
    ids = {each["id"] for digest in shown for each in digest.waiting}
    return {
        "day": lambda digest: digest_days.in_words(digest.day),
        "seconds": digest_words.seconds,
        "delivery": DELIVERY,
        "people": names_of_conversations(context.db, ids),
        "wishes": {digest.client_id: digests.wish(context.db, digest.client_id) for digest in shown},
    }
