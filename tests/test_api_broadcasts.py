"""Broadcasts over the JSON API."""

import io

import pytest

from frontdesk.flows import audience, broadcasting
from frontdesk.store import api_tokens, broadcasts, clients
from frontdesk.store.database import transaction
from tests.test_api import ask, error  # noqa: F401
from tests.test_inbound import rows
from tests.test_templates import keep, made

LIST = "phone,name,order\n+4915120000001,Ana,1\n+4915120000002,Bo,2\n+4915120000003,Cy,\n"
VARIABLES = {"1": {"column": "name"}, "2": {"column": "order"}}


@pytest.fixture
def token(app, db, clock):
    with transaction(db):
        return api_tokens.add(db, "shop", None, ("broadcasts",), None, clock())


@pytest.fixture
def people(context):
    """A ready audience of three; the third lacks an order. The templates are there."""
    keep(context, made("order_ready"), made("weekly_offer"), made("spring_sale"))
    id_ = audience.from_file(context, 1, io.BytesIO(LIST.encode()), name="Regulars")
    audience.read(context, id_)
    return id_


@pytest.fixture
def make(ask, people):  # noqa: F811
    def call(key=None, **body):
        given = {"number_id": 1, "audience_id": people, "template": "order_ready", "language": "en", "variables": VARIABLES}
        return ask("POST", "/broadcasts", {**given, **body}, key=key)

    return call


def test_one_is_made_started_paused_resumed_and_cancelled(ask, make, context):  # noqa: F811
    made_ = make(name="Ready", quiet_from="21:00", quiet_until="09:30")
    assert made_.status_code == 201
    assert (made_.json["state"], made_.json["progress"]["total"], made_.json["quiet_until"]) == ("draft", 3, "09:30")
    path = f"/broadcasts/{made_.json['broadcast_id']}"
    assert ask("POST", f"{path}/start").json["state"] == "running"
    assert ask("POST", f"{path}/pause").json["pause_code"] == "person"
    assert error(ask("POST", f"{path}/pause"))[:2] == (409, "wrong_state")
    assert ask("POST", f"{path}/resume", {}).json["state"] == "running"
    assert ask("POST", f"{path}/cancel").json["state"] == "cancelled"
    assert [one["name"] for one in ask("GET", "/broadcasts").json["items"]] == ["Ready"]


def test_one_starts_at_its_time(ask, make, clock):  # noqa: F811
    path = f"/broadcasts/{make().json['broadcast_id']}"
    started = ask("POST", f"{path}/start", {"at": clock() + 3600}).json
    assert (started["state"], started["starts_at"], started["name"]) == ("scheduled", clock() + 3600, "Regulars")
    assert error(ask("POST", f"{path}/start", {"at": clock() + 400 * 86400})) == (422, "invalid", "at")


def test_its_recipients_tell_what_became_of_each(ask, make, context, db):  # noqa: F811
    path = f"/broadcasts/{make().json['broadcast_id']}"
    ask("POST", f"{path}/start")
    broadcasting.serve(context)
    db.execute("UPDATE messages SET state = 'failed', error_code = 131026, error_title = 'no' WHERE text LIKE '%Bo%'")
    found = ask("GET", path).json
    assert (found["progress"]["sent"], found["progress"]["failed"], found["progress"]["skipped"]) == (1, 1, 1)
    assert [(one["cause"], one["count"]) for one in found["failures"]] == [("undeliverable", 1)]
    assert found["skips"][0]["count"] == 1
    first = ask("GET", f"{path}/recipients?limit=1").json
    assert first["items"][0]["phone_number"] == "4915120000001" and first["items"][0]["state"] == "sent"
    [second] = ask("GET", f"{path}/recipients?cursor={first['next_cursor']}").json["items"]
    assert second["failure"]["cause"] == "undeliverable" and second["conversation_id"]
    [skipped] = ask("GET", f"{path}/recipients?state=skipped").json["items"]
    assert skipped["phone_number"] == "4915120000003" and "2" in skipped["skipped_because"]
    assert ask("GET", f"{path}/recipients?state=failed&phone_number=0001").json["items"] == []
    assert ask("GET", f"{path}/recipients?state=lost").status_code == 422


def test_the_same_key_makes_one(make, db):
    first, second = make("k", name="x"), make("k", name="x")
    assert first.json == second.json and len(rows(db, "SELECT id FROM broadcasts")) == 1
    assert error(make("k", name="y")) == (409, "idempotency_conflict", None)


@pytest.mark.parametrize(
    "body, expected",
    [
        ({"number_id": 99}, (404, "not_found", "number_id")),
        ({"audience_id": 99}, (404, "not_found", "audience_id")),
        ({"template": "none"}, (422, "template_unusable", "template")),
        ({"template": "spring_sale"}, (422, "template_unusable", "template")),
        ({"variables": {}}, (422, "bad_variable", "variables.1")),
        ({"variables": VARIABLES | {"2": {"column": "none"}}}, (422, "bad_variable", "variables.2")),
        ({"variables": VARIABLES | {"2": {}}}, (422, "invalid", "variables.2")),
        ({"messages_per_second": 0}, (422, "invalid", "messages_per_second")),
        ({"quiet_from": "25:00"}, (422, "invalid", "quiet_from")),
        ({"quiet_from": "21:00"}, (422, "invalid", "quiet_until")),
        ({"error_limit": 2}, (422, "invalid", "error_limit")),
        ({"callback_url": "ftp://shop.example/"}, (422, "bad_url", "callback_url")),
        ({"colour": "red"}, (422, "invalid", "colour")),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_made(make, db, body, expected):
    assert error(make(**body)) == expected
    assert rows(db, "SELECT id FROM broadcasts") == []


def test_a_token_of_another_client_and_one_without_the_scope_see_nothing(ask, make, db, clock):  # noqa: F811
    path = f"/broadcasts/{make().json['broadcast_id']}"
    with transaction(db):
        other = clients.add(db, "Other", "", clock())
        foreign = api_tokens.add(db, "x", other, ("broadcasts",), None, clock())
        sends = api_tokens.add(db, "y", None, ("send", "read"), None, clock())
    for method, at in (("GET", path), ("POST", f"{path}/start"), ("GET", f"{path}/recipients")):
        assert error(ask(method, at, token=foreign))[0] == 404
        assert error(ask(method, at, token=sends))[:2] == (403, "missing_scope")
    assert ask("GET", "/broadcasts", token=foreign).json["items"] == ask("GET", "/audiences", token=foreign).json["items"] == []
    assert broadcasts.get(db, 1).state == "draft"


def test_audiences_are_listed_with_their_columns(ask, people):  # noqa: F811
    [found] = ask("GET", "/audiences").json["items"]
    assert (found["audience_id"], found["recipients"], found["columns"]) == (people, 3, ["name", "order"])


# --- drafts that change, lists that are uploaded --------------------------------------------------------------------------------------


def test_a_draft_is_changed_whole_and_nothing_that_has_begun_is(ask, make, people):  # noqa: F811
    path = f"/broadcasts/{make(name='First').json['broadcast_id']}"
    body = {"number_id": 1, "audience_id": people, "template": "order_ready", "language": "en", "variables": {**VARIABLES, "2": {"text": "7"}}}
    changed = ask("PUT", path, {**body, "name": "Second", "quiet_from": "20:00", "quiet_until": "08:00"}).json
    assert (changed["name"], changed["variables"]["2"], changed["quiet_from"], changed["state"]) == ("Second", {"text": "7"}, "20:00", "draft")
    assert error(ask("PUT", path, {**body, "variables": {}})) == (422, "bad_variable", "variables.1")
    assert ask("GET", path).json["name"] == "Second"
    ask("POST", f"{path}/start")
    assert error(ask("PUT", path, body))[:2] == (409, "wrong_state")


def test_a_list_is_given_as_text_read_and_what_was_left_out_is_told(ask, context, db):  # noqa: F811
    added = ask("POST", "/audiences", {"name": "Shop", "text": "phone,name\n+4915120000001,Ana\nnobody,X\n+4915120000001,Ana\n"})
    assert (added.status_code, added.json["state"]) == (201, "wanted")
    audience.read(context, added.json["audience_id"])
    path = f"/audiences/{added.json['audience_id']}"
    found = ask("GET", path).json
    assert (found["state"], found["recipients"], found["bad"], found["duplicates"], found["columns"], found["percent"]) == ("ready", 1, 1, 1, ["name"], 100.0)
    [bad] = ask("GET", f"{path}/left-out").json["items"]
    assert (bad["line"], bad["cause"]) == (3, "bad") and "nobody" in bad["text"]
    assert ask("GET", f"{path}/left-out?cause=opted_out").json == {"items": [], "next_cursor": None}


def test_what_was_left_out_comes_in_pages(ask, context):  # noqa: F811
    added = ask("POST", "/audiences", {"name": "Shop", "text": "phone\n" + "".join(f"x{n}\n" for n in range(5)) + "+4915120000001\n"}).json
    audience.read(context, added["audience_id"])
    path, seen, cursor = f"/audiences/{added['audience_id']}/left-out", [], 0
    while cursor is not None:
        page = ask("GET", f"{path}?limit=2&cursor={cursor}").json
        seen += [one["line"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [2, 3, 4, 5, 6]


def test_a_list_is_uploaded_as_a_file(app, token, context):
    form = {"name": "Shop", "region": "DE", "file": (io.BytesIO(b"phone\n0151 20000001\n"), "shop.csv")}
    added = app.test_client().post("/api/v1/audiences", data=form, headers={"Authorization": f"Bearer {token}"})
    assert added.status_code == 201, added.json
    audience.read(context, added.json["audience_id"])
    assert rows(context.db, "SELECT phone FROM audience_members") == [{"phone": "4915120000001"}]


def test_contacts_are_chosen_by_a_filter(ask, context):  # noqa: F811
    added = ask("POST", "/audiences", {"name": "All", "filter": {"wrote_within_days": 30}})
    assert added.status_code == 201
    assert error(ask("POST", "/audiences", {"name": "All", "filter": {"colour": 1}})) == (422, "invalid", "filter.colour")


def test_a_list_needs_exactly_one_source_and_a_country_that_is_one(ask):  # noqa: F811
    assert error(ask("POST", "/audiences", {"name": "x"}))[:2] == (422, "invalid")
    assert error(ask("POST", "/audiences", {"name": "x", "text": "1", "filter": {}}))[:2] == (422, "invalid")
    assert error(ask("POST", "/audiences", {"name": "x", "text": "1", "region": "XX"})) == (422, "invalid", "region")
    assert error(ask("GET", "/audiences/99"))[:2] == (404, "not_found")
