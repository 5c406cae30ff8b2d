"""The simulator's page under our own address, in development only: one port to open, also over an SSH tunnel."""

from collections.abc import Callable

import requests
from flask import Blueprint, Response, jsonify, request

# Of one connection, not of the message: RFC 9110, 7.6.1. The length follows from the body.
LARGEST_BODY_BYTES = 101 * 1024 * 1024  # WhatsApp's largest file, and the form around it
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length", "content-encoding"}
TIMEOUT_SECONDS = (2, 30)

DOWN = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Simulator</title>
<h1>The simulator is not running</h1><p>bin/start starts it with everything else; look at its lines in that terminal.</p></html>"""


def simulator_pages(simulator_url: str, notice: Callable[[], str | None] = lambda: None) -> Blueprint:
    """Everything under /simulator comes from `simulator_url`, but for /simulator/notice: that is what `notice` says."""
    pages = Blueprint("simulator", __name__)

    @pages.get("/simulator/notice")
    def show_notice():
        return jsonify(notice=notice())

    @pages.route("/simulator", defaults={"path": ""}, methods=["GET"])
    @pages.route("/simulator/<path:path>", methods=["GET", "POST", "PUT"])
    def forward(path: str):
        request.max_content_length = LARGEST_BODY_BYTES
        try:
            answer = requests.request(
                request.method,
                f"{simulator_url}/simulator/{path}".rstrip("/"),
                params=request.query_string,
                data=request.get_data(),
                headers={"Content-Type": request.headers.get("Content-Type", "")},
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException:
            return Response(DOWN, status=503, mimetype="text/html")
        headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
        return Response(answer.content, answer.status_code, headers)

    return pages
