"""Which Ollama servers there are: each worker looks at its own and says so; work that one cannot do is left to one that can.

Until a worker has looked, and while Redis is away, nothing is known of anybody and every worker takes everything, as one alone does.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from frontdesk.errors import ModelError
from frontdesk.flows.context import Context
from frontdesk.queues import RedisError, Server, WorkerHosts
from frontdesk.store import clients, conversations, knowledge, models
from frontdesk.work_options import EMBEDDING, IN_WORDS, KINDS, REPLY

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 10

# Further ahead no model is left alone: a time beyond was written before the clock was set back.
FURTHEST_RETRY_SECONDS = 60

# Work that others can do is rung for again and again while they are busy.
RING_OTHERS_SECONDS = 1


# --- a worker's own servers -----------------------------------------------------------------------------------------------------


def look(context: Context) -> None:
    """Ask this worker's servers what they have; remember it, and tell the others."""
    hosts = {kind: context.settings.host_of(kind) for kind in KINDS}
    context.servers = {host: _found(context, host) for host in set(hosts.values())}
    try:
        context.presence.tell(WorkerHosts(context.worker, hosts, context.servers), context.now())
    except RedisError as error:
        log.debug("Redis was not told of this worker (%s)", type(error).__name__)


def _found(context: Context, host: str) -> Server:
    ollama = context.ollama_at(host)
    version = ollama.version()
    if version is None:
        return Server(None, None)
    try:
        return Server(version, tuple(sorted(ollama.model_names())))
    except ModelError:
        return Server(version, None)


def is_missing(context: Context, kind: str, model: str) -> bool:
    """This worker has looked, and its server has not got the model. A server that does not answer is not known to lack any."""
    server = context.servers.get(context.settings.host_of(kind))
    return server is not None and server.models is not None and not server.has(model)


def rests(context: Context, kind: str, model: str) -> bool:
    """The model was away lately, and nobody needs to ask for it here yet."""
    return _rests(context, context.settings.host_of(kind), model)


def _rests(context: Context, host: str, model: str) -> bool:
    now, retry_at = context.now(), models.get(context.db, host, model).retry_at
    return retry_at is not None and now < retry_at <= now + FURTHEST_RETRY_SECONDS


# --- all of them ------------------------------------------------------------------------------------------------------------


def workers(context: Context) -> list[WorkerHosts]:
    """Those that live. None while Redis is away."""
    try:
        return context.presence.workers(context.now())
    except RedisError:
        return []


def can_elsewhere(context: Context, kind: str, model: str, among: Iterable[WorkerHosts] | None = None) -> bool:
    """Whether another worker's server has the model and answers."""
    own = context.settings.host_of(kind)
    for worker in workers(context) if among is None else among:
        host = worker.hosts.get(kind, worker.hosts[REPLY])
        if host != own and worker.serves(kind, model) and not _rests(context, host, model):
            return True
    return False


def left_to_others(context: Context, kind: str, names: Sequence[str]) -> list[str]:
    """Those of these models that this worker has not or must not ask now, and that another has."""
    unable = [model for model in names if is_missing(context, kind, model) or rests(context, kind, model)]
    if not unable:
        return []
    living = workers(context)
    return [model for model in unable if can_elsewhere(context, kind, model, living)]


def host_with(context: Context, kind: str, model: str) -> str:
    """For a call that any process may make anywhere, such as an embedding: our own server, or where the model is."""
    own = context.settings.host_of(kind)
    if not is_missing(context, kind, model):
        return own
    found = [worker.hosts.get(kind, worker.hosts[REPLY]) for worker in workers(context) if worker.serves(kind, model)]
    return found[0] if found else own


def reply_hosts(context: Context) -> list[str]:
    """Where answers are written now; where the settings say, while no worker is known."""
    return sorted({worker.hosts[REPLY] for worker in workers(context)}) or [context.settings.ollama_host]


def answers_wait(context: Context) -> bool:
    """Whether an answer is due that this worker can write; what rang for it may have rung at another."""
    left = left_to_others(context, REPLY, clients.models_in_use(context.db, context.settings))
    usual, lease_seconds = context.settings.ollama_model, context.settings.lease_seconds
    return bool(conversations.due(context.db, context.now(), lease_seconds, limit=1, without=left, usual=usual))


def ring_others_for_replies(context: Context, left: Sequence[str]) -> None:
    """Answers are due that only others can write: the job that rang is over, and theirs may not have looked."""
    if not left:
        return
    due = conversations.due(context.db, context.now(), context.settings.lease_seconds, limit=1)
    if due:
        context.bells.reply_at({due[0]: context.now() + RING_OTHERS_SECONDS})


# --- for people ---------------------------------------------------------------------------------------------------------------


def standing(context: Context) -> list[tuple[str, Server]]:
    """Every server that workers use, as they last found it; of two that differ, the one that answered."""
    found: dict[str, Server] = {}
    for worker in workers(context):
        for host, server in worker.servers.items():
            if host not in found or found[host].models is None:
                found[host] = server
    return sorted(found.items())


@dataclass(frozen=True, slots=True)
class Missing:
    """No living server has this model. `hosts`: where its work would be done."""

    model: str
    kinds: tuple[str, ...]
    hosts: tuple[str, ...]

    @property
    def words(self) -> str:
        waits, where = ", ".join(IN_WORDS.get(kind, kind) for kind in self.kinds), " or ".join(self.hosts)
        return f"No Ollama server has the model {self.model}: {waits} must wait. Run: ollama pull {self.model} (at {where})."


def missing(context: Context, waiting: Iterable[tuple[str, str]] = ()) -> list[Missing]:
    """Models that the settings, clients or work that waits (`waiting`: kind and model) name and that no living server has."""
    living = [worker for worker in workers(context) if any(server.models is not None for server in worker.servers.values())]
    if not living:
        return []
    wanted: dict[str, set[str]] = {}
    for kind, names in clients.models_by_kind(context.db, context.settings).items():
        for model in names if kind != EMBEDDING or knowledge.live_count(context.db) else ():
            wanted.setdefault(model, set()).add(kind)
    for kind, model in waiting:
        wanted.setdefault(model, set()).add(kind)
    found = []
    for model, kinds in sorted(wanted.items()):
        lacking = sorted(kind for kind in kinds if not any(worker.serves(kind, model) for worker in living))
        if lacking:
            hosts = sorted({worker.hosts.get(kind, worker.hosts[REPLY]) for worker in living for kind in lacking})
            found.append(Missing(model, tuple(lacking), tuple(hosts)))
    return found
