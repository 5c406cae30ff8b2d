"""Who gets in: every route without a log-in, roles, CSRF, where `next` leads, headers, proxies, errors."""

import dataclasses
import hashlib
import hmac
import re
import sqlite3
from pathlib import Path

import pytest

from chatbot import create_app
from frontdesk.flows import links
from frontdesk.store import database, users
from frontdesk.web.access import SESSION_COOKIE, local_path
from tests.desk import log_in, visit

OPEN = {
    "static",
    "api.newest",
    "api.pass_on",  # tokens of its own: tests/test_api.py
    "verify_webhook",
    "health",
    "ready",
    "metrics.metrics",  # this machine, or a token of its own: tests/test_metrics.py
    "login.log_in",
    "login.try_log_in",
    "login.log_out",
    "login.first_run",
    "login.use_first_run",
    "login.link",
    "login.use_link",
    "widget.script",
    "widget.look",
    "widget.begin",
    "widget.read",
    "widget.write",
    "widget.leave_details",
    "widget.seen",
    "widget.typing",
    "widget.go_on_by_whatsapp",
    "widget.show_file",  # allowed origins, and tokens of its own: tests/test_widget.py
    "simulator.show_notice",  # development only
    "simulator.forward",
}


def routes(app):
    """Every route that is not open, with a method and a path that fits it."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint not in OPEN:
            path = re.sub(r"<(?:\w+(?:\(.*?\))?:)?\w+>", "1", rule.rule)
            for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):  # a preflight of the web chat has no other method
                yield method, path


def test_no_route_is_open_without_a_log_in_but_those_that_must_be(app, visitor):
    walked = list(routes(app))
    assert ("GET", "/inbox") in walked and ("POST", "/users/1/disable") in walked
    for method, path in walked:
        response = visitor.open(path, method=method)
        if response.status_code == 302:
            assert response.location.startswith("/login?next=/"), path
        else:
            assert response.status_code in (401, 403), (method, path, response.status_code)


def test_no_unsafe_route_works_without_a_csrf_token(app, owner):
    for method, path in routes(app):
        if method != "GET":
            response = owner.open(path, method=method)
            assert response.status_code == 403 and "Nothing was sent" in response.text, (method, path)


def test_htmx_and_programs_are_told_401_and_not_led_to_a_page(visitor):
    fragment = visitor.fragment("/inbox")
    assert fragment.status_code == 401 and "<html" not in fragment.text and "/login" in fragment.text
    program = visitor.get("/inbox", headers={"Accept": "application/json"})
    assert program.status_code == 401 and program.json["error"]["message"]


def test_an_agent_has_the_inbox_and_not_what_is_an_owner_s(agent):
    assert agent.get("/inbox").status_code == 200
    assert "/users" not in agent.get("/inbox").text
    page = agent.get("/users")
    assert page.status_code == 403 and "This is not yours to open" in page.text
    assert agent.submit("/users/1/disable").status_code == 403


def test_an_owner_has_both(owner):
    assert owner.get("/inbox").status_code == 200
    assert 'href="/users"' in owner.get("/inbox").text


# --- CSRF -------------------------------------------------------------------------------------------------------


def test_another_session_s_token_does_not_fit(app, owner, agent):
    foreign = agent.csrf_token()
    assert owner.post("/account", data={"csrf_token": foreign, "name": "Eve"}).status_code == 403
    assert "Eve" not in owner.get("/account").text


@pytest.mark.parametrize("token", ["", "é", "0" * 64])
def test_a_wrong_token_is_refused_whatever_it_is(owner, token):
    assert owner.post("/account", data={"csrf_token": token, "name": "Mina"}).status_code == 403


def test_htmx_sends_the_token_as_a_header(owner):
    assert owner.fragment("/account", "POST", name="Mina").status_code == 303
    assert f'{{"X-CSRF-Token": "{owner.csrf_token()}"}}' in owner.get("/account").text


def test_what_was_typed_into_an_expired_form_is_shown_for_copying_but_no_password(owner):
    page = owner.post("/account", data={"name": "<b>Long & careful</b>", "password": "geheim!", "csrf_token": "old"})
    assert page.status_code == 403
    assert "&lt;b&gt;Long &amp; careful&lt;/b&gt;" in page.text
    assert "geheim!" not in page.text and ">old<" not in page.text


def test_a_browser_without_cookies_is_told_what_it_lacks(app):
    page = visit(app).post("/login", data={"email": "mina@example.com"})
    assert page.status_code == 403 and "open the desk over https" in page.text and "mina@example.com" in page.text


def test_a_form_sent_after_the_log_in_ended_keeps_the_words(app, visitor):
    page = visitor.post("/account", data={"name": "Careful words"})
    assert page.status_code == 401 and "Careful words" in page.text and "/login" in page.text


def test_a_logged_out_browser_cannot_be_made_to_log_in_by_another_site(app, visitor):
    assert visitor.post("/login", data={"email": "a@b.c", "password": "x"}).status_code == 403


# --- where it leads ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/users", "/inbox?state=human", "/inbox/17#end", "/a:b"])
def test_next_leads_to_our_own_paths(path):
    assert local_path(path) == path


@pytest.mark.parametrize(
    "address",
    ["", None, "users", "//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example",
     "javascript:alert(1)", "/\n/evil.example", "///evil.example", " //evil.example"],
)  # fmt: skip
def test_next_leads_nowhere_else(address):
    assert local_path(address) == "/inbox"


def test_who_opens_a_page_without_a_log_in_comes_back_to_it_afterwards(visitor):
    assert visitor.get("/inbox?state=human").location == "/login?next=/inbox?state%3Dhuman"


# --- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/inbox", "/account", "/login", "/nothing-here"])
def test_pages_are_kept_by_no_cache_and_run_no_script_but_ours(owner, path):
    response = owner.get(path)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "same-origin"
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy


def test_no_template_has_a_script_or_style_of_its_own(app):
    for template in Path(app.root_path, app.template_folder, "desk").glob("*.html"):
        text = template.read_text()
        assert not re.search(r"<style|\sstyle=|\son\w+=|hx-on|javascript:|<script(?! src=)|\|\s*safe\b", text), template.name


# --- proxies ------------------------------------------------------------------------------------------------------------


def through(app, **headers):
    visitor = visit(app)
    return visitor.get("/login", headers=headers).headers.getlist("Set-Cookie")[0]


def test_https_before_a_proxy_is_believed_only_of_as_many_as_the_setting_says(app, settings, redis_address):
    assert "Secure" not in through(app, **{"X-Forwarded-Proto": "https"})
    behind = create_app(dataclasses.replace(settings, redis_url=redis_address, trusted_proxies=1))
    assert "Secure" in through(behind, **{"X-Forwarded-Proto": "https"})
    assert "Secure" not in through(behind, **{"X-Forwarded-Proto": "https, http"})


def test_production_cookies_are_always_secure(settings, db, redis_address):
    production = create_app(dataclasses.replace(settings, redis_url=redis_address, frontdesk_env="production"))
    cookie = through(production)
    assert "Secure" in cookie and "HttpOnly" in cookie and "SameSite=Lax" in cookie


# --- errors ---------------------------------------------------------------------------------------------------------------


def test_an_address_that_leads_nowhere_is_a_page_in_the_desk_s_frame(owner, visitor):
    page = owner.get("/nothing-here")
    assert page.status_code == 404 and "There is nothing here" in page.text and "Inbox" in page.text
    assert visitor.get("/nothing-here").status_code == 404
    assert owner.get("/nothing-here", headers={"Accept": "*/*"}).json["error"]["code"] == "not_found"


def test_our_own_fault_is_a_page_that_says_so_and_nothing_more(app, owner, monkeypatch, caplog):
    monkeypatch.setattr(users, "all_of_them", lambda db: 1 / 0)
    page = owner.get("/users")
    assert page.status_code == 500 and "Something went wrong here" in page.text
    assert "division" not in page.text and "division" in caplog.text


def test_a_link_s_token_never_enters_the_log(app, visitor, monkeypatch, caplog):
    monkeypatch.setattr(links, "usable", lambda *_: 1 / 0)
    assert visitor.get("/first-run/very-secret-token").status_code == 500
    assert "/first-run/<token> failed" in caplog.text and "very-secret-token" not in caplog.text


def test_a_database_that_another_holds_is_a_page_that_says_try_again(app, owner, settings, monkeypatch):
    context = app.extensions["frontdesk"]
    context.db.execute("PRAGMA busy_timeout = 50")
    holder = database.connect(settings)
    holder.execute("BEGIN IMMEDIATE")
    try:
        page = owner.submit("/account", name="Mina")
        assert page.status_code == 503 and "Nothing was changed" in page.text
        assert page.headers["Retry-After"]
    finally:
        holder.execute("ROLLBACK")
    assert owner.submit("/account", name="Mina").status_code == 303


def test_a_page_is_read_while_another_writes_even_when_its_session_should_be_prolonged(app, owner, settings, clock):
    clock.forward(120)
    holder = database.connect(settings)
    holder.execute("BEGIN IMMEDIATE")
    try:
        assert owner.get("/account").status_code == 200
    finally:
        holder.execute("ROLLBACK")


def test_webhooks_are_taken_with_the_database_gone(app, settings, redis):
    secret = settings.simulator_app_secret.encode()
    for path in settings.data_dir.glob("frontdesk.db*"):
        path.unlink()
    signature = "sha256=" + hmac.new(secret, b"{}", hashlib.sha256).hexdigest()
    response = app.test_client().post("/webhooks/whatsapp", data=b"{}", headers={"X-Hub-Signature-256": signature})
    assert response.status_code == 200


def test_the_session_cookie_is_not_in_the_database(app, settings):
    browser = log_in(app)
    token = browser.get_cookie(SESSION_COOKIE).value
    dump = "\n".join(sqlite3.connect(settings.database_path).iterdump())
    assert token not in dump and "user_sessions" in dump
