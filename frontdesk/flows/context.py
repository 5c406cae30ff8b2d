"""What every flow is handed: the settings, the doors to Redis, the channels, the model, and the clock."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

from frontdesk import channels
from frontdesk.errors import FrontdeskError, NumberStopped
from frontdesk.flows.model_turn import ModelTurn
from frontdesk.ollama import Ollama
from frontdesk.queues import Acknowledgements, Bells, Connection, Inbox, Limits, Live, Presence, Queues, RedisError, Server, Speeds
from frontdesk.settings import Settings
from frontdesk.store import database, numbers

log = logging.getLogger(__name__)


@dataclass
class Context:
    """One for each process; safe to share between its threads.

    `now` gives UTC epoch seconds. `stopping` is set when the process was asked to end: long work is handed back.
    `busy_seconds`: how long a write waits for another process' transaction before it fails.
    """

    settings: Settings
    inbox: Inbox
    queues: Queues
    bells: Bells
    limits: Limits
    presence: Presence
    live: Live
    acknowledgements: Acknowledgements
    speeds: Speeds
    channel: Callable[[str], channels.Channel]
    ollama: Ollama
    now: Callable[[], float] = time.time
    began: float = field(default_factory=time.monotonic)
    stopping: threading.Event = field(default_factory=threading.Event)
    busy_seconds: float = database.BUSY_SECONDS
    # Of a worker that asks the model: its name among the others, what its Ollama servers have, and which model's turn it is.
    worker: str = ""
    servers: dict[str, Server] = field(default_factory=dict)
    turn: ModelTurn = field(default_factory=ModelTurn)
    _others: dict[str, Ollama] = field(default_factory=dict)

    def ollama_at(self, host: str) -> Ollama:
        """OLLAMA_HOST's, or that of another server that a kind of work has for itself."""
        if host == self.settings.ollama_host:
            return self.ollama
        if host not in self._others:
            self._others[host] = _ollama(self.settings, host)
        return self._others[host]

    @contextmanager
    def ringing(self) -> Iterator[None]:
        """For the bell after rows that a person or a program has had written: with Redis away the sweep rings, and nobody tries again."""
        try:
            yield
        except RedisError as error:
            log.warning("Redis did not take a bell (%s); the sweep rings", type(error).__name__)

    def sender(self, number: numbers.Number) -> channels.Sender:
        """What a channel needs for a call. Raises NumberStopped: without its token a number sends nothing."""
        try:
            return numbers.sender(number, self.settings)
        except FrontdeskError as error:
            raise NumberStopped(str(error)) from None

    @property
    def db(self) -> sqlite3.Connection:
        """This thread's connection."""
        return database.connection(self.settings, self.busy_seconds)


def make(settings: Settings, connection: Connection, *, busy_seconds: float = database.BUSY_SECONDS) -> Context:
    """A process' doors: nothing is opened before it is used."""

    @cache
    def channel(kind: str) -> channels.Channel:
        return channels.channel_class(kind)(settings.graph_timeout_seconds)

    return Context(
        settings=settings,
        inbox=Inbox(connection),
        queues=Queues(connection),
        bells=Bells(connection),
        limits=Limits(connection),
        presence=Presence(connection),
        live=Live(connection),
        acknowledgements=Acknowledgements(connection),
        speeds=Speeds(connection),
        channel=channel,
        ollama=_ollama(settings, settings.ollama_host),
        busy_seconds=busy_seconds,
    )


def _ollama(settings: Settings, host: str) -> Ollama:
    return Ollama(host, timeout_seconds=settings.ollama_timeout_seconds, load_timeout_seconds=settings.ollama_load_timeout_seconds)
