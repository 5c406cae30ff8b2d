"""The canary: one at a time, none while a customer waits, its rows taken away, what became of it kept; on no page, in /metrics."""

import dataclasses

import pytest

from frontdesk.errors import FetchFailed
from frontdesk.flows import canary as flow, conditions, inbound
from frontdesk.store import canary, clients, inbox, numbers, outbox
from tests import webhooks
from tests.standins.raw_http import RawServer, answer
from tests.test_inbound import receive, rows


@pytest.fixture
def house(context, monkeypatch):
    """Every ten minutes; what it posts comes in as a webhook does."""
    context.settings = dataclasses.replace(context.settings, canary_minutes=10)

    def post(context, body: bytes) -> int:
        context.inbox.put("cloud", body, context.now())
        return 200

    monkeypatch.setattr(flow, "_post", post)
    return context


def answered(context, seconds: float) -> None:
    """By the bot, sent so long after it was asked."""
    [conversation] = rows(context.db, "SELECT id, number_id FROM conversations")
    context.db.execute("UPDATE conversations SET waiting_since = NULL")
    outbox.queue_text(context.db, conversation["id"], conversation["number_id"], "Yes.", purpose="answer", now=context.now())
    message = outbox.claim(context.db, outbox.head(context.db, conversation["id"], context.now()), "me", context.now(), 30)
    outbox.accepted(context.db, message, "canary.1", context.now.forward(seconds))


def left(context) -> list[int]:
    return [rows(context.db, f"SELECT COUNT(*) AS n FROM {table}")[0]["n"] for table in ("messages", "conversations", "contacts", "contact_aliases")]


def test_it_comes_through_leaves_its_time_and_nothing_else(house, clock):
    flow.turn(house)
    inbound.drain(house)
    assert left(house) == [1, 1, 1, 1]
    flow.turn(house)
    assert canary.get(house.db).ok_at is None
    answered(house, 4)
    clock.forward(3)
    flow.turn(house)
    bird = canary.get(house.db)
    assert (bird.seconds, bird.ok_at, bird.failures, bird.mark) == (4, clock(), 0, None) and left(house) == [0, 0, 0, 0]
    assert rows(house.db, "SELECT * FROM rejected_events") == []


def test_there_is_one_at_a_time_and_the_next_when_it_is_time(house, clock):
    for _ in range(5):
        flow.turn(house)
        clock.forward(10)
    assert house.inbox.length() == 1
    inbound.drain(house)
    answered(house, 1)
    flow.turn(house)
    for _ in range(50):
        flow.turn(house)
        clock.forward(10)
    assert house.inbox.length() == 0
    clock.forward(600)
    flow.turn(house)
    flow.turn(house)
    assert house.inbox.length() == 1


def test_none_begins_while_a_customer_waits(house):
    receive(house, webhooks.texts(webhooks.text(at=house.now())))
    flow.turn(house)
    assert house.inbox.length() == 0 and canary.get(house.db) is None
    house.db.execute("UPDATE conversations SET waiting_since = NULL")
    flow.turn(house)
    assert house.inbox.length() == 1


def test_none_begins_where_nobody_asked_for_it(house):
    house.settings = dataclasses.replace(house.settings, canary_minutes=0)
    flow.turn(house)
    assert canary.get(house.db) is None and len(rows(house.db, "SELECT id FROM clients")) == 1


def test_one_that_gets_no_answer_is_given_up_taken_away_and_needs_a_person_the_second_time(house, clock):
    for count in (1, 2):
        flow.turn(house)
        inbound.drain(house)
        clock.forward(flow.PATIENCE_SECONDS)
        flow.turn(house)
        assert canary.get(house.db).failures == count and left(house) == [0, 0, 0, 0]
        told = [each.words for each in conditions.found(house) if each.name == "canary"]
        assert told == (["The canary did not come through 2 times or more: no answer in 110 seconds."] if count == 2 else [])
        clock.forward(600)


def test_one_that_comes_late_is_taken_away_before_the_next(house, clock):
    flow.turn(house)
    clock.forward(flow.PATIENCE_SECONDS)
    flow.turn(house)
    inbound.drain(house)
    assert left(house)[0] == 1
    clock.forward(600)
    house.db.execute("UPDATE conversations SET waiting_since = NULL")
    flow.turn(house)
    assert left(house) == [0, 0, 0, 0]


@pytest.mark.parametrize("outcome, words", [
    (503, "its webhook was answered with 503."), (FetchFailed("nobody answers there"), "its webhook was not taken: nobody answers there."),
])  # fmt: skip
def test_a_webhook_that_is_not_taken_is_a_failure_at_once(house, monkeypatch, outcome, words):
    def post(*_):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(flow, "_post", post)
    flow.turn(house)
    assert (canary.get(house.db).failures, canary.get(house.db).words) == (1, words)


def test_killed_between_the_row_and_the_webhook_it_is_given_up_and_the_next_comes(house, clock, monkeypatch):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(flow, "_post", die)
        with pytest.raises(Killed):
            flow.turn(house)
    clock.forward(flow.PATIENCE_SECONDS)
    flow.turn(house)
    clock.forward(600)
    flow.turn(house)
    inbound.drain(house)
    answered(house, 2)
    flow.turn(house)
    assert canary.get(house.db).failures == 0 and canary.get(house.db).seconds == 2


def test_a_guard_outside_hears_of_each_that_came_through_and_of_no_other(house, clock):
    with RawServer(answer(200, b"ok")) as server:
        house.settings = dataclasses.replace(house.settings, canary_ping_url=f"{server.url}/ping/1?key=x")
        flow.turn(house)
        inbound.drain(house)
        clock.forward(flow.PATIENCE_SECONDS)
        flow.turn(house)
        assert server.requests == []
        clock.forward(600)
        flow.turn(house)
        inbound.drain(house)
        answered(house, 2)
        flow.turn(house)
        flow.turn(house)
    [request] = server.requests
    assert request.line.startswith("GET /ping/1?key=x ")


def test_a_guard_that_does_not_answer_changes_nothing(house):
    house.settings = dataclasses.replace(house.settings, canary_ping_url="http://127.0.0.1:9/ping")
    flow.turn(house)
    inbound.drain(house)
    answered(house, 2)
    flow.turn(house)
    assert canary.get(house.db).seconds == 2


def test_no_list_of_customers_has_it(house):
    flow.turn(house)
    inbound.drain(house)
    assert [name for _, name in clients.names(house.db)] == [one.name for one in clients.all_of_them(house.db, house.settings)]
    assert canary.CLIENT_NAME not in str(clients.names(house.db)) and [one.channel for one in numbers.all_of_them(house.db)] == ["cloud"]
    assert inbox.page(house.db, "open", now=house.now(), user_id=0) == []
    assert set(inbox.counts(house.db, now=house.now(), user_id=0).values()) == {0}
    receive(house, webhooks.texts(webhooks.text(at=house.now())))
    assert len(inbox.page(house.db, "open", now=house.now(), user_id=0)) == 1
    assert inbox.counts(house.db, now=house.now(), user_id=0)["waiting"] == 1


def test_what_it_answers_goes_to_nobody_by_a_channel_of_its_own(house):
    from frontdesk.channels import Content, Person, Sender, channel_class

    canary_channel = channel_class("canary")(1.0)
    taken = canary_channel.send(Sender("canary", "none", "http://127.0.0.1:9", "v25.0", None), Person(phone="1"), Content("text", "Yes", {}), callback_data="x.1")
    assert taken.external_id == "canary.x.1"


def test_a_webhook_that_names_the_canary_where_there_is_none_is_a_number_that_nobody_knows(context):
    receive(context, flow._webhook("canary.1", context.now()))
    assert "unknown phone_number_id canary" in str(rows(context.db, "SELECT reason FROM rejected_events"))


def test_metrics_and_the_overview_tell_how_it_went(app, owner, monkeypatch, clock):
    context = app.extensions["frontdesk"]
    assert "canary" not in owner.get("/metrics").get_data(as_text=True) and "canary" not in owner.get("/overview").get_data(as_text=True)
    context.settings = dataclasses.replace(context.settings, canary_minutes=10)
    monkeypatch.setattr(flow, "_post", lambda context, body: context.inbox.put("cloud", body, context.now()) and 200 or 200)
    flow.turn(context)
    inbound.drain(context)
    answered(context, 4)
    flow.turn(context)
    clock.forward(30)
    told = owner.get("/metrics").get_data(as_text=True)
    assert "frontdesk_canary_age_seconds 30.0" in told and "frontdesk_canary_seconds 4.0" in told and "frontdesk_canary_failures 0.0" in told
    page = owner.get("/overview").get_data(as_text=True)
    assert "4.0 s" in page and "the canary" in page
