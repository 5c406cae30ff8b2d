"""How quickly the models wrote, for the overview."""

from collections.abc import Iterable

from frontdesk.queues.connection import Connection, Script

DAY = 24 * 3600

_ADD = """
redis.call('HINCRBY', KEYS[1], ARGV[1] .. ':tokens', ARGV[2])
redis.call('HINCRBYFLOAT', KEYS[1], ARGV[1] .. ':seconds', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
"""


class Speeds:
    """Tokens and the seconds they took, by five minutes, a hash for each day; kept for 8 days. Gone with Redis."""

    SLOT_SECONDS = 300
    KEPT_SECONDS = 8 * DAY

    def __init__(self, connection: Connection):
        self.redis = connection
        self._add = Script(connection, _ADD)

    def add(self, tokens: int, seconds: float, now: float) -> None:
        self._add([self._key(now)], [int(now // self.SLOT_SECONDS), tokens, seconds, self.KEPT_SECONDS])

    def read(self, starts: Iterable[float], step: float) -> list[float | None]:
        """Tokens a second in the `step` seconds from each of these times; None where nothing was written."""
        starts = list(starts)
        pipeline = self.redis.pipeline(transaction=False)
        for day in range(int(starts[0] // DAY), int((starts[-1] + step) // DAY) + 1):
            pipeline.hgetall(self._key(day * DAY))
        found = {field.decode(): float(value) for day in pipeline.execute() for field, value in day.items()}
        return [self._speed(found, start, start + step) for start in starts]

    def _speed(self, found: dict[str, float], begin: float, end: float) -> float | None:
        slots = range(int(begin // self.SLOT_SECONDS), int(end // self.SLOT_SECONDS))
        tokens, seconds = (sum(found.get(f"{slot}:{what}", 0) for slot in slots) for what in ("tokens", "seconds"))
        return tokens / seconds if seconds else None

    @staticmethod
    def _key(at: float) -> str:
        return f"speed:{int(at // DAY)}"
