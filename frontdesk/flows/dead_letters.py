"""Dead letters: what failed for good, by cause. Retried on a person's word alone, each as a new message, never blindly."""

import collections
from dataclasses import dataclass, field

from frontdesk.flows import mends
from frontdesk.flows.context import Context
from frontdesk.flows.mends import Cause
from frontdesk.store import clients, dead_letters, events, models
from frontdesk.store.database import transaction
from frontdesk.store.dead_letters import DeadLetter, LeftOver


@dataclass
class Group:
    """The dead letters of one cause. `standing`: of how many the cause is known to be there still."""

    cause: Cause
    letters: list[DeadLetter] = field(default_factory=list)
    left_over: list[LeftOver] = field(default_factory=list)
    standing: int = 0

    @property
    def count(self) -> int:
        return len(self.letters) + len(self.left_over)


@dataclass
class Outcome:
    """`retried` are queued again; `refused`: reason → how many were left alone."""

    retried: int = 0
    refused: collections.Counter[str] = field(default_factory=collections.Counter)


def groups(context: Context) -> list[Group]:
    """In the order of mends.CAUSES, those with something in them."""
    found = {cause.name: Group(cause) for cause in mends.CAUSES}
    for letter in dead_letters.all_of_them(context.db):
        group = found[mends.cause_of(letter.error_code).name]
        group.letters.append(letter)
        group.standing += hindrance(letter, context.now()) is not None
    model = found[mends.MODEL.name]
    model.left_over = dead_letters.left_over(context.db)
    model.standing = len(model.left_over) if models_away(context) else 0
    return [group for group in found.values() if group.count]


def hindrance(letter: DeadLetter, now: float) -> str | None:
    """Why sending this again now would fail again or wait, None where nothing known speaks against it."""
    if mends.cause_of(letter.error_code).hopeless:
        return "the customer opted out"
    if letter.kind != "template" and (letter.window_closes_at or 0) <= now:
        return "the 24-hour window is closed"
    if letter.number_stopped_reason is not None:
        return "the number is stopped"
    return None


def models_away(context: Context) -> bool:
    host = context.settings.ollama_host
    in_use = clients.models_in_use(context.db, context.settings)
    return any(models.get(context.db, host, model).away_since is not None for model in in_use)


def retry(context: Context, message_ids: list[int]) -> Outcome:
    """Each as a new message, in its conversation's order. What cannot succeed is left alone and counted."""
    outcome, conversations = Outcome(), set()
    with transaction(context.db) as db:
        for message_id in sorted(message_ids):
            letter = dead_letters.get(db, message_id)
            why_not = hindrance(letter, context.now()) if letter else "somebody has settled it"
            if why_not:
                outcome.refused[why_not] += 1
            elif dead_letters.retry(db, message_id, context.now()):
                outcome.retried += 1
                conversations.add(letter.conversation_id)
    with context.ringing():
        context.queues.send(conversations)
    return outcome


def answer_left_over(context: Context, conversation_ids: list[int]) -> Outcome:
    """The bot tries again to answer what the model left over."""
    outcome = Outcome()
    with transaction(context.db) as db:
        for conversation_id in conversation_ids:
            if dead_letters.owe_again(db, conversation_id, context.now()):
                outcome.retried += 1
            else:
                outcome.refused["somebody has settled it"] += 1
    if outcome.retried:
        with context.ringing():
            context.queues.reply()
    return outcome


def dismiss(context: Context, message_ids: list[int], conversation_ids: list[int], user_id: int, reason: str) -> int:
    with transaction(context.db) as db:
        for conversation_id in conversation_ids:
            dead_letters.settle_left_over(db, conversation_id)
        dismissed = [dead_letters.dismiss(db, message_id, user_id, reason, context.now()) for message_id in message_ids]
        return sum(dismissed) + len(conversation_ids)


def replay(context: Context, event_id: int) -> bool:
    """Take the webhook of a rejected event in again, as if it came now; what was understood of it before is swallowed.

    False: somebody has settled it. Raises RedisError: nothing has changed.
    """
    event = events.take_rejected(context.db, event_id, context.now())
    if event is None:
        return False
    try:
        context.inbox.put(event.channel, event.webhook, event.received_at)
        context.queues.drain()
    except BaseException:
        events.give_back_rejected(context.db, event_id)
        raise
    return True
