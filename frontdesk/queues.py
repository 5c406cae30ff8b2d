"""Redis and RQ: the inbox stream, the queues, the scheduler's entries and the rate limits. Nothing else imports either library.

Redis is the doorbell, SQLite the truth: everything here may be lost or happen twice, and the sweep rings again. Job arguments
are row ids, written as JSON; jobs are named, never imported. Where much comes at once (webhooks, answers, sends) one job serves
all that is due, and a bell, a key with a short life, says that such a job is already on its way.
"""

import hashlib
import os
import random
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue, Worker
from rq.job import Job
from rq.serializers import JSONSerializer

from frontdesk.histogram import Histogram, class_of

QUEUES = ("high", "default", "documents", "bulk")

INBOX = "inbox"
BELL = "inbox:rung"
BELL_SECONDS = 5
INBOX_BATCH = 500

REPLY_BELL = "replies:rung"
REPLY_BELL_SECONDS = 60  # one job waits behind an answer that takes this long, not one for each customer

SENDS = "sends"
SEND_BELL = "sends:rung"
LARGEST_TAKE = 10_000
LARGEST_RING = 5_000  # Lua's unpack() takes 8,000
LINGER_SECONDS, LONGEST_LINGER_SECONDS = 0.005, 0.1  # in which a drain of the same worker waits

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
        owner, line = getattr(self._of_thread, "line", (None, None))
        if owner != os.getpid():  # a forked child must not talk on its parent's
            line = self._pool.connection_class(**self._pool.connection_kwargs)
            self._of_thread.line = os.getpid(), line
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


class _Script:
    """A Lua script of the server's, run over a thread's own line."""

    def __init__(self, connection: redis.Redis, text: str):
        self._line = _Line(connection)
        self._text, self._sha = text, hashlib.sha1(text.encode()).hexdigest()

    def __call__(self, keys: Sequence[str], arguments: Sequence):
        try:
            return self._line.ask("EVALSHA", self._sha, len(keys), *keys, *arguments)
        except redis.exceptions.NoScriptError:
            return self._line.ask("EVAL", self._text, len(keys), *keys, *arguments)


class Inbox:
    """The stream of acknowledged webhooks, and the bell that says somebody should read it."""

    def __init__(self, connection: redis.Redis):
        self.redis = connection
        self._put = _Script(connection, _PUT)

    def put(self, channel: str, body: bytes, received_at: float) -> bool:
        """Keep a webhook; one round trip. True if the bell was silent: the caller enqueues `jobs.drain`.

        Raises RedisError: nothing was promised, the sender must send again.
        """
        return bool(self._put([INBOX, BELL], [channel, body, repr(received_at), BELL_SECONDS]))

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


_ADD = """
for i = 2, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
"""


class Acknowledgements:
    """How long webhooks took to be acknowledged: counted in the process, written to Redis once a second, kept for 8 days.

    Threads count without a lock, so now and then one is lost: these are figures for people.
    """

    KEPT_SECONDS = 8 * 24 * 3600

    def __init__(self, connection: redis.Redis):
        self.redis = connection
        self._add = _Script(connection, _ADD)
        self._counted: Histogram = {}
        self._written_at = 0.0

    def count(self, seconds: float, now: float) -> None:
        place = class_of(seconds)
        self._counted[place] = self._counted.get(place, 0) + 1
        if abs(now - self._written_at) >= 1:
            self._written_at = now
            counted, self._counted = self._counted, {}
            pairs = [number for pair in counted.items() for number in pair]
            self._add([self._key(now // 3600)], [self.KEPT_SECONDS, *pairs])

    def read(self, hours: Iterable[float]) -> list[Histogram]:
        """For each hour (UTC epoch seconds, its beginning) its histogram."""
        pipeline = self.redis.pipeline(transaction=False)
        for hour in hours:
            pipeline.hgetall(self._key(hour // 3600))
        return [{int(place): int(count) for place, count in found.items()} for found in pipeline.execute()]

    @staticmethod
    def _key(hour: float) -> str:
        return f"acknowledged:{int(hour)}"


_RING_FOR_SENDS = """
redis.call('SADD', KEYS[1], unpack(ARGV, 2))
return redis.call('SET', KEYS[2], 1, 'NX', 'EX', ARGV[1])
"""


class Queues:
    """Where work is put. Everything is enqueued by name, with row ids."""

    def __init__(self, connection: redis.Redis):
        self.redis = connection
        self._ring_for_sends = _Script(connection, _RING_FOR_SENDS)
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
        self.put("high", "jobs.drain", "drain")

    def sweep(self) -> None:
        self.put("high", "jobs.sweep", "sweep")

    def warm_up(self) -> None:
        self.put("default", "jobs.warm_up", "warm_up", at_front=True)

    def reply(self, *, force: bool = False) -> None:
        """Ring for the answers that are due: SQLite knows which. `force`: the bell is known to lie, nobody is coming."""
        if self.redis.set(REPLY_BELL, 1, nx=not force, ex=REPLY_BELL_SECONDS):
            self.put("default", "jobs.reply", "reply")

    def silence_replies(self) -> None:
        """Called before looking what is due: what comes after this rings again."""
        self.redis.delete(REPLY_BELL)

    def begin_early(self, conversation_id: int) -> None:
        """Behind every answer that is due (`documents` is served when `default` is empty), before other documents."""
        self.put("documents", "jobs.begin_early", "early", conversation_id, at_front=True)

    def suggest(self, suggestion_id: int) -> None:
        """A draft for an agent, who waits: before other documents."""
        self.put("documents", "jobs.suggest", "suggest", suggestion_id, at_front=True)

    def early_begun(self) -> bool:
        """Whether a conversation already stands in line for beginning early."""
        return any(id_.startswith(b"early-") for id_ in self.redis.lrange(self._queues["documents"].key, 0, -1))

    def send(self, conversation_ids: Iterable[int]) -> None:
        """Ring for what these conversations have queued."""
        ids = list(conversation_ids)
        for start in range(0, len(ids), LARGEST_RING):
            if self._ring_for_sends([SENDS, SEND_BELL], [BELL_SECONDS, *ids[start : start + LARGEST_RING]]):
                self.put("high", "jobs.send", "send")

    def take_sends(self) -> Iterator[int]:
        """The conversations rung for; they are this caller's now (the sweep finds those of a caller who dies).

        It lingers for those that come meanwhile: under load one job serves many, and none of them waits for a job of its own.
        """
        ends_at = time.monotonic() + LONGEST_LINGER_SECONDS
        while time.monotonic() < ends_at and (taken := self.redis.spop(SENDS, LARGEST_TAKE)):
            yield from map(int, taken)
            time.sleep(LINGER_SECONDS)
        self.redis.delete(SEND_BELL)
        yield from map(int, self.redis.spop(SENDS, LARGEST_TAKE))

    def put(self, queue: str, job: str, carries: str, *args: int, at_front: bool = False) -> None:
        """`carries` begins the job's id, for whoever looks at a queue."""
        self._queues[queue].enqueue_call(
            job,
            args=args,
            job_id=f"{carries}-{uuid.uuid4().hex[:12]}",
            description=" ".join([job, *map(str, args)]),
            result_ttl=RESULT_TTL_SECONDS,
            failure_ttl=FAILURE_TTL_SECONDS,
            at_front=at_front,
        )

    def depth(self, queue: str) -> int:
        return self.redis.llen(self._queues[queue].key)

    def failed_jobs(self) -> dict[str, int]:
        """Queue → how many of its jobs ended in an error; those without are left out."""
        counts = {name: queue.failed_job_registry.count for name, queue in self._queues.items()}
        return {name: count for name, count in counts.items() if count}

    def rq_queues(self, names: Iterable[str]) -> list[Queue]:
        return [self._queues[name] for name in names]


class Bells:
    """rq-scheduler's entries: one for each conversation and kind of work, moved when its time moves.

    An entry is only a bell. When its time comes, scheduler.py rings and takes the entry away.
    """

    ENTRIES = "rq:scheduler:scheduled_jobs"

    def __init__(self, connection: redis.Redis):
        self.redis = connection

    def reply_at(self, times: dict[int, float]) -> None:
        """Conversation → when its answer may begin (UTC epoch seconds)."""
        self._set("default", "jobs.reply", {f"reply-{id_}": (id_, at) for id_, at in times.items()})

    def keep_at(self, times: dict[int, float]) -> None:
        """The same bell, for an answer whose draft is written: it needs no model any more."""
        self._set("high", "jobs.keep_draft", {f"reply-{id_}": (id_, at) for id_, at in times.items()})

    def send_at(self, times: dict[int, float]) -> None:
        self._set("high", "jobs.send", {f"send-{id_}": (id_, at) for id_, at in times.items()})

    def _set(self, queue: str, job: str, entries: dict[str, tuple[int, float]]) -> None:
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
            }
            pipeline.hset(FrontdeskJob.key_for(entry_id), mapping=bell)
            pipeline.zadd(self.ENTRIES, {entry_id: at})
        pipeline.execute()


# GCRA, one key for each rate: it holds the time at which the rate is wholly free again. A value further ahead than the rate
# allows was written before the clock was set back, and is not believed. A key after those of the rates holds everything up
# while it lives. ARGV: how many rates, how long a wait is still counted, then interval and burst of each.
_TAKE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local count = tonumber(ARGV[1])
local waits = 0
if KEYS[count + 1] then waits = math.max(0, redis.call('PTTL', KEYS[count + 1])) / 1000 end
local free = {}
for i = 1, count do
    local interval, burst = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
    local at = tonumber(redis.call('GET', KEYS[i]) or now)
    if at < now or at > now + interval * burst + 600 then at = now end
    free[i] = at + interval
    waits = math.max(waits, at + interval - now - interval * burst)
end
if waits > tonumber(ARGV[2]) then return tostring(waits) end
for i = 1, count do
    redis.call('SET', KEYS[i], string.format('%.6f', free[i]), 'PX', math.ceil((free[i] - now) * 1000) + 1000)
end
return tostring(waits)
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
        self._take = _Script(connection, _TAKE)

    def take(self, number_id: int, contact_id: int, messages_per_second: float, patience_seconds: float = 0) -> float:
        """How many seconds a message of a number to one person has to wait.

        Up to `patience_seconds` it is counted: wait so long and send it. For a longer wait nothing is counted: ask again then.
        """
        of_number = Rate(f"{number_id}", 1 / messages_per_second, max(1, messages_per_second / 8))
        of_pair = Rate(f"{number_id}:{contact_id}", PAIR_INTERVAL_SECONDS, PAIR_BURST)
        return self._count([of_number, of_pair], patience_seconds, f"limit:{number_id}:paused")

    def count(self, *rates: Rate) -> float:
        """0: go, it is counted for every rate. Otherwise nothing is counted and it says how many seconds to wait."""
        return self._count(rates, 0)

    def _count(self, rates: Sequence[Rate], patience_seconds: float, *pause: str) -> float:
        numbers = [number for rate in rates for number in (rate.interval_seconds, rate.burst)]
        keys = [*(f"limit:{rate.name}" for rate in rates), *pause]
        return float(self._take(keys, [len(rates), patience_seconds, *numbers]))

    def forgive(self, rate: Rate) -> None:
        """What was counted for this rate is forgotten."""
        self.redis.delete(f"limit:{rate.name}")

    def pause(self, number_id: int, seconds: float) -> None:
        """The provider said 'slower': nothing of this number goes out for so long."""
        self.redis.set(f"limit:{number_id}:paused", 1, px=max(1, int(seconds * 1000)))


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


class Presence:
    """Who looks at a conversation now. Gone with Redis, and a few seconds after its page was closed."""

    SECONDS = 15

    def __init__(self, connection: redis.Redis):
        self.redis = connection

    def seen(self, conversation_id: int, user_id: int, now: float, *, writing: bool) -> dict[int, bool]:
        """This user is here; the others who are, and whether each is writing."""
        key = f"presence:{conversation_id}"
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.hset(key, str(user_id), f"{now + self.SECONDS}:{int(writing)}")
        pipeline.expire(key, self.SECONDS)
        pipeline.hgetall(key)
        found = {}
        for other, value in pipeline.execute()[2].items():
            until, _, is_writing = value.decode().partition(":")
            if int(other) != user_id and float(until) > now:
                found[int(other)] = is_writing == "1"
        return found
