"""The JSON API under /api/v1, for programs. One table of operations is its routes, its checks and its description (openapi.json).

It is an application of its own, made when somebody first asks it: pydantic takes ten megabytes that no other page needs.
"""

import threading
from functools import cache

from flask import Blueprint, Flask, Response, redirect, request

from frontdesk.flows.context import Context

PREFIX = "/api/v1"

_making = threading.Lock()


def api_pages(context: Context) -> Blueprint:
    pages = Blueprint("api", __name__)

    @cache
    def made() -> Flask:
        from frontdesk.web.api.routes import make_api

        return make_api(context)

    def api() -> Flask:
        with _making:
            return made()

    @pages.route(f"{PREFIX}/<path:path>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def pass_on(path: str):
        script = request.environ.get("SCRIPT_NAME", "") + PREFIX
        rest = request.environ["PATH_INFO"].removeprefix(PREFIX)  # as WSGI has it: `path` is decoded already
        return Response.from_app(api(), {**request.environ, "SCRIPT_NAME": script, "PATH_INFO": rest}, buffered=True)

    @pages.get("/api/openapi.json")
    @pages.get("/api/docs")
    def newest():
        """The newest version's."""
        return redirect(PREFIX + request.path.removeprefix("/api"))

    return pages
