"""How much waits in Redis and for how long, and how large Redis is: what /metrics asks."""

from dataclasses import dataclass
from datetime import datetime

from frontdesk.queues.bells import Bells
from frontdesk.queues.connection import Connection
from frontdesk.queues.facts import scheduler_alive, workers_alive
from frontdesk.queues.inbox import INBOX
from frontdesk.queues.work import QUEUES, Queues


@dataclass(frozen=True, slots=True)
class Load:
    """Ages in seconds, 0 where nothing waits. By queue: `jobs`, `oldest`, `failed`, `workers`."""

    inbox: int
    inbox_oldest: float
    jobs: dict[str, int]
    oldest: dict[str, float]
    failed: dict[str, int]
    workers: dict[str, int]
    scheduler: bool
    bells: int
    memory_bytes: int
    aof_bytes: int
    last_write_ok: bool


def load(connection: Connection, now: float) -> Load:
    """Raises RedisError."""
    found = connection.xrange(INBOX, count=1)
    queues = Queues(connection).rq_queues(QUEUES)
    persistence = connection.info("persistence")
    return Load(
        inbox=connection.xlen(INBOX),
        inbox_oldest=max(0.0, now - float(found[0][1][b"at"])) if found else 0.0,
        jobs={queue.name: connection.llen(queue.key) for queue in queues},
        oldest={queue.name: _oldest_age(connection, queue.key, now) for queue in queues},
        failed={queue.name: queue.failed_job_registry.get_job_count(cleanup=False) for queue in queues},
        workers=workers_alive(connection),
        scheduler=scheduler_alive(connection),
        bells=connection.zcard(Bells.ENTRIES),
        memory_bytes=connection.info("memory")["used_memory"],
        aof_bytes=persistence.get("aof_current_size", 0),
        last_write_ok=persistence.get("aof_last_write_status", "ok") == "ok",
    )


def _oldest_age(connection: Connection, key: str, now: float) -> float:
    """Work is put at the front too, so the two ends are asked."""
    ages = [0.0]
    for place in (0, -1):
        job_id = connection.lindex(key, place)
        enqueued_at = connection.hget(f"rq:job:{job_id.decode()}", "enqueued_at") if job_id else None
        if enqueued_at:
            ages.append(now - datetime.fromisoformat(enqueued_at.decode()).timestamp())
    return max(ages)
