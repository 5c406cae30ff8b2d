"""Importing recipients: every row is counted once, under one heading, however often the import dies."""

import io
import json

import pytest

from frontdesk.channels import Person
from frontdesk.errors import BadFilter
from frontdesk.flows import audience, audience_uploads, contact_filter, sweep
from frontdesk.store import audience_members, audiences, contacts, opt_outs, tags
from frontdesk.store.database import transaction
from tests.test_inbound import queued, rows


def upload(context, text, **more):
    stream = io.BytesIO(text if isinstance(text, bytes) else text.encode())
    return audience.from_file(context, 1, stream, **{"name": "List", "region": "DE", **more})


def imported(context, text, **more):
    audience_id = upload(context, text, **more)
    audience.read(context, audience_id)
    return audiences.get(context.db, audience_id)


def phone(n: int) -> str:
    return f"+49151{20000000 + n}"


def contact(db, digits, now=0.0, name=None, **person):
    with transaction(db):
        return contacts.resolve(db, 1, Person(phone=digits, name=name, **person), now)


def conversation(db, contact_id, window_closes_at=None):
    return db.execute(
        "INSERT INTO conversations (number_id, contact_id, window_closes_at, created_at) VALUES (1, ?, ?, 0)", (contact_id, window_closes_at)
    ).lastrowid


def message(db, conversation_id, direction, state, code=None, at=0.0):
    db.execute(
        """
        INSERT INTO messages (conversation_id, number_id, direction, state, kind, text, provider_at, created_at, failed_at, error_code)
        VALUES (?, 1, ?, ?, 'text', 'x', ?, ?, ?, ?)
        """,
        (conversation_id, direction, state, at, at, at if state == "failed" else None, code),
    )


def counts(found):
    return (found.rows, found.good, found.bad, found.duplicates, found.opted_out, found.unreachable)


def test_a_list_becomes_members_and_every_row_is_counted_under_one_heading(context, db):
    text = f"phone,name\n{phone(1)},Bo\nnonsense,x\n0151 20000002,Al\n\n{phone(1)},Bo again\n+49 151,y\n"
    found = imported(context, text)
    assert (found.state, found.problem, found.names) == ("ready", "", ["name"])
    assert counts(found) == (5, 2, 2, 1, 0, 0) and found.done == 1.0 and found.read_bytes == found.total_bytes == len(text)
    members = audience_members.after(db, found.id)
    assert [(one.position, one.phone, one.variables) for one in members] == [
        (1, "4915120000001", {"name": "Bo"}),
        (2, "4915120000002", {"name": "Al"}),
    ]
    assert {(one.time_zone, one.country) for one in members} == {("Europe/Berlin", "DE")}
    assert [(one.line, one.reason, one.text) for one in audience_members.all_bad_lines(db, found.id)] == [
        (3, "not a phone number", "nonsense,x"),
        (7, "too short for a number of DE", "+49 151,y"),
    ]


def test_who_opted_out_or_cannot_be_reached_is_left_out_and_counted_by_cause(context, db, clock):
    stopped, failed, wrote_since, old = (contact(db, f"491512000000{n}") for n in range(4))
    opt_outs.put(db, stopped, None, 1.0)
    for contact_id, at in ((failed, clock.at), (wrote_since, clock.at), (old, clock.at - 100 * 86400)):
        message(db, conversation(db, contact_id), "out", "failed", 131026, at)
    message(db, 2, "in", "answered", at=clock.at)
    found = imported(context, "\n".join(phone(n) for n in range(5)))
    assert counts(found) == (5, 3, 0, 0, 1, 1)
    assert [one.contact_id for one in audience_members.after(db, found.id)] == [wrote_since, old, None]
    assert [(one.cause, one.reason) for one in audience_members.all_bad_lines(db, found.id)] == [
        ("opted_out", "wants no marketing messages"),
        ("unreachable", "cannot be reached on WhatsApp: the last message failed"),
    ]


@pytest.mark.parametrize(
    ("known_as", "listed"),
    [("5215512345678", "+52 55 1234 5678"), ("551187654321", "+55 11 98765-4321"), ("541123456789", "+54 9 11 2345-6789")],
)
def test_an_opt_out_counts_under_every_id_that_whatsapp_gives_a_number(context, db, known_as, listed):
    opt_outs.put(db, contact(db, known_as), None, 1.0)
    assert counts(imported(context, listed)) == (1, 0, 0, 0, 1, 0)


def test_another_clients_opt_out_is_not_ours(context, db):
    from frontdesk.store import clients

    other = clients.add(db, "Other", "x", 0)
    with transaction(db):
        opt_outs.put(db, contacts.resolve(db, other, Person(phone="4915120000001"), 0), None, 1.0)
    assert counts(imported(context, phone(1))) == (1, 1, 0, 0, 0, 0)


def test_a_number_that_we_talk_with_exists_whatever_the_rules_say(context, db):
    known = contact(db, "15550100042")
    found = imported(context, "phone\n+1 555 010 0042\n+1 555 010 0043\n")
    assert counts(found) == (2, 1, 1, 0, 0, 0)
    assert audience_members.after(db, found.id)[0].contact_id == known


def test_numbers_without_a_country_code_belong_where_the_business_does(context, db):
    db.execute("UPDATE numbers SET display_phone = '+49 30 1234567'")
    found = imported(context, "0151 20000001", region=None)
    assert counts(found)[:2] == (1, 1) and "read as numbers of DE" in found.remark
    db.execute("UPDATE clients SET region = 'FR'")
    assert audience_members.after(db, imported(context, "06 12 34 56 78", region=None).id)[0].country == "FR"


def test_what_is_no_list_fails_in_words_and_leaves_no_file(context, settings):
    found = imported(context, b"PK\x03\x04")
    assert found.state == "failed" and "an Excel workbook" in found.problem
    assert list((settings.data_dir / "uploads").iterdir()) == []


def test_the_file_is_removed_when_it_was_read_and_is_the_owners_alone(context, settings):
    audience_id = upload(context, phone(1))
    path = settings.data_dir / audiences.get(context.db, audience_id).file
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    audience.read(context, audience_id)
    assert not path.exists() and audiences.get(context.db, audience_id).file is None


def test_a_vanished_file_is_told(context, settings):
    audience_id = upload(context, phone(1))
    (settings.data_dir / audiences.get(context.db, audience_id).file).unlink()
    audience.read(context, audience_id)
    assert audiences.get(context.db, audience_id).problem == "the uploaded file is gone; upload it again"


# --- dying ----------------------------------------------------------------------------------------------------------------------


def test_an_import_goes_on_from_its_last_batch(context, db, clock, settings, monkeypatch):
    monkeypatch.setattr(audience_members, "BATCH", 10)
    text = "phone;name\n" + "".join(f'{phone(n % 70)};"a\nb"\n' for n in range(100))
    audience_id = upload(context, text)
    kept, real = [], audience._keep

    def die_at_the_fourth(*args):
        if len(kept) == 3:
            raise KeyboardInterrupt
        kept.append(1)
        return real(*args)

    monkeypatch.setattr(audience, "_keep", die_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        audience.read(context, audience_id)
    monkeypatch.setattr(audience, "_keep", real)
    audience.read(context, audience_id)
    assert audiences.get(db, audience_id).rows == 30  # the lease of who died is still good
    clock.forward(settings.lease_seconds + 1)
    audience.read(context, audience_id)
    found = audiences.get(db, audience_id)
    assert counts(found) == (100, 70, 0, 30, 0, 0)
    assert [one.position for one in audience_members.after(db, audience_id)] == list(range(1, 71))
    assert audience_members.count(db, audience_id) == 70


def test_who_lost_the_lease_keeps_nothing(context, db, clock, settings, monkeypatch):
    audience_id = upload(context, "\n".join(phone(n) for n in range(5)))
    real = audience._known

    def be_slow(*args):
        monkeypatch.setattr(audience, "_known", real)
        clock.forward(settings.lease_seconds + 1)
        audience.read(context, audience_id)  # another worker's
        return real(*args)

    monkeypatch.setattr(audience, "_known", be_slow)
    audience.read(context, audience_id)
    assert counts(audiences.get(db, audience_id)) == (5, 5, 0, 0, 0, 0)


def test_the_sweep_rings_for_what_nobody_reads_and_once(context, db, redis):
    upload(context, phone(1))
    redis.flushall()
    sweep.sweep(context)
    sweep.sweep(context)
    assert queued(context, "bulk") == ["audience"]


def test_a_worker_that_is_stopped_hands_its_import_back(context, db, monkeypatch):
    monkeypatch.setattr(audience_members, "BATCH", 2)
    audience_id = upload(context, "\n".join(phone(n) for n in range(5)))
    context.stopping.set()
    audience.read(context, audience_id)
    found = audiences.get(db, audience_id)
    assert (found.state, found.rows, found.lease_owner) == ("reading", 2, None)
    context.stopping.clear()
    audience.read(context, audience_id)
    assert counts(audiences.get(db, audience_id))[:2] == (5, 5)


def test_a_list_that_kills_its_reader_every_time_is_given_up(context, db, clock, settings, monkeypatch):
    audience_id = upload(context, phone(1))

    def fail(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr(audience, "_keep", fail)
    for _ in range(audience.MOST_ATTEMPTS + 1):
        audience.read(context, audience_id)
    found = audiences.get(db, audience_id)
    assert found.state == "failed" and "could not be read" in found.problem


def test_a_deleted_audience_stops_its_reader_and_its_rows_go_with_the_sweeps(context, db, settings, monkeypatch):
    monkeypatch.setattr(audience_members, "BATCH", 2)
    audience_id = upload(context, "\n".join([*(phone(n) for n in range(30)), "x", "y", "z"]))
    real = audience._known

    def delete_meanwhile(db, *args):
        if audience_members.count(db, audience_id) == 4:
            audience.delete(context, audience_id)
        return real(db, *args)

    monkeypatch.setattr(audience, "_known", delete_meanwhile)
    audience.read(context, audience_id)
    assert audiences.get(db, audience_id) is None and audience_members.count(db, audience_id) == 4
    sweep.sweep(context)
    assert audience_members.count(db, audience_id) == 0 and audience_members.left_behind(db) == []
    assert list((settings.data_dir / "uploads").iterdir()) == []


def test_what_a_dead_upload_left_is_swept(context, settings):
    import os

    upload(context, phone(1))
    draft = settings.data_dir / "uploads" / "draft.x"
    draft.write_text("half")
    audience.sweep(context)
    assert draft.exists()
    os.utime(draft, (0, 0))
    [kept] = [path for path in draft.parent.iterdir() if path != draft]
    os.utime(kept, (0, 0))
    audience.sweep(context)
    assert not draft.exists() and kept.exists()


def test_an_upload_that_breaks_off_leaves_nothing(context, settings, db):
    class Broken(io.BytesIO):
        def read(self, *args):
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        audience.from_file(context, 1, Broken(), name="x")
    assert list((settings.data_dir / audience_uploads.FOLDER).iterdir()) == [] and rows(db, "SELECT id FROM audiences") == []


# --- contacts -------------------------------------------------------------------------------------------------------------------


def chosen(context, filter, **more):
    audience_id = audience.from_contacts(context, 1, filter, name="Chosen", **more)
    audience.read(context, audience_id)
    return audiences.get(context.db, audience_id)


def test_contacts_are_chosen_by_tag(context, db):
    ids = [contact(db, f"491512000000{n}", name=f"Person {n}") for n in range(4)]
    assert tags.add(db, 1, ids[:3], " #VIP ") == 3 and tags.add(db, 1, ids[1:2], "staff") == 1 and tags.add(db, 1, ids[:1], "vip") == 0
    found = chosen(context, {"tags_any": ["VIP"], "tags_none": ["staff"]}, source="tag")
    assert (found.state, found.total_rows, found.names) == ("ready", 2, ["name"])
    members = audience_members.after(db, found.id)
    assert [(one.contact_id, one.variables) for one in members] == [(ids[0], {"name": "Person 0"}), (ids[2], {"name": "Person 2"})]
    assert tags.of_client(db, 1) == [("staff", 1), ("vip", 3)] and tags.of_contact(db, ids[1]) == ["staff", "vip"]
    assert tags.remove(db, 1, ids, "vip") == 3


def test_contacts_are_chosen_by_what_they_did_and_where_they_are(context, db, clock):
    german, french, silent, left = (contact(db, digits) for digits in ("4915120000001", "33612345678", "4915120000002", "14165550123"))
    conversation(db, german, clock.at - 3 * 86400)
    conversation(db, french, clock.at)
    count = lambda filter: contact_filter.count(db, 1, contact_filter.checked(filter), clock.at)  # noqa: E731
    assert count({}) == 4 and count({"wrote_within_days": 2}) == 1 and count({"wrote_within_days": 5}) == 2
    assert count({"never_answered": True}) == 2 and count({"never_answered": True, "countries": ["DE"]}) == 1
    assert count({"countries": ["de", "FR"]}) == 3
    assert count({"countries": ["US"]}) == 1 and contact_filter.is_about({"countries": ["US"]})
    assert [one.contact_id for one in audience_members.after(db, chosen(context, {"countries": ["CA"]}).id)] == [left]
    assert chosen(context, {"countries": ["US"]}).good == 0


def test_contacts_that_may_not_be_written_to_are_left_out(context, db):
    opt_outs.put(db, contact(db, "4915120000001"), None, 1.0)
    contact(db, None, user_id="DE.abc")
    contact(db, "15550100042")
    found = chosen(context, {})
    assert counts(found) == (3, 1, 1, 0, 1, 0)
    [bad, _] = sorted(audience_members.all_bad_lines(db, found.id), key=lambda one: one.cause)
    assert "user name only" in bad.reason


def test_nobody_chosen_is_told(context):
    assert chosen(context, {"tags_any": ["none has it"]}).problem == "no contact is meant by this"


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ([], "filter"),
        ({"tag": "x"}, "tag"),
        ({"tags_any": "vip"}, "tags_any"),
        ({"tags_all": [1]}, "tags_all"),
        ({"tags_any": [str(n) for n in range(21)]}, "tags_any"),
        ({"wrote_within_days": 0}, "wrote_within_days"),
        ({"wrote_within_days": True}, "wrote_within_days"),
        ({"never_answered": "yes"}, "never_answered"),
        ({"countries": ["Germany"]}, "countries"),
        ({"never_answered": True, "wrote_within_days": 3}, "never_answered"),
    ],
)
def test_a_wrong_filter_names_its_part(raw, field):
    with pytest.raises(BadFilter) as caught:
        contact_filter.checked(raw)
    assert caught.value.field == field


def test_a_filter_has_one_form():
    assert contact_filter.checked({"tags_any": ["B ", "#a", "b"], "tags_none": [], "never_answered": False}) == {"tags_any": ["a", "b"]}
    assert contact_filter.words({"tags_any": ["a"], "wrote_within_days": 7}) == "tagged any of a; wrote in the last 7 days"
    assert json.loads(contact_filter.dumps({"countries": ["DE"]})) == {"countries": ["DE"]}


def test_tags_follow_a_contact_that_turns_out_to_be_another(db):
    one, other = contact(db, "4915120000001"), contact(db, None, user_id="DE.abc")
    tags.add(db, 1, [one, other], "both")
    tags.add(db, 1, [other], "other")
    assert contact(db, "4915120000001", user_id="DE.abc") == one
    assert tags.of_contact(db, one) == ["both", "other"] and tags.of_client(db, 1) == [("both", 1), ("other", 1)]
