"""The inbox: acknowledged webhooks, in a Redis stream until they are rows."""

from collections.abc import Iterable
from dataclasses import dataclass

from frontdesk.queues.connection import Connection, Line, Script

INBOX = "inbox"
BELL = "inbox:rung"
BELL_SECONDS = 5
INBOX_BATCH = 500


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """One acknowledged webhook: its stream id, channel, exact body and when it came (UTC epoch seconds).

    `channel` is a kind ("cloud"), with a slash and whose address it came to where that says what the body does not ("wati/7.4f2a").

    `origin`: the id it had when it came first; its own, unless it is taken in again.
    """

    id: str
    channel: str
    body: bytes
    received_at: float
    origin: str


# One command for both: a pipeline of two costs the client a third more, and this is the way every webhook goes.
_PUT = """
redis.call('XADD', KEYS[1], '*', 'channel', ARGV[1], 'body', ARGV[2], 'at', ARGV[3])
return redis.call('SET', KEYS[2], 1, 'NX', 'EX', ARGV[4])
"""


class Inbox:
    """The stream of acknowledged webhooks, and the bell that says somebody should read it."""

    def __init__(self, connection: Connection):
        self.redis = connection
        self._put = Script(connection, _PUT)
        self._line = Line(connection)

    def put(self, channel: str, body: bytes, received_at: float) -> bool:
        """Keep a webhook; one round trip. True if the bell was silent: the caller enqueues `jobs.drain`.

        Raises RedisError: nothing was promised, the sender must send again.
        """
        return bool(self._put([INBOX, BELL], [channel, body, repr(received_at), BELL_SECONDS]))

    def put_again(self, channel: str, body: bytes, received_at: float, origin: str) -> None:
        """A webhook that was drained before. The caller enqueues `jobs.drain`. Raises RedisError: nothing has changed."""
        self.redis.xadd(INBOX, {"channel": channel, "body": body, "at": repr(received_at), "origin": origin})

    def being_read(self) -> None:
        """Somebody looks into it again and again: nobody needs to ring."""
        self._line.ask("SET", BELL, 1, "EX", BELL_SECONDS)

    def silence(self) -> None:
        """Called before the last look: what comes after this rings again."""
        self._line.ask("DEL", BELL)

    def read(self, most: int = INBOX_BATCH) -> list[InboxEntry]:
        """The oldest."""
        entries = self._line.ask("XRANGE", INBOX, "-", "+", "COUNT", most)
        return [_entry(id_, dict(zip(flat[::2], flat[1::2], strict=True))) for id_, flat in entries]

    def delete(self, entries: Iterable[InboxEntry]) -> None:
        ids = [entry.id for entry in entries]
        if ids:
            self._line.ask("XDEL", INBOX, *ids)

    def unread_since(self) -> float | None:
        """When the oldest webhook came that nobody has read yet; None where all are read."""
        return next((entry.received_at for entry in self.read(1)), None)

    def length(self) -> int:
        return self.redis.xlen(INBOX)


def _entry(id_: bytes, fields: dict[bytes, bytes]) -> InboxEntry:
    origin = fields.get(b"origin", id_).decode()
    return InboxEntry(id_.decode(), fields[b"channel"].decode(), fields[b"body"], float(fields[b"at"]), origin)
