"""The inbox's list: conversations by what they need, and the search over everything that was said."""

import hashlib
import secrets

from flask import Blueprint, Response, g, redirect, render_template, request

from frontdesk.flows import waits
from frontdesk.flows.context import Context
from frontdesk.store import clients, inbox, search, users
from frontdesk.web import access
from frontdesk.web.errors import wants_fragment

PAGE = 40

# Where a fragment's own hash is put in: nothing that a customer could write.
_PLACE = secrets.token_hex(16)

# Short, for a phone's width, and in full.
LABELS = {
    "open": ("Open", "everything that is not closed"),
    "unread": ("Unread", "with messages that nobody has looked at"),
    "waiting": ("Waiting", "customers who wait for an answer, the longest waiting first"),
    "person": ("Needs a person", "asked for, or left over by the model"),
    "mine": ("Mine", "taken over by you"),
    "human": ("Taken over", "by anybody of the desk"),
    "window": ("Closing", "the 24-hour window ends within two hours, and somebody should still write"),
    "closed": ("Closed", "done with, until the customer writes again"),
}

NOTHING = {
    "open": ("No conversation yet", "When a customer writes to one of your numbers, you see it here at once."),
    "unread": ("All read", "Whatever customers write next appears here."),
    "waiting": ("Nobody waits", "Every customer has an answer."),
    "person": ("Nobody needs a person", "When a customer asks for one, or the model cannot answer, it appears here."),
    "mine": ("You have none", "A conversation is yours when you answer in it or take it over."),
    "human": ("The bot has them all", "Answer in a conversation, or take it over, and it appears here."),
    "window": ("No window closes soon", "Conversations that wait and whose 24 hours end within two hours appear here."),
    "closed": ("Nothing is closed", "Close a conversation when it is done; it opens again when the customer writes."),
}


def inbox_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("inbox", __name__))

    @pages.get("/")
    def front():
        return redirect("/inbox")

    @pages.get("/inbox")
    def inbox_page():
        return render_template("desk/inbox.html", **list_values(context), chosen=None)

    @pages.get("/inbox/list")
    def inbox_list():
        """The list anew, 204 where it is what `known` says."""
        return if_changed("desk/_list.html", **list_values(context), chosen=request.args.get("chosen", type=int))

    @pages.get("/inbox/more")
    def inbox_more():
        return render_template("desk/_items.html", **list_values(context), chosen=None)

    @pages.get("/inbox/search")
    def find():
        words = request.args.get("q", "").strip()[:200]
        found = search.find(context.db, words, client_id=request.args.get("client", type=int)) if words else []
        template = "desk/_results.html" if wants_fragment() else "desk/results.html"
        return render_template(template, words=words, found=found)

    return pages


def list_values(context: Context) -> dict:
    """What the list's templates need, for the filter, client and place that the address names."""
    which = request.args.get("filter", "open")
    which = which if which in LABELS else "open"
    client_id = request.args.get("client", type=int)
    after = (request.args.get("place", type=float), request.args.get("after", type=int))
    now = context.now()
    items = inbox.page(
        context.db,
        which,
        now=now,
        user_id=g.user.id,
        client_id=client_id,
        after=after if None not in after else None,
        limit=PAGE + 1,
    )
    return {
        "which": which,
        "labels": LABELS,
        "nothing": NOTHING[which],
        "client_id": client_id,
        "clients": clients.names(context.db),
        "items": items[:PAGE],
        "following": items[PAGE - 1] if len(items) > PAGE else None,
        "counts": inbox.counts(context.db, now=now, user_id=g.user.id, client_id=client_id),
        "expected": waits.expected_seconds(context),
        "people": {user.id: user.name for user in users.all_of_them(context.db)},
        "now": now,
        "development": context.settings.development,
    }


def if_changed(template: str, **values) -> Response:
    """The fragment, with a hash of itself for the next poll; 204 while that stays the same."""
    html = render_template(template, **values, known=_PLACE)
    known = hashlib.sha256(html.replace(_PLACE, "").encode()).hexdigest()[:16]
    if request.args.get("known") == known:
        return Response(status=204)
    return Response(html.replace(_PLACE, known), mimetype="text/html")
