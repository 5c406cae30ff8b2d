"""'Try it': a question answered by the model with a prompt that may not be saved yet. Nothing is sent to anybody."""

import logging
import sqlite3
import time
from dataclasses import replace

from frontdesk import queues
from frontdesk.errors import ModelError
from frontdesk.flows import asking, grounding, sources
from frontdesk.flows.context import Context
from frontdesk.flows.suggest import Stopping
from frontdesk.store import clients, tries
from frontdesk.store.database import transaction
from frontdesk.store.messages import Turn

log = logging.getLogger(__name__)

KEPT_SECONDS = 7 * 24 * 3600


def ask(context: Context, client_id: int, user_id: int, *, text: str, persona: str, language: str, question: str) -> int:
    with transaction(context.db) as db:
        try_id = tries.add(
            db, client_id, user_id, prompt=text, persona=persona, language=language, question=question, now=context.now()
        )
    with context.ringing():
        context.queues.try_prompt(try_id)
    return try_id


def write(context: Context, try_id: int) -> None:
    wanted = tries.get(context.db, try_id)
    if wanted is None or wanted.state != "wanted":
        return
    client = clients.get(context.db, wanted.client_id, context.settings)
    client = replace(client, system_prompt=wanted.prompt, persona=wanted.persona, language=wanted.language)
    turns = [Turn(0, "in", wanted.question)]

    def stop_when_told() -> None:
        if context.stopping.is_set():
            raise Stopping

    began = time.monotonic()
    try:
        asked = asking.ask(context, client, turns, 1, watch=stop_when_told, now=context.now())
    except Stopping:
        context.queues.try_prompt(try_id)
    except ModelError as error:
        log.warning("no answer for try %s: %s", try_id, error)
        tries.settle(context.db, try_id, "failed", f"The model gave no answer: {error}.")
    except (queues.RedisError, sqlite3.OperationalError):
        raise
    except Exception:  # a fault of ours must not be tried again for ever
        log.exception("try %s failed", try_id)
        tries.settle(context.db, try_id, "failed", "A fault in Frontdesk: its log says more.")
    else:
        took = time.monotonic() - began
        gap = asked.gap if asked.gap == grounding.DECLINED or client.knowledge_only else None
        source = "" if gap else sources.line(context.db, client, asked.text, wanted.question, asked.shown)
        text = "\n\n".join(sources.under([asked.text], source))
        speed = asked.completion and asked.completion.tokens_per_second
        tries.settle(context.db, try_id, "ready", text, took, speed, gap, asked.used.as_json())
