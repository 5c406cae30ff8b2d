"""Rules in words and cron lines, and their times in zones whose clocks change."""

import bisect
import functools
import itertools
import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from frontdesk.flows import recurrence
from frontdesk.flows.recurrence import BadTime, local_to_utc, parse

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu", "Africa/Casablanca", "UTC")

RULES = {
    "every weekday 09:00": ("0 9 * * 1-5", "At 09:00 on Monday through Friday"),
    "every day at 18:30": ("30 18 * * *", "At 18:30 every day"),
    "every monday and thursday 9:00": ("0 9 * * 1,4", "At 09:00 on Monday and Thursday"),
    "Every Monday, Thursday at 9 a.m.": ("0 9 * * 1,4", "At 09:00 on Monday and Thursday"),
    "every month on the 1st at 08:00": ("0 8 1 * *", "At 08:00 on the first day of every month"),
    "every month on the 31st at 08:00": ("0 8 31 * *", "At 08:00 on the 31st day of every month"),
    "every month on the last day at noon": ("0 12 L * *", "At 12:00 on the last day of every month"),
    "every month on the first monday at 9:00": ("0 9 * * 1#1", "At 09:00 on the first Monday of the month"),
    "every month on the last friday at 16:00": ("0 16 * * 5L", "At 16:00 on the last Friday of the month"),
    "every year on 24 december at 18:00": ("0 18 24 12 *", "At 18:00 on December 24"),
    "daily 9:00 and 17:00": ("0 9,17 * * *", "At 09:00 and 17:00 every day"),
    "weekly on fri 5 pm": ("0 17 * * 5", "At 17:00 on Friday"),
    "12am every day": ("0 0 * * *", "At 00:00 every day"),
    "every weekend 10.30": ("30 10 * * 6,0", "At 10:30 on Saturday and Sunday"),
    "every hour": ("0 * * * *", "At the start of every hour"),
    "every 15 minutes": ("*/15 * * * *", "Every 15 minutes"),
    "every 2 hours": ("0 */2 * * *", "Every 2 hours"),
    "*/7 * * * *": ("*/7 * * * *", "Every seventh minute of every hour"),
    "  0 9 * *   mon-fri ": ("0 9 * * MON-FRI", "At 09:00 on Monday through Friday"),
}


@pytest.mark.parametrize("words", RULES)
def test_words_become_a_cron_line_and_are_said_back(words):
    rule = parse(words)
    assert (rule.cron, rule.words) == RULES[words]
    assert parse(rule.cron).cron == rule.cron


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "how often and when"),
        ("every banana", "is not understood; write it like “every weekday 09:00”"),
        ("* * * * * *", "five fields"),
        ("0 25 * * *", "bad hour; a cron line has five fields: minute (0-59), hour (0-23)"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("every day", "says no time of the day; add one, like 09:00"),
        ("every month 9:00", "says no day; add one"),
        ("every day at 25:00", "there is no hour 25"),
        ("every day at 13pm", "it goes from 1 to 12"),
        ("every 45 minutes", "take one of 1, 2, 3"),
        ("every 0 minutes", "every 0 minutes does not fill an hour"),
        ("every 3 days 9:00", "name days instead"),
        ("every day 9:00 and 9:30", "make one schedule for each"),
        ("every monday on the 1st 9:00", "make one schedule for each"),
        ("every hour at 9:00", "says both how often and when"),
        ("first 9:00", "is not understood"),
        ("every " * 100, "up to 200 characters"),
    ],
)
def test_what_means_nothing_is_refused_with_its_mend(words, says):
    with pytest.raises(BadTime, match=says.replace("(", r"\(").replace(")", r"\)")):
        parse(words)


def test_no_text_breaks_the_reader():
    chance = random.Random(5)
    pieces = [*"0123456789*/,-#:.L", " ", " ", "every", "monday", "month", "1st", "9:00", "last", "am", "minutes", "weekday", "day", "½", "99", "w"]
    for _ in range(3000):
        words = "".join(chance.choice(pieces) for _ in range(chance.randrange(1, 14)))
        try:
            assert parse(words).words
        except BadTime as error:
            assert "\n" not in str(error)


# --- times, against a clock that is walked minute by minute ----------------------------------------------------------------------


@functools.cache
def transitions(zone: ZoneInfo, first_year: int, last_year: int) -> list[datetime]:
    """The days (UTC) on which the offset changes."""
    day, found = datetime(first_year, 1, 1, tzinfo=UTC), []
    while day.year <= last_year:
        following = day + timedelta(days=1)
        if day.astimezone(zone).utcoffset() != following.astimezone(zone).utcoffset():
            found.append(day)
        day = following
    return found or [datetime(year, 3, 28, tzinfo=UTC) for year in range(first_year, last_year + 1)]


def walk(zone: ZoneInfo, begins: datetime, minutes: int, matches, by_elapsed_time: bool) -> list[float]:
    """The times of a rule, found by looking at the clock each minute. By the clock: when it first shows the time or one behind it."""
    found, shown = [], None
    for n in range(minutes):
        moment = begins + timedelta(minutes=n)
        wall = moment.astimezone(zone).replace(tzinfo=None)
        if by_elapsed_time:
            if matches(wall):
                found.append(moment.timestamp())
            continue
        passed = [] if shown is None else list(itertools.takewhile(lambda at: at <= wall, (shown + timedelta(minutes=k) for k in range(1, 200))))
        if any(map(matches, passed)):
            found.append(moment.timestamp())
        shown = wall if shown is None else max(shown, wall)
    return found


SHAPES = {
    "30 2 * * *": lambda wall: (wall.hour, wall.minute) == (2, 30),
    "15,45 1,2,3 * * *": lambda wall: wall.hour in (1, 2, 3) and wall.minute in (15, 45),
    "0 0 * * *": lambda wall: (wall.hour, wall.minute) == (0, 0),
    "10 2 * * 0,5": lambda wall: (wall.hour, wall.minute) == (2, 10) and wall.isoweekday() in (7, 5),
    "*/15 * * * *": lambda wall: wall.minute % 15 == 0,
    "0 * * * *": lambda wall: wall.minute == 0,
    "0 */3 * * *": lambda wall: wall.minute == 0 and wall.hour % 3 == 0,
    "*/20 2 * * *": lambda wall: wall.minute % 20 == 0 and wall.hour == 2,
}


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("cron", SHAPES)
def test_every_time_around_a_change_of_the_clock_is_the_one_that_a_clock_shows(name, cron):
    zone, rule, chance = ZoneInfo(name), parse(cron), random.Random(f"{name} {cron}")
    for day in transitions(zone, 2024, 2027):
        begins = day - timedelta(days=1)
        expected = [at for at in walk(zone, begins, 3 * 24 * 60, SHAPES[cron], rule.by_elapsed_time) if at > begins.timestamp()]
        assert expected or "0,5" in cron
        at, found = begins.timestamp(), []
        for _ in expected:
            at = rule.next_after(at, name)
            found.append(at)
        assert found == expected
        for _ in range(30):
            start = chance.uniform(begins.timestamp(), expected[-1] - 1) if expected else 0
            position = bisect.bisect_right(expected, start)
            if position:
                assert rule.next_after(start, name) == expected[position]


@pytest.mark.parametrize("name", ZONES)
def test_a_rule_of_years_goes_on_for_years(name):
    at, days = datetime(2024, 1, 1, tzinfo=UTC).timestamp(), []
    for _ in range(3):
        at = parse("0 9 29 2 *").next_after(at, name)
        days.append(datetime.fromtimestamp(at, ZoneInfo(name)).strftime("%Y-%m-%d %H:%M"))
    assert days == ["2024-02-29 09:00", "2028-02-29 09:00", "2032-02-29 09:00"]


@pytest.mark.parametrize(
    ("name", "after", "words", "goes_at"),
    [
        ("Europe/Berlin", "2026-03-28 12:00", "every day 2:30", "2026-03-29 03:00+02:00"),
        ("Europe/Berlin", "2026-03-29 03:00", "every day 2:30", "2026-03-30 02:30+02:00"),
        ("Europe/Berlin", "2026-10-24 12:00", "every day 2:30", "2026-10-25 02:30+02:00"),
        ("Europe/Berlin", "2026-10-25 02:45", "every day 2:30", "2026-10-26 02:30+01:00"),
        ("America/New_York", "2026-03-07 12:00", "every day 2:30", "2026-03-08 03:00-04:00"),
        ("Australia/Lord_Howe", "2026-10-03 12:00", "every day 2:15", "2026-10-04 02:30+11:00"),
        ("Australia/Lord_Howe", "2026-04-04 12:00", "every day 1:45", "2026-04-05 01:45+11:00"),
        ("Asia/Kathmandu", "2026-03-29 12:00", "every day 2:30", "2026-03-30 02:30+05:45"),
        ("Pacific/Apia", "2011-12-29 12:00", "every day 9:00", "2011-12-31 00:00+14:00"),
    ],
)
def test_a_time_left_out_goes_when_the_gap_ends_and_one_that_comes_twice_the_first_time(name, after, words, goes_at):
    start = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(name)).timestamp()
    assert parse(words).next_after(start, name) == datetime.fromisoformat(goes_at).timestamp()


def test_what_goes_by_the_hour_goes_in_both_of_two_same_hours():
    start, hours = local_to_utc("2026-10-25", "00:00", "Europe/Berlin"), []
    while len(hours) < 4:
        start = parse("every hour").next_after(start, "Europe/Berlin")
        hours.append(datetime.fromtimestamp(start, ZoneInfo("Europe/Berlin")).strftime("%H %z"))
    assert hours == ["01 +0200", "02 +0200", "02 +0100", "03 +0100"]


def test_a_time_is_never_the_one_it_is_asked_from():
    rule = parse("every day 9:00")
    at = local_to_utc("2026-06-01", "09:00", "Europe/Berlin")
    assert rule.next_after(at - 0.001, "Europe/Berlin") == at
    assert rule.next_after(at, "Europe/Berlin") == rule.next_after(at + 0.001, "Europe/Berlin") == at + 86400


# --- one day, one time -----------------------------------------------------------------------------------------------------------


def test_a_day_and_a_time_of_a_zone_are_a_moment():
    assert local_to_utc("2026-12-24", "18:30", "Europe/Berlin") == datetime(2026, 12, 24, 17, 30, tzinfo=UTC).timestamp()
    assert local_to_utc("2026-03-29", "02:30", "Europe/Berlin") == datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp()
    assert local_to_utc("2026-10-25", "02:30", "Europe/Berlin") == datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("day", "clock", "zone", "says"),
    [
        ("2026-02-30", "09:00", "UTC", "There is no day '2026-02-30'"),
        ("tomorrow", "09:00", "UTC", "like 2026-12-24"),
        ("2026-12-24", "25:00", "UTC", "There is no time '25:00'"),
        ("2026-12-24", "09:00+02:00", "UTC", "without an offset"),
        ("2026-12-24", "09:00", "Berlin", "like Europe/Berlin"),
        ("2026-12-24", "09:00", "../etc/passwd", "no time zone"),
        ("2026-12-24", "09:00", "", "no time zone"),
        ("9999-12-31", "23:59", "America/New_York", "nearer to today"),
    ],
)
def test_impossible_days_times_and_zones_are_named(day, clock, zone, says):
    with pytest.raises(BadTime, match=says.replace("+", r"\+")):
        local_to_utc(day, clock, zone)


def test_a_zone_is_checked_before_its_times_are():
    with pytest.raises(BadTime):
        recurrence.parse("every hour").next_after(0, "Mars/Olympus")
