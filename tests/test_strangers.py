"""Where a stranger can knock: each door counts what nobody let in, none refuses who has the key; what every answer says to browsers."""

import dataclasses

import pytest

from chatbot import create_app
from frontdesk import queues
from frontdesk.flows import links, visitors, webhook_address
from frontdesk.queues import OwnLimits, Rate
from frontdesk.store import api_tokens, numbers
from frontdesk.web.api import routes
from tests import desk, wati_numbers
from tests.test_webhook import SECRETS, sign

MANY = 100  # more than any door lets in at once


@pytest.fixture
def app(settings, db, redis_address, redis):
    return create_app(dataclasses.replace(settings, redis_url=redis_address, whatsapp_app_secrets=SECRETS))


def knock(app, path: str = "/webhooks/whatsapp", body: bytes = b"{}", address: str = "203.0.113.5", **headers) -> int:
    return app.test_client().post(path, data=body, headers=headers, environ_base={"REMOTE_ADDR": address}).status_code


# --- webhooks -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers, otherwise", [({}, 401), ({"X-Hub-Signature-256": "sha256=" + "0" * 64}, 403)])
def test_what_is_not_signed_is_counted_by_its_address(app, headers, otherwise):
    answers = [knock(app, **headers) for _ in range(MANY)]
    assert answers[:60] == [otherwise] * 60 and answers[-1] == 429
    assert knock(app, address="203.0.113.6", **headers) == otherwise
    refused = app.test_client().post("/webhooks/whatsapp", environ_base={"REMOTE_ADDR": "203.0.113.5"})
    assert refused.json["error"]["code"] == "too_many_requests"


def test_what_is_signed_is_never_refused_for_what_others_sent_from_its_address(app, redis):
    for _ in range(MANY):
        knock(app)
    good = {"X-Hub-Signature-256": sign(b"{}")}
    assert [knock(app, **good) for _ in range(2 * MANY)] == [200] * 2 * MANY and queues.Inbox(redis).length() == 2 * MANY


def test_strangers_cost_redis_nothing(settings, db, tmp_path):
    away = create_app(dataclasses.replace(settings, redis_url=f"unix://{tmp_path}/nobody.sock"))
    answers = [knock(away) for _ in range(MANY)]
    assert answers[0] == 401 and answers[-1] == 429


def test_a_proxy_in_front_is_believed_who_knocks_and_a_stranger_is_not(settings, db, redis_address, redis):
    behind = create_app(dataclasses.replace(settings, redis_url=redis_address, trusted_proxies=1))
    for n in range(MANY):
        knock(behind, address="127.0.0.1", **{"X-Forwarded-For": f"10.0.0.{n}, 203.0.113.5"})
    assert knock(behind, address="127.0.0.1", **{"X-Forwarded-For": "198.51.100.1, 203.0.113.5"}) == 429
    assert knock(behind, address="127.0.0.1", **{"X-Forwarded-For": "203.0.113.6"}) == 401
    open_to_all = create_app(dataclasses.replace(settings, redis_url=redis_address))
    answers = [knock(open_to_all, **{"X-Forwarded-For": f"10.0.0.{n}"}) for n in range(MANY)]
    assert answers[-1] == 429


def test_guesses_of_a_number_s_address_at_wati_are_counted_and_its_own_goes_on(app, db):
    settings = app.extensions["frontdesk"].settings
    number = wati_numbers.add(db, settings, endpoint="http://127.0.0.1:9/1")
    answers = [knock(app, f"/webhooks/wati/{number.id}.{n:032x}") for n in range(MANY)]
    assert answers[0] == 403 and answers[-1] == 429
    assert knock(app, "/webhooks/wati", b'{"passkey": "guess"}') == 429
    secret = webhook_address.secret(settings, number)
    assert knock(app, f"/webhooks/wati/{secret}") == 200


def test_guesses_of_the_verify_token_are_counted(app):
    client = app.test_client()
    answers = [client.get(f"/webhooks/whatsapp?hub.mode=subscribe&hub.verify_token={n}").status_code for n in range(25)]
    assert answers[0] == 403 and answers[-1] == 429
    token = app.extensions["frontdesk"].settings.verify_token
    good = client.get("/webhooks/whatsapp", query_string={"hub.mode": "subscribe", "hub.verify_token": token, "hub.challenge": "7"})
    assert good.text == "7"


# --- links and tokens -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/first-run/", "/link/"])
def test_guesses_of_a_link_are_counted_and_a_good_one_still_opens(app, db, path):
    visitor, token = desk.visit(app), links.first_run(db, app.extensions["frontdesk"].now())
    answers = [visitor.get(f"{path}guess{n}").status_code for n in range(15)] + [visitor.submit(f"{path}guess{n}").status_code for n in range(15)]
    assert answers[0] == 404 and answers[-1] == 429
    assert visitor.get(f"/first-run/{token}").status_code == 200


def test_guesses_of_an_api_token_are_counted_by_their_address_and_a_good_one_still_works(app, db):
    good = api_tokens.add(db, "A", None, ("read",), None, app.extensions["frontdesk"].now())

    def ask(token: str, address: str = "203.0.113.5"):
        headers = {"Authorization": f"Bearer {token}"}
        return app.test_client().get("/api/v1/numbers", headers=headers, environ_base={"REMOTE_ADDR": address})

    answers = [ask(f"guess{n}") for n in range(MANY)]
    assert answers[0].status_code == 401 and answers[-1].status_code == 429
    assert answers[-1].json["error"]["code"] == "too_many_requests" and int(answers[-1].headers["Retry-After"]) >= 1
    assert ask(good).status_code == 200 and ask("guess", "203.0.113.6").status_code == 401


def test_with_redis_away_api_tokens_and_visitors_of_the_web_chat_are_counted_all_the_same(settings, db, clock, tmp_path, monkeypatch):
    monkeypatch.setattr(routes, "REQUESTS_A_MINUTE", 0.1)
    away = create_app(dataclasses.replace(settings, redis_url=f"unix://{tmp_path}/nobody.sock"))
    good = api_tokens.add(db, "A", None, ("read",), None, clock())

    def ask(token: str) -> int:
        return away.test_client().get("/api/v1/numbers", headers={"Authorization": f"Bearer {token}"}).status_code

    guesses, asked = [ask(f"guess{n}") for n in range(MANY)], [ask(good) for _ in range(routes.BURST + 1)]
    assert (guesses[0], guesses[-1]) == (401, 429) and (asked[0], asked[-1]) == (200, 429)
    context = away.extensions["frontdesk"]
    assert [visitors.begins(context, "203.0.113.5") > 0 for _ in range(61)] == [False] * 60 + [True]
    assert [visitors.writes(context, numbers.get(db, 1), "ana", "203.0.113.5") > 0 for _ in range(11)] == [False] * 10 + [True]


# --- rates in one process -------------------------------------------------------------------------------------------------------------


def test_a_process_by_itself_counts_as_redis_does(redis):
    own, shared, rate = OwnLimits(), queues.Limits(redis), Rate("guess", 30, 5)
    assert [own.count(rate) > 0 for _ in range(7)] == [shared.count(rate) > 0 for _ in range(7)] == [False] * 5 + [True] * 2
    assert 29 < own.count(rate) <= 30
    assert own.count(Rate("other", 30, 5), rate) > 0 and own.count(Rate("other", 30, 1)) == 0, "refused by one, counted by none"
    own.forgive(rate)
    assert own.count(rate) == 0


def test_however_many_names_come_a_process_keeps_a_bounded_number():
    own = OwnLimits()
    for n in range(3 * OwnLimits.MOST_NAMES):
        own.count(Rate(f"from {n}", 3600, 1))
    assert len(own._free) <= OwnLimits.MOST_NAMES


# --- headers --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/login", "/health", "/api/v1/numbers", "/nothing", "/static/desk.css", "/webhooks/whatsapp"])
def test_every_answer_tells_browsers_what_they_may_not(app, path):
    headers = app.test_client().get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"] and "Strict-Transport-Security" not in headers


def test_behind_https_browsers_are_told_to_stay_there(app):
    headers = app.test_client().get("/login", base_url="https://your.domain").headers
    assert headers["Strict-Transport-Security"] == "max-age=31536000"


def test_the_cookies_are_no_script_s_and_no_other_site_s(app):
    browser = desk.visit(app)
    browser.get("/login")
    desk.add_user(app)
    kept = browser.submit("/login", email="owner@example.com", password=desk.PASSWORD, headers={"Referer": "x"}).headers.getlist("Set-Cookie")
    browser.submit("/account", name="New")
    told = [*kept, *browser.submit("/logout").headers.getlist("Set-Cookie")]
    named = {cookie.partition("=")[0]: cookie for cookie in told if "Expires=Thu, 01 Jan 1970" not in cookie}
    assert set(named) == {"frontdesk_session", "frontdesk_flashes"}
    for cookie in named.values():
        assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
