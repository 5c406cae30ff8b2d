"""RQ's queues and what rings for work. One job serves all that is due; a bell, a key with a short life, says that one is coming."""

import re
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rq import Queue
from rq.exceptions import DeserializationError
from rq.job import Job
from rq.serializers import JSONSerializer

from frontdesk.queues.connection import Connection, Line, Script

QUEUES = ("high", "default", "documents", "bulk")

REPLY_BELL = "replies:rung"
REPLY_BELL_SECONDS = 60  # one job waits behind an answer that takes this long, not one for each customer

TEMPLATES_BELL = "templates:rung"
TEMPLATES_BELL_SECONDS = 60

DOCUMENT_BELL = "documents:rung"
DOCUMENT_BELL_SECONDS = 60
DOCUMENT_FILES_BELL = "document-files:rung"

RECEIVED_FILES_BELL = "received-files:rung"
RECEIVED_FILES_BELL_SECONDS = 60

SENDS = "sends"
SEND_BELL = "sends:rung"
SEND_BELL_SECONDS = 5
LARGEST_TAKE = 10_000
LARGEST_RING = 5_000  # Lua's unpack() takes 8,000

# A job killed by time is one that hangs: none of ours comes near these. Leases, not time-outs, decide who owns work.
JOB_TIMEOUT_SECONDS = {"high": 600, "default": 3600, "documents": 3600, "bulk": 3600}
RESULT_TTL_SECONDS = 60
FAILURE_TTL_SECONDS = 7 * 24 * 3600


LOOKED_AT = 50  # of a queue's failed jobs, for what they died of


@dataclass(frozen=True, slots=True)
class FailedJobs:
    """`exception`: its class as the traceback names it, '' where the process ended without one. `of` this queue's failed jobs."""

    queue: str
    exception: str
    count: int
    of: int


class FrontdeskJob(Job):
    """A job whose data is JSON. rq-scheduler passes no serializer on, so the class itself brings it."""

    def __init__(self, id=None, connection=None, serializer=None):
        super().__init__(id, connection=connection, serializer=serializer or JSONSerializer)


_RING_FOR_SENDS = """
redis.call('SADD', KEYS[1], unpack(ARGV, 2))
return redis.call('SET', KEYS[2], 1, 'NX', 'EX', ARGV[1])
"""


class Queues:
    """Where work is put. Everything is enqueued by name, with row ids."""

    def __init__(self, connection: Connection):
        self.redis = connection
        self._ring_for_sends = Script(connection, _RING_FOR_SENDS)
        self._line = Line(connection)
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
        unless_rung = () if force else ("NX",)
        if self._line.ask("SET", REPLY_BELL, 1, "EX", REPLY_BELL_SECONDS, *unless_rung):
            self.put("default", "jobs.reply", "reply")

    def silence_replies(self) -> None:
        """Called before looking what is due: what comes after this rings again."""
        self._line.ask("DEL", REPLY_BELL)

    def documents(self, *, force: bool = False) -> None:
        """Ring for the documents that are due, however many: SQLite knows which. `force` as in reply().

        The bell is silent again while a slow inference lasts, so it is looked whether a job stands in line already.
        """
        if self.redis.set(DOCUMENT_BELL, 1, nx=not force, ex=DOCUMENT_BELL_SECONDS) and not self._stands_in("documents", "documents-"):
            self.put("documents", "jobs.documents", "documents")

    def silence_documents(self) -> None:
        """Called before looking what is due: what comes after this rings again."""
        self.redis.delete(DOCUMENT_BELL)

    def document_files(self, *, force: bool = False) -> None:
        """Ring for the documents' files that are still to be read."""
        if self.redis.set(DOCUMENT_FILES_BELL, 1, nx=not force, ex=DOCUMENT_BELL_SECONDS):
            self.put("bulk", "jobs.read_document_files", "files")

    def silence_document_files(self) -> None:
        self.redis.delete(DOCUMENT_FILES_BELL)

    def goes_before_documents(self) -> bool:
        """Whether a customer's answer or something that a person waits for stands in line at the model."""
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.llen(self._queues["default"].key)
        pipeline.lindex(self._queues["documents"].key, 0)
        answers, first = pipeline.execute()
        return bool(answers) or not (first or b"documents-").startswith(b"documents-")

    def begin_early(self, conversation_id: int) -> None:
        """Behind every answer that is due (`documents` is served when `default` is empty), before other documents."""
        self.put("documents", "jobs.begin_early", "early", conversation_id, at_front=True)

    def suggest(self, suggestion_id: int) -> None:
        """A draft for an agent, who waits: before other documents, and once, however often it is rung for."""
        carries = f"suggest-{suggestion_id}"
        if not self._stands_in("documents", f"{carries}-"):
            self.put("documents", "jobs.suggest", carries, suggestion_id, at_front=True)

    def try_prompt(self, try_id: int) -> None:
        """A question that an owner waits for the answer to: as suggest()."""
        carries = f"try-{try_id}"
        if not self._stands_in("documents", f"{carries}-"):
            self.put("documents", "jobs.try_prompt", carries, try_id, at_front=True)

    def read_audience(self, audience_id: int) -> None:
        """Once in line, however often it is rung for."""
        carries = f"audience-{audience_id}"
        if not self._stands_in("bulk", f"{carries}-"):
            self.put("bulk", "jobs.read_audience", carries, audience_id)

    def early_begun(self) -> bool:
        """Whether a conversation already stands in line for beginning early."""
        return self._stands_in("documents", "early-")

    def fetch_media(self, media_id: int) -> None:
        """Once, however often it is rung for."""
        carries = f"fetch_media-{media_id}"
        if not self._stands_in("bulk", f"{carries}-"):
            self.put("bulk", "jobs.fetch_media", carries, media_id)

    def receive_files(self, *, force: bool = False) -> None:
        """Ring for the customers' files that are to be fetched or read. Before everything else: an answer waits for them."""
        if self.redis.set(RECEIVED_FILES_BELL, 1, nx=not force, ex=RECEIVED_FILES_BELL_SECONDS):
            self.put("bulk", "jobs.receive_files", "receive", at_front=True)

    def silence_received_files(self) -> None:
        self.redis.delete(RECEIVED_FILES_BELL)

    def read_document(self, document_id: int) -> None:
        """Reading takes memory and no model: on `bulk`, and once, however often it is rung for."""
        carries = f"read-{document_id}"
        if not self._stands_in("bulk", f"{carries}-"):
            self.put("bulk", "jobs.read_document", carries, document_id)

    def check_page(self, document_id: int) -> None:
        """Once in line, however often it is rung for."""
        carries = f"page-{document_id}"
        if not self._stands_in("bulk", f"{carries}-"):
            self.put("bulk", "jobs.check_page", carries, document_id)

    def digests(self) -> None:
        """One job makes all that are due."""
        if not self._stands_in("bulk", "digests-"):
            self.put("bulk", "jobs.digests", "digests")

    def index_document(self, document_id: int) -> None:
        """The next vectors of a document: behind everything that somebody waits for."""
        carries = f"index-{document_id}"
        if not self._stands_in("documents", f"{carries}-"):
            self.put("documents", "jobs.index_document", carries, document_id)

    def place_vectors(self, client_id: int) -> None:
        """Takes CPU and no model: on `bulk`, and once, however often it is rung for."""
        carries = f"place-{client_id}"
        if not self._stands_in("bulk", f"{carries}-"):
            self.put("bulk", "jobs.place_vectors", carries, client_id)

    def replays(self) -> None:
        """One job for each inference, and the next one behind whatever else stands in line."""
        if not self._stands_in("documents", "replays-"):
            self.put("documents", "jobs.replays", "replays")

    def group_questions(self) -> None:
        """One job for all that lack a group, behind everything that somebody waits for."""
        if not self._stands_in("documents", "questions-"):
            self.put("documents", "jobs.group_questions", "questions")

    def broadcasts(self) -> None:
        """One job serves all that run; a second one would share the work, and is not needed."""
        if not self._stands_in("bulk", "broadcasts-"):
            self.put("bulk", "jobs.broadcasts", "broadcasts")

    def call_back(self, callback_id: int) -> None:
        """Once, however often it is rung for."""
        carries = f"call_back-{callback_id}"
        if not self._stands_in("bulk", f"{carries}-"):
            self.put("bulk", "jobs.call_back", carries, callback_id)

    def forget_old(self) -> None:
        """Once, however often it is rung for."""
        if not self._stands_in("bulk", "forget_old-"):
            self.put("bulk", "jobs.forget_old", "forget_old")

    def finish_erasures(self) -> None:
        """Once, however often it is rung for."""
        if not self._stands_in("bulk", "erasures-"):
            self.put("bulk", "jobs.finish_erasures", "erasures")

    def others_wait_for_broadcasts(self) -> bool:
        """Other work stands in line for the worker that serves them. The sweep's bell for what is being served is none."""
        ids = self.redis.lrange(self._queues["bulk"].key, 0, -1)
        return any(not id_.startswith(b"broadcasts-") for id_ in ids)

    def _stands_in(self, queue: str, beginning: str) -> bool:
        ids = self.redis.lrange(self._queues[queue].key, 0, -1)
        return any(id_.startswith(beginning.encode()) for id_ in ids)

    def send(self, conversation_ids: Iterable[int]) -> None:
        """Ring for what these conversations have queued."""
        ids = list(conversation_ids)
        for start in range(0, len(ids), LARGEST_RING):
            if self._ring_for_sends([SENDS, SEND_BELL], [SEND_BELL_SECONDS, *ids[start : start + LARGEST_RING]]):
                self.put("high", "jobs.send", "send")

    def sends_being_taken(self) -> None:
        """Somebody looks again and again which conversations were rung for: nobody needs to ring."""
        self._line.ask("SET", SEND_BELL, 1, "EX", SEND_BELL_SECONDS)

    def silence_sends(self) -> None:
        """Called before the last look: what comes after this rings again."""
        self._line.ask("DEL", SEND_BELL)

    def take_sends(self) -> list[int]:
        """The conversations rung for; they are this caller's now (the sweep finds those of a caller who dies)."""
        return [int(id_) for id_ in self._line.ask("SPOP", SENDS, LARGEST_TAKE)]

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

    def put_once(self, queue: str, job: str, carries: str) -> None:
        """Unless one stands in line already."""
        if not self._stands_in(queue, f"{carries}-"):
            self.put(queue, job, carries)

    def refresh_templates(self) -> None:
        """A rejected campaign brings a webhook for each template: one reading serves those of the next seconds."""
        if self.redis.set(TEMPLATES_BELL, 1, nx=True, ex=TEMPLATES_BELL_SECONDS):
            self.put("bulk", "jobs.refresh_templates", "templates")

    def silence_templates(self) -> None:
        self.redis.delete(TEMPLATES_BELL)

    def depth(self, queue: str) -> int:
        return self.redis.llen(self._queues[queue].key)

    def failed_jobs(self) -> list["FailedJobs"]:
        """By queue and exception. Where there are many, what the newest ones died of stands for all."""
        found = []
        for name, queue in self._queues.items():
            registry = queue.failed_job_registry
            count = registry.get_job_count(cleanup=False)
            newest = registry.get_job_ids(-LOOKED_AT, -1, cleanup=False) if count else []
            classes = Counter(self._died_of(id_) for id_ in newest)
            found += [FailedJobs(name, exception, each, count) for exception, each in classes.most_common()]
        return found

    def _died_of(self, job_id: str) -> str:
        try:
            result = FrontdeskJob(job_id, connection=self.redis).latest_result()
        except (ValueError, TypeError, KeyError, DeserializationError):
            return ""
        last = (result.exc_string or "").strip().rpartition("\n")[2] if result else ""
        named = re.match(r"[A-Za-z_][\w.]*(?=:|$)", last)
        return named[0] if named else ""

    def rq_queues(self, names: Iterable[str]) -> list[Queue]:
        return [self._queues[name] for name in names]
