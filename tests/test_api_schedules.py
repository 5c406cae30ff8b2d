"""Schedules over the JSON API."""

import pytest

from tests.test_api import ANA, ana, ask, error, token  # noqa: F401
from tests.test_inbound import rows

SUMMER = 1_790_000_000.0  # the tests' clock: 2026-09-21 13:33 UTC


@pytest.fixture
def make(ask, ana):  # noqa: F811
    def call(key=None, **body):
        return ask("POST", "/schedules", {"conversation_id": ana, "message": "Good morning", **body}, key=key)

    return call


def test_one_is_made_changed_paused_resumed_and_cancelled(ask, make, clock):  # noqa: F811
    made = make(at=clock() + 3600, name="Reminder")
    assert made.status_code == 201 and made.json["state"] == "active" and made.json["next_at"] == clock() + 3600
    path = f"/schedules/{made.json['schedule_id']}"
    assert ask("PATCH", path, {"at": clock() + 7200, "message": "Later"}).json["text"] == "Later"
    assert ask("POST", f"{path}/pause").json["state"] == "paused"
    assert ask("POST", f"{path}/resume").json["next_at"] == clock() + 7200
    assert ask("DELETE", path).json["state"] == "cancelled"
    assert error(ask("PATCH", path, {"name": "x"})) == (409, "schedule_over", None)
    assert [one["name"] for one in ask("GET", "/schedules").json["items"]] == ["Reminder"]
    assert ask("GET", f"{path}/firings").json == {"items": []}


def test_a_rule_is_said_back_in_words_and_has_its_next_time_in_its_zone(make):
    made = make(rule="every weekday 09:00", time_zone="Europe/Berlin").json
    assert made["rule_in_words"] == "At 09:00 on Monday through Friday"
    assert made["next_at"] == 1_790_060_400, "Tuesday 07:00 UTC"


def test_the_same_key_makes_one_schedule(make, db):
    first, second = make("k", rule="every day at 18:30"), make("k", rule="every day at 18:30")
    assert first.json == second.json and len(rows(db, "SELECT id FROM schedules")) == 1
    assert error(make("k", rule="every day at 18:31")) == (409, "idempotency_conflict", None)


@pytest.mark.parametrize(
    "body, expected",
    [
        ({}, (422, "invalid", "at")),
        ({"at": 5}, (422, "in_the_past", "at")),
        ({"at": SUMMER + 9, "rule": "every day 9:00"}, (422, "invalid", "at")),
        ({"rule": "now and then"}, (422, "bad_rule", "rule")),
        ({"rule": "every day 9:00", "time_zone": "Moon/Sea"}, (422, "bad_time_zone", "time_zone")),
        ({"at": SUMMER + 9, "late_limit_seconds": 1}, (422, "invalid", "late_limit_seconds")),
        ({"at": SUMMER + 9, "message": {"type": "buttons", "text": "x", "buttons": []}}, (422, "invalid", "message.buttons")),
        ({"at": SUMMER + 9, "message": {"type": "template", "name": "x", "language": "en"}}, (404, "unknown_template", "message.name")),
        ({"at": SUMMER + 9, "conversation_id": 99}, (404, "not_found", "conversation_id")),
        ({"at": SUMMER + 9, "conversation_id": None, "phone_number": "4917011111"}, (422, "window_closed", None)),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_made(make, db, body, expected):
    assert error(make(**body)) == expected
    assert rows(db, "SELECT id FROM schedules") == []


def test_what_is_not_there_is_404(ask):  # noqa: F811
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("GET", "/firings")):
        assert error(ask(method, f"/schedules/none{path}"))[0] == 404
