"""Links that are good once: the first owner's, an invitation, a new password. The address is known to its holder alone."""

import sqlite3
from dataclasses import dataclass

from frontdesk.store import tokens

_COLUMNS = "id, kind, role, email, user_id, created_at, expires_at"


@dataclass(frozen=True, slots=True)
class LoginLink:
    """`kind`: first_run (makes the owner), invitation (makes a user of `role`), password (a new one for `user_id`)."""

    id: int
    kind: str
    role: str | None
    email: str | None
    user_id: int | None
    created_at: float
    expires_at: float


def add(
    db: sqlite3.Connection,
    kind: str,
    *,
    now: float,
    lifetime_seconds: float,
    role: str | None = None,
    email: str | None = None,
    user_id: int | None = None,
) -> str:
    """Returns the token. An older unused link for the same stops working."""
    db.execute(
        "DELETE FROM login_links WHERE kind = ? AND email IS ? AND user_id IS ? AND used_at IS NULL",
        (kind, email, user_id),
    )
    token = tokens.new()
    db.execute(
        """
        INSERT INTO login_links (token_hash, kind, role, email, user_id, created_at, expires_at)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        (tokens.digest(token), kind, role, email, user_id, now, now + lifetime_seconds),
    )
    return token


def find(db: sqlite3.Connection, token: str, now: float) -> LoginLink | None:
    """The link while it may still be used."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM login_links WHERE token_hash = ? AND used_at IS NULL AND expires_at > ?",
        (tokens.digest(token), now),
    ).fetchone()
    return LoginLink(*row) if row else None


def use(db: sqlite3.Connection, link: LoginLink, now: float) -> bool:
    """True for the one who used it first."""
    used = db.execute("UPDATE login_links SET used_at = ? WHERE id = ? AND used_at IS NULL", (now, link.id))
    return used.rowcount == 1


def open_invitations(db: sqlite3.Connection, now: float) -> list[LoginLink]:
    rows = db.execute(
        f"""
        SELECT {_COLUMNS} FROM login_links
        WHERE kind = 'invitation' AND used_at IS NULL AND expires_at > ?
        ORDER BY created_at DESC, id DESC
        """,
        (now,),
    )
    return [LoginLink(*row) for row in rows]


def withdraw(db: sqlite3.Connection, link_id: int) -> bool:
    """Take an invitation back. True if it was still open."""
    gone = db.execute("DELETE FROM login_links WHERE id = ? AND kind = 'invitation' AND used_at IS NULL", (link_id,))
    return gone.rowcount == 1


def withdraw_all_of(db: sqlite3.Connection, user_id: int) -> None:
    """A user who is disabled must not come back by an older link."""
    db.execute("DELETE FROM login_links WHERE user_id = ? AND used_at IS NULL", (user_id,))


def forget_expired(db: sqlite3.Connection, now: float) -> int:
    return db.execute("DELETE FROM login_links WHERE expires_at <= ?", (now,)).rowcount
