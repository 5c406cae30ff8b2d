"""The JSON API: tokens, checks, sending once, lists, and one shape of error."""

import json
import re
import threading
import time

import pytest

from frontdesk import queues
from frontdesk.store import api_tokens, conversations
from frontdesk.store.database import transaction
from tests import webhooks
from tests.test_inbound import receive, rows

ANA = "4915112345678"


@pytest.fixture
def token(app, db, clock):
    with transaction(db):
        return api_tokens.add(db, "shop", None, ("send", "read"), None, clock())


@pytest.fixture
def ask(app, token):
    """Ask the API with the token (or another, or none)."""

    def call(method, path, body=None, key=None, token=token, **options):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Idempotency-Key": key} if key is not None else {}
        return app.test_client().open(f"/api/v1{path}", method=method, json=body, headers={**headers, **options.pop("headers", {})}, **options)

    return call


@pytest.fixture
def ana(context):
    """Somebody has written, so the window is open: conversation 1."""
    receive(context, webhooks.texts(webhooks.text("Hello", sender=ANA, at=context.now())))
    context.queues.redis.delete("rq:queue:default")
    return 1


def error(answer) -> tuple[int, str, str | None]:
    return answer.status_code, answer.json["error"]["code"], answer.json["error"].get("field")


def test_a_text_is_queued_and_its_task_tells_what_becomes_of_it(ask, ana, context, db):
    answer = ask("POST", "/send-message", {"phone_number": "+49 151 12345678", "message": "Your order is ready."})
    assert answer.status_code == 202 and answer.json["status"] == "queued"
    assert answer.json["check_status"] == f"/api/v1/tasks/{answer.json['task_id']}"
    assert list(context.queues.take_sends()) == [ana]
    task = ask("GET", f"/tasks/{answer.json['task_id']}").json
    assert (task["status"], task["conversation_id"], task["failure"]) == ("queued", ana, None)
    assert conversations.get(db, ana).state == "bot", "a program's message does not pause the bot"
    db.execute("UPDATE messages SET state = 'failed', error_code = 131026, error_title = 'no' WHERE direction = 'out'")
    failure = ask("GET", f"/tasks/{answer.json['task_id']}").json["failure"]
    assert (failure["cause"], failure["code"]) == ("undeliverable", 131026) and failure["mend"]


def test_the_same_key_and_request_send_once_also_all_at_once(ask, ana, db):
    body, answers = {"conversation_id": ana, "message": "Once."}, []

    def until_taken() -> None:
        """As callers do who are told that the database is busy: nothing was kept, ask again with the same key."""
        while (answer := ask("POST", "/send-message", body, key="k1")).status_code == 503:
            time.sleep(0.1)
        answers.append(answer)

    threads = [threading.Thread(target=until_taken) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json["task_id"] for answer in answers}) == 1
    assert len(rows(db, "SELECT id FROM messages WHERE direction = 'out'")) == 1


def test_with_redis_away_a_text_is_kept_and_the_task_told(app, ask, ana, db, tmp_path, monkeypatch):
    monkeypatch.setattr(app.extensions["frontdesk"], "queues", queues.Queues(queues.connect(f"unix://{tmp_path}/no.sock", retry=False)))
    assert ask("POST", "/send-message", {"conversation_id": ana, "message": "x"}, key="k").status_code == 202
    assert len(rows(db, "SELECT id FROM messages WHERE direction = 'out'")) == 1


def test_the_same_key_with_another_request_is_a_conflict(ask, ana, db):
    ask("POST", "/send-message", {"conversation_id": ana, "message": "one"}, key="k1")
    assert error(ask("POST", "/send-message", {"conversation_id": ana, "message": "two"}, key="k1")) == (409, "idempotency_conflict", None)
    assert len(rows(db, "SELECT id FROM messages WHERE direction = 'out'")) == 1


def test_the_key_of_another_token_is_another_key(ask, ana, db, clock):
    other = api_tokens.add(db, "other", None, ("send",), None, clock())
    first = ask("POST", "/send-message", {"conversation_id": ana, "message": "x"}, key="k").json
    second = ask("POST", "/send-message", {"conversation_id": ana, "message": "x"}, key="k", token=other).json
    assert first["task_id"] != second["task_id"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"message": "x"}, (422, "invalid", "phone_number")),
        ({"message": "x", "conversation_id": 1, "phone_number": ANA}, (422, "invalid", "phone_number")),
        ({"conversation_id": 1}, (422, "invalid", "message")),
        ({"conversation_id": 1, "message": "  "}, (422, "invalid", "message")),
        ({"conversation_id": 1, "message": "x" * 4097}, (422, "invalid", "message")),
        ({"conversation_id": 1, "message": 7}, (422, "invalid", "message")),
        ({"conversation_id": "one", "message": "x"}, (422, "invalid", "conversation_id")),
        ({"conversation_id": 99, "message": "x"}, (404, "not_found", "conversation_id")),
        ({"conversation_id": 10**30, "message": "x"}, (422, "invalid", "conversation_id")),
        ({"phone_number": "4917000000000", "message": "x"}, (422, "window_closed", "phone_number")),
        ({"phone_number": "call me", "message": "x"}, (422, "invalid", "phone_number")),
        ({"conversation_id": 1, "message": "x", "mesage": "y"}, (422, "invalid", "mesage")),
        (["x"], (422, "invalid", None)),
        (None, (415, "not_json", None)),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_queued(ask, ana, db, body, expected):
    assert error(ask("POST", "/send-message", body)) == expected
    assert rows(db, "SELECT id FROM messages WHERE direction = 'out'") == []


def test_outside_the_window_a_text_is_refused(ask, ana, clock):
    clock.forward(24 * 3600 + 1)
    assert error(ask("POST", f"/conversations/{ana}/messages", {"content": "x"})) == (422, "window_closed", "conversation_id")


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"a":' * 40_000, b"", b'{"message": NaN}', b'{"message": 1e999}'])
def test_what_is_not_json_is_told_so(ask, body):
    answer = ask("POST", "/send-message", data=body, content_type="application/json")
    assert error(answer) == (400, "not_json", None)


def test_a_body_that_is_too_large_is_refused(ask):
    assert error(ask("POST", "/send-message", data=b"x" * 300_000, content_type="application/json"))[0] == 413


@pytest.mark.parametrize("given", [None, "fd_nonsense", "", "x" * 5000])
def test_without_a_good_token_nothing_is_told(ask, ana, given):
    answer = ask("GET", "/conversations", token=given)
    assert error(answer) == (401, "unauthorized", None) and answer.headers["WWW-Authenticate"] == "Bearer"


def test_every_operation_wants_a_token(ask):
    from frontdesk.web.api.operations import OPERATIONS

    for one in OPERATIONS:
        path = re.sub(r"<[^>]+>", "1", one.path)
        assert error(ask(one.method, path, {} if one.has_body else None, token=None))[0] == 401, one.name


def test_a_revoked_token_is_no_token(ask, db, clock):
    assert ask("GET", "/numbers").status_code == 200
    api_tokens.revoke(db, 1, clock())
    assert ask("GET", "/numbers").status_code == 401


def test_a_token_may_do_what_its_scopes_say(ask, ana, db, clock):
    reader, sender = (api_tokens.add(db, scope, None, (scope,), None, clock()) for scope in ("read", "send"))
    assert error(ask("POST", "/send-message", {"conversation_id": ana, "message": "x"}, token=reader))[1] == "missing_scope"
    assert error(ask("GET", "/contacts", token=sender))[1] == "missing_scope"


def test_a_client_s_token_sees_nothing_of_another_client(ask, ana, db, clock):
    db.execute("INSERT INTO clients (name, system_prompt, holding_text, apology_text, created_at, updated_at) VALUES ('B', '', '', '', 0, 0)")
    task = ask("POST", "/send-message", {"conversation_id": ana, "message": "x"}).json["task_id"]
    other = api_tokens.add(db, "B", 2, ("send", "read"), None, clock())
    for path in ("/conversations", "/contacts", "/numbers"):
        assert ask("GET", path, token=other).json["items"] == []
    for path in (f"/conversations/{ana}", f"/conversations/{ana}/messages", f"/tasks/{task}"):
        assert ask("GET", path, token=other).status_code == 404
    assert ask("POST", f"/conversations/{ana}/messages", {"content": "x"}, token=other).status_code == 404
    assert error(ask("POST", "/send-message", {"phone_number": ANA, "message": "x"}, token=other))[1] == "not_found"


def test_too_many_requests_are_told_how_long_to_wait(ask):
    answers = [ask("GET", "/numbers") for _ in range(130)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and int(refused[-1].headers["Retry-After"]) >= 1
    assert answers[0].status_code == 200


def test_lists_come_in_pages_without_gaps(ask, context):
    for n in range(7):
        receive(context, webhooks.texts(webhooks.text(sender=f"49177{n}", at=context.now())))
    found, cursor = [], 0
    while cursor is not None:
        page = ask("GET", f"/conversations?limit=3&cursor={cursor}").json
        found += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert found == list(range(1, 8))


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "cursor=-1", "cursor=9999999999999999999999", "offset=3"])
def test_a_wrong_page_is_named(ask, query):
    assert error(ask("GET", f"/conversations?{query}"))[:2] == (422, "invalid")


def test_messages_say_who_wrote_them(ask, ana, db):
    ask("POST", f"/conversations/{ana}/messages", {"content": "from a program"})
    items = ask("GET", f"/conversations/{ana}/messages").json["items"]
    assert [(item["written_by"], item["text"]) for item in items] == [("customer", "Hello"), ("api", "from a program")]
    assert ask("GET", "/contacts").json["items"][0]["phone"] == ANA


def test_waiting_for_a_task_ends_when_it_moves_and_holds_few_threads(ask, ana, db):
    task = ask("POST", "/send-message", {"conversation_id": ana, "message": "x"}).json["task_id"]
    found = []
    threads = [threading.Thread(target=lambda: found.append(ask("GET", f"/tasks/{task}?wait=10").json["status"])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads[:4]:
        thread.join(0.5)
    assert found.count("queued") == 4, "beyond the bound nobody waits"
    db.execute("UPDATE messages SET state = 'delivered' WHERE direction = 'out'")
    for thread in threads:
        thread.join(5)
    assert found.count("delivered") == 2


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/tasks/\u00b6\U000822bb\u0429", 404), ("GET", "/conversations/\u0660", 404), ("DELETE", "/numbers", 405), ("GET", "/send-message", 405)])
def test_what_does_not_exist_has_the_same_shape(ask, method, path, status):
    answer = ask(method, path)
    assert answer.status_code == status and set(answer.json["error"]) >= {"code", "message"}


def test_half_of_a_surrogate_pair_is_no_trouble(ask, ana):
    answer = ask("POST", f"/conversations/{ana}/messages", data=json.dumps({"content": "half \ud83d"}), content_type="application/json")
    assert answer.status_code in (202, 422)
    assert ask("GET", f"/conversations/{ana}/messages").status_code == 200


def test_the_description_is_complete_and_readable(app):
    api = app.test_client().get("/api/v1/openapi.json").json
    assert api["openapi"].startswith("3.1") and "/api/v1/send-message" in api["paths"]
    for methods in api["paths"].values():
        for operation in methods.values():
            assert {"401", "422", "429"} <= set(operation["responses"])
    page = app.test_client().get("/api/v1/docs")
    assert page.status_code == 200 and "/api/v1/tasks/{task_id}" in page.text


def test_the_page_of_the_api_says_what_a_message_may_be_and_where_a_file_goes(app):
    page = app.test_client().get("/api/v1/docs").text
    links = set(re.findall(r'href="#(\w+)"', page))
    assert "ButtonsMessage" in links and links <= set(re.findall(r'id="(\w+)"', page))
    media = page.split("<code>/api/v1/media</code>")[1].split("</section>")[0]
    assert "<code>file</code>" in media


def test_pydantic_is_not_imported_before_somebody_asks(app):
    import subprocess
    import sys

    code = "import sys, chatbot; chatbot.create_app(); print('frontdesk.web.api.models' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


# --- the desk's page --------------------------------------------------------------------------------------------------------------


def test_an_owner_makes_a_token_sees_it_once_and_revokes_it(owner, ask, db):
    page = owner.submit("/tokens", name="Web shop", client="", read="yes")
    assert page.status_code == 201
    made = page.text.split('value="fd_')[1].split('"')[0]
    assert ask("GET", "/numbers", token=f"fd_{made}").status_code == 200
    assert made not in owner.get("/tokens").text and made not in str(rows(db, "SELECT * FROM api_tokens"))
    [row] = rows(db, "SELECT id FROM api_tokens WHERE name = 'Web shop'")
    owner.submit(f"/tokens/{row['id']}/revoke")
    assert ask("GET", "/numbers", token=f"fd_{made}").status_code == 401


def test_a_token_that_may_do_nothing_is_not_made(owner):
    page = owner.submit("/tokens", name="x", client="")
    assert page.status_code == 422 and "Choose at least one thing it may do." in page.text


def test_an_agent_makes_no_tokens(agent):
    assert agent.get("/tokens").status_code == 403


def test_an_id_larger_than_any_is_not_found(ask, ana):
    assert error(ask("GET", f"/conversations/{10**30}"))[:2] == (404, "not_found")
    assert error(ask("GET", f"/conversations/{10**30}/messages"))[:2] == (404, "not_found")


def test_a_contact_is_tagged_and_untagged(ask, ana):
    assert ask("POST", "/contacts/1/tags", {"tag": "#Regular "}).json["tags"] == ["regular"]
    assert ask("POST", "/contacts/1/tags", {"tag": "regular"}).json["tags"] == ["regular"]
    assert ask("GET", "/contacts").json["items"][0]["tags"] == ["regular"]
    assert ask("DELETE", "/contacts/1/tags/regular").json["tags"] == []
    assert error(ask("POST", "/contacts/1/tags", {"tag": "##"})) == (422, "invalid", "tag")
    assert error(ask("POST", "/contacts/99/tags", {"tag": "x"}))[0] == 404


def test_the_description_is_also_at_the_short_addresses(app):
    browser = app.test_client()
    assert browser.get("/api/openapi.json", follow_redirects=True).json["openapi"].startswith("3.1")
    assert "Frontdesk" in browser.get("/api/docs", follow_redirects=True).text


def test_a_person_who_wants_no_marketing_is_marked_for_good(ask, ana):
    assert ask("POST", "/contacts/1/opt-out").json["marketing_stopped"] is True
    assert ask("POST", "/contacts/1/opt-out").json["marketing_stopped"] is True
