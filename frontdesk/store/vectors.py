"""Vectors in SQLite: sqlite-vec's functions on every connection, and the forms that vectors are kept in.

A vector is kept twice: as its signs, one bit for each dimension, which a search looks through in one place, and whole, for the
exact distance of the few hundred that come nearest.
"""

import ctypes
import logging
import sqlite3
import struct
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

log = logging.getLogger(__name__)


def prepare() -> None:
    """Before a connection is opened."""
    _extension()


def load(db: sqlite3.Connection) -> None:
    """Give this connection sqlite-vec, where it can be had: see `available`."""
    path = _extension()
    if path is None:
        return
    try:
        if hasattr(db, "enable_load_extension"):
            db.enable_load_extension(True)
            db.load_extension(path)
            db.enable_load_extension(False)
    except sqlite3.Error as error:
        log.debug("sqlite-vec cannot be loaded: %s", error)


def available(db: sqlite3.Connection) -> bool:
    """Whether this connection knows distances. Without them searches go by words alone."""
    try:
        db.execute("SELECT vec_version()")
    except sqlite3.OperationalError:
        return False
    return True


@cache
def _extension() -> str | None:
    """Where sqlite-vec lies. A Python whose sqlite3 cannot load extensions (pyenv's) is given it for all connections to come."""
    found = find_spec("sqlite_vec")
    if found is None:
        return None
    path = str(Path(found.origin).with_name("vec0"))
    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        _register(path)
    return path


def _register(path: str) -> None:
    """By SQLite's own C function, found through the module that uses it, so that it is the same SQLite for certain."""
    import _sqlite3

    try:
        extension = ctypes.CDLL(f"{path}.so")
        ctypes.CDLL(_sqlite3.__file__).sqlite3_auto_extension(ctypes.cast(extension.sqlite3_vec_init, ctypes.c_void_p))
    except (OSError, AttributeError) as error:
        log.debug("sqlite-vec cannot be registered: %s", error)


def packed(vector: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(vector)}f", *vector)


def bits(vector: Sequence[float]) -> bytes:
    """The signs, as sqlite-vec packs them: the first dimension is the lowest bit. Missing dimensions of the last byte are 0."""
    found = 0
    for place, value in enumerate(vector):
        if value > 0:
            found |= 1 << place
    return found.to_bytes((len(vector) + 7) // 8, "little")
