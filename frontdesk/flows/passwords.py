"""Passwords: argon2id, one at a time in each process, for each takes 32 MiB and a tenth of a second of one core."""

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LEAST_CHARACTERS = 10
MOST_CHARACTERS = 1000

# Above the least that OWASP's Password Storage Cheat Sheet asks of argon2id (19 MiB, 2 passes, 1 lane).
_hasher = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
_turn = threading.Lock()


def weakness(password: str, *others: str) -> str | None:
    """Why this password will not do, in words for who typed it. `others`: what it must not be, such as the e-mail."""
    if len(password) < LEAST_CHARACTERS:
        return f"Use at least {LEAST_CHARACTERS} characters; a few unrelated words are good."
    if len(password) > MOST_CHARACTERS:
        return f"Use at most {MOST_CHARACTERS} characters."
    if len(set(password)) < 4 or password.casefold() in {other.casefold() for other in others}:
        return "This one is too easy to guess."
    return None


def hashed(password: str) -> str:
    with _turn:
        return _hasher.hash(_bytes(password))


def fits(password: str, password_hash: str | None) -> bool:
    """Whether it is the one. With no hash (an unknown e-mail) it takes as long and is not."""
    with _turn:
        try:
            return _hasher.verify(password_hash or _nobodys(), _bytes(password)) and password_hash is not None
        except (VerificationError, InvalidHashError):
            return False


def wants_rehash(password_hash: str) -> bool:
    """Made with other parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)


@cache
def _nobodys() -> str:
    return _hasher.hash(b"a password that nobody has")


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
