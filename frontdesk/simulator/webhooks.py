"""Webhooks as Meta posts them: signed over the exact bytes, repeated until acknowledged, statuses in batches."""

import hashlib
import heapq
import hmac
import itertools
import json
import random
import threading
import time
from typing import Any

import requests

from frontdesk.simulator.behaviour import Behaviour
from frontdesk.simulator.config import Config
from frontdesk.simulator.record import Record

# Meta repeats at once and then ever more rarely; here it never gives up, and the rarest is a minute.
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 1, 60
LARGEST_BATCH = 300
TIMEOUT_SECONDS = 20
POSTERS = 12


class Webhooks:
    """A few threads that post what is due; `post_now` posts in the caller's own."""

    def __init__(self, config: Config, behaviour: Behaviour, record: Record):
        self.config, self.behaviour, self.record = config, behaviour, record
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, str, Any]] = []
        self._order = itertools.count()
        self._epoch = 0
        self._local = threading.local()
        for number in range(POSTERS):
            threading.Thread(target=self._work, name=f"poster-{number}", daemon=True).start()

    def reset(self) -> None:
        """Whatever was to be posted is forgotten."""
        with self._changed:
            self._due.clear()
            self._epoch += 1

    # --- bodies -----------------------------------------------------------------------------------------------------------------

    def envelope(self, **value: Any) -> dict[str, Any]:
        metadata = {"display_phone_number": self.config.display_phone, "phone_number_id": self.config.phone_number_id}
        change = {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
        return {"object": "whatsapp_business_account", "entry": [{"id": self.config.account_id, "changes": [change]}]}

    def sign(self, body: bytes) -> str:
        return "sha256=" + hmac.new(self.config.app_secret.encode(), body, hashlib.sha256).hexdigest()

    # --- posting ----------------------------------------------------------------------------------------------------------------

    def post_now(self, body: bytes, kind: str, signature: str | None = None, signed: bool = True) -> int:
        """One attempt; the status code, 0 where no answer came."""
        headers = {"Content-Type": "application/json", "User-Agent": "frontdesk-simulator"}
        if signed:
            headers["X-Hub-Signature-256"] = signature or self.sign(body)
        begin = time.monotonic()
        try:
            status = self._session().post(
                self.config.webhook_url, data=body, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False
            ).status_code
        except requests.RequestException:
            status = 0
        took = round((time.monotonic() - begin) * 1000, 1)
        self.record.note("webhooks", {"kind": kind, "status": status, "ms": took, "bytes": len(body)})
        return status

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
        return self._local.session

    def deliver(self, value: dict[str, Any], kind: str, delay_seconds: float = 0, wamid: str | None = None) -> None:
        """Post this until it is acknowledged. `wamid`: the customer's message that then shows one tick."""
        body = json.dumps(self.envelope(**value)).encode()
        self._push(delay_seconds, "body", {"body": body, "kind": kind, "tries": 0, "wamid": wamid, "epoch": self._epoch})

    def deliver_status(self, status: dict[str, Any], delay_seconds: float) -> None:
        """Post this status, together with whatever else is due then."""
        self._push(delay_seconds, "status", {"status": status, "epoch": self._epoch})

    def _push(self, delay_seconds: float, what: str, item: dict[str, Any]) -> None:
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + delay_seconds, next(self._order), what, item))
            self._changed.notify()

    def _work(self) -> None:
        while True:
            what, items = self._take()
            if what == "status":
                statuses = [item["status"] for item in items]
                body = json.dumps(self.envelope(statuses=statuses)).encode()
                self._attempt({"body": body, "kind": "statuses", "tries": 0, "wamid": None, "epoch": items[0]["epoch"]})
            else:
                self._attempt(items[0])

    def _take(self) -> tuple[str, list[dict[str, Any]]]:
        """The next due body, or all due statuses up to a batch."""
        with self._changed:
            while True:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    break
                self._changed.wait(wait)
            _, _, what, item = heapq.heappop(self._due)
            items = [item]
            now = time.monotonic()
            while what == "status" and len(items) < LARGEST_BATCH:
                if not self._due or self._due[0][0] > now or self._due[0][2] != "status":
                    break
                items.append(heapq.heappop(self._due)[3])
            return what, items

    def _attempt(self, item: dict[str, Any]) -> None:
        if item["epoch"] != self._epoch:
            return
        if self.post_now(item["body"], item["kind"]) == 200:
            if item["wamid"]:
                self.record.line_state(item["wamid"], "delivered")
            return
        if item["wamid"]:
            self.record.line_state(item["wamid"], "posting")
        delay = 0 if item["tries"] == 0 else min(FIRST_RETRY_SECONDS * 2 ** (item["tries"] - 1), LONGEST_RETRY_SECONDS)
        item["tries"] += 1
        self._push(delay, "body", item)

    # --- statuses of an accepted message ------------------------------------------------------------------------------------------

    def tell_fate(self, wamid: str, recipient: dict[str, str], callback_data: str | None) -> None:
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
            self.deliver_status(status, rules.delay_ms / 1000 * (place + 1))
