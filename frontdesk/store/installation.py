"""Who may touch the files of DATA_DIR: every process of an installation holds it, a restore takes it for itself alone.

A restore prepares everything in a folder of its own, writes down that it is complete, and only then swaps by renaming. One that is killed
before that line has changed nothing; one that is killed after it is finished by whoever comes next, before anything else starts.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from frontdesk.errors import FrontdeskError
from frontdesk.settings import Settings

LOCK = "in-use.lock"
MARKER = "restore-under-way.json"
STAGING = "restoring."
SETTINGS_OF_BACKUP = "settings-of-the-backup.env"

# The folders of DATA_DIR that hold what rows speak of; each file comes there by a rename.
FOLDERS = ("media", "knowledge", "uploads")

# In this order: a log must never lie beside a database that it is not of.
SWAPPED = ("frontdesk.db-wal", "frontdesk.db-shm", "frontdesk.db", *FOLDERS, "secret_key", SETTINGS_OF_BACKUP)

_held: dict[Path, int] = {}


def hold(settings: Settings) -> int:
    """Held until this process and those it forks have ended. Raises FrontdeskError while a restore is under way."""
    if settings.data_dir not in _held:
        lock = _open(settings)
        _finish_interrupted(settings, lock)
        if not _lock(lock, fcntl.LOCK_SH):
            os.close(lock)
            raise FrontdeskError(f"a restore into {settings.data_dir} is under way; start again when it is over")
        _held[settings.data_dir] = lock
    return _held[settings.data_dir]


@contextmanager
def taken(settings: Settings) -> Iterator[None]:
    """Nobody else uses the files meanwhile. Raises FrontdeskError where an installation runs on them."""
    lock = _open(settings)
    try:
        if not _lock(lock, fcntl.LOCK_EX):
            raise FrontdeskError(f"Frontdesk is running on {settings.data_dir}; stop it first, then run this again")
        _finish_interrupted(settings, lock)
        for left in settings.data_dir.glob(f"{STAGING}*"):
            shutil.rmtree(left)
        yield
    finally:
        os.close(lock)


def swap_in(settings: Settings, staging: Path, aside: Path) -> None:
    """What is in `staging` takes its place, what was there goes `aside`. Both are folders in DATA_DIR; `taken` is held."""
    draft = settings.data_dir / f"{MARKER}.draft"
    draft.write_text(json.dumps({"staging": staging.name, "aside": aside.name}))
    sync(draft)
    os.replace(draft, settings.data_dir / MARKER)
    sync(settings.data_dir)
    _swap(settings.data_dir)


def sync(path: Path) -> None:
    """A file or a folder: what was written to it survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(settings: Settings) -> int:
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.open(settings.data_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600)


def _lock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _finish_interrupted(settings: Settings, lock: int) -> None:
    if (settings.data_dir / MARKER).exists() and _lock(lock, fcntl.LOCK_EX):
        _swap(settings.data_dir)


def _swap(data_dir: Path) -> None:
    """May be repeated from any point: what still lies in the staging folder has not taken its place yet."""
    try:
        marker = json.loads((data_dir / MARKER).read_text())
    except FileNotFoundError:  # another one finished it meanwhile
        return
    staging, aside = data_dir / marker["staging"], data_dir / marker["aside"]
    aside.mkdir(mode=0o700, exist_ok=True)
    database_waits = (staging / "frontdesk.db").exists()
    for name in SWAPPED:
        place, comes = data_dir / name, (staging / name).exists()
        goes = comes or (database_waits and name.startswith("frontdesk.db"))
        if goes and place.exists() and not (aside / name).exists():
            os.rename(place, aside / name)
        if comes:
            os.rename(staging / name, place)
        sync(data_dir)
    sync(aside)
    shutil.rmtree(staging, ignore_errors=True)
    os.unlink(data_dir / MARKER)
    sync(data_dir)
