"""An event loop in a thread of its own, for calls that a synchronous caller waits for and may break off at any byte.

The loop and its HTTP client are made on first use and kept, so that one answer does not pay for what the last one had.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Answer = TypeVar("Answer")
Watch = Callable[[], None]


class Loop:
    """Safe to use from several threads. A forked child gets a loop and a client of its own."""

    def __init__(self, make_client: Callable[[], Any]):
        self._make_client = make_client
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._running: asyncio.AbstractEventLoop | None = None
        self._client: Any = None

    def client(self) -> Any:
        """The client that belongs to the loop; to be called in it."""
        if self._client is None:
            self._client = self._make_client()
        return self._client

    def run(
        self, work: Coroutine[Any, Any, Answer | BaseException], watch: Watch | None = None, every_seconds: float = 0.25
    ) -> Answer:
        """What `work` returns. An error that it returns is raised here, where it has no context that could hold text.

        The loop has a thread of its own: inside a loop an exception that a signal handler raises (RQ's job timeout) can be
        lost; the caller, who waits in result(), gets it for certain. Nothing of this runs any more when it is left.
        """
        loop = self._started()
        tasks: list[asyncio.Task] = []
        over: Future[None] = Future()

        def begin() -> None:
            tasks.append(loop.create_task(work if watch is None else _watched(work, watch, every_seconds)))
            tasks[0].add_done_callback(lambda _: over.set_result(None))

        loop.call_soon_threadsafe(begin)
        try:
            over.result()
        except BaseException:
            loop.call_soon_threadsafe(lambda: tasks[0].cancel())
            over.result()
            raise
        outcome = tasks[0].result()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._owner != os.getpid():
                self._running, self._client, self._owner = asyncio.new_event_loop(), None, os.getpid()
                threading.Thread(target=self._running.run_forever, name="ollama", daemon=True).start()
            return self._running


async def _watched(work: Coroutine[Any, Any, Answer], watch: Watch, every_seconds: float) -> Answer | BaseException:
    over = asyncio.Event()
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_watch(watch, every_seconds, over))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        over.set()
        working.cancel()
        await asyncio.wait({working})
    objection = await watching
    return working.result() if objection is None else objection


async def _watch(watch: Watch, every_seconds: float, over: asyncio.Event) -> BaseException | None:
    """Call `watch` in a thread of its own until it raises, which is returned, or until `over`: None."""
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as left_at_the_end:
        thread = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_seconds):
                    await over.wait()
                return None
            if thread is None:
                thread = left_at_the_end.enter_context(ThreadPoolExecutor(1, thread_name_prefix="ollama-watch"))
            if (objection := await loop.run_in_executor(thread, _objection, watch)) is not None:
                return objection


def _objection(watch: Watch) -> BaseException | None:
    """As a value, because a coroutine cannot pass on every exception (StopIteration, CancelledError) unchanged."""
    try:
        watch()
    except BaseException as error:
        return error
    return None
