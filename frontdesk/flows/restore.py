"""Reading a backup back: everything is unpacked, checked and brought up to date in a folder of its own before anything is swapped."""

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from frontdesk.errors import FrontdeskError
from frontdesk.flows import backup, erasing_again
from frontdesk.flows.backup import FULL, Manifest
from frontdesk.settings import Settings
from frontdesk.store import aftermath, audit, database, installation, snapshot

CHUNK_BYTES = 1 << 20


class Damaged(FrontdeskError):
    """A backup that is not what was written."""

    def __init__(self, path: Path, reason: str):
        super().__init__(f"{path} is damaged: {reason}; nothing was changed. Take an older backup")


@dataclass(frozen=True, slots=True)
class Restored:
    """`aside`: the folder that has what was there. `sends` and `answers`: how many were left to people.

    `erased`: people who were erased after the backup was made, and now again. `of_another_key`: erasures that only their SECRET_KEY can repeat.
    """

    manifest: Manifest
    aside: Path
    sends: int
    answers: int
    erased: int
    of_another_key: int


def restore(settings: Settings, path: Path, now: float, *, as_it_stood: bool = False) -> Restored:
    """Put a backup in place of what is in DATA_DIR.

    What it was about to send and to answer may have happened after it was made, so that is left to people; `as_it_stood`: it goes on.
    """
    with installation.taken(settings), _said_in_words(settings.data_dir):
        staging = Path(tempfile.mkdtemp(prefix=installation.STAGING, dir=settings.data_dir))
        manifest = unpack(settings, path, staging)
        staged = replace(settings, data_dir=staging)
        sends, answers = (0, 0) if as_it_stood else _leave_to_people(staged, now)
        erased, of_another_key = erasing_again.repeat(settings, staged, path)
        _record(settings, staged, manifest, path, now)
        os.rename(staging / backup.SETTINGS, staging / installation.SETTINGS_OF_BACKUP)
        for name in installation.FOLDERS:
            (staging / name).mkdir(exist_ok=True, mode=0o700)
        _sync_tree(staging)
        aside = _unused(settings.data_dir / time.strftime("before-restore-%Y%m%d-%H%M%S", time.gmtime(now)))
        installation.swap_in(settings, staging, aside)
    return Restored(manifest, aside, sends, answers, erased, of_another_key)


def _unused(folder: Path) -> Path:
    names = (folder, *(folder.with_name(f"{folder.name}-{n}") for n in range(2, 1000)))
    return next(name for name in names if not name.exists())


def _leave_to_people(staged: Settings, now: float) -> tuple[int, int]:
    with closing(database.connect(staged)) as db, database.transaction(db):
        return aftermath.leave_to_people(db, now)


def _record(settings: Settings, staged: Settings, manifest: Manifest, path: Path, now: float) -> None:
    """With what was recorded since the backup, as far as the database that goes aside can be read."""
    newer = aftermath.audit_since(settings.database_path, manifest.made_at)
    with closing(database.connect(staged)) as db, database.transaction(db):
        audit.carry_over(db, newer)
        audit.record(db, "restored", None, now, file=path.name, made_at=int(manifest.made_at))


def drill(settings: Settings, path: Path) -> Manifest:
    """Everything that a restore does short of the swap, in a folder that is gone afterwards."""
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _said_in_words(settings.data_dir), tempfile.TemporaryDirectory(prefix="drill.", dir=settings.data_dir) as folder:
        return unpack(settings, path, Path(folder))


def newest(settings: Settings) -> Path:
    """The newest nightly backup."""
    if settings.backup_dir is None:
        raise FrontdeskError("BACKUP_DIR is empty; set it to have a backup every night, or name a file")
    found = backup.kept(settings.backup_dir)
    if not found:
        raise FrontdeskError(f"no nightly backup is in {settings.backup_dir} yet; make one by hand (bin/frontdesk backup FILE) and name it")
    return found[-1]


def unpack(settings: Settings, path: Path, folder: Path) -> Manifest:
    """The parts of a backup as files in `folder`, each checked, the database at this version's schema. Raises Damaged."""
    _check_room(path, folder)
    manifest = _unpack_parts(path, folder)
    _check_schema(path, manifest, folder)
    try:
        snapshot.check(folder / backup.DATABASE)
        counts = snapshot.counts_of(folder / backup.DATABASE)
    except snapshot.Unsound as error:
        raise Damaged(path, f"SQLite finds '{error}'") from None
    if counts != manifest.counts:
        raise Damaged(path, "its database does not hold as many rows as were written")
    database.migrate(replace(settings, data_dir=folder))
    return manifest


@contextmanager
def _said_in_words(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise FrontdeskError(f"there is no room in {folder} to unpack the backup; make room. Nothing was changed") from None
        raise


def _check_room(path: Path, folder: Path) -> None:
    try:
        wanted = path.stat().st_size
    except OSError as error:
        raise FrontdeskError(f"{path} cannot be read ({error.strerror}); name a file that bin/frontdesk backup made") from None
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise FrontdeskError(f"there is no room in {folder}: {wanted / 1e6:.0f} MB are wanted, {free / 1e6:.0f} MB are free. Nothing was changed")


def _unpack_parts(path: Path, folder: Path) -> Manifest:
    found: dict[str, list] = {}
    texts: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for entry in tar:
                source = tar.extractfile(entry) if _is_ours(entry) else None
                if source is None:
                    raise Damaged(path, "it has a part that no backup has")
                if entry.name in (backup.MANIFEST, backup.SEAL):
                    texts[entry.name] = source.read(entry.size)
                else:
                    found[entry.name] = _unpack_part(source, folder / entry.name)
    except (tarfile.TarError, EOFError, ValueError, UnicodeError, OverflowError) as error:
        raise Damaged(path, f"it is no whole tar file ({error})") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise Damaged(path, "it has a part twice") from None
    except PermissionError as error:
        raise FrontdeskError(f"{error.filename} may not be opened by this user; run this as the owner of {folder.parent}") from None
    manifest = _read_manifest(path, texts)
    wrong = sorted(name for name in found.keys() | manifest.parts.keys() if found.get(name) != manifest.parts.get(name))
    if wrong:
        raise Damaged(path, f"{wrong[0]} is not as it was written" + (f", nor {len(wrong) - 1} more" if wrong[1:] else ""))
    return manifest


def _is_ours(entry: tarfile.TarInfo) -> bool:
    """Never a path that leads out of the folder, whoever made the file."""
    if not entry.isreg() or "\0" in entry.name:
        return False
    parts = PurePosixPath(entry.name).parts
    if parts[:1] and parts[0] in installation.FOLDERS:
        return len(parts) > 1 and ".." not in parts and not entry.name.startswith("/")
    return entry.name in (backup.DATABASE, backup.SETTINGS, backup.SECRET_KEY, backup.MANIFEST, backup.SEAL)


def _unpack_part(source: BinaryIO, target: Path) -> list:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest, size = hashlib.sha256(), 0
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            size += file.write(chunk)
    return [size, digest.hexdigest()]


def _read_manifest(path: Path, texts: dict[str, bytes]) -> Manifest:
    if backup.MANIFEST not in texts or backup.SEAL not in texts:
        raise Damaged(path, "its end is missing")
    if hashlib.sha256(texts[backup.MANIFEST]).hexdigest().encode() != texts[backup.SEAL]:
        raise Damaged(path, "its manifest is not as it was written")
    read = json.loads(texts[backup.MANIFEST])
    if read["format"] > backup.FORMAT:
        raise FrontdeskError(f"{path} was made by a newer Frontdesk; bring this one up to date first. Nothing was changed")
    return Manifest(**read)


def _check_schema(path: Path, manifest: Manifest, folder: Path) -> None:
    newer = [name for name in manifest.schema if name not in snapshot.known_schema()]
    if newer:
        raise FrontdeskError(
            f"{path} was made by a newer Frontdesk (its database knows {newer[-1]}); bring this one up to date first. Nothing was changed"
        )


def _sync_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            installation.sync(Path(parent, name))
        installation.sync(Path(parent))
