"""Uploaded lists on disk, in DATA_DIR/uploads: there whole or not at all, and gone when they were read."""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

from frontdesk.settings import Settings

FOLDER = "uploads"
STRAY_AFTER_SECONDS = 3600  # an upload that takes longer than this is none


def keep(settings: Settings, public_id: str, stream: BinaryIO) -> tuple[str, int]:
    """The path under DATA_DIR, and the size in bytes."""
    folder = settings.data_dir / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(prefix="draft.", dir=folder)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(stream, file, 1024 * 1024)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        os.rename(draft, folder / public_id)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    return f"{FOLDER}/{public_id}", size


def remove(settings: Settings, file: str | None) -> None:
    if file:
        (settings.data_dir / file).unlink(missing_ok=True)


def remove_strays(settings: Settings, wanted: set[str]) -> None:
    """What a process that died left behind. By the file's own time, so the real clock is right here."""
    folder = settings.data_dir / FOLDER
    if not folder.is_dir():
        return
    for entry in os.scandir(folder):
        if f"{FOLDER}/{entry.name}" not in wanted and time.time() - entry.stat().st_mtime > STRAY_AFTER_SECONDS:
            Path(entry.path).unlink(missing_ok=True)
