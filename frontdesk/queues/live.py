"""What passes by a visitor's open page and is kept nowhere: that something changed, who is typing, what the model has written so far.

A courtesy beside the rows in SQLite: with Redis away nobody hears it, nothing else happens, and nothing here raises.
"""

import json
import logging
from collections.abc import Iterator
from typing import Any

from frontdesk.queues.connection import Connection, RedisError

log = logging.getLogger(__name__)

WRITING_SECONDS = 20  # what a killed worker had begun is gone after so long
TYPING_SECONDS = 4


class Live:
    """For publishers: workers and the desk. `visitor` is the id in the visitor's token."""

    def __init__(self, connection: Connection):
        self.redis = connection

    def changed(self, visitor: str) -> None:
        """Messages or the conversation's state: the page asks for them."""
        self._say(visitor, {"type": "changed"})

    def typing(self, visitor: str, who: str) -> None:
        """`who`: 'bot' or 'person'. Fades on the page by itself."""
        self._say(visitor, {"type": "typing", "who": who})

    def writing(self, visitor: str, text: str) -> None:
        """All that the model has written of its answer so far; "" takes it back."""
        try:
            pipeline = self.redis.pipeline(transaction=False)
            if text:
                pipeline.set(_writing(visitor), text, ex=WRITING_SECONDS)
            else:
                pipeline.delete(_writing(visitor))
            pipeline.publish(_line(visitor), json.dumps({"type": "writing", "text": text}))
            pipeline.execute()
        except RedisError as error:
            log.debug("nothing live: %s", type(error).__name__)

    def written(self, visitor: str) -> str:
        """What the model has written so far, for a page that comes later."""
        return (self._asked("get", _writing(visitor)) or b"").decode()

    def forget_written(self, visitor: str) -> None:
        """Open pages keep the words until they ask for the messages; one that comes later is not shown them under the next question."""
        self._asked("delete", _writing(visitor))

    def visitor_types(self, visitor: str) -> None:
        self._asked("set", f"live:types:{visitor}", 1, TYPING_SECONDS)

    def visitor_is_typing(self, visitor: str) -> bool:
        return bool(self._asked("exists", f"live:types:{visitor}"))

    def listen(self) -> "Listener":
        return Listener(self.redis)

    def _say(self, visitor: str, event: dict[str, Any]) -> None:
        self._asked("publish", _line(visitor), json.dumps(event))

    def _asked(self, command: str, *arguments):
        try:
            return getattr(self.redis, command)(*arguments)
        except RedisError as error:
            log.debug("nothing live: %s", type(error).__name__)
            return None


class Listener:
    """One connection that hears about many visitors. For one thread; methods raise RedisError."""

    def __init__(self, connection: Connection):
        self._pubsub = connection.pubsub(ignore_subscribe_messages=True)
        self._pubsub.subscribe("live:nobody")  # a connection without a subscription has no socket to wait for

    def fileno(self) -> int:
        return self._pubsub.connection._sock.fileno()

    def follow(self, visitor: str) -> None:
        self._pubsub.subscribe(_line(visitor))

    def leave(self, visitor: str) -> None:
        self._pubsub.unsubscribe(_line(visitor))

    def heard(self) -> Iterator[tuple[str, bytes]]:
        """Visitor and event (JSON), as many as came; never waits."""
        while self._pubsub.connection.can_read(timeout=0):
            message = self._pubsub.get_message(timeout=0)
            if message:
                yield message["channel"].decode().removeprefix("live:"), message["data"]

    def check(self) -> None:
        """From time to time, so that a connection that broke silently is found."""
        self._pubsub.ping()

    def close(self) -> None:
        self._pubsub.close()


def _line(visitor: str) -> str:
    return f"live:{visitor}"


def _writing(visitor: str) -> str:
    return f"live:writing:{visitor}"
