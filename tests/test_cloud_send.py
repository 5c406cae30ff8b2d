"""Sending through the Cloud API, against a real server on loopback: what was sent, and what each end of a call becomes."""

import logging
import socket
import traceback

import pytest

from frontdesk.channels import Accepted, Content, Person, ProviderError, Sender
from frontdesk.channels.cloud import CloudChannel
from frontdesk.channels.cloud_errors import TABLE
from frontdesk.errors import NumberStopped, Permanent, SendError, Temporary, Throttled, Unknown, WindowClosed
from tests.standins.raw_http import RawServer, answer, cut, reset

TOKEN = "EAAGm0PX4ZCpsBAtestTESTtest0123456789"
TEXT = "Ihre PIN ist 4711, Frau Müller"
PHONE = Person(phone="4915112345678", user_id="DE.1234")
USER_ID = Person(user_id="DE.1234")
TAKEN = answer(
    200,
    {
        "messaging_product": "whatsapp",
        "contacts": [{"input": "4915112345678", "wa_id": "4915112345678", "user_id": "DE.1234"}],
        "messages": [{"id": "wamid.1"}],
    },
)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def send(server, *, to=PHONE, text=TEXT, timeout_seconds=2.0, channel=None, token=TOKEN, **more):
    sender = Sender("106540352242922", token, base_url=server if isinstance(server, str) else server.url)
    channel = channel or CloudChannel(timeout_seconds)
    return channel.send(sender, to, Content("text", text), callback_data="message/17", **more)


def refused(turn, **more) -> SendError:
    """What one call ends in that the server answers with `turn`; also: it was made once."""
    with RawServer(turn) as server:
        with pytest.raises(SendError) as caught:
            send(server, **more)
        assert len(server.requests) == 1
    return caught.value


def meta_error(code, status=400, **more):
    return answer(status, {"error": {"message": "(#1) Words of Meta", "type": "OAuthException", "code": code, **more}})


# --- the request ----------------------------------------------------------------------------------------------------


def test_a_text_goes_out_as_meta_wants_it():
    with RawServer(TAKEN) as server:
        accepted = send(server, reply_to_external_id="wamid.0")
    assert accepted == Accepted("wamid.1", PHONE)
    request = server.requests[0]
    assert request.line == "POST /v25.0/106540352242922/messages HTTP/1.1"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["content-type"] == "application/json"
    assert request.json() == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "4915112345678",
        "type": "text",
        "text": {"body": TEXT, "preview_url": False},
        "context": {"message_id": "wamid.0"},
        "biz_opaque_callback_data": "message/17",
    }


def test_a_person_without_a_phone_number_is_reached_by_user_id():
    with RawServer(TAKEN) as server:
        send(server, to=USER_ID)
    assert server.requests[0].json()["recipient"] == "DE.1234"
    assert "to" not in server.requests[0].json()


def test_a_person_without_any_address_is_refused_without_a_call():
    with RawServer(TAKEN) as server, pytest.raises(Permanent):
        send(server, to=Person(name="Zoë"))
    assert server.requests == []


@pytest.mark.parametrize("token", ["", "EAA with space", "EAA\r\nX-Evil: 1", "EAAü"])
def test_a_token_that_cannot_be_one_stops_the_number_without_a_call(token):
    with RawServer(TAKEN) as server, pytest.raises(NumberStopped):
        send(server, token=token)
    assert server.requests == []


@pytest.mark.parametrize(("text", "preview"), [("siehe https://example.com/a", True), ("example.com https://", False)])
def test_a_link_gets_a_preview_and_nothing_else_does(text, preview):
    with RawServer(TAKEN) as server:
        send(server, text=text)
    assert server.requests[0].json()["text"]["preview_url"] is preview


def test_half_a_surrogate_pair_does_not_stop_a_message():
    with RawServer(TAKEN) as server:
        send(server, text="a\ud800b 👩‍👧 \x00 שלום")
    assert server.requests[0].json()["text"]["body"] == "a?b 👩‍👧 \x00 שלום"


def test_an_entry_in_netrc_does_not_replace_the_token(tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with RawServer(TAKEN) as server:
        send(server)
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_typing_marks_the_message_read():
    with RawServer(answer(200, {"success": True})) as server:
        sender = Sender("1065", TOKEN, base_url=server.url + "/")
        assert CloudChannel().show_typing(sender, "wamid.0") is None
    assert server.requests[0].line == "POST /v25.0/1065/messages HTTP/1.1"
    assert server.requests[0].json() == {
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": "wamid.0",
        "typing_indicator": {"type": "text"},
    }


def test_typing_that_was_refused_or_not_confirmed_raises():
    for turn, error in ((meta_error(100), Permanent), (answer(200, {"success": False}), Unknown)):
        with RawServer(turn) as server, pytest.raises(error):
            CloudChannel().show_typing(Sender("1065", TOKEN, base_url=server.url), "wamid.0")


# --- Meta's errors --------------------------------------------------------------------------------------------------

EXPECTED = {
    NumberStopped: [
        0, 190, 3, 10, 200, 207, 299, 131005, 131031, 368, 130497, 131037, 131042, 131045, 133000, 133006, 133010, 33,
    ],
    Temporary: [1, 2, 131000, 131016, 133004, 131049, 131053, 132069],
    Throttled: [4, 80007, 130429, 131056, 131057, 131048, 131064],
    WindowClosed: [131047],
    Permanent: [
        131050, 131062, 131063, 131026, 131021, 131030, 131051, 130472, 137000, 131052, 100, 131008, 131009, 135000,
        132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 132068, 300, 199, 999999,
    ],
}  # fmt: skip
EVERY_CODE = [(code, kind) for kind, codes in EXPECTED.items() for code in codes]


def test_the_list_of_expectations_holds_every_code_of_the_table():
    assert set(TABLE) - set(range(200, 300)) <= {code for code, _ in EVERY_CODE}


def test_every_code_becomes_its_error_in_an_answer_and_in_a_status():
    channel = CloudChannel()
    for code, kind in EVERY_CODE:
        error = refused(meta_error(code, error_data={"details": "in detail"}))
        assert (type(error), error.code, error.title, error.details) == (kind, code, "(#1) Words of Meta", "in detail")
        status = channel.error_from_status((ProviderError(code, "t", "d"),))
        assert (type(status), status.code, status.title, status.details) == (kind, code, "t", "d")


@pytest.mark.parametrize(
    ("code", "attributes"),
    [
        (4, {"scope": "number", "delay_seconds": 60}),
        (80007, {"scope": "number", "delay_seconds": 60}),
        (131057, {"scope": "number", "delay_seconds": 60}),
        (130429, {"scope": "number", "delay_seconds": None, "pause_broadcasts": False}),
        (131056, {"scope": "pair", "delay_seconds": None}),
        (131048, {"scope": "number", "delay_seconds": 300, "pause_broadcasts": True}),
        (131064, {"scope": "number", "delay_seconds": 300, "pause_broadcasts": True}),
        (131049, {"delay_seconds": 86400}),
        (132069, {"delay_seconds": 3600}),
        (131000, {"delay_seconds": None}),
        (131050, {"opted_out": True, "fall_back_to_phone": False}),
        (131062, {"opted_out": False, "fall_back_to_phone": True}),
        (131063, {"fall_back_to_phone": True}),
        (131026, {"opted_out": False, "fall_back_to_phone": False}),
    ],
)
def test_errors_carry_what_their_catcher_decides_with(code, attributes):
    error = CloudChannel().error_from_status((ProviderError(code, "t"),))
    assert {key: getattr(error, key) for key in attributes} == attributes


def test_a_wrong_phone_number_id_stops_the_number_and_burns_nothing():
    words = "Unsupported post request. Object with ID '106' does not exist, cannot be loaded due to missing permissions"
    error = refused(meta_error(100, error_subcode=33, message=words))
    assert (type(error), error.code, error.title) == (NumberStopped, 33, words)
    assert type(refused(meta_error(100, error_subcode=2494010))) is Permanent


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500, 503])
def test_the_code_decides_whatever_the_http_status(status):
    assert type(refused(meta_error(131047, status))) is WindowClosed
    assert type(refused(meta_error(2, status))) is Temporary


def test_metas_own_flag_decides_where_the_table_is_silent():
    assert type(refused(meta_error(777, 500, is_transient=True))) is Temporary
    assert type(refused(meta_error(777, 500, is_transient=False))) is Permanent
    assert type(refused(meta_error(131026, is_transient=True))) is Permanent


def test_a_failed_status_is_judged_by_the_first_error_that_is_known():
    channel = CloudChannel()
    assert type(channel.error_from_status((ProviderError(5, "?"), ProviderError(131047, "t")))) is WindowClosed
    assert channel.error_from_status((ProviderError(5, "odd"),)).code == 5
    assert type(channel.error_from_status(())) is Permanent


# --- answers that are not Meta's ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_proxys_page_after_the_request_leaves_its_fate_unknown(status):
    assert type(refused(answer(status, b"<html><h1>Bad Gateway</h1></html>"))) is Unknown


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"messages":[]}', b'{"messages":[{"id":7}]}', b"\xff", b"[" * 99999])
def test_a_success_without_an_id_is_unknown(body):
    assert type(refused(answer(200, body))) is Unknown


def test_an_answer_of_many_megabytes_is_not_read_to_its_end():
    assert type(refused(answer(200, b" " * 5_000_000 + b'{"messages":[{"id":"wamid.1"}]}'))) is Unknown


def test_an_accepted_message_is_accepted_without_contacts():
    with RawServer(answer(200, {"messages": [{"id": "wamid.1"}]})) as server:
        assert send(server) == Accepted("wamid.1", None)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_with_the_token(status):
    with RawServer(TAKEN) as elsewhere:
        error = refused(answer(status, headers={"Location": elsewhere.url + "/"}))
    assert type(error) is Temporary
    assert elsewhere.connections == 0


@pytest.mark.parametrize("status", [400, 403, 404, 407, 413])
def test_a_refusal_that_is_not_metas_is_temporary(status):
    assert type(refused(answer(status, b"<html>Blocked</html>"))) is Temporary


def test_a_bare_429_throttles_the_number_for_as_long_as_it_says():
    error = refused(answer(429, b"slow down", {"Retry-After": "17"}))
    assert (type(error), error.scope, error.delay_seconds) == (Throttled, "number", 17)
    assert refused(answer(429, b"", {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"})).delay_seconds is None


# --- no answer ------------------------------------------------------------------------------------------------------


def test_a_refused_connection_is_temporary():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(Temporary, match="Connection refused"):
        send(url)


@pytest.mark.parametrize("turn", [cut, reset])
def test_a_cut_after_the_request_is_unknown(turn):
    assert type(refused(turn)) is Unknown


def test_silence_after_the_request_is_unknown():
    with RawServer() as server:
        server.turns = [server.silence]
        with pytest.raises(Unknown, match="timed out"):
            send(server, timeout_seconds=0.2)


# --- secrets --------------------------------------------------------------------------------------------------------


def test_neither_token_nor_text_is_in_an_error_or_a_log(caplog):
    caplog.set_level(logging.DEBUG)
    words = f"Malformed access token {TOKEN} or EAABbbbbbbbbbbbbbbbbbbbbbbb; text['body'] was {TEXT}"
    turns = [answer(400, {"error": {"message": words, "code": 190, "error_data": {"details": words}}}), cut, reset]
    turns += [answer(502, f"{TOKEN} {TEXT}".encode()), answer(200, f'{{"x": "{TOKEN}"}}'.encode())]
    for error in [refused(turn) for turn in turns]:
        seen = str(error) + repr(error.__dict__) + "".join(traceback.format_exception(error))
        assert TOKEN not in seen and TEXT not in seen and "EAABb" not in seen
    assert TOKEN not in caplog.text and TEXT not in caplog.text


def test_metas_words_are_kept_and_bounded():
    error = refused(meta_error(131026, error_data={"details": "x" * 9000}))
    assert len(error.details) == 500
