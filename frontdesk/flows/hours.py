"""A client's opening hours: whether somebody is there, and when they will be. In the client's own time zone."""

import json
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Hours = dict[str, list[list[str]]]


def read(text: str | None) -> Hours | None:
    """{"mon": [["09:00", "18:00"]], …}, None: always open. Raises ValueError, whose words say what is wrong."""
    if not text:
        return None
    hours = json.loads(text)
    if not isinstance(hours, dict) or not set(hours) <= set(DAYS):
        raise ValueError("opening hours name days as " + ", ".join(DAYS))
    for spans in hours.values():
        for begins, ends in spans:
            if _clock(begins) >= _clock(ends):
                raise ValueError(f"{begins} is not before {ends}")
    return hours


def _clock(words: str) -> time:
    return time.fromisoformat(words) if words != "24:00" else time.max


def zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def is_open(hours: Hours | None, time_zone: str, now: float) -> bool:
    return hours is None or opens_at(hours, time_zone, now) == now


def opens_at(hours: Hours, time_zone: str, now: float) -> float | None:
    """The first time from now on at which it is open (UTC epoch seconds; `now` itself if it is), None: never."""
    local = datetime.fromtimestamp(now, zone(time_zone))
    for ahead in range(8):
        day = (local + timedelta(days=ahead)).date()
        for begins, ends in sorted(hours.get(DAYS[day.weekday()], [])):
            opens, closes = (datetime.combine(day, _clock(words), local.tzinfo).timestamp() for words in (begins, ends))
            if closes > now:
                return max(opens, now)
    return None


def in_words(at: float, time_zone: str, now: float) -> str:
    """A time that every language reads: '14:05' today, '23.11. 08:00' on another day."""
    local, today = (datetime.fromtimestamp(moment, zone(time_zone)) for moment in (at, now))
    return local.strftime("%H:%M" if local.date() == today.date() else "%d.%m. %H:%M")
