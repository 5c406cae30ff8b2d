"""An erased person is gone from every table, file and index, and nothing that was on its way brings them back."""

import dataclasses
import io
import json
import sqlite3
import zipfile
from pathlib import Path

import pytest

from frontdesk.errors import Temporary
from frontdesk.flows import audience, erasing, inbound, media, personal_export, reply, sending, sweep
from frontdesk.ollama import Ollama
from frontdesk.store import audience_members, audit, broadcasts, callbacks, conversations, database, drafts, erasures
from frontdesk.store import events, files, notes, outbox, personal, schedules, search, suggestions, tags
from frontdesk.store.database import transaction
from tests import media_bodies, webhooks
from tests.standins.ollama import OllamaStandIn
from tests.test_broadcasting import draft, people, served  # noqa: F401 (a fixture)
from tests.test_inbound import rows

ANA, BEN = "4915112340001", "4915112340002"
WORD = "zwetschgenkuchen"


def post(context, *messages: dict) -> None:
    context.inbox.put("cloud", webhooks.texts(*messages), context.now())


def arrive(context, phone: str, text: str, **fields) -> int:
    """Returns the contact's id."""
    post(context, webhooks.text(text, sender=phone, **{"at": context.now(), **fields}))
    inbound.drain(context)
    return personal.contacts_named(context.db, phone)[0]


def conversation_of(context, contact_id: int) -> int:
    return erasing.subject(context.db, contact_id).conversations[0]


def erase(context, contact_id: int) -> erasures.Erasure:
    """To its end."""
    found = erasing.erase(context, contact_id)
    assert erasing.finish(context, found.id)
    return erasures.get(context.db, found.id)


def queue(context, conversation_id: int, text: str, **more) -> int:
    return outbox.queue_text(context.db, conversation_id, 1, text, **{"purpose": "person", "now": context.now(), **more})


# --- everything that is kept ------------------------------------------------------------------------------------------------------


@pytest.fixture
def ana(context, people, tmp_path):  # noqa: F811
    """Somebody of whom there is something everywhere; and Ben, of whom nothing may be lost. Returns Ana's contact id."""
    db, now = context.db, context.now()
    ana, ben = arrive(context, ANA, f"One {WORD} please", id=f"wamid.{WORD}"), arrive(context, BEN, f"Another {WORD} for Ben")
    conversation = conversation_of(context, ana)
    theirs = media.keep(context, io.BytesIO(media_bodies.PNG + b"ana"), client_id=1, filename=f"{WORD}.png", declared_type="image/png")
    both = media.keep(context, io.BytesIO(media_bodies.PNG + b"all"), client_id=1, filename="all.png", declared_type="image/png")
    with transaction(db):
        queue(context, conversation, f"Your {WORD}", media_id=theirs.id)
        queue(context, conversation, "Our prices", media_id=both.id)
        queue(context, conversation_of(context, ben), "Our prices", media_id=both.id)
        notes.add(db, conversation, 1, f"likes {WORD}", now)
        suggestions.add(db, conversation, 1, f"offer {WORD}", now)
        drafts.put(db, conversation, [1], f"A {WORD}", [], now)
        tags.add(db, 1, [ana], f"{WORD}-lover")
        event = {"from": ANA, "type": "new", "x": WORD}
        webhook = webhooks.texts(webhooks.text(WORD, sender=ANA), webhooks.text("words of Ben", sender=BEN))
        events.reject(db, "1-0:0", "cloud", "not understood", event, now, webhook)
        events.reject(db, "1-0:1", "cloud", "not understood", {"from": BEN}, now, webhook)
        callbacks.add(db, 1, "https://example.com", "message", {"phone": ANA, "text": WORD}, now)
        outbox.keep_unmatched(db, 1, "wamid.x", "sent", now, {"recipient_id": ANA}, now)
        later = {"name": WORD, "content": {"kind": "text", "text": WORD}, "rule": None, "time_zone": "UTC", "next_at": now + 9, "late_limit_seconds": 60}
        later |= {"client_id": 1, "number_id": 1, "created_by": None, "now": now}
        schedules.add(db, conversation_id=conversation, phone=None, **later)
        schedules.add(db, conversation_id=None, phone=ANA, **later)
        for group, (text, asked_by) in enumerate(((f"a {WORD}?", (conversation,)), (f"two {WORD}?", (conversation, conversation_of(context, ben)))), 1):
            db.execute("INSERT INTO question_groups (id, client_id, text, word_count, latest_at) VALUES (?, 1, ?, 1, 0)", (group, text))
            db.execute("INSERT INTO question_words VALUES (1, ?, ?)", (WORD, group))
            for message_id, by in enumerate(asked_by, 10 * group):
                asked = text if by == conversation else "how much is it?"
                db.execute("INSERT INTO questions VALUES (NULL, 1, ?, ?, 'declined', ?, 0, ?)", (by, message_id, asked, group))
        waiting = json.dumps({"first": [{"id": conversation}], "count": 1})
        db.execute(
            "INSERT INTO digests (client_id, day, begins_at, ends_at, numbers, waiting, lines, created_at) VALUES (?, ?, ?, ?, '{}', ?, ?, ?)",
            (1, "2026-09-21", now - 60, now + 60, waiting, json.dumps([f"Somebody wanted {WORD}."]), now),
        )
    served(context, draft(context, people(f"+{ANA},{WORD}", f"+{BEN},Ben")))
    people(f"+{ANA},{WORD}", f"+{BEN},Ben", f"+49 1511 234 0001 999999,{WORD}")
    return ana


def everything(db: sqlite3.Connection) -> str:
    """All that any table holds, in one text; the search index is asked by itself."""
    names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%\\_fts%' ESCAPE '\\' AND name <> 'messages_words'"
    tables = [row["name"] for row in db.execute(names)]
    return "\n".join(repr(tuple(row)) for table in tables for row in db.execute(f"SELECT * FROM {table}"))


def test_nothing_of_an_erased_person_is_left_in_any_table_and_nothing_of_others_is_lost(context, ana):
    before = everything(context.db)
    assert ANA in before and before.count(WORD) > 10
    assert erase(context, ana).finished_at
    left = everything(context.db)
    assert ANA not in left and "1511 234" not in left
    assert left.count(WORD) == 2 and f"Another {WORD} for Ben" in left, "Ben's message, as text and as it came"
    assert BEN in left and "words of Ben" in left and personal.contacts_named(context.db, ANA) == []
    assert [found.name for found in search.find(context.db, WORD)] == ["Ana"], "that is Ben, whose profile says so too"
    assert [row["text"] for row in rows(context.db, "SELECT text FROM question_groups")] == ["how much is it?"]
    assert context.db.execute("PRAGMA foreign_key_check").fetchall() == []


def test_files_go_that_nobody_else_needs(context, ana):
    folder = context.settings.media_dir
    assert sum(len(files.kept(folder, each)) for each in files.beginnings(folder)) == 2
    erase(context, ana)
    assert sum(len(files.kept(folder, each)) for each in files.beginnings(folder)) == 1
    assert [row["filename"] for row in rows(context.db, "SELECT filename FROM media")] == ["all.png"]


def test_a_broadcasts_figures_stay_and_its_audience_has_a_place_without_a_name(context, ana):
    before = broadcasts.tally(context.db, 1)
    erase(context, ana)
    assert broadcasts.tally(context.db, 1) == before and sum(before.values()) == 2
    assert [member.phone for member in audience_members.after(context.db, 1)] == ["erased 1", BEN]
    again = draft(context, 1)
    served(context, again)
    assert broadcasts.skips(context.db, again.id) == {"erased": 1} and broadcasts.tally(context.db, again.id) == {"sent": 1}


def test_the_bytes_are_gone_from_the_database_its_log_and_redis_file(context, ana, redis):
    folder = Path(redis.config_get("dir")["dir"]) / "appendonlydir"
    with transaction(context.db):  # Ben's word is another, so that every trace of this one is Ana's
        context.db.execute("UPDATE messages SET text = 'cake', raw = NULL WHERE conversation_id = 2")
    post(context, webhooks.text(f"more {WORD}", sender=ANA, at=context.now()))
    database.empty_log(context.db)
    on_disk = lambda: b"".join(path.read_bytes() for path in [*context.settings.data_dir.glob("frontdesk.db*"), *folder.glob("*")])  # noqa: E731
    words = (WORD.encode(), ANA.encode(), b"likes")
    assert all(word in on_disk() for word in words)
    erase(context, ana)
    assert [word for word in words if word in on_disk()] == []


def test_the_log_has_an_id_and_no_name(context, ana):
    erase(context, ana)
    [entry] = audit.newest(context.db, deed="contact.erased")
    assert (entry.subject, entry.details) == (f"contact {ana}", {"client_id": 1})


def test_erased_twice_is_erased_once(context, ana):
    found = erase(context, ana)
    assert erasing.erase(context, ana) is None and erasing.finish(context, found.id)
    assert len(audit.newest(context.db, deed="contact.erased")) == 1


# --- nothing comes back -----------------------------------------------------------------------------------------------------------


def test_what_was_not_drained_yet_is_not_taken_in(context):
    ana = arrive(context, ANA, "Hello")
    post(context, webhooks.text("not drained", sender=ANA, at=context.now()), webhooks.text("mine stays", sender=BEN, at=context.now()))
    erase(context, ana)
    assert [row["text"] for row in rows(context.db, "SELECT text FROM messages")] == ["mine stays"]
    assert context.inbox.length() == 0


def test_a_webhook_that_comes_again_or_late_is_not_taken_in(context, clock):
    ana = arrive(context, ANA, "Hello", id="wamid.1")
    erase(context, ana)
    written = clock()
    clock.forward(600)
    post(context, webhooks.text("Hello", sender=ANA, at=written - 5, id="wamid.1"), webhooks.text("on its way", sender=ANA, at=written - 2))
    inbound.drain(context)
    assert rows(context.db, "SELECT * FROM messages") == [] and personal.contacts_named(context.db, ANA) == []


def test_who_writes_again_is_somebody_new_under_an_id_that_nobody_had(context, clock):
    ana = arrive(context, ANA, "Hello")
    erase(context, ana)
    clock.forward(1)
    again = arrive(context, ANA, "Hello again")
    assert again > ana and [row["text"] for row in rows(context.db, "SELECT text FROM messages")] == ["Hello again"]
    assert erasures.of_contact(context.db, again) is None


def test_statuses_that_come_later_are_not_kept(context):
    ana = arrive(context, ANA, "Hello")
    arrive(context, BEN, "Hello")
    erase(context, ana)
    made = [{**webhooks.status("delivered", f"wamid.{phone}"), "recipient_id": phone} for phone in (ANA, BEN)]
    context.inbox.put("cloud", webhooks.statuses(*made), context.now())
    inbound.drain(context)
    assert [row["external_id"] for row in rows(context.db, "SELECT external_id FROM unmatched_statuses")] == [f"wamid.{BEN}"]


def test_an_answer_being_written_is_not_kept(context):
    with OllamaStandIn() as model:
        context.settings = dataclasses.replace(context.settings, ollama_host=model.url)
        context.ollama = Ollama(model.url, timeout_seconds=20, load_timeout_seconds=20, crash_pause_seconds=0)
        ana = arrive(context, ANA, "Hello")
        conversation_id = conversation_of(context, ana)
        context.now.forward(60)
        claimed = conversations.claim(context.db, conversation_id, "me", context.now(), 30)
        work = reply.begin(context, claimed, "me")
        erase(context, ana)
        other = arrive(context, BEN, "I may get that conversation's id")
        reply.keep(work, f"A {WORD}")
    assert rows(context.db, "SELECT * FROM messages WHERE direction = 'out'") == [] and WORD not in everything(context.db)
    assert conversation_of(context, other)


@pytest.mark.parametrize("outcome", [None, Temporary("down")])
def test_a_send_that_was_running_leaves_nothing_even_where_its_id_is_anothers(context, channel, outcome):
    ana, ben = arrive(context, ANA, "Hello"), arrive(context, BEN, "Hello")
    queue(context, conversation_of(context, ana), f"A {WORD}")

    def erased_meanwhile():
        erase(context, ana)
        other = queue(context, conversation_of(context, ben), "For Ben")
        outbox.claim(context.db, outbox.head(context.db, conversation_of(context, ben), context.now()), "else", context.now(), 30)
        assert other == 3, "the id of the message that is being sent"
        if outcome:
            raise outcome

    channel.outcomes = [erased_meanwhile]
    sending.send_conversation(context, conversation_of(context, ana))
    assert [row["state"] for row in rows(context.db, "SELECT state FROM messages WHERE direction = 'out'")] == ["sending"]
    assert rows(context.db, "SELECT * FROM messages WHERE external_id = 'wamid.sent1'") == []


def test_what_is_queued_does_not_go_out_while_rows_are_being_deleted(context, channel, db):
    ana = arrive(context, ANA, "Hello")
    conversation_id = conversation_of(context, ana)
    queue(context, conversation_id, "one")
    with transaction(context.db):
        erasing.begin(context.db, context.settings, ana, context.now(), [])
    late = queue(context, conversation_id, "an agent pressed Send at that moment")
    sending.send_conversation(context, conversation_id)
    assert channel.sent == [] and rows(context.db, "SELECT state FROM messages WHERE id = ?", late)[0]["state"] == "failed"


def test_a_suggestion_that_was_being_written_does_not_become_anothers(context):
    ana, ben = arrive(context, ANA, "Hello"), arrive(context, BEN, "Hello")
    suggestion = suggestions.get(context.db, suggestions.add(context.db, conversation_of(context, ana), 1, "", 1.0))
    erase(context, ana)
    other = suggestions.add(context.db, conversation_of(context, ben), 1, "", 2.0)
    assert other == suggestion.id
    suggestions.settle(context.db, suggestion, "ready", WORD)
    assert suggestions.get(context.db, other).state == "wanted"


def test_a_list_that_is_being_read_takes_no_erased_person_in(context, people):  # noqa: F811
    ana = arrive(context, ANA, "Hello")
    id_ = audience.from_file(context, 1, io.BytesIO(f"phone,name\n+{ANA},Ana\n+{BEN},Ben\n".encode()), name="People")
    context.now.forward(5)
    erase(context, ana)
    audience.read(context, id_)
    assert [member.phone for member in audience_members.after(context.db, id_)] == [BEN]
    assert ANA not in everything(context.db)
    context.now.forward(1)
    assert len(audience_members.after(context.db, people(f"+{ANA},Ana"))) == 1, "a list handed over afterwards is the business's word"


def test_killed_at_any_point_it_is_finished_by_the_sweep(context):
    ana = arrive(context, ANA, WORD)
    with transaction(context.db):
        erasing.begin(context.db, context.settings, ana, context.now(), [])
    sweep.sweep(context)
    assert context.queues.depth("bulk") == 1
    erasing.finish_all(context)
    assert erasures.unfinished(context.db) == [] and WORD not in everything(context.db)


def test_a_reader_of_an_older_state_holds_only_its_end_up(context):
    ana = arrive(context, ANA, WORD)
    reader = sqlite3.connect(context.settings.database_path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM messages").fetchone()
    found = erasing.erase(context, ana)
    erasing.LOG_TRIES, tries = 1, erasing.LOG_TRIES
    try:
        assert not erasing.finish(context, found.id) and erasures.unfinished(context.db) == [found.id]
        reader.execute("COMMIT")
        assert erasing.finish(context, found.id)
    finally:
        erasing.LOG_TRIES = tries


def test_a_reader_who_never_ends_keeps_nobody_waiting(context, monkeypatch):
    ana = arrive(context, ANA, WORD)
    reader = sqlite3.connect(context.settings.database_path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM messages").fetchone()
    found = erasing.erase(context, ana)
    context.now.forward(erasing.STUBBORN_SECONDS + 1)
    waits, once = [], database.empty_log
    monkeypatch.setattr(database, "empty_log", lambda db, wait_milliseconds=200: waits.append(wait_milliseconds) or once(db, wait_milliseconds))
    monkeypatch.setattr(erasing.queues.traces, "rewrite", lambda _: pytest.fail("Redis' file would be rewritten at each try"))
    assert not erasing.finish(context, found.id) and waits == [0]
    monkeypatch.undo()
    reader.execute("COMMIT")
    assert erasing.finish(context, found.id)


# --- the export -------------------------------------------------------------------------------------------------------------------


def test_an_export_has_it_all_and_nothing_of_others(context, ana):
    file = io.BytesIO()
    assert personal_export.write(context, ana, file)
    archive = zipfile.ZipFile(file)
    assert archive.testzip() is None
    names = set(archive.namelist())
    for table in ("contacts", "contact_aliases", "contact_tags", "conversations", "messages", "notes", "suggestions", "drafts", "audience_members",
                  "rejected_events", "unmatched_statuses"):  # fmt: skip
        assert f"data/{table}.json" in names, table
        assert json.loads(archive.read(f"data/{table}.json"))
    texts = archive.read("conversation.txt").decode()
    assert f"they: One {WORD} please" in texts and f"we: Your {WORD}" in texts
    assert sum(name.startswith("media/") for name in names) == 2 and "messages" in archive.read("README.txt").decode()
    assert not any(BEN.encode() in archive.read(name) or b"Ben" in archive.read(name) for name in names)
    assert audit.newest(context.db)[0].deed == "contact.exported"


def test_an_export_of_nobody_is_none(context):
    assert not personal_export.write(context, 99, io.BytesIO())


# --- the registry -----------------------------------------------------------------------------------------------------------------

SPEAKS_OF_SOMEBODY = {"contact_id", "conversation_id", "message_id", "phone"}


def test_every_table_that_speaks_of_people_has_a_rule(db):
    """A new table that points to contacts, conversations or messages: say in store/personal.py what an erasure does to it."""
    covered = {rule.table for rule in personal.RULES} | set(personal.MENTIONS) | set(personal.NOT_PERSONAL)
    tables = [row["name"] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'")]
    points_to, columns = {}, {}
    for table in tables:
        points_to[table] = {row["table"] for row in db.execute("SELECT \"table\" FROM pragma_foreign_key_list(?)", (table,))}
        columns[table] = {row["name"] for row in db.execute("SELECT name FROM pragma_table_info(?)", (table,))}
    personal_tables = {"contacts", "conversations", "messages"}
    for table in tables:
        if points_to[table] & personal_tables or columns[table] & SPEAKS_OF_SOMEBODY:
            assert table in covered, f"{table} speaks of people: give it a rule in store/personal.py"
    assert {rule.table for rule in personal.RULES} <= set(tables) and set(personal.MENTIONS) <= set(tables)


@pytest.mark.parametrize(
    "stored, left",
    [
        (json.dumps({"from": ANA, "text": "x"}), "null"),
        (json.dumps({"entry": [{"id": 1, "messages": [{"from": ANA}, {"from": BEN}], "contacts": [{"wa_id": ANA}]}]}),
         json.dumps({"entry": [{"id": 1, "messages": [{"from": BEN}]}]})),
        (f"not JSON, of {ANA}", ""),
        (f"of {BEN}", f"of {BEN}"),
        (f'{{"a": "{ANA}"'.encode(), None),
        (None, None),
    ],
)  # fmt: skip
def test_what_mentions_somebody_loses_the_smallest_part_that_does(stored, left):
    assert personal.without(stored, [ANA]) == left
