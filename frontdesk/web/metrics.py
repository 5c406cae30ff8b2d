"""/metrics in Prometheus' text format: with the token of METRICS_TOKEN, or without one for this machine alone."""

import hmac

from flask import Blueprint, Response, request

from frontdesk.flows.context import Context
from frontdesk.web.errors import error_response

LOOPBACK = ("127.0.0.1", "::1")


def metrics_page(context: Context) -> Blueprint:
    page = Blueprint("metrics", __name__)

    @page.get("/metrics")
    def metrics():
        """How it stands now, and what was counted."""
        if not _may_see(context.settings.metrics_token):
            return error_response(403, "not_allowed", "The figures are for this machine, or for who sends the token of METRICS_TOKEN.")
        from prometheus_client import CollectorRegistry, generate_latest  # only here: most web processes never need it
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        from frontdesk.flows.metrics import Collector

        registry = CollectorRegistry(auto_describe=False)
        registry.register(Collector(context))
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    return page


def _may_see(token: str) -> bool:
    if token:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())
    # What a proxy passes on comes from this machine too, whoever asked.
    return request.remote_addr in LOOPBACK and not request.headers.get("X-Forwarded-For") and not request.headers.get("Forwarded")
