"""How long an answer will take, honestly: from what stands before it in line and how long this model's answers took lately.

A customer whose wait will pass the client's threshold is told a time, once in each wait.
"""

import logging
import statistics

from frontdesk.flows import hours, model_hosts
from frontdesk.flows.context import Context
from frontdesk.store import clients, conversations, messages, models, numbers, outbox
from frontdesk.store.clients import Client
from frontdesk.store.database import transaction

log = logging.getLogger(__name__)

# Of an answer that is being written, half is left on average.
LEFT_OF_THE_RUNNING = 0.5
STEP_SECONDS = 300


def expected_seconds(context: Context) -> dict[int, float]:
    """Conversation → seconds until the model's answer is ready. Empty while no answer was measured, or the model is away."""
    hosts = model_hosts.reply_hosts(context)
    line = conversations.in_line(context.db)
    model_of = _models(context, {conversation.number_id for conversation in line})
    states = {model: models.best(context.db, hosts, model) for model in set(model_of.values())}
    expected, ahead = {}, 0.0
    for conversation in line:
        state = states[model_of[conversation.number_id]]
        if state.answer_seconds is None or state.away_since is not None:
            continue
        running = conversation.claim_owner is not None
        ahead += state.answer_seconds * (LEFT_OF_THE_RUNNING if running else 1)
        quiet = max(0.0, (conversation.answer_due_at or 0) - context.now())
        expected[conversation.id] = max(ahead / len(hosts), quiet + state.answer_seconds)
    return expected


def _models(context: Context, number_ids: set[int]) -> dict[int, str]:
    found = {}
    for number_id in number_ids:
        client_id = numbers.get(context.db, number_id).client_id
        found[number_id] = clients.get(context.db, client_id, context.settings).model
    return found


def tell_who_waits_long(context: Context) -> list[int]:
    """Queue the wait text where a wait will pass the client's threshold. Returns the conversations: ring for their sends."""
    told = []
    for conversation_id, seconds in expected_seconds(context).items():
        conversation = conversations.get(context.db, conversation_id)
        client = clients.get(context.db, numbers.get(context.db, conversation.number_id).client_id, context.settings)
        waited = context.now() - (conversation.waiting_since or context.now())
        threshold = client.wait_threshold_seconds
        if threshold is None or waited + seconds <= threshold or conversation.told_wait_at is not None:
            continue
        if _tell(context, conversation, client, seconds):
            told.append(conversation_id)
    return told


def _tell(context: Context, conversation: conversations.Conversation, client: Client, seconds: float) -> bool:
    text = filled(client.wait_text, client, context.now() + seconds, context.now())
    with transaction(context.db) as db:
        if numbers.get(db, conversation.number_id).stopped_at is not None:
            return False  # it would go out when the number is resumed, with a time that is long over
        if not conversations.told_wait(db, conversation.id, context.now()):
            return False
        if (conversation.window_closes_at or 0) <= context.now() or not text:
            return False
        outbox.queue_text(db, conversation.id, conversation.number_id, text, purpose="holding", now=context.now())
    log.info("conversation %s: told that the answer takes about %d s", conversation.id, seconds)
    return True


def person_text(context: Context, client: Client, number: numbers.Number) -> str:
    """What a customer who asked for a person is told: when one will come, if that is known and they can be told at once."""
    now, opening = context.now(), hours.read(client.hours)
    is_open, told_at_once = hours.is_open(opening, client.time_zone, now), number.stopped_at is None
    if not told_at_once:
        return filled(client.person_text if is_open else client.away_text, client, None, now)
    if not is_open:
        return filled(client.away_text, client, hours.opens_at(opening, client.time_zone, now), now)
    took = messages.seconds_to_a_person(context.db, client.id)
    usual = statistics.quantiles(took, n=4)[2] if len(took) >= 3 else None
    return filled(client.person_text, client, now + usual if usual is not None else None, now)


def filled(text: str, client: Client, at: float | None, now: float) -> str:
    """`text` with {when} as a clock time, rounded up to five minutes; where none is known the sentence with it is left out."""
    if at is not None:
        rounded = -(-at // STEP_SECONDS) * STEP_SECONDS
        return text.replace("{when}", hours.in_words(rounded, client.time_zone, now))
    kept = [sentence for sentence in text.replace("! ", "!\0").replace(". ", ".\0").split("\0") if "{when}" not in sentence]
    return " ".join(sentence.strip() for sentence in kept).strip()
