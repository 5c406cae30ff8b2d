"""A draft that an agent asks the model for. It is shown to them alone, and nothing of it is sent by itself."""

import logging
import sqlite3

from frontdesk import queues
from frontdesk.errors import ModelError
from frontdesk.flows import asking, prompt
from frontdesk.flows.context import Context
from frontdesk.store import clients, conversations, messages, numbers, suggestions
from frontdesk.store.database import transaction
from frontdesk.store.messages import Turn

log = logging.getLogger(__name__)

LONGEST_HINT = 500
NOTHING_TO_REST_ON = "No document answers this, and this client answers only from its documents. With a hint, the draft is made of that."
KEPT_SECONDS = 7 * 24 * 3600


class NothingToRestOn(Exception):
    """The client answers only from its documents, and they do not hold this."""


class Stopping(Exception):
    """This process was asked to end."""


def ask_for_draft(context: Context, conversation_id: int, user_id: int, hint: str = "") -> int:
    """Returns the suggestion's id: its row says when it is ready."""
    with transaction(context.db) as db:
        suggestion_id = suggestions.add(db, conversation_id, user_id, hint.strip()[:LONGEST_HINT], context.now())
    with context.ringing():
        context.queues.suggest(suggestion_id)
    return suggestion_id


def write(context: Context, suggestion_id: int) -> None:
    """`documents`: after every customer's answer that is due, before other documents."""
    suggestion = suggestions.get(context.db, suggestion_id)
    if suggestion is None or suggestion.state != "wanted":
        return
    try:
        asked = _ask(context, suggestion)
    except NothingToRestOn:
        suggestions.settle(context.db, suggestion, "failed", NOTHING_TO_REST_ON)
    except Stopping:
        context.queues.suggest(suggestion_id)
    except ModelError as error:
        log.warning("no draft for suggestion %s: %s", suggestion_id, error)
        suggestions.settle(context.db, suggestion, "failed", f"The model gave no draft: {error}.")
    except (queues.RedisError, sqlite3.OperationalError):
        raise
    except Exception:  # a fault of ours must not be tried again for ever
        log.exception("suggestion %s failed", suggestion_id)
        suggestions.settle(context.db, suggestion, "failed", "A fault in Frontdesk: its log says more.")
    else:
        suggestions.settle(context.db, suggestion, "ready", asked.text, asked.used.as_json())


def _ask(context: Context, suggestion: suggestions.Suggestion) -> asking.Asked:
    db = context.db
    conversation = conversations.get(db, suggestion.conversation_id)
    client = clients.get(db, numbers.get(db, conversation.number_id).client_id, context.settings)
    before, older = messages.history(db, conversation.id, prompt.LONGEST_HISTORY)
    turns = [*before, *(Turn(message.id, "in", message.text) for message in messages.waiting(db, conversation.id))]

    def stop_when_told() -> None:
        if context.stopping.is_set():
            raise Stopping

    waiting = max(1, len(turns) - len(before))
    asked = asking.ask(
        context, client, turns, waiting, watch=stop_when_told, now=context.now(), older=older, hint=suggestion.hint, conversation=conversation
    )
    if asked.gap and client.knowledge_only and not suggestion.hint:
        raise NothingToRestOn
    return asked
