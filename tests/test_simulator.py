"""The simulator by itself, over HTTP, with a receiver of webhooks in place of Frontdesk."""

import hashlib
import hmac
import io
import json
import os
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from flask import Flask

from frontdesk.channels import Sender
from frontdesk.channels.cloud import CloudChannel
from frontdesk.errors import NumberStopped
from frontdesk.web.simulator import simulator_pages
from tests.stack import PYTHON, ROOT, Simulator, free_ports, wait_for

FILES = ROOT / "tests" / "files"
SECRET = "the simulator's app secret"
NUMBER = "100000000000001"


class Receiver:
    """Takes webhooks; answers with the statuses put into `answers`, and 200 when there are none left."""

    def __init__(self):
        self.bodies: list[tuple[bytes, str, int]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.answers.pop(0) if receiver.answers else 200
                receiver.bodies.append((body, self.headers.get("X-Hub-Signature-256", ""), status))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhooks/whatsapp"

    def values(self) -> list[dict]:
        taken = [json.loads(body) for body, _, status in self.bodies if status == 200]
        return [change["value"] for body in taken for entry in body["entry"] for change in entry["changes"]]

    def statuses(self) -> list[str]:
        return [status["status"] for value in self.values() for status in value.get("statuses", [])]


@pytest.fixture(scope="module")
def receiver():
    made = Receiver()
    yield made
    made.server.shutdown()


@pytest.fixture(scope="module")
def process(receiver):
    [port] = free_ports(1)
    environ = {
        **os.environ,
        "SIMULATOR_PORT": str(port),
        "SIMULATOR_WEBHOOK_URL": receiver.url,
        "SIMULATOR_APP_SECRET": SECRET,
    }
    process = subprocess.Popen([PYTHON, "-m", "frontdesk.simulator"], cwd=ROOT, env=environ)
    simulator = Simulator(f"http://127.0.0.1:{port}")
    wait_for(lambda: _up(simulator))
    yield simulator
    process.terminate()
    process.wait(10)


def _up(simulator) -> bool:
    try:
        simulator._call("GET", "behaviour")
        return True
    except requests.RequestException:
        return False


@pytest.fixture
def simulator(process, receiver):
    process.reset()
    receiver.answers.clear()
    wait_for(lambda: process.pending() == 0)  # what was already being posted has arrived
    receiver.bodies.clear()
    return process


def graph(simulator, body: dict, token: str = "simulator", **options) -> requests.Response:
    url = f"{simulator.url}/v25.0/{NUMBER}/messages"
    return requests.post(url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=10, **options)


def text(to: str | None = "4915112345", **more) -> dict:
    return {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "Hi"}, **more}


def test_a_customer_s_message_is_signed_over_its_exact_bytes(simulator, receiver):
    simulator.customer_writes("4915112345", "Grüße / 😀", name="Ana")
    [(body, signature, _)] = wait_for(lambda: receiver.bodies)
    assert signature == "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert b"\\u00fc" in body, "escaped, as Meta sends it"
    [value] = receiver.values()
    assert value["messages"][0]["text"]["body"] == "Grüße / 😀"
    assert value["contacts"] == [{"profile": {"name": "Ana"}, "wa_id": "4915112345"}]


def test_a_webhook_is_repeated_until_it_is_acknowledged(simulator, receiver):
    receiver.answers += [503, 500]
    simulator.customer_writes("4915112345", "Hi")
    wait_for(lambda: len(receiver.bodies) == 3)
    wait_for(lambda: simulator.pending() == 0)
    assert len({body for body, _, _ in receiver.bodies}) == 1


def test_a_customer_s_messages_arrive_in_their_order(simulator, receiver):
    for n in range(20):
        simulator.customer_writes("4915112345", str(n))
    wait_for(lambda: len(receiver.values()) == 20)
    assert [value["messages"][0]["text"]["body"] for value in receiver.values()] == [str(n) for n in range(20)]


def test_a_person_with_a_user_id_alone_has_neither_wa_id_nor_from(simulator, receiver):
    simulator.customer_writes(None, "Hi", user_id="DE.abc")
    [value] = wait_for(receiver.values)
    assert "from" not in value["messages"][0] and value["messages"][0]["from_user_id"] == "DE.abc"
    assert "wa_id" not in value["contacts"][0]
    assert graph(simulator, {**text(None), "recipient": "DE.abc"}).json()["contacts"][0]["user_id"] == "DE.abc"


def test_an_accepted_message_is_recorded_and_its_statuses_bring_our_data_back(simulator, receiver):
    simulator.customer_writes("4915112345", "Hi")
    answer = graph(simulator, text(biz_opaque_callback_data="mine")).json()
    [send] = simulator.sends("4915112345")
    assert send["wamid"] == answer["messages"][0]["id"]
    wait_for(lambda: receiver.statuses() == ["sent", "delivered", "read"])
    [status] = [s for value in receiver.values() for s in value.get("statuses", []) if s["status"] == "sent"]
    assert (status["biz_opaque_callback_data"], status["id"]) == ("mine", send["wamid"])


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        ({"order": "reversed"}, ["read", "delivered", "sent"]),
        ({"repeat": 2, "skip": ["delivered"]}, ["sent", "sent", "read", "read"]),
        ({"off": True}, []),
    ],
)
def test_statuses_come_as_asked(simulator, receiver, rules, names):
    simulator.behave(statuses={"delay_ms": 10, **rules})
    simulator.customer_writes("4915112345", "Hi")
    graph(simulator, text())
    wait_for(lambda: len(receiver.statuses()) >= len(names))
    time.sleep(0.1)
    assert receiver.statuses() == names


def test_a_lost_answer_is_accepted_and_the_client_sees_a_cut(simulator):
    simulator.behave(lose_answers=1)
    simulator.customer_writes("4915112345", "Hi")
    with pytest.raises(requests.ConnectionError):
        graph(simulator, text())
    [send] = simulator.sends("4915112345")
    assert send["answer_lost"] is True
    assert graph(simulator, text()).status_code == 200


@pytest.mark.parametrize("code", [0, 1, 4, 100, 190, 368, 130429, 131000, 131026, 131049, 131056, 132015])
def test_every_error_can_be_asked_for_and_has_meta_s_shape(simulator, code):
    simulator.behave(next_errors=[{"code": code}])
    simulator.customer_writes("4915112345", "Hi")
    answer = graph(simulator, text())
    assert answer.status_code >= 400
    assert answer.json()["error"]["code"] == code and answer.json()["error"]["error_data"]["messaging_product"] == "whatsapp"
    assert simulator.sends() == []
    assert graph(simulator, text()).status_code == 200, "and is used up"


def test_an_error_may_be_meant_for_one_person_alone(simulator):
    simulator.behave(next_errors=[{"code": 131026, "to": "491511", "times": 2}])
    simulator.customer_writes("491511", "Hi")
    simulator.customer_writes("491522", "Hi")
    assert graph(simulator, text("491522")).status_code == 200
    assert [graph(simulator, text("491511")).status_code for _ in range(3)] == [400, 400, 200]


def test_a_message_can_be_accepted_and_fail_later(simulator, receiver):
    simulator.behave(fail_statuses=[{"code": 131049}], statuses={"delay_ms": 10})
    simulator.customer_writes("4915112345", "Hi")
    graph(simulator, text())
    wait_for(lambda: receiver.statuses() == ["sent", "failed"])
    [failed] = [s for value in receiver.values() for s in value.get("statuses", []) if s["status"] == "failed"]
    assert failed["errors"][0]["code"] == 131049


def test_outside_the_window_only_a_template_goes_out(simulator):
    assert graph(simulator, text("4999")).json()["error"]["code"] == 131047
    template = {"name": "hello_world", "language": {"code": "en_US"}}
    assert graph(simulator, {**text("4999"), "type": "template", "template": template}).status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"to": "1"}, 100),
        (text(""), 100),
        ({**text(), "text": {"body": ""}}, 131008),
        ({**text(), "text": {"body": "x" * 4097}}, 100),
        ({**text(), "type": "image", "image": {}}, 131008),
        ({**text(), "type": "nonsense"}, 131009),
        (text(biz_opaque_callback_data="x" * 513), 100),
    ],
)
def test_what_meta_would_refuse_is_refused(simulator, body, code):
    simulator.customer_writes("4915112345", "Hi")
    assert graph(simulator, body).json()["error"]["code"] == code


def test_a_wrong_or_expired_token_is_refused(simulator):
    assert graph(simulator, text(), token="other").json()["error"]["code"] == 190
    simulator.behave(token_expired=True)
    answer = graph(simulator, text())
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, 190)


def test_the_limits_of_a_number_and_of_a_pair_are_held_when_asked(simulator):
    simulator.behave(limits=True, messages_per_second=500, statuses={"off": True})
    simulator.customer_writes("4915112345", "Hi")
    codes = [graph(simulator, text()).json().get("error", {}).get("code") for _ in range(46)]
    assert codes == [None] * 45 + [131056]
    simulator.behave(messages_per_second=1)
    simulator.customer_writes("491522", "Hi")
    assert 130429 in [graph(simulator, text("491522")).json().get("error", {}).get("code") for _ in range(3)]


def test_reading_and_typing_are_recorded(simulator):
    sent = simulator.customer_writes("4915112345", "Hi")
    read = {"messaging_product": "whatsapp", "status": "read", "message_id": sent["id"], "typing_indicator": {"type": "text"}}
    assert graph(simulator, read).json() == {"success": True}
    assert simulator._call("GET", "state?key=4915112345")["typing"] is True
    assert [call["kind"] for call in simulator.calls()] == ["typing"]
    assert graph(simulator, {**read, "message_id": "wamid.nobody"}).status_code == 400


def test_a_picture_goes_up_and_comes_down_with_the_token_only(simulator):
    headers = {"Authorization": "Bearer simulator"}
    files = {"file": ("a.png", b"\x89PNG data", "image/png")}
    made = requests.post(f"{simulator.url}/v25.0/{NUMBER}/media", headers=headers, files=files, data={"messaging_product": "whatsapp"}, timeout=5)
    facts = requests.get(f"{simulator.url}/v25.0/{made.json()['id']}", headers=headers, timeout=5).json()
    assert requests.get(facts["url"], headers=headers, timeout=5).content == b"\x89PNG data"
    assert requests.get(facts["url"], timeout=5).status_code == 401


def upload(simulator, name: str, data: bytes, mime_type: str, **form) -> requests.Response:
    return requests.post(
        f"{simulator.url}/v25.0/{NUMBER}/media",
        headers={"Authorization": "Bearer simulator"},
        files={"file": (name, data, mime_type)},
        data={"messaging_product": "whatsapp", **form},
        timeout=10,
    )


def test_an_upload_is_recorded_with_what_tests_compare(simulator):
    media_id = upload(simulator, "menu.pdf", b"%PDF-1.7", "application/pdf", type="application/pdf").json()["id"]
    [line] = simulator._call("GET", "uploads?after=0")["uploads"]
    assert (line["media_id"], line["filename"], line["mime_type"], line["size"]) == (media_id, "menu.pdf", "application/pdf", 8)
    assert line["sha256"] == hashlib.sha256(b"%PDF-1.7").hexdigest()


def test_what_the_channel_uploads_arrives_byte_for_byte(simulator, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    path = tmp_path / "kept"
    path.write_bytes(os.urandom(3 * 1024 * 1024 + 7))
    sender = Sender(NUMBER, "simulator", base_url=simulator.url)
    media_id = CloudChannel(5.0).upload_media(sender, path, "application/pdf", 'Menü "Frühling".pdf')
    [line] = simulator._call("GET", "uploads?after=0")["uploads"]
    assert (line["media_id"], line["size"], line["filename"]) == (media_id, path.stat().st_size, 'Menü "Frühling".pdf')
    assert line["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(NumberStopped):
        CloudChannel(5.0).upload_media(Sender(NUMBER, "wrong", base_url=simulator.url), path, "application/pdf", "x")


@pytest.mark.parametrize(
    ("data", "mime_type", "form", "code"),
    [
        (b"PK", "application/zip", {}, 100),
        (b"x", "image/png", {"type": "image/jpeg"}, 100),
        (b"", "image/png", {}, 131053),
        (b"x" * (500 * 1024 + 1), "image/webp", {}, 131053),
    ],
)
def test_an_upload_of_a_wrong_type_or_size_is_refused(simulator, data, mime_type, form, code):
    assert upload(simulator, "x", data, mime_type, **form).json()["error"]["code"] == code
    assert simulator._call("GET", "uploads?after=0")["uploads"] == []


def test_an_error_meant_for_uploads_is_theirs_and_one_for_messages_is_not(simulator):
    simulator.customer_writes("4915112345", "Hi")
    simulator.behave(next_errors=[{"code": 131026}, {"code": 131053, "to": "media"}])
    assert upload(simulator, "x.png", b"x", "image/png").json()["error"]["code"] == 131053
    assert upload(simulator, "x.png", b"x", "image/png").status_code == 200
    assert graph(simulator, text()).json()["error"]["code"] == 131026


def test_a_file_too_large_for_its_kind_of_message_is_refused(simulator):
    simulator.customer_writes("4915112345", "Hi")
    media_id = upload(simulator, "x.png", b"x" * (5 * 1024 * 1024 + 1), "image/png").json()["id"]
    body = {"messaging_product": "whatsapp", "to": "4915112345", "type": "image", "image": {"id": media_id}}
    assert graph(simulator, body).json()["error"]["code"] == 131053
    assert "messages" in graph(simulator, {**body, "type": "document", "document": {"id": media_id}}).json()


def test_a_customer_s_picture_is_a_webhook_with_a_media_id(simulator, receiver):
    client = proxied(simulator.url)
    form = {"file": (io.BytesIO(b"\x89PNG picture"), "cake.png"), "from": "4915112345", "caption": "this one"}
    assert client.post("/simulator/api/files", data=form).status_code == 200
    [value] = wait_for(receiver.values)
    image = value["messages"][0]["image"]
    assert (value["messages"][0]["type"], image["caption"]) == ("image", "this one")
    shown = client.get(f"/simulator/api/files/{image['id']}")
    assert (shown.data, shown.mimetype) == (b"\x89PNG picture", "image/png")


@pytest.mark.parametrize(
    ("name", "type", "kind", "content"),
    [
        ("voice.ogg", "voice", "audio", {"mime_type": "audio/ogg", "voice": True}),
        ("voice.ogg", "", "audio", {"mime_type": "audio/ogg", "voice": False}),
        ("clip.mp4", "", "video", {"mime_type": "video/mp4", "caption": "look"}),
        ("sticker.webp", "", "sticker", {"mime_type": "image/webp"}),
        ("picture.jpg", "document", "document", {"mime_type": "image/jpeg", "caption": "look", "filename": "picture.jpg"}),
    ],
)
def test_each_kind_of_file_comes_as_meta_describes_it(simulator, receiver, name, type, kind, content):
    simulator.customer_sends("4915112345", FILES / name, type, "look")
    [value] = wait_for(receiver.values)
    message = value["messages"][0]
    found = dict(message[message["type"]])
    assert (message["type"], found.pop("id").isdigit(), len(found.pop("sha256")), found) == (kind, True, 64, content)


def fetched(simulator, path: str, token: str = "simulator") -> requests.Response:
    url = path if path.startswith("http") else f"{simulator.url}{path}"
    return requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=10)


def test_a_file_is_had_by_its_address_with_the_token_until_that_is_over(simulator, receiver):
    simulator.customer_sends("4915112345", FILES / "voice.ogg", "voice")
    [value] = wait_for(receiver.values)
    media_id = value["messages"][0]["audio"]["id"]
    address = fetched(simulator, f"/v25.0/{media_id}").json()["url"]
    assert fetched(simulator, address).content == (FILES / "voice.ogg").read_bytes()
    assert fetched(simulator, address, "another").status_code == 401
    simulator.behave(expired_addresses=1)
    over, fresh = (fetched(simulator, f"/v25.0/{media_id}").json()["url"] and fetched(simulator, address).status_code for _ in range(2))
    assert (over, fresh) == (404, 200)
    calls = [(call["kind"], call["code"]) for call in simulator.calls()]
    assert calls == [("address", None), ("download", None), ("address", None), ("download", 404), ("address", None), ("download", None)]


def test_a_file_larger_than_its_kind_may_be_is_refused_as_the_phone_would(simulator, tmp_path):
    path = tmp_path / "large.webp"
    path.write_bytes(b"w" * (500 * 1024 + 1))
    with pytest.raises(requests.HTTPError, match="400"):
        simulator.customer_sends("4915112345", path, "sticker")


def test_a_tapped_button_comes_as_its_reply(simulator, receiver):
    reply = {"type": "button_reply", "button_reply": {"id": "yes", "title": "Yes, please"}}
    simulator._call("POST", "messages", json={"from": "4915112345", "type": "interactive", "interactive": reply})
    [value] = wait_for(receiver.values)
    assert value["messages"][0]["interactive"] == reply


def test_a_webhook_can_be_posted_many_times_at_once_and_wrongly_signed(simulator, receiver):
    assert simulator.posts(b"{}", times=5, concurrency=5)["statuses"] == [200] * 5
    simulator.posts(b"{}", signature="wrong")
    simulator.posts(b"{}", signature="absent")
    assert [signature for _, signature, _ in receiver.bodies[-2:]] == ["sha256=" + "0" * 64, ""]


def test_bad_input_is_named(simulator):
    for method, path, body in [("PUT", "behaviour", {"nonsense": 1}), ("POST", "messages", {"type": "text", "text": "x"})]:
        answer = requests.request(method, f"{simulator.url}/simulator/api/{path}", json=body, timeout=5)
        assert answer.status_code == 400 and answer.json()["error"]["message"]


def test_the_page_holds_no_inline_script_and_forbids_it(simulator):
    page = requests.get(f"{simulator.url}/simulator", timeout=5)
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert "<script>" not in page.text and "style=" not in page.text and "onclick" not in page.text


# --- under Frontdesk's own address ------------------------------------------------------------------------------------------


def proxied(url: str, **options):
    app = Flask(__name__)
    app.register_blueprint(simulator_pages(url, **options))
    return app.test_client()


def test_the_page_and_its_api_are_reached_through_frontdesk(simulator):
    client = proxied(simulator.url, notice=lambda: "no model")
    page = client.get("/simulator")
    assert page.status_code == 200 and "default-src" in page.headers["Content-Security-Policy"]
    assert client.get("/simulator/static/phone.css").status_code == 200
    assert client.get("/simulator/notice").json == {"notice": "no model"}
    assert client.put("/simulator/api/behaviour", json={"lose_answers": 3}).json["lose_answers"] == 3
    assert client.get("/simulator/api/sends?after=0").json == {"sends": []}


def test_a_simulator_that_is_down_is_said_so():
    answer = proxied("http://127.0.0.1:9").get("/simulator")
    assert answer.status_code == 503 and "not running" in answer.text
