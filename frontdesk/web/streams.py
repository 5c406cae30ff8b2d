"""Open streams of the web chat: server-sent events to many browsers from one thread, none of gunicorn's.

A stream's socket is taken out of the request that opened it (widget_stream.py). This thread waits for Redis, for newcomers and
for browsers that leave; it holds nothing but sockets, so that its death costs a reconnect and nothing else.
"""

import logging
import os
import resource
import selectors
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from frontdesk.queues import Listener, Live, RedisError

log = logging.getLogger(__name__)

BEAT_SECONDS = 20  # under what proxies wait for a sign of life (nginx 60 s), and how long a dead peer goes unnoticed
LONGEST_SECONDS = 3600  # then the browser comes again, and its token is looked at again
MOST_PENDING_BYTES = 256 * 1024  # a browser that reads no more is let go
OPEN = b'data: {"type": "open"}\n\n'
CHANGED = b'data: {"type": "changed"}\n\n'
BEAT = b":\n\n"


@dataclass(slots=True, eq=False)
class Stream:
    socket: socket.socket
    visitor: str
    opened_at: float
    pending: bytearray = field(default_factory=bytearray)


class Streams:
    """`most`: of this process, and of one visitor (tabs). The thread begins with the first stream."""

    def __init__(self, live: Live, most: int = 5000, most_of_visitor: int = 6):
        self.live, self.most, self.most_of_visitor = live, most, most_of_visitor
        self._lock = threading.Lock()
        self._started_by: int | None = None

    def has_room(self, visitor: str) -> bool:
        with self._lock:
            self._begin()
            return self._count < self.most and len(self._of.get(visitor, ())) < self.most_of_visitor

    def add(self, connection: socket.socket, visitor: str, head: bytes) -> None:
        """`head`: the answer's headers. The socket is this thread's from now on."""
        connection.setblocking(False)
        with self._lock:
            self._begin()
            self._count += 1
        self._newcomers.append((Stream(connection, visitor, time.monotonic()), head))
        self._wake()

    def count(self) -> int:
        with self._lock:
            return self._count if self._started_by == os.getpid() else 0

    def _begin(self) -> None:
        if self._started_by == os.getpid():
            return
        self._started_by = os.getpid()
        self._count = 0
        self._of: dict[str, set[Stream]] = {}
        self._newcomers: deque[tuple[Stream, bytes]] = deque()
        self._beats: deque[Stream] = deque()
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._take_newcomers)
        self._listener: Listener | None = None
        self._hears_on: int | None = None
        _raise_file_limit()
        threading.Thread(target=self._run, name="streams", daemon=True).start()

    def _wake(self) -> None:
        try:
            self._waker.send(b"!")
        except OSError:  # full: it is awake
            pass

    # --- the thread -----------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        beats_at = time.monotonic()
        while True:
            try:
                self._listen()
                for key, events in self._selector.select(timeout=1):
                    key.data(events)
                if time.monotonic() - beats_at >= 1:
                    self._beat(time.monotonic() - beats_at)
                    beats_at = time.monotonic()
            except RedisError as error:
                log.warning("streams: Redis does not answer (%s); trying again", type(error).__name__)
                self._stop_listening()
                time.sleep(1)
            except Exception:
                log.exception("streams: an event failed")
                time.sleep(0.1)

    def _listen(self) -> None:
        """One connection to Redis; after a new one every page asks for what it missed."""
        if self._listener is not None and self._listener.fileno() == self._hears_on:
            return
        was_there = self._listener is not None or self._hears_on is not None
        self._stop_listening()
        self._listener = self.live.listen()
        self._hears_on = self._listener.fileno()
        self._selector.register(self._hears_on, selectors.EVENT_READ, self._hear)
        for visitor in self._of:
            self._listener.follow(visitor)
        if was_there:
            for streams in list(self._of.values()):
                for stream in list(streams):
                    self._send(stream, CHANGED)

    def _stop_listening(self) -> None:
        if self._hears_on is not None:
            try:
                self._selector.unregister(self._hears_on)
            except (KeyError, ValueError, OSError):
                pass
            self._hears_on = -1
        if self._listener is not None:
            listener, self._listener = self._listener, None
            try:
                listener.close()
            except (RedisError, OSError):
                pass

    def _take_newcomers(self, _) -> None:
        try:
            self._woken.recv(4096)
        except BlockingIOError:
            pass
        while self._newcomers:
            stream, head = self._newcomers.popleft()
            streams = self._of.setdefault(stream.visitor, set())
            streams.add(stream)
            self._beats.append(stream)
            self._selector.register(stream.socket, selectors.EVENT_READ, lambda events, stream=stream: self._ready(stream, events))
            if len(streams) == 1 and self._listener:
                self._listener.follow(stream.visitor)
            self._send(stream, head + OPEN)

    def _hear(self, _) -> None:
        for visitor, event in self._listener.heard():
            for stream in list(self._of.get(visitor, ())):
                self._send(stream, b"data: " + event + b"\n\n")

    def _ready(self, stream: Stream, events: int) -> None:
        if events & selectors.EVENT_READ:
            try:
                if not stream.socket.recv(4096):
                    return self._drop(stream)
            except BlockingIOError:
                pass
            except OSError:
                return self._drop(stream)
        if events & selectors.EVENT_WRITE:
            self._send(stream, b"")

    def _send(self, stream: Stream, data: bytes) -> None:
        if stream.socket.fileno() < 0:
            return
        stream.pending += data
        try:
            del stream.pending[: stream.socket.send(stream.pending)]
        except BlockingIOError:
            pass
        except OSError:
            return self._drop(stream)
        if len(stream.pending) > MOST_PENDING_BYTES:
            return self._drop(stream)
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if stream.pending else 0)
        key = self._selector.get_key(stream.socket)
        if key.events != wanted:
            self._selector.modify(stream.socket, wanted, key.data)

    def _beat(self, passed_seconds: float) -> None:
        """A few of them each second, so that never all are written to at once."""
        for _ in range(min(len(self._beats), int(len(self._beats) * passed_seconds / BEAT_SECONDS) + 1)):
            stream = self._beats.popleft()
            if stream.socket.fileno() < 0:
                continue
            if time.monotonic() - stream.opened_at > LONGEST_SECONDS:
                self._drop(stream)
                continue
            self._beats.append(stream)
            self._send(stream, BEAT)

    def _drop(self, stream: Stream) -> None:
        if stream.socket.fileno() < 0:
            return
        self._selector.unregister(stream.socket)
        stream.socket.close()
        with self._lock:
            self._count -= 1
            streams = self._of[stream.visitor]
            streams.discard(stream)
            if not streams:
                del self._of[stream.visitor]
        if not streams and self._listener:
            self._listener.leave(stream.visitor)



def _raise_file_limit() -> None:
    """Each stream is a file, and many systems begin with 1,024 of them for a process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
