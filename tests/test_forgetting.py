"""What is past its time goes, in small transactions; what is owed, counted or newer stays."""

import dataclasses

import pytest

from frontdesk.flows import forgetting, inbound, sweep
from frontdesk.store import audit, broadcasts, clients, messages, notes, opt_outs, outbox, retention, search
from frontdesk.store.database import transaction
from tests import webhooks
from tests.test_inbound import rows

DAY = 24 * 3600


def arrive(context, text: str, sender: str = "4915112345678") -> int:
    context.inbox.put("cloud", webhooks.texts(webhooks.text(text, sender=sender, at=context.now())), context.now())
    inbound.drain(context)
    return rows(context.db, "SELECT MAX(id) AS id FROM messages")[0]["id"]


def answered(context, *texts: str, **fields) -> None:
    for text in texts:
        with transaction(context.db) as db:
            messages.mark_waiting_as(db, [arrive_inside(context, db, text, **fields)], "answered")


def arrive_inside(context, db, text, sender: str = "4915112345678") -> int:
    return db.execute(
        """
        INSERT INTO messages (conversation_id, number_id, direction, state, kind, text, provider_at, created_at)
        VALUES (1, 1, 'in', 'waiting', 'text', ?, ?, ?) RETURNING id
        """,
        (text, context.now(), context.now()),
    ).fetchone()["id"]


def texts(context) -> list[str]:
    return [row["text"] for row in rows(context.db, "SELECT text FROM messages ORDER BY id")]


@pytest.fixture
def conversation(context):
    arrive(context, "first")
    messages.mark_waiting_as(context.db, [1], "answered")
    return 1


def keep(context, **days) -> None:
    with transaction(context.db) as db:
        clients.change(db, 1, days, context.now())


def test_old_messages_go_with_their_words_and_the_newest_stay(context, conversation, clock):
    keep(context, messages_keep_days=30)
    answered(context, "an old apple")
    clock.forward(31 * DAY)
    answered(context, "a new apple")
    forgetting.forget_old(context)
    assert texts(context) == ["a new apple"]
    assert len(search.find(context.db, "apple")) == 1 and search.find(context.db, "old") == []
    assert audit.newest(context.db)[0].details == {"messages": 2, "conversations": 0}


def test_for_ever_is_what_nothing_says_and_what_a_clients_zero_says(context, conversation, clock):
    answered(context, "old", "newer")
    clock.forward(4000 * DAY)
    forgetting.forget_old(context)
    assert len(texts(context)) == 3
    context.settings = dataclasses.replace(context.settings, messages_keep_days=30.0)
    keep(context, messages_keep_days=0)
    forgetting.forget_old(context)
    assert len(texts(context)) == 3
    keep(context, messages_keep_days=None)
    forgetting.forget_old(context)
    assert texts(context) == ["newer"], "the very newest keeps its id from being given again"


def test_what_is_still_owed_or_to_be_sent_stays_whatever_its_age(context, conversation, clock):
    keep(context, messages_keep_days=30)
    queued = outbox.queue_text(context.db, 1, 1, "to send", purpose="answer", now=context.now())
    arrive(context, "waits")
    clock.forward(31 * DAY)
    answered(context, "new")
    forgetting.forget_old(context)
    assert texts(context) == ["to send", "waits", "new"] and queued == 2


def test_closed_conversations_go_and_their_contact_stays_with_its_opt_out(context, conversation, clock):
    keep(context, closed_keep_days=60)
    with transaction(context.db) as db:
        notes.add(db, 1, 1, "a note", context.now())
        opt_outs.put(db, 1, None, context.now())
        db.execute("UPDATE conversations SET state = 'closed', waiting_since = NULL")
    clock.forward(59 * DAY)
    forgetting.forget_old(context)
    assert texts(context) == ["first"]
    arrive(context, "somebody else's", sender="4915112349999")
    clock.forward(2 * DAY)
    forgetting.forget_old(context)
    assert texts(context) == ["somebody else's"] and rows(context.db, "SELECT * FROM notes") == []
    assert [row["id"] for row in rows(context.db, "SELECT id FROM conversations")] == [2]
    assert opt_outs.wants_none(context.db, 1, 1)


def test_counts_and_broadcasts_figures_stay(context, conversation, clock):
    keep(context, messages_keep_days=30)
    context.db.execute(
        """
        INSERT INTO audiences (id, public_id, client_id, name, source, created_at) VALUES (1, 'a', 1, 'a', 'csv', 0)
        """
    )
    made = broadcasts.add(context.db, 0, client_id=1, number_id=1, audience_id=1, name="b", content={})
    with transaction(context.db) as db:
        message_id = outbox.queue_text(db, 1, 1, "offer", purpose="broadcast", now=context.now())
        db.execute("UPDATE messages SET broadcast_id = ?, state = 'read', replied_at = 5 WHERE id = ?", (made, message_id))
    before = rows(context.db, "SELECT * FROM counters")
    clock.forward(31 * DAY)
    answered(context, "new")
    forgetting.forget_old(context)
    assert texts(context) == ["new"]
    assert broadcasts.tally(context.db, made) == {"read": 1} and broadcasts.answered(context.db, made) == 1
    after = {(row["name"], row["label"]): row["value"] for row in rows(context.db, "SELECT * FROM counters")}
    assert all(after[row["name"], row["label"]] >= row["value"] for row in before)


def test_the_night_rings_for_it_only_where_something_has_an_end(context, clock):
    sweep.clean(context)
    assert context.queues.depth("bulk") == 0
    keep(context, closed_keep_days=60)
    sweep.clean(context)
    sweep.clean(context)
    assert context.queues.depth("bulk") == 1


def test_what_is_left_after_its_turn_is_rung_for(context, conversation, clock, monkeypatch):
    keep(context, messages_keep_days=30)
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(forgetting, "TURN_SECONDS", 0)
    answered(context, *(f"n{n}" for n in range(5)))
    clock.forward(31 * DAY)
    answered(context, "new")
    forgetting.forget_old(context)
    assert len(texts(context)) == 5 and context.queues.depth("bulk") == 1
    for _ in range(3):
        forgetting.forget_old(context)
    assert texts(context) == ["new"]


def test_a_client_never_loses_anothers_messages(context, conversation, clock):
    keep(context, messages_keep_days=30)
    other = clients.add(context.db, "Other", "p", context.now())
    context.db.execute("UPDATE numbers SET client_id = ? WHERE id = 1", (other,))
    answered(context, "theirs", "newer")
    clock.forward(31 * DAY)
    forgetting.forget_old(context)
    assert len(texts(context)) == 3
