"""The web chat as a channel: its bodies are understood or rejected whole, its send carries what it can and calls nobody."""

import json

import pytest
from hypothesis import given, settings as hypothesis_settings, strategies

from frontdesk.channels import Accepted, Content, DetailsLeft, InboundMessage, Person, Rejected, Sender, StatusChange, channel_class
from frontdesk.errors import Permanent

CHANNEL = channel_class("widget")(1.0)
SENDER, VISITOR = Sender("key", ""), Person(user_id="web:abc")


def parsed(*events, **more):
    return CHANNEL.parse(json.dumps({"key": "key", "visitor": "web:abc", "events": list(events), **more}).encode())


def test_its_events_are_those_of_every_channel():
    message, details, status = parsed(
        {"type": "message", "id": "web:abc:1", "text": "Hello"},
        {"type": "details", "id": "web:abc:2", "email": "ana@example.com", "phone": ""},
        {"type": "status", "id": "web.1.1", "status": "read"},
    )
    assert isinstance(message, InboundMessage) and (message.text, message.person, message.answerable) == ("Hello", VISITOR, True)
    assert isinstance(details, DetailsLeft) and (details.email, details.phone, details.name) == ("ana@example.com", None, None)
    assert isinstance(status, StatusChange) and (status.status, status.external_id, status.callback_data) == ("read", "web.1.1", None)


@pytest.mark.parametrize(
    "event",
    [7, None, {}, {"type": "message"}, {"type": "message", "id": 1, "text": "x"}, {"type": "status", "id": "x", "status": "failed"}, {"type": "x", "id": "1"}],
)
def test_one_event_that_is_none_does_not_stop_its_neighbours(event):
    first, second = parsed(event, {"type": "message", "id": "web:abc:1", "text": "Hello"})
    assert isinstance(first, Rejected) and isinstance(second, InboundMessage)


_json = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.sampled_from(["type", "id", "text", "status", "email"]), inner),
)


@hypothesis_settings(max_examples=200, deadline=None)
@given(strategies.binary() | _json.map(lambda value: json.dumps({"key": "k", "visitor": "v", "events": value}).encode()))
def test_no_body_makes_it_raise(body):
    assert isinstance(CHANNEL.parse(body), list)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_what_is_kept_of_a_body_can_be_written_as_json(number):
    [event] = CHANNEL.parse(b'{"key": "k", "visitor": "v", "events": [{"type": "message", "id": %s}]}' % number.encode())
    assert json.dumps(event.raw, allow_nan=False)


@pytest.mark.parametrize("kind", ["text", "image", "document", "audio", "video", "sticker"])
def test_what_it_carries_is_accepted_under_an_id_of_the_message(kind):
    content = Content(kind, "Hello", None if kind == "text" else {"caption": "Hello"})
    assert CHANNEL.refusal(content) is None
    assert CHANNEL.send(SENDER, VISITOR, content, callback_data="abc.1") == Accepted("web.abc.1")


@pytest.mark.parametrize("kind", ["template", "interactive", "location", "contacts", "reaction"])
def test_what_it_cannot_show_is_refused_in_words(kind):
    content = Content(kind, "Hello", {})
    assert "texts, pictures and files" in CHANNEL.refusal(content)
    with pytest.raises(Permanent):
        CHANNEL.send(SENDER, VISITOR, content, callback_data="abc.1")


def test_a_file_is_shown_from_where_it_lies(tmp_path):
    path = tmp_path / "cake.png"
    path.write_bytes(b"x")
    assert CHANNEL.upload_media(SENDER, path, "image/png", "cake.png") == "here"
    with pytest.raises(FileNotFoundError):
        CHANNEL.upload_media(SENDER, tmp_path / "none", "image/png", "none")
