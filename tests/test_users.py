"""Who may log in: invitations, roles, disabling, lost passwords, on the page and on the command line."""

import re
import time

import pytest
from click.testing import CliRunner

from frontdesk.cli import users as command
from frontdesk.store import users
from tests.desk import PASSWORD, add_user, log_in, visit

DAY = 86400


def link_in(page) -> str:
    return re.search(r"http://localhost(/link/[\w-]+)", page.text)[1]


def invite(owner, email="leo@example.com", role="agent"):
    return owner.submit("/users/invitations", email=email, role=role)


def accept(browser, path, password=PASSWORD, **fields):
    return browser.submit(path, password=password, **{"name": "Leo", **fields})


def test_an_invitation_makes_a_user_of_its_role_and_e_mail(app, db, owner, visitor):
    path = link_in(invite(owner))
    assert "as an agent" in visitor.get(path).text
    assert accept(visitor, path, email="eve@example.com", role="owner").location == "/inbox"
    leo = users.find(db, "leo@example.com")
    assert (leo.name, leo.role) == ("Leo", "agent") and users.find(db, "eve@example.com") is None
    assert visitor.get("/users").status_code == 403


def test_an_invitation_s_link_is_shown_once_and_good_once_for_seven_days(app, owner, visitor, clock):
    path = link_in(invite(owner))
    assert "/link/" not in owner.get("/users").text and "leo@example.com" in owner.get("/users").text
    clock.forward(7 * DAY - 60)
    assert visitor.get(path).status_code == 200
    accept(visitor, path)
    assert accept(visit(app), path).status_code == 404


def test_an_old_invitation_is_over(app, owner, visitor, clock):
    path = link_in(invite(owner))
    clock.forward(7 * DAY + 1)
    assert accept(visitor, path).status_code == 404


def test_a_newer_invitation_replaces_the_older_and_a_withdrawn_one_is_over(app, db, owner, visitor):
    older, newer = link_in(invite(owner)), link_in(invite(owner, "LEO@example.com"))
    assert visitor.get(older).status_code == 404
    [link_id] = re.findall(r"/users/invitations/(\d+)/withdraw", owner.get("/users").text)
    assert owner.submit(f"/users/invitations/{link_id}/withdraw").status_code == 303
    assert visitor.get(newer).status_code == 404


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"email": "nobody"}, "looks like"),
        ({"email": "Owner@example.com"}, "with this e-mail already"),
        ({"role": "admin"}, "Choose one"),
    ],
)
def test_an_invitation_that_cannot_be_is_refused_beside_its_field(owner, fields, words):
    page = invite(owner, **fields)
    assert page.status_code == 422 and words in page.text and "/link/" not in page.text


def test_a_disabled_user_is_out_at_once_and_comes_back_when_enabled(app, db, owner, agent):
    leo = users.find(db, "agent@example.com")
    path = link_in(owner.submit(f"/users/{leo.id}/password-link"))
    assert owner.submit(f"/users/{leo.id}/disable").status_code == 303
    assert agent.get("/inbox").status_code == 302
    assert visit(app).get(path).status_code == 404
    assert visit(app).submit("/login", email=leo.email, password=PASSWORD).status_code == 422
    assert owner.submit(f"/users/{leo.id}/password-link").status_code == 409
    owner.submit(f"/users/{leo.id}/enable")
    assert visit(app).submit("/login", email=leo.email, password=PASSWORD).status_code == 303


def test_a_new_role_counts_from_the_next_click_on(app, db, owner, agent):
    leo = users.find(db, "agent@example.com")
    owner.submit(f"/users/{leo.id}/role", role="owner")
    assert "must log in again" in owner.get("/users").text
    assert agent.get("/users").location.startswith("/login"), "a cookie of an agent's never becomes an owner's"
    again = log_in(app, "agent")
    assert again.get("/users").status_code == 200
    owner.submit(f"/users/{leo.id}/role", role="owner")
    assert again.get("/users").status_code == 200, "who is an owner already stays logged in"
    owner.submit(f"/users/{leo.id}/role", role="agent")
    assert again.get("/users").status_code == 403
    assert owner.submit(f"/users/{leo.id}/role", role="king").status_code == 400


def test_the_last_owner_can_be_neither_disabled_nor_made_an_agent(app, db, owner, agent, clock):
    other = add_user(app, "owner", "second@example.com")
    users.disable(db, other, clock())
    for path, fields in (("disable", {}), ("role", {"role": "agent"})):
        owner.submit(f"/users/1/{path}", **fields)
        assert "the only owner who can log in" in owner.get("/users").text
    users.enable(db, other)
    owner.submit("/users/1/role", role="agent")
    assert users.get(db, 1).role == "agent"


def test_a_password_link_sets_a_new_one_and_ends_all_sessions(app, db, owner, agent):
    leo = users.find(db, "agent@example.com")
    path = link_in(owner.submit(f"/users/{leo.id}/password-link"))
    fresh = visit(app)
    assert leo.email in fresh.get(path).text
    assert fresh.submit(path, password="short").status_code == 422
    assert fresh.submit(path, password="an entirely new one").location == "/inbox"
    assert fresh.get("/inbox").status_code == 200 and agent.get("/inbox").status_code == 302
    assert visit(app).submit("/login", email=leo.email, password=PASSWORD).status_code == 422


def test_a_name_is_text_whatever_is_in_it(app, owner):
    name = "<script>alert(1)</script>'\"&"
    log_in(app, "agent", "x@example.com", name)
    page = owner.get("/users").text
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_an_unknown_user_is_not_there(owner):
    assert owner.submit("/users/99/disable").status_code == 404


# --- the command line -----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(settings, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("SECRET_KEY", settings.secret_key)

    def run(*arguments):
        result = CliRunner().invoke(command.users, arguments)
        return str(result.exception or "") + result.output

    return run


@pytest.fixture
def real_time(app):
    app.extensions["frontdesk"].now = time.time


def test_the_command_line_makes_a_link_for_whoever_lost_their_password(app, real_time, run):
    assert "Nobody yet" in run("list")
    assert "/first-run/" in run("link")
    add_user(app)
    assert run("list").strip() == "owner@example.com  Some Owner  owner"
    assert "there are users already" in run("link")
    assert "there is no user 'x@y.z'" in run("link", "x@y.z")
    path = re.search(r"(/link/\S+)", run("link", "OWNER@example.com"))[1]
    assert visit(app).submit(path, password="an entirely new one").location == "/inbox"


def test_the_command_line_invites(app, real_time, run, db):
    path = re.search(r"(/link/\S+)", run("add", "leo@example.com", "--role", "owner"))[1]
    assert accept(visit(app), path).location == "/inbox"
    assert users.find(db, "leo@example.com").role == "owner"
    assert "has a user already" in run("add", "leo@example.com")
    assert "it wants an address" in run("add", "leo")
