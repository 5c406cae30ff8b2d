"""When a digest is due and which day it tells of, by the client's own clocks with their summer time."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from frontdesk.flows import hours
from frontdesk.flows.recurrence import local_to_utc

# After a stop one comes late by so much at most: then it is no news any more.
LATEST_SECONDS = 12 * 3600


@dataclass(frozen=True, slots=True)
class Day:
    """`name`: year-month-day. `ends_at` is the next day's beginning (UTC epoch seconds)."""

    name: str
    begins_at: float
    ends_at: float


def due(now: float, time_zone: str, hour: int) -> Day | None:
    """The day before the one on which `hour` has come."""
    zone = hours.zone(time_zone)
    today = datetime.fromtimestamp(now, zone).date()
    for day in (today, today - timedelta(days=1)):
        if 0 <= now - _at(day, hour, zone.key) < LATEST_SECONDS:
            before = day - timedelta(days=1)
            return Day(before.isoformat(), _at(before, 0, zone.key), _at(day, 0, zone.key))
    return None


def _at(day: date, hour: int, time_zone: str) -> float:
    """An hour that a change of the clock leaves out is the moment the gap ends; of one that comes twice, the first."""
    return local_to_utc(day.isoformat(), f"{hour:02}:00", time_zone)


def in_words(day: str) -> str:
    """'Friday, 20 November 2026'"""
    on = date.fromisoformat(day)
    return f"{on:%A}, {on.day} {on:%B %Y}"
