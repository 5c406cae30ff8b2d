"""What needs a person, as it stands now: asked of Redis, SQLite and the disk. Thresholds and times are those of deploy/alerts.yml.

Whether somebody is told, and when, is alerting.py's; the desk's banners show the same (frontdesk/web/banners.py).
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from frontdesk import queues
from frontdesk.flows import backup, document_work, model_hosts
from frontdesk.flows.context import Context
from frontdesk.queues import WorkerHosts
from frontdesk.store import canary, counters, dead_letters, erasures, models, numbers
from frontdesk.store.numbers import Number
from frontdesk.work_options import REPLY

INBOX_SECONDS, WAITING_SECONDS, UNSENT_SECONDS = 60, 120, 900
DEAD_WITHIN_SECONDS, MOST_DEAD = 15 * 60, 10
LEAST_DISK_BYTES = 2e9
CANARIES = 2
BACKUP_SECONDS = 36 * 3600
ERASURE_SECONDS = 3600

# So long each must last before anybody is told.
GONE_FOR, REDIS_FOR, INBOX_FOR, WAITING_FOR, UNSENT_FOR, MODEL_FOR, DISK_FOR, BACKUP_FOR = 120, 60, 60, 60, 300, 300, 600, 600

STANDS = {
    "high": "webhooks are kept but not read, and nothing is sent",
    "default": "the bot answers nobody",
    "documents": "summaries, drafts and the index of documents wait",
    "bulk": "broadcasts, files, callbacks and backups wait",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """`name`: the same as long as it is the same trouble. `href`: the page of the desk where it can be mended."""

    name: str
    words: str
    lasting_seconds: float = 0
    href: str | None = None


def found(context: Context) -> list[Condition]:
    """Raises RedisError: without Redis nothing is known of the processes."""
    return [*_of_redis(context), *of_numbers(context), *of_models(context), *_of_messages(context), *_of_disk(context)]


def redis_away() -> Condition:
    return Condition("redis", "Redis does not answer: no webhook can be acknowledged, and nothing is sent.", REDIS_FOR)


def _of_redis(context: Context) -> Iterator[Condition]:
    load = queues.load(context.queues.redis, context.now())
    if not load.last_write_ok:
        yield Condition("redis", "Redis cannot write to its disk: no webhook can be acknowledged. Look at the disk's free space.", REDIS_FOR)
    for queue, alive in load.workers.items():
        by_default = queue == "documents" and not load.workers["default"]  # the same worker: one trouble is told once
        if not alive and not by_default:
            yield Condition(f"worker {queue}", f"Nobody works on the queue {queue}: {STANDS[queue]}. Look at its worker's log.", GONE_FOR, "/rq")
    if not load.scheduler:
        yield Condition("scheduler", "The scheduler is gone: schedules do not fire, and lost work is not found.", GONE_FOR)
    if load.inbox_oldest > INBOX_SECONDS:
        words = "Webhooks were acknowledged and wait to be read, the first for over two minutes. Look at the worker of high and at the disk."
        yield Condition("inbox", words, INBOX_FOR, "/rq")


def of_numbers(context: Context) -> list[Condition]:
    stopped = [number for number in numbers.all_of_them(context.db) if number.stopped_at is not None]
    return [Condition(f"number {number.id}", _stopped(number), href=f"/numbers/{number.id}") for number in stopped]


def _stopped(number: Number) -> str:
    return f"{number.display_phone or number.external_id} sends nothing: {number.stopped_reason}. Its messages wait."


def of_models(context: Context) -> Iterator[Condition]:
    """Those that a server lacks, with the command that mends it; and servers whose model does not answer, and whether others do."""
    lacking = model_hosts.missing(context, [pair for pairs in document_work.waiting(context) for pair in pairs])
    told, living = {each.model for each in lacking}, model_hosts.workers(context)
    for each in lacking:
        yield Condition(f"model {each.model}", each.words, MODEL_FOR)
    for host in sorted({host for worker in living for host in worker.hosts.values()}) or [context.settings.ollama_host]:
        for model, reason in models.away_now(context.db, host):
            if model not in told:
                yield Condition(f"model {model} at {host}", _away(host, model, reason, living), MODEL_FOR)


def _away(host: str, model: str, reason: str, living: list[WorkerHosts]) -> str:
    if any(worker.hosts[REPLY] != host and worker.serves(REPLY, model) for worker in living):
        return f"The model {model} does not answer at {host} ({reason}). Another server answers meanwhile."
    return f"The model {model} does not answer ({reason}). Messages are kept until it does."


def _of_messages(context: Context) -> Iterator[Condition]:
    now = context.now()
    standing = counters.standing(context.db, now)
    if standing.waiting_oldest > WAITING_SECONDS:
        words = "A customer has waited for the bot's answer for over two minutes. Look whether the model answers, and how many wait."
        yield Condition("waiting", words, WAITING_FOR, "/inbox")
    if standing.unsent_oldest > UNSENT_SECONDS and not standing.numbers_stopped:
        words = "A message has waited to go out for over 15 minutes. Look at the worker of high, the network and Meta's status page."
        yield Condition("unsent", words, UNSENT_FOR)
    bird = canary.get(context.db) if context.settings.canary_minutes else None
    if bird and bird.failures >= CANARIES:
        yield Condition("canary", f"The canary did not come through {CANARIES} times or more: {bird.words}", href="/overview")
    if dead_letters.count_since(context.db, now - DEAD_WITHIN_SECONDS) > MOST_DEAD:
        yield Condition("dead letters", f"More than {MOST_DEAD} messages failed for good within 15 minutes.", href="/dead-letters")


def _of_disk(context: Context) -> Iterator[Condition]:
    settings = context.settings
    if shutil.disk_usage(settings.data_dir).free < LEAST_DISK_BYTES:
        yield Condition("disk", "Less than 2 GB are free on the disk: when it is full, nothing can be acknowledged.", DISK_FOR)
    unfinished_since = erasures.unfinished_since(context.db)
    if unfinished_since is not None and context.now() - unfinished_since > ERASURE_SECONDS:
        words = "What an erased person wrote still lies in the database's log: a program reads the database all the time. Stop it (Litestream?) for a minute."
        yield Condition("erasure", words)
    if not settings.backup_dir:
        return
    newest = next(reversed(backup.kept(settings.backup_dir)), None)
    if newest is None:  # a new installation has until its second night
        yield Condition("backup", "There is no backup, a day and a half after it should have been made.", BACKUP_SECONDS)
    elif context.now() - newest.stat().st_mtime > BACKUP_SECONDS:
        yield Condition("backup", "The newest backup is older than a day and a half. Look at the log of the worker of bulk.", BACKUP_FOR)
