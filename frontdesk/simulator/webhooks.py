"""Webhooks as Meta posts them: signed over the exact bytes, repeated until acknowledged, statuses in batches."""

import hashlib
import heapq
import hmac
import itertools
import json
import random
import threading
import time
import zlib
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from urllib3.util import wait_for_read

from frontdesk.simulator.behaviour import Behaviour
from frontdesk.simulator.config import Config
from frontdesk.simulator.record import Record

# Meta repeats at once and then ever more rarely; here it never gives up, and the rarest is a minute.
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1, 60
LARGEST_BATCH = 300
TIMEOUT_SECONDS = 20
LANES = 12
CONNECTIONS = {"http": HTTPConnection, "https": HTTPSConnection}


class Lane:
    """What one thread posts, in the order of its time. All of one customer's webhooks go through one lane."""

    def __init__(self, attempt):
        self._attempt = attempt
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, str, Any]] = []
        self._order = itertools.count()
        self._under_way = 0
        threading.Thread(target=self._work, name="poster", daemon=True).start()

    def push(self, delay_seconds: float, what: str, item: dict[str, Any]) -> None:
        with self._changed:
            pushed = (time.monotonic() + delay_seconds, next(self._order), what, item)
            heapq.heappush(self._due, pushed)
            if self._due[0] is pushed:  # for what is due later nobody wakes up
                self._changed.notify()

    def clear(self) -> None:
        with self._changed:
            self._due.clear()

    def pending(self) -> int:
        with self._changed:
            return len(self._due) + self._under_way

    def _work(self) -> None:
        while True:
            what, items = self._take()
            self._attempt(self, what, items)
            self._under_way = 0

    def _take(self) -> tuple[str, list[dict[str, Any]]]:
        """The next due body, or all due statuses up to a batch."""
        with self._changed:
            while not self._due or self._due[0][0] > time.monotonic():
                self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
            _, _, what, item = heapq.heappop(self._due)
            items, now = [item], time.monotonic()
            while what == "status" and len(items) < LARGEST_BATCH:
                if not self._due or self._due[0][0] > now or self._due[0][2] != "status":
                    break
                items.append(heapq.heappop(self._due)[3])
            self._under_way = len(items)
            return what, items


class Webhooks:
    """Lanes that post what is due; `post_now` posts in the caller's own thread."""

    def __init__(self, config: Config, behaviour: Behaviour, record: Record):
        self.config, self.behaviour, self.record = config, behaviour, record
        self._epoch = 0
        self._of_thread = threading.local()
        self._lanes = [Lane(self._attempt) for _ in range(LANES)]

    def reset(self) -> None:
        """Whatever was to be posted is forgotten."""
        self._epoch += 1
        for lane in self._lanes:
            lane.clear()

    def pending(self) -> int:
        """Webhooks and statuses that are not acknowledged yet."""
        return sum(lane.pending() for lane in self._lanes)

    # --- bodies -----------------------------------------------------------------------------------------------------------------

    def envelope(self, **value: Any) -> dict[str, Any]:
        metadata = {"display_phone_number": self.config.display_phone, "phone_number_id": self.config.phone_number_id}
        change = {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
        return {"object": "whatsapp_business_account", "entry": [{"id": self.config.account_id, "changes": [change]}]}

    def template_event(self, template: dict[str, Any], reason: str) -> bytes:
        names = {key: template[key] for key in ("name", "language")}
        value = {"event": template["status"], "message_template_id": int(template["id"]), "reason": reason}
        value |= {f"message_template_{key}": words for key, words in names.items()}
        change = {"field": "message_template_status_update", "value": value}
        return json.dumps({"object": "whatsapp_business_account", "entry": [{"id": self.config.account_id, "changes": [change]}]}).encode()

    def sign(self, body: bytes) -> str:
        return "sha256=" + hmac.new(self.config.app_secret.encode(), body, hashlib.sha256).hexdigest()

    # --- posting ----------------------------------------------------------------------------------------------------------------

    def post_now(self, body: bytes, kind: str, signature: str | None = None, signed: bool = True) -> int:
        """One attempt; the status code, 0 where no answer came."""
        headers = {"Content-Type": "application/json", "User-Agent": "frontdesk-simulator"}
        if signed:
            headers["X-Hub-Signature-256"] = signature or self.sign(body)
        begin = time.monotonic()
        connection, path = self._connection()
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, HTTPException):
            connection.close()
            status = 0
        took = round((time.monotonic() - begin) * 1000, 1)
        self.record.note("webhooks", {"kind": kind, "status": status, "ms": took, "bytes": len(body)})
        return status

    def _connection(self) -> tuple[HTTPConnection, str]:
        """This thread's own, kept unless the other side has closed it, and the path. Libraries above it take twice the time of a post."""
        url = self.config.webhook_url
        if getattr(self._of_thread, "url", None) != url:
            scheme, place, path, query, _ = urlsplit(url)
            self._of_thread.connection = CONNECTIONS[scheme](place, timeout=TIMEOUT_SECONDS)
            self._of_thread.path = f"{path}?{query}" if query else path
            self._of_thread.url = url
        connection = self._of_thread.connection
        if connection.sock is not None and wait_for_read(connection.sock, 0):
            connection.close()
        return connection, self._of_thread.path

    def deliver(self, key: str, value: dict[str, Any], kind: str, wamid: str | None = None) -> None:
        """Post this of the customer `key` until it is acknowledged. `wamid`: the message that then shows two ticks."""
        body = json.dumps(self.envelope(**value)).encode()
        item = {"body": body, "kind": kind, "tries": 0, "wamid": wamid, "epoch": self._epoch}
        self._lane(key).push(0, "body", item)

    def deliver_status(self, key: str, status: dict[str, Any], delay_seconds: float) -> None:
        """Post this status, together with whatever else is due in its lane then."""
        self._lane(key).push(delay_seconds, "status", {"status": status, "epoch": self._epoch})

    def _lane(self, key: str) -> Lane:
        return self._lanes[zlib.crc32(key.encode()) % LANES]

    def _attempt(self, lane: Lane, what: str, items: list[dict[str, Any]]) -> None:
        if items[0]["epoch"] != self._epoch:
            return
        if what == "status":
            body = json.dumps(self.envelope(statuses=[item["status"] for item in items])).encode()
            item = {"body": body, "kind": "statuses", "tries": 0, "wamid": None, "epoch": items[0]["epoch"]}
        else:
            [item] = items
        if self.post_now(item["body"], item["kind"]) == 200:
            if item["wamid"]:
                self.record.line_state(item["wamid"], "delivered")
            return
        if item["epoch"] != self._epoch:
            return
        delay = 0 if item["tries"] == 0 else min(FIRST_RETRY_SECONDS * 2 ** (item["tries"] - 1), LONGEST_RETRY_SECONDS)
        item["tries"] += 1
        lane.push(delay, "body", item)

    # --- statuses of an accepted message ------------------------------------------------------------------------------------------

    def tell_fate(self, key: str, wamid: str, recipient: dict[str, str], callback_data: str | None) -> None:
        """sent, delivered, read (or failed), as the behaviour has it."""
        rules = self.behaviour.statuses
        if rules.off:
            return
        failure = self.behaviour.next_failed_status()
        names = ["sent", "failed"] if failure else ["sent", "delivered", "read"]
        names = [name for name in names if name not in rules.skip]
        if rules.order == "reversed":
            names.reverse()
        elif rules.order == "shuffled":
            random.shuffle(names)
        for place, name in enumerate(name for name in names for _ in range(rules.repeat)):
            status = {"id": wamid, "status": name, "timestamp": str(int(time.time())), **recipient}
            if callback_data is not None:
                status["biz_opaque_callback_data"] = callback_data
            if name == "failed":
                status["errors"] = [{"code": failure, "title": f"Simulated error {failure}"}]
            self.deliver_status(key, status, rules.delay_ms / 1000 * (place + 1))
