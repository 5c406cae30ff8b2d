"""A backup: one tar file with the database, the files and the settings, made while everything runs. flows/restore.py reads it.

Its last part is the manifest with the size and SHA-256 of every other one, so a file that was cut short has none. Secrets stay out unless
they are asked for; the database holds access tokens only as encrypted under SECRET_KEY, whose fingerprint the manifest has.
"""

import errno
import fcntl
import hashlib
import io
import json
import logging
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from frontdesk import settings as settings_module
from frontdesk.errors import FrontdeskError
from frontdesk.flows.context import Context
from frontdesk.settings import Settings
from frontdesk.store import installation, snapshot

log = logging.getLogger(__name__)

FORMAT = 1
DATABASE, SETTINGS, SECRET_KEY, MANIFEST, SEAL = "frontdesk.db", "settings.env", "secret_key", "manifest.json", "manifest.sha256"
PARTIAL = ".partial"
NIGHTLY = re.compile(r"frontdesk-\d{8}-\d{6}\.tar")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Stopped(FrontdeskError):
    """The process was asked to end; nothing of the backup is left."""


@dataclass
class Manifest:
    """`schema`: names of migrations, oldest first. `parts`: name → [bytes, SHA-256]. `key`: tells one SECRET_KEY from another.

    `damage`: what SQLite found wrong with the database itself, '' for nothing.
    """

    format: int
    made_at: float
    schema: list[str]
    key: str
    with_secrets: bool
    damage: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    parts: dict[str, list] = field(default_factory=dict)


def write(
    settings: Settings, path: Path, now: float, *, with_secrets: bool = False, going_on: Callable[[], None] = lambda: None
) -> Manifest:
    """Make the file at `path`; it is there whole or not at all. `going_on` is called often and may raise to give up."""
    if not settings.database_path.exists():
        raise FrontdeskError(f"there is nothing to back up: {settings.database_path} is not there; set DATA_DIR to where Frontdesk's data is")
    with _said_in_words(path):
        _check_room(settings, path)
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent)  # mode 0600
        copied = Path(f"{draft}.db")
        try:
            snapshot.copy(settings, copied, going_on)
            with os.fdopen(descriptor, "wb") as file:
                manifest = _write_tar(settings, file, copied, now, with_secrets, going_on)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
            installation.sync(path.parent)
        finally:
            for left in (draft, copied, Path(f"{copied}-journal")):
                Path(left).unlink(missing_ok=True)
    return manifest


def nightly(context: Context) -> Path | None:
    """A backup in BACKUP_DIR; then the oldest go, unless the database is damaged. None where none is wanted or one is being made."""
    folder, now = context.settings.backup_dir, context.now()
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise FrontdeskError(f"BACKUP_DIR {folder} cannot be made ({error.strerror}); set it to a folder this user may write to") from None
    with _only_one(folder) as alone:
        if not alone:
            return None
        for left in folder.glob(f".frontdesk-*{PARTIAL}*"):  # of one that was killed
            left.unlink(missing_ok=True)
        path = folder / time.strftime("frontdesk-%Y%m%d-%H%M%S.tar", time.gmtime(now))
        manifest = write(context.settings, path, now, going_on=lambda: _heed(context))
        if manifest.damage:
            log.error("backup %s: the database is DAMAGED (%s); older backups are kept. Restore the newest sound one", path.name, manifest.damage)
            return path
        rotate(folder, context.settings.backup_keep)
        log.info("backup %s: %s bytes, %s messages", path.name, path.stat().st_size, manifest.counts["messages"])
    return path


def kept(folder: Path) -> list[Path]:
    """The nightly backups of a folder, oldest first."""
    return sorted(path for path in folder.glob("frontdesk-*.tar") if NIGHTLY.fullmatch(path.name))


def rotate(folder: Path, keep: int) -> None:
    for path in kept(folder)[:-keep]:
        path.unlink(missing_ok=True)


def key_fingerprint(settings: Settings) -> str:
    return settings.derived_secret("backup fingerprint")[:16]


def _heed(context: Context) -> None:
    if context.stopping.is_set():
        raise Stopped("the backup was given up, for this process must end; the next night makes one")


@contextmanager
def _only_one(folder: Path) -> Iterator[bool]:
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(lock)


@contextmanager
def _said_in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise FrontdeskError(f"there is no room for {path}; make room, or choose another disk. Nothing of it was left there") from None
        raise FrontdeskError(f"{path} cannot be written ({error.strerror or error}); choose a folder this user may write to") from None
    except sqlite3.Error as error:
        if "full" in str(error):
            raise FrontdeskError(f"there is no room for {path}; make room, or choose another disk. Nothing of it was left there") from None
        raise FrontdeskError(f"the database cannot be copied ({error}); run: bin/frontdesk doctor") from None


def _check_room(settings: Settings, path: Path) -> None:
    """Before minutes of copying: the database is there twice for a while."""
    files = sum(file.stat().st_size for _, file in _files(settings))
    wanted = 2 * settings.database_path.stat().st_size + files
    free = shutil.disk_usage(path.parent).free
    if free < wanted:
        raise FrontdeskError(f"there is no room for {path}: it wants {wanted / 1e6:.0f} MB while it is made, {free / 1e6:.0f} MB are free")


# --- the tar file -----------------------------------------------------------------------------------------------------------------


def _write_tar(
    settings: Settings, file: BinaryIO, copied: Path, now: float, with_secrets: bool, going_on: Callable[[], None]
) -> Manifest:
    manifest = Manifest(FORMAT, now, [], key_fingerprint(settings), with_secrets)
    try:
        snapshot.check(copied)
        manifest.schema, manifest.counts = snapshot.schema_of(copied), snapshot.counts_of(copied)
    except snapshot.Unsound as error:
        manifest.damage = str(error)
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add_file(tar, manifest, DATABASE, copied, going_on)
        for name, path in _files(settings):
            _add_file(tar, manifest, name, path, going_on)
        _add(tar, manifest, SETTINGS, _env_file(settings, with_secrets))
        if with_secrets:
            _add(tar, manifest, SECRET_KEY, settings.secret_key.encode())
        text = json.dumps(asdict(manifest), indent=1).encode()
        _add(tar, manifest, MANIFEST, text)
        _add(tar, manifest, SEAL, hashlib.sha256(text).hexdigest().encode())
    return manifest


def _files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Name in the backup and path of every file that rows speak of; drafts, which are not whole, are hidden or called so."""
    for kept in installation.FOLDERS:
        for folder, folders, names in os.walk(settings.data_dir / kept):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(folder, name)
                if not name.startswith((".", "draft.")) and path.is_file() and not path.is_symlink():
                    yield path.relative_to(settings.data_dir).as_posix(), path


def _add_file(tar: tarfile.TarFile, manifest: Manifest, name: str, path: Path, going_on: Callable[[], None]) -> None:
    try:
        source = open(path, "rb")
    except FileNotFoundError:  # erased since it was listed
        return
    with source:
        size = os.fstat(source.fileno()).st_size
        _add_stream(tar, manifest, name, _Hashed(source, going_on), size)


def _add(tar: tarfile.TarFile, manifest: Manifest, name: str, content: bytes) -> None:
    _add_stream(tar, manifest, name, _Hashed(io.BytesIO(content)), len(content))


def _add_stream(tar: tarfile.TarFile, manifest: Manifest, name: str, source: "_Hashed", size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, int(manifest.made_at), 0o600
    tar.addfile(entry, source)
    manifest.parts[name] = [size, source.digest.hexdigest()]


class _Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, source: BinaryIO, going_on: Callable[[], None] = lambda: None):
        self.source, self.going_on, self.digest = source, going_on, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        self.going_on()
        chunk = self.source.read(size)
        self.digest.update(chunk)
        return chunk


def _env_file(settings: Settings, with_secrets: bool) -> bytes:
    lines = [f"{key}={_quoted(value)}" for key, value in settings_module.written(settings, with_secrets).items()]
    return ("\n".join(["# The settings of this backup that are not the defaults.", *lines]) + "\n").encode()


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
