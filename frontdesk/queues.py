"""Redis and RQ: the inbox stream, the queues, the scheduler's entries and the rate limits. Nothing else imports either library.

Redis is the doorbell, SQLite the truth: everything here may be lost or happen twice, and the sweep rings again. Job arguments
are row ids, written as JSON; jobs are named, never imported. A job's id begins with what it carries (`reply-17-…`), so the
sweep can tell from a queue's ids alone which conversations already have a job.
"""

import hashlib
import random
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue, Worker
from rq.job import Job
from rq.serializers import JSONSerializer

QUEUES = ("high", "default", "documents", "bulk")

INBOX = "inbox"
BELL = "inbox:rung"
BELL_SECONDS = 5
INBOX_BATCH = 500

# A job killed by time is one that hangs: none of ours comes near these. Leases, not time-outs, decide who owns work.
JOB_TIMEOUT_SECONDS = {"high": 600, "default": 3600, "documents": 3600, "bulk": 3600}
RESULT_TTL_SECONDS = 60
FAILURE_TTL_SECONDS = 7 * 24 * 3600

RedisError = redis.RedisError
Connection = redis.Redis


class FrontdeskJob(Job):
    """A job whose data is JSON. rq-scheduler passes no serializer on, so the class itself brings it."""

    def __init__(self, id=None, connection=None, serializer=None):
        super().__init__(id, connection=connection, serializer=serializer or JSONSerializer)


def connect(address: str, *, timeout_seconds: float = 5, retry: bool = True) -> redis.Redis:
    """A client for RQ and for everything here.

    `retry=False`, for who answers a webhook: no second try but one on a fresh connection, where a kept one proves dead.
    """
    options = {} if retry else {"retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))}
    return redis.Redis.from_url(
        address, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds, health_check_interval=30, **options
    )


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """One acknowledged webhook: its stream id, channel kind, exact body and when it came (UTC epoch seconds)."""

    id: str
    channel: str
    body: bytes
    received_at: float


# One command for both: a pipeline of two costs the client a third more, and this is the way every webhook goes.
_PUT = """
redis.call('XADD', KEYS[1], '*', 'channel', ARGV[1], 'body', ARGV[2], 'at', ARGV[3])
return redis.call('SET', KEYS[2], 1, 'NX', 'EX', ARGV[4])
"""


class _Line:
    """One connection for each thread, kept: the pool, retries and metrics of redis-py cost more than a short command does."""

    def __init__(self, connection: redis.Redis):
        self._pool = connection.connection_pool
        self._of_thread = threading.local()

    def ask(self, *command):
        """The answer. A kept connection that proves dead is replaced once. Raises RedisError."""
        line = getattr(self._of_thread, "line", None)
        if line is None:
            line = self._of_thread.line = self._pool.connection_class(**self._pool.connection_kwargs)
        was_open = line.is_connected
        try:
            return self._answer(line, command)
        except redis.ConnectionError:
            if not was_open:
                raise
            line.disconnect()
            return self._answer(line, command)

    @staticmethod
    def _answer(line, command):
        line.send_command(*command)
        return line.read_response()


class Inbox:
    """The stream of acknowledged webhooks, and the bell that says somebody should read it."""

    def __init__(self, connection: redis.Redis):
        self.redis = connection
        self._line = _Line(connection)
        self._put_sha = hashlib.sha1(_PUT.encode()).hexdigest()

    def put(self, channel: str, body: bytes, received_at: float) -> bool:
        """Keep a webhook; one round trip. True if the bell was silent: the caller enqueues `jobs.drain`.

        Raises RedisError: nothing was promised, the sender must send again.
        """
        arguments = (2, INBOX, BELL, channel, body, repr(received_at), BELL_SECONDS)
        try:
            return bool(self._line.ask("EVALSHA", self._put_sha, *arguments))
        except redis.exceptions.NoScriptError:
            return bool(self._line.ask("EVAL", _PUT, *arguments))

    def silence(self) -> None:
        """Called before reading: what comes after this rings again."""
        self.redis.delete(BELL)

    def read(self) -> list[InboxEntry]:
        return [
            InboxEntry(id_.decode(), fields[b"channel"].decode(), fields[b"body"], float(fields[b"at"]))
            for id_, fields in self.redis.xrange(INBOX, count=INBOX_BATCH)
        ]

    def delete(self, entries: Iterable[InboxEntry]) -> None:
        ids = [entry.id for entry in entries]
        if ids:
            self.redis.xdel(INBOX, *ids)

    def length(self) -> int:
        return self.redis.xlen(INBOX)


class Queues:
    """Where work is put. Everything is enqueued by name, with row ids."""

    def __init__(self, connection: redis.Redis):
        self.redis = connection
        self._queues = {
            name: Queue(
                name,
                connection=connection,
                serializer=JSONSerializer,
                job_class=FrontdeskJob,
                default_timeout=JOB_TIMEOUT_SECONDS[name],
            )
            for name in QUEUES
        }

    def drain(self) -> None:
        self._put("high", "jobs.drain", "drain")

    def sweep(self) -> None:
        self._put("high", "jobs.sweep", "sweep")

    def warm_up(self) -> None:
        self._put("default", "jobs.warm_up", "warm_up", at_front=True)

    def reply(self, conversation_ids: Iterable[int], *, at_front: bool = False) -> None:
        self._put_each("default", "jobs.reply", "reply", conversation_ids, at_front)

    def begin_early(self, conversation_id: int) -> None:
        """Behind every answer that is due (`documents` is served when `default` is empty), before other documents."""
        self._put_each("documents", "jobs.begin_early", "early", [conversation_id], at_front=True)

    def send(self, conversation_ids: Iterable[int]) -> None:
        self._put_each("high", "jobs.send", "send", conversation_ids)

    def _put(self, queue: str, job: str, carries: str, *args: int, at_front: bool = False) -> None:
        self._queues[queue].enqueue_call(
            job,
            args=args,
            job_id=_job_id(carries),
            description=" ".join([job, *map(str, args)]),
            result_ttl=RESULT_TTL_SECONDS,
            failure_ttl=FAILURE_TTL_SECONDS,
            at_front=at_front,
        )

    def _put_each(
        self, queue: str, job: str, kind: str, conversation_ids: Iterable[int], at_front: bool = False
    ) -> None:
        datas = [
            Queue.prepare_data(
                job,
                args=(id_,),
                job_id=_job_id(f"{kind}-{id_}"),
                description=f"{job} {id_}",
                timeout=JOB_TIMEOUT_SECONDS[queue],
                result_ttl=RESULT_TTL_SECONDS,
                failure_ttl=FAILURE_TTL_SECONDS,
                at_front=at_front,
            )
            for id_ in conversation_ids
        ]
        if datas:
            self._queues[queue].enqueue_many(datas)

    def carried(self, queue: str, kind: str) -> set[int]:
        """Conversations that a job waiting in `queue` already carries."""
        return {
            carried[1]
            for id_ in self.redis.lrange(self._queues[queue].key, 0, -1)
            if (carried := _carried(id_.decode())) and carried[0] == kind
        }

    def depth(self, queue: str) -> int:
        return self.redis.llen(self._queues[queue].key)

    def rq_queues(self, names: Iterable[str]) -> list[Queue]:
        return [self._queues[name] for name in names]


def _job_id(carries: str) -> str:
    return f"{carries}-{uuid.uuid4().hex[:12]}"


def _carried(job_id: str) -> tuple[str, int] | None:
    kind, _, rest = job_id.partition("-")
    conversation_id = rest.partition("-")[0]
    return (kind, int(conversation_id)) if kind in ("reply", "send", "early") and conversation_id.isdigit() else None


class Bells:
    """rq-scheduler's entries: one for each conversation and kind of work, moved when its time moves.

    An entry is only a bell. When its time comes, scheduler.py enqueues a job of its own and takes the entry away.
    """

    ENTRIES = "rq:scheduler:scheduled_jobs"

    def __init__(self, connection: redis.Redis):
        self.redis = connection

    def reply_at(self, times: dict[int, float], *, at_front: bool = False) -> None:
        """Conversation → when its answer may begin (UTC epoch seconds). `at_front`: before the others that wait."""
        self._set("default", "jobs.reply", {f"reply-{id_}": (id_, at) for id_, at in times.items()}, at_front)

    def keep_at(self, times: dict[int, float]) -> None:
        """The same bell, for an answer whose draft is written: it needs no model any more."""
        self._set("high", "jobs.keep_draft", {f"reply-{id_}": (id_, at) for id_, at in times.items()})

    def send_at(self, times: dict[int, float]) -> None:
        self._set("high", "jobs.send", {f"send-{id_}": (id_, at) for id_, at in times.items()})

    def _set(self, queue: str, job: str, entries: dict[str, tuple[int, float]], at_front: bool = False) -> None:
        """What `Scheduler.enqueue_at` writes, for many entries in one round trip and to the millisecond."""
        if not entries:
            return
        pipeline = self.redis.pipeline(transaction=False)
        for entry_id, (conversation_id, at) in entries.items():
            # The part of a job's hash that RQ reads back; Job.save() writes four times as much, for every message of a campaign.
            bell = {
                "data": JSONSerializer.dumps((job, None, (conversation_id,), {})),
                "origin": queue,
                "description": f"{job} {conversation_id}",
                "status": "scheduled",
                "enqueue_at_front": int(at_front),
            }
            pipeline.hset(FrontdeskJob.key_for(entry_id), mapping=bell)
            pipeline.zadd(self.ENTRIES, {entry_id: at})
        pipeline.execute()


# GCRA, one key for each limit: the key holds the time at which the limit is wholly free again. A value further ahead than the
# limit allows was written before the clock was set back, and is not believed.
_TAKE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local waits = 0
local free = {}
for i, key in ipairs(KEYS) do
    local interval, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local at = tonumber(redis.call('GET', key) or now)
    if at < now or at > now + interval * burst + 600 then at = now end
    free[i] = at + interval
    waits = math.max(waits, at + interval - now - interval * burst)
end
if waits > 0 then return tostring(waits) end
for i, key in ipairs(KEYS) do
    redis.call('SET', key, string.format('%.6f', free[i]), 'PX', math.ceil((free[i] - now) * 1000) + 1000)
end
return '0'
"""

# Meta: 1 message per 6 s to one user, of which up to 45 may be borrowed ahead.
PAIR_INTERVAL_SECONDS, PAIR_BURST = 6, 45


@dataclass(frozen=True, slots=True)
class Rate:
    """Once every `interval_seconds`, of which up to `burst` may come at once. `name` says of what: `limit:<name>`."""

    name: str
    interval_seconds: float
    burst: float


class Limits:
    """How often something may happen, shared by every process through Redis: sends of a number, attempts to log in."""

    def __init__(self, connection: redis.Redis):
        self.redis = connection
        self._take = connection.register_script(_TAKE)

    def take(self, number_id: int, contact_id: int, messages_per_second: float) -> float:
        """One message of a number to one person. 0: go. Otherwise it says how many seconds to wait."""
        return self.count(
            Rate(f"{number_id}", 1 / messages_per_second, max(1, messages_per_second / 8)),
            Rate(f"{number_id}:{contact_id}", PAIR_INTERVAL_SECONDS, PAIR_BURST),
        ) or self._paused(number_id)

    def count(self, *rates: Rate) -> float:
        """0: go, it is counted for every rate. Otherwise nothing is counted and it says how many seconds to wait."""
        args = [number for rate in rates for number in (rate.interval_seconds, rate.burst)]
        return float(self._take(keys=[f"limit:{rate.name}" for rate in rates], args=args))

    def forgive(self, rate: Rate) -> None:
        """What was counted for this rate is forgotten."""
        self.redis.delete(f"limit:{rate.name}")

    def pause(self, number_id: int, seconds: float) -> None:
        """The provider said 'slower': nothing of this number goes out for so long."""
        self.redis.set(f"limit:{number_id}:paused", 1, px=max(1, int(seconds * 1000)))

    def _paused(self, number_id: int) -> float:
        remaining = self.redis.pttl(f"limit:{number_id}:paused")
        return max(0, remaining) / 1000


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What an operator must know of the Redis in use."""

    version: str
    appendonly: bool
    appendfsync: str
    eviction_policy: str
    last_write_ok: bool


def redis_facts(connection: redis.Redis) -> RedisFacts:
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


def workers_alive(connection: redis.Redis) -> dict[str, int]:
    """How many workers serve each queue now; one that was killed counts for half a minute more."""
    alive = dict.fromkeys(QUEUES, 0)
    for worker in Worker.all(connection=connection, job_class=FrontdeskJob, serializer=JSONSerializer):
        for name in set(worker.queue_names()) & set(alive):
            alive[name] += 1
    return alive


def scheduler_alive(connection: redis.Redis) -> bool:
    keys = connection.scan_iter("rq:scheduler_instance:*", count=1000)
    return any(not connection.hexists(key, "death") for key in keys)


def jittered(seconds: float) -> float:
    """`seconds`, up to a fifth more: many that failed together do not come back together."""
    return seconds * random.uniform(1, 1.2)
