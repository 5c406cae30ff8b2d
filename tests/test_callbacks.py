"""Callbacks: signed, tried for a day, told at least once, never to a private address on somebody's word."""

import dataclasses
import hashlib
import hmac
import json

import pytest

from frontdesk.flows import callbacks as flow
from frontdesk.store import callbacks
from tests.standins.raw_http import RawServer, answer
from tests.test_inbound import rows

OK = answer(200, b"")


@pytest.fixture
def open_context(context):
    """Loopback is allowed, as with FETCH_PRIVATE_ADDRESSES."""
    context.settings = dataclasses.replace(context.settings, fetch_private_addresses=True)
    return context


def wanted(context, url: str) -> int:
    return callbacks.add(context.db, 1, url, "broadcast.done", {"sent": 3, "name": "Grüße"}, context.now())


def state(context) -> tuple:
    [row] = rows(context.db, "SELECT state, attempts, status FROM callbacks")
    return row["state"], row["attempts"], row["status"]


def test_it_is_signed_over_the_exact_bytes(open_context):
    with RawServer(OK) as server:
        flow.deliver(open_context, wanted(open_context, f"{server.url}/told"))
    [request] = server.requests
    body, headers = request.body, {name.lower(): value for name, value in request.headers.items()}
    assert json.loads(body) == {"sent": 3, "name": "Grüße"} and headers["x-frontdesk-event"] == "broadcast.done"
    at, _, signed = headers["x-frontdesk-signature"].partition(",v1=")
    key = flow.secret(open_context.settings, 1).encode()
    assert hmac.compare_digest(signed, hmac.new(key, at.removeprefix("t=").encode() + b"." + body, hashlib.sha256).hexdigest())
    assert state(open_context) == ("delivered", 1, 200)


def test_it_is_tried_again_and_given_up_after_a_day(open_context, clock):
    id_ = wanted(open_context, "http://127.0.0.1:9/told")
    flow.deliver(open_context, id_)
    assert state(open_context) == ("wanted", 1, None) and callbacks.due(open_context.db, clock()) == []
    clock.forward(13)
    assert callbacks.due(open_context.db, clock()) == [id_]
    flow.deliver(open_context, id_)
    clock.forward(25 * 3600)
    flow.deliver(open_context, id_)
    assert state(open_context) == ("failed", 3, None)


def test_two_jobs_at_once_make_one_attempt(open_context):
    id_ = wanted(open_context, "http://127.0.0.1:9/told")
    assert callbacks.claim(open_context.db, id_, open_context.now(), 60) is not None
    flow.deliver(open_context, id_)
    assert state(open_context)[1] == 1


def test_a_private_address_is_never_asked(context):
    flow.deliver(context, wanted(context, "http://127.0.0.1:9/told"))
    assert state(context) == ("failed", 1, None)


def test_the_sweep_rings_for_what_is_due(context):
    wanted(context, "https://example.com")
    flow.sweep(context)
    flow.sweep(context)
    assert context.queues.depth("bulk") == 1
