"""How long webhooks took to be acknowledged, for the overview."""

from collections.abc import Iterable

from frontdesk.histogram import Histogram, class_of
from frontdesk.queues.connection import Connection, Script

HOUR, FIVE_MINUTES = 3600, 300
TOTAL = "acknowledged"

# The last key is never forgotten: rates are made of it.
_ADD = """
for k = 1, #KEYS do
    for i = 3, #ARGV, 2 do redis.call('HINCRBY', KEYS[k], ARGV[i], ARGV[i + 1]) end
    if k < #KEYS then redis.call('EXPIRE', KEYS[k], ARGV[k]) end
end
"""


class Acknowledgements:
    """How long webhooks took to be acknowledged: counted in the process, written to Redis once a second.

    By hours, kept for 8 days, and by five minutes, kept for two hours.

    Threads count without a lock, so now and then one is lost: these are figures for people.
    """

    KEPT_SECONDS = {HOUR: 8 * 24 * HOUR, FIVE_MINUTES: 2 * HOUR}

    def __init__(self, connection: Connection):
        self.redis = connection
        self._add = Script(connection, _ADD)
        self._counted: Histogram = {}
        self._written_at = 0.0

    def count(self, seconds: float, now: float) -> None:
        place = class_of(seconds)
        self._counted[place] = self._counted.get(place, 0) + 1
        if abs(now - self._written_at) >= 1:
            self._written_at = now
            counted, self._counted = self._counted, {}
            pairs = [number for pair in counted.items() for number in pair]
            self._add([*(self._key(now, step) for step in self.KEPT_SECONDS), TOTAL], [*self.KEPT_SECONDS.values(), *pairs])

    def read(self, starts: Iterable[float], step: int = HOUR) -> list[Histogram]:
        """For each hour or five minutes (UTC epoch seconds, its beginning) its histogram."""
        pipeline = self.redis.pipeline(transaction=False)
        for start in starts:
            pipeline.hgetall(self._key(start, step))
        return [{int(place): int(count) for place, count in found.items()} for found in pipeline.execute()]

    def total(self) -> Histogram:
        """Since Redis began; never less than before, so rates can be made of it."""
        return {int(place): int(count) for place, count in self.redis.hgetall(TOTAL).items()}

    @staticmethod
    def _key(at: float, step: int) -> str:
        return f"acknowledged:{int(at // step)}"
