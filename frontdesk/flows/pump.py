"""The threads that make a broadcast's calls, each at the moment that was reserved for it. They write nothing down."""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from frontdesk.channels import Accepted, Person, Sender
from frontdesk.channels.wire import held_until
from frontdesk.errors import SendError, Unknown
from frontdesk.flows.context import Context
from frontdesk.queues import RedisError
from frontdesk.store.outbox import Outbound

log = logging.getLogger(__name__)

MOST_THREADS = 160
LATE_SECONDS, LONGEST_SHIFT_SECONDS = 0.5, 5.0
# A little more than the second that is counted at the other end, for calls take unequal times to get there.
WINDOW_SECONDS = 1.01


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
    """No WINDOW_SECONDS hold more calls of a number's than its limit. `ages`: so many seconds ago calls began before it was made."""

    def __init__(self, ages: Iterable[float] = ()):
        self._lock = threading.Lock()
        now = time.monotonic()
        self._begun: deque[float] = deque(now - age for age in ages)

    def ages(self) -> list[float]:
        with self._lock:
            now = time.monotonic()
            return [now - at for at in self._begun]

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
        number_id = call.message.number_id
        if number_id not in self._windows:
            self._windows[number_id] = Window(self._calls_before(number_id))
        self.calls.put(call)

    def _calls_before(self, number_id: int) -> list[float]:
        """Of the job before this one."""
        try:
            return self._context.limits.calls(number_id)
        except RedisError:
            return []

    def finish(self) -> None:
        for _ in self._threads:
            self.calls.put(None)
        with suppress(RedisError):
            for number_id, window in self._windows.items():
                self._context.limits.keep_calls(number_id, window.ages())

    def _work(self) -> None:
        while (call := self.calls.get()) is not None:
            self.results.put((call.message, self._made(call)))

    def _wait_for(self, call: Call) -> None:
        """Until its moment, and until the last second has room."""
        late = time.monotonic() - call.at
        time.sleep(max(0.0, -late) if late < LATE_SECONDS else self._new_moment(call))
        self._windows[call.message.number_id].wait(call.limit)

    def _new_moment(self, call: Call) -> float:
        """In how many seconds. Where the machine stood still many are late, and together they would be too many."""
        try:
            slots = self._context.limits.reserve(call.message.number_id, call.rate, 1, LONGEST_SHIFT_SECONDS)
        except RedisError:
            slots = []
        return max(0.0, slots[0]) if slots else 1 / call.rate

    def _made(self, call: Call) -> Accepted | SendError:
        try:
            with held_until(lambda: self._wait_for(call)):
                return self._context.channel(call.channel).send(
                    call.sender, call.person, call.message.content, callback_data=call.message.callback_data, file_id=call.file_id
                )
        except SendError as error:
            return error
        except Exception as error:  # a thread that dies would take its place in the pump with it
            log.exception("message %s", call.message.id)
            return Unknown(f"the call ended in {type(error).__name__}")
