"""One-time links: the first owner's, invitations, new passwords; and what using one does, all in one transaction."""

import sqlite3

from frontdesk.errors import FrontdeskError
from frontdesk.flows import passwords
from frontdesk.flows.context import Context
from frontdesk.flows.logging_in import begin_session, normal_email
from frontdesk.store import audit, login_links, user_sessions, users
from frontdesk.store.audit import Actor
from frontdesk.store.database import transaction
from frontdesk.store.login_links import LoginLink

DAY_SECONDS = 86400
INVITATION_SECONDS = 7 * DAY_SECONDS


class LinkOver(FrontdeskError):
    """The link was used, has expired, or was replaced by a newer one."""


class EmailTaken(FrontdeskError):
    """There is a user with this e-mail."""


def first_run(db: sqlite3.Connection, now: float) -> str | None:
    """A fresh token for the first owner; the older one stops working. None as soon as there is a user."""
    if users.exist(db):
        return None
    return login_links.add(db, "first_run", now=now, lifetime_seconds=DAY_SECONDS, role="owner")


def invitation(db: sqlite3.Connection, email: str, role: str, now: float) -> str:
    """Raises EmailTaken."""
    email = normal_email(email)
    if users.find(db, email):
        raise EmailTaken(f"{email} has a user already")
    audit.record(db, "user.invited", None, now, email=email, role=role)
    return login_links.add(db, "invitation", now=now, lifetime_seconds=INVITATION_SECONDS, role=role, email=email)


def new_password(db: sqlite3.Connection, user_id: int, now: float) -> str:
    audit.record(db, "user.password_link", f"user {user_id}", now)
    return login_links.add(db, "password", now=now, lifetime_seconds=DAY_SECONDS, user_id=user_id)


def usable(db: sqlite3.Connection, token: str, now: float) -> LoginLink | None:
    link = login_links.find(db, token, now)
    if link is None or (link.kind == "first_run" and users.exist(db)):
        return None
    return link


def accept(
    context: Context, token: str, *, name: str, email: str, password: str, address: str, user_agent: str
) -> str:
    """What the link promises happens, and its holder is logged in: a session's cookie. Raises LinkOver, EmailTaken.

    `name` and `email` count where the link does not settle them.
    """
    if usable(context.db, token, context.now()) is None:
        raise LinkOver("the link is over")
    password_hash = passwords.hashed(password)
    with transaction(context.db) as db:
        now = context.now()
        link = usable(db, token, now)
        if link is None or not login_links.use(db, link, now):
            raise LinkOver("the link is over")
        if link.kind == "password":
            user_id = _change_password(db, link.user_id, password_hash)
        else:
            user_id = _make_user(db, link, name, email, password_hash, now)
        deed = "password.changed" if link.kind == "password" else "user.added"
        audit.record(db, deed, f"user {user_id}", now, by=Actor("user", user_id, users.get(db, user_id).name, address), by_link=link.kind)
        return begin_session(db, user_id, address=address, user_agent=user_agent, now=now)


def _change_password(db: sqlite3.Connection, user_id: int, password_hash: str) -> int:
    if users.get(db, user_id).disabled:
        raise LinkOver("the user is disabled")
    users.set_password_hash(db, user_id, password_hash)
    user_sessions.end_all(db, user_id)
    return user_id


def _make_user(
    db: sqlite3.Connection, link: LoginLink, name: str, email: str, password_hash: str, now: float
) -> int:
    email = link.email or normal_email(email)
    if users.find(db, email):
        raise EmailTaken(f"{email} has a user already")
    return users.add(db, name=name, email=email, role=link.role, password_hash=password_hash, now=now)
