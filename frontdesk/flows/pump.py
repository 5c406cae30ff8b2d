"""The threads that make a broadcast's calls, each at the moment that was reserved for it. They write nothing down."""

import logging
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass

from frontdesk.channels import Accepted, Person, Sender
from frontdesk.errors import SendError, Unknown
from frontdesk.flows.context import Context
from frontdesk.queues import RedisError
from frontdesk.store.outbox import Outbound

log = logging.getLogger(__name__)

MOST_THREADS = 160
LATE_SECONDS, LONGEST_SHIFT_SECONDS = 0.03, 5.0
# A little more than the second that is counted at the other end, for calls take unequal times to get there.
WINDOW_SECONDS = 1.008


@dataclass(frozen=True, slots=True)
class Call:
    """`at`: monotonic. `rate`: of this broadcast, `limit` of its number, in messages a second."""

    message: Outbound
    person: Person
    sender: Sender
    channel: str
    file_id: str | None
    at: float
    rate: float
    limit: float


class Window:
    """No WINDOW_SECONDS hold more calls of this process than the number's limit."""

    def __init__(self):
        self._lock = threading.Lock()
        self._begun: deque[float] = deque()

    def wait(self, limit: float) -> None:
        while (delay := self._enter(max(1, int(limit)))) > 0:
            time.sleep(delay)

    def _enter(self, most: int) -> float:
        """0: counted, go. Otherwise in how many seconds there may be room."""
        with self._lock:
            now = time.monotonic()
            while self._begun and self._begun[0] <= now - WINDOW_SECONDS:
                self._begun.popleft()
            if len(self._begun) < most:
                self._begun.append(now)
                return 0
            return self._begun[-most] + WINDOW_SECONDS - now


class Pump:
    """The threads that call. `results` holds (message, Accepted or SendError)."""

    def __init__(self, context: Context):
        self._context = context
        self.calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self.results: queue.SimpleQueue = queue.SimpleQueue()
        self.under_way = 0
        self._threads: list[threading.Thread] = []
        self._windows: dict[int, Window] = {}

    def grow(self, count: int) -> None:
        for _ in range(min(count, MOST_THREADS) - len(self._threads)):
            thread = threading.Thread(target=self._work, name="broadcast", daemon=True)
            thread.start()
            self._threads.append(thread)

    @property
    def free(self) -> int:
        return len(self._threads) - self.under_way

    def put(self, call: Call) -> None:
        self.under_way += 1
        self._windows.setdefault(call.message.number_id, Window())
        self.calls.put(call)

    def finish(self) -> None:
        for _ in self._threads:
            self.calls.put(None)

    def _work(self) -> None:
        while (call := self.calls.get()) is not None:
            self._wait_for(call)
            self._windows[call.message.number_id].wait(call.limit)
            self.results.put((call.message, self._made(call)))

    def _wait_for(self, call: Call) -> None:
        """Until its moment. Where the machine stood still and many are late they take new moments: together they would be too many."""
        late = time.monotonic() - call.at
        if late < LATE_SECONDS:
            return time.sleep(max(0.0, -late))
        try:
            slots = self._context.limits.reserve(call.message.number_id, call.rate, 1, LONGEST_SHIFT_SECONDS)
        except RedisError:
            slots = []
        time.sleep(max(0.0, slots[0]) if slots else 1 / call.rate)

    def _made(self, call: Call) -> Accepted | SendError:
        try:
            return self._context.channel(call.channel).send(
                call.sender, call.person, call.message.content, callback_data=call.message.callback_data, file_id=call.file_id
            )
        except SendError as error:
            return error
        except Exception as error:  # a thread that dies would take its place in the pump with it
            log.exception("message %s", call.message.id)
            return Unknown(f"the call ended in {type(error).__name__}")
