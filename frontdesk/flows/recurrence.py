"""When recurring things happen: cron lines of five fields and a few plain words, in a time zone with its summer time.

A time of day that a change of the clock leaves out goes at the moment the gap ends; one that comes twice goes once, the first
time. Rules whose minute or hour begins with `*` go by the time that really passes, as in Debian's cron.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from frontdesk.errors import FrontdeskError

LONGEST_RULE = 200
EXAMPLES = "“every weekday 09:00”, “every monday and thursday 18:30”, “every month on the 1st at 08:00”, “every 15 minutes”"
CRON_MEND = "a cron line has five fields: minute (0-59), hour (0-23), day of the month (1-31), month (1-12), weekday (0-7)"

_STEP = re.compile(r"\*/(\d+) \* \* \* \*|0 \*/(\d+) \* \* \*")
_ORDINAL = re.compile(r"\b([02-9]?[123])th\b")  # cronsim says 31th


class BadTime(FrontdeskError):
    """A rule, a date, a time or a time zone that means nothing; its words say what would."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`asked`: as it was written; `cron`: the same as a cron line."""

    asked: str
    cron: str

    @property
    def words(self) -> str:
        """In plain English: 'At 09:00 on Monday through Friday'."""
        if (step := _STEP.fullmatch(self.cron)) and (60 if step[1] else 24) % int(step[1] or step[2]) == 0:
            return f"Every {step[1] or step[2]} {'minutes' if step[1] else 'hours'}"
        explained = CronSim(self.cron, datetime(2000, 1, 1)).explain()
        return _ORDINAL.sub(lambda found: found[1] + {"1": "st", "2": "nd", "3": "rd"}[found[1][-1]], explained)

    @property
    def by_elapsed_time(self) -> bool:
        minute, hour, *_ = self.cron.split()
        return minute.startswith("*") or hour.startswith("*")

    def next_after(self, at: float, time_zone: str) -> float:
        """The first time later than `at`; both in UTC epoch seconds. Raises BadTime where the zone is unknown."""
        tz = zone(time_zone)
        return _next_by_elapsed_time(self.cron, at, tz) if self.by_elapsed_time else _next_by_clock(self.cron, at, tz)


def zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadTime(f"There is no time zone {name!r}; write it like Europe/Berlin or America/New_York.") from None


def local_to_utc(day: str, clock: str, time_zone: str) -> float:
    """'2026-12-24' and '18:30' on the clocks of `time_zone` → UTC epoch seconds. Raises BadTime."""
    tz = zone(time_zone)
    try:
        on = date.fromisoformat(day.strip())
    except ValueError:
        raise BadTime(f"There is no day {day[:40]!r}; write an existing one as year-month-day, like 2026-12-24.") from None
    try:
        at = time.fromisoformat(clock.strip())
    except ValueError:
        raise BadTime(f"There is no time {clock[:40]!r}; write it on a clock of 24 hours, like 18:30.") from None
    if at.tzinfo:
        raise BadTime(f"Write the time without an offset: it is understood as the time in {time_zone}.")
    try:
        return _moment(datetime.combine(on, at), tz)
    except (OverflowError, ValueError):
        raise BadTime(f"There is no day {day[:40]!r} to plan for; write one nearer to today.") from None


# --- from the clock on the wall to UTC -------------------------------------------------------------------------------------------


def _next_by_clock(cron: str, at: float, tz: ZoneInfo) -> float:
    for local in CronSim(cron, _wall(at, tz)):
        moment = _moment(local, tz)
        if moment > at:
            return moment
    raise _never(cron)


def _next_by_elapsed_time(cron: str, at: float, tz: ZoneInfo) -> float:
    """From one change of the offset to the next clocks run evenly; behind a change it is looked again, with the new offset."""
    while True:
        local = next(CronSim(cron, _wall(at, tz)), None)
        if local is None:
            raise _never(cron)
        moment = local.replace(tzinfo=UTC).timestamp() - _offset(at, tz)
        changes_at = _change(at, moment, tz)
        if changes_at is None:
            return moment
        if _matches(cron, _wall(changes_at, tz)):
            return changes_at
        at = changes_at


def _matches(cron: str, wall: datetime) -> bool:
    return next(CronSim(cron, wall - timedelta(seconds=1)), None) == wall


def _never(cron: str) -> BadTime:
    return BadTime(f"“{cron}” names a day that never comes; {CRON_MEND}.")


def _moment(wall: datetime, tz: ZoneInfo) -> float:
    """When the clocks of `tz` show `wall`: the first time of two, the end of the gap where they never do."""
    moment = wall.replace(tzinfo=tz).timestamp()
    if _wall(moment, tz) == wall:
        return moment
    before = wall.replace(tzinfo=tz, fold=1).timestamp()
    return _boundary(before, moment, tz)


def _wall(at: float, tz: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at, tz).replace(tzinfo=None, fold=0)


def _offset(at: float, tz: ZoneInfo) -> float:
    return datetime.fromtimestamp(at, tz).utcoffset().total_seconds()


def _change(begins: float, ends: float, tz: ZoneInfo) -> float | None:
    """The first moment after `begins`, up to `ends`, from which another offset holds. No zone changes twice in a day."""
    while begins < ends:
        step = min(begins + 86400, ends)
        if _offset(step, tz) != _offset(begins, tz):
            return _boundary(begins, step, tz)
        begins = step
    return None


def _boundary(begins: float, ends: float, tz: ZoneInfo) -> float:
    """The full second in (begins, ends] from which the offset of `ends` holds."""
    low, high, offset = int(begins), int(-(-ends // 1)), _offset(ends, tz)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _offset(middle, tz) == offset else (middle, high)
    return float(high)


# --- from words to a cron line ---------------------------------------------------------------------------------------------------

_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_NTH = {"first": "1", "second": "2", "third": "3", "fourth": "4", "fifth": "5", "last": "L"}
_FILLERS = {"every", "each", "at", "on", "the", "and", "of", "in"}
_TIME = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?(am|pm)?")
_CRON = re.compile(r"(?:[\d*][\d*/,\-]*|l|lw)(?:\s+\S+){4}", re.IGNORECASE)


def parse(words: str) -> Rule:
    """Raises BadTime, whose words say what would be understood."""
    asked = " ".join(words.split())
    if not asked or len(asked) > LONGEST_RULE:
        raise BadTime(f"A rule says how often and when, in up to {LONGEST_RULE} characters: {EXAMPLES}.")
    rule = Rule(asked, asked.upper() if _CRON.fullmatch(asked) else _cron_of(asked))
    try:
        comes = next(CronSim(rule.cron, datetime(2000, 1, 1)), None)
    except CronSimError as error:
        raise BadTime(f"“{asked}”: {str(error).lower()}; {CRON_MEND}.") from None
    if comes is None:
        raise _never(rule.cron)
    return rule


def _cron_of(asked: str) -> str:
    words = _Words(asked)
    for word in re.sub(r"(\d)\s+([ap])\.?m\b\.?", r"\1\2m", asked.lower()).replace(",", " ").split():
        if word not in _FILLERS:
            words.take(word)
    return words.cron()


class _Words:
    """What was understood so far of a rule in words."""

    def __init__(self, asked: str):
        self.asked = asked
        self.times: list[tuple[int, int]] = []
        self.weekdays: list[str] = []
        self.days: list[str] = []
        self.months: list[int] = []
        self.count: int | None = None
        self.nth = ""
        self.unit = ""

    def take(self, word: str) -> None:
        singular = word.removesuffix("s") if len(word) > 3 else word
        if singular in ("minute", "hour", "day", "week", "month", "year"):
            self._take_unit(singular)
        elif singular in ("hourly", "daily", "weekly", "monthly", "yearly"):
            self.unit = {"daily": "day"}.get(singular, singular.removesuffix("ly"))
        elif singular in ("weekday", "workday"):
            self.weekdays.append("1-5")
        elif singular == "weekend":
            self.weekdays += ["6", "0"]
        elif (day := _index(_DAYS, singular)) is not None:
            self._take_weekday(str(day))
        elif (month := _index(_MONTHS, singular)) is not None:
            self.months.append(month + 1)
        elif word in _NTH:
            self.nth = word
        elif word in ("noon", "midnight"):
            self.times.append((12 if word == "noon" else 0, 0))
        elif day := re.fullmatch(r"(\d{1,2})(?:st|nd|rd|th|\.)", word):
            self.days.append(self._in(day[1], 1, 31, "day of the month"))
        else:
            self._take_number(word)

    def _take_unit(self, unit: str) -> None:
        if unit == "day" and self.nth:
            self.days.append({"first": "1", "last": "L"}.get(self.nth) or self._fail())
            self.nth = ""
        elif unit not in ("month", "week", "year") or not self.unit:
            self.unit = unit

    def _take_weekday(self, day: str) -> None:
        self.weekdays.append(f"{day}L" if self.nth == "last" else f"{day}#{_NTH[self.nth]}" if self.nth else day)
        self.nth = ""

    def _take_number(self, word: str) -> None:
        found = _TIME.fullmatch(word) or self._fail()
        hours, minutes, half = found.groups()
        if minutes is None and half is None:
            self.count = int(hours)
            return
        if half:
            hours = str(int(self._in(hours, 1, 12, "hour before am or pm")) % 12 + (12 if half == "pm" else 0))
        self.times.append((int(self._in(hours, 0, 23, "hour")), int(self._in(minutes or "0", 0, 59, "minute"))))

    def _in(self, digits: str, least: int, most: int, what: str) -> str:
        if not least <= int(digits) <= most:
            raise BadTime(f"“{self.asked}”: there is no {what} {digits}; it goes from {least} to {most}.")
        return str(int(digits))

    def _fail(self) -> NoReturn:
        raise BadTime(f"“{self.asked}” is not understood; write it like {EXAMPLES}, or as cron: {CRON_MEND}.")

    def cron(self) -> str:
        if self.nth:
            self._fail()
        if self.unit in ("minute", "hour"):
            return self._every_so_often()
        if self.months and self.count and not self.days:  # "24 december"
            self.days.append(self._in(str(self.count), 1, 31, "day of the month"))
            self.count = None
        if self.count not in (None, 1):
            raise BadTime(f"“{self.asked}”: every so many days, weeks or months is not counted; name days instead, like {EXAMPLES}.")
        if not self.times:
            raise BadTime(f"“{self.asked}” says no time of the day; add one, like 09:00.")
        if self.unit == "month" and not (self.days or self.weekdays) or self.unit == "week" and not self.weekdays:
            raise BadTime(f"“{self.asked}” says no day; add one, like “every month on the 1st at 08:00” or “every monday 08:00”.")
        if self.unit == "year" and not (self.months and self.days) or self.months and not (self.days or self.weekdays):
            raise BadTime(f"“{self.asked}” says no day; add one, like “every year on 24 december at 18:00”.")
        if self.days and self.weekdays:
            raise BadTime(f"“{self.asked}” names days of the month and of the week; make one schedule for each.")
        if not (self.unit or self.days or self.weekdays):
            self._fail()
        return f"{self._clock()} {_list(self.days)} {_list(self.months)} {_list(self.weekdays)}"

    def _clock(self) -> str:
        minutes = sorted({minute for _, minute in self.times})
        if len(minutes) > 1:
            raise BadTime(f"“{self.asked}” names times with different minutes; make one schedule for each.")
        return f"{minutes[0]} {_list(sorted({hour for hour, _ in self.times}))}"

    def _every_so_often(self) -> str:
        if self.times or self.days or self.weekdays or self.months:
            raise BadTime(f"“{self.asked}” says both how often and when; say one of them, or write a cron line: {CRON_MEND}.")
        count, of = 1 if self.count is None else self.count, 60 if self.unit == "minute" else 24
        if count == 0 or count >= of or of % count:
            fits = ", ".join(str(n) for n in range(1, of) if of % n == 0)
            raise BadTime(f"“{self.asked}”: every {count} {self.unit}s does not fill {'an hour' if of == 60 else 'a day'}; take one of {fits}.")
        each = "*" if count == 1 else f"*/{count}"
        return f"{each} * * * *" if self.unit == "minute" else f"0 {each} * * *"


def _index(names: tuple[str, ...], word: str) -> int | None:
    """Whole, or shortened to three letters or more: mon, tues, sept."""
    return next((n for n, name in enumerate(names) if len(word) >= 3 and name.startswith(word)), None)


def _list(values) -> str:
    return ",".join(map(str, dict.fromkeys(values))) or "*"
