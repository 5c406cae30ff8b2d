"""Webhooks, or parts of them, that were not understood: looked at, taken in again after a fix, dismissed."""

import json

import pytest

from frontdesk import queues
from frontdesk.flows import dead_letters, inbound
from frontdesk.store import events
from frontdesk.web.rejected import pretty
from tests import webhooks
from tests.test_inbound import receive, rows


def test_a_rejected_webhook_is_taken_in_again_after_the_fix_and_doubles_nothing(context, db):
    known, unknown = webhooks.change(messages=[webhooks.text("known", id="wamid.1")]), webhooks.change(
        phone_number_id="999", messages=[webhooks.text("unknown", id="wamid.2")]
    )
    receive(context, webhooks.body(known, unknown))
    [event] = events.rejected(db)
    db.execute("UPDATE numbers SET external_id = '999'")
    assert dead_letters.replay(context, event.id)
    assert dead_letters.replay(context, event.id), "a second click before its drain harms nothing"
    inbound.drain(context)
    assert not dead_letters.replay(context, event.id), "it is settled"
    assert [row["text"] for row in rows(db, "SELECT text FROM messages ORDER BY id")] == ["known", "unknown"]


def two_strangers() -> bytes:
    return webhooks.body(
        webhooks.change(phone_number_id="998", messages=[webhooks.text("one", id="wamid.1")]),
        webhooks.change(phone_number_id="999", messages=[webhooks.text("two", id="wamid.2")]),
    )


def test_however_often_it_is_taken_in_again_the_list_does_not_grow(context, db):
    """A webhook is taken in whole, so its other parts come again too."""
    receive(context, two_strangers())
    for _ in range(3):
        assert dead_letters.replay(context, events.rejected(db)[0].id)
        inbound.drain(context)
        assert sorted(event.reason for event in events.rejected(db)) == ["unknown phone_number_id 998", "unknown phone_number_id 999"]


def test_dying_before_the_webhook_is_in_redis_leaves_it_open_and_after_it_leaves_it_to_the_sweep(context, db, monkeypatch):
    receive(context, two_strangers())

    def dies(*_):
        raise SystemExit("kill -9")

    with monkeypatch.context() as patch:
        patch.setattr(context.inbox, "put_again", dies)
        with pytest.raises(SystemExit):
            dead_letters.replay(context, events.rejected(db)[0].id)
    assert events.count_rejected(db) == 2
    monkeypatch.setattr(context.queues, "drain", dies)
    with pytest.raises(SystemExit):
        dead_letters.replay(context, events.rejected(db)[0].id)
    assert context.inbox.length() == 1 and events.count_rejected(db) == 2


def test_an_account_event_is_kept_once_however_often_its_webhook_is_taken_in(context, db):
    receive(context, webhooks.body(
        webhooks.change(phone_number_id="998", messages=[webhooks.text("one", id="wamid.1")]),
        {"field": "account_update", "value": {"event": "VERIFIED_ACCOUNT"}},
        {"field": "account_update", "value": {"event": "ACCOUNT_RESTRICTION"}},
    ))  # fmt: skip
    for _ in range(2):
        assert dead_letters.replay(context, events.rejected(db)[0].id)
        inbound.drain(context)
    assert len(rows(db, "SELECT id FROM account_events")) == 2


def test_a_part_that_was_dismissed_stays_so_when_its_neighbour_is_taken_in_again(context, db):
    receive(context, two_strangers())
    first, second = events.rejected(db)
    events.dismiss_rejected(db, second.id, context.now())
    assert dead_letters.replay(context, first.id)
    inbound.drain(context)
    assert [event.id for event in events.rejected(db)] == [first.id]


def test_what_was_kept_stays_open_when_redis_is_away(app, owner, context, db, monkeypatch):
    receive(context, two_strangers())

    def away(*_):
        raise queues.RedisError("gone")

    monkeypatch.setattr(app.extensions["frontdesk"].inbox, "put_again", away)
    event_id = events.rejected(db)[0].id
    assert owner.submit(f"/rejected/{event_id}/replay").status_code == 503
    assert len(events.rejected(db)) == 2


# --- the pages ----------------------------------------------------------------------------------------------------------------


def test_what_a_stranger_wrote_comes_out_as_text(app, owner, context, db):
    events.reject(db, "k", "cloud", "unknown phone_number_id <script>alert(1)</script>", {"a": "<script>alert(2)</script>"}, 0, b"{}")
    page = owner.get("/rejected").text
    assert "<script>alert" not in page and "&lt;script&gt;alert(2)" in page


def test_an_unknown_number_is_added_with_one_click(app, owner, context):
    receive(context, two_strangers())
    page = owner.get("/rejected").text
    assert 'href="/numbers/new?phone_number_id=998"' in page
    assert 'value="998"' in owner.get("/numbers/new?phone_number_id=998").text


def test_the_list_goes_on_page_by_page_and_is_light(app, owner, db):
    for number in range(50):
        events.reject(db, f"{number}:0", "cloud", "odd", {"n": number, "long": "<&>" * 20_000}, 0, b"{}")
    seen, path = [], "/rejected"
    while path:
        page = owner.get(path).text
        assert len(page) < 220_000  # twenty previews, and the frame with its navigation
        seen += [line.partition('"')[0] for line in page.split('id="e-')[1:]]
        path = page.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert len(seen) == len(set(seen)) == 50
    assert len(owner.get(f"/rejected/{seen[0]}").text) > 60_000, "its own page has all of it"
    assert owner.get("/rejected/999").status_code == 404


@pytest.mark.parametrize(
    "body, shown",
    [
        (json.dumps({"a": 1}), '{\n  "a": 1\n}'),
        (json.dumps(json.dumps({"a": 1})), '{\n  "a": 1\n}'),
        (json.dumps("{broken"), "{broken"),
        ("no JSON", "no JSON"),
        ("[" * 100_000, "[" * 100_000),
        (json.dumps("12"), "12"),
        ("null", "null"),
    ],
)
def test_a_body_is_indented_where_it_is_json(body, shown):
    assert pretty(body) == shown


@pytest.mark.parametrize("path", ["/rejected", "/rejected/1"])
def test_an_agent_sees_no_rejected_events(agent, path):
    assert agent.get(path).status_code == 403
