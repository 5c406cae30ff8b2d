"""What may be scheduled, and how it is changed: flows/scheduling.py."""

import pytest

from frontdesk.flows import firing, scheduling
from frontdesk.flows.contents import TemplateMessage, TextMessage
from frontdesk.flows.outgoing import CannotSend
from frontdesk.flows.recurrence import local_to_utc
from frontdesk.flows.scheduling import Changes, Wanted
from frontdesk.store import clients, numbers, schedules, templates
from tests import webhooks
from tests.test_inbound import receive, rows

TEXT = TextMessage(text="Your bread is ready")
TEMPLATE = TemplateMessage(type="template", name="reminder", language="en")


@pytest.fixture
def conversation(context, db) -> int:
    receive(context, webhooks.texts(webhooks.text("Hello", sender="49151", id="wamid.1", at=context.now())))
    return db.execute("SELECT id FROM conversations").fetchone()["id"]


@pytest.fixture
def template(db) -> None:
    """An approved one without variables on the simulator's account."""
    db.execute("UPDATE numbers SET account_id = 'waba' WHERE account_id IS NULL")
    [account_id] = db.execute("SELECT account_id FROM numbers").fetchone()
    components = [{"type": "BODY", "text": "See you tomorrow"}]
    one = {"external_id": "1", "name": "reminder", "language": "en", "status": "APPROVED", "category": "UTILITY", "components": components}
    one |= {"parameter_format": "POSITIONAL", "reason": None, "quality": None}
    templates.replace_all(db, account_id, [one], 0)


@pytest.fixture
def other_client(db, settings) -> int:
    client_id = clients.add(db, "Other", "", 0)
    numbers.put(db, settings, client_id=client_id, channel="cloud", external_id="other", access_token="t", now=0)
    return client_id


@pytest.mark.parametrize(
    ("wanted", "code", "field"),
    [
        ({}, "invalid", "phone_number"),
        ({"conversation_id": 1, "phone": "49151"}, "invalid", "phone_number"),
        ({"conversation_id": 99}, "not_found", "conversation_id"),
        ({"phone": "+49 151"}, "invalid", "phone_number"),
        ({"phone": "49199"}, "window_closed", None),
        ({"phone": "49199", "number_id": 99}, "not_found", "number_id"),
        ({"conversation_id": 1, "at": None}, "invalid", "at"),
        ({"conversation_id": 1, "rule": "every hour"}, "invalid", "at"),
        ({"conversation_id": 1, "at": 1_790_000_000.0}, "in_the_past", "at"),
        ({"conversation_id": 1, "at": float("nan")}, "invalid", "at"),
        ({"conversation_id": 1, "at": 1e12}, "invalid", "at"),
        ({"conversation_id": 1, "at": None, "rule": "every banana"}, "bad_rule", "rule"),
        ({"conversation_id": 1, "time_zone": "Berlin"}, "bad_time_zone", "time_zone"),
        ({"conversation_id": 1, "late_limit_seconds": 59}, "invalid", "late_limit_seconds"),
        ({"conversation_id": 1, "name": "x" * 201}, "invalid", "name"),
        ({"conversation_id": 1, "message": TEMPLATE}, "unknown_template", "name"),
    ],
)
def test_what_cannot_be_scheduled_is_refused_and_named(context, db, clock, conversation, wanted, code, field):
    with pytest.raises(CannotSend) as caught:
        scheduling.make(context, Wanted(**{"message": TEXT, "at": clock() + 60, **wanted}))
    assert (caught.value.code, caught.value.field) == (code, field)
    assert rows(db, "SELECT * FROM schedules") == []


def test_the_time_zone_is_the_client_s_unless_another_is_named(context, db, clock, conversation):
    db.execute("UPDATE clients SET time_zone = 'Europe/Berlin'")
    clock.at = local_to_utc("2026-07-01", "00:00", "Europe/Berlin")
    own = scheduling.make(context, Wanted(TEXT, conversation, rule="every weekday 09:00"))
    assert (own.time_zone, own.next_at) == ("Europe/Berlin", local_to_utc("2026-07-01", "09:00", "Europe/Berlin"))
    named = scheduling.make(context, Wanted(TEXT, conversation, rule="every weekday 09:00", time_zone="Asia/Kathmandu"))
    assert named.next_at == local_to_utc("2026-07-01", "09:00", "Asia/Kathmandu")
    assert named.rule == "every weekday 09:00"


def test_a_phone_number_that_is_known_is_its_conversation(context, clock, conversation):
    made = scheduling.make(context, Wanted(TEXT, phone="49151", at=clock() + 60, name="  Bread ", late_limit_seconds=120), user_id=3)
    assert (made.conversation_id, made.phone, made.name, made.created_by) == (conversation, "49151", "Bread", 3)


def test_somebody_never_met_gets_a_conversation_when_the_template_goes_out(context, db, clock, template):
    made = scheduling.make(context, Wanted(TEMPLATE, phone="49199", at=clock() + 60))
    assert made.conversation_id is None and rows(db, "SELECT * FROM conversations") == []
    clock.forward(60)
    assert firing.fire_due(context) == 1
    [message] = rows(db, "SELECT kind, text, purpose FROM messages")
    assert message == {"kind": "template", "text": "See you tomorrow", "purpose": "schedule"}
    assert rows(db, "SELECT phone FROM contacts") == [{"phone": "49199"}]
    assert schedules.get(db, made.id).conversation_id == 1


def test_a_template_goes_out_with_the_window_closed_and_not_once_it_is_paused(context, db, clock, template, conversation):
    made = scheduling.make(context, Wanted(TEMPLATE, conversation, rule="every day 9:00"))
    clock.at = made.next_at + 3 * 86400
    firing.fire_due(context)
    db.execute("UPDATE templates SET status = 'PAUSED'")
    db.execute("UPDATE messages SET state = 'sent' WHERE state = 'queued'")
    clock.forward(86400)
    firing.fire_due(context)
    assert [(each.outcome, each.code) for each in schedules.firings(db, made.id)] == [("refused", "template_unusable"), ("sent", None)]


def test_a_client_s_asker_sees_and_changes_its_own_only(context, clock, conversation, other_client):
    made = scheduling.make(context, Wanted(TEXT, conversation, at=clock() + 60))
    for act in (
        lambda: scheduling.cancel(context, made.public_id, client_id=other_client),
        lambda: scheduling.pause(context, made.public_id, client_id=other_client),
        lambda: scheduling.change(context, made.public_id, Changes(name="mine"), client_id=other_client),
        lambda: scheduling.make(context, Wanted(TEXT, conversation, at=clock() + 60), client_id=other_client),
        lambda: scheduling.cancel(context, "no such"),
    ):
        with pytest.raises(CannotSend) as caught:
            act()
        assert caught.value.code == "not_found"


def test_everything_but_whom_it_goes_to_can_be_changed(context, db, clock, conversation):
    made = scheduling.make(context, Wanted(TEXT, conversation, at=clock() + 60, time_zone="UTC"))
    changed = scheduling.change(
        context,
        made.public_id,
        Changes(message=TextMessage(text="Tea"), name="Tea", rule="every day 9:00", time_zone="Europe/Berlin", late_limit_seconds=300),
    )
    assert (changed.content["text"], changed.name, changed.rule, changed.late_limit_seconds) == ("Tea", "Tea", "every day 9:00", 300)
    assert changed.next_at > clock() and changed.time_zone == "Europe/Berlin"
    moved = scheduling.change(context, made.public_id, Changes(time_zone="Asia/Kathmandu"))
    assert moved.rule == "every day 9:00" and moved.next_at != changed.next_at
    single = scheduling.change(context, made.public_id, Changes(at=clock() + 90))
    assert (single.rule, single.next_at) == (None, clock() + 90)
    assert scheduling.change(context, made.public_id, Changes()).next_at == clock() + 90


def test_one_that_is_done_cannot_be_changed(context, clock, conversation):
    made = scheduling.make(context, Wanted(TEXT, conversation, at=clock() + 60))
    clock.forward(60)
    firing.fire_due(context)
    with pytest.raises(CannotSend, match="This schedule is done; make a new one"):
        scheduling.change(context, made.public_id, Changes(at=clock() + 60))


def test_lists_come_in_pages_by_client_state_and_conversation(context, db, clock, conversation, other_client):
    made = [scheduling.make(context, Wanted(TEXT, conversation, at=clock() + 60 + n)) for n in range(5)]
    scheduling.pause(context, made[0].public_id)
    ids = lambda found: [each.id for each in found]  # noqa: E731
    assert ids(schedules.page(db, client_id=None, limit=3)) == [1, 2, 3]
    assert ids(schedules.page(db, client_id=None, after=3)) == [4, 5]
    assert ids(schedules.page(db, client_id=None, states=["paused"])) == [1]
    assert ids(schedules.page(db, client_id=other_client)) == []
    assert ids(schedules.page(db, client_id=None, conversation_id=conversation)) == [1, 2, 3, 4, 5]
    assert ids(schedules.coming(db, client_id=None, before=clock() + 63)) == [2, 3]


def test_a_calendar_shows_every_time_of_a_span(context, clock, conversation):
    clock.at = local_to_utc("2026-07-01", "00:00", "UTC")
    made = scheduling.make(context, Wanted(TEXT, conversation, rule="every day 9:00", time_zone="UTC"))
    day = 86400
    assert len(scheduling.times_between(made, clock(), clock() + 7 * day)) == 7
    assert scheduling.times_between(made, made.next_at + day, made.next_at + 2 * day) == [made.next_at + day]
    single = scheduling.make(context, Wanted(TEXT, conversation, at=clock() + 60))
    assert scheduling.times_between(single, clock(), clock() + day) == [clock() + 60]
    assert scheduling.times_between(single, clock() + 61, clock() + day) == []
    assert scheduling.times_between(scheduling.pause(context, made.public_id), 0, 9e9) == []


def test_old_firings_go_except_each_schedule_s_newest(context, db, clock, conversation):
    db.execute("UPDATE conversations SET window_closes_at = 9e9")
    made = scheduling.make(context, Wanted(TEXT, conversation, rule="every hour"))
    for _ in range(3):
        clock.at = schedules.get(db, made.id).next_at
        firing.fire_due(context)
        db.execute("UPDATE messages SET state = 'sent' WHERE state = 'queued'")
    assert schedules.clean(db, clock() + 1) == 2
    assert len(schedules.firings(db, made.id)) == 1
