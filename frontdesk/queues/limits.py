"""How fast things may happen: rates that every process shares through Redis."""

import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from frontdesk.queues.connection import Connection, RedisError, Script

# GCRA, one key for each rate: it holds the time at which the rate is wholly free again. A value further ahead than the rate
# allows was written before the clock was set back, and is not believed. A key after those of the rates holds everything up
# while it lives. ARGV: how many rates, how long a wait is still counted, then interval and burst of each.
_TAKE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local count = tonumber(ARGV[1])
local waits = 0
if KEYS[count + 1] then waits = math.max(0, redis.call('PTTL', KEYS[count + 1])) / 1000 end
local free = {}
for i = 1, count do
    local interval, burst = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
    local at = tonumber(redis.call('GET', KEYS[i]) or now)
    if at < now or at > now + interval * burst + 600 then at = now end
    free[i] = at + interval
    waits = math.max(waits, at + interval - now - interval * burst)
end
if waits > tonumber(ARGV[2]) then return tostring(waits) end
for i = 1, count do
    redis.call('SET', KEYS[i], string.format('%.6f', free[i]), 'PX', math.ceil((free[i] - now) * 1000) + 1000)
end
return tostring(waits)
"""

# The same key, evenly: the first free moment, how many fit before the horizon. Moments that nobody took are good for so long.
_RESERVE = """
if redis.call('EXISTS', KEYS[2]) == 1 then return {'0', '0'} end
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local interval, most, horizon, past = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local at = tonumber(redis.call('GET', KEYS[1]) or now)
if at > now + 600 + interval then at = now end
at = math.max(at, now - past)
local count = math.min(most, math.floor((now + horizon - at) / interval) + 1)
if count < 1 then return {'0', '0'} end
local free = at + count * interval
redis.call('SET', KEYS[1], string.format('%.6f', free), 'PX', math.ceil(math.max(0, free - now) * 1000) + 1000)
return {string.format('%.6f', at - now), tostring(count)}
"""

_CAME_IN = """
if redis.call('EXISTS', KEYS[2]) == 0 then return end
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local at = math.max(now, tonumber(redis.call('GET', KEYS[1]) or now)) + ARGV[1] * ARGV[2]
redis.call('SET', KEYS[1], string.format('%.6f', at), 'PX', math.ceil((at - now) * 1000) + 1000)
"""
WATCHED_MILLISECONDS = 3000
KEPT_CALLS_MILLISECONDS = 2000  # of which a second counts

# Meta: 1 message per 6 s to one user, of which up to 45 may be borrowed ahead.
PAIR_INTERVAL_SECONDS, PAIR_BURST = 6, 45


@dataclass(frozen=True, slots=True)
class Rate:
    """Once every `interval_seconds`, of which up to `burst` may come at once. `name` says of what: `limit:<name>`."""

    name: str
    interval_seconds: float
    burst: float


class OwnLimits:
    """The same in this process alone: while Redis is away, and for strangers who are not worth asking it."""

    MOST_NAMES = 10_000

    def __init__(self):
        self._free: dict[str, float] = {}
        self._changing = threading.Lock()

    def count(self, *rates: Rate) -> float:
        """As Limits.count."""
        now = time.monotonic()
        with self._changing:
            self._forget(now)
            free = {rate.name: max(now, self._free.get(rate.name, now)) + rate.interval_seconds for rate in rates}
            wait = max(free[rate.name] - now - rate.interval_seconds * rate.burst for rate in rates)
            if wait > 0:
                return wait
            self._free |= free
            return 0.0

    def _forget(self, now: float) -> None:
        if len(self._free) < self.MOST_NAMES:
            return
        self._free = {name: at for name, at in self._free.items() if at > now}
        if len(self._free) >= self.MOST_NAMES:
            self._free.clear()

    def forgive(self, rate: Rate) -> None:
        self._free.pop(rate.name, None)


class Limits:
    """How often something may happen, shared by every process through Redis: sends of a number, attempts to log in."""

    def __init__(self, connection: Connection):
        self.redis = connection
        self._take = Script(connection, _TAKE)
        self._reserve = Script(connection, _RESERVE)
        self._came_in = Script(connection, _CAME_IN)
        self._own = OwnLimits()

    def take(self, number_id: int, contact_id: int, messages_per_second: float, patience_seconds: float = 0) -> float:
        """How many seconds a message of a number to one person has to wait.

        Up to `patience_seconds` it is counted: wait so long and send it. For a longer wait nothing is counted: ask again then.
        """
        of_number = Rate(f"{number_id}", 1 / messages_per_second, max(1, messages_per_second / 8))
        of_pair = Rate(f"{number_id}:{contact_id}", PAIR_INTERVAL_SECONDS, PAIR_BURST)
        return self._count([of_number, of_pair], patience_seconds, f"limit:{number_id}:paused")

    def reserve(
        self, number_id: int, messages_per_second: float, most: int, horizon_seconds: float, past_seconds: float = 0
    ) -> list[float]:
        """Moments for up to `most` messages, in seconds from now, none further than the horizon: evenly apart, at this rate.

        The first may lie up to `past_seconds` back, where nobody took it. They count against the same rate as `take`, which may borrow an eighth of a second ahead: replies go first.
        """
        keys = [f"limit:{number_id}", f"limit:{number_id}:paused"]
        first, count = self._reserve(keys, [1 / messages_per_second, most, horizon_seconds, past_seconds])
        return [float(first) + place / messages_per_second for place in range(int(count))]

    def keep_calls(self, number_id: int, ages: Sequence[float]) -> None:
        """For who goes on sending: the last calls of a number's, each begun so many seconds ago."""
        now = time.time()
        self.redis.set(f"limit:{number_id}:calls", json.dumps([now - age for age in ages]), px=KEPT_CALLS_MILLISECONDS)

    def calls(self, number_id: int) -> list[float]:
        """What was kept, oldest first: how many seconds ago each call began."""
        now = time.time()
        return [max(0.0, now - at) for at in json.loads(self.redis.get(f"limit:{number_id}:calls") or "[]")]

    def watch_inbound(self, number_id: int) -> None:
        """For the next seconds a broadcast runs: what comes in counts too, for the provider counts both together."""
        self.redis.set(f"limit:{number_id}:broadcast", 1, px=WATCHED_MILLISECONDS)

    def came_in(self, number_id: int, messages_per_second: float, count: int) -> None:
        """So many messages of customers; counted only while a broadcast runs."""
        self._came_in([f"limit:{number_id}", f"limit:{number_id}:broadcast"], [1 / messages_per_second, count])

    def count(self, *rates: Rate) -> float:
        """0: go, it is counted for every rate. Otherwise nothing is counted and it says how many seconds to wait.

        While Redis is away each process counts by itself: with two web processes twice as much goes.
        """
        try:
            return self._count(rates, 0)
        except RedisError:
            return self._own.count(*rates)

    def _count(self, rates: Sequence[Rate], patience_seconds: float, *pause: str) -> float:
        numbers = [number for rate in rates for number in (rate.interval_seconds, rate.burst)]
        keys = [*(f"limit:{rate.name}" for rate in rates), *pause]
        return float(self._take(keys, [len(rates), patience_seconds, *numbers]))

    def forgive(self, rate: Rate) -> None:
        """What was counted for this rate is forgotten."""
        self._own.forgive(rate)
        try:
            self.redis.delete(f"limit:{rate.name}")
        except RedisError:
            return  # it is forgotten by itself

    def pause(self, number_id: int, seconds: float) -> None:
        """The provider said 'slower': nothing of this number goes out for so long."""
        self.redis.set(f"limit:{number_id}:paused", 1, px=max(1, int(seconds * 1000)))


def jittered(seconds: float) -> float:
    """`seconds`, up to a fifth more: many that failed together do not come back together."""
    return seconds * random.uniform(1, 1.2)
