"""The audit log: each deed of the desk leaves a line in its own transaction, nothing changes one, and no secret is in any."""

import csv
import io
import json
import re
import sqlite3

import pytest
from click.testing import CliRunner

from frontdesk.cli import audit as command
from frontdesk.errors import Permanent
from frontdesk.flows import audience, forgetting, sending, take_over
from frontdesk.store import api_tokens, audit, events, login_links, numbers, user_sessions
from frontdesk.store.database import transaction
from tests import webhooks
from tests.desk import PASSWORD, add_user, log_in, visit
from tests.test_inbound import receive, rows
from tests.test_templates import keep, made

# --- every POST of the desk -------------------------------------------------------------------------------------------------------

EVERYDAY = "the daily work with customers, which the conversation itself shows"
TRIED = "questions the bot is tried with, which reach nobody"
NOT_RECORDED = {
    "thread.receive_again": "a customer's file is asked for once more",
    "thread.answer": EVERYDAY,
    "thread.note": EVERYDAY,
    "thread.act": EVERYDAY,
    "thread.ask_model": EVERYDAY,
    "tags.put": EVERYDAY,
    "tags.remove": EVERYDAY,
    "compose.send": EVERYDAY,
    "compose.preview": "changes nothing",
    "schedules.change": EVERYDAY,
    "schedules.turn": EVERYDAY,
    "tools.try_it": "asks the business's own server, and changes nothing here",
    "templates.refresh": "reads what Meta has",
    "numbers.test": "changes nothing",
    "replays.found": "changes nothing",
    "replays.start": TRIED,
    "replays.change": TRIED,
    "replays.delete": TRIED,
    "replays.mark": TRIED,
    "checks.add": TRIED,
    "checks.save": TRIED,
    "checks.remove": TRIED,
    "checks.run": TRIED,
    "checks.take_in": TRIED,
    "callbacks.resend": "delivers again what a program asked for",
    "callbacks.resend_failed": "delivers again what a program asked for",
    "digests.send": "to the business's own phone",
    "knowledge.check_page": "looks at a page again",
    "widget.begin": "what a visitor of a website does",
    "widget.go_on_by_whatsapp": "what a visitor of a website does",
    "widget.leave_details": "what a visitor of a website does",
    "widget.seen": "what a visitor of a website does",
    "widget.typing": "what a visitor of a website does",
    "widget.write": "what a visitor of a website does",
    "widgets.preview": "changes nothing",
    "questions.dismiss": "hides a question from a list",
    "clients.try_it": "a question to the model that reaches nobody",
}


@pytest.fixture
def desk(app, owner, context, db, channel):
    """Something of everything that can be done something to. Returns what asks for each endpoint."""
    keep(context, made("order_ready"))
    receive(context, webhooks.texts(webhooks.text("Hi", at=context.now())))
    for _ in range(2):  # messages 2 and 3
        take_over.answer_by_person(context, 1, 1, "never arrives")
        channel.outcomes = [Permanent("Undeliverable", code=131026)]
        sending.send_conversation(context, 1)
    audience_id = audience.from_file(context, 1, io.BytesIO(b"phone,name\n+4915120000001,Ana\n"), name="Regulars")
    audience.read(context, audience_id)
    spare = audience.from_contacts(context, 1, {}, name="Spare")
    leo = add_user(app, "agent", "leo@example.com", "Leo")
    with transaction(db):
        events.reject(db, "1-0:0", "cloud", "not understood", {}, context.now(), b"{}")
        events.reject(db, "2-0:0", "cloud", "not understood", {}, context.now(), b"{}")
        api_tokens.add(db, "shop", None, ("read",), 1, context.now())
        invitation = login_links.add(db, "invitation", now=context.now(), lifetime_seconds=900, role="agent", email="mia@example.com")
    template_id = rows(db, "SELECT id FROM templates")[0]["id"]
    broadcast = {"name": "", "rate": "", "spread_hours": "", "quiet_from": "", "quiet_until": "", "most_waiting": "", "error_percent": "10"}
    broadcast |= {"from_1": "column:name", "text_1": "", "from_2": "text", "text_2": "47", "number": 1, "audience": audience_id, "template": template_id}

    def public_id():
        return rows(db, "SELECT public_id FROM broadcasts ORDER BY id DESC LIMIT 1")[0]["public_id"]

    def made_broadcast():
        owner.submit("/broadcasts", **broadcast)
        return public_id()

    def started():
        id_ = made_broadcast()
        owner.submit(f"/broadcasts/{id_}/start", when="now")
        return id_

    def client_form():
        page = owner.get("/clients/1").text
        names = set(re.findall(r'name="([a-z_]+)"', page)) - {"csrf_token", "question"}
        given = {name: (re.search(rf'name="{name}"[^>]*value="([^"]*)"', page) or ["", ""])[1] for name in names}
        texts = {name: "A text" for name in names if name.endswith("_text")}
        return {**given, **texts, "after_holding": "", "seen": "", "name": "Bakery", "time_zone": "UTC", "always_open": "yes", "pause_hours": "12"}

    def knowledge_id():
        return rows(db, "SELECT MAX(id) AS id FROM knowledge_documents")[0]["id"]

    def batch():
        return rows(db, "SELECT public_id FROM document_batches ORDER BY id DESC LIMIT 1")[0]["public_id"]

    def text_file(name="a.txt"):
        return (io.BytesIO(b"We open at nine."), name)

    documents = {"kind": "summary", "client": "", "texts": "One text", "text": "One text", "length": "short", "language": ""}
    number = {"client": "1", "display_phone": "", "account_id": "", "messages_per_second": "80"}
    second = visit(app)
    return {
        "login.try_log_in": lambda: visit(app).submit("/login", email="leo@example.com", password=PASSWORD),
        "login.log_out": lambda: log_in(app, "agent", "leo@example.com").submit("/logout"),
        "login.use_link": lambda: second.submit(f"/link/{invitation}", name="Mia", password="an entirely new one"),
        "login.use_first_run": None,
        "account.rename": lambda: owner.submit("/account", name="Olga"),
        "account.change_password": lambda: owner.submit("/account/password", current_password=PASSWORD, new_password="an entirely new one"),
        "account.end_session": lambda: owner.submit(f"/account/sessions/{_other_session(app, db)}/end"),
        "account.end_all_sessions": lambda: log_in(app, "agent", "leo@example.com").submit("/account/sessions/end"),
        "users.invite": lambda: owner.submit("/users/invitations", email="new@example.com", role="agent"),
        "users.withdraw": lambda: owner.submit(f"/users/invitations/{_invitation(owner, db)}/withdraw"),
        "users.password_link": lambda: owner.submit(f"/users/{leo}/password-link"),
        "users.change_role": lambda: owner.submit(f"/users/{leo}/role", role="owner"),
        "users.disable": lambda: owner.submit(f"/users/{leo}/disable"),
        "users.enable": lambda: owner.submit(f"/users/{leo}/enable"),
        "clients.add": lambda: owner.submit("/clients", name="New", time_zone="UTC", prompt="Be kind."),
        "clients.save_prompt": lambda: owner.submit("/clients/1/prompt", prompt="Be kind.", persona="", language=""),
        "clients.save": lambda: owner.submit("/clients/1", **client_form()),
        "clients.revert": lambda: owner.submit(f"/clients/1/versions/{rows(db, 'SELECT MIN(id) AS id FROM prompt_versions')[0]['id']}/revert"),
        "tools.save": lambda: owner.submit("/clients/1/tools", hand_over="yes", list_word="Choose"),
        "tools.add": lambda: owner.submit("/clients/1/tools/new", name="order", description="An order.", url="https://shop.example/{number}"),
        "tools.change": lambda: owner.submit(
            f"/clients/1/tools/{_lookup(owner, db)}", name="changed", description="An order.", url="https://shop.example/{number}"),
        "tools.remove": lambda: owner.submit(f"/clients/1/tools/{_lookup(owner, db)}/remove"),
        "numbers.add": lambda: owner.submit("/numbers", external_id="77", access_token="a-secret-token", **number),
        "numbers.save": lambda: owner.submit("/numbers/1", access_token="another-secret", **number),
        "numbers.stop": lambda: owner.submit("/numbers/1/stop"),
        "numbers.resume": lambda: numbers.stop(db, 1, "x", None, 1.0) and owner.submit("/numbers/1/resume"),
        "tokens.make": lambda: owner.submit("/tokens", name="till", client="", send="yes"),
        "tokens.revoke": lambda: owner.submit("/tokens/1/revoke"),
        "canned.put": lambda: owner.submit("/canned", shortcut="hours", text="Nine to five.", client=""),
        "canned.remove": lambda: owner.submit("/canned/1/remove"),
        "knowledge.add": lambda: owner.submit("/knowledge/of/1", file=text_file()),
        "knowledge.replace": lambda: owner.submit(f"/knowledge/{_knowledge(owner, db)}/replace", file=text_file("b.txt")),
        "knowledge.switch": lambda: owner.submit(f"/knowledge/{_knowledge(owner, db)}/switch"),
        "knowledge.read_again": lambda: owner.submit(f"/knowledge/{_knowledge(owner, db)}/again"),
        "knowledge.remove": lambda: owner.submit(f"/knowledge/{_knowledge(owner, db)}/remove"),
        "audiences.add": lambda: owner.submit("/audiences", way="paste", client="1", name="Pasted", region="DE", text="+4915120000009"),
        "audiences.again": lambda: owner.submit(f"/audiences/{spare}/again"),
        "audiences.delete": lambda: owner.submit(f"/audiences/{spare}/delete"),
        "broadcasts.make": lambda: owner.submit("/broadcasts", **broadcast),
        "broadcasts.try_out": lambda: owner.submit(f"/broadcasts/{made_broadcast()}/test", phone="+4915120000005"),
        "broadcasts.start": lambda: owner.submit(f"/broadcasts/{made_broadcast()}/start", when="now"),
        "broadcasts.turn": lambda: owner.submit(f"/broadcasts/{started()}/pause"),
        "documents.hand_over": lambda: owner.submit("/documents", **documents),
        "documents.change": lambda: (owner.submit("/documents", **documents), owner.submit(f"/documents/{batch()}/pause"))[1],
        "dead_letters.retry": lambda: owner.submit("/dead-letters/retry", message="2", anyway="yes"),
        "dead_letters.dismiss": lambda: owner.submit("/dead-letters/dismiss", message="3", reason="no use"),
        "rejected.replay": lambda: owner.submit("/rejected/1/replay"),
        "rejected.dismiss": lambda: owner.submit("/rejected/2/dismiss"),
        "replays.adopt": None,
        "questions.answer": None,  # adds knowledge, as knowledge.add does
        "widgets.add": lambda: owner.submit("/widgets", name="Chat", client="1", origins=""),
        "widgets.save": lambda: owner.submit(
            f"/widgets/{_widget(owner, db)}", name="Chat", client="1", origins="", accent="#1b6b58", whatsapp="", words_language="en"),
        "numbers.address": lambda: db.execute("UPDATE numbers SET webhook_key = 'k' WHERE id = 1") and owner.submit("/numbers/1/address"),
        "clients.save_digest": lambda: owner.submit("/clients/1/digest", **{"digest": "yes", "digest_on": "yes", "hour": "18", "digest_hour": "18"}),
        "callbacks.secret": lambda: owner.submit("/callbacks/secret", client="1"),
        "callbacks.change_secret": lambda: owner.submit("/callbacks/secret/change", client="1"),
        "people.export": lambda: owner.submit("/people/1/export"),
        "people.erase": lambda: owner.submit("/people/1/erase", word="erase"),
        "audit.export": lambda: owner.submit("/audit/export", format="csv"),
    }


def _other_session(app, db) -> int:
    with transaction(db):
        user_sessions.start(db, 1, user_agent="x", address="x", now=app.extensions["frontdesk"].now())
    return rows(db, "SELECT MAX(id) AS id FROM user_sessions WHERE user_id = 1")[0]["id"]


def _invitation(owner, db) -> int:
    owner.submit("/users/invitations", email="other@example.com", role="agent")
    return rows(db, "SELECT MAX(id) AS id FROM login_links")[0]["id"]


def _knowledge(owner, db) -> int:
    owner.submit("/knowledge/of/1", file=(io.BytesIO(b"We open at ten."), "c.txt"))
    return rows(db, "SELECT MAX(id) AS id FROM knowledge_documents")[0]["id"]


def _lookup(owner, db) -> int:
    count = rows(db, "SELECT COUNT(*) AS n FROM lookups")[0]["n"]
    owner.submit("/clients/1/tools/new", name=f"spare_{count}", description="An order.", url="https://shop.example/{number}")
    return rows(db, "SELECT MAX(id) AS id FROM lookups")[0]["id"]


def _widget(owner, db) -> int:
    owner.submit("/widgets", name="Other chat", client="1", origins="")
    return rows(db, "SELECT MAX(number_id) AS id FROM widgets")[0]["id"]


LAST = ("people.erase", "users.disable")  # they take away what others need


def test_every_post_of_the_desk_leaves_a_line_or_says_why_not(app, desk, db):
    posts = {rule.endpoint for rule in app.url_map.iter_rules() if "POST" in rule.methods}
    posts = {one for one in posts if "." in one and one.split(".")[0] not in ("api", "rq", "simulator")}
    assert posts == desk.keys() | NOT_RECORDED.keys(), "a new POST: give it a line in the audit log, or the reason why it needs none"
    silent = []
    for endpoint in sorted(desk, key=lambda one: (one in LAST, one)):
        if desk[endpoint] is None:
            continue
        before = len(audit.newest(db, limit=1000))
        answer = desk[endpoint]()
        if len(audit.newest(db, limit=1000)) == before:
            silent.append((endpoint, answer.status_code, re.findall(r'class="error"[^>]*>([^<]*)', answer.text)))
    assert not silent
    written = repr(audit.newest(db, limit=1000))
    for secret in (PASSWORD, "a-secret-token", "another-secret", "an entirely new one", "Be kind.", "Nine to five.", "never arrives"):
        assert secret not in written


# --- the log itself ---------------------------------------------------------------------------------------------------------------


def test_a_line_says_who_from_where_and_what(owner, db):
    owner.submit("/users/invitations", email="new@example.com", role="agent")
    [entry] = audit.newest(db)
    assert (entry.actor, entry.actor_id, entry.actor_name, entry.address) == ("user", 1, "Some Owner", "127.0.0.1")
    assert entry.deed == "user.invited" and entry.details == {"email": "new@example.com", "role": "agent"}


def test_what_fails_leaves_no_line(owner, db, app):
    owner.submit("/users/1/disable")
    visit(app).submit("/login", email="owner@example.com", password="wrong")
    assert audit.newest(db) == []


def test_it_is_only_added_to(db, clock):
    with transaction(db):
        audit.record(db, "login", "user 1", clock())
    for sql in ("UPDATE audit SET actor_name = 'x'", "DELETE FROM audit", "DELETE FROM audit_kept"):
        with pytest.raises(sqlite3.IntegrityError, match="only added to"):
            db.execute(sql)
    with pytest.raises(ValueError):
        audit.record(db, "login", None, clock())
    with transaction(db), pytest.raises(ValueError):
        audit.record(db, "no such deed", None, clock())


def test_after_its_time_a_line_goes(context, db, clock):
    with transaction(db):
        audit.record(db, "login", "user 1", clock())
    clock.forward(364 * 24 * 3600)
    with transaction(db):
        audit.record(db, "logout", "user 1", clock())
    forgetting.clean(context)
    assert len(audit.newest(db)) == 2
    clock.forward(2 * 24 * 3600)
    forgetting.clean(context)
    assert [entry.deed for entry in audit.newest(db)] == ["logout"]
    with pytest.raises(sqlite3.IntegrityError):
        db.execute("UPDATE audit_kept SET since = 0")


@pytest.fixture
def log(db, clock):
    """Three days of it."""
    ana, till = audit.Actor("user", 7, "Ana"), audit.Actor("token", 2, "till")
    for actor, deed in ((ana, "login"), (till, "broadcast.started"), (ana, "user.role")):
        with transaction(db):
            audit.record(db, deed, "x 1", clock(), by=actor, role="=cmd")
        clock.forward(24 * 3600)


def test_it_is_found_by_person_deed_and_time(owner, agent, log, db, clock):
    def deeds(**which):
        return [entry.deed for entry in audit.newest(db, **which)]

    assert deeds(actor="user 7") == ["user.role", "login"] and deeds(actor="token 2") == ["broadcast.started"]
    assert deeds(deed="user.") == ["user.role"] and deeds(deed="login") == ["login"]
    assert deeds(since=1_790_000_000 + 3600, until=1_790_000_000 + 36 * 3600) == ["broadcast.started"]
    for nobody in ("user+²", "user+" + "9" * 5000):
        assert owner.get(f"/audit?by={nobody}").status_code == 200
    page = owner.get("/audit?by=user+7").text
    assert "changed a user&#39;s role" in page and "started a broadcast</td>" not in page
    assert "Nothing was found" in owner.get("/audit?from=2020-01-01&to=2020-01-02").text
    assert owner.get("/audit?from=never").status_code == 200
    assert agent.get("/audit").status_code == 403


def test_it_is_taken_along_as_csv_and_as_json_lines(owner, log, db):
    lines = list(csv.DictReader(io.StringIO(owner.submit("/audit/export", format="csv", by="user 7").text)))
    assert [line["deed"] for line in lines] == ["login", "user.role"] and lines[0]["at"].endswith("+00:00")
    found = [json.loads(line) for line in owner.submit("/audit/export", format="jsonl").text.splitlines()]
    assert [one["deed"] for one in found][:3] == ["login", "broadcast.started", "user.role"] and found[0]["details"] == {"role": "=cmd"}
    assert audit.newest(db)[0].deed == "audit.exported"


def test_the_command_line_exports_it(log, settings, monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("SECRET_KEY", settings.secret_key)
    result = CliRunner().invoke(command.audit, ["export", str(tmp_path / "log.csv"), "--deed", "user."])
    assert "1 entries" in result.output and "user.role" in (tmp_path / "log.csv").read_text()


def test_a_long_log_is_read_in_pages_and_shown_in_pages(owner, db, clock, monkeypatch):
    monkeypatch.setattr(audit, "BATCH", 10)
    with transaction(db):
        for n in range(105):
            audit.record(db, "login", f"user {n}", clock())
    assert [entry.subject for entry in audit.oldest_first(db)] == [f"user {n}" for n in range(105)]
    page = owner.get("/audit?deed=login").text
    older = re.search(r'href="(/audit\?before=[^"]+)"', page)[1].replace("&amp;", "&")
    assert "deed=login" in older and "user 54<" in owner.get(older).text
