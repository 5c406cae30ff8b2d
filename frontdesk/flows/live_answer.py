"""The answer in the web chat while the model writes it: 'typing…' until the first words, then the words, in WhatsApp's marks.

What is shown is all the text so far, each time anew: a page that missed some of it, or came later, is right with the next.
"""

import time

from frontdesk.flows import grounding
from frontdesk.flows.context import Context
from frontdesk.flows.formatting import whatsapp_text
from frontdesk.store import widgets
from frontdesk.store.clients import Client
from frontdesk.store.conversations import Conversation

EVERY_SECONDS = 0.1
AGAIN_SECONDS = 4  # typing fades on the page after 6


class LiveAnswer:
    """`hear` comes from the model's thread and is quick, `show` from the one that looks around.

    `aloud`: the words are shown as they come, and not only that somebody writes.
    """

    def __init__(self, context: Context, visitor: str, begins_at: float, aloud: bool):
        self._aloud = aloud
        self._context, self._visitor, self._begins_at = context, visitor, begins_at
        self._heard = self._shown = ""
        self._told_at = float("-inf")

    def hear(self, text: str) -> None:
        if self._aloud:
            self._heard = grounding.without_mark(text)

    def show(self) -> None:
        if self._context.now() < self._begins_at:
            return  # begun before the customer's quiet period is over: it may come to nothing
        heard, passed = self._heard, time.monotonic() - self._told_at
        if heard != self._shown or (heard and passed > AGAIN_SECONDS):
            self._shown = heard
            self._context.live.writing(self._visitor, whatsapp_text(heard))
        elif not heard and passed > AGAIN_SECONDS:
            self._context.live.typing(self._visitor, "bot")
        else:
            return
        self._told_at = time.monotonic()

    def take_back(self) -> None:
        if self._shown:
            self._context.live.writing(self._visitor, "")

    def end(self) -> None:
        """All of it is written: what is kept of it is a message."""
        if self._shown:
            self._context.live.forget_written(self._visitor)


def of(context: Context, conversation: Conversation, client: Client) -> LiveAnswer | None:
    """None where nobody could see it: every other channel takes whole messages.

    What a client answers only from its documents may be taken back whole at the end, so it is not shown before.
    """
    visitor = widgets.visitor_of(context.db, conversation.id)
    return LiveAnswer(context, visitor, conversation.reply_due_at or 0, not client.knowledge_only) if visitor else None


def changed(context: Context, conversation_id: int) -> None:
    """After something was committed that a visitor's open page shows."""
    if visitor := widgets.visitor_of(context.db, conversation_id):
        context.live.changed(visitor)


def person_types(context: Context, conversation_id: int) -> None:
    if visitor := widgets.visitor_of(context.db, conversation_id):
        context.live.typing(visitor, "person")


def visitor_is_typing(context: Context, conversation_id: int) -> bool:
    visitor = widgets.visitor_of(context.db, conversation_id)
    return bool(visitor) and context.live.visitor_is_typing(visitor)
