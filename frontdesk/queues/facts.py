"""What an operator asks of Redis and of the processes that work on it."""

from dataclasses import dataclass

from rq import Worker
from rq.serializers import JSONSerializer

from frontdesk.queues.connection import Connection, RedisError
from frontdesk.queues.work import QUEUES, FrontdeskJob


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What an operator must know of the Redis in use."""

    version: str
    appendonly: bool
    appendfsync: str
    eviction_policy: str
    last_write_ok: bool


def redis_facts(connection: Connection) -> RedisFacts:
    """Raises RedisError. A hosted Redis may forbid CONFIG: what it does not tell reads 'unknown'."""
    server, persistence, memory = (connection.info(section) for section in ("server", "persistence", "memory"))
    try:
        fsync = connection.config_get("appendfsync").get("appendfsync", "unknown")
    except RedisError:
        fsync = "unknown"
    return RedisFacts(
        version=str(server.get("valkey_version") or server.get("redis_version")),
        appendonly=bool(persistence.get("aof_enabled")),
        appendfsync=fsync,
        eviction_policy=memory.get("maxmemory_policy", "unknown"),
        last_write_ok=persistence.get("aof_last_write_status", "ok") == "ok",
    )


def workers_alive(connection: Connection) -> dict[str, int]:
    """How many workers serve each queue now; one that was killed counts for half a minute more."""
    alive = dict.fromkeys(QUEUES, 0)
    for worker in Worker.all(connection=connection, job_class=FrontdeskJob, serializer=JSONSerializer):
        for name in set(worker.queue_names()) & set(alive):
            alive[name] += 1
    return alive


def scheduler_alive(connection: Connection) -> bool:
    keys = connection.scan_iter("rq:scheduler_instance:*", count=1000)
    return any(not connection.hexists(key, "death") for key in keys)
