"""Dead letters: what failed for good, by cause. Retried on a person's word alone, each as a new message, never blindly."""

import collections
from collections.abc import Iterable
from dataclasses import dataclass, field

from frontdesk.flows import mends, model_hosts
from frontdesk.flows.context import Context
from frontdesk.flows.mends import Cause
from frontdesk.store import audit, clients, conversations, dead_letters, events, models, notes, numbers
from frontdesk.store.database import transaction
from frontdesk.store.dead_letters import DeadLetter, LeftOver

# Retried in one transaction: a few milliseconds in which nobody else writes.
BATCH = 200


@dataclass
class Group:
    """The dead letters of one cause. `standing`: of how many the cause is known to be there still. `codes` are those it has."""

    cause: Cause
    codes: list[int | None] = field(default_factory=list)
    number_ids: list[int] = field(default_factory=list)
    left_over: list[LeftOver] = field(default_factory=list)
    count: int = 0
    standing: int = 0
    oldest_at: float = float("inf")

    def add(self, tally: dead_letters.Tally) -> None:
        self.count += tally.count
        self.standing += tally.count if self.cause.hopeless else tally.hindered
        self.oldest_at = min(self.oldest_at, tally.oldest_at)
        self.codes = sorted({*self.codes, tally.error_code}, key=str)
        self.number_ids = sorted({*self.number_ids, tally.number_id})


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why sending again now would not arrive. `final`: it would fail again; else it waits until somebody mends the cause."""

    words: str
    final: bool


OPTED_OUT = Hindrance("the customer opted out", final=True)
WINDOW = Hindrance("the 24-hour window is closed", final=True)
STOPPED = Hindrance("the number is stopped", final=False)
AWAY = Hindrance("the model is still away", final=False)
SETTLED = "somebody has settled it"


@dataclass
class Outcome:
    """`retried` are queued again; `held`: owed again, once a person hands back; `refused`: reason → how many were left alone."""

    retried: int = 0
    held: int = 0
    refused: collections.Counter[str] = field(default_factory=collections.Counter)


def groups(context: Context) -> list[Group]:
    """In the order of mends.CAUSES, those with something in them."""
    found = {cause.name: Group(cause) for cause in mends.CAUSES}
    for tally in dead_letters.tallies(context.db, context.now()):
        found[mends.cause_of(tally.error_code).name].add(tally)
    model = found[mends.MODEL.name]
    if left_over := dead_letters.left_over(context.db):
        model.left_over = left_over
        model.count = len(left_over)
        model.oldest_at = left_over[0].oldest_at
        model.standing = len(left_over) if models_away(context) else 0
    return [group for group in found.values() if group.count]


def places(context: Context, group: Group) -> list[tuple[str, str]]:
    """Where the cause is mended: words and path."""
    if group.cause.place == "number":
        found = [numbers.get(context.db, id_) for id_ in group.number_ids]
        return [(number.display_phone or number.external_id, f"/numbers/{number.id}") for number in found]
    if group.cause.place == "client":
        concerned = {each.client_id for each in group.left_over}
        return [(name, f"/clients/{id_}") for id_, name in clients.names(context.db) if id_ in concerned]
    return []


def hindrance(letter: DeadLetter, now: float) -> Hindrance | None:
    """None where nothing known speaks against sending it again now."""
    if mends.cause_of(letter.error_code).hopeless:
        return OPTED_OUT
    if letter.kind != "template" and (letter.window_closes_at or 0) <= now:
        return WINDOW
    if letter.number_stopped_reason is not None:
        return STOPPED
    return None


def models_away(context: Context) -> bool:
    hosts = model_hosts.reply_hosts(context)
    in_use = clients.models_in_use(context.db, context.settings)
    return any(models.best(context.db, hosts, model).away_since is not None for model in in_use)


def standing(context: Context, message_ids: Iterable[int], conversation_ids: list[int]) -> collections.Counter[Hindrance]:
    """What stands in the way of these, and of how many: to be said before anything is sent."""
    letters = dead_letters.these(context.db, message_ids)
    found = collections.Counter(filter(None, (hindrance(letter, context.now()) for letter in letters)))
    if conversation_ids and models_away(context):
        found[AWAY] = len(conversation_ids)
    return found


def retry(context: Context, message_ids: Iterable[int], *, anyway: bool = False) -> Outcome:
    """Each as a new message, in its conversation's order. What cannot succeed is left alone and counted.

    `anyway`: also what must wait until its number is resumed.
    """
    outcome, wanted = Outcome(), sorted(set(message_ids))
    for start in range(0, len(wanted), BATCH):
        with transaction(context.db) as db:
            before = outcome.retried
            retried = _retry(db, wanted[start : start + BATCH], context.now(), anyway, outcome)
            if outcome.retried > before:
                audit.record(db, "dead_letters.retried", None, context.now(), messages=outcome.retried - before)
        with context.ringing():
            context.queues.send(retried)
    return outcome


def _retry(db, message_ids: list[int], now: float, anyway: bool, outcome: Outcome) -> set[int]:
    """Inside a transaction. The conversations to ring for."""
    letters, rung = dead_letters.these(db, message_ids), set()
    if settled := len(message_ids) - len(letters):
        outcome.refused[SETTLED] += settled
    for letter in letters:
        why_not = hindrance(letter, now)
        if why_not and (why_not.final or not anyway):
            outcome.refused[why_not.words] += 1
        elif dead_letters.retry(db, letter.id, now):
            dead_letters.nothing_is_left(db, letter.conversation_id)
            outcome.retried += 1
            rung.add(letter.conversation_id)
    return rung


def answer_left_over(context: Context, conversation_ids: Iterable[int]) -> Outcome:
    """The bot tries again to answer what the model left over, at once or when a person hands the conversation back."""
    outcome = Outcome()
    with transaction(context.db) as db:
        for conversation_id in set(conversation_ids):
            conversation = conversations.get(db, conversation_id)
            if conversation and (conversation.window_closes_at or 0) <= context.now():
                outcome.refused[WINDOW.words] += 1
            elif not dead_letters.owe_again(db, conversation_id, context.now()):
                outcome.refused[SETTLED] += 1
            elif conversation.state == "human":
                outcome.held += 1
            else:
                outcome.retried += 1
        if outcome.retried or outcome.held:
            audit.record(db, "dead_letters.retried", None, context.now(), conversations=outcome.retried + outcome.held)
    if outcome.retried:
        with context.ringing():
            context.queues.reply()
    return outcome


def dismiss(context: Context, message_ids: Iterable[int], conversation_ids: Iterable[int], user_id: int, reason: str) -> int:
    """Returns how many that settled. Of what the model left over the reason is kept as a note."""
    now, count = context.now(), 0
    with transaction(context.db) as db:
        for conversation_id in conversation_ids:
            if dead_letters.settle_left_over(db, conversation_id):
                notes.add(db, conversation_id, user_id, f"No answer is needed: {reason}", now)
                count += 1
        for letter in dead_letters.these(db, message_ids):
            count += dead_letters.dismiss(db, letter.id, user_id, reason, now)
            dead_letters.nothing_is_left(db, letter.conversation_id)
        if count:
            audit.record(db, "dead_letters.dismissed", None, now, count=count)
    return count


def replay(context: Context, event_id: int) -> bool:
    """Take the webhook of a rejected event in again, as if it came now; what was understood of it before is swallowed.

    Only its drain settles it, together with the webhook's other rejected parts, so dying in between loses nothing. False:
    somebody has settled it. Raises RedisError: nothing has changed.
    """
    event = events.get_rejected(context.db, event_id, open_only=True)
    if event is None or event.webhook is None:
        return False
    with transaction(context.db) as db:
        audit.record(db, "rejected.replayed", f"rejected event {event_id}", context.now())
    context.inbox.put_again(event.channel, event.webhook, event.received_at, event.webhook_key)
    with context.ringing():
        context.queues.drain()
    return True
