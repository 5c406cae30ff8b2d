"""Redis and RQ: the inbox stream, the queues, the scheduler's entries and the rate limits. Nothing else imports either library.

Redis is the doorbell, SQLite the truth: everything here may be lost or happen twice, and the sweep rings again. Job arguments
are row ids, written as JSON; jobs are named, never imported.
"""

from rq.exceptions import DeserializationError
from rq.serializers import JSONSerializer

from frontdesk.queues import traces
from frontdesk.queues.acknowledgements import Acknowledgements
from frontdesk.queues.bells import Bells
from frontdesk.queues.connection import Connection, RedisError, connect
from frontdesk.queues.facts import RedisFacts, redis_facts, scheduler_alive, workers_alive
from frontdesk.queues.inbox import Inbox, InboxEntry
from frontdesk.queues.limits import Limits, OwnLimits, Rate, jittered
from frontdesk.queues.live import Listener, Live
from frontdesk.queues.load import Load, load
from frontdesk.queues.presence import Presence, Server, WorkerHosts
from frontdesk.queues.speeds import Speeds
from frontdesk.queues.work import QUEUES, FailedJobs, FrontdeskJob, Queues

__all__ = [
    "QUEUES",
    "Acknowledgements",
    "Bells",
    "Connection",
    "DeserializationError",
    "FailedJobs",
    "FrontdeskJob",
    "Inbox",
    "InboxEntry",
    "JSONSerializer",
    "Limits",
    "Listener",
    "Live",
    "Load",
    "OwnLimits",
    "Presence",
    "Queues",
    "Rate",
    "RedisError",
    "RedisFacts",
    "Server",
    "Speeds",
    "WorkerHosts",
    "connect",
    "jittered",
    "load",
    "redis_facts",
    "scheduler_alive",
    "traces",
    "workers_alive",
]
