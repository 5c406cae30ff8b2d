"""What every flow is handed: the settings, the doors to Redis, the channels, the model, and the clock."""

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from frontdesk.channels import Channel
from frontdesk.ollama import Ollama
from frontdesk.queues import Bells, Inbox, Limits, Queues
from frontdesk.settings import Settings
from frontdesk.store import database


@dataclass
class Context:
    """One for each process; safe to share between its threads.

    `now` gives UTC epoch seconds. `stopping` is set when the process was asked to end: long work is handed back.
    """

    settings: Settings
    inbox: Inbox
    queues: Queues
    bells: Bells
    limits: Limits
    channel: Callable[[str], Channel]
    ollama: Ollama
    now: Callable[[], float] = time.time
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def db(self) -> sqlite3.Connection:
        """This thread's connection."""
        return database.connection(self.settings)
