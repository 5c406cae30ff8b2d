"""The daily digest: made once for each client and day, its lines written by the model, sent to the owner if they want that.

Numbers are SQLite's. The lines are a document task of their own (document_work.py: one inference at a time, behind every customer);
without them the digest still comes. The digest and its task are one transaction, so are its end and its WhatsApp message.
"""

import logging
import sqlite3
from collections.abc import Iterator

from frontdesk.errors import FrontdeskError
from frontdesk.flows import digest_days, digest_words, document_prompts, outgoing, telling_owner
from frontdesk.flows.context import Context
from frontdesk.flows.digest_days import Day
from frontdesk.flows.outgoing import CannotSend, Outgoing
from frontdesk.store import clients, conversations, digest_counts, digests, documents, models, numbers
from frontdesk.store.database import savepoint, transaction
from frontdesk.store.digests import Digest, Wish
from frontdesk.store.documents import NewTask, Task

log = logging.getLogger(__name__)

KIND = "digest"
MOST_CONVERSATIONS, MOST_MESSAGES = 150, 20
MOST_WAITING = 20

# So long the lines are waited for; less where the model is away.
PATIENCE_SECONDS, PATIENCE_AWAY_SECONDS = 2 * 3600, 15 * 60
KEPT_SECONDS = 90 * 24 * 3600

NOBODY_WROTE = "Nobody wrote on this day."
NO_LINES = "The model wrote nothing about it"


def sweep(context: Context) -> None:
    if next(_due(context), None) or any(_is_over(context, digest) for digest in _writing(context)):
        context.queues.digests()


def serve(context: Context) -> None:
    """`bulk`: makes those that are due, and sends those whose lines are there or are no longer waited for."""
    for client_id, day in list(_due(context)):
        make(context, client_id, day)
    for digest in _writing(context):
        if _is_over(context, digest):
            _finish(context, digest)


def _due(context: Context) -> Iterator[tuple[int, Day]]:
    now = context.now()
    for client_id, hour, time_zone, created_at in digests.wanted(context.db):
        day = digest_days.due(now, time_zone, hour)
        if day and created_at < day.ends_at and not digests.is_there(context.db, client_id, day.name):
            yield client_id, day


# --- made ----------------------------------------------------------------------------------------------------------------------------


def make(context: Context, client_id: int, day: Day) -> None:
    """Once, however often it is called."""
    db = context.db
    counted = digest_counts.numbers(db, client_id, day.begins_at, day.ends_at)
    waiting = digest_counts.waiting(db, client_id, MOST_WAITING)
    text, told = digest_words.material(digest_counts.said(db, client_id, day.begins_at, day.ends_at, MOST_CONVERSATIONS, MOST_MESSAGES))
    task = _task(context, client_id, text) if text else None
    with transaction(db):
        digest_id = digests.add(db, client_id, day.name, day.begins_at, day.ends_at, counted, waiting, context.now())
        if digest_id is None:
            return
        if task:
            options, new = task
            public_id = documents.add(db, KIND, options, new, client_id=client_id, token_id=None, now=context.now())
            remark = f"The lines are of {told} of the {counted.conversations} conversations." if told < counted.conversations else ""
            digests.written_by(db, digest_id, public_id, remark)
    log.info("digest %s of client %s for %s", digest_id, client_id, day.name)
    if task:
        with context.ringing():
            context.queues.documents()


def _task(context: Context, client_id: int, text: str) -> tuple[dict, NewTask] | None:
    """None: the model's context has no room for it."""
    stored = clients.as_stored(context.db, client_id)
    options = {name: stored[name] for name in ("language", "model") if stored[name]}
    try:
        size = document_prompts.measure(KIND, options, text, context.settings)
    except ValueError:
        return None
    return options, NewTask(text, size.part_bytes, size.parts_total, "digest")


# --- finished ------------------------------------------------------------------------------------------------------------------------


def _writing(context: Context) -> list[Digest]:
    return [digests.get(context.db, id_) for id_ in digests.writing(context.db)]


def _is_over(context: Context, digest: Digest) -> bool:
    """Its lines are there, or are no longer waited for."""
    task = _task_of(context, digest)
    if task is None or task.state in ("done", "failed", "cancelled", "expired"):
        return True
    waited = context.now() - digest.created_at
    state = models.get(context.db, context.settings.ollama_host, task.model or context.settings.ollama_model)
    return not 0 <= waited < (PATIENCE_AWAY_SECONDS if state.away_since else PATIENCE_SECONDS)


def _task_of(context: Context, digest: Digest) -> Task | None:
    return documents.by_id(context.db, digest.task_id) if digest.task_id is not None else None


def _finish(context: Context, digest: Digest) -> None:
    task = _task_of(context, digest)
    lines, remark = _lines(digest, task)
    conversation_id = None
    with transaction(context.db) as db:
        if not digests.settle(db, digest, lines, remark, context.now()):
            return
        wish = digests.wish(db, digest.client_id)
        if wish.phone and wish.template:
            conversation_id = _send(context, db, digests.get(db, digest.id), wish)
    _ring(context, conversation_id)


def _lines(digest: Digest, task: Task | None) -> tuple[list[str], str]:
    """What the model wrote and what is to be said of it."""
    if task is None:
        return [], f"{NO_LINES}: its context has no room for it." if digest.numbers.conversations else NOBODY_WROTE
    if task.state == "done":
        return [words for line in task.result["lines"] if (words := " ".join(line.split()))], digest.remark
    return [], f"{NO_LINES}: {task.error}" if task.state == "failed" and task.error else f"{NO_LINES}: it gave no answer in time."


# --- sent ----------------------------------------------------------------------------------------------------------------------------


def send_again(context: Context, digest: Digest) -> None:
    """On a person's word, where no message went out or it failed. Raises CannotSend."""
    wish = digests.wish(context.db, digest.client_id)
    if not (wish.phone and wish.template):
        raise CannotSend("no_template", "The client's page names no phone number and template for it.")
    if digest.state != "ready" or (digest.message_id and digest.message_state != "failed"):
        raise CannotSend("wrong_state", "It is on its way, or was sent.")
    with transaction(context.db) as db:
        conversation_id = _send(context, db, digest, wish)
    _ring(context, conversation_id)


def _send(context: Context, db: sqlite3.Connection, digest: Digest, wish: Wish) -> int | None:
    """The conversation to ring for; None where it could not be sent, which the digest then says. Inside a transaction."""
    try:
        with savepoint(db):
            known = numbers.of_client(db, wish.client_id)
            found = telling_owner.number_with_template(db, known, wish.template, wish.language)
            if found is None:
                where = "on the accounts of this client's numbers"
                raise CannotSend("unknown_template", f"There is no template {wish.template} in {wish.language} {where}.")
            number, template = found
            business = clients.as_stored(db, wish.client_id)["name"]
            content = digest_words.filled(template, digest, business).content
            conversation_id = telling_owner.conversation(context, db, number, wish.phone)
            message_id = outgoing.queue(context, db, conversations.get(db, conversation_id), Outgoing(content), purpose=KIND)
            if not digests.sent_as(db, digest, message_id):
                raise CannotSend("wrong_state", "Somebody has sent it meanwhile.")
    except FrontdeskError as error:
        log.warning("digest %s is not sent: %s", digest.id, error)
        digests.refused(db, digest.id, str(error))
        return None
    return conversation_id


def _ring(context: Context, conversation_id: int | None) -> None:
    if conversation_id is not None:
        with context.ringing():
            context.queues.send([conversation_id])
