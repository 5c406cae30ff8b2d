"""rq-scheduler's entries, of which each is a bell."""

from rq.serializers import JSONSerializer

from frontdesk.queues.connection import Connection
from frontdesk.queues.work import FrontdeskJob


class Bells:
    """rq-scheduler's entries: one for each conversation and kind of work, moved when its time moves.

    An entry is only a bell. When its time comes, scheduler.py rings and takes the entry away.
    """

    ENTRIES = "rq:scheduler:scheduled_jobs"

    def __init__(self, connection: Connection):
        self.redis = connection

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
