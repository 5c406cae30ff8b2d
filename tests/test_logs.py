"""What the processes print: one id from the webhook to the send, JSON in production, no secrets."""

import io
import json
import logging
import subprocess
import sys

import pytest

from frontdesk import logs
from frontdesk.errors import FrontdeskError
from tests import webhooks
from tests.stack import Stack
from tests.test_inbound import receive, rows
from tests.test_settings import load  # noqa: F401 - a fixture


def printed(formatter: logging.Formatter, message: str, *args, exc_info=None) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.emit(logging.LogRecord("frontdesk.flows.sending", logging.WARNING, __file__, 1, message, args, exc_info))
    return stream.getvalue().strip()


def test_in_production_a_line_is_one_json_object_with_the_trace():
    with logs.about("1790000000000-0"):
        line = json.loads(printed(logs.JsonFormatter("high"), "message %s failed\nin two lines", 7))
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "warning", "process": "high", "logger": "frontdesk.flows.sending", "message": "message 7 failed\nin two lines", "trace": "1790000000000-0"
    }  # fmt: skip


def test_in_development_a_line_is_for_people():
    with logs.about("1-0"):
        assert printed(logs.TextFormatter("high"), "message %s failed", 7) == "WARNING: message 7 failed  [1-0]"
    with logs.about(None):
        assert printed(logs.TextFormatter("high"), "Hello") == "WARNING: Hello"


def test_an_exception_is_a_field_of_its_line():
    try:
        raise ValueError("no such thing")
    except ValueError:
        line = json.loads(printed(logs.JsonFormatter("web"), "it failed", exc_info=sys.exc_info()))
    assert "ValueError: no such thing" in line["exception"] and "Traceback" in line["exception"]


@pytest.mark.parametrize(
    "text",
    ["Authorization: Bearer abc.def", "refused EAAJZCxyz0123456789abcdefXYZ", "https://x/?access_token=abc&y=1", "POST /webhooks/wati?passkey=topsecret", "fd_AbCdEf0123456789abcdef"],
)
def test_what_looks_like_a_secret_is_struck_out(text):
    said = logs.without_secrets(text)
    assert "[…]" in said
    assert not any(secret in said for secret in ("abc", "EAAJ", "topsecret", "AbCdEf"))


def test_words_about_tokens_stay():
    assert logs.without_secrets("the token is refused: 190") == "the token is refused: 190"


@pytest.mark.parametrize(("env", "form", "wanted"), [("production", "auto", "Json"), ("development", "auto", "Text"), ("development", "json", "Json"), ("production", "text", "Text")])
def test_the_form_follows_the_environment_unless_it_is_set(load, env, form, wanted):  # noqa: F811
    settings = load(FRONTDESK_ENV=env, LOG_FORMAT=form, WHATSAPP_APP_SECRETS="s" * 32, WHATSAPP_VERIFY_TOKEN="v" * 32)
    assert f"{wanted}Formatter" in logs.configuration(settings, "web")["formatters"]["ours"]["()"]


def test_a_message_and_its_answer_carry_the_webhook_s_id(context, db, channel):
    receive(context, webhooks.texts(webhooks.text("Hello", at=context.now())))
    [message] = rows(db, "SELECT trace FROM messages")
    assert message["trace"].endswith("-0")


def test_what_a_stop_queues_belongs_to_the_same_webhook(context, db):
    receive(context, webhooks.texts(webhooks.text("Stop", at=context.now())))
    assert len({row["trace"] for row in rows(db, "SELECT trace FROM messages")}) == 1


def test_sentry_without_its_library_is_said_with_the_mend(load, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    with pytest.raises(FrontdeskError, match="requirements-sentry.txt"):
        logs.configure(load(SENTRY_DSN="https://key@localhost/1"), "web")


def test_what_sentry_gets_holds_no_request_and_no_secret():
    event = {"request": {"data": "Hello"}, "user": {"ip": "1.2.3.4"}, "message": "refused: Bearer abcdef", "lines": ['f(token=\\"x\\")', 7]}
    with logs.about("5-0"):
        assert logs._for_sentry(event, {}) == {"message": "refused: Bearer […]", "lines": ['f(token=[…]"x\\")', 7], "tags": {"trace": "5-0"}}


OURS = ("web", "high", "default", "bulk", "scheduler")


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("logs"), LOG_FORMAT="json") as stack:
        yield stack


def test_one_id_leads_through_the_logs_of_all_processes_and_no_text_does(stack):
    stack.simulator.customer_writes("4915112345678", "A very private question")
    stack.simulator.wait_for_answers("4915112345678")
    [trace] = {row["trace"] for row in stack.rows("SELECT trace FROM messages")}
    lines = [json.loads(line) for name in ("high", "default") for line in stack.log(name).splitlines()]
    said = [line["message"] for line in lines if line.get("trace") == trace]
    for words in ("came in", "is answered by", ": sent"):
        assert any(words in line for line in said), words
    logs_of_all = "".join(stack.log(name) for name in OURS)
    texts = [row["text"] for row in stack.rows("SELECT text FROM messages")]
    assert len(texts) >= 2 and not [text for text in texts if text in logs_of_all]
    settings = stack.settings
    secrets = [settings.secret_key, settings.verify_token, *settings.trusted_app_secrets, settings.derived_secret("csrf")]
    assert not [secret for secret in secrets if secret and secret in logs_of_all]
    assert "4915112345678" not in logs_of_all


def test_every_line_of_every_process_is_json(stack):
    for name in OURS:
        for line in stack.log(name).splitlines():
            json.loads(line)


def test_logging_pulls_nothing_heavy_into_the_workers():
    code = "import sys, frontdesk.logs; assert 'sentry_sdk' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
