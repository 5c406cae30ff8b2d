"""A worker's look at its Ollama servers, every few seconds, in a thread of its own: an answer that takes minutes does not hide it."""

import logging
import os
import socket
import threading

from frontdesk.flows import model_away, model_hosts
from frontdesk.flows.context import Context
from frontdesk.queues import RedisError
from frontdesk.store import clients, models

log = logging.getLogger(__name__)


def begin(context: Context) -> None:
    """From now on this worker is known by its servers. Its models are loaded first."""
    context.worker = f"{socket.gethostname()}-{os.getpid()}"
    threading.Thread(target=_keep_looking, args=(context,), name="model-looks", daemon=True).start()


def end(context: Context) -> None:
    try:
        context.presence.leave(context.worker)
    except RedisError:
        pass  # it is forgotten by itself


def _keep_looking(context: Context) -> None:
    is_first = True
    while not context.stopping.is_set():
        try:
            look(context, is_first)
        except Exception as error:  # the next look is near
            log.warning("looking at Ollama failed: %s", type(error).__name__)
        is_first = False
        context.stopping.wait(model_hosts.LOOK_EVERY_SECONDS)


def look(context: Context, is_first: bool = False) -> None:
    """Also rings for documents when something changed, and loads the models that answer: at first, and when one may be back."""
    before = context.servers
    model_hosts.look(context)
    if context.servers != before:  # what waited for a model may have it now
        context.queues.documents()
    if is_first or _may_be_back(context):
        model_away.warm_up(context)


def _may_be_back(context: Context) -> bool:
    host, now = context.settings.ollama_host, context.now()
    server = context.servers[host]
    states = [models.get(context.db, host, name) for name in clients.models_in_use(context.db, context.settings) if server.has(name)]
    return any(state.retry_at is not None and state.retry_at <= now for state in states)
