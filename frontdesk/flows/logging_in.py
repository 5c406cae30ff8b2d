"""Logging in: throttled by address and by e-mail, and as slow for an e-mail nobody has as for a wrong password."""

import ipaddress
import sqlite3

from frontdesk.errors import FrontdeskError
from frontdesk.flows import passwords
from frontdesk.flows.context import Context
from frontdesk.queues import Rate
from frontdesk.store import audit, user_sessions, users
from frontdesk.store.audit import Actor
from frontdesk.store.database import transaction, without_waiting
from frontdesk.store.tokens import digest
from frontdesk.store.user_sessions import UserSession
from frontdesk.store.users import User

# An office may share an address; nobody mistypes ten times. Afterwards one attempt in each interval.
ADDRESS_INTERVAL_SECONDS, ADDRESS_BURST = 10, 20
EMAIL_INTERVAL_SECONDS, EMAIL_BURST = 60, 10

TOUCH_SECONDS = 60


class WrongCredentials(FrontdeskError):
    """No user has this e-mail with this password and may log in. Which of the three is nobody's business."""


class TooManyAttempts(FrontdeskError):
    def __init__(self, wait_seconds: float):
        self.wait_seconds = wait_seconds
        super().__init__("too many attempts to log in")


def log_in(context: Context, *, email: str, password: str, address: str, user_agent: str) -> str:
    """A new session's cookie. Raises TooManyAttempts, WrongCredentials."""
    email = normal_email(email)
    wait_seconds = context.limits.count(*_rates(email, address))
    if wait_seconds > 0:
        raise TooManyAttempts(wait_seconds)
    user = users.find(context.db, email)
    known = users.password_hash(context.db, user.id) if user else None
    if not passwords.fits(password, known) or user.disabled:
        raise WrongCredentials("no such user")
    rehashed = passwords.hashed(password) if passwords.wants_rehash(known) else None
    with transaction(context.db) as db:
        if rehashed:
            users.set_password_hash(db, user.id, rehashed)
        audit.record(db, "login", f"user {user.id}", context.now(), by=Actor("user", user.id, user.name, address))
        token = begin_session(db, user.id, address=address, user_agent=user_agent, now=context.now())
    context.limits.forgive(_rates(email, address)[1])
    return token


def begin_session(db: sqlite3.Connection, user_id: int, *, address: str, user_agent: str, now: float) -> str:
    token = user_sessions.start(db, user_id, user_agent=user_agent, address=address, now=now)
    user_sessions.touch(db, user_sessions.find(db, token, now), address, now)
    return token


def count_attempt(context: Context, what: str, address: str) -> None:
    """For guesses of another kind than log-ins. Raises TooManyAttempts."""
    wait_seconds = context.limits.count(Rate(f"{what}:{network(address)}", ADDRESS_INTERVAL_SECONDS, ADDRESS_BURST))
    if wait_seconds > 0:
        raise TooManyAttempts(wait_seconds)


def current(context: Context, token: str, address: str) -> tuple[UserSession, User] | None:
    """Who holds this cookie, None where nobody does any more."""
    now = context.now()
    session = user_sessions.find(context.db, token, now)
    if session is None:
        return None
    if abs(now - session.last_used_at) > TOUCH_SECONDS:
        _touch(context, session, address, now)
    return session, users.get(context.db, session.user_id)


def _touch(context: Context, session: UserSession, address: str, now: float) -> None:
    try:
        with without_waiting(context.db), transaction(context.db) as db:
            user_sessions.touch(db, session, address, now)
    except sqlite3.OperationalError:
        pass  # somebody writes just now: the next request does it


def normal_email(email: str) -> str:
    return email.strip().lower()


def _rates(email: str, address: str) -> tuple[Rate, Rate]:
    return (
        Rate(f"login:address:{network(address)}", ADDRESS_INTERVAL_SECONDS, ADDRESS_BURST),
        Rate(f"login:email:{digest(email)}", EMAIL_INTERVAL_SECONDS, EMAIL_BURST),
    )


def network(address: str) -> str:
    """One customer of a provider holds a whole /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ipnetwork((parsed, 64), strict=False)) if parsed.version == 6 else address
