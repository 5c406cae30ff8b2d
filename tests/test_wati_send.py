"""Sending through WATI, against real servers on loopback: what was sent, and what each end of a call becomes."""

import logging
import socket
import traceback
from urllib.parse import parse_qs, urlsplit

import pytest

from frontdesk.channels import Accepted, Content, Person, ProviderError, Sender
from frontdesk.channels.wati import WatiChannel
from frontdesk.errors import NumberStopped, Permanent, SendError, Temporary, Throttled, Unknown, WindowClosed
from frontdesk.flows.mends import cause_of
from frontdesk.flows.media import upload_is_lost
from frontdesk.flows.splitting import split_to_fit
from tests.standins.raw_http import RawServer, answer, cut, reset

TOKEN = "wati-token-0123456789"
TEXT = "Ihre PIN ist 4711, Frau Müller & Söhne? 👍"
PHONE = Person(phone="4915112345678", user_id="DE.1234")
TAKEN = answer(200, {"ok": True, "result": "success", "message": {"whatsappMessageId": "wamid.1", "localMessageId": "m.1", "id": "w1"}})


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def send(server, *, to=PHONE, text=TEXT, account="384776", token=TOKEN, timeout_seconds=2.0, content=None, **more):
    url = server if isinstance(server, str) else server.url
    sender = Sender(account, token, base_url=f"{url}/384776")
    return WatiChannel(timeout_seconds).send(sender, to, content or Content("text", text), callback_data="m.1", **more)


def refused(turn, **more) -> SendError:
    """What one call ends in that the server answers with `turn`; also: it was made once."""
    with RawServer(turn) as server:
        with pytest.raises(SendError) as caught:
            send(server, **more)
        assert len(server.requests) == 1
    return caught.value


def asked_of(server):
    method, target, _ = server.requests[0].line.split(" ")
    return method, urlsplit(target).path, {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}


def test_a_text_goes_out_as_wati_wants_it():
    with RawServer(TAKEN) as server:
        assert send(server, reply_to_external_id="wamid.0") == Accepted("wamid.1")
    asked = {"messageText": TEXT, "localMessageId": "m.1", "replyContextId": "wamid.0"}
    assert asked_of(server) == ("POST", "/384776/api/v1/sendSessionMessage/4915112345678", asked)
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_a_user_id_serves_where_there_is_no_phone_number_and_nobody_is_refused():
    with RawServer(TAKEN) as server:
        send(server, to=Person(user_id="DE.1234"))
        assert asked_of(server)[1].endswith("/DE.1234")
        with pytest.raises(Permanent):
            send(server, to=Person(name="Zoë"))
    assert len(server.requests) == 1


def test_one_of_several_numbers_of_an_account_is_named():
    with RawServer(TAKEN) as server:
        send(server, account="384776/4930901820")
    assert asked_of(server)[2]["channelPhoneNumber"] == "4930901820"


def test_half_a_surrogate_pair_does_not_stop_a_message():
    with RawServer(TAKEN) as server:
        send(server, text="a\ud800b שלום")
    assert asked_of(server)[2]["messageText"] == "a?b שלום"


@pytest.mark.parametrize("token", ["", "with space", "a\r\nX-Evil: 1", "ü"])
def test_a_token_that_cannot_be_one_stops_the_number_without_a_call(token):
    with RawServer(TAKEN) as server, pytest.raises(NumberStopped):
        send(server, token=token)
    assert server.requests == []


@pytest.mark.parametrize("result", [True, "success", "true"])
def test_the_result_is_the_promise_and_an_id_is_always_there(result):
    with RawServer(answer(200, {"result": result})) as server:
        assert send(server) == Accepted("m.1")
    with RawServer(answer(200, {"result": result, "message": {"id": "w1"}})) as server:
        assert send(server) == Accepted("w1")


# --- refusals ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turn", "kind"),
    [
        (answer(200, {"result": False, "info": "Ticket has been expired."}), WindowClosed),
        (answer(200, {"result": False, "ticketStatus": "Not an active ticket"}), WindowClosed),
        (answer(400, {"result": False, "message": "(#131047) Re-engagement message"}), WindowClosed),
        (answer(200, {"result": False, "info": "Invalid phone number"}), Permanent),
        (answer(200, {"result": "error", "info": "?"}), Permanent),
        (answer(200, {"ok": False}), Permanent),
        (answer(400, b"no"), Permanent),
        (answer(400, {"result": False, "errors": [{"code": 131056, "message": "pair rate"}]}), Throttled),
        (answer(200, {"result": False, "message": "Too many requests"}), Throttled),
        (answer(429, b""), Throttled),
        (answer(401, b""), NumberStopped),
        (answer(402, b""), NumberStopped),
        (answer(403, {"message": "missing scope"}), NumberStopped),
        (answer(404, b"<html>"), NumberStopped),
        (answer(405, b""), NumberStopped),
        (answer(500, {"result": False, "info": "?"}), Unknown),
        (answer(502, b"<html>"), Unknown),
        (answer(200, b"<html>"), Unknown),
        (answer(200, {}), Unknown),
        (answer(200, {"message": "fine"}), Unknown),
        (answer(200, {"result": 1}), Permanent),
        (answer(302, b"", {"Location": "http://127.0.0.1:9/"}), Temporary),
        (cut, Unknown),
        (reset, Unknown),
    ],
)
def test_each_end_of_a_call_is_one_of_our_errors(turn, kind):
    assert type(refused(turn)) is kind


def test_refusals_carry_what_their_catcher_decides_with():
    throttled = refused(answer(429, {"message": "slow down"}, {"Retry-After": "7"}))
    assert (throttled.scope, throttled.delay_seconds, throttled.title) == ("number", 7.0, "slow down")
    assert refused(answer(429, b"", {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})).delay_seconds is None
    assert refused(answer(400, {"errors": [{"code": 131056}]})).scope == "pair"
    assert refused(answer(401, b"")).code == 401
    assert cause_of(refused(answer(200, {"result": False, "info": "Ticket has been expired."})).code).name == "window"
    assert cause_of(refused(answer(200, {"result": False, "info": "Invalid phone number"})).code).name == "other"


def test_silence_is_unknown_and_nobody_there_is_temporary():
    with RawServer(None) as server:
        server.turns = [server.silence]
        with pytest.raises(Unknown):
            send(server, timeout_seconds=0.3)
    with pytest.raises(Temporary):
        send("http://127.0.0.1:9")


def test_no_secret_and_no_words_of_the_message_stand_in_an_error(caplog):
    caplog.set_level(logging.INFO)
    said = {"result": False, "info": f"cannot send {TEXT!r} with {TOKEN}", "message": TEXT}
    error = refused(answer(200, said))
    everything = "".join(traceback.format_exception(error)) + caplog.text + error.title + error.details
    assert TOKEN not in everything and "4711" not in everything


def test_a_failed_event_is_judged_as_metas_failed_status():
    channel = WatiChannel()
    assert type(channel.error_from_status((ProviderError(131026, "t"),))) is Permanent
    assert type(channel.error_from_status((ProviderError(131047, "t"),))) is WindowClosed
    assert type(channel.error_from_status((ProviderError(None, "Ticket has been expired"),))) is WindowClosed
    assert type(channel.error_from_status(())) is Permanent


# --- what it cannot carry ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["template", "interactive", "location", "contacts", "reaction", "sticker"])
def test_other_kinds_than_texts_and_files_are_refused_without_a_call(kind):
    with RawServer(TAKEN) as server, pytest.raises(Permanent, match=f"no {kind} can go through it"):
        send(server, content=Content(kind, "[something]", {}))
    assert server.requests == []


@pytest.mark.parametrize("text", ["x" * 4097, "😀" * 2049, "نص " * 1000, "   "])
def test_a_text_that_is_too_long_or_empty_is_refused_without_a_call(text):
    with RawServer(TAKEN) as server, pytest.raises(Permanent):
        send(server, text=text)
    assert server.requests == []


@pytest.mark.parametrize("text", ["Brot und Butter. " * 500, "مرحبا بكم في المخبز. " * 300, "😀" * 4000, "こんにちは。" * 900])
def test_a_long_answer_is_cut_into_what_fits_an_address(text):
    with RawServer(TAKEN) as server:
        parts = split_to_fit(text, WatiChannel().fits)
        for part in parts:
            send(server, text=part, reply_to_external_id="wamid." + "x" * 60, account="384776/4930901820")
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert max(len(request.line) for request in server.requests) < 8000


def test_typing_is_shown_by_nobody():
    assert WatiChannel().show_typing(Sender("384776", TOKEN, base_url="http://127.0.0.1:9"), "wamid.0") is None


# --- files ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def file_id(tmp_path):
    path = tmp_path / "4f2a"
    path.write_bytes(b"%PDF-1.4 " + b"x" * 100_000)
    return WatiChannel().upload_media(Sender("1", TOKEN), path, "application/pdf", "Rechnung 1047.pdf")


INVOICE = Content("document", "[document: Rechnung 1047.pdf]", {"filename": "Rechnung 1047.pdf"})


def test_a_file_goes_with_its_message_in_one_call(file_id):
    with RawServer(TAKEN) as server:
        assert send(server, content=INVOICE, file_id=file_id) == Accepted("wamid.1")
    [request] = server.requests
    asked = {"caption": "Rechnung 1047.pdf", "localMessageId": "m.1"}
    assert asked_of(server) == ("POST", "/384776/api/v1/sendSessionFile/4915112345678", asked)
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="file"; filename="Rechnung 1047.pdf"' in request.body and b"Content-Type: application/pdf" in request.body
    assert b"%PDF-1.4 " + b"x" * 100_000 in request.body


def test_a_caption_is_what_the_sender_wrote_and_a_picture_needs_none(file_id):
    for body, caption in (({"caption": "Your cake"}, "Your cake"), ({}, None)):
        with RawServer(TAKEN) as server:
            send(server, content=Content("image", "[image]", body), file_id=file_id)
        assert asked_of(server)[2].get("caption") == caption


def test_a_lost_answer_to_a_file_is_unknown_and_a_file_half_handed_over_is_not(file_id, tmp_path):
    assert type(refused(cut, content=INVOICE, file_id=file_id)) is Unknown
    large = tmp_path / "large"
    large.write_bytes(b"x" * 50_000_000)
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes the connection and reads nothing
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(Temporary, match="could not be handed over"):
            send(url, content=INVOICE, file_id=WatiChannel().upload_media(Sender("1", TOKEN), large, "video/mp4", "x"), timeout_seconds=0.5)


@pytest.mark.parametrize("name", ['["/nowhere", "image/png", "x"]', "", "{", "[1]"])
def test_a_file_that_is_not_where_it_was_is_looked_for_again(name):
    with RawServer(TAKEN) as server, pytest.raises(Temporary) as caught:
        send(server, content=INVOICE, file_id=name)
    assert upload_is_lost(caught.value) and server.requests == []
    with pytest.raises(FileNotFoundError):
        WatiChannel().upload_media(Sender("1", TOKEN), "/nowhere", "image/png", "x")
