"""How long webhooks took to be acknowledged, for the overview."""

from collections.abc import Iterable

from frontdesk.histogram import Histogram, class_of
from frontdesk.queues.connection import Connection, Script

TOTAL = "acknowledged"

_ADD = """
for i = 2, #ARGV, 2 do
    redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])
    redis.call('HINCRBY', KEYS[2], ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
"""


class Acknowledgements:
    """How long webhooks took to be acknowledged: counted in the process, written to Redis once a second, kept for 8 days.

    Threads count without a lock, so now and then one is lost: these are figures for people.
    """

    KEPT_SECONDS = 8 * 24 * 3600

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
            self._add([self._key(now // 3600), TOTAL], [self.KEPT_SECONDS, *pairs])

    def read(self, hours: Iterable[float]) -> list[Histogram]:
        """For each hour (UTC epoch seconds, its beginning) its histogram."""
        pipeline = self.redis.pipeline(transaction=False)
        for hour in hours:
            pipeline.hgetall(self._key(hour // 3600))
        return [{int(place): int(count) for place, count in found.items()} for found in pipeline.execute()]

    def total(self) -> Histogram:
        """Since Redis began; never less than before, so rates can be made of it."""
        return {int(place): int(count) for place, count in self.redis.hgetall(TOTAL).items()}

    @staticmethod
    def _key(hour: float) -> str:
        return f"acknowledged:{int(hour)}"
