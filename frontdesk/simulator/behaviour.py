"""How the simulator behaves: everything that can be made to go wrong, changed at run time by `PUT /simulator/api/behaviour`."""

import random
from dataclasses import asdict, dataclass, field, fields
from typing import Any

UPLOADS = "media"  # `to` of an error, or `latency_to`, that is meant for uploads
ORDERS = ("in_order", "reversed", "shuffled")


@dataclass
class Statuses:
    """`order`: in_order, reversed, shuffled. `skip`: names left out. `delay_ms`: before the first, and between two."""

    order: str = "in_order"
    repeat: int = 1
    delay_ms: float = 60
    skip: list[str] = field(default_factory=list)
    off: bool = False


@dataclass
class Behaviour:
    """The defaults are a Graph API on its best day.

    `latency_ms` of every call (`latency_to`: for this recipient alone). `error_rate` (0–1) answers `error_code`. `next_errors`:
    [{"code", "http_status"?, "times"?, "to"?}], each used up; `to` "media" (also as `latency_to`) means uploads.
    `lose_answers`: the next N messages are accepted and the connection is cut without an answer; `lose_answer_rate` (0–1) the same
    by chance. `accept_delay_seconds`: the answer comes so much later. `fail_statuses`: [{"code", "times"?}] accepted messages that
    fail by a status. `reach`: the messaging limit that the number names. `limits`: 80 a second for each number and Meta's pair limit are
    held. `duplicate_webhooks`: every customer's webhook is posted so many times more. `download_ms` of every download of a customer's
    file; `expired_addresses`: the next N addresses of such files are over when they are used.
    """

    latency_ms: float = 0
    latency_to: str | None = None
    error_rate: float = 0
    error_code: int = 131000
    next_errors: list[dict[str, Any]] = field(default_factory=list)
    lose_answers: int = 0
    lose_answer_rate: float = 0
    accept_delay_seconds: float = 0
    token_expired: bool = False
    fail_statuses: list[dict[str, Any]] = field(default_factory=list)
    limits: bool = False
    messages_per_second: int = 80
    windows: bool = True
    subscribed: bool = True
    reach: str = "TIER_UNLIMITED"
    duplicate_webhooks: int = 0
    download_ms: float = 0
    expired_addresses: int = 0
    statuses: Statuses = field(default_factory=Statuses)

    def change(self, changes: dict[str, Any]) -> None:
        """Set these fields (`statuses` is merged). ValueError names what does not exist."""
        for name, value in changes.items():
            if name == "statuses":
                _set(self.statuses, value)
            else:
                _set(self, {name: value})
        if self.statuses.order not in ORDERS:
            raise ValueError(f"statuses.order is {self.statuses.order!r}; it wants one of {', '.join(ORDERS)}")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def next_error(self, to: str) -> dict[str, Any] | None:
        """The scripted or random error for a message to this person; a scripted one is used up."""
        for error in self.next_errors:
            if error.get("to") in (None, to):
                _use_up(self.next_errors, error)
                return error
        return {"code": self.error_code} if random.random() < self.error_rate else None

    def next_upload_error(self) -> dict[str, Any] | None:
        """Only of those that are meant for uploads."""
        for error in self.next_errors:
            if error.get("to") == UPLOADS:
                _use_up(self.next_errors, error)
                return error
        return None

    def next_failed_status(self) -> int | None:
        if not self.fail_statuses:
            return None
        failure = self.fail_statuses[0]
        _use_up(self.fail_statuses, failure)
        return failure["code"]

    def loses_answer(self) -> bool:
        if self.lose_answers > 0:
            self.lose_answers -= 1
            return True
        return random.random() < self.lose_answer_rate

    def address_is_over(self) -> bool:
        if self.expired_addresses > 0:
            self.expired_addresses -= 1
            return True
        return False


def _set(target: Any, changes: dict[str, Any]) -> None:
    unknown = changes.keys() - {item.name for item in fields(target)}
    if unknown:
        raise ValueError(f"there is no {', '.join(sorted(unknown))}")
    for name, value in changes.items():
        setattr(target, name, value)


def _use_up(items: list[dict[str, Any]], item: dict[str, Any]) -> None:
    item["times"] = item.get("times", 1) - 1
    if item["times"] <= 0:
        items.remove(item)
