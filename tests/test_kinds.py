"""One message of each kind through the real stack: asked for over the API, recorded by the simulator as Meta would have it."""

import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from frontdesk.queues import Queues, connect
from frontdesk.simulator.message_templates import TEMPLATES
from frontdesk.store import api_tokens
from frontdesk.store.database import transaction
from tests import media_bodies as bodies
from tests.stack import Stack, wait_for

ANA = "4915112345678"


class Api:
    """A program that has a token."""

    def __init__(self, stack: Stack):
        self.stack = stack
        db = stack.database()
        with transaction(db):
            self.token = api_tokens.add(db, "tests", None, api_tokens.SCOPES, None, time.time())
        db.close()

    def __call__(self, method: str, path: str, **options) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return requests.request(method, f"{self.stack.web_url}/api/v1{path}", headers=headers, timeout=30, **options)

    def send(self, message, **more) -> dict:
        answer = self("POST", "/send-message", json={"phone_number": ANA, "message": message, **more})
        assert answer.status_code == 202, answer.text
        return answer.json()

    def task(self, task_id: str) -> dict:
        return self("GET", f"/tasks/{task_id}").json()


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    with Stack(folder, without=("ollama", "default"), FETCH_PRIVATE_ADDRESSES="yes") as running:
        yield running


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A web server on loopback that has one picture."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "cake.png").write_bytes(bodies.PNG)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def api(stack):
    Queues(connect(stack.settings.redis_address)).refresh_templates()
    wait_for(lambda: len(stack.rows("SELECT id FROM templates")) == len(TEMPLATES))
    return Api(stack)


@pytest.fixture
def wamid(stack):
    """Of a message that Ana has just written: the window is open."""
    wamid = stack.simulator.customer_writes(ANA, "Hello")["id"]
    wait_for(lambda: stack.rows("SELECT id FROM messages WHERE external_id = ?", wamid))
    return wamid


def arrived(stack: Stack, api: Api, task: dict) -> dict:
    """What the simulator's record has of this task, once it was delivered."""
    wait_for(lambda: api.task(task["task_id"])["status"] in ("delivered", "read", "failed"), every=0.3)  # a token has 600 requests a minute
    assert api.task(task["task_id"])["failure"] is None
    [send] = [send for send in stack.simulator.sends(ANA) if send["callback_data"].startswith(task["task_id"])]
    return send


@pytest.mark.parametrize(
    "message, kind, payload",
    [
        ("See https://bakery.example", "text", {"body": "See https://bakery.example", "preview_url": True}),
        ({"type": "text", "text": "Hello"}, "text", {"body": "Hello", "preview_url": False}),
        (
            {"type": "location", "latitude": 52.52, "longitude": 13.405, "name": "Corner Bakery"},
            "location",
            {"latitude": 52.52, "longitude": 13.405, "name": "Corner Bakery"},
        ),
        (
            {"type": "contacts", "contacts": [{"name": {"formatted_name": "Mina"}, "phones": [{"phone": "+49 30 1"}]}]},
            "contacts",
            [{"name": {"formatted_name": "Mina", "first_name": "Mina"}, "phones": [{"phone": "+49 30 1"}]}],
        ),
        (
            {"type": "buttons", "text": "Which?", "buttons": [{"title": "Lemon", "id": "l"}, {"title": "Carrot"}]},
            "interactive",
            {
                "type": "button",
                "body": {"text": "Which?"},
                "action": {
                    "buttons": [
                        {"type": "reply", "reply": {"id": "l", "title": "Lemon"}},
                        {"type": "reply", "reply": {"id": "Carrot", "title": "Carrot"}},
                    ]
                },
            },
        ),
        (
            {"type": "list", "text": "Which?", "button": "Cakes", "sections": [{"rows": [{"title": "Lemon", "description": "sour"}]}]},
            "interactive",
            {
                "type": "list",
                "body": {"text": "Which?"},
                "action": {"button": "Cakes", "sections": [{"rows": [{"id": "Lemon", "title": "Lemon", "description": "sour"}]}]},
            },
        ),
        (
            {"type": "template", "name": "order_ready", "language": "en", "variables": {"1": "Ana", "2": "12"}},
            "template",
            {
                "name": "order_ready",
                "language": {"code": "en"},
                "components": [{"type": "body", "parameters": [{"type": "text", "text": "Ana"}, {"type": "text", "text": "12"}]}],
            },
        ),
    ],
    ids=["link", "text", "location", "contacts", "buttons", "list", "template"],
)
def test_it_arrives_as_meta_wants_it(stack, api, wamid, message, kind, payload):
    send = arrived(stack, api, api.send(message))
    assert send["type"] == kind and send["payload"][kind] == payload


def test_a_reaction_stands_on_the_customers_message(stack, api, wamid):
    send = arrived(stack, api, api.send({"type": "reaction", "message_id": wamid, "emoji": "❤️"}))
    assert send["payload"] == {"reaction": {"message_id": wamid, "emoji": "❤️"}}


def test_a_reply_quotes_the_message_it_replies_to(stack, api, wamid):
    send = arrived(stack, api, api.send("Yes, we do.", reply_to=wamid))
    assert send["payload"]["context"] == {"message_id": wamid}


@pytest.mark.parametrize(
    "kind, body, name",
    [
        ("image", bodies.PNG, "cake.png"),
        ("video", bodies.MP4, "oven.mp4"),
        ("audio", bodies.OGG_OPUS, "hello.ogg"),
        ("document", bodies.PDF, "menu.pdf"),
        ("sticker", bodies.WEBP, "smile.webp"),
    ],
)
def test_a_file_arrives_with_its_bytes_and_is_uploaded_once(stack, api, wamid, kind, body, name):
    media = api("POST", "/media", files={"file": (name, body)}).json()
    assert media["status"] == "ready" and kind in media["kinds"], media
    for _ in range(2):
        send = arrived(stack, api, api.send({"type": kind, "media_id": media["media_id"]}))
        assert set(send["payload"][kind]) == ({"id", "filename"} if kind == "document" else {"id"})
    uploads = [one for one in stack.simulator._call("GET", "uploads?after=0")["uploads"] if one["sha256"] == media["sha256"]]
    assert len(uploads) == 1 and uploads[0]["size"] == len(body)


def test_the_file_of_an_address_is_fetched_and_sent_in_its_turn(stack, api, wamid, site):
    url = f"{site}/cake.png"
    first = api.send({"type": "image", "url": url, "caption": "Our cake"})
    second = api.send("after it")
    picture, text = arrived(stack, api, first), arrived(stack, api, second)
    assert picture["payload"]["image"]["caption"] == "Our cake" and picture["seq"] < text["seq"]


def test_an_address_that_is_none_is_refused_at_once_and_one_that_gives_nothing_fails_the_message(stack, api, wamid, site):
    refused = api("POST", "/send-message", json={"phone_number": ANA, "message": {"type": "image", "url": "file:///etc/passwd"}})
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "message.url")
    task = api.send({"type": "image", "url": f"{site}/nothing-here.png"})
    wait_for(lambda: api.task(task["task_id"])["status"] == "failed", every=0.3)


def test_a_template_carries_its_picture(stack, api, wamid):
    media = api("POST", "/media", files={"file": ("offer.png", bodies.PNG)}).json()
    offer = {"type": "template", "name": "weekly_offer", "language": "en", "variables": {"1": "bread", "2": "3.90", "button_1": "47"}}
    send = arrived(stack, api, api.send({**offer, "header": {"type": "image", "media_id": media["media_id"]}}))
    [parameter] = send["payload"]["template"]["components"][0]["parameters"]
    assert parameter["type"] == "image" and parameter["image"]["id"]


def test_what_it_speaks_of_must_be_in_the_conversation(api, wamid):
    for body in ({"message": {"type": "reaction", "message_id": "wamid.other", "emoji": "👍"}}, {"message": "x", "reply_to": "wamid.other"}):
        answer = api("POST", "/send-message", json={"phone_number": ANA, **body})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_message")


def test_somebody_who_never_wrote_gets_a_template_and_hears_nothing_else(stack, api):
    stranger = {"phone_number": "4917099999999"}
    refused = api("POST", "/send-message", json={**stranger, "message": "Hello!"})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["field"]) == (422, "window_closed", "phone_number")
    assert {"name": "order_ready", "language": "de"} in error["templates"] and {"name": "spring_sale", "language": "en"} not in error["templates"]
    task = api("POST", "/send-message", json={**stranger, "message": {"type": "template", "name": "hello_world", "language": "en_US"}}).json()
    wait_for(lambda: api.task(task["task_id"])["status"] in ("delivered", "read"), every=0.3)
    assert [send["type"] for send in stack.simulator.sends("4917099999999")] == ["template"]


@pytest.mark.parametrize(
    "template, code, field",
    [
        ({"name": "order_ready", "language": "en", "variables": {"1": "Ana"}}, "bad_variable", "message.variables.2"),
        ({"name": "order_ready", "language": "en", "variables": {"1": "Ana", "2": "x\ny"}}, "bad_variable", "message.variables.2"),
        ({"name": "order_ready", "language": "fr"}, "unknown_template", "message.name"),
        ({"name": "spring_sale", "language": "en"}, "template_unusable", "message.name"),
        ({"name": "weekly_offer", "language": "en", "variables": {"1": "a", "2": "b", "button_1": "c"}}, "invalid", "message.header"),
    ],
)
def test_what_is_wrong_with_a_template_is_told_before_anything_is_queued(api, wamid, template, code, field):
    answer = api("POST", "/send-message", json={"phone_number": ANA, "message": {"type": "template", **template}})
    error = answer.json()["error"]
    assert (error["code"], error["field"]) == (code, field) and answer.status_code in (404, 422)


def test_marketing_goes_to_nobody_who_wants_none(stack, api, wamid):
    [contact] = [one for one in api("GET", "/contacts").json()["items"] if one["phone"] == ANA]
    db = stack.database()
    with transaction(db):
        db.execute("UPDATE templates SET category = 'MARKETING' WHERE name = 'hello_world'")
    assert api("POST", f"/contacts/{contact['id']}/opt-out").json()["marketing_stopped"] is True
    hello = {"type": "template", "name": "hello_world", "language": "en_US"}
    answer = api("POST", "/send-message", json={"phone_number": ANA, "message": hello})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "opted_out")
    with transaction(db):
        db.execute("UPDATE templates SET category = 'UTILITY' WHERE name = 'hello_world'")
    db.close()
    assert arrived(stack, api, api.send(hello))["type"] == "template"
