"""Callbacks: signed, tried for a day, told at least once, never to a private address on somebody's word."""

import dataclasses
import hashlib
import hmac
import json
import time

import pytest
from sqlite_utils import Database

from frontdesk.flows import callbacks as flow
from frontdesk.flows.refusals import Refused
from frontdesk.settings import ROOT
from frontdesk.store import callbacks, database
from frontdesk.store.migrations import migrations
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


# --- what came back, and once more --------------------------------------------------------------------------------------------------


def kept(context) -> callbacks.Callback:
    [found] = callbacks.newest(context.db)
    return found


def test_the_answer_s_beginning_is_kept_without_secrets_and_a_long_one_is_no_failure(open_context):
    def echo(connection):
        signed = server.requests[-1].headers["x-frontdesk-signature"]
        body = f"got {signed} at /told?key=s3cret-value\n".encode() + b"x" * 300_000
        return answer(200, body)(connection)

    with RawServer(echo) as server:
        flow.deliver(open_context, wanted(open_context, f"{server.url}/told?key=s3cret-value"))
    found = kept(open_context)
    assert (found.state, found.status, found.tried_at) == ("delivered", 200, open_context.now())
    assert 1900 < len(found.answer) <= 2048 and found.answer.startswith("got t=") and "v1=•••" in found.answer
    assert "s3cret" not in found.answer and flow.address(found.url) == f"{server.url}/told?…"


def test_an_error_s_answer_is_kept_too(open_context):
    with RawServer(answer(503, b"down\x00 for\nrepairs")) as server:
        flow.deliver(open_context, wanted(open_context, server.url))
    found = kept(open_context)
    assert (found.state, found.status, found.words, found.answer) == ("wanted", 503, "answered 503", "down for\nrepairs")


def test_sent_again_it_has_the_same_id_and_a_day_of_new_attempts(open_context, clock):
    with RawServer(answer(500), OK) as server:
        id_ = wanted(open_context, server.url)
        flow.deliver(open_context, id_)
        clock.forward(25 * 3600)
        open_context.db.execute("UPDATE callbacks SET state = 'failed'")
        flow.send_again(open_context, kept(open_context))
        assert open_context.queues.depth("bulk") == 1
        flow.deliver(open_context, id_)
        flow.send_again(open_context, kept(open_context))
        server.turns[:] = [answer(500)]
        flow.deliver(open_context, id_)
    found = kept(open_context)
    assert found.state == "wanted" and found.attempts == 3 and clock() + 8 < found.due_at < clock() + 14, "as after a first attempt"
    assert len({request.headers["x-frontdesk-delivery"] for request in server.requests}) == 1


def test_all_that_failed_go_again_and_nothing_else(open_context):
    failed, taken = wanted(open_context, "https://a.example/"), wanted(open_context, "https://b.example/")
    open_context.db.execute("UPDATE callbacks SET state = 'failed', due_at = NULL WHERE id = ?", (failed,))
    open_context.db.execute("UPDATE callbacks SET state = 'delivered', due_at = NULL WHERE id = ?", (taken,))
    assert callbacks.send_failed_again(open_context.db, open_context.now(), event="batch.done") == 0
    assert callbacks.send_failed_again(open_context.db, open_context.now()) == 1
    assert callbacks.due(open_context.db, open_context.now()) == [failed]


def test_where_nobody_answers_one_delivery_is_tried_and_the_others_wait(open_context, clock):
    ids = [wanted(open_context, "http://127.0.0.1:9/told") for _ in range(3)]
    other = wanted(open_context, "http://127.0.0.2:9/told")
    flow.deliver(open_context, ids[0])
    assert callbacks.due(open_context.db, clock()) == [other]
    clock.forward(25 * 3600)
    flow.deliver(open_context, ids[0])
    states = {row["id"]: row["state"] for row in rows(open_context.db, "SELECT id, state FROM callbacks")}
    assert states == {**dict.fromkeys(ids, "failed"), other: "wanted"}, "those that waited for it as long are given up with it"


def test_after_a_change_both_secrets_sign_for_a_day(open_context, clock):
    before = flow.secrets(open_context, 1)
    callbacks.change_secret(open_context.db, 1, clock())
    now = flow.secrets(open_context, 1)
    assert len(now) == 2 and now[1:] == before and now[0] not in before
    signed = flow.signature(now, 7, b"{}")
    assert signed.count("v1=") == 2 and signed.startswith("t=7,v1=")
    clock.forward(24 * 3600)
    assert flow.secrets(open_context, 1) == now[:1] and len(set(flow.secrets(open_context, None)) | set(now)) == 3


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://[::1]/", "https://10.1.2.3/x", "http://localhost:8080/", "http://a.localhost./", "ftp://a.example/", "x"])
def test_an_address_that_is_private_by_its_own_words_is_refused_when_it_is_given(context, open_context, url):
    open_context.settings = dataclasses.replace(open_context.settings, fetch_private_addresses=False)
    with pytest.raises(Refused) as refused:
        flow.check(context, url)
    assert (refused.value.status, refused.value.code, refused.value.field) == (422, "bad_url", "callback_url")


def test_an_intranet_may_be_told_where_the_operator_says_so(open_context):
    flow.check(open_context, "http://10.1.2.3/told")
    flow.check(open_context, None)


def test_the_documented_check_takes_what_is_signed_and_nothing_else(open_context):
    code = (ROOT / "docs/callbacks.md").read_text().split("```python\n")[1].split("```")[0]
    known: dict = {}
    exec(code, known)  # noqa: S102
    callbacks.change_secret(open_context.db, 1, open_context.now())
    keys, at = flow.secrets(open_context, 1), int(time.time())
    header = flow.signature(keys, at, b'{"a": 1}')
    assert all(known["is_ours"](key, header, b'{"a": 1}') for key in keys)
    assert not known["is_ours"](keys[0], header, b'{"a": 2}') and not known["is_ours"]("other", header, b'{"a": 1}')
    assert not known["is_ours"](keys[0], flow.signature(keys, at - 600, b'{"a": 1}'), b'{"a": 1}')


def test_deliveries_of_an_older_version_are_still_made(settings):
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    db = database.connect(settings)
    migrations.apply(Database(db), stop_before="m026_callbacks")
    db.execute("INSERT INTO clients (id, name, system_prompt, holding_text, apology_text, created_at, updated_at) VALUES (1, 'B', '', '', '', 0, 0)")
    db.execute("INSERT INTO callbacks VALUES (7, 'abc', 1, 'https://a.example/', 'broadcast.done', '{}', 'wanted', 3, 50, 500, 'answered 500', 10)")
    migrations.apply(Database(db))
    found = callbacks.claim(db, 7, 100, 30)
    assert (found.public_id, found.client_id, found.attempts, found.begun_at, found.begun_after) == ("abc", 1, 4, 10, 0)
    db.close()
