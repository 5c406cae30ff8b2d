"""Broadcasts without the network: who gets a message, when, at what rate, and what is counted."""

import dataclasses
import io
import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from frontdesk.channels import Accepted, Person
from frontdesk.errors import Permanent, Temporary, Throttled
from frontdesk.flows import audience, broadcasting, broadcasts as control, sending, sweep
from frontdesk.flows.broadcasts import CannotBroadcast, Wanted
from frontdesk.store import broadcasts, contacts, opt_outs, outbox
from frontdesk.store.database import transaction
from tests.test_inbound import queued, rows
from tests.test_templates import keep, made

VARIABLES = {"1": {"column": "name"}, "2": {"text": "4711"}}


@pytest.fixture
def people(context):
    """An audience of these lines, ready."""
    keep(context, made("order_ready"), made("spring_sale"))

    def make(*lines: str) -> int:
        content = "\n".join(("phone,name", *lines)).encode()
        id_ = audience.from_file(context, 1, io.BytesIO(content), name="People")
        audience.read(context, id_)
        return id_

    return make


def draft(context, audience_id: int, **more):
    wanted = Wanted("Ready", 1, audience_id, "order_ready", "en", **{"variables": VARIABLES, **more})
    return control.make(context, wanted)


def served(context, broadcast) -> None:
    """Started, and served until nothing is left to do."""
    control.start(context, broadcast.id)
    broadcasting.serve(context)


def test_members_become_messages_with_their_own_words_and_it_is_done(context, db, people, channel):
    broadcast = draft(context, people("+4915110000001,Ana", "+4915110000002,Ben"))
    served(context, broadcast)
    assert sorted(text for _, text, _ in channel.sent) == [
        "Hello Ana, your order 4711 is ready to be picked up.\nCorner Bakery",
        "Hello Ben, your order 4711 is ready to be picked up.\nCorner Bakery",
    ]
    assert broadcasts.get(db, broadcast.id).state == "done"
    progress = control.progress(context, broadcasts.get(db, broadcast.id))
    assert (progress.total, progress.sent, progress.left, progress.failed) == (2, 2, 0, 0)


def test_the_end_of_a_broadcast_is_told_at_once(context, people, channel):
    served(context, draft(context, people("+4915110000001,Ana"), callback_url="https://shop.example/told"))
    assert "call_back" in queued(context, "bulk")


def test_who_opted_out_since_the_list_was_read_and_who_lacks_a_variable_are_skipped_and_named(context, db, people, channel):
    broadcast = draft(context, people("+4915110000001,Ana", "+4915110000002,", "+4915110000003,Cem"))
    contact = contacts.resolve(db, 1, Person(phone="4915110000003"), 0)
    opt_outs.put(db, contact, 1, 1)
    served(context, broadcast)
    assert [person.phone for person, _, _ in channel.sent] == ["4915110000001"]
    assert {row["phone"]: row["cause"][:10] for row in broadcasts.skipped(db, broadcast.id)} == {"4915110000002": "variable 1", "4915110000003": "opted out"}
    assert broadcasts.get(db, broadcast.id).state == "done"


def test_a_failure_is_counted_by_its_cause_and_asks_for_nobody(context, db, people, channel):
    channel.outcomes = [Permanent("undeliverable", code=131026)]
    broadcast = draft(context, people("+4915110000001,Ana", "+4915110000002,Ben"))
    served(context, broadcast)
    [failure] = broadcasts.failures(db, broadcast.id)
    assert (failure["error_code"], failure["count"]) == (131026, 1)
    assert rows(db, "SELECT id FROM conversations WHERE needs_person_at IS NOT NULL") == []


def test_being_disliked_pauses_every_broadcast_of_the_number(context, db, people, channel):
    channel.outcomes = [Throttled("spam", scope="number", code=131048, pause_broadcasts=True)]
    broadcast = draft(context, people("+4915110000001,Ana"))
    served(context, broadcast)
    kept = broadcasts.get(db, broadcast.id)
    assert (kept.state, kept.pause_code) == ("paused", "disliked") and broadcasts.tally(db, broadcast.id) == {"queued": 1}


def test_too_many_waiting_customers_hold_it(context, db, people, channel):
    broadcast = draft(context, people("+4915110000001,Ana"), most_waiting=0)
    contact = contacts.resolve(db, 1, Person(phone="49170"), 0)
    db.execute("INSERT INTO conversations (number_id, contact_id, created_at, waiting_since) VALUES (1, ?, 0, 1)", (contact,))
    control.start(context, broadcast.id)
    run, pump = broadcasting.Run(broadcast.id), broadcasting.Pump(context)
    assert broadcasting._step(context, pump, run, broadcasts.get(db, broadcast.id)) == 0 and run.holds
    db.execute("UPDATE conversations SET waiting_since = NULL")
    broadcasting.serve(context)
    assert len(channel.sent) == 1


def test_two_that_serve_at_once_send_each_message_once(context, db, people, channel):
    broadcast = draft(context, people(*(f"+49151100000{n:02},N{n}" for n in range(40))))
    control.start(context, broadcast.id)
    run = broadcasting.Run(broadcast.id)
    broadcasting._look(context, run, broadcasts.get(db, broadcast.id))
    stale = broadcasts.get(db, broadcast.id)
    broadcasting._refill(context, run, stale)
    broadcasting._refill(context, run, stale)
    assert broadcasts.tally(db, broadcast.id) == {"queued": 40}
    claimed = [broadcasts.claim(db, broadcast.id, owner, context.now(), 60, 30) for owner in "ab"]
    assert [len(some) for some in claimed] == [30, 10]
    assert len({message.id for some in claimed for message in some}) == 40


def test_what_was_claimed_of_a_broadcast_that_is_paused_is_nothing(context, db, people):
    broadcast = draft(context, people("+4915110000001,Ana"))
    control.start(context, broadcast.id)
    run = broadcasting.Run(broadcast.id)
    broadcasting._look(context, run, broadcasts.get(db, broadcast.id))
    broadcasting._refill(context, run, broadcasts.get(db, broadcast.id))
    control.pause(context, broadcast.id)
    assert broadcasts.claim(db, broadcast.id, "a", context.now(), 60, 30) == []


def claimed_one(context, db, people) -> tuple:
    """A broadcast to Ana, whose message is being sent at this moment."""
    broadcast = draft(context, people("+4915110000001,Ana"))
    control.start(context, broadcast.id)
    run = broadcasting.Run(broadcast.id)
    broadcasting._look(context, run, broadcasts.get(db, broadcast.id))
    broadcasting._refill(context, run, broadcasts.get(db, broadcast.id))
    [message] = broadcasts.claim(db, broadcast.id, "a", context.now(), 60, 30)
    return broadcast, message


def test_a_message_refused_while_its_recipient_says_stop_is_not_tried_again(context, db, people, channel, clock):
    broadcast, message = claimed_one(context, db, people)
    opt_outs.put(db, 1, 1, clock())
    with transaction(db):
        sending.record_failure(context, db, message, Temporary("try later"), clock())
    clock.forward(3600)
    broadcasting.serve(context)
    assert channel.sent == [] and broadcasts.tally(db, broadcast.id) == {"withdrawn": 1}
    assert broadcasts.get(db, broadcast.id).state == "done"


def test_of_a_broadcast_that_was_cancelled_nothing_is_tried_again(context, db, people, clock):
    broadcast, message = claimed_one(context, db, people)
    control.cancel(context, broadcast.id)
    clock.forward(3600)
    sweep.sweep(context)
    clock.forward(3600)
    sweep.sweep(context)
    assert broadcasts.tally(db, broadcast.id) == {"withdrawn": 1}


def test_quiet_hours_that_begin_while_a_slow_broadcast_goes_out_are_kept(context, db, people, channel, clock):
    berlin = ZoneInfo("Europe/Berlin")
    clock.at = datetime(2026, 9, 25, 20, 59, tzinfo=berlin).timestamp()
    broadcast = draft(context, people("+4915110000001,Ana"), quiet_from=21 * 60, quiet_until=9 * 60)
    control.start(context, broadcast.id)
    run = broadcasting.Run(broadcast.id)
    broadcasting._look(context, run, broadcasts.get(db, broadcast.id))
    broadcasting._refill(context, run, broadcasts.get(db, broadcast.id))
    control.pause(context, broadcast.id)
    clock.forward(3600)
    control.resume(context, broadcast.id)
    broadcasting.serve(context)
    assert channel.sent == []
    assert rows(db, "SELECT due_at FROM messages") == [{"due_at": datetime(2026, 9, 26, 9, 0, tzinfo=berlin).timestamp()}]
    clock.at = datetime(2026, 9, 26, 9, 0, 1, tzinfo=berlin).timestamp()
    broadcasting.serve(context)
    assert len(channel.sent) == 1


@pytest.mark.parametrize(
    "now, begins, ends, due",
    [
        ("2026-09-25 12:00", 21 * 60, 9 * 60, "2026-09-25 12:00"),
        ("2026-09-25 22:00", 21 * 60, 9 * 60, "2026-09-26 09:00"),
        ("2026-09-25 03:00", 21 * 60, 9 * 60, "2026-09-25 09:00"),
        ("2026-09-25 13:00", 12 * 60, 14 * 60 + 30, "2026-09-25 14:30"),
        ("2026-09-25 14:30", 12 * 60, 14 * 60 + 30, "2026-09-25 14:30"),
        ("2026-10-24 23:00", 21 * 60, 9 * 60, "2026-10-25 09:00"),  # the clocks go back in that night
    ],
)
def test_quiet_hours_are_the_recipients_own(context, people, now, begins, ends, due):
    zone = ZoneInfo("Europe/Berlin")
    broadcast = dataclasses.replace(draft(context, people("+4915110000001,Ana")), quiet_from=begins, quiet_until=ends)
    at = lambda words: datetime.fromisoformat(words).replace(tzinfo=zone).timestamp()  # noqa: E731
    assert broadcasting._allowed_at(broadcast, zone.key, at(now)) == at(due)


@pytest.mark.parametrize(
    "more, field",
    [
        ({"variables": {"1": {"column": "name"}}}, "variables.2"),
        ({"variables": {**VARIABLES, "3": {"text": "x"}}}, "variables.3"),
        ({"variables": {**VARIABLES, "2": {"column": "nothing"}}}, "variables.2"),
        ({"variables": {**VARIABLES, "2": {"text": " "}}}, "variables.2"),
        ({"messages_per_second": 0}, "messages_per_second"),
        ({"spread_seconds": 1}, "spread_seconds"),
        ({"quiet_from": 60}, "quiet_until"),
        ({"quiet_from": 1440, "quiet_until": 1}, "quiet_from"),
        ({"error_limit": 2}, "error_limit"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_made(context, db, people, more, field):
    audience_id = people("+4915110000001,Ana")
    with pytest.raises(CannotBroadcast) as caught:
        draft(context, audience_id, **more)
    assert caught.value.field == field and broadcasts.newest(db) == []


def test_a_paused_template_cannot_be_chosen(context, people):
    with pytest.raises(CannotBroadcast, match="paused"):
        control.make(context, Wanted("x", 1, people("+4915110000001,Ana"), "spring_sale", "en", {}))


# --- the rate -------------------------------------------------------------------------------------------------------------------------


def test_moments_are_evenly_apart_and_never_beyond_the_horizon(context):
    slots = context.limits.reserve(1, 80, 100, 0.1)
    assert 7 <= len(slots) <= 9 and slots == sorted(slots) and slots[-1] <= 0.1
    assert all(abs(after - before - 1 / 80) < 1e-4 for before, after in zip(slots, slots[1:]))
    assert len(context.limits.reserve(1, 80, 100, 0.1)) <= 1, "they are taken"


def test_moments_that_nobody_took_are_made_up_for_within_limits(context):
    context.limits.reserve(1, 80, 1, 0.1)
    time.sleep(0.5)
    slots = context.limits.reserve(1, 80, 100, 0.1, 0.25)
    assert slots[0] == -0.25 and 28 <= len(slots) <= 29, "a quarter of a second back, a tenth ahead"
    assert len(context.limits.reserve(1, 80, 100, 0, 0.25)) < 20, "once"


def test_a_reply_does_not_wait_behind_reserved_moments(context):
    context.limits.reserve(1, 80, 100, 0.1)
    assert context.limits.take(1, 5, 80) == 0


def test_what_comes_in_counts_while_a_broadcast_runs(context):
    context.limits.came_in(1, 80, 40)
    assert context.limits.reserve(1, 80, 1, 0.1), "no broadcast runs: nothing was counted"
    context.limits.watch_inbound(1)
    context.limits.came_in(1, 80, 40)
    assert context.limits.reserve(1, 80, 1, 0.1) == []


def test_a_number_that_was_told_to_slow_down_reserves_nothing(context):
    context.limits.pause(1, 5)
    assert context.limits.reserve(1, 80, 10, 0.1) == []


def test_an_accepted_message_of_a_broadcast_keeps_statuses_that_came_first(context, db, people):
    broadcast = draft(context, people("+4915110000001,Ana"))
    control.start(context, broadcast.id)
    run = broadcasting.Run(broadcast.id)
    broadcasting._look(context, run, broadcasts.get(db, broadcast.id))
    broadcasting._refill(context, run, broadcasts.get(db, broadcast.id))
    [message] = broadcasts.claim(db, broadcast.id, "a", context.now(), 60, 1)
    outbox.keep_unmatched(db, 1, "wamid.early", "delivered", context.now(), {}, context.now())
    with transaction(db):
        broadcasting.sending.record_accepted(db, message, Accepted("wamid.early"), context.now())
    assert broadcasts.tally(db, broadcast.id) == {"delivered": 1}
