"""Sessions: the browsers in which a user is logged in. They live 30 days after their last use."""

import sqlite3
from dataclasses import dataclass

from frontdesk.store import tokens

LIFETIME_SECONDS = 30 * 86400

_COLUMNS = "id, user_id, created_at, last_used_at, expires_at, user_agent, address"


@dataclass(frozen=True, slots=True)
class UserSession:
    id: int
    user_id: int
    created_at: float
    last_used_at: float
    expires_at: float
    user_agent: str
    address: str


def start(db: sqlite3.Connection, user_id: int, *, user_agent: str, address: str, now: float) -> str:
    """Returns the cookie's value, which is nowhere else."""
    token = tokens.new()
    db.execute(
        """
        INSERT INTO user_sessions (token_hash, user_id, created_at, last_used_at, expires_at, user_agent, address)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        (tokens.digest(token), user_id, now, now, now + LIFETIME_SECONDS, user_agent[:300], address),
    )
    return token


def find(db: sqlite3.Connection, token: str, now: float) -> UserSession | None:
    """The session of this cookie while it lives and its user may log in."""
    row = db.execute(
        f"""
        SELECT {_COLUMNS} FROM user_sessions
        WHERE token_hash = ? AND expires_at > ?
            AND user_id IN (SELECT id FROM users WHERE disabled_at IS NULL)
        """,
        (tokens.digest(token), now),
    ).fetchone()
    return UserSession(*row) if row else None


def touch(db: sqlite3.Connection, session: UserSession, address: str, now: float) -> None:
    """It was used: it lives 30 days from now, and so does what the others see of its user."""
    db.execute(
        "UPDATE user_sessions SET last_used_at = ?, expires_at = ?, address = ? WHERE id = ?",
        (now, now + LIFETIME_SECONDS, address, session.id),
    )
    db.execute("UPDATE users SET last_seen_at = ? WHERE id = ?", (now, session.user_id))


def of_user(db: sqlite3.Connection, user_id: int, now: float) -> list[UserSession]:
    """The newest use first."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM user_sessions WHERE user_id = ? AND expires_at > ? ORDER BY last_used_at DESC, id DESC",
        (user_id, now),
    )
    return [UserSession(*row) for row in rows]


def end(db: sqlite3.Connection, user_id: int, session_id: int) -> bool:
    """True if this user had it."""
    ended = db.execute("DELETE FROM user_sessions WHERE id = ? AND user_id = ?", (session_id, user_id))
    return ended.rowcount == 1


def end_all(db: sqlite3.Connection, user_id: int, but: int | None = None) -> int:
    """Log the user out everywhere, or everywhere but in the session `but`. Returns in how many browsers."""
    return db.execute("DELETE FROM user_sessions WHERE user_id = ? AND id IS NOT ?", (user_id, but)).rowcount


def forget_expired(db: sqlite3.Connection, now: float) -> int:
    return db.execute("DELETE FROM user_sessions WHERE expires_at <= ?", (now,)).rowcount
