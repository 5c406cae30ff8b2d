"""Addresses of webhooks that are not signed: a secret in the address, or in the body, says which number they are for.

    <number's id>.<its webhook_key>.<HMAC of both under SECRET_KEY>

So the door proves one without asking SQLite, nothing secret is kept, and a new key makes the old address worthless.
"""

import hashlib
import hmac
import secrets

from frontdesk.settings import Settings
from frontdesk.store.numbers import Number

LONGEST = 200


def new_key() -> str:
    return secrets.token_hex(8)


def secret(settings: Settings, number: Number) -> str:
    """What stands at the end of the number's webhook address, and is its passkey."""
    whose = f"{number.id}.{number.webhook_key}"
    return f"{whose}.{_proof(key(settings), whose)}"


def key(settings: Settings) -> bytes:
    return settings.derived_secret("webhook addresses").encode()


def proven(made_with: bytes, given: str) -> str | None:
    """Whose address it is ("<number's id>.<key>"), None where we never gave it out. In constant time for what has our shape."""
    whose, _, proof = given.rpartition(".")
    if len(given) > LONGEST or not given.isascii() or not hmac.compare_digest(_proof(made_with, whose), proof):
        return None
    return whose


def _proof(made_with: bytes, whose: str) -> str:
    return hmac.new(made_with, whose.encode(), hashlib.sha256).hexdigest()
