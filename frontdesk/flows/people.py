"""What owners do with users, and users with their own account. One owner who may log in always remains."""

from frontdesk.errors import FrontdeskError
from frontdesk.flows import passwords
from frontdesk.flows.context import Context
from frontdesk.store import audit, login_links, user_sessions, users
from frontdesk.store.database import transaction


class LastOwner(FrontdeskError):
    """Nobody could manage the desk any more."""


class WrongPassword(FrontdeskError):
    """The current password, asked again, is not this."""


def change_role(context: Context, user_id: int, role: str) -> None:
    """Who becomes an owner logs in again: a cookie that somebody else holds of an agent's must not become an owner's. Raises LastOwner."""
    with transaction(context.db) as db:
        if role == "owner" and users.get(db, user_id).role != "owner":
            user_sessions.end_all(db, user_id)
        if role != "owner" and users.is_last_owner(db, user_id):
            raise LastOwner("the last owner stays an owner")
        users.set_role(db, user_id, role)
        audit.record(db, "user.role", f"user {user_id}", context.now(), role=role)


def disable(context: Context, user_id: int) -> None:
    """Logs the user out everywhere. Raises LastOwner."""
    with transaction(context.db) as db:
        if users.is_last_owner(db, user_id):
            raise LastOwner("the last owner cannot be disabled")
        users.disable(db, user_id, context.now())
        audit.record(db, "user.disabled", f"user {user_id}", context.now())
        user_sessions.end_all(db, user_id)
        login_links.withdraw_all_of(db, user_id)


def enable(context: Context, user_id: int) -> None:
    with transaction(context.db) as db:
        users.enable(db, user_id)
        audit.record(db, "user.enabled", f"user {user_id}", context.now())


def rename(context: Context, user_id: int, name: str) -> None:
    with transaction(context.db) as db:
        users.rename(db, user_id, name)
        audit.record(db, "user.renamed", f"user {user_id}", context.now(), name=name)


def withdraw_invitation(context: Context, link_id: int) -> bool:
    with transaction(context.db) as db:
        withdrawn = login_links.withdraw(db, link_id)
        if withdrawn:
            audit.record(db, "user.invitation_withdrawn", f"invitation {link_id}", context.now())
    return withdrawn


def log_out(context: Context, user_id: int, session_id: int) -> bool:
    """Of one browser. False: it was logged out already."""
    with transaction(context.db) as db:
        ended = user_sessions.end(db, user_id, session_id)
        if ended:
            audit.record(db, "logout", f"user {user_id}", context.now())
    return ended


def log_out_everywhere(context: Context, user_id: int) -> None:
    with transaction(context.db) as db:
        audit.record(db, "sessions.ended", f"user {user_id}", context.now(), count=user_sessions.end_all(db, user_id))


def change_password(context: Context, user_id: int, session_id: int, current: str, new: str) -> int:
    """Ends the user's other sessions and returns how many. Raises WrongPassword."""
    if not passwords.fits(current, users.password_hash(context.db, user_id)):
        raise WrongPassword("the current password is not this")
    password_hash = passwords.hashed(new)
    with transaction(context.db) as db:
        users.set_password_hash(db, user_id, password_hash)
        login_links.withdraw_all_of(db, user_id)
        audit.record(db, "password.changed", f"user {user_id}", context.now())
        return user_sessions.end_all(db, user_id, but=session_id)
