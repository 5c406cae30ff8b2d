"""Who was erased, as keyed hashes in a file of its own: no backup holds it, so a restore knows whom it must not bring back.

It lies in DATA_DIR, where a restore leaves it, and beside the nightly backups, for a machine that has nothing else. A name's hash
is an HMAC under SECRET_KEY: without that the file says nothing of anybody.
"""

import contextlib
import hashlib
import hmac
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from frontdesk.settings import Settings
from frontdesk.store import installation

log = logging.getLogger(__name__)

NAME = "erased-people.jsonl"


@dataclass(frozen=True, slots=True)
class Line:
    """`key`: tells one SECRET_KEY from another."""

    client_id: int
    contact_id: int
    erased_at: float
    names: tuple[str, ...]
    key: str


def hashes(settings: Settings, client_id: int, names: Iterable[str]) -> list[str]:
    secret = settings.derived_secret("names of erased people").encode()
    return [hmac.new(secret, f"{client_id}\0{name}".encode(), hashlib.sha256).hexdigest()[:32] for name in names]


def key_of(settings: Settings) -> str:
    return settings.derived_secret("backup fingerprint")[:16]


def write(settings: Settings, lines: Iterable[Line]) -> None:
    """Add what is not there yet, in both places. Where the backups are, as far as that can be written now."""
    given = list(lines)
    _add(settings.data_dir / NAME, given)
    if settings.backup_dir and settings.backup_dir.is_dir():
        try:
            _add(settings.backup_dir / NAME, given)
        except OSError as error:
            log.warning("the journal of erasures could not be written beside the backups (%s); the next night tries again", error.strerror)


def read(*folders: Path) -> list[Line]:
    """Of several places each erasure once, oldest first. Lines that were cut short are left out."""
    found: dict[tuple, Line] = {}
    for folder in folders:
        for line in _lines(folder / NAME):
            found[line.client_id, line.contact_id, line.erased_at, line.key] = line
    return sorted(found.values(), key=lambda line: line.erased_at)


def forget(settings: Settings, before: float) -> None:
    """Erasures from before then are over: no backup is as old."""
    for folder in {settings.data_dir, settings.backup_dir or settings.data_dir}:
        path = folder / NAME
        kept = [line for line in _lines(path) if line.erased_at >= before]
        if len(kept) < len(_lines(path)):
            draft = path.with_suffix(".draft")
            draft.unlink(missing_ok=True)
            _add(draft, kept)
            os.replace(draft, path)
            installation.sync(folder)


def _add(path: Path, lines: list[Line]) -> None:
    known = {(line.client_id, line.contact_id, line.erased_at, line.key) for line in _lines(path)}
    new = [line for line in lines if (line.client_id, line.contact_id, line.erased_at, line.key) not in known]
    if not new and path.exists():
        return
    text = "".join(json.dumps({name: getattr(line, name) for name in Line.__slots__}) + "\n" for line in new)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.write(b"\n" if _was_cut_short(path) else b"")
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    installation.sync(path.parent)


def _was_cut_short(path: Path) -> bool:
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return size > 0 and file.read(1) != b"\n"


def _lines(path: Path) -> list[Line]:
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for text in path.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError, TypeError):
                values = json.loads(text)
                found.append(Line(**{**values, "names": tuple(values["names"])}))
    return found
