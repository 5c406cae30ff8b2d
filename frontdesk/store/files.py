"""Files under DATA_DIR/media, each named by the SHA-256 of its content: one content is one file, whoever keeps it.

A file is written under a name of its own, synced, and renamed when it is whole, so nothing half ever has a good name. Its writer
holds a lock (flock) on it, which dies with its process: what lies there unlocked is a leftover. store/media.py says who
uses a file; keep() and forget() run in its transaction, so that no file goes while a row for it is being written.
"""

import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = ".unfinished"  # hidden: backups leave it out


class Unfinished:
    """A file being written. `head` is its beginning, at most `head_bytes` of it."""

    def __init__(self, file, path: Path, head_bytes: int):
        self._file, self._path, self._head_bytes = file, path, head_bytes
        self._hash = hashlib.sha256()
        self.head, self.size_bytes = b"", 0

    def write(self, data: bytes) -> int:
        if len(self.head) < self._head_bytes:
            self.head += bytes(data[: self._head_bytes - len(self.head)])
        self._hash.update(data)
        self.size_bytes += len(data)
        return self._file.write(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def sync(self) -> None:
        """To the disk itself: after this a power cut loses nothing. Takes its time, so before any transaction."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def keep(self, folder: Path) -> Path:
        """Give it its good name. A file of that name has the same content, and is replaced: should it have been damaged, it is mended."""
        path = path_of(folder, self.sha256)
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            _sync_folder(folder)
        os.replace(self._path, path)
        _sync_folder(path.parent)
        return path


def path_of(folder: Path, sha256: str) -> Path:
    return folder / sha256[:2] / sha256


def head(folder: Path, sha256: str, most_bytes: int) -> bytes:
    """The beginning of a kept file; empty where it is gone."""
    try:
        with open(path_of(folder, sha256), "rb") as file:
            return file.read(most_bytes)
    except FileNotFoundError:
        return b""


@contextmanager
def unfinished(folder: Path, head_bytes: int) -> Iterator[Unfinished]:
    """A new file in `folder`, gone when the block ends without keep()."""
    place = folder / UNFINISHED
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, file = _locked_file(place)
    with file:
        try:
            yield Unfinished(file, path, head_bytes)
        finally:
            path.unlink(missing_ok=True)


def _locked_file(place: Path):
    while True:
        path = place / uuid.uuid4().hex
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return path, file
        file.close()  # taken for a leftover before it was locked


def forget_leftovers(folder: Path) -> int:
    """Remove what writers that died have left. Files that somebody writes at this moment stay."""
    removed = 0
    for path in _listed(folder / UNFINISHED):
        try:
            with open(path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except (BlockingIOError, FileNotFoundError):
            continue
        removed += 1
    return removed


def beginnings(folder: Path) -> list[str]:
    """The first two letters of the hashes that are kept: a folder each."""
    return sorted(path.name for path in _listed(folder) if path.name != UNFINISHED and path.is_dir())


def kept(folder: Path, beginning: str) -> list[str]:
    return [path.name for path in _listed(folder / beginning)]


def forget(folder: Path, hashes: Iterable[str]) -> None:
    for sha256 in hashes:
        path_of(folder, sha256).unlink(missing_ok=True)


def _listed(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
