"""Sending: what a conversation has queued goes out in its order, each message once; alone here it is decided what an error means.

The row is claimed before the call and settled after it, and no transaction is open during the call. A call whose answer never
came is parked: a status that carries our id proves it was taken, and only without such proof is it made again.
"""

import logging
import re
import sqlite3
import threading
import time
import uuid
from dataclasses import dataclass

from frontdesk import logs
from frontdesk.channels import Accepted, StatusChange, kind_of_file
from frontdesk.errors import (
    MediaRefused,
    NumberStopped,
    Permanent,
    SendError,
    Temporary,
    Throttled,
    Unknown,
    WindowClosed,
)
from frontdesk.flows import erased, live_answer, media, outgoing
from frontdesk.flows.context import Context
from frontdesk.queues import jittered
from frontdesk.store import contacts, conversations, media as media_rows, messages, numbers, opt_outs, outbox, withdrawals
from frontdesk.store.database import transaction
from frontdesk.store.outbox import Outbound

log = logging.getLogger(__name__)

# A wait shorter than this is slept through; a longer one is left to a bell.
NAP_SECONDS = 0.5

# Meta's advice for 130429 where it names no time, and for the pair limit: 4^n seconds.
NUMBER_THROTTLE_SECONDS = 5
PAIR_THROTTLE_BASE = 4
LONGEST_THROTTLE_SECONDS = 600

NO_MARKETING = 131050  # Meta's, for the same
_ATTEMPT = re.compile(r"[0-9]{1,9}")


def send_conversation(context: Context, conversation_id: int) -> int:
    """Send what this conversation has queued and is due, in order. Returns how many calls were made."""
    calls = 0
    while not context.stopping.is_set():
        message = outbox.head(context.db, conversation_id, context.now())
        if message is None or message.state != "queued":
            break  # nothing to do, or somebody else is at it
        if not _wait_for_its_turn(context, message):
            break
        file_id, problem = _file(context, message)
        owner = uuid.uuid4().hex
        with transaction(context.db) as db:
            claimed = outbox.claim(db, message, owner, context.now(), lease_seconds(context))
        if claimed is None:
            break
        with logs.about(claimed.trace):
            deliver(context, claimed, file_id, problem)
        calls += 1
    return calls


def _wait_for_its_turn(context: Context, message: Outbound) -> bool:
    """True when the message may go now. False: a bell rings for it later, or only an operator can let it go."""
    number = numbers.get(context.db, message.number_id)
    if number.stopped_at is not None or _still_fetched(context, message):
        return False
    if not _nap(context, message, message.due_at - context.now()):
        return False
    conversation = conversations.get(context.db, message.conversation_id)
    return _nap(
        context,
        message,
        context.limits.take(number.id, conversation.contact_id, number.messages_per_second, NAP_SECONDS),
    )


def _nap(context: Context, message: Outbound, seconds: float) -> bool:
    if seconds > NAP_SECONDS:
        context.bells.send_at({message.conversation_id: context.now() + seconds})
        return False
    if seconds > 0:
        time.sleep(seconds)
    return True


def _still_fetched(context: Context, message: Outbound) -> bool:
    """Its file is still on its way here: the job that fetches it rings when that is decided."""
    if message.media_id is None:
        return False
    found = media_rows.get(context.db, message.media_id)
    if found is None or found.state != "wanted":
        return False
    context.queues.fetch_media(found.id)
    return True


def _file(context: Context, message: Outbound) -> tuple[str | None, SendError | None]:
    """The provider's name for the message's file, or why there is none. Before the claim: an upload may outlast any lease."""
    if message.media_id is None:
        return None, None
    try:
        found = media_rows.get(context.db, message.media_id)
        if found is None:
            raise Permanent("the file of this message is gone")
        number = numbers.get(context.db, message.number_id)
        media.check(context, found, kind_of_file(message.content), number)
        return media.external_id(context, number, found), None
    except MediaRefused as error:
        return None, Permanent(str(error))
    except SendError as error:
        return None, error


def lease_seconds(context: Context) -> float:
    """A call cannot outlive its time-out, so its lease needs no renewing."""
    return context.settings.graph_timeout_seconds + context.settings.lease_seconds


def deliver(context: Context, message: Outbound, file_id: str | None = None, problem: SendError | None = None) -> None:
    """One call for a claimed message, and the row that says what came of it.

    `file_id`: the provider's name for its file. `problem`: why it has none; then no call is made.
    """
    db = context.db
    try:
        if problem:
            raise problem
        accepted = _call(context, message, file_id)
    except SendError as error:
        with transaction(db):
            aftermath = record_failure(context, db, message, error, context.now())
        aftermath.carry_out(context)
        log.info("message %s attempt %s: %s (%s)", message.id, message.attempt, type(error).__name__, error.code)
        return
    with transaction(db):
        record_accepted(db, message, accepted, context.now())
    live_answer.changed(context, message.conversation_id)
    log.info("message %s attempt %s: sent", message.id, message.attempt)


def record_accepted(db: sqlite3.Connection, message: Outbound, accepted: Accepted, now: float) -> None:
    """The provider took it; statuses may have been quicker. Inside the caller's transaction."""
    outbox.accepted(db, message, accepted.external_id, now)
    for early in outbox.take_unmatched(db, message.number_id, accepted.external_id):
        _apply_early(db, message, accepted.external_id, early)


def _call(context: Context, message: Outbound, file_id: str | None):
    conversation = conversations.get(context.db, message.conversation_id)
    person = conversation and contacts.person(context.db, conversation.contact_id)
    if not person or not (person.phone or person.user_id):
        raise Permanent("this customer was erased")
    if message.kind != "template" and (conversation.window_closes_at or 0) <= context.now():
        raise WindowClosed("Over 24 hours since the customer's last message: only a template may be sent", code=131047)
    number = numbers.get(context.db, message.number_id)
    if message.kind == "template" and outgoing.is_unwanted_offer(context.db, conversation, message.content):
        raise Permanent("This customer has come to want no marketing", code=NO_MARKETING)
    return context.channel(number.channel).send(
        context.sender(number),
        person,
        message.content,
        callback_data=message.callback_data,
        reply_to_external_id=message.reply_to_external_id,
        file_id=file_id,
    )


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What is left to do in Redis once a failure is written: never inside the transaction, for Redis may be slow."""

    send_again: tuple[int, float] | None = None  # conversation, when
    pause: tuple[int, float] | None = None  # number, seconds

    def carry_out(self, context: Context) -> None:
        if self.pause:
            context.limits.pause(*self.pause)
        if self.send_again:
            conversation_id, at = self.send_again
            if at <= context.now():
                context.queues.send([conversation_id])
            else:
                context.bells.send_at({conversation_id: at})


def record_failure(
    context: Context, db: sqlite3.Connection, message: Outbound, error: SendError, now: float, *, was_accepted: bool = False
) -> Aftermath:
    """What an error means for its message, its number and its person. Inside the caller's transaction.

    `was_accepted`: the provider took the call first and failed it later, by a status.
    """
    error = _of_its_file(db, message, error)
    if isinstance(error, Unknown):
        outbox.parked(db, message, now + context.settings.unknown_wait_seconds, error.title)
        return Aftermath()
    if isinstance(error, NumberStopped):
        _again(db, message, due_at=now, error=error, was_accepted=was_accepted)
        if numbers.stop(db, message.number_id, error.title, error.code, now):
            log.error("number %s stopped: %s (%s)", message.number_id, error.title, error.code)
        return Aftermath()
    if isinstance(error, Throttled):
        return _slow_down(db, message, error, now, was_accepted)
    if isinstance(error, Temporary) and message.failures < len(context.settings.send_retry_seconds):
        return _retry(context, db, message, error, now, was_accepted)
    _give_up(db, message, error, now)
    return Aftermath()


def _of_its_file(db: sqlite3.Connection, message: Outbound, error: SendError) -> SendError:
    """The provider does not have the file any more: the next attempt uploads it again."""
    if message.media_id is None or not media.upload_is_lost(error):
        return error
    found = media_rows.get(db, message.media_id)
    if found and found.sha256:
        media_rows.forget_upload(db, message.number_id, found.sha256)
    return Temporary(error.title, code=error.code, details=error.details)


def _slow_down(db: sqlite3.Connection, message: Outbound, error: Throttled, now: float, was_accepted: bool) -> Aftermath:
    """Being told to slow down burns no retry."""
    throttles = message.throttles + 1
    of_pair = error.scope == "pair"
    usual = PAIR_THROTTLE_BASE**throttles if of_pair else NUMBER_THROTTLE_SECONDS * throttles
    delay = jittered(error.delay_seconds or min(usual, LONGEST_THROTTLE_SECONDS))
    _again(db, message, due_at=now + delay, error=error, throttles=throttles, was_accepted=was_accepted)
    return Aftermath(
        send_again=(message.conversation_id, now + delay), pause=None if of_pair else (message.number_id, delay)
    )


def _retry(
    context: Context, db: sqlite3.Connection, message: Outbound, error: Temporary, now: float, was_accepted: bool
) -> Aftermath:
    delay = error.delay_seconds or jittered(context.settings.send_retry_seconds[message.failures])
    _again(db, message, due_at=now + delay, error=error, failures=1, throttles=message.throttles, was_accepted=was_accepted)
    return Aftermath(send_again=(message.conversation_id, now + delay))


def _again(db: sqlite3.Connection, message: Outbound, *, error: SendError, was_accepted: bool = False, **when) -> bool:
    """Queued for another attempt, unless nobody wants one: what a bot's answer answered waits for the person who has come."""
    if not withdrawals.withdraw_unwanted(db, message, error, was_accepted=was_accepted):
        return outbox.again(db, message, error=error, was_accepted=was_accepted, **when)
    log.info("message %s: withdrawn, it is not wanted any more", message.id)
    if messages.owe_again(db, message.conversation_id, [message.id]):
        conversations.settle(db, message.conversation_id)
    return False


def _give_up(db: sqlite3.Connection, message: Outbound, error: SendError, now: float) -> None:
    if not outbox.failed(db, message, error, now):
        return
    if message.purpose != "broadcast":  # its own page shows them, by cause
        reason = "window_closed" if isinstance(error, WindowClosed) else "send_failed"
        conversations.need_person(db, message.conversation_id, reason, now)
    if isinstance(error, Permanent) and error.opted_out:
        conversation = conversations.get(db, message.conversation_id)
        opt_outs.put(db, conversation.contact_id, message.number_id, now)
    log.warning("message %s failed: %s (%s)", message.id, error.title, error.code)


def settle_unproven(context: Context, db: sqlite3.Connection, message: Outbound, now: float) -> bool:
    """No status proved a parked send: send it again, or give up after as many tries as any other failure gets.

    True if it is queued again. Where a number's webhooks tell nothing of what it sends, silence proves nothing either: a person decides.
    """
    error = Unknown("No answer from the provider, and no status that proves it was taken")
    number = numbers.get(db, message.number_id)
    if number.told_at is None and not context.channel(number.channel).always_tells:
        error = Unknown("No answer from the provider, and its webhooks tell nothing of what is sent: it may have been taken")
        _give_up(db, message, error, now)
        return False
    if message.failures >= len(context.settings.send_retry_seconds):
        _give_up(db, message, error, now)
        return False
    return _again(db, message, due_at=now, error=error, failures=1, throttles=message.throttles)


# --- statuses -----------------------------------------------------------------------------------------------------------


def record_status(
    context: Context,
    db: sqlite3.Connection,
    number: numbers.Number,
    event: StatusChange,
    at: float,
    now: float,
    conversation_id: int | None = None,
) -> Aftermath | None:
    """Store what the provider says of a message. None: we did not send what this speaks of, and `event.echo` has its words.

    `conversation_id`: of the echo's person.
    """
    message, attempt = _find(db, number.id, event, conversation_id)
    if message is None and event.echo:
        return None
    if message is None:
        if not erased.was_erased(context.settings, db, number, event):
            for external_id in (event.external_id, *event.other_ids):
                outbox.keep_unmatched(db, number.id, external_id, event.status, at, event.raw, now)
        return Aftermath()
    numbers.tells(db, number.id, now)
    if event.status == "failed":
        return _record_failed_status(context, db, number, message, attempt, event, now)
    if message.refused and event.status == "sent":
        return Aftermath()  # of the attempt that was refused afterwards: it came late, and proves nothing
    blocked_others = message.state in ("queued", "sending", "unknown")
    outbox.advance(db, message, event.status, event.external_id, at)
    return Aftermath(send_again=(message.conversation_id, now)) if blocked_others else Aftermath()


def _find(
    db: sqlite3.Connection, number_id: int, event: StatusChange, conversation_id: int | None
) -> tuple[Outbound | None, int | None]:
    """The message a status speaks of, and which attempt of it (None where that is not said).

    Where no id is known, the words prove it: a row stands before its call is made, so ours is here whenever the status comes.
    """
    if event.callback_data:
        public_id, _, attempt = event.callback_data.partition(".")
        message = outbox.by_callback(db, number_id, public_id)
        if message:
            return message, int(attempt) if _ATTEMPT.fullmatch(attempt) else None
    for external_id in (event.external_id, *event.other_ids):
        if message := outbox.by_external_id(db, number_id, external_id):
            return message, None
    return (outbox.by_words(db, conversation_id, event.echo) if event.echo and conversation_id else None), None


def _record_failed_status(
    context: Context,
    db: sqlite3.Connection,
    number: numbers.Number,
    message: Outbound,
    attempt: int | None,
    event: StatusChange,
    now: float,
) -> Aftermath:
    """Accepted first, refused later: the same decision as a refused call, unless it speaks of an attempt long replaced."""
    is_current = attempt == message.attempt if attempt is not None else message.external_id == event.external_id
    if not is_current or message.state not in ("sending", "unknown", "sent"):
        return Aftermath()
    error = context.channel(number.channel).error_from_status(event.errors)
    return record_failure(context, db, message, error, now, was_accepted=True)


def _apply_early(db: sqlite3.Connection, message: Outbound, external_id: str, early: sqlite3.Row) -> None:
    """A status that came before the call's own answer and did not say whose it was."""
    current = outbox.by_external_id(db, message.number_id, external_id)
    if current and early["status"] in outbox.RANK:
        outbox.advance(db, current, early["status"], external_id, early["at"])


# --- the sender threads ---------------------------------------------------------------------------------------------------


class Senders:
    """A few threads that send, so that no customer waits for another's call. A conversation is served by one at a time."""

    def __init__(self, context: Context):
        self._context = context
        self._lock = threading.Lock()
        self._busy: dict[int, bool] = {}
        self._executor = None

    def submit(self, conversation_id: int) -> None:
        """Send this conversation's messages soon. Asked again while it is being served, it is served once more after."""
        with self._lock:
            if conversation_id in self._busy:
                self._busy[conversation_id] = True
                return
            self._busy[conversation_id] = False
            self._threads().submit(self._serve, conversation_id)

    def _threads(self):
        if self._executor is None:
            from concurrent.futures import ThreadPoolExecutor

            self._executor = ThreadPoolExecutor(self._context.settings.send_threads, thread_name_prefix="send")
        return self._executor

    def _serve(self, conversation_id: int) -> None:
        while True:
            try:
                send_conversation(self._context, conversation_id)
            except Exception:
                log.exception("sending in conversation %s failed; the sweep tries again", conversation_id)
            with self._lock:
                if not self._busy[conversation_id]:
                    del self._busy[conversation_id]
                    return
                self._busy[conversation_id] = False

    def finish(self) -> None:
        """Let the calls under way end; start no new ones."""
        self._context.stopping.set()
        if self._executor:
            self._executor.shutdown(wait=True, cancel_futures=True)
