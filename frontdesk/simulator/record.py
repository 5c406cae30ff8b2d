"""What happened, exactly: tests count from here. Everything is kept until reset, except what only the phone page needs."""

import copy
import hashlib
import itertools
import threading
import time
from collections import defaultdict, deque
from typing import Any

from frontdesk.simulator.message_templates import TEMPLATES

LARGEST_KEPT_BYTES = 16 * 1024 * 1024
PHONE_LINES = 300
LOG_LINES = 5000
WINDOW_SECONDS = 24 * 3600
PAIR_INTERVAL_SECONDS, PAIR_BURST = 6, 45


def media_of(data: bytes, mime_type: str, filename: str | None) -> dict[str, Any]:
    """What is kept of a file: pictures and short sounds whole, of the rest what tests compare."""
    return {
        "data": data if len(data) <= LARGEST_KEPT_BYTES else b"",
        "mime_type": mime_type,
        "filename": filename,
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
    }


class Record:
    """Thread-safe. `sends`: accepted messages. `uploads`: files taken from the business. `calls`: every API call. `webhooks`: every attempt to deliver one."""

    def __init__(self):
        self.lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        with self.lock:
            self._numbers = itertools.count(1)
            self.sends: list[dict[str, Any]] = []
            self.uploads: list[dict[str, Any]] = []
            self.calls: list[dict[str, Any]] = []
            self.webhooks: deque[dict[str, Any]] = deque(maxlen=LOG_LINES)
            self.people: dict[str, dict[str, Any]] = {}
            self.lines: dict[str, deque[dict[str, Any]]] = defaultdict(lambda: deque(maxlen=PHONE_LINES))
            self.line_of: dict[str, dict[str, Any]] = {}
            self.media: dict[str, dict[str, Any]] = {}
            self.templates: list[dict[str, Any]] = copy.deepcopy(TEMPLATES)
            self.typing: dict[str, float] = {}
            self.last_inbound: dict[str, float] = {}
            self.inbound_of: dict[str, str] = {}
            self.pair_free: dict[str, float] = {}
            self.sent_at: deque[float] = deque()
            self.version = 0

    def note(self, kind: str, line: dict[str, Any]) -> dict[str, Any]:
        """Add a line to `sends`, `uploads`, `calls` or `webhooks`; it gets a `seq` and a time."""
        with self.lock:
            line = {"seq": next(self._numbers), "at": time.time(), **line}
            getattr(self, kind).append(line)
            self.version += 1
            return line

    def after(self, kind: str, seq: int, limit: int = 1000) -> list[dict[str, Any]]:
        with self.lock:
            lines = getattr(self, kind)
            if isinstance(lines, deque):
                return [line for line in lines if line["seq"] > seq][:limit]
            low, high = 0, len(lines)
            while low < high:
                middle = (low + high) // 2
                low, high = (middle + 1, high) if lines[middle]["seq"] <= seq else (low, middle)
            return lines[low : low + limit]

    def newest(self, kind: str, count: int) -> list[dict[str, Any]]:
        with self.lock:
            lines = getattr(self, kind)
            return [lines[place] for place in range(max(0, len(lines) - count), len(lines))]

    # --- people and what their phones show --------------------------------------------------------------------------------------

    def person(self, key: str, **known: Any) -> dict[str, Any]:
        """The customer behind a phone number or a user id, made if new."""
        with self.lock:
            person = self.people.setdefault(key, {"key": key, "phone": None, "user_id": None, "name": key})
            person.update({name: value for name, value in known.items() if value})
            return person

    def customer_wrote(self, key: str, wamid: str, line: dict[str, Any]) -> None:
        with self.lock:
            self.last_inbound[key] = time.time()
            self.inbound_of[wamid] = key
            self._line(key, {"id": wamid, "mine": True, "state": "posting", **line})

    def business_wrote(self, key: str, wamid: str, line: dict[str, Any]) -> None:
        with self.lock:
            self.typing.pop(key, None)
            self._line(key, {"id": wamid, "mine": False, "state": "sent", **line})

    def _line(self, key: str, line: dict[str, Any]) -> None:
        line = {"at": time.time(), **line}
        self.lines[key].append(line)
        self.line_of[line["id"]] = line
        if len(self.line_of) > 20 * PHONE_LINES:
            for old in list(itertools.islice(self.line_of, 10 * PHONE_LINES)):
                del self.line_of[old]
        self.version += 1

    def line_state(self, wamid: str, state: str) -> None:
        with self.lock:
            line = self.line_of.get(wamid)
            if line and line["state"] == "posting":
                line["state"] = state
                self.version += 1

    def seen(self, wamid: str, typing: bool) -> bool:
        """The business read this message (and shows 'typing…' for 25 s). False for a message that is not known."""
        with self.lock:
            key = self.inbound_of.get(wamid)
            if key is None:
                return False
            for line in self.lines[key]:
                if line["mine"] and line["state"] in ("posting", "sent", "delivered"):
                    line["state"] = "read"
                if line["id"] == wamid:
                    break
            if typing:
                self.typing[key] = time.time() + 25
            self.version += 1
            return True

    # --- limits -----------------------------------------------------------------------------------------------------------------

    def window_is_open(self, key: str) -> bool:
        return time.time() - self.last_inbound.get(key, 0) < WINDOW_SECONDS

    def over_limit(self, key: str, messages_per_second: int) -> int | None:
        """The code of the limit that one more message to this person would break; counts it where it breaks none."""
        with self.lock:
            now = time.monotonic()
            while self.sent_at and self.sent_at[0] <= now - 1:
                self.sent_at.popleft()
            if len(self.sent_at) >= messages_per_second:
                return 130429
            free = max(now, self.pair_free.get(key, 0)) + PAIR_INTERVAL_SECONDS
            if free - now > PAIR_INTERVAL_SECONDS * PAIR_BURST:
                return 131056
            self.pair_free[key] = free
            self.sent_at.append(now)
            return None
