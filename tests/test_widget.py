"""The web chat over HTTP: whose page may ask, who a visitor is, what comes in, what they see, and how often."""

import dataclasses
import json

import pytest

from frontdesk.channels import Content
from frontdesk.flows import inbound, reply, sending, sweep as sweeping, take_over, visitors, widgets as making
from frontdesk.ollama import Ollama
from frontdesk.store import clients, conversations, media, messages, numbers, outbox, widgets
from frontdesk.store.database import transaction
from tests import webhooks
from tests.standins.ollama import OllamaStandIn
from tests.standins.ollama_replies import Reply

SHOP = "https://shop.example"
KEY = "bakery-key"


@pytest.fixture
def flows(app):
    """The web process' own context, with which workers' flows run here."""
    return app.extensions["frontdesk"]


@pytest.fixture
def number(flows, db):
    with transaction(db):
        number_id = making.make(
            db, flows.settings, client_id=clients.names(db)[0][0], name="Shop", origins=(SHOP, "https://*.shop.example"), now=flows.now(), key=KEY
        )
    return numbers.get(db, number_id)


class Page:
    """A page of a shop in one browser: every call as the script makes it."""

    def __init__(self, app, origin=SHOP, key=KEY, token=None):
        self.client, self.origin, self.key = app.test_client(), origin, key
        self.token = token

    def ask(self, method, path, token=True, **options):
        headers = {"Origin": self.origin} if self.origin else {}
        if token and self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return self.client.open(f"/widget/{self.key}/{path}", method=method, headers=headers | options.pop("headers", {}), **options)

    def begin(self):
        self.token = self.ask("POST", "visitors").json["token"]
        return self

    def write(self, text, id_="message-1", **more):
        return self.ask("POST", "messages", json={"id": id_, "text": text, **more})

    def messages(self):
        return self.ask("GET", "messages").json["messages"]


@pytest.fixture
def page(app, number):
    return Page(app).begin()


def answered(flows, db, text, **more):
    """What the model or a person says goes out, as the workers do it."""
    [row] = db.execute("SELECT id, number_id FROM conversations").fetchall()
    with transaction(db):
        outbox.queue_text(db, row["id"], row["number_id"], text, now=flows.now(), **{"purpose": "answer", **more})
    assert sending.send_conversation(flows, row["id"]) == 1
    return row["id"]


# --- whose page --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [SHOP, "https://www.shop.example", "https://a.b.shop.example", "HTTPS://SHOP.EXAMPLE"])
def test_a_page_of_an_allowed_origin_may_ask(app, number, origin):
    response = Page(app, origin).ask("GET", "look")
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == origin and "Origin" in response.headers["Vary"]


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://shop.example", "https://shop.example.evil", "https://evilshop.example", "https://shop.example:444", "null", None],
)
@pytest.mark.parametrize("call", [("GET", "look"), ("POST", "visitors"), ("OPTIONS", "messages"), ("GET", "messages")])
def test_a_page_of_another_origin_may_not(app, number, origin, call):
    response = Page(app, origin).ask(*call)
    assert response.status_code == 403 and response.json["error"]["code"] == "wrong_origin"
    assert "Access-Control-Allow-Origin" not in response.headers


def test_our_own_pages_may_ask(app, number):
    assert Page(app, "http://localhost").ask("GET", "look").status_code == 200
    assert Page(app, None).ask("GET", "look", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert Page(app, None).ask("GET", "look", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_a_preflight_allows_what_the_script_sends(app, number):
    response = Page(app).ask("OPTIONS", "messages")
    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
    assert response.headers["Access-Control-Allow-Methods"] == "GET, POST"


def test_an_unknown_key_is_not_found(app, number):
    assert Page(app, key="other").ask("GET", "look").json["error"]["code"] == "unknown_key"


# --- who a visitor is ----------------------------------------------------------------------------------------------------------


def test_without_a_good_token_nothing_is_read_or_written(app, page, flows):
    good = page.token
    signed, _, signature = good.rpartition(".")
    other_key = visitors.issue(flows.settings, "other-key", flows.now())
    for token in (None, "", "x", "...", signed, f"{signed}.", f"{signed}.{signature[:-2]}AA", f"web:victim.{good.partition('.')[2]}", "ü.ü.ü", other_key):
        page.token = token
        for method, path in (("GET", "messages"), ("POST", "messages"), ("POST", "seen"), ("POST", "typing"), ("POST", "details"), ("POST", "whatsapp")):
            response = page.ask(method, path, json={"id": "message-1", "text": "x"}) if method == "POST" else page.ask(method, path)
            assert response.status_code == 401, (token, path)
            assert response.headers["Access-Control-Allow-Origin"] == SHOP  # else the script could not read why
    assert flows.inbox.length() == 0


def test_a_visitor_reads_nothing_of_another(app, page, flows, db):
    page.write("my secret")
    inbound.drain(flows)
    other = Page(app).begin()
    assert page.messages()[0]["text"] == "my secret" and other.messages() == []
    assert other.ask("GET", "messages?before=message-1").status_code == 404
    answered(flows, db, "For you alone")
    answer_id = page.messages()[-1]["id"]
    assert other.ask("POST", "seen", json={"status": "read", "ids": [answer_id]}).json["count"] == 0
    assert other.ask("GET", f"messages?before={answer_id}").status_code == 404


def test_the_same_message_id_of_two_visitors_is_two_messages(app, page, flows, db):
    page.write("mine", "same-id-1")
    other = Page(app).begin()
    other.write("theirs", "same-id-1")
    inbound.drain(flows)
    assert [page.messages()[0]["text"], other.messages()[0]["text"]] == ["mine", "theirs"]


def test_a_token_is_renewed_in_time_and_ends_when_it_is_not_used(page, clock):
    assert "token" not in page.ask("GET", "messages").json
    clock.forward(8 * 24 * 3600)
    old, page.token = page.token, page.ask("GET", "messages").json["token"]
    assert page.token != old and page.token.split(".")[0] == old.split(".")[0]
    clock.forward(visitors.TOKEN_SECONDS - 24 * 3600)
    assert page.ask("GET", "messages").status_code == 200
    page.token = old
    assert page.ask("GET", "messages").status_code == 401


def test_a_visitor_who_was_erased_begins_anew(page, flows, db):
    page.write("Hello")
    inbound.drain(flows)
    with transaction(db):
        db.execute("PRAGMA defer_foreign_keys = ON")
        for table in ("messages", "conversations", "contact_aliases", "contacts"):
            db.execute(f"DELETE FROM {table}")
    assert page.messages() == []
    assert page.write("Again", "message-2").status_code == 202
    inbound.drain(flows)
    assert [line["text"] for line in page.messages()] == ["Again"]


# --- what comes in -----------------------------------------------------------------------------------------------------------------


def test_a_message_goes_the_way_of_a_webhook(page, flows, db):
    response = page.write("When are you open?")
    assert response.status_code == 202 and response.json == {"id": "message-1"}
    assert flows.inbox.length() == 1 and flows.queues.depth("high") == 1
    inbound.drain(flows)
    row = db.execute("SELECT state, kind, text, direction FROM messages").fetchone()
    assert tuple(row) == ("waiting", "text", "When are you open?", "in")
    [line] = page.messages()
    assert line == {"id": "message-1", "from": "visitor", "text": "When are you open?", "at": flows.now()}


def test_a_message_that_is_sent_twice_is_one(page, flows, db):
    for _ in range(3):
        assert page.write("Once").status_code == 202
    inbound.drain(flows)
    page.write("Once")
    inbound.drain(flows)
    assert db.execute("SELECT COUNT(*) FROM messages").fetchone()[0] == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"id": "message-1", "text": ""}, "invalid"),
        ({"id": "message-1", "text": "  \n"}, "invalid"),
        ({"id": "message-1"}, "invalid"),
        ({"id": "message-1", "text": 7}, "invalid"),
        ({"id": "short", "text": "x"}, "invalid"),
        ({"id": "a b c d e f", "text": "x"}, "invalid"),
        ({"text": "x"}, "invalid"),
        ([], "invalid"),
        ({"id": "message-1", "text": "x" * 2001}, "too_long"),
    ],
)
def test_what_is_no_message_is_refused(page, flows, body, code):
    response = page.ask("POST", "messages", json=body)
    assert response.status_code == 422 and response.json["error"]["code"] == code
    assert flows.inbox.length() == 0


def test_a_body_that_is_too_large_is_refused(page):
    response = page.ask("POST", "messages", data=b"x" * 20_000, content_type="application/json")
    assert response.status_code == 413 and response.json["error"]["code"] == "too_large"


def test_a_conversation_has_no_window_of_24_hours(page, flows, db, clock):
    page.write("Hello")
    inbound.drain(flows)
    clock.forward(40 * 24 * 3600)
    page.token = visitors.issue(flows.settings, KEY, flows.now(), page.token.split(".")[0])
    answered(flows, db, "Sorry for the wait")
    assert page.messages()[-1]["text"] == "Sorry for the wait"


def test_half_an_emoji_is_kept_and_shown(page, flows):
    assert page.ask("POST", "messages", data=b'{"id": "message-1", "text": "ok \\ud83d"}', content_type="application/json").status_code == 202
    inbound.drain(flows)
    assert page.messages()[0]["text"] == "ok \ud83d"


def test_with_redis_away_nothing_is_promised(page, flows, monkeypatch):
    from frontdesk.queues import RedisError

    def away(*_):
        raise RedisError

    monkeypatch.setattr(flows.inbox, "put", away)
    response = page.write("Hello")
    assert response.status_code == 503 and response.json["error"]["code"] == "try_again"


def test_who_writes_too_quickly_waits(app, page):
    statuses = [page.write("x", f"message-{place}") for place in range(12)]
    assert [response.status_code for response in statuses] == [202] * 10 + [429] * 2
    assert 0 < int(statuses[-1].headers["Retry-After"]) <= 3
    assert statuses[-1].json["error"]["code"] == "too_many_requests"
    assert "Retry-After" in statuses[-1].headers["Access-Control-Expose-Headers"]
    assert Page(app).begin().write("x").status_code == 202  # another visitor is not held up


def test_an_address_has_a_limit_over_all_its_visitors(app, page):
    codes = [Page(app).begin().token for _ in range(40)]
    refused = [Page(app, token=token).write("x", f"message-{place}").status_code for token in codes for place in range(2)]
    assert 429 in refused and refused.count(202) >= 60


# --- what a visitor sees ---------------------------------------------------------------------------------------------------------


def test_an_answer_is_seen_once_it_went_out_and_told_as_read(page, flows, db):
    page.write("Hello")
    inbound.drain(flows)
    conversation_id = answered(flows, db, "Hi *there*")
    line = page.messages()[-1]
    assert (line["from"], line["text"], line["state"]) == ("bot", "Hi *there*", "sent")
    page.ask("POST", "seen", json={"status": "read", "ids": [line["id"], "web.unknown"]})
    inbound.drain(flows)
    assert page.messages()[-1]["state"] == "read"
    page.ask("POST", "seen", json={"status": "delivered", "ids": [line["id"]]})
    inbound.drain(flows)
    assert page.messages()[-1]["state"] == "read"
    assert conversation_id and db.execute("SELECT read_at FROM messages WHERE direction = 'out'").fetchone()[0]


def test_what_waits_or_failed_is_not_shown(page, flows, db):
    page.write("Hello")
    inbound.drain(flows)
    [row] = db.execute("SELECT id, number_id FROM conversations").fetchall()
    with transaction(db):
        outbox.queue_text(db, row["id"], row["number_id"], "not yet", purpose="answer", now=flows.now())
    assert [line["text"] for line in page.messages()] == ["Hello"]


def test_a_send_whose_process_died_goes_out_at_the_next_sweep(page, flows, db, clock):
    """Nothing was called, so there is no answer that could have been lost, and nothing to wait for."""
    page.write("Hello")
    inbound.drain(flows)
    [row] = db.execute("SELECT id, number_id FROM conversations").fetchall()
    with transaction(db):
        outbox.queue_text(db, row["id"], row["number_id"], "Hi", purpose="answer", now=flows.now())
    claimed = outbox.claim(db, outbox.head(db, row["id"], flows.now()), "gone", flows.now(), sending.lease_seconds(flows))
    assert claimed.state == "sending"
    clock.forward(sending.lease_seconds(flows) + 1)
    sweeping.sweep(flows)
    assert sending.send_conversation(flows, row["id"]) == 1
    assert [line["text"] for line in page.messages()] == ["Hello", "Hi"]


def test_what_a_page_has_is_not_sent_again(page, flows):
    known = page.ask("GET", "messages").json["known"]
    assert page.ask("GET", f"messages?known={known}").status_code == 204
    page.write("Hello")
    inbound.drain(flows)
    assert page.ask("GET", f"messages?known={known}").status_code == 200


def test_older_messages_come_page_by_page(page, flows):
    for place in range(95):
        visitors.put(flows, KEY, page.token.split(".")[0], [{"type": "message", "id": f"{page.token.split('.')[0]}:number-{place}", "text": str(place)}])
    inbound.drain(flows)
    first = page.ask("GET", "messages").json
    second = page.ask("GET", f"messages?before={first['messages'][0]['id']}").json
    third = page.ask("GET", f"messages?before={second['messages'][0]['id']}").json
    assert [first["earlier"], second["earlier"], third["earlier"]] == [True, True, False]
    assert [line["text"] for part in (third, second, first) for line in part["messages"]] == [str(place) for place in range(95)]


def test_a_picture_comes_by_an_address_that_is_signed_and_ends(app, page, flows, db, owner, clock):
    from tests.media_bodies import PNG

    page.write("Show me a cake")
    inbound.drain(flows)
    [row] = db.execute("SELECT id FROM conversations").fetchall()
    import io

    response = owner.submit(f"/inbox/{row['id']}/answer", text="Here", file=(io.BytesIO(PNG), "cake.png"))
    assert response.status_code in (200, 303)
    assert sending.send_conversation(flows, row["id"]) == 1
    line = page.messages()[-1]
    assert line["text"] == "Here" and line["from"] == "person" and line["name"] == "Some"
    assert line["file"]["kind"] == "image" and line["file"]["name"] == "cake.png"
    url = line["file"]["url"]
    shown = page.client.get(url)
    assert shown.status_code == 200 and shown.data == PNG and shown.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert page.client.get(url.replace("signature=", "signature=A")).status_code == 403
    assert page.client.get(url.replace("until=", "until=9")).status_code == 403
    clock.forward(2 * 3600 + 1)
    assert page.client.get(url).status_code == 403
    page.token = visitors.issue(flows.settings, KEY, flows.now(), page.token.split(".")[0])
    assert page.client.get(page.messages()[-1]["file"]["url"]).status_code == 200


def test_a_file_that_no_message_of_this_chat_carries_is_not_shown(page, flows, db, number):
    with transaction(db):
        found = media.add_ready(
            db, client_id=number.client_id, sha256="0" * 64, mime_type="image/png", size_bytes=3, filename="x.png", animated=False, now=flows.now()
        )
    assert page.client.get(visitors.file_address(flows.settings, KEY, found.public_id, flows.now())).status_code == 404


# --- when nobody answers ---------------------------------------------------------------------------------------------------------


def test_who_waits_longer_than_the_patience_is_asked_for_an_address(page, flows, db, clock, number):
    page.write("Hello?")
    inbound.drain(flows)
    first = page.ask("GET", "messages").json
    assert not first["ask"] and 55 < first["ask_in"] <= 61
    clock.forward(first["ask_in"])
    assert page.ask("GET", "messages").json["ask"]
    response = page.ask("POST", "details", json={"id": "details-1", "email": "ana@example.com", "name": "Ana", "phone": "+49 151 123456"})
    assert response.status_code == 202
    inbound.drain(flows)
    assert not page.ask("GET", "messages").json["ask"]
    [row] = db.execute("SELECT id, contact_id, needs_person_reason FROM conversations").fetchall()
    kept = widgets.details(db, row["contact_id"])
    assert (kept.name, kept.email, kept.phone) == ("Ana", "ana@example.com", "+49 151 123456")
    assert row["needs_person_reason"] == "details"
    assert page.messages()[-1]["text"] == "Ana\nana@example.com\n+49 151 123456"


def test_an_address_that_nobody_proved_finds_no_other_contact(app, page, flows, db):
    """Else who types a customer's number would read what that customer wrote."""
    flows.inbox.put("cloud", webhooks.texts(webhooks.text("Private", "49151123456")), flows.now())
    page.write("Hi")
    inbound.drain(flows)
    page.ask("POST", "details", json={"id": "details-1", "phone": "+49 151 123456"})
    inbound.drain(flows)
    assert db.execute("SELECT COUNT(*) FROM contacts").fetchone()[0] == 2
    assert "Private" not in json.dumps(page.messages())


@pytest.mark.parametrize("given", [{}, {"name": "Ana"}, {"email": "nothing"}, {"phone": "call me"}, {"phone": "12"}, {"email": "x" * 300 + "@example.com"}])
def test_an_address_that_is_none_is_refused(page, given):
    assert page.ask("POST", "details", json={"id": "details-1", **given}).status_code == 422


def test_an_answer_ends_the_asking(page, flows, db, clock):
    page.write("Hello?")
    inbound.drain(flows)
    clock.forward(100)
    assert page.ask("GET", "messages").json["ask"]
    answered(flows, db, "Here I am")
    assert not page.ask("GET", "messages").json["ask"]


# --- on to WhatsApp ----------------------------------------------------------------------------------------------------------------


def test_a_visitor_who_goes_on_by_whatsapp_is_linked_by_the_code(page, flows, db, number):
    whatsapp = next(each for each in numbers.all_of_them(db) if each.channel == "cloud")
    widgets.put(db, dataclasses.replace(widgets.get(db, number.id), whatsapp_number_id=whatsapp.id))
    page.write("Hello")
    inbound.drain(flows)
    url = page.ask("POST", "whatsapp").json["url"]
    assert url.startswith("https://wa.me/15550100001?text=") and page.ask("POST", "whatsapp").json["url"] == url
    code = url.rpartition("FD")[2][:8]
    [web] = db.execute("SELECT id FROM conversations").fetchall()
    for text, sender in (("FDAAAAAAAA", "4915100"), (f"Hello! (FD{code})", "4915111"), (f"FD{code}", "4915122")):
        flows.inbox.put("cloud", webhooks.texts(webhooks.text(text, sender)), flows.now())
    inbound.drain(flows)
    [joined] = widgets.joined(db, web["id"])
    assert joined["channel"] == "cloud" and [row["id"] for row in widgets.joined(db, joined["id"])] == [web["id"]]


def test_without_a_whatsapp_number_there_is_no_address(page):
    assert page.ask("POST", "whatsapp").json["error"]["code"] == "no_whatsapp"


# --- live --------------------------------------------------------------------------------------------------------------------------


def test_an_open_page_hears_what_happens(page, flows, db):
    visitor = page.token.split(".")[0]
    listener = flows.live.listen()
    listener.follow(visitor)
    page.write("Hello")
    inbound.drain(flows)
    conversation_id = answered(flows, db, "Hi")
    take_over.take_over(flows, conversation_id, None)
    flows.live.typing(visitor, "person")
    heard = [json.loads(event)["type"] for _, event in listener.heard()]
    listener.close()
    assert heard[0] == "changed" and heard[-1] == "typing" and heard.count("changed") >= 2


def test_the_next_question_is_not_shown_the_words_of_the_answer_before_it(page, flows, db, clock):
    visitor = page.token.split(".")[0]
    with OllamaStandIn() as model:
        flows.settings = dataclasses.replace(flows.settings, ollama_host=model.url)
        flows.ollama = Ollama(model.url, timeout_seconds=20, load_timeout_seconds=20)
        model.enqueue(Reply("We open at seven every day", tokens_per_second=10))
        page.write("When do you open?")
        inbound.drain(flows)
        clock.forward(flows.settings.quiet_seconds)
        listener = flows.live.listen()
        listener.follow(visitor)
        reply.answer(flows, 1)
        assert any(json.loads(event)["type"] == "writing" for _, event in listener.heard())
        listener.close()
    sending.send_conversation(flows, 1)
    page.write("And on Sundays?", "message-2")
    inbound.drain(flows)
    found = page.ask("GET", "messages").json
    assert [line["text"] for line in found["messages"]][-2:] == ["We open at seven every day", "And on Sundays?"] and found["writing"] == ""


def test_the_desk_sees_the_visitor_type(page, flows, clock):
    page.write("Hello")
    inbound.drain(flows)
    visitor = page.token.split(".")[0]
    assert not flows.live.visitor_is_typing(visitor)
    assert page.ask("POST", "typing").status_code == 204
    assert flows.live.visitor_is_typing(visitor)


def test_the_look_has_words_in_the_page_s_language(app, page, flows, db, number):
    widgets.put(db, dataclasses.replace(widgets.get(db, number.id), words={"de": {"greeting": "Moin!", "questions": "Brot?\nKuchen?"}}))
    german = page.ask("GET", "look?lang=de-AT").json
    assert (german["language"], german["texts"]["greeting"], german["questions"]) == ("de", "Moin!", ["Brot?", "Kuchen?"])
    assert german["texts"]["send"] == "Senden" and german["direction"] == "ltr"
    assert page.ask("GET", "look?lang=ar").json["direction"] == "rtl"
    assert page.ask("GET", "look?lang=xx").json["language"] == "en"


def test_what_the_chat_cannot_show_is_not_sent_and_says_so(page, flows, db):
    page.write("Hello")
    inbound.drain(flows)
    [row] = db.execute("SELECT id, number_id FROM conversations").fetchall()
    from frontdesk.flows import outgoing
    from frontdesk.flows.outgoing import CannotSend, Outgoing

    conversation = conversations.get(db, row["id"])
    with pytest.raises(CannotSend) as refused:
        outgoing.check(flows, db, conversation, Outgoing(Content("location", "Here", {"latitude": 1, "longitude": 2})))
    assert refused.value.code == "not_on_this_channel"
    assert messages.waiting(db, row["id"])
