"""The answer begun before the quiet period is over, while the model has nothing else to do.

It is written at once and kept as a draft; if the customer is silent until the period ends, the draft becomes the answer, else it
is thrown away. Nobody whose period is over ever waits for this: the job stands behind theirs in the queue and gives way to them.
"""

import uuid

from frontdesk.errors import ModelError
from frontdesk.flows import model_hosts
from frontdesk.flows.context import Context
from frontdesk.flows.reply import ask, begin, keep, learn
from frontdesk.flows.watch import Cancelled, Watch, Work, release, ring_for_the_rest
from frontdesk.store import conversations, drafts, messages
from frontdesk.store.database import transaction
from frontdesk.work_options import REPLY

# With less than this left of the quiet period, the answer itself begins as soon.
WORTH_IT_SECONDS = 0.2


class EarlyWatch(Watch):
    """Gives way to customers whose quiet period is over, until this one's is over too."""

    def look(self) -> None:
        context = self.work.context
        if context.now() < self.work.conversation.reply_due_at and context.queues.depth("default"):
            raise Cancelled
        super().look()


def begin_early(context: Context, conversation_id: int) -> None:
    """Write a draft, if the answer is not due yet and nobody is at it."""
    owner = uuid.uuid4().hex
    lease_seconds = context.settings.lease_seconds
    conversation = conversations.claim_early(
        context.db, conversation_id, owner, context.now(), lease_seconds, WORTH_IT_SECONDS
    )
    work = begin(context, conversation, owner) if conversation else None
    if work is None:
        return
    if model_hosts.rests(context, REPLY, work.options.model):
        _leave(work)
        return
    try:
        asked = ask(work, EarlyWatch)
    except (Cancelled, ModelError):
        _leave(work)
        return
    except BaseException:
        release(work)
        raise
    _put_aside_or_keep(work, asked.text)
    learn(work, asked)


def _leave(work: Work) -> None:
    """Whatever it was: at the end of the period the answer is begun again, and only then does anybody wait."""
    release(work)
    ring_for_the_rest(work)


def _put_aside_or_keep(work: Work, text: str) -> None:
    context, due_at = work.context, work.conversation.reply_due_at
    if context.now() >= due_at:
        keep(work, text)
        return
    with transaction(context.db) as db:
        if not conversations.release(db, work.id, work.owner):
            return
        if messages.waiting(db, work.id) == work.waiting:
            drafts.put(db, work.id, [message.id for message in work.waiting], text, work.shown, context.now(), work.gap, work.used)
    context.bells.keep_at({work.id: due_at})
