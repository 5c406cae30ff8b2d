"""What `doctor` finds at each Ollama server: whether it is there, what it has, which work it can do, and what is to be pulled where."""

import sqlite3
from collections.abc import Iterator

from frontdesk import queues
from frontdesk.errors import ModelError
from frontdesk.flows.finding import Finding
from frontdesk.ollama import Ollama
from frontdesk.queues import Server, WorkerHosts
from frontdesk.settings import Settings
from frontdesk.store import clients, knowledge
from frontdesk.work_options import EMBEDDING, IN_WORDS, KINDS


def examine(settings: Settings, db: sqlite3.Connection, now: float) -> Iterator[Finding]:
    workers = _workers(settings, now)
    wanted = _wanted(settings, db)
    servers = {}
    for host in sorted({host for worker in workers for host in worker.hosts.values()}):
        servers[host] = ask(host)
        count = sum(host in worker.hosts.values() for worker in workers)
        yield server_finding(host, servers[host], wanted["reply"][0], f", for {count} workers" if count > 1 else "")
    for host, server in servers.items():
        if server.models is not None:
            yield _work(host, server, [kind for kind in KINDS if any(worker.hosts.get(kind) == host for worker in workers)], wanted)
    yield from _missing(workers, servers, wanted)


def _workers(settings: Settings, now: float) -> list[WorkerHosts]:
    """Those that live; while none does, what one with these settings would be."""
    try:
        found = queues.Presence(queues.connect(settings.redis_address, timeout_seconds=3, retry=False)).workers(now)
    except queues.RedisError:
        found = []
    return found or [WorkerHosts("", {kind: settings.host_of(kind) for kind in KINDS}, {})]


def _wanted(settings: Settings, db: sqlite3.Connection) -> dict[str, list[str]]:
    """Kind of work → its models. Meaning is of no use without documents."""
    found = clients.models_by_kind(db, settings)
    return found if knowledge.live_count(db) else found | {EMBEDDING: []}


def ask(host: str) -> Server:
    ollama = Ollama(host)
    version = ollama.version()
    try:
        return Server(version, tuple(sorted(ollama.model_names())) if version else None)
    except ModelError:
        return Server(version, None)


def server_finding(host: str, server: Server, model: str, used: str = "") -> Finding:
    """`model`: to be pulled first where there is nothing yet."""
    if server.version is None:
        return Finding("Ollama", f"no answer at {host}", f"install it from ollama.com, or set OLLAMA_HOST; then run: ollama pull {model}")
    if server.models is None:
        return Finding("Ollama", f"{server.version} at {host}{used}: it does not say which models it has", "look at the log of Ollama")
    return Finding("Ollama", f"{server.version} at {host}{used}; has {', '.join(server.models) or 'no model'}")


def _work(host: str, server: Server, kinds: list[str], wanted: dict[str, list[str]]) -> Finding:
    can = [f"{IN_WORDS[kind]} ({', '.join(found)})" for kind in kinds if (found := [model for model in wanted[kind] if server.has(model)])]
    cannot = [f"{IN_WORDS[kind]} ({', '.join(left)})" for kind in kinds if (left := [model for model in wanted[kind] if not server.has(model)])]
    words = f"can do {', '.join(can) or 'nothing that is wanted'}" + (f"; cannot do {', '.join(cannot)}" if cannot else "")
    return Finding(f"work at {host}", words)


def _missing(workers: list[WorkerHosts], servers: dict[str, Server], wanted: dict[str, list[str]]) -> Iterator[Finding]:
    """Each model on a line: there, or where to pull it. One that no server has is wrong; one that some have is not."""
    for model in sorted({model for names in wanted.values() for model in names}):
        kinds = [kind for kind in KINDS if model in wanted[kind]]
        hosts = sorted({worker.hosts[kind] for worker in workers for kind in kinds if kind in worker.hosts})
        lacking = [kind for kind in kinds if not any(servers[worker.hosts[kind]].has(model) for worker in workers if kind in worker.hosts)]
        if all(servers[host].models is None for host in hosts):
            continue
        if lacking:
            waits = ", ".join(IN_WORDS[kind] for kind in lacking)
            yield Finding("model", f"{model} is missing: {waits} must wait", f"ollama pull {model} (at {' or '.join(hosts)})")
        else:
            yield Finding("model", f"{model} is there")
