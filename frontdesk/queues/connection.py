"""Connections to Redis: redis-py's client, and a quicker way for the commands that every message costs."""

import hashlib
import os
import threading
from collections.abc import Sequence

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

RedisError = redis.RedisError
Connection = redis.Redis


def connect(address: str, *, timeout_seconds: float = 5, retry: bool = True) -> redis.Redis:
    """A client for RQ and for everything here.

    `retry=False`, for who answers a webhook: no second try but one on a fresh connection, where a kept one proves dead.
    """
    options = {} if retry else {"retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))}
    return redis.Redis.from_url(
        address, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds, health_check_interval=30, **options
    )


class Line:
    """One connection for each thread, kept: the pool, retries and metrics of redis-py cost more than a short command does."""

    def __init__(self, connection: redis.Redis):
        self._pool = connection.connection_pool
        self._of_thread = threading.local()

    def ask(self, *command):
        """The answer. A kept connection that proves dead is replaced once. Raises RedisError."""
        owner, line = getattr(self._of_thread, "line", (None, None))
        if owner != os.getpid():  # a forked child must not talk on its parent's
            line = self._pool.connection_class(**self._pool.connection_kwargs)
            self._of_thread.line = os.getpid(), line
        was_open = line.is_connected
        try:
            return self._answer(line, command)
        except redis.ConnectionError:
            if not was_open:
                raise
            line.disconnect()
            return self._answer(line, command)

    @staticmethod
    def _answer(line, command):
        line.send_command(*command)
        return line.read_response()


class Script:
    """A Lua script of the server's, run over a thread's own line."""

    def __init__(self, connection: redis.Redis, text: str):
        self._line = Line(connection)
        self._text, self._sha = text, hashlib.sha1(text.encode()).hexdigest()

    def __call__(self, keys: Sequence[str], arguments: Sequence):
        try:
            return self._line.ask("EVALSHA", self._sha, len(keys), *keys, *arguments)
        except redis.exceptions.NoScriptError:
            return self._line.ask("EVAL", self._text, len(keys), *keys, *arguments)
