"""rq-scheduler's entries, of which each is a bell."""

from rq.serializers import JSONSerializer

from frontdesk.queues.connection import Connection, Script
from frontdesk.queues.work import FrontdeskJob

# One that is due already is about to be taken away, so it does not count as being there.
_NOT_LATER = """
local there = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]))
if there and there > tonumber(ARGV[3]) and there <= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[2], unpack(ARGV, 4))
return redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
"""


class Bells:
    """rq-scheduler's entries: one for each conversation and kind of work, moved when its time moves.

    An entry is only a bell. When its time comes, scheduler.py rings and takes the entry away.
    """

    ENTRIES = "rq:scheduler:scheduled_jobs"

    def __init__(self, connection: Connection):
        self.redis = connection
        self._not_later = Script(connection, _NOT_LATER)

    def reply_at(self, times: dict[int, float]) -> None:
        """Conversation → when its answer may begin (UTC epoch seconds)."""
        self._set("default", "jobs.reply", {f"reply-{id_}": (id_, at) for id_, at in times.items()})

    def keep_at(self, times: dict[int, float]) -> None:
        """The same bell, for an answer whose draft is written: it needs no model any more."""
        self._set("high", "jobs.keep_draft", {f"reply-{id_}": (id_, at) for id_, at in times.items()})

    def send_at(self, times: dict[int, float]) -> None:
        self._set("high", "jobs.send", {f"send-{id_}": (id_, at) for id_, at in times.items()})

    def document_at(self, task_id: int, at: float) -> None:
        self._set("documents", "jobs.documents", {f"document-{task_id}": (task_id, at)})

    def documents_at(self, at: float) -> None:
        """For whichever worker can do what waits."""
        self.document_at(0, at)

    def schedules_at(self, at: float, now: float) -> None:
        """The one bell of all schedules, at `at` or before. One that rings too early does no harm."""
        entry_id = "schedules"
        fields = [word for pair in self._entry("high", "jobs.fire_schedules", ()).items() for word in pair]
        self._not_later([self.ENTRIES, FrontdeskJob.key_for(entry_id)], [entry_id, repr(at), repr(now), *fields])

    def _set(self, queue: str, job: str, entries: dict[str, tuple[int, float]]) -> None:
        """What `Scheduler.enqueue_at` writes, for many entries in one round trip and to the millisecond."""
        if not entries:
            return
        pipeline = self.redis.pipeline(transaction=False)
        for entry_id, (conversation_id, at) in entries.items():
            pipeline.hset(FrontdeskJob.key_for(entry_id), mapping=self._entry(queue, job, (conversation_id,)))
            pipeline.zadd(self.ENTRIES, {entry_id: at})
        pipeline.execute()

    @staticmethod
    def _entry(queue: str, job: str, args: tuple[int, ...]) -> dict[str, str | bytes]:
        """The part of a job's hash that RQ reads back; Job.save() writes four times as much, for every message of a campaign."""
        return {
            "data": JSONSerializer.dumps((job, None, args, {})),
            "origin": queue,
            "description": " ".join([job, *map(str, args)]),
            "status": "scheduled",
        }
