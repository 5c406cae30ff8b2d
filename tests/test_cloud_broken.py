"""What is broken in a webhook body of the Cloud API is kept and costs its neighbours nothing; big bodies are read fast."""

import base64
import copy
import json
import time

import pytest

from frontdesk.channels import InboundMessage, Rejected, StatusChange
from frontdesk.channels.cloud_webhook import parse
from tests.cloud_bodies import NUMBER, PAYLOADS, PHONE, body, event, events, one, text_message


def test_a_broken_part_costs_its_neighbours_nothing():
    got = events("broken_neighbours")
    assert [part.text for part in got if isinstance(part, InboundMessage)] == ["eins", "zwei"]
    assert [part.status for part in got if isinstance(part, StatusChange)] == ["read"]
    rejected = {part.reason: part.raw for part in got if isinstance(part, Rejected)}
    assert rejected["entry[0]: no changes"] == "nonsense"
    assert rejected["entry[1].changes[1].messages[1]: not an object"] == 7
    assert rejected["entry[1].changes[1].messages[2]: no id"]["text"]["body"] == "ohne id/ä"
    assert rejected["entry[1].changes[1].messages[3]: names nobody"]["id"] == "wamid.x"
    assert len(rejected) == 7


def test_several_accounts_and_numbers_in_one_body_keep_their_own():
    assert [got.number_external_id for got in events("several_entries")] == [NUMBER, NUMBER, "206540352242922"]


@pytest.mark.parametrize("text", [b"", b"{", b"nul", b'{"a":NaN}', b'{"a":1e999}', b"[" * 200_000, b"1" * 5000, b"\x00"])
def test_a_body_that_is_no_json_is_kept_as_text(text):
    (got,) = parse(text)
    assert isinstance(got, Rejected) and got.raw == {"encoding": "utf-8", "body": text.decode()}


def test_a_body_that_is_no_utf8_is_kept_as_base64():
    (got,) = parse(b'{"object": "\xff\xfe"}')
    assert got.raw["encoding"] == "base64" and base64.b64decode(got.raw["body"]) == b'{"object": "\xff\xfe"}'


@pytest.mark.parametrize("value", [[], {}, None, 7, "x", {"entry": []}, {"entry": {}}, {"object": "page", "entry": [1]}])
def test_a_body_that_is_no_envelope_is_rejected_whole(value):
    (got,) = parse(json.dumps(value).encode())
    assert isinstance(got, Rejected) and got.raw == value


@pytest.mark.parametrize("stamp", [None, "", "soon", "-5", "0", 0, True, [], "9" * 5000, 1780000000000, 1e300, "1780000000.5"])
def test_a_message_with_an_absurd_time_is_kept(stamp):
    assert one({**text_message(), "timestamp": stamp}).at == 0.0


@pytest.mark.parametrize("stamp", ["1780000000", 1780000000, 1780000000.0])
def test_a_time_may_be_a_string_or_a_number(stamp):
    assert one({**text_message(), "timestamp": stamp}).at == 1780000000.0


def test_a_number_of_ours_that_is_missing_rejects_the_message():
    text = json.dumps({"entry": [{"id": 1, "changes": [{"field": "messages", "value": {"messages": [text_message()]}}]}]})
    (got,) = parse(text.encode())
    assert isinstance(got, Rejected) and got.reason.endswith("no phone_number_id")


def test_no_damage_whatever_makes_the_parser_raise_or_lose_a_neighbour():
    """Every payload with one part after another replaced by every odd value, beside a message that must come through."""
    odd = [None, True, 0, -1, 1.5, "", "x", [], [None], {}, {"x": 1}, [[]], [{}]]
    neighbour = json.loads(body(text_message("neighbour", id="wamid.neighbour")))["entry"][0]
    for file in sorted(PAYLOADS.glob("*.json")):
        envelope = json.loads(file.read_bytes())
        for position, path in enumerate(_paths(envelope["entry"])):
            damaged = copy.deepcopy(envelope)
            _replace(damaged["entry"], path, odd[position % len(odd)])
            if not isinstance(damaged["entry"], list):
                continue
            damaged["entry"].append(neighbour)
            got = parse(json.dumps(damaged).encode())
            assert [part.text for part in got if getattr(part, "external_id", "") == "wamid.neighbour"] == ["neighbour"]
            json.dumps([part.raw for part in got])


def test_only_the_words_of_a_message_can_hold_what_utf8_cannot():
    """Every string of every payload in turn with a NUL and half a surrogate pair: names, ids and kinds stay storable."""
    for file in sorted(PAYLOADS.glob("*.json")):
        envelope = json.loads(file.read_bytes())
        for path in _paths(envelope["entry"]):
            damaged = copy.deepcopy(envelope)
            if not isinstance(_at(damaged["entry"], path), str):
                continue
            _replace(damaged["entry"], path, _at(damaged["entry"], path) + "\x00\ud800")
            for part in parse(json.dumps(damaged).encode()):
                kept = {name: getattr(part, name) for name in part.__slots__ if name not in ("text", "raw", "media")}
                assert "\\x00" not in repr(kept) and "\\ud800" not in repr(kept), (file.name, path)


def test_a_thousand_updates_are_read_in_a_fraction_of_a_second():
    statuses = [{**event("status_sent").raw, "id": f"wamid.{number}"} for number in range(500)]
    messages = [{**event("image").raw, "id": f"wamid.{number}"} for number in range(500)]
    text = body(*messages, statuses=statuses, contacts=[{"wa_id": PHONE, "profile": {"name": "Z"}}])
    started = time.perf_counter()
    got = parse(text)
    assert len(got) == 1000
    assert time.perf_counter() - started < 3


def _paths(part, path=()):
    yield path
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in items:
        yield from _paths(value, (*path, key))


def _at(part, path):
    for key in path:
        part = part[key]
    return part


def _replace(part, path, value):
    if path:
        _at(part, path[:-1])[path[-1]] = value
