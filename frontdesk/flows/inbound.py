"""From acknowledged webhooks to rows: one transaction for up to 500 of them, then the bells for what they set in motion.

Dying anywhere replays the webhooks, and the unique index on a message's external id swallows what is already here.
"""

import base64
import logging
import sqlite3
from collections import Counter
from dataclasses import dataclass, field

from frontdesk import logs
from frontdesk.channels import (
    AccountEvent,
    DetailsLeft,
    Echo,
    Event,
    InboundMessage,
    MarketingPreference,
    MessageEdited,
    MessageRevoked,
    PersonChanged,
    Rejected,
    StatusChange,
)
from frontdesk.flows import erased, opting_out, reach, receiving, sending, take_over, templates, visitors
from frontdesk.flows.context import Context
from frontdesk.flows.person_words import asks_for_person
from frontdesk.queues import InboxEntry
from frontdesk.store import canary, clients, contacts, conversations, drafts, events, messages, numbers, opt_outs, widgets
from frontdesk.store.database import savepoint, transaction

log = logging.getLogger(__name__)

WINDOW_SECONDS = 24 * 3600
NEVER = 253_402_300_799.0  # the end of 9999: when the window of a channel without one closes

# A provider's time further ahead than this is a wrong clock, not a message from the future.
CLOCK_TOLERANCE_SECONDS = 300


@dataclass
class Consequences:
    """What is left to do once the rows are written: conversations that may wait for an answer, and what statuses brought.

    `addressed`: the numbers of this batch, by where its webhooks came to: nearly all are of one.
    """

    addressed: dict[tuple[str, str | None], numbers.Number | None] = field(default_factory=dict)
    to_answer: set[int] = field(default_factory=set)
    to_send: set[int] = field(default_factory=set)
    to_receive: bool = False
    templates_changed: bool = False
    came_in: Counter[numbers.Number] = field(default_factory=Counter)
    visitors: set[str] = field(default_factory=set)
    aftermaths: list[sending.Aftermath] = field(default_factory=list)


def drain(context: Context) -> int:
    """Empty the inbox; returns how many webhooks were read."""
    count = 0
    while read := drain_some(context):
        count += read
    return count


def drain_some(context: Context) -> int:
    """As drain(), of the oldest webhooks: one transaction's worth."""
    entries = context.inbox.read()
    if not entries:
        return 0
    consequences = Consequences()
    with transaction(context.db) as db:
        for entry in entries:
            with logs.about(entry.origin):
                _record(context, db, entry, consequences)
    ring(context, consequences)
    context.inbox.delete(entries)
    return len(entries)


def ring(context: Context, consequences: Consequences) -> None:
    """The bells for what is owed."""
    now = context.now()
    due = {}
    for id_ in consequences.to_answer:
        conversation = conversations.get(context.db, id_)
        if conversation and conversation.waiting_since is not None and conversation.state == "bot":
            due[id_] = conversation.answer_due_at
    later = {id_: at for id_, at in due.items() if at > now}
    if len(due) > len(later):
        context.queues.reply()
    context.bells.reply_at(later)
    if later and context.settings.early_start and not context.queues.depth("default"):
        _begin_early(context, later)
    context.queues.send(consequences.to_send)
    if consequences.to_receive:
        context.queues.receive_files()
    for number, count in consequences.came_in.items():
        context.limits.came_in(number.id, number.messages_per_second, count)
    if consequences.templates_changed:
        context.queues.refresh_templates()
    for visitor in consequences.visitors:
        context.live.changed(visitor)
    for aftermath in consequences.aftermaths:
        aftermath.carry_out(context)


def _begin_early(context: Context, later: dict[int, float]) -> None:
    """One conversation, the one whose period ends first, and only while no other stands in line for the same."""
    if not context.queues.early_begun():
        context.queues.begin_early(min(later, key=later.get))


def _record(context: Context, db: sqlite3.Connection, entry: InboxEntry, consequences: Consequences) -> None:
    kind = entry.channel.partition("/")[0]
    try:
        parsed = context.channel(kind).parse(entry.body)
    except Exception as error:  # parse() promises not to; if it does, this body must not hold up the inbox for ever
        log.exception("webhook %s could not be parsed", entry.id)
        parsed = [Rejected(f"could not be parsed: {type(error).__name__}", _readable(entry.body))]
    if entry.origin != entry.id:
        events.taken_in_again(db, entry.origin, context.now())
    for index, event in enumerate(parsed):
        key = f"{entry.origin}:{index}"
        try:
            with savepoint(db):
                _record_event(context, db, entry, key, event, consequences)
        except sqlite3.OperationalError:
            raise  # the database, not the event: locked, full, gone. Nothing of this batch is kept, all of it is replayed
        except Exception as error:
            log.exception("event %s could not be stored", key)
            reason = f"could not be stored: {type(error).__name__}"
            events.reject(db, key, entry.channel, reason, _readable(entry.body), entry.received_at, entry.body)


def _readable(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(body).decode()


def _record_event(
    context: Context, db: sqlite3.Connection, entry: InboxEntry, key: str, event: Event, consequences: Consequences
) -> None:
    if isinstance(event, Rejected):
        events.reject(db, key, entry.channel, event.reason, event.raw, entry.received_at, entry.body)
        return
    address = (entry.channel, event.number_external_id)
    if address not in consequences.addressed:
        consequences.addressed[address] = _number(db, *address)
    number = consequences.addressed[address]
    if isinstance(event, AccountEvent):
        events.keep_account_event(db, entry.origin, number.id if number else None, event, entry.received_at)
        consequences.templates_changed |= templates.record_event(db, event)
        reach.record_event(db, event, entry.received_at)
        return
    if not number:
        reason = f"unknown phone_number_id {event.number_external_id}" if event.number_external_id else "an address that no number has any more"
        events.reject(db, key, entry.channel, reason, event.raw, entry.received_at, entry.body)
        return
    if not erased.swallows(context.settings, db, number, event, entry.received_at):
        _HANDLERS[type(event)](context, db, number, event, entry.received_at, consequences)


def _number(db: sqlite3.Connection, channel: str, external_id: str | None) -> numbers.Number | None:
    kind, _, address = channel.partition("/")
    if address:
        number_id, _, key = address.partition(".")
        return numbers.at_address(db, kind, int(number_id), key)
    if external_id == canary.EXTERNAL_ID and kind == "cloud":  # no number of Meta's: they are digits
        kind = canary.CHANNEL
    return numbers.find(db, kind, external_id) if external_id else None


def _message(context, db, number: numbers.Number, event: InboundMessage, received_at: float, consequences) -> None:
    conversation_id = _conversation(db, number, event.person, received_at)
    written_at = _when(event.at, received_at)
    waits = event.answerable and event.group_id is None
    added = messages.add_inbound(
        db, conversation_id, number.id, event, "waiting" if waits else "noted", written_at, received_at
    )
    if added:
        log.info("message %s came in, conversation %s", added, conversation_id)
    if added and event.group_id is None:
        client = clients.get(db, number.client_id, context.settings)
        conversations.customer_wrote(
            db,
            conversation_id,
            window_closes_at=NEVER if number.channel == widgets.CHANNEL else written_at + WINDOW_SECONDS,
            waits=waits,
            due_at=received_at + client.quiet_seconds,
            latest=client.longest_wait_seconds,
            now=received_at,
        )
        consequences.came_in[number] += 1
        _tell_widget(db, number, conversation_id, event, received_at, consequences)
        if event.media and (event.media.media_id or event.media.url):
            receiving.want(context, db, conversation_id, added, waits, received_at)
            consequences.to_receive = True
        if waits and (word := opting_out.read(event.text)) and opting_out.obey(context, db, conversation_id, client, word):
            messages.mark_waiting_as(db, [added], "answered")
            conversations.settle(db, conversation_id)
            consequences.to_send.add(conversation_id)
        elif waits and asks_for_person(event.text, client.person_words):
            if take_over.ask_for_person(context, db, conversation_id, client):
                consequences.to_send.add(conversation_id)
    consequences.to_answer.add(conversation_id)


def _tell_widget(db: sqlite3.Connection, number: numbers.Number, conversation_id: int, event, now: float, consequences) -> None:
    """A visitor's other tabs show what they wrote; one who went on by WhatsApp is known there by their code."""
    if number.channel == widgets.CHANNEL:
        consequences.visitors.add(event.person.user_id)
    elif code := visitors.reference_in(event.text):
        widgets.join(db, code, conversation_id, number.client_id, now - visitors.REFERENCE_GOOD_SECONDS, now)


def _conversation(db: sqlite3.Connection, number: numbers.Number, person, now: float) -> int:
    contact_id = contacts.resolve(db, number.client_id, person, now)
    return conversations.of(db, number.id, contact_id, now)


def _when(provider_at: float, received_at: float) -> float:
    """The provider's time where it can be true, else the time of receipt."""
    if 0 < provider_at <= received_at + CLOCK_TOLERANCE_SECONDS:
        return provider_at
    return received_at


def _edited(context, db, number, event: MessageEdited, received_at, consequences) -> None:
    at = _when(event.at, received_at)
    conversation_id = messages.edit(db, number.id, event.original_external_id, event.text, at)
    if conversation_id is not None:
        drafts.remove(db, conversation_id)
        return
    note = _note(event, "edit", event.text, event.original_external_id)
    messages.add_inbound(db, _conversation(db, number, event.person, received_at), number.id, note, "noted", at, received_at)


def _revoked(context, db, number, event: MessageRevoked, received_at, consequences) -> None:
    at = _when(event.at, received_at)
    conversation_id = messages.revoke(db, number.id, event.original_external_id, at)
    if conversation_id is not None:
        if not messages.waiting(db, conversation_id):
            conversations.settle(db, conversation_id)
        return
    note = _note(event, "revoke", "[message deleted]", event.original_external_id)
    messages.add_inbound(db, _conversation(db, number, event.person, received_at), number.id, note, "noted", at, received_at)


def _note(event, kind: str, text: str, original: str | None) -> InboundMessage:
    """An event about something that is not here, kept as a line of the conversation."""
    return InboundMessage(
        number_external_id=event.number_external_id,
        person=event.person,
        external_id=event.external_id,
        at=event.at,
        kind=kind,
        text=text,
        answerable=False,
        raw=event.raw,
        reply_to_external_id=original,
    )


def _status(context, db, number, event: StatusChange, received_at, consequences) -> None:
    at = _when(event.at, received_at)
    conversation_id = _conversation(db, number, event.echo.person, received_at) if event.echo else None
    aftermath = sending.record_status(context, db, number, event, at, context.now(), conversation_id)
    if aftermath is None:
        _echo(context, db, number, event.echo, received_at, consequences)
    elif aftermath != sending.Aftermath():
        consequences.aftermaths.append(aftermath)


def _echo(context, db, number, event: Echo, received_at, consequences) -> None:
    conversation_id = _conversation(db, number, event.person, received_at)
    at = _when(event.at, received_at)
    if messages.add_echo(db, conversation_id, number.id, event, at, received_at):
        take_over.answered_on_phone(context, db, conversation_id, at)


def _person_changed(context, db, number, event: PersonChanged, received_at, consequences) -> None:
    contact_id = contacts.rename(db, number.client_id, event.old, event.new, received_at)
    conversation_id = conversations.of(db, number.id, contact_id, received_at)
    if event.external_id:
        note = InboundMessage(
            event.number_external_id, event.new, event.external_id, event.at, "system", event.text, False, event.raw
        )
        at = _when(event.at, received_at)
        messages.add_inbound(db, conversation_id, number.id, note, "noted", at, received_at)


def _details(context, db, number, event: DetailsLeft, received_at, consequences) -> None:
    """A line of the conversation for the people of the desk; nothing for the model to answer."""
    conversation_id = _conversation(db, number, event.person, received_at)
    line = InboundMessage(event.number_external_id, event.person, event.external_id, event.at, "details", event.text, False, event.raw)
    if messages.add_inbound(db, conversation_id, number.id, line, "noted", _when(event.at, received_at), received_at) is None:
        return
    contact_id = conversations.get(db, conversation_id).contact_id
    widgets.keep_details(db, contact_id, name=event.name, email=event.email, phone=event.phone, now=received_at)
    conversations.need_person(db, conversation_id, "details", received_at)
    consequences.visitors.add(event.person.user_id)


def _preference(context, db, number, event: MarketingPreference, received_at, consequences) -> None:
    contact_id = contacts.resolve(db, number.client_id, event.person, received_at)
    if event.stopped:
        opt_outs.put(db, contact_id, number.id, _when(event.at, received_at))
    else:
        opt_outs.take_back(db, contact_id, number.id)


_HANDLERS = {
    InboundMessage: _message,
    MessageEdited: _edited,
    MessageRevoked: _revoked,
    StatusChange: _status,
    Echo: _echo,
    PersonChanged: _person_changed,
    DetailsLeft: _details,
    MarketingPreference: _preference,
}
