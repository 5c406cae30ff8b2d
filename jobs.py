"""What workers run, in the order a message meets it. Each job loads by row id, calls one flow, and may safely run twice.

RQ's results and retries decide nothing here: the rows do, and the sweep finds whatever a lost job leaves undone.
"""

from functools import cache

from frontdesk import queues
from frontdesk import settings as settings_module
from frontdesk.flows import early, inbound, model_away, reply as replying, sending, sweep as sweeping
from frontdesk.flows.context import Context, make as make_context


@cache
def context() -> Context:
    """This process's doors. Made before a worker forks, so that its children find everything in place."""
    settings = settings_module.load()
    return make_context(settings, queues.connect(settings.redis_address))


@cache
def senders() -> sending.Senders:
    return sending.Senders(context())


def drain() -> None:
    """high · the inbox becomes rows, and what they owe gets its bells."""
    inbound.drain(context())


def reply(conversation_id: int) -> None:
    """default · the model's answer to what waits in one conversation."""
    replying.answer(context(), conversation_id)


def begin_early(conversation_id: int) -> None:
    """documents · the answer as a draft, while the model is idle and the customer's quiet period lasts."""
    early.begin_early(context(), conversation_id)


def keep_draft(conversation_id: int) -> None:
    """high · the quiet period is over: the draft becomes the answer."""
    replying.answer(context(), conversation_id, may_ask=False)


def send(conversation_id: int) -> None:
    """high · one conversation's queued messages go out in order, on a thread: nobody waits for another's call."""
    senders().submit(conversation_id)


def sweep() -> None:
    """high · rings for everything that is due and that no job carries."""
    sweeping.sweep(context())


def warm_up() -> None:
    """default · the models are loaded with the options that the answers use."""
    model_away.warm_up(context())


def clean() -> None:
    """high · nightly: what is no longer of use goes."""
    sweeping.clean(context())
