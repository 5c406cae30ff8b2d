"""Logging in: the first owner's link, passwords, throttling, sessions that slide and end."""

import dataclasses
import re
import time

import pytest
from argon2 import PasswordHasher

from chatbot import create_app
from frontdesk.cli.start import first_login
from frontdesk.flows import links, passwords
from frontdesk.store import user_sessions, users
from frontdesk.store.user_sessions import LIFETIME_SECONDS
from frontdesk.web.access import SESSION_COOKIE
from tests.desk import PASSWORD, add_user, log_in, visit

DAY = 86400


def sign_in(browser, email="owner@example.com", password=PASSWORD, **fields):
    return browser.submit("/login", email=email, password=password, **fields)


def is_in(browser) -> bool:
    return browser.get("/inbox").status_code == 200


# --- the first owner ------------------------------------------------------------------------------------------------


@pytest.fixture
def token(app, db, clock):
    return links.first_run(db, clock())


def begin(browser, token, **fields):
    return browser.submit(
        f"/first-run/{token}", **{"name": "Mina", "email": "Mina@Example.com ", "password": PASSWORD, **fields}
    )


def test_the_link_makes_the_owner_who_is_logged_in_at_once(app, db, visitor, token):
    assert "Welcome" in visitor.get(f"/first-run/{token}").text
    assert begin(visitor, token).location == "/inbox"
    assert is_in(visitor)
    user = users.find(db, "MINA@example.com")
    assert (user.name, user.email, user.role) == ("Mina", "mina@example.com", "owner")


def test_the_link_is_good_once(app, visitor, token):
    begin(visitor, token)
    second = visit(app)
    assert begin(second, token, email="eve@example.com").status_code == 404
    assert "This link is over" in second.get(f"/first-run/{token}").text
    assert not is_in(second)


def test_the_link_is_over_after_a_day(visitor, token, clock):
    clock.forward(DAY - 1)
    assert visitor.get(f"/first-run/{token}").status_code == 200
    clock.forward(2)
    assert visitor.get(f"/first-run/{token}").status_code == 404
    assert begin(visitor, token).status_code == 404


def test_a_newer_start_s_link_replaces_the_older(app, db, visitor, token, clock):
    newer = links.first_run(db, clock.forward(5))
    assert visitor.get(f"/first-run/{token}").status_code == 404
    assert begin(visitor, newer).status_code == 303


def test_with_a_user_there_is_no_first_run_any_more(app, db, visitor, token, clock):
    add_user(app)
    assert links.first_run(db, clock()) is None
    assert begin(visitor, token, email="eve@example.com").status_code == 404


def test_each_start_prints_a_link_that_works_until_there_is_a_user(app, settings, visitor):
    older, newer = ("\n".join(first_login(settings)) for _ in range(2))
    assert older != newer
    path = re.search(r"http://127\.0\.0\.1:8000(/first-run/\S+)", newer)[1]
    app.extensions["frontdesk"].now = time.time
    assert visitor.get(path).status_code == 200
    add_user(app)
    assert first_login(settings) == []


def test_the_token_is_nowhere_in_the_database(settings, token):
    assert token.encode() not in b"".join(path.read_bytes() for path in settings.data_dir.glob("frontdesk.db*"))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", " ", "Your name is missing"),
        ("name", "x" * 101, "longer than 100"),
        ("email", "nobody", "looks like"),
        ("email", "a b@c.d", "looks like"),
        ("password", "short", "at least 10"),
        ("password", "aaaaaaaaaaaa", "too easy"),
        ("password", "MINA@example.com", "too easy"),
        ("password", "x1y2" * 251, "at most 1000"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_the_rest_is_kept(visitor, token, field, value, words):
    page = begin(visitor, token, **{"name": "Mina O", field: value})
    assert page.status_code == 422
    assert words in page.text and f'id="e-{field}"' in page.text and 'aria-invalid="true"' in page.text
    if field != "name":
        assert 'value="Mina O"' in page.text
    if field == "password":
        assert value not in page.text
    assert begin(visitor, token).status_code == 303


# --- passwords --------------------------------------------------------------------------------------------------------


def test_the_right_password_opens_the_desk_and_the_e_mail_is_taken_in_any_case(app, visitor):
    add_user(app)
    assert sign_in(visitor, " OWNER@Example.com").location == "/inbox"
    assert is_in(visitor)


def test_a_wrong_password_and_an_unknown_e_mail_look_the_same(app):
    add_user(app)
    pages = [sign_in(visit(app), email, "wrong password") for email in ("owner@example.com", "nobody@example.com")]
    assert [page.status_code for page in pages] == [422, 422]
    texts = [re.sub(r"\w{64}|\w+@example.com", "", page.text) for page in pages]
    assert texts[0] == texts[1]


def test_an_unknown_e_mail_costs_a_verification_too(app, monkeypatch):
    asked = []
    monkeypatch.setattr(passwords, "fits", lambda password, known: asked.append(known) or False)
    sign_in(visit(app), "nobody@example.com")
    assert asked == [None]
    monkeypatch.undo()
    assert not passwords.fits("a password that nobody has", None)


def test_a_disabled_user_is_not_let_in(app, db, visitor, clock):
    users.disable(db, add_user(app), clock())
    assert sign_in(visitor).status_code == 422


def test_a_hash_of_older_parameters_is_renewed_at_the_next_log_in(app, db, visitor):
    user_id = add_user(app)
    older = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    users.set_password_hash(db, user_id, older)
    sign_in(visitor)
    renewed = users.password_hash(db, user_id)
    assert renewed != older and "m=32768,t=3,p=1" in renewed
    assert passwords.fits(PASSWORD, renewed)


def test_after_log_in_one_comes_to_where_one_wanted_to_go_and_nowhere_else(app):
    add_user(app)
    assert sign_in(visit(app), next="/account").location == "/account"
    assert sign_in(visit(app), next="https://evil.example/").location == "/inbox"
    assert 'name="next" value="/account"' in visit(app).get("/login?next=/account").text
    assert "evil" not in visit(app).get("/login?next=//evil.example").text


# --- throttling -----------------------------------------------------------------------------------------------------------


def test_guessing_one_person_s_password_is_slowed_down_from_wherever_it_comes(app):
    add_user(app)
    for count in range(10):
        sign_in(visit(app), password="wrong", headers={})
    page = sign_in(visit(app))
    assert page.status_code == 429 and re.search(r"Try again in (1 minute|\d+ seconds)\.", page.text)
    assert 0 < int(page.headers["Retry-After"]) <= 61


def test_guessing_from_one_address_is_slowed_down_whoever_is_guessed(app):
    for count in range(20):
        assert sign_in(visit(app), f"user{count}@example.com", "wrong").status_code == 422
    assert sign_in(visit(app), "user99@example.com", "wrong").status_code == 429


def test_who_logs_in_has_their_slips_forgiven(app):
    add_user(app)
    for _ in range(9):
        sign_in(visit(app), password="wrong")
    assert sign_in(visit(app)).status_code == 303
    assert sign_in(visit(app), password="wrong").status_code == 422


def test_with_redis_away_one_logs_in_and_guesses_are_counted_all_the_same(settings, db, tmp_path):
    away = create_app(dataclasses.replace(settings, redis_url=f"unix://{tmp_path}/nobody.sock"))
    add_user(away)
    browser = visit(away)
    assert sign_in(browser).status_code == 303 and "Redis does not answer" in browser.get("/inbox").text
    guesses = [sign_in(visit(away), password=f"guess {n}").status_code for n in range(12)]
    assert guesses[:10] == [422] * 10 and guesses[10:] == [429, 429]


# --- sessions ----------------------------------------------------------------------------------------------------------------


def test_the_session_lives_thirty_days_after_its_last_use(owner, clock):
    clock.forward(29 * DAY)
    assert is_in(owner)
    clock.forward(29 * DAY)
    assert is_in(owner)
    clock.forward(LIFETIME_SECONDS + 1)
    assert not is_in(owner)


def test_the_cookie_is_prolonged_with_the_session(owner, clock):
    assert "Set-Cookie" not in owner.get("/inbox").headers
    clock.forward(61)
    assert "Max-Age=2592000" in owner.get("/inbox").headers["Set-Cookie"]
    assert "Set-Cookie" not in owner.get("/inbox").headers


def test_use_is_written_at_most_once_a_minute(app, db, owner, clock):
    def last_use():
        return user_sessions.of_user(db, 1, clock())[0].last_used_at

    began = clock()
    clock.forward(59)
    owner.get("/inbox")
    assert last_use() == began
    clock.forward(2)
    owner.get("/inbox")
    assert last_use() == clock() == users.get(db, 1).last_seen_at


def test_a_log_in_gets_a_new_cookie_and_the_old_one_ends(app, visitor):
    add_user(app)
    sign_in(visitor)
    first = visitor.get_cookie(SESSION_COOKIE).value
    sign_in(visitor)
    assert visitor.get_cookie(SESSION_COOKIE).value != first
    visitor.set_cookie(SESSION_COOKIE, first)
    assert not is_in(visitor)


def test_a_cookie_that_one_brings_along_is_never_made_a_session(app, visitor):
    add_user(app)
    visitor.set_cookie(SESSION_COOKIE, "chosen-by-another")
    csrf_token = re.search(r'name="csrf_token" value="(\w+)"', visitor.get("/login").text)[1]
    assert sign_in(visitor, csrf_token=csrf_token).status_code == 303
    assert visitor.get_cookie(SESSION_COOKIE).value != "chosen-by-another"


def test_logging_out_ends_the_session_and_not_only_the_cookie(app, owner):
    cookie = owner.get_cookie(SESSION_COOKIE).value
    assert owner.submit("/logout").location == "/login"
    assert owner.get_cookie(SESSION_COOKIE) is None
    owner.set_cookie(SESSION_COOKIE, cookie)
    assert not is_in(owner)


def test_logging_out_everywhere_means_everywhere(app, owner, agent):
    elsewhere = log_in(app)
    assert owner.submit("/account/sessions/end").location == "/login"
    assert not is_in(owner) and not is_in(elsewhere) and is_in(agent)


def test_one_other_browser_can_be_logged_out_but_nobody_else_s(app, db, owner, agent):
    elsewhere = log_in(app)
    newest = max(session.id for session in user_sessions.of_user(db, 1, 0))
    assert agent.submit(f"/account/sessions/{newest}/end").status_code == 404
    assert is_in(elsewhere)
    assert owner.submit(f"/account/sessions/{newest}/end").location == "/account"
    assert not is_in(elsewhere) and is_in(owner)


def test_a_new_password_ends_the_other_sessions(app, owner):
    elsewhere = log_in(app)
    new = "an entirely new one"
    assert owner.submit("/account/password", current_password="wrong", new_password=new).status_code == 422
    done = owner.submit("/account/password", current_password=PASSWORD, new_password=new)
    assert done.location == "/account"
    assert "logged out of 1 other browser." in owner.get("/account").text
    assert is_in(owner) and not is_in(elsewhere)
    assert sign_in(visit(app)).status_code == 422
    assert sign_in(visit(app), password=new).status_code == 303


def test_the_current_password_cannot_be_guessed_at_leisure(owner):
    for _ in range(20):
        owner.submit("/account/password", current_password="wrong", new_password="an entirely new one")
    page = owner.submit("/account/password", current_password=PASSWORD, new_password="an entirely new one")
    assert page.status_code == 429 and "Try again in" in page.text


def test_expired_sessions_and_links_are_cleaned_at_night(context, app, db, owner, token, clock):
    from frontdesk.flows import sweep

    clock.forward(LIFETIME_SECONDS + 1)
    sweep.clean(context)
    assert user_sessions.of_user(db, 1, 0) == []
