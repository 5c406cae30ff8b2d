"""A document's text: what a file says, as sections with their place, and what in it could not be read.

A file is read in a process of its own (__main__.py) with little memory, a deadline, nothing of our environment and no way to
write files: a file made to blow up ends that process and nothing else.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from frontdesk.errors import FrontdeskError
from frontdesk.settings import ROOT

KINDS = {
    ".txt": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".csv": "questions",
    ".tsv": "questions",
}

LARGEST_FILE_BYTES = 32 * 1024 * 1024
MEMORY_BYTES = 400 * 1024 * 1024  # address space, of which Python with its libraries takes a hundred
DEADLINE_SECONDS = 120  # broadcasts wait in the same queue; 1,000 pages take ten
LONGEST_TEXT = 8_000_000  # characters: 1,000 pages of a novel have two million
LONGEST_LINE = 8 * LONGEST_TEXT  # bytes


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of a document under one heading. `headings`: from the outermost in; `page` counts from 1, None where there are none.

    Paragraphs are parted by an empty line.
    """

    headings: tuple[str, ...]
    page: int | None
    text: str


@dataclass(slots=True)
class Extracted:
    """`notes`: what could not be read, each in one line for a person."""

    sections: list[Section] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Unreadable(FrontdeskError):
    """Nothing can be had from this file; the words say why and what helps."""


def kind_of(name: str) -> str:
    """The kind of a file by its name. Raises Unreadable."""
    suffix = Path(name).suffix.lower()
    if suffix not in KINDS:
        raise Unreadable(f"'{suffix or name}' files cannot be read; give one of {', '.join(sorted(KINDS))}")
    return KINDS[suffix]


def extract(
    path: Path,
    kind: str,
    *,
    memory_bytes: int = MEMORY_BYTES,
    deadline_seconds: float = DEADLINE_SECONDS,
    when_read: Callable[[int, int], None] | None = None,
) -> Extracted:
    """What the file at `path` says. `when_read(done, of)` is told of each page. Raises Unreadable."""
    size = path.stat().st_size
    if size > LARGEST_FILE_BYTES:
        raise Unreadable(f"the file has {size // 2**20} MB; {LARGEST_FILE_BYTES // 2**20} MB is the most: split it or leave pictures out")
    command = [sys.executable, "-m", "frontdesk.flows.extraction", kind, str(path), str(memory_bytes), str(int(deadline_seconds) + 1)]
    reader = subprocess.Popen(
        command, cwd=ROOT, env={"PATH": os.defpath, "PYTHONUTF8": "1"}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    too_late = threading.Timer(deadline_seconds, reader.kill)
    too_late.start()
    try:
        found = _read(reader, when_read)
    finally:
        too_late.cancel()
        reader.kill()
        status = reader.wait()
        reader.stdout.close()
    if found is None:
        raise Unreadable(_died_of(status, deadline_seconds))
    if not any(section.text.strip() for section in found.sections):
        raise Unreadable("no text was found in it" + (f" ({found.notes[0]})" if found.notes else ""))
    return found


def _read(reader: subprocess.Popen, when_read: Callable[[int, int], None] | None) -> Extracted | None:
    """What the reader tells, a JSON object on each line; None if it ended before its last one."""
    found, length = Extracted(), 0
    for line in iter(lambda: reader.stdout.readline(LONGEST_LINE), b""):
        try:
            told = json.loads(line)
        except ValueError:
            return None
        match told:
            case {"text": text, "headings": headings, "page": page}:
                length += len(text)
                found.sections.append(Section(tuple(headings), page, text))
            case {"note": note}:
                found.notes.append(note)
            case {"read": [done, of]} if when_read:
                when_read(done, of)
            case {"error": error}:
                raise Unreadable(error)
            case {"end": True}:
                return found
        if length > LONGEST_TEXT:
            raise Unreadable(f"it has more than {LONGEST_TEXT // 10**6} million characters of text; split it")
    return None


def _died_of(status: int, deadline_seconds: float) -> str:
    if status in (-signal.SIGKILL, -signal.SIGXCPU):
        return f"reading it took longer than {deadline_seconds:g} seconds, or more memory than it may; split it or save it anew"
    return "its contents are broken, or made to be unreadable; open it, save it anew and try that file"
