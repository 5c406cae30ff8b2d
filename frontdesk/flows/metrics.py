"""Everything /metrics says, asked of Redis, SQLite and the disk when somebody looks: whichever process answers, it is the same.

The number of time series is bounded: labels are our own words, queues, causes and at most twenty models; never a person or a number.
"""

import logging
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from frontdesk import histogram, queues
from frontdesk.flows import backup, mends
from frontdesk.flows.context import Context
from frontdesk.store import canary, counters, documents, erasures
from frontdesk.store.measures import DURATIONS

log = logging.getLogger(__name__)

# Of the 103 classes every fourth: 0.5 ms to 13 s, each twice the one before.
ACKNOWLEDGEMENT_CLASSES = range(0, 60, 4)


# In seconds, as migration m035 writes them.
ANSWER_BOUNDS = ("0.1", "0.25", "0.5", "1", "2", "5", "10", "15", "20", "30", "45", "60", "90", "120", "180", "300", "600", "1800")


class Collector:
    """prometheus-client asks it at each scrape."""

    def __init__(self, context: Context):
        self.context = context

    def collect(self) -> Iterator:
        began = time.monotonic()
        now = self.context.now()
        yield from _part("redis", queues.RedisError, lambda: _redis(self.context, now))
        yield from _part("database", sqlite3.Error, lambda: _database(self.context, now))
        yield from _disk(self.context)
        yield _gauge("scrape_seconds", "How long these figures took.", time.monotonic() - began)


def _part(name: str, error_class: type[Exception], figures) -> Iterable:
    """Its figures, or only that it is away: the others are told all the same."""
    try:
        found = list(figures())
    except error_class as error:
        log.warning("metrics: no figures of the %s (%s)", name, type(error).__name__)
        return [_gauge(f"{name}_up", f"Whether the {name} answers.", 0)]
    return [_gauge(f"{name}_up", f"Whether the {name} answers.", 1), *found]


def _redis(context: Context, now: float) -> Iterator:
    load = queues.load(context.queues.redis, now)
    yield _gauge("inbox_webhooks", "Acknowledged webhooks that are not rows yet.", load.inbox)
    yield _gauge("inbox_oldest_seconds", "Age of the oldest of them.", load.inbox_oldest)
    yield _gauges("queue_jobs", "Jobs that wait.", "queue", load.jobs)
    yield _gauges("queue_oldest_seconds", "Age of the oldest job that waits.", "queue", load.oldest)
    yield _gauges("failed_jobs", "Jobs that ended in an error, kept for a week.", "queue", load.failed)
    yield _gauges("workers", "Workers alive; one that was killed counts for half a minute more.", "queue", load.workers)
    yield _gauge("scheduler_up", "Whether the scheduler is alive.", load.scheduler)
    yield _gauge("scheduled_bells", "Times that the scheduler rings at.", load.bells)
    yield _gauge("redis_memory_bytes", "Memory that Redis uses.", load.memory_bytes)
    yield _gauge("redis_aof_bytes", "Size of Redis' append-only file.", load.aof_bytes)
    yield _gauge("redis_last_write_ok", "Whether Redis' last write to the disk went well.", load.last_write_ok)
    yield _acknowledgements(context.acknowledgements.total())


def _acknowledgements(total: histogram.Histogram) -> HistogramMetricFamily:
    """Only classes are kept of these times, so their sum is right to a tenth."""
    seconds = sum(histogram.middle_of(place) * count for place, count in total.items())
    buckets = [
        (repr(round(histogram.BOUNDS[last], 6)), sum(count for place, count in total.items() if place <= last))
        for last in ACKNOWLEDGEMENT_CLASSES
    ]
    family = HistogramMetricFamily("frontdesk_acknowledgement_seconds", "How long webhooks took to be acknowledged.")
    family.add_metric([], [*buckets, ("+Inf", sum(total.values()))], seconds)
    return family


def _database(context: Context, now: float) -> Iterator:
    counted, standing = counters.counted(context.db), counters.standing(context.db, now)
    yield _counters("messages", "Messages by what they are: `in`, or why one goes out.", "of", counted.get("messages", {}))
    yield _counters("outcomes", "Messages that came to a state of sending.", "state", counted.get("outcomes", {}))
    failures = _by_cause({int(code) if code else None: count for code, count in counted.get("failures", {}).items()})
    yield _counters("failures", "Messages that failed for good.", "cause", failures)
    yield _counters("leases", "Claims of processes that died or hung.", "what", counted.get("leases", {}))
    yield _answers(counted)
    yield _gauge("waiting_conversations", "Conversations to which the bot owes an answer.", standing.waiting)
    yield _gauge("waiting_oldest_seconds", "How long the first of them has waited.", standing.waiting_oldest)
    yield _gauge("unsent_messages", "Messages that are to go out.", standing.unsent)
    yield _gauge("unsent_oldest_seconds", "Age of the oldest of them.", standing.unsent_oldest)
    yield _gauge("conversations_for_a_person", "Conversations that need a person.", standing.for_a_person)
    yield _gauges("dead_letters", "Failed messages that nobody has settled.", "cause", _by_cause(standing.dead))
    yield _gauge("rejected_events", "Parts of webhooks that were not understood and that nobody has settled.", standing.rejected)
    yield _gauges("numbers", "Numbers.", "state", {"working": standing.numbers - standing.numbers_stopped, "stopped": standing.numbers_stopped})
    yield _gauge("documents", "Documents that the model is to work on, without those that are paused.", documents.open_count(context.db))
    unfinished_since = erasures.unfinished_since(context.db)
    yield _gauge("erasure_unfinished_seconds", "How long ago somebody was erased whose last traces in files are still there.", now - (unfinished_since or now))
    yield _gauge("models_away", "Models that do not answer.", standing.models_away)
    if context.settings.canary_minutes and (bird := canary.get(context.db)):
        yield _gauge("canary_age_seconds", "How long ago the last canary came through.", now - bird.ok_at if bird.ok_at else float("inf"))
        yield _gauge("canary_seconds", "How long it took from its webhook to its answer's send.", bird.seconds or 0)
        yield _gauge("canary_failures", "Canaries since then that did not.", bird.failures)
    yield _gauges("model_tokens_per_second", "How fast a model lately wrote.", "model", standing.tokens_per_second)


def _answers(counted: dict[str, dict[str, float]]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        "frontdesk_answer_seconds", "Of the bot's answers: waiting to begin, searching the documents (where there are any), writing, sending, and all of it.", labels=["part"]
    )
    for part in DURATIONS:
        of_part = counted.get(part, {})
        labels = (*ANSWER_BOUNDS, "+Inf")
        up_to = accumulate(of_part.get(label, 0.0) for label in labels)
        family.add_metric([part], list(zip(labels, up_to, strict=True)), of_part.get("sum", 0.0))
    return family


def _by_cause(codes: dict[int | None, float]) -> dict[str, float]:
    """Meta has hundreds of codes; the desk's causes are a dozen."""
    found: Counter = Counter({cause.name: 0 for cause in mends.CAUSES})
    for code, count in codes.items():
        found[mends.cause_of(code).name] += count
    return dict(found)


def _disk(context: Context) -> Iterator:
    settings = context.settings
    files = {"database": settings.database_path, "log": settings.database_path.with_name("frontdesk.db-wal")}
    yield _gauges("database_bytes", "Size of SQLite's files.", "file", {name: _size(path) for name, path in files.items()})
    yield _gauge("disk_free_bytes", "Free room where the data is.", shutil.disk_usage(settings.data_dir).free)
    kept = backup.kept(settings.backup_dir) if settings.backup_dir else []
    if settings.backup_dir:
        yield _gauge("backup_timestamp_seconds", "When the newest nightly backup was written; 0: there is none.", _written_at(kept))
        yield _gauge("backup_bytes", "Its size.", _size(kept[-1]) if kept else 0)


def _size(path) -> int:
    return path.stat().st_size if path.exists() else 0


def _written_at(kept: list) -> float:
    return kept[-1].stat().st_mtime if kept else 0.0


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"frontdesk_{name}", meaning, value=float(value))


def _gauges(name: str, meaning: str, label: str, values: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"frontdesk_{name}", meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], float(value))
    return family


def _counters(name: str, meaning: str, label: str, values: dict[str, float]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"frontdesk_{name}", meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], float(value))
    return family
