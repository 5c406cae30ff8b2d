"""What time starts: the table of recurring work, and the process that runs rq-scheduler. It only enqueues.

An entry of rq-scheduler is a bell: when its time comes a job of its own is enqueued, so the entry can move while that job runs.
Entries may vanish with Redis: the recurring ones are put back here within a second, the others by the sweep.
"""

import logging
import signal
import sys
import time
from dataclasses import dataclass
from datetime import datetime

from crontab import CronTab
from rq_scheduler import Scheduler

from frontdesk import logs, queues
from frontdesk import settings as settings_module
from frontdesk.settings import Settings
from frontdesk.store import installation

log = logging.getLogger("scheduler")

LOOK_EVERY_SECONDS = 0.2
ALERTS_EVERY_SECONDS = 30
CANARY_EVERY_SECONDS = 10
TEMPLATES_EVERY_SECONDS = 6 * 3600


@dataclass(frozen=True, slots=True)
class Recurring:
    """Either every so many seconds, or at the times of a cron line (in the machine's own time zone)."""

    name: str
    job: str
    queue: str = "high"
    every_seconds: float | None = None
    cron: str | None = None
    once: bool = False  # never two in line, however long its worker is gone

    def next_after(self, now: float) -> float:
        if self.every_seconds:
            return now + self.every_seconds
        local = datetime.fromtimestamp(now).astimezone()
        return CronTab(self.cron).next(now=local, return_datetime=True).timestamp()

    def is_absurd(self, at: float, now: float) -> bool:
        """Further ahead than it can be: the clock was set back since."""
        return at > now + (2 * self.every_seconds if self.every_seconds else 366 * 24 * 3600)


def recurring(settings: Settings) -> list[Recurring]:
    """All recurring work. What people schedule is in SQLite (frontdesk/store/schedules.py), and has one bell here, of its earliest."""
    return [
        # rings again for whatever is due and has no job: messages, sends, answers, schedules; hands conversations back to the bot
        Recurring("sweep", "jobs.sweep", every_seconds=settings.sweep_seconds),
        # tells what needs a person; on two workers, for one of them may be what is gone
        Recurring("alerts", "jobs.judge_alerts", every_seconds=ALERTS_EVERY_SECONDS, once=True),
        Recurring("alerts-beside", "jobs.judge_alerts", "bulk", every_seconds=ALERTS_EVERY_SECONDS, once=True),
        # sends the canary off when it is time, and sees whether it came through
        *([Recurring("canary", "jobs.canary", "bulk", every_seconds=CANARY_EVERY_SECONDS, once=True)] if settings.canary_minutes else []),
        # reads the accounts' templates from Meta
        Recurring("templates", "jobs.refresh_templates", queue="bulk", every_seconds=TEMPLATES_EVERY_SECONDS),
        # takes away what is over: log-ins, links, idempotency keys, results and figures that are old
        Recurring("clean", "jobs.clean", cron="0 2 * * *"),
        # documents from the web are looked at again, and what is not in the indexes is taken up
        Recurring("reindex", "jobs.reindex", "bulk", cron="0 2 * * *"),
        *([Recurring("backup", "jobs.backup", "bulk", cron="15 3 * * *")] if settings.backup_dir else []),
    ]


# Takes the entry away, or moves it on, unless somebody moved it since it was read.
_MOVE_ON = """
local at = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not at or tonumber(at) > tonumber(ARGV[2]) then return 0 end
if ARGV[3] ~= '' then return redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1]) end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return 1
"""


class Bellringer(Scheduler):
    """rq-scheduler with millisecond times, one broken entry no longer stopping the rest, and a lock that outlives nobody."""

    def __init__(self, connection, table: list[Recurring]):
        super().__init__(connection=connection, interval=LOOK_EVERY_SECONDS, job_class=queues.FrontdeskJob)
        self.table = {entry.name: entry for entry in table}
        self.queues = queues.Queues(connection)
        self.move_on = connection.register_script(_MOVE_ON)

    def acquire_lock(self) -> bool:
        """For two seconds at most: ringing twice is harmless, a lock left behind by a killed scheduler is not."""
        self._lock_acquired = self.connection.set(self.scheduler_lock_key, self.name, nx=True, px=2000)
        return bool(self._lock_acquired)

    def enqueue_jobs(self) -> None:
        now = time.time()
        self._keep_table(now)
        for entry_id, at in self.connection.zrangebyscore(self.scheduled_jobs_key, 0, now, 0, 1000, withscores=True):
            self._ring(entry_id.decode(), now)

    def _keep_table(self, now: float) -> None:
        names = list(self.table)
        times = self.connection.zmscore(self.scheduled_jobs_key, names)
        for name, at in zip(names, times, strict=True):
            entry = self.table[name]
            if at is None or entry.is_absurd(at, now):
                self.connection.zadd(self.scheduled_jobs_key, {name: entry.next_after(now)})

    def _ring(self, entry_id: str, now: float) -> None:
        entry = self.table.get(entry_id)
        try:
            if entry:
                (self.queues.put_once if entry.once else self.queues.put)(entry.queue, entry.job, entry.name)
            else:
                self._ring_bell(entry_id)
        except queues.RedisError:
            raise
        except Exception as error:  # it is nobody's: what it should have rung for, the sweep finds
            log.warning("entry %s dropped: %s", entry_id, type(error).__name__)
        following = repr(entry.next_after(now)) if entry else ""
        self.move_on(
            keys=[self.scheduled_jobs_key, self.job_class.key_for(entry_id)], args=[entry_id, repr(now), following]
        )

    def _ring_bell(self, entry_id: str) -> None:
        """Answers and sends have bells of their own: a hundred that are due together are one job."""
        bell = self.job_class.fetch(entry_id, connection=self.connection)
        match bell.func_name:
            case "jobs.reply":
                self.queues.reply()
            case "jobs.send":
                self.queues.send(bell.args)
            case "jobs.documents":
                self.queues.documents()
            case other:
                self.queues.put(bell.origin, other, entry_id, *bell.args)

    def _install_signal_handlers(self) -> None:
        """main() has installed its own: they also hold while Redis is away."""


def main() -> None:
    settings = settings_module.load()
    installation.hold(settings)
    logs.configure(settings, "scheduler")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    connection = queues.connect(settings.redis_address)
    while True:
        try:
            Bellringer(connection, recurring(settings)).run()
        except queues.RedisError as error:
            log.warning("Redis is away (%s); trying again", type(error).__name__)
            time.sleep(1)


if __name__ == "__main__":
    main()
