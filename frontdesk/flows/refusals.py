"""Why the API does not do what a program asks, and what it answered to the same request before."""

import sqlite3

from frontdesk.errors import FrontdeskError
from frontdesk.flows.outgoing import CannotSend
from frontdesk.store import api_tokens
from frontdesk.store.api_tokens import ApiToken

# Everything else that cannot be sent is a request that will never do: 422.
STATUS = {"not_found": 404, "unknown_media": 404, "unknown_message": 404, "unknown_template": 404}


class Refused(FrontdeskError):
    """`status` is HTTP's. Nothing was queued. `more`: what the error says besides code, message and field."""

    def __init__(self, status: int, code: str, words: str, field: str | None = None, more: dict | None = None):
        self.status, self.code, self.field, self.more = status, code, field, more or {}
        super().__init__(words)

    @classmethod
    def because(cls, error: CannotSend, field: str | None) -> "Refused":
        more = {"templates": [{"name": name, "language": language} for name, language in error.templates]} if error.templates else None
        return cls(STATUS.get(error.code, 422), error.code, str(error), field, more)


def known_answer(db: sqlite3.Connection, token: ApiToken, key: str, asked: str) -> str | None:
    """What was answered to the same request under this key. Raises Refused where the request was another."""
    known = api_tokens.answered(db, token.id, key)
    if known is None:
        return None
    if known[0] != asked:
        raise Refused(409, "idempotency_conflict", "This Idempotency-Key was used for another request.")
    return known[2]
