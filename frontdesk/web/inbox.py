"""The inbox: conversations, and one of them."""

from flask import Blueprint, redirect, render_template

from frontdesk.flows.context import Context
from frontdesk.web import access


def inbox_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("inbox", __name__))

    @pages.get("/")
    def front():
        return redirect("/inbox")

    @pages.get("/inbox")
    def inbox():
        return render_template("desk/inbox.html", development=context.settings.development)

    return pages
