"""Sending broadcasts: members become messages a little ahead of their turn, and go out at the number's rate from many threads.

SQLite is written by one thread here, in short transactions: new messages, claims, outcomes. The calls are made by the others, each
at the moment that was reserved for it in the rate which all processes of the number share. Any number of these may run at once: a
claim belongs to one, and what a death leaves behind is found by its lease, parked and proven like every other message.
"""

import logging
import queue
import sys
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from frontdesk.channels import Accepted, Person, Sender
from frontdesk.errors import FrontdeskError, NumberStopped, Permanent, SendError
from frontdesk.flows import broadcasts as control, media, sending, template_parts
from frontdesk.flows.context import Context
from frontdesk.flows.pump import Call, Pump
from frontdesk.flows.template_parts import BadVariable
from frontdesk.store import audience_members, broadcasts, contacts, conversations, media as media_rows, numbers, opt_outs, outbox, templates
from frontdesk.store.audience_members import Member
from frontdesk.store.broadcasts import Broadcast
from frontdesk.store.database import transaction

log = logging.getLogger(__name__)

STEP_SECONDS = 0.02
LOOK_SECONDS = 1.0
# Shorter than the burst that replies may borrow (an eighth of a second's worth): no reply waits behind a broadcast.
HORIZON_SECONDS = 0.1
# What was missed while another job of this worker had its turn is made up for; pump.Window sees to it that no second holds too many.
PAST_SECONDS = 0.3
# Of reserved moments some are missed; pump.Window alone keeps a second from holding too many.
SHARE_OF_RATE = 0.9975
# Between threads: Python's own is 5 ms, which one whose moment has come may wait for each that has work. Where hundreds go out each second
# moments are not what counts, and changing threads so often costs a tenth of them.
SWITCH_SECONDS, USUAL_SWITCH_SECONDS, MANY_A_SECOND = 0.0005, 0.005, 200
AHEAD_SECONDS = 2
REFILL = 50  # members in one transaction: some 15 ms, in which nobody else writes and no moment is reserved
LEAST_THREADS, THREADS_PER_RATE = 8, 0.5  # calls of a quarter of a second, and as long before their moment and after it, keep up with the rate
HAND_OVER_SECONDS = 10  # in which other work for this worker waits at most


@dataclass
class Run:
    """What is remembered of a broadcast while it is served."""

    id: int
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    looked_at: float = 0.0
    holds: bool = False
    sender: Sender | None = None
    channel: str = ""
    rate: float = 1.0
    limit: float = 1.0
    template: templates.Template | None = None
    file_id: str | None = None


def serve(context: Context) -> None:
    """All that runs, until there is nothing left to do here, or other work of this worker has waited long enough."""
    pump, runs = Pump(context), {}
    begun = time.monotonic()
    try:
        while True:
            running = broadcasts.running(context.db)
            runs = {one.id: runs.get(one.id) or Run(one.id) for one in running}
            may_claim = not context.stopping.is_set() and not _hands_over(context, begun)
            found = sum(_step(context, pump, runs[one.id], one) for one in running) if may_claim else 0
            settled = _settle(context, pump)
            if not pump.under_way and not (may_claim and (found or _something_comes(context, running))):
                break
            if not settled and not found:
                time.sleep(STEP_SECONDS)
    finally:
        pump.finish()
    for one in broadcasts.running(context.db):
        if broadcasts.is_finished(context.db, one):
            control.finish(context, one)
    if not context.stopping.is_set() and any(_something_comes(context, [one]) for one in broadcasts.running(context.db)):
        control.ring(context)


def _hands_over(context: Context, begun: float) -> bool:
    return time.monotonic() - begun > HAND_OVER_SECONDS and context.queues.others_wait_for_broadcasts()


def _something_comes(context: Context, running: list[Broadcast]) -> bool:
    """Whether waiting here is worth the while: the sweep rings for what comes due later."""
    now = context.now()
    return any(one.position < one.total or broadcasts.ready(context.db, one.id, now + LOOK_SECONDS, 1) for one in running)


def _step(context: Context, pump: Pump, run: Run, broadcast: Broadcast) -> int:
    """A few more of this broadcast on their way. Returns how many."""
    if time.monotonic() - run.looked_at > LOOK_SECONDS:
        run.looked_at = time.monotonic()
        if not _look(context, run, broadcast):
            return 0
        pump.grow(int(max(LEAST_THREADS, run.rate * THREADS_PER_RATE)))
    if run.holds or run.sender is None:
        return 0
    _refill(context, run, broadcast)
    return _send(context, pump, run, broadcast)


# --- whether it may go on -------------------------------------------------------------------------------------------------------------


def _look(context: Context, run: Run, broadcast: Broadcast) -> bool:
    """Once a second. False where it stands still now: paused with the cause, or done."""
    db = context.db
    number = numbers.get(db, broadcast.number_id)
    run.template = templates.find(db, number.account_id, broadcast.content["name"], broadcast.content["language"])
    if broadcasts.is_finished(db, broadcast):
        control.finish(context, broadcast)
        return False
    if problem := _problem(context, run, broadcast, number):
        control.pause_for(context, broadcast.id, *problem)
        return False
    run.channel, run.rate, run.limit = number.channel, _rate(broadcast, number), number.messages_per_second
    run.holds = broadcast.most_waiting is not None and conversations.count_waiting(db) > broadcast.most_waiting
    sys.setswitchinterval(SWITCH_SECONDS if run.rate < MANY_A_SECOND else USUAL_SWITCH_SECONDS)
    context.limits.watch_inbound(broadcast.number_id)
    _keep_quiet(context, broadcast)
    return True


def _keep_quiet(context: Context, broadcast: Broadcast) -> None:
    """What was to go before the recipient's quiet hours began, and has not gone, waits for their end: it went slowly, or stood still."""
    now = context.now()
    if broadcast.quiet_from is None:
        return
    for zone, message_ids in broadcasts.ready_by_zone(context.db, broadcast, now).items():
        if (due_at := _allowed_at(broadcast, zone, now)) > now:
            broadcasts.postpone(context.db, broadcast.id, message_ids, due_at)


def _problem(context: Context, run: Run, broadcast: Broadcast, number: numbers.Number) -> tuple[str, str] | None:
    if number.stopped_at is not None:
        return "number_stopped", f"The number is stopped: {number.stopped_reason}"
    if run.template is None or (obstacle := template_parts.obstacle(run.template)):
        return "template_unusable", f"The template {broadcast.content['name']}: {obstacle if run.template else 'it is not there any more.'}"
    if words := control.too_many_errors(context.db, broadcast):
        return "errors", words
    try:
        run.sender = numbers.sender(number, context.settings)
        run.file_id = _file(context, broadcast, number)
    except (Permanent, NumberStopped) as error:
        return "file", f"Its file cannot be sent: {error}"
    except SendError as error:
        log.info("broadcast %s: its file could not be uploaded yet (%s)", broadcast.id, error)
        run.sender = None
    except FrontdeskError as error:
        return "number_stopped", str(error)
    return None


def _file(context: Context, broadcast: Broadcast, number: numbers.Number) -> str | None:
    if broadcast.media_id is None:
        return None
    return media.external_id(context, number, media_rows.get(context.db, broadcast.media_id))


def _rate(broadcast: Broadcast, number: numbers.Number) -> float:
    """Messages a second: the number's, or less where the broadcast is to take longer."""
    rates = [number.messages_per_second, broadcast.messages_per_second or number.messages_per_second]
    if broadcast.spread_seconds:
        rates.append(max(broadcast.total / broadcast.spread_seconds, 1 / 60))
    return min(rates)


# --- members become messages --------------------------------------------------------------------------------------------------------


def _refill(context: Context, run: Run, broadcast: Broadcast) -> None:
    ahead = max(REFILL, int(run.rate * AHEAD_SECONDS))
    if broadcast.position >= broadcast.total or broadcasts.ready(context.db, broadcast.id, context.now(), ahead) > ahead // 2:
        return
    number = numbers.get(context.db, broadcast.number_id)
    with transaction(context.db) as db:  # which also reads them: one may be erased at this moment
        members = audience_members.after(db, broadcast.audience_id, broadcast.position, REFILL)
        if members and broadcasts.move(db, broadcast.id, broadcast.position, members[-1].position):
            for member in members:
                _become_message(context, db, run, broadcast, number, member)


def _become_message(context: Context, db, run: Run, broadcast: Broadcast, number: numbers.Number, member: Member) -> None:
    """Opted out since the list was read: nothing goes to them."""
    now = context.now()
    if member.erased:
        broadcasts.skip(db, broadcast.id, member.position, "", "erased")
        return
    try:
        filled = template_parts.fill(run.template, control.variables_for(broadcast, member.variables), control.filename(broadcast))
    except BadVariable as error:
        broadcasts.skip(db, broadcast.id, member.position, member.phone, f"variable {error.field.rpartition('.')[2]}: {error}")
        return
    contact_id = contacts.resolve(db, broadcast.client_id, Person(phone=member.phone), now)
    if opt_outs.wants_none(db, contact_id, number.id):
        broadcasts.skip(db, broadcast.id, member.position, member.phone, "opted out")
        return
    conversation_id = conversations.of(db, number.id, contact_id, now, state="closed")
    outbox.queue(
        db,
        conversation_id,
        number.id,
        filled.content,
        purpose="broadcast",
        now=now,
        due_at=_allowed_at(broadcast, member.time_zone, now),
        media_id=broadcast.media_id,
        media=control.shown(broadcast),
        broadcast_id=broadcast.id,
    )


def _allowed_at(broadcast: Broadcast, time_zone: str, now: float) -> float:
    """Now, or when the quiet hours of a recipient in this time zone end."""
    if broadcast.quiet_from is None or broadcast.quiet_until is None or broadcast.quiet_from == broadcast.quiet_until:
        return now
    local = datetime.fromtimestamp(now, ZoneInfo(time_zone or "UTC"))
    minute = local.hour * 60 + local.minute
    begins, ends = broadcast.quiet_from, broadcast.quiet_until
    is_quiet = begins <= minute < ends if begins < ends else minute >= begins or minute < ends
    if not is_quiet:
        return now
    day = local + timedelta(days=1 if minute >= ends else 0)
    return day.replace(hour=ends // 60, minute=ends % 60, second=0, microsecond=0).timestamp()


# --- messages go out ------------------------------------------------------------------------------------------------------------------


def _send(context: Context, pump: Pump, run: Run, broadcast: Broadcast) -> int:
    """As many as the rate lets go within the horizon. Reserved first: what cannot be claimed then is a gap of milliseconds."""
    most = min(pump.free, 1 + int(run.rate * HORIZON_SECONDS))
    most = broadcasts.ready(context.db, broadcast.id, context.now(), most) if most > 0 else 0
    if not most:
        return 0
    rate = run.rate * SHARE_OF_RATE
    slots = context.limits.reserve(broadcast.number_id, rate, most, HORIZON_SECONDS, PAST_SECONDS)
    if not slots:
        return 0
    base, db = time.monotonic(), context.db
    with transaction(db):
        claimed = broadcasts.claim(db, broadcast.id, run.owner, context.now(), sending.lease_seconds(context), len(slots))
        people = contacts.people_of(db, [message.conversation_id for message in claimed])
    for message, slot in zip(claimed, slots):
        pump.put(Call(message, people[message.conversation_id], run.sender, run.channel, run.file_id, base + slot, rate, run.limit))
    return len(claimed)


def _settle(context: Context, pump: Pump) -> int:
    """What came of calls, in one transaction."""
    outcomes = []
    while len(outcomes) < 500:
        try:
            outcomes.append(pump.results.get_nowait())
        except queue.Empty:
            break
    if not outcomes:
        return 0
    pump.under_way -= len(outcomes)
    aftermaths, pauses = [], []
    with transaction(context.db) as db:
        for message, outcome in outcomes:
            if isinstance(outcome, Accepted):
                sending.record_accepted(db, message, outcome, context.now())
                continue
            aftermaths.append(sending.record_failure(context, db, message, outcome, context.now()))
            pauses += control.pauses_for(db, message, outcome)
    for aftermath in aftermaths:
        if aftermath.pause:
            context.limits.pause(*aftermath.pause)
    for broadcast_id, code, words in pauses:
        control.pause_for(context, broadcast_id, code, words)
    return len(outcomes)
