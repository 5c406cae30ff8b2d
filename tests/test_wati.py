"""A number at WATI from the webhook's door to the rows: addresses with secrets, proof of lost answers, what operators write there."""

import io
import json

import pytest

from frontdesk import queues
from frontdesk.flows import broadcasts, diagnosis, inbound, media, outgoing, sending, sweep, webhook_address
from frontdesk.flows.outgoing import CannotSend, Outgoing
from frontdesk.channels import Content
from frontdesk.store import conversations, events, numbers, outbox
from frontdesk.store.database import transaction
from tests import media_bodies, wati_numbers
from tests.standins import wati as standin
from tests.standins.wati import WatiStandIn
from tests.test_inbound import rows


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def number(db, settings):
    return wati_numbers.add(db, settings)


# --- the door ---------------------------------------------------------------------------------------------------------------


def secret(settings, db, number) -> str:
    return webhook_address.secret(settings, numbers.get(db, number.id))


def post(app, path: str, body) -> int:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return app.test_client().post(path, data=data, content_type="application/json").status_code


def test_what_comes_to_a_numbers_address_is_kept_to_the_byte(app, redis, settings, db, number):
    body = '{"text": "ü / 😀"}'.encode()
    assert post(app, f"/webhooks/wati/{secret(settings, db, number)}", body) == 200
    [entry] = queues.Inbox(redis).read()
    assert (entry.body, entry.channel) == (body, f"wati/{number.id}.{number.webhook_key}")


def test_any_other_address_is_refused_and_nothing_is_kept(app, redis, settings, db, number):
    good = secret(settings, db, number)
    whose, _, proof = good.rpartition(".")
    wrong = ["x", good[:-1], good + "0", f"{number.id + 1}{good[1:]}", f"{whose}.{proof[::-1]}", f"{whose}.", f".{proof}", "é" * 64, "x" * 5000]
    for address in wrong:
        assert post(app, f"/webhooks/wati/{address}", b"{}") == 403, address
    assert post(app, "/webhooks/wati/", b"{}") == 403
    assert queues.Inbox(redis).length() == 0


def test_a_passkey_in_the_body_does_as_well_and_is_not_kept(app, redis, settings, db, number):
    passkey = secret(settings, db, number)
    assert post(app, "/webhooks/wati", {"waId": "4915112345678", "text": "Hello", "passkey": passkey}) == 200
    [entry] = queues.Inbox(redis).read()
    assert entry.channel == f"wati/{number.id}.{number.webhook_key}" and passkey not in entry.body.decode()
    assert json.loads(entry.body)["id"].startswith("passkey-")
    for passkey in ("x", "", None, 7, [passkey]):
        assert post(app, "/webhooks/wati", {"waId": "49", "text": "Hello", "passkey": passkey}) == 403
    assert post(app, "/webhooks/wati", b"[]") == 400 and post(app, "/webhooks/wati", b"{") == 400


def test_without_an_id_each_post_is_a_message_and_reading_it_twice_is_none(app, context, db, settings, number):
    context = wati_numbers.at_providers(context)
    for _ in range(2):
        post(app, "/webhooks/wati", {"waId": "4915112345678", "text": "Hello", "passkey": secret(settings, db, number)})
    entries = context.inbox.read()
    inbound.drain(context)
    for entry in entries:
        context.inbox.put(entry.channel, entry.body, entry.received_at)
    inbound.drain(context)
    assert [row["text"] for row in rows(db, "SELECT text FROM messages")] == ["Hello", "Hello"]


def test_redis_away_is_a_503_and_a_body_too_large_a_413(app, settings, db, number, monkeypatch):
    path = f"/webhooks/wati/{secret(settings, db, number)}"
    assert post(app, path, b"x" * (4 * 1024 * 1024)) == 413

    def away(*_):
        raise queues.RedisError("gone")

    monkeypatch.setattr(app.wsgi_app.inbox, "put", away)
    assert post(app, path, b"{}") == 503


def test_other_methods_are_not_the_doors(app, settings, db, number):
    assert app.test_client().get(f"/webhooks/wati/{secret(settings, db, number)}").status_code == 404


def test_after_a_new_address_what_comes_to_the_old_one_is_shown_and_not_answered(context, db, number):
    context = wati_numbers.at_providers(context)
    numbers.move(db, number.id, webhook_address.new_key())
    wati_numbers.receive(context, number, wati_numbers.text())
    assert [event.reason for event in events.rejected(db)] == ["an address that no number has any more"]
    assert rows(db, "SELECT id FROM messages") == []


def test_an_address_of_one_channel_reaches_no_number_of_another(context, db, settings):
    context = wati_numbers.at_providers(context)
    db.execute("UPDATE numbers SET webhook_key = 'k' WHERE id = 1")  # the simulator's, of the Cloud API
    context.inbox.put("wati/1.k", json.dumps(wati_numbers.text()).encode(), context.now())
    inbound.drain(context)
    assert rows(db, "SELECT id FROM messages") == [] and events.count_rejected(db) == 1


# --- proof ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def wati():
    with WatiStandIn(events=()) as server:
        yield server


@pytest.fixture
def at_wati(context, db, settings, wati):
    """A context with a number at the stand-in, a customer who has just written, and an answer that is queued."""
    context = wati_numbers.at_providers(context)
    number = wati_numbers.add(db, settings, endpoint=wati.endpoint, external_id="live")
    wati_numbers.receive(context, number, wati_numbers.text())
    context.number = number
    return context


def answer(context, text: str = "We open at seven.") -> int:
    [conversation] = rows(context.db, "SELECT id FROM conversations")
    outbox.queue_text(context.db, conversation["id"], context.number.id, text, purpose="answer", now=context.now())
    sending.send_conversation(context, conversation["id"])
    return conversation["id"]


def state(context) -> str:
    [row] = rows(context.db, "SELECT state FROM messages WHERE direction = 'out'")
    return row["state"]


def test_an_answer_goes_out_and_the_ticks_turn(at_wati, wati):
    answer(at_wati)
    assert wati.texts("4915112345678") == ["We open at seven."] and state(at_wati) == "sent"
    taken = wati.sent[0]
    for name, expected in (("sentMessageREAD_v2", "read"), ("sentMessageDELIVERED_v2", "read"), ("sessionMessageSent_v2", "read")):
        wati_numbers.receive(at_wati, at_wati.number, wati_numbers.event(name, taken.external_id, taken.local_id, owner=True))
        assert state(at_wati) == expected


@pytest.mark.parametrize("version", ["_v2", ""])
def test_a_lost_answer_is_proven_by_the_event_of_what_was_sent(at_wati, wati, version):
    """By our own id in the newer event; by its words to this customer in the older one."""
    wati.replies.append(standin.lost)
    answer(at_wati)
    assert state(at_wati) == "unknown"
    taken = wati.sent[0]
    sent = wati_numbers.event(
        f"sessionMessageSent{version}", taken.external_id, taken.local_id if version else None, waId=taken.to, text=taken.text, owner=True
    )
    wati_numbers.receive(at_wati, at_wati.number, sent, sent)
    assert state(at_wati) == "sent"
    at_wati.now.forward(10_000)
    sweep.sweep(at_wati)
    assert len(wati.sent) == 1 and rows(at_wati.db, "SELECT COUNT(*) AS n FROM messages") == [{"n": 2}]


def test_two_lost_answers_with_the_same_words_are_proven_one_by_one(at_wati, wati):
    for _ in range(2):
        outbox.queue_text(at_wati.db, 1, at_wati.number.id, "Yes.", purpose="answer", now=at_wati.now())
    at_wati.db.execute("UPDATE messages SET state = 'unknown', attempt = 1 WHERE direction = 'out'")
    for external_id, expected in (("wamid.x", ["sent", "unknown"]), ("wamid.x", ["sent", "unknown"]), ("wamid.y", ["sent", "sent"])):
        sent = wati_numbers.event("sessionMessageSent", external_id, waId="4915112345678", text="Yes.", owner=True)
        wati_numbers.receive(at_wati, at_wati.number, sent)
        assert [row["state"] for row in rows(at_wati.db, "SELECT state FROM messages WHERE direction = 'out' ORDER BY id")] == expected


def test_without_proof_it_is_sent_again_where_webhooks_tell_of_what_is_sent(at_wati, wati):
    numbers.tells(at_wati.db, at_wati.number.id, at_wati.now())
    wati.replies.append(standin.unheard)
    conversation_id = answer(at_wati)
    at_wati.now.forward(200)
    sweep.sweep(at_wati)
    sending.send_conversation(at_wati, conversation_id)
    assert wati.texts("4915112345678") == ["We open at seven."] and state(at_wati) == "sent"


def test_where_webhooks_tell_nothing_silence_proves_nothing_and_a_person_decides(at_wati, wati):
    wati.replies.append(standin.lost)
    conversation_id = answer(at_wati)
    at_wati.now.forward(200)
    sweep.sweep(at_wati)
    sending.send_conversation(at_wati, conversation_id)
    assert len(wati.sent) == 1 and state(at_wati) == "failed"
    [row] = rows(at_wati.db, "SELECT error_title FROM messages WHERE direction = 'out'")
    assert "may have been taken" in row["error_title"]
    assert rows(at_wati.db, "SELECT needs_person_reason AS reason FROM conversations") == [{"reason": "send_failed"}]


def test_a_late_proof_still_counts_after_a_person_was_asked(at_wati, wati):
    wati.replies.append(standin.lost)
    answer(at_wati)
    at_wati.now.forward(200)
    sweep.sweep(at_wati)
    taken = wati.sent[0]
    wati_numbers.receive(at_wati, at_wati.number, wati_numbers.event("sentMessageDELIVERED_v2", taken.external_id, taken.local_id))
    assert state(at_wati) == "delivered"


def test_a_failed_event_is_the_end_of_its_message(at_wati, wati):
    answer(at_wati)
    taken = wati.sent[0]
    failed = wati_numbers.event("sessionMessageFailed", taken.external_id, taken.local_id, failedCode="131026", failedDetail="Undeliverable")
    wati_numbers.receive(at_wati, at_wati.number, failed)
    [row] = rows(at_wati.db, "SELECT state, error_code FROM messages WHERE direction = 'out'")
    assert row == {"state": "failed", "error_code": 131026}


def test_a_token_that_is_refused_stops_the_number_and_its_messages_wait(at_wati, wati):
    wati.replies.append(standin.failing(401))
    answer(at_wati)
    number = numbers.get(at_wati.db, at_wati.number.id)
    assert number.stopped_code == 401 and state(at_wati) == "queued"
    assert "token in WATI" in diagnosis.mend_of_stop(number)


# --- who writes in WATI -----------------------------------------------------------------------------------------------------


def test_an_operator_who_answers_in_wati_pauses_the_bot(at_wati):
    sent = wati_numbers.event("sessionMessageSent_v2", "wamid.op", "uuid-of-watis", waId="4915112345678", text="Karl here.", owner=True)
    wati_numbers.receive(at_wati, at_wati.number, sent, {**sent, "eventType": "sessionMessageSent"})
    [row] = rows(at_wati.db, "SELECT text, purpose FROM messages WHERE direction = 'out'")
    assert row == {"text": "Karl here.", "purpose": "phone_app"}
    assert rows(at_wati.db, "SELECT state FROM conversations") == [{"state": "human"}]


def test_our_own_send_never_looks_like_an_operators_whenever_its_event_comes(at_wati, wati):
    answer(at_wati)
    at_wati.db.execute("UPDATE messages SET state = 'sending', external_id = NULL WHERE direction = 'out'")  # its answer is still on the way
    for name, local in (("sessionMessageSent", None), ("sessionMessageSent_v2", "made-by-wati")):
        own = wati_numbers.event(name, wati.sent[0].external_id, local, waId="4915112345678", text=" We open  at seven.", owner=True)
        wati_numbers.receive(at_wati, at_wati.number, own)
    assert state(at_wati) == "sent" and rows(at_wati.db, "SELECT state FROM conversations") == [{"state": "bot"}]


# --- files ------------------------------------------------------------------------------------------------------------------


def send_picture(context, caption: str = "Your cake") -> None:
    kept = media.keep(context, io.BytesIO(media_bodies.PNG), client_id=1, filename="cake.png", declared_type="image/png")
    content = Content("image", f"[image] {caption}", {"caption": caption} if caption else {})
    with transaction(context.db) as db:
        outbox.queue(db, 1, context.number.id, content, purpose="person", now=context.now(), media_id=kept.id)
    sending.send_conversation(context, 1)


def test_a_picture_goes_out_with_its_caption(at_wati, wati):
    send_picture(at_wati)
    assert [(taken.kind, taken.text) for taken in wati.sent] == [("image", "Your cake")] and state(at_wati) == "sent"
    send_picture(at_wati, "")
    assert len(wati.sent) == 2 and wati.calls[1]["bytes"] > len(media_bodies.PNG)


@pytest.mark.parametrize("caption", ["Your cake", ""])
def test_a_pictures_lost_answer_is_proven_by_its_kind_and_caption(at_wati, wati, caption):
    wati.replies.append(standin.lost)
    send_picture(at_wati, caption)
    assert state(at_wati) == "unknown"
    sent = wati_numbers.event("sessionMessageSent", "wamid.x", waId="4915112345678", type="image", text=caption or None, data="f.png", owner=True)
    other = {**sent, "type": "video", "whatsappMessageId": "wamid.y", "id": "w-y"}
    wati_numbers.receive(at_wati, at_wati.number, other, sent, sent)
    found = rows(at_wati.db, "SELECT kind, state, purpose FROM messages WHERE direction = 'out' ORDER BY kind")
    assert found == [{"kind": "image", "state": "sent", "purpose": "person"}, {"kind": "video", "state": "sent", "purpose": "phone_app"}]


def test_a_file_that_moved_with_the_data_folder_is_found_again(at_wati, wati):
    send_picture(at_wati)
    at_wati.db.execute("UPDATE media_uploads SET external_id = ?", ('["/elsewhere", "image/png", "cake.png"]',))
    send_picture(at_wati)
    at_wati.now.forward(100)
    sending.send_conversation(at_wati, 1)
    assert len(wati.sent) == 2


def test_what_wati_cannot_carry_is_refused_before_it_is_queued(at_wati):
    conversation = conversations.get(at_wati.db, 1)
    for content in (Content("interactive", "[buttons]", {}), Content("template", "[template]", {"name": "x"}), Content("text", "نص " * 1000)):
        with pytest.raises(CannotSend) as caught:
            outgoing.check(at_wati, at_wati.db, conversation, Outgoing(content))
        assert caught.value.code == "not_on_this_channel" and "WATI" in str(caught.value)


def test_templates_and_broadcasts_are_offered_for_numbers_that_can_send_them(owner, db, settings, context):
    number = wati_numbers.add(db, settings)
    numbers.change(db, number.id, client_id=1, account_id=None, display_phone="at WATI", messages_per_second=3)
    assert "at WATI" not in owner.get("/templates").text and "at WATI" not in owner.get("/broadcasts/new").text
    wanted = broadcasts.Wanted(name="x", number_id=number.id, audience_id=1, template="x", language="en", variables={})
    with pytest.raises(broadcasts.CannotBroadcast, match="number at Meta"):
        broadcasts.make(context, wanted)


# --- the doctor -------------------------------------------------------------------------------------------------------------


def test_the_doctor_knows_a_number_at_wati(at_wati, wati, settings):
    found = diagnosis.number_findings(settings, numbers.get(at_wati.db, at_wati.number.id))
    assert [finding.ok for finding in found] == [True, False, True]
    assert "token good at WATI" in found[0].words and "subscribe the webhook" in found[1].mend
    numbers.tells(at_wati.db, at_wati.number.id, at_wati.now())
    assert diagnosis.number_findings(settings, numbers.get(at_wati.db, at_wati.number.id))[1].ok
    numbers.set_token(at_wati.db, settings, at_wati.number.id, "wrong")
    [finding] = diagnosis.number_findings(settings, numbers.get(at_wati.db, at_wati.number.id))
    assert "the token is refused by WATI" in finding.words
    numbers.relocate(at_wati.db, at_wati.number.id, external_id="x", base_url=f"{wati.url}/1")
    [finding] = diagnosis.number_findings(settings, numbers.get(at_wati.db, at_wati.number.id))
    assert "endpoint" in finding.mend
