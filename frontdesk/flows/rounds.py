"""The rounds of the worker of `high`: webhooks become rows, and conversations with something to send get a thread that sends it.

One job goes on for as long as there is work of either kind, and a little longer for what answers it: under load a job for each
webhook and each answer would cost more than the work does. While it goes round nobody needs to ring for it.
"""

import time
from collections.abc import Callable

from frontdesk.flows import inbound
from frontdesk.flows.context import Context

# In which more may come for the same transaction.
PAUSE_SECONDS = 0.006

# So long it waits for more; an instant model's answer comes in less.
QUIET_SECONDS = 0.03

# Other jobs of the same worker (the sweep, schedules, drafts) want their turn.
LONGEST_SECONDS = 0.25


def go(context: Context, send: Callable[[int], None]) -> None:
    """`send` is handed each conversation that was rung for. What dies with this process is found by the next and by the sweep."""
    context.inbox.being_read()
    context.queues.sends_being_taken()
    began = worked_at = time.monotonic()
    while time.monotonic() < worked_at + QUIET_SECONDS and not context.stopping.is_set():
        if time.monotonic() > began + LONGEST_SECONDS:
            context.queues.drain()
            return
        if _once(context, send):
            worked_at = time.monotonic()
        time.sleep(PAUSE_SECONDS)
    context.inbox.silence()
    context.queues.silence_sends()
    if _once(context, send):
        context.queues.drain()


def _once(context: Context, send: Callable[[int], None]) -> bool:
    """Whether there was anything to do."""
    conversations = context.queues.take_sends()
    for conversation_id in conversations:
        send(conversation_id)
    return bool(inbound.drain_some(context)) or bool(conversations)
