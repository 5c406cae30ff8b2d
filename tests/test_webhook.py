"""The webhook's two routes, health, and the one shape of an error: chatbot.py with Flask's own client and a real Redis."""

import dataclasses
import hashlib
import hmac
import json
import os
import threading

import pytest

from chatbot import create_app
from frontdesk import queues
from frontdesk.web.webhook import LARGEST_BODY_BYTES

SECRETS = ("first-app-secret", "second-app-secret")


@pytest.fixture
def app_settings(settings, redis_address):
    return dataclasses.replace(
        settings, redis_url=redis_address, whatsapp_app_secrets=SECRETS, whatsapp_verify_token="let me in"
    )


@pytest.fixture
def client(app_settings, redis):
    return create_app(app_settings).test_client()


def sign(body: bytes, secret: str = SECRETS[0]) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def post(client, body: bytes, signature: str | None):
    headers = {"X-Hub-Signature-256": signature} if signature is not None else {}
    return client.post("/webhooks/whatsapp", data=body, headers=headers, content_type="application/json")


def test_the_handshake_gives_the_challenge_back(client):
    query = {"hub.mode": "subscribe", "hub.verify_token": "let me in", "hub.challenge": "12345"}
    response = client.get("/webhooks/whatsapp", query_string=query)
    assert (response.status_code, response.text) == (200, "12345")


@pytest.mark.parametrize("change", [{"hub.verify_token": "x"}, {"hub.mode": "x"}, {"hub.verify_token": "é"}])
def test_a_wrong_handshake_is_forbidden(client, change):
    query = {"hub.mode": "subscribe", "hub.verify_token": "let me in", "hub.challenge": "1", **change}
    response = client.get("/webhooks/whatsapp", query_string=query)
    assert response.status_code == 403
    assert response.json["error"]["code"] == "wrong_verify_token"


BODIES = [
    b'{"a": "\\u00fc \\/ \\ud83d\\ude00"}',
    '{"a": "ü / 😀"}'.encode(),
    b"{}",
    b"not json at all",
    b"\xff\xfe\x00",
    b"x" * (3 * 1024 * 1024),
]


@pytest.mark.parametrize("body", BODIES, ids=["escaped", "utf-8", "empty", "not json", "not utf-8", "3 MiB"])
@pytest.mark.parametrize("secret", SECRETS)
def test_what_is_signed_is_kept_to_the_byte_and_acknowledged(client, redis, body, secret):
    assert post(client, body, sign(body, secret)).status_code == 200
    [entry] = queues.Inbox(redis).read()
    assert (entry.body, entry.channel) == (body, "cloud")


def test_the_first_of_several_webhooks_rings_and_the_others_do_not(client, redis):
    for _ in range(5):
        post(client, b"{}", sign(b"{}"))
    assert queues.Queues(redis).depth("high") == 1
    assert queues.Inbox(redis).length() == 5


def test_the_unsigned_is_refused_and_nothing_is_kept(client, redis):
    response = post(client, b"{}", None)
    assert response.status_code == 401
    assert queues.Inbox(redis).length() == 0


@pytest.mark.parametrize(
    "signature", ["sha256=" + "0" * 64, "sha1=abc", "sha256=", "garbage", "sha256=é", sign(b"{} "), sign(b"{}", "other")]
)
def test_a_wrong_signature_is_forbidden_and_nothing_is_kept(client, redis, signature):
    response = post(client, b"{}", signature)
    assert response.status_code == 403
    assert queues.Inbox(redis).length() == 0


def test_too_large_a_body_is_refused(client, redis):
    body = b"x" * (LARGEST_BODY_BYTES + 1)
    response = post(client, body, sign(body))
    assert response.status_code == 413
    assert response.json["error"]["code"] == "request_entity_too_large"
    assert queues.Inbox(redis).length() == 0


def test_with_redis_away_the_sender_is_asked_to_send_again(app_settings, tmp_path):
    client = create_app(dataclasses.replace(app_settings, redis_url=f"unix://{tmp_path}/nobody.sock")).test_client()
    response = post(client, b"{}", sign(b"{}"))
    assert (response.status_code, response.json["error"]["code"]) == (503, "try_again")
    assert client.get("/ready").status_code == 503
    assert client.get("/health").status_code == 200


def test_with_redis_full_the_sender_is_asked_to_send_again(client, redis):
    redis.config_set("maxmemory", 1)
    try:
        assert post(client, b"{}", sign(b"{}")).status_code == 503
        assert client.get("/ready").status_code == 503
    finally:
        redis.config_set("maxmemory", 0)
    assert post(client, b"{}", sign(b"{}")).status_code == 200
    assert client.get("/ready").json == {"status": "ready"}


def test_a_kept_connection_that_redis_closed_costs_nobody_a_webhook(client, redis):
    post(client, b"{}", sign(b"{}"))
    redis.client_kill_filter(_type="normal", skipme=True)
    assert post(client, b"{}", sign(b"{}")).status_code == 200
    assert queues.Inbox(redis).length() == 2


def test_a_forked_child_talks_on_a_connection_of_its_own(redis):
    inbox = queues.Inbox(redis)
    inbox.put("cloud", b"parent", 0)
    child = os.fork()
    if child == 0:
        for _ in range(200):
            inbox.put("cloud", b"child", 0)
        os._exit(0)
    for _ in range(200):
        inbox.put("cloud", b"parent", 0)
    assert os.waitpid(child, 0)[1] == 0
    assert inbox.length() == 401


def test_a_redis_that_forgot_its_scripts_is_told_again(client, redis):
    post(client, b"{}", sign(b"{}"))
    redis.script_flush()
    assert post(client, b"{}", sign(b"{}")).status_code == 200


def test_a_fault_of_ours_is_an_error_of_the_one_shape_and_nothing_is_promised(client, monkeypatch):
    monkeypatch.setattr(queues.Inbox, "put", lambda *_: 1 / 0)
    response = post(client, b"{}", sign(b"{}"))
    assert (response.status_code, response.json["error"]["code"]) == (500, "internal_error")


def test_pages_that_hang_keep_no_webhook_waiting(app_settings, redis, monkeypatch):
    app = create_app(dataclasses.replace(app_settings, web_threads=3))
    hangs, begun = threading.Event(), threading.Event()
    app.add_url_rule("/slow", "slow", view_func=lambda: (begun.set(), hangs.wait(10), "done")[2])
    app.add_url_rule("/quick", "quick", view_func=lambda: "done")
    slow = threading.Thread(target=app.test_client().get, args=("/slow",))
    slow.start()
    begun.wait(5)
    assert app.test_client().get("/quick").status_code == 503, "the one place for pages is taken"
    assert app.test_client().get("/health").status_code == 200
    assert post(app.test_client(), b"{}", sign(b"{}")).status_code == 200
    hangs.set()
    slow.join()
    assert app.test_client().get("/quick").status_code == 200


def test_the_simulator_s_secret_is_trusted_in_development_only(app_settings, redis):
    signature = sign(b"{}", app_settings.simulator_app_secret)
    assert post(create_app(app_settings).test_client(), b"{}", signature).status_code == 200
    production = dataclasses.replace(app_settings, frontdesk_env="production")
    assert post(create_app(production).test_client(), b"{}", signature).status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/webhooks/whatsapp", 405), ("POST", "/health", 405)]
)
def test_every_error_has_one_shape(client, method, path, status):
    response = client.open(path, method=method)
    assert response.status_code == status
    assert set(json.loads(response.text)["error"]) == {"code", "message"}


@pytest.mark.parametrize("path", ["/", "/health", "/nothing"])
def test_no_page_lets_a_script_of_its_own_in(client, path):
    assert client.get(path).headers["Content-Security-Policy"].startswith("default-src 'self'; base-uri 'none'")


def test_the_simulator_is_not_there_in_production(app_settings, redis):
    production = create_app(dataclasses.replace(app_settings, frontdesk_env="production")).test_client()
    assert production.get("/simulator").status_code == 404


def test_the_webhook_never_opens_the_database(client, app_settings):
    assert not app_settings.database_path.exists()
    post(client, b"{}", sign(b"{}"))
    assert not app_settings.database_path.exists()
