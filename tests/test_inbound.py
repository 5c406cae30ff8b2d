"""From webhook bodies to rows: flows/inbound.py on a real SQLite and a real Redis."""

import itertools
import json
import random
from pathlib import Path

import pytest

from frontdesk.flows import inbound
from frontdesk.flows.first_run import SIMULATOR_NUMBER
from tests import webhooks

PAYLOADS = sorted((Path(__file__).parent / "payloads").glob("*.json"))


def queued(context, queue: str) -> list[str]:
    """What the jobs that wait in a queue carry."""
    return [id_.decode().partition("-")[0] for id_ in context.queues.redis.lrange(f"rq:queue:{queue}", 0, -1)]


def receive(context, *bodies: bytes) -> None:
    for body in bodies:
        context.inbox.put("cloud", body, context.now())
    inbound.drain(context)


def rows(db, sql: str, *parameters) -> list[dict]:
    return [dict(row) for row in db.execute(sql, parameters)]


def test_a_message_makes_a_contact_a_conversation_and_an_answer_that_is_owed(context, db, clock):
    receive(context, webhooks.texts(webhooks.text("Hello", id="wamid.1")))
    [message] = rows(db, "SELECT * FROM messages")
    assert (message["text"], message["state"], message["direction"]) == ("Hello", "waiting", "in")
    [conversation] = rows(db, "SELECT * FROM conversations")
    assert conversation["waiting_since"] == clock()
    assert conversation["reply_due_at"] == clock() + context.settings.quiet_seconds
    assert conversation["window_closes_at"] == message["provider_at"] + 24 * 3600
    assert rows(db, "SELECT name, phone FROM contacts") == [{"name": "Ana", "phone": "4915112345678"}]


def test_the_inbox_is_empty_afterwards(context):
    receive(context, webhooks.texts(webhooks.text()))
    assert context.inbox.length() == 0


def test_the_same_webhook_again_changes_nothing(context, db):
    body = webhooks.texts(webhooks.text(id="wamid.1"))
    receive(context, *[body] * 5)
    receive(context, body)
    assert len(rows(db, "SELECT id FROM messages")) == 1


def test_a_redelivery_after_the_answer_is_not_owed_another(context, db):
    body = webhooks.texts(webhooks.text(id="wamid.1"))
    receive(context, body)
    db.execute("UPDATE messages SET state = 'answered'")
    db.execute("UPDATE conversations SET waiting_since = NULL, reply_due_at = NULL")
    receive(context, body)
    assert rows(db, "SELECT waiting_since FROM conversations") == [{"waiting_since": None}]
    assert context.queues.depth("default") == 0


def test_quick_messages_move_the_answer_to_the_end_of_the_burst_but_not_for_ever(context, db, clock):
    begin = clock()
    for _ in range(12):
        receive(context, webhooks.texts(webhooks.text()))
        clock.forward(1.5)
    [conversation] = rows(db, "SELECT * FROM conversations")
    assert conversation["reply_due_at"] == begin + context.settings.longest_wait_seconds
    [(entry, at)] = context.bells.redis.zrange(context.bells.ENTRIES, 0, -1, withscores=True)
    assert entry == b"reply-%d" % conversation["id"] and at == conversation["reply_due_at"]


def test_many_that_are_due_at_once_are_one_job(context, db):
    db.execute("UPDATE clients SET quiet_seconds = 0")
    for n in range(5):
        receive(context, webhooks.texts(webhooks.text(sender=f"49151{n}")))
    assert queued(context, "default") == ["reply"]


def test_without_a_quiet_period_the_answer_is_rung_for_at_once(context, db):
    db.execute("UPDATE clients SET quiet_seconds = 0")
    receive(context, webhooks.texts(webhooks.text()))
    assert queued(context, "default") == ["reply"]


def test_a_thousand_updates_in_one_body_are_a_thousand_rows(context, db):
    messages = [webhooks.text(sender=f"49151{n:07}") for n in range(1000)]
    receive(context, webhooks.texts(*messages))
    assert rows(db, "SELECT COUNT(*) AS n FROM messages WHERE state = 'waiting'") == [{"n": 1000}]
    assert rows(db, "SELECT COUNT(*) AS n FROM conversations") == [{"n": 1000}]


def test_an_unknown_number_is_rejected_whole_with_that_reason(context, db):
    change = webhooks.change(phone_number_id="999", messages=[webhooks.text(id="wamid.x")])
    receive(context, webhooks.body(change))
    [event] = rows(db, "SELECT * FROM rejected_events")
    assert event["reason"] == "unknown phone_number_id 999"
    assert json.loads(event["body"])["id"] == "wamid.x"


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"object":"page"}', b'{"entry":5}'])
def test_a_body_that_means_nothing_is_kept_and_harms_no_neighbour(context, db, body):
    receive(context, body, webhooks.texts(webhooks.text()))
    assert len(rows(db, "SELECT id FROM rejected_events")) == 1
    assert len(rows(db, "SELECT id FROM messages")) == 1


def test_rejected_parts_are_kept_once_however_often_the_batch_is_replayed(context, db):
    context.inbox.put("cloud", b"{", context.now())
    [entry] = context.inbox.read()
    for _ in range(3):
        consequences = inbound.Consequences()
        db.execute("BEGIN IMMEDIATE")
        inbound._record(context, db, entry, consequences)
        db.execute("COMMIT")
    assert len(rows(db, "SELECT id FROM rejected_events")) == 1


@pytest.mark.parametrize(
    "words",
    ["a\x00b", "\ud83d alone", "x" * 100_000, "שלום עליכם", "👩‍👩‍👧 ok", "'; DROP TABLE messages;--", " \n "],
    ids=["nul", "surrogate", "100kB", "rtl", "emoji", "sql", "blank"],
)
def test_words_are_kept_exactly(context, db, words):
    receive(context, webhooks.texts(webhooks.text(words)))
    assert rows(db, "SELECT text FROM messages") == [{"text": words}]


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_every_kind_of_webhook_is_stored_beside_its_neighbours(context, db, path):
    raw = path.read_bytes()
    for number in set(_phone_number_ids(json.loads(raw))):
        db.execute(
            """
            INSERT INTO numbers (client_id, channel, external_id, access_token_encrypted, created_at)
            VALUES (1, 'cloud', ?, '', 0) ON CONFLICT DO NOTHING
            """,
            (number,),
        )
    receive(context, webhooks.texts(webhooks.text(id="wamid.before")), raw, webhooks.texts(webhooks.text(id="wamid.after")))
    kept = {row["external_id"] for row in rows(db, "SELECT external_id FROM messages")}
    assert {"wamid.before", "wamid.after"} <= kept
    failures = rows(db, "SELECT reason FROM rejected_events WHERE reason LIKE 'could not be stored%'")
    assert failures == []
    stored = sum(
        rows(db, f"SELECT COUNT(*) AS n FROM {table}")[0]["n"]
        for table in ("messages", "account_events", "unmatched_statuses", "rejected_events")
    )
    marked = rows(db, "SELECT contact_id AS id FROM opt_outs")
    assert stored > 2 or marked or path.stem.startswith(("preference", "user_id_update", "edit", "revoke"))


def _phone_number_ids(thing) -> list[str]:
    if isinstance(thing, dict):
        own = [thing["phone_number_id"]] if isinstance(thing.get("phone_number_id"), str) else []
        return own + [found for value in thing.values() for found in _phone_number_ids(value)]
    if isinstance(thing, list):
        return [found for value in thing for found in _phone_number_ids(value)]
    return []


@pytest.mark.parametrize("stem", ["reaction", "status_delivered", "echo", "group_text", "unsupported", "calls", "revoke"])
def test_what_asks_nothing_is_owed_no_answer(context, db, stem):
    raw = (Path(__file__).parent / "payloads" / f"{stem}.json").read_bytes()
    for number in set(_phone_number_ids(json.loads(raw))):
        db.execute(
            "INSERT INTO numbers (client_id, channel, external_id, access_token_encrypted, created_at) VALUES (1, 'cloud', ?, '', 0) ON CONFLICT DO NOTHING",
            (number,),
        )
    receive(context, raw)
    assert rows(db, "SELECT id FROM conversations WHERE waiting_since IS NOT NULL") == []
    assert context.queues.depth("default") == 0


def _from(id: str, **person) -> bytes:
    message = {**webhooks.text(id=id)}
    del message["from"]
    contact = {"profile": {"name": "Ana"}}
    if "phone" in person:
        message["from"] = contact["wa_id"] = person["phone"]
    if "user_id" in person:
        message["from_user_id"] = contact["user_id"] = person["user_id"]
    return webhooks.body(webhooks.change(contacts=[contact], messages=[message]))


def test_a_person_known_by_user_id_alone_is_a_contact(context, db):
    receive(context, _from("wamid.1", user_id="DE.abc123"))
    assert rows(db, "SELECT phone, user_id FROM contacts") == [{"phone": None, "user_id": "DE.abc123"}]
    assert rows(db, "SELECT waiting_since IS NOT NULL AS waits FROM conversations") == [{"waits": 1}]


def test_a_phone_and_a_user_id_that_turn_out_to_be_one_person_become_one_conversation(context, db):
    receive(context, _from("wamid.1", phone="491511"), _from("wamid.2", user_id="DE.abc"))
    assert len(rows(db, "SELECT id FROM conversations")) == 2
    receive(context, _from("wamid.3", phone="491511", user_id="DE.abc"))
    assert len(rows(db, "SELECT id FROM contacts")) == 1
    [conversation] = rows(db, "SELECT id, waiting_since FROM conversations")
    assert len(rows(db, "SELECT id FROM messages WHERE conversation_id = ?", conversation["id"])) == 3
    receive(context, _from("wamid.4", user_id="DE.abc"), _from("wamid.5", phone="491511"))
    assert len(rows(db, "SELECT id FROM conversations")) == 1


def test_a_changed_number_keeps_its_conversation(context, db):
    receive(context, webhooks.texts(webhooks.text(sender="491511")))
    system = {
        "from": "491511",
        "id": "wamid.sys",
        "timestamp": "1790000000",
        "type": "system",
        "system": {"body": "changed", "type": "user_changed_number", "wa_id": "491522"},
    }
    receive(context, webhooks.body(webhooks.change(messages=[system])))
    receive(context, webhooks.texts(webhooks.text(sender="491522")))
    assert len(rows(db, "SELECT id FROM conversations")) == 1
    assert rows(db, "SELECT phone FROM contacts") == [{"phone": "491522"}]


def test_a_message_taken_back_is_owed_nothing(context, db):
    receive(context, webhooks.texts(webhooks.text(id="wamid.1")))
    revoke = {
        "from": "4915112345678",
        "id": "wamid.r",
        "timestamp": "1790000005",
        "type": "revoke",
        "revoke": {"original_message_id": "wamid.1"},
    }
    receive(context, webhooks.body(webhooks.change(messages=[revoke])))
    assert rows(db, "SELECT state FROM messages WHERE external_id = 'wamid.1'") == [{"state": "withdrawn"}]
    assert rows(db, "SELECT waiting_since FROM conversations") == [{"waiting_since": None}]


def _sent_message(context, db) -> str:
    """An outbound message whose first attempt is under way; returns its callback data."""
    from frontdesk.store import outbox

    receive(context, webhooks.texts(webhooks.text()))
    outbox.queue_text(db, 1, 1, "Hi", purpose="answer", now=context.now())
    claimed = outbox.claim(db, outbox.head(db, 1, context.now()), "me", context.now(), 30)
    return claimed.callback_data


@pytest.mark.parametrize("order", list(itertools.permutations(["sent", "delivered", "read"])), ids="-".join)
def test_statuses_in_any_order_only_go_forward(context, db, order):
    data = _sent_message(context, db)
    best = 0
    for name in order:
        receive(context, webhooks.statuses(webhooks.status(name, "wamid.out", data)))
        [row] = rows(db, "SELECT * FROM messages WHERE direction = 'out'")
        best = max(best, ["sent", "delivered", "read"].index(name))
        assert row["state"] == ["sent", "delivered", "read"][best]
    assert row["external_id"] == "wamid.out"
    assert row["sent_at"] and row["delivered_at"] and row["read_at"]


@pytest.mark.parametrize("attempt", ["²", "9" * 5000, "one", ""])
def test_a_status_that_names_no_attempt_of_ours_is_still_the_message_s(context, db, attempt):
    ours = _sent_message(context, db).partition(".")[0]
    receive(context, webhooks.statuses(webhooks.status("delivered", "wamid.out", f"{ours}.{attempt}")))
    assert [row["state"] for row in rows(db, "SELECT state FROM messages WHERE direction = 'out'")] == ["delivered"]
    assert rows(db, "SELECT * FROM rejected_events") == []


def test_a_status_without_our_id_that_comes_before_the_answer_is_not_lost(context, db):
    from frontdesk.flows import sending
    from frontdesk.store import outbox

    receive(context, webhooks.texts(webhooks.text()))
    outbox.queue_text(db, 1, 1, "Hi", purpose="answer", now=context.now())
    context.channel("cloud").outcomes = [
        lambda: receive(context, webhooks.statuses(webhooks.status("delivered", "wamid.sent1")))
    ]
    sending.send_conversation(context, 1)
    assert rows(db, "SELECT state FROM messages WHERE direction = 'out'") == [{"state": "delivered"}]
    assert rows(db, "SELECT * FROM unmatched_statuses") == []


def test_a_locked_event_is_replayed_and_a_broken_one_is_set_aside(context, db, monkeypatch):
    def broken(*_):
        raise KeyError("surprise")

    monkeypatch.setitem(inbound._HANDLERS, inbound.StatusChange, broken)
    receive(context, webhooks.body(webhooks.change(messages=[webhooks.text()], statuses=[webhooks.status("sent", "x")])))
    assert len(rows(db, "SELECT id FROM messages")) == 1
    assert rows(db, "SELECT reason FROM rejected_events") == [{"reason": "could not be stored: KeyError"}]


def test_a_body_that_breaks_the_parser_is_set_aside_too(context, db, channel, monkeypatch):
    monkeypatch.setattr(channel, "parse", lambda body: 1 / 0)
    receive(context, webhooks.texts(webhooks.text()))
    assert rows(db, "SELECT reason FROM rejected_events") == [{"reason": "could not be parsed: ZeroDivisionError"}]
    assert context.inbox.length() == 0


def test_order_within_a_conversation_survives_any_order_of_arrival(context, db):
    from frontdesk.store import messages

    sent = [webhooks.text(f"m{n}", at=1_790_000_000 - 100 + n) for n in range(20)]
    shuffled = random.Random(1).sample(sent, len(sent))
    receive(context, *[webhooks.texts(message) for message in shuffled])
    assert [waiting.text for waiting in messages.waiting(db, 1)] == [f"m{n}" for n in range(20)]


def test_the_number_of_the_simulator_is_the_one_the_first_run_made(db):
    assert rows(db, "SELECT external_id FROM numbers") == [{"external_id": SIMULATOR_NUMBER}]
