"""Users: the people who may open the desk. A password's hash leaves this module only to be compared."""

import sqlite3
from dataclasses import dataclass

ROLES = ("owner", "agent")

_COLUMNS = "id, name, email, role, disabled_at, created_at, last_seen_at"


@dataclass(frozen=True, slots=True)
class User:
    """`role`: an owner may do everything, an agent has the inbox and the overview. E-mails are equal in any case."""

    id: int
    name: str
    email: str
    role: str
    disabled_at: float | None
    created_at: float
    last_seen_at: float | None

    @property
    def disabled(self) -> bool:
        return self.disabled_at is not None


def add(db: sqlite3.Connection, *, name: str, email: str, role: str, password_hash: str, now: float) -> int:
    """Raises sqlite3.IntegrityError where the e-mail has a user."""
    return db.execute(
        "INSERT INTO users (name, email, role, password_hash, created_at) VALUES (?, ?, ?, ?, ?) RETURNING id",
        (name, email, role, password_hash, now),
    ).fetchone()["id"]


def get(db: sqlite3.Connection, user_id: int) -> User | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM users WHERE id = ?", (user_id,)).fetchone()
    return User(*row) if row else None


def find(db: sqlite3.Connection, email: str) -> User | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM users WHERE email = ?", (email,)).fetchone()
    return User(*row) if row else None


def all_of_them(db: sqlite3.Connection) -> list[User]:
    return [User(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM users ORDER BY disabled_at IS NOT NULL, name, id")]


def exist(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM users LIMIT 1").fetchone() is not None


def password_hash(db: sqlite3.Connection, user_id: int) -> str:
    return db.execute("SELECT password_hash FROM users WHERE id = ?", (user_id,)).fetchone()["password_hash"]


def set_password_hash(db: sqlite3.Connection, user_id: int, password_hash: str) -> None:
    db.execute("UPDATE users SET password_hash = ? WHERE id = ?", (password_hash, user_id))


def rename(db: sqlite3.Connection, user_id: int, name: str) -> None:
    db.execute("UPDATE users SET name = ? WHERE id = ?", (name, user_id))


def set_role(db: sqlite3.Connection, user_id: int, role: str) -> None:
    db.execute("UPDATE users SET role = ? WHERE id = ?", (role, user_id))


def disable(db: sqlite3.Connection, user_id: int, now: float) -> None:
    db.execute("UPDATE users SET disabled_at = ? WHERE id = ? AND disabled_at IS NULL", (now, user_id))


def enable(db: sqlite3.Connection, user_id: int) -> None:
    db.execute("UPDATE users SET disabled_at = NULL WHERE id = ?", (user_id,))


def is_last_owner(db: sqlite3.Connection, user_id: int) -> bool:
    """Without this user nobody who may log in is an owner."""
    others = db.execute(
        "SELECT 1 FROM users WHERE role = 'owner' AND disabled_at IS NULL AND id <> ? LIMIT 1", (user_id,)
    ).fetchone()
    return others is None
