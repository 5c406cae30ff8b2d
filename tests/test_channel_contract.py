"""What every channel promises (docs/channels.md), tried on each with its own bodies and a real server on loopback.

A new channel joins by one entry in CHANNELS.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from frontdesk import errors
from frontdesk.channels import CONTENT_KINDS, Content, Person, ProviderError, Rejected, channel_class
from frontdesk.flows import first_run, inbound, sending, sweep
from frontdesk.flows.first_run import DEMO_WIDGET, SIMULATOR_NUMBER
from frontdesk.store import numbers, outbox
from tests import wati_numbers, webhooks
from tests.standins.raw_http import RawServer, Turn, answer, cut
from tests.test_inbound import rows

CUSTOMER = "4915112345678"


@dataclass(frozen=True)
class Contract:
    """How one channel says what all of them say.

    `number(db, settings, url)`: a number whose calls go to `url`. `address(number)`: the channel of its inbox entries.
    `text(words, id, at)`, `status(name, external_id, callback_data)`, `failed(external_id, callback_data)` and `own(words, id)` are
    webhook bodies; `own` is what the business wrote elsewhere. `taken(id)` answers a call; `refusals` are answers and what they become;
    `cannot_carry`: what it refuses without a call. Without `own` nobody else can write there, without `status` nothing is told of what
    was sent, without `taken` it calls nobody: what a channel has not is not asked of it. `window(now)`: until when a message at `now` lets
    the business write; `tells_times`: its webhooks say when something was written.
    """

    number: Callable
    address: Callable
    text: Callable
    status: Callable | None = None
    failed: Callable | None = None
    own: Callable | None = None
    taken: Callable[[str], Turn] | None = None
    refusals: tuple[tuple[Turn, type], ...] = ()
    cannot_carry: tuple[Content, ...] = ()
    window: Callable[[float], float] = lambda now: now + 24 * 3600
    tells_times: bool = True


def _cloud_number(db, settings, url):
    db.execute("UPDATE numbers SET base_url = ? WHERE id = 1", (url,))
    return numbers.find(db, "cloud", SIMULATOR_NUMBER)


def _web_chat(db, settings, url):
    first_run.prepare_widget(settings)
    return numbers.find(db, "widget", DEMO_WIDGET)


def _meta_error(code: int) -> Turn:
    return answer(400, {"error": {"message": "words", "code": code}})


def _wati_says(words: str, status: int = 200) -> Turn:
    return answer(status, {"result": False, "info": words})


def _wati(body: dict) -> bytes:
    return json.dumps(body).encode()


def _widget(event: dict) -> bytes:
    return json.dumps({"key": DEMO_WIDGET, "visitor": "web:ana", "events": [event]}).encode()


CHANNELS = {
    "cloud": Contract(
        number=_cloud_number,
        address=lambda number: "cloud",
        text=lambda words, id, at: webhooks.texts(webhooks.text(words, sender=CUSTOMER, id=id, at=at)),
        status=lambda name, external_id, callback: webhooks.statuses(webhooks.status(name, external_id, callback)),
        failed=lambda external_id, callback: webhooks.statuses(webhooks.status("failed", external_id, callback, code=131026)),
        own=lambda words, id: webhooks.echo(words, to=CUSTOMER, id=id),
        taken=lambda id: answer(200, {"messages": [{"id": id}]}),
        refusals=(
            (_meta_error(131047), errors.WindowClosed),
            (_meta_error(131026), errors.Permanent),
            (_meta_error(130429), errors.Throttled),
            (_meta_error(131000), errors.Temporary),
            (_meta_error(190), errors.NumberStopped),
            (answer(503, b"<html>"), errors.Unknown),
        ),
    ),
    "wati": Contract(
        number=lambda db, settings, url: wati_numbers.add(db, settings, endpoint=f"{url}/384776"),
        address=lambda number: f"wati/{number.id}.{number.webhook_key}",
        text=lambda words, id, at: _wati(wati_numbers.text(words, wa_id=CUSTOMER, id=id, at=at)),
        status=lambda name, external_id, callback: _wati(wati_numbers.event(_WATI_EVENTS[name], external_id, callback)),
        failed=lambda external_id, callback: _wati(
            wati_numbers.event("sessionMessageFailed", external_id, callback, failedCode="131026", failedDetail="words")
        ),
        own=lambda words, id: _wati(wati_numbers.event("sessionMessageSent_v2", id, "theirs", waId=CUSTOMER, text=words, owner=True)),
        taken=lambda id: answer(200, {"result": "success", "message": {"whatsappMessageId": id}}),
        refusals=(
            (_wati_says("Ticket has been expired."), errors.WindowClosed),
            (_wati_says("Invalid phone number"), errors.Permanent),
            (answer(429, b""), errors.Throttled),
            (answer(302, b""), errors.Temporary),
            (answer(401, b""), errors.NumberStopped),
            (answer(503, b"<html>"), errors.Unknown),
        ),
        cannot_carry=(Content("sticker", "[sticker]", {}), Content("template", "[template]", {"name": "x"}), Content("text", "x" * 4097)),
    ),
    "widget": Contract(
        number=_web_chat,
        address=lambda number: "widget",
        text=lambda words, id, at: _widget({"type": "message", "id": id, "text": words}),
        status=lambda name, external_id, callback: _widget({"type": "status", "id": external_id, "status": name}),
        cannot_carry=(Content("template", "[template]", {"name": "x"}), Content("interactive", "Which?", {})),
        window=lambda now: inbound.NEVER,
        tells_times=False,
    ),
}
_WATI_EVENTS = {"sent": "sessionMessageSent_v2", "delivered": "sentMessageDELIVERED_v2", "read": "sentMessageREAD_v2"}


@pytest.fixture(params=CHANNELS)
def kind(request, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return request.param


@pytest.fixture
def contract(kind, request):
    contract = CHANNELS[kind]
    for mark in request.node.iter_markers("wants"):
        for part in mark.args:
            if not getattr(contract, part):
                pytest.skip(f"{kind} has no {part}")
    return contract


wants = pytest.mark.wants


@pytest.fixture
def server():
    with RawServer(answer(500)) as server:
        yield server


@pytest.fixture
def number(contract, db, settings, server):
    return contract.number(db, settings, server.url)


@pytest.fixture
def real(context):
    """The context with the channels themselves."""
    return wati_numbers.at_providers(context, timeout_seconds=0.5)


@pytest.fixture
def receive(real, contract, number):
    def receive(*bodies: bytes) -> None:
        for body in bodies:
            real.inbox.put(contract.address(number), body, real.now())
        inbound.drain(real)

    return receive


@pytest.fixture
def conversation(receive, contract, real) -> int:
    """Of a customer who has just written."""
    receive(contract.text("Hello", "in.0", real.now() - 1))
    return rows(real.db, "SELECT id FROM conversations")[0]["id"]


@pytest.fixture
def queue(real, number, conversation):
    def queue(*texts: str) -> int:
        for text in texts:
            outbox.queue_text(real.db, conversation, number.id, text, purpose="answer", now=real.now())
        return sending.send_conversation(real, conversation)

    return queue


def out(real) -> list[dict]:
    return rows(real.db, "SELECT state, text, error_code, public_id || '.' || attempt AS callback FROM messages WHERE direction = 'out' ORDER BY id")


# --- what comes in ----------------------------------------------------------------------------------------------------------


def test_the_same_webhook_again_changes_nothing(receive, contract, real):
    body = contract.text("Hello", "in.1", real.now())
    receive(body, body)
    receive(body)
    assert [row["text"] for row in rows(real.db, "SELECT text FROM messages")] == ["Hello"]


@wants("tells_times")
def test_messages_stand_in_the_order_in_which_they_were_written(receive, contract, real):
    now = real.now()
    receive(contract.text("second", "in.2", now - 1), contract.text("first", "in.1", now - 2), contract.text("third", "in.3", now))
    found = rows(real.db, "SELECT text FROM messages ORDER BY provider_at, id")
    assert [row["text"] for row in found] == ["first", "second", "third"]
    assert rows(real.db, "SELECT COUNT(*) AS n FROM conversations") == [{"n": 1}]


def test_messages_of_one_moment_stand_in_the_order_in_which_they_came(receive, contract, real):
    receive(*(contract.text(f"message {n}", f"in.{n}", real.now()) for n in range(5)))
    assert [row["text"] for row in rows(real.db, "SELECT text FROM messages ORDER BY provider_at, id")] == [f"message {n}" for n in range(5)]


def test_a_customers_message_opens_the_window_and_waits_for_an_answer(receive, contract, real):
    receive(contract.text("Hello", "in.1", real.now()))
    [conversation] = rows(real.db, "SELECT state, window_closes_at, waiting_since FROM conversations")
    assert conversation == {"state": "bot", "window_closes_at": contract.window(real.now()), "waiting_since": real.now()}


@wants("own")
def test_what_the_business_wrote_elsewhere_is_never_answered_and_pauses_the_bot(receive, contract, real, conversation):
    receive(contract.own("Karl here.", "own.1"), contract.own("Karl here.", "own.1"))
    found = rows(real.db, "SELECT direction, text, state FROM messages WHERE id > 1")
    assert found == [{"direction": "out", "text": "Karl here.", "state": "sent"}]
    assert rows(real.db, "SELECT state FROM conversations") == [{"state": "human"}]


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"7", b'{"a": 1}', b"\xff\xfe", b"[" * 50_000])
def test_what_is_not_understood_is_kept_whole_and_stops_nobody(receive, contract, real, body):
    receive(body, contract.text("Hello", "in.1", real.now()))
    kept = rows(real.db, "SELECT webhook FROM rejected_events")
    assert [row["webhook"] for row in kept] == [body]
    assert rows(real.db, "SELECT COUNT(*) AS n FROM messages") == [{"n": 1}]


def test_parse_never_raises(kind):
    channel = channel_class(kind)(1.0)
    for body in (b"", b"\x00", b'{"eventType": {}}', b'{"entry": [{"changes": [7]}]}', json.dumps({"waId": [1], "text": 1}).encode()):
        assert all(isinstance(event, Rejected) for event in channel.parse(body))


# --- what goes out ----------------------------------------------------------------------------------------------------------


@wants("taken")
def test_parts_of_an_answer_go_out_in_order_each_by_one_call(queue, contract, server, real):
    server.turns = [contract.taken("out.1"), contract.taken("out.2"), contract.taken("out.3")]
    assert queue("one", "two", "three") == 3
    assert [row["state"] for row in out(real)] == ["sent"] * 3 and len(server.requests) == 3
    assert rows(real.db, "SELECT external_id FROM messages WHERE direction = 'out' ORDER BY id") == [{"external_id": f"out.{n}"} for n in (1, 2, 3)]


@wants("taken")
def test_each_call_names_its_message_and_attempt(queue, contract, server, real):
    server.turns = [contract.taken("out.1")]
    queue("one")
    request = server.requests[0]
    assert out(real)[0]["callback"] in request.line + request.body.decode()


@wants("taken", "status")
def test_statuses_only_go_forward(queue, receive, contract, server, real):
    server.turns = [contract.taken("out.1")]
    queue("one")
    for name, expected in (("delivered", "delivered"), ("sent", "delivered"), ("read", "read"), ("delivered", "read"), ("sent", "read")):
        receive(contract.status(name, "out.1", None))
        assert out(real)[0]["state"] == expected
    assert rows(real.db, "SELECT COUNT(*) AS n FROM messages") == [{"n": 2}], "and none of them is a message"


@wants("taken", "status")
def test_a_status_that_comes_before_the_calls_answer_counts(queue, receive, contract, server, real):
    receive(contract.status("delivered", "out.1", None))
    server.turns = [contract.taken("out.1")]
    queue("one")
    assert out(real)[0]["state"] == "delivered"


@wants("taken", "failed")
def test_a_failed_status_is_judged_as_a_refused_call(queue, receive, contract, server, real):
    server.turns = [contract.taken("out.1")]
    queue("one")
    receive(contract.failed("out.1", out(real)[0]["callback"]))
    assert (out(real)[0]["state"], out(real)[0]["error_code"]) == ("failed", 131026)


@wants("taken", "status")
def test_a_lost_answer_is_parked_and_proven_by_a_status_that_carries_our_id(queue, receive, contract, server, real):
    server.turns = [cut]
    queue("one")
    assert out(real)[0]["state"] == "unknown"
    receive(contract.status("delivered", "out.1", out(real)[0]["callback"]))
    real.now.forward(100_000)
    sweep.sweep(real)
    assert out(real)[0]["state"] == "delivered" and len(server.requests) == 1


@wants("taken")
def test_silence_is_a_lost_answer_too(queue, contract, server, real):
    server.turns = [server.silence]
    queue("one")
    assert out(real)[0]["state"] == "unknown"


@wants("taken")
def test_without_proof_it_goes_out_once_more_where_silence_means_something(queue, contract, server, real, number, conversation):
    numbers.tells(real.db, number.id, real.now())
    server.turns = [cut, contract.taken("out.1")]
    queue("one")
    real.now.forward(real.settings.unknown_wait_seconds + 1)
    sweep.sweep(real)
    sending.send_conversation(real, conversation)
    assert out(real)[0]["state"] == "sent" and len(server.requests) == 2


@wants("refusals")
def test_each_kind_of_refusal_becomes_its_error(kind, contract, number, server, settings):
    seen = set()
    for turn, error in contract.refusals:
        server.turns = [turn]
        with pytest.raises(errors.SendError) as caught:
            channel_class(kind)(0.5).send(numbers.sender(number, settings), Person(CUSTOMER), Content("text", "one"), callback_data="m.1")
        assert type(caught.value) is error
        seen.add(error)
    assert seen == {errors.WindowClosed, errors.Permanent, errors.Throttled, errors.Temporary, errors.NumberStopped, errors.Unknown}


@wants("taken")
def test_nobody_there_is_temporary_for_nothing_was_sent(kind, contract, number, settings):
    sender = dataclasses.replace(numbers.sender(number, settings), base_url="http://127.0.0.1:9")
    with pytest.raises(errors.Temporary):
        channel_class(kind)(0.5).send(sender, Person(CUSTOMER), Content("text", "one"), callback_data="m.1")


@wants("taken")
def test_a_recipient_without_any_address_is_refused_without_a_call(kind, contract, number, server, settings):
    with pytest.raises(errors.Permanent):
        channel_class(kind)(0.5).send(numbers.sender(number, settings), Person(name="Zoë"), Content("text", "one"), callback_data="m.1")
    assert server.requests == []


def test_what_it_cannot_carry_is_told_in_words_and_never_sent(kind, contract, number, server, settings):
    channel = channel_class(kind)(0.5)
    assert channel.refusal(Content("text", "one")) is None and channel.fits("one")
    for content in contract.cannot_carry:
        assert len(channel.refusal(content)) > 20
        with pytest.raises(errors.Permanent):
            channel.send(numbers.sender(number, settings), Person(CUSTOMER), content, callback_data="m.1")
    assert server.requests == []


def test_every_kind_that_it_does_not_claim_to_carry_is_refused_and_no_other(kind):
    channel = channel_class(kind)(0.5)
    assert set(channel.carries) <= set(CONTENT_KINDS) and "text" in channel.carries
    refused = {each for each in CONTENT_KINDS if channel.refusal(Content(each, "words", {}))}
    assert refused == set(CONTENT_KINDS) - set(channel.carries)


def test_a_failed_status_without_a_reason_is_final(kind):
    channel = channel_class(kind)(0.5)
    assert type(channel.error_from_status(())) is errors.Permanent
    assert type(channel.error_from_status((ProviderError(None, "?"),))) is errors.Permanent


def test_it_says_whether_silence_means_that_nothing_was_taken(kind):
    assert channel_class(kind).always_tells in (True, False)
