"""Files of recipients as records: which characters, which delimiter, and reading on from any record in flat memory.

A place is the offset in bytes of a record's first line and that line's number. It is all that a reader needs to go on from.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from frontdesk.errors import UnreadableFile

SAMPLE_BYTES = 64 * 1024
BLOCK_BYTES = 1024 * 1024
LONGEST_LINE = 32_000  # characters; a longer one is no recipient's
LONGEST_RECORD_LINES = 100  # a quote that is open for longer was never meant to be closed
SHOWN_CHARACTERS = 300  # of a line that is reported

DELIMITERS = ("\t", ";", ",", "|")
_PHONE_LIKE = re.compile(r"[\s'\"=]*(?:\+|00)?[\d\s().\-/\u00a0]{6,24}[\s'\"]*")

_DATE = re.compile(r"\s*(\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4})\b.*")

_MARKS = [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")]
_NOT_TEXT = {b"PK\x03\x04": "an Excel workbook or a zip archive", b"\xd0\xcf\x11\xe0": "an old Excel workbook", b"%PDF": "a PDF"}


@dataclass(frozen=True, slots=True)
class Format:
    """How to read a file. `start`: where its first record begins, in bytes; `first_line`: that one's number."""

    encoding: str
    delimiter: str
    start: int
    first_line: int = 1


@dataclass(frozen=True, slots=True)
class Record:
    """`problem`: why its fields cannot be known. `next_offset`, `next_line`: the place after it."""

    line: int
    fields: list[str]
    text: str
    next_offset: int
    next_line: int
    problem: str = ""


# --- which characters, which delimiter ------------------------------------------------------------------------------------------


def recognise(path: Path) -> Format:
    """Raises `UnreadableFile`. Reads the whole file once: UTF-8 that is broken near its end is no UTF-8."""
    with path.open("rb") as file:
        beginning = file.read(SAMPLE_BYTES)
    if not beginning.strip():
        raise UnreadableFile("the file is empty")
    for mark, kind in _NOT_TEXT.items():
        if beginning.startswith(mark):
            raise UnreadableFile(f"this is {kind}; save it as CSV and upload that")
    encoding, start = _encoding(path, beginning)
    sample = beginning[start:].decode(encoding, "ignore")
    first, _, rest = sample.partition("\n")
    if told := re.fullmatch(r"sep=(.)\r?", first, re.IGNORECASE):  # Excel's own line
        return Format(encoding, told[1], start + len(f"{first}\n".encode(encoding)), first_line=2)
    return Format(encoding, _delimiter(sample, whole=len(beginning) < SAMPLE_BYTES), start)


def _encoding(path: Path, beginning: bytes) -> tuple[str, int]:
    for mark, encoding in _MARKS:
        if beginning.startswith(mark):
            _all_decodes(path, encoding) or _broken(encoding)
            return encoding, len(mark)
    if beginning.count(b"\0") > len(beginning) // 4:  # every other byte of Western text in UTF-16
        encoding = "utf-16-be" if beginning[0] == 0 else "utf-16-le"
        _all_decodes(path, encoding) or _broken(encoding)
        return encoding, 0
    if b"\0" in beginning:
        raise UnreadableFile("this is no text file; save the list as CSV and upload that")
    return next(encoding for encoding in ("utf-8", "cp1252", "latin-1") if _all_decodes(path, encoding)), 0


def _broken(encoding: str) -> None:
    raise UnreadableFile(f"the file says that it is {encoding.upper()[:6].rstrip('-')} and is not; save it as CSV (UTF-8)")


def _all_decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _delimiter(sample: str, whole: bool) -> str:
    """The one that leaves a phone number standing alone in most lines, then the one whose lines have equally many fields."""
    lines = sample.splitlines()
    lines = (lines if whole or len(lines) == 1 else lines[:-1])[:50]
    return max(DELIMITERS, key=lambda delimiter: _fit(lines, delimiter))


def _fit(lines: list[str], delimiter: str) -> tuple[int, int]:
    rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
    with_phone = sum(any(map(looks_like_phone, row)) for row in rows)
    widths = [len(row) for row in rows if len(row) > 1]
    return with_phone, max(map(widths.count, widths), default=0)


def looks_like_phone(text: str) -> bool:
    return bool(_PHONE_LIKE.fullmatch(text)) and not _DATE.fullmatch(text) and 6 <= sum(map(str.isdigit, text)) <= 15


# --- records --------------------------------------------------------------------------------------------------------------------


def records(path: Path, format: Format, offset: int | None = None, line: int | None = None) -> Iterator[Record]:
    """From this place on, or from the first record. Blank lines are passed over."""
    with path.open("rb") as file:
        lines = _Lines(file, format, offset or format.start, line or format.first_line)
        while (record := _next(lines, format.delimiter)) is not None:
            if record.problem or any(field.strip() for field in record.fields):
                yield record


def _next(lines: "_Lines", delimiter: str) -> Record | None:
    lines.begin_record()
    try:
        fields = next(csv.reader(lines, delimiter=delimiter), None)
    except (_TooMuch, csv.Error):
        return _given_up(lines)
    if fields is None:
        return None
    if len(lines.taken) > 1 and not _is_well_quoted(lines.taken, delimiter):
        return _given_up(lines)
    text = "".join(lines.taken).rstrip("\r\n")[:SHOWN_CHARACTERS]
    return Record(lines.record_line, fields, text, lines.offset, lines.line)


def _given_up(lines: "_Lines") -> Record:
    """The first line alone is bad: reading goes on after it, so that one stray quote costs one recipient."""
    text = lines.taken[0]
    problem = "the line is too long" if len(text) >= LONGEST_LINE else "a quotation mark is opened and not closed"
    lines.back_to_second()
    return Record(lines.record_line, [], text.rstrip("\r\n")[:SHOWN_CHARACTERS], lines.offset, lines.line, problem)


def _is_well_quoted(taken: list[str], delimiter: str) -> bool:
    """Lines may be one record only where they really are: two stray quotes must not swallow the recipients between them."""
    try:
        return len(list(csv.reader(taken, delimiter=delimiter, strict=True))) == 1
    except csv.Error:
        return False


class _TooMuch(Exception):
    """A record that is longer than any can be."""


class _Lines:
    """The file's lines, with the place after the last one taken. `taken`: those of the record that is being read."""

    def __init__(self, file: io.BufferedReader, format: Format, offset: int, line: int):
        self.file, self.encoding = file, format.encoding
        self._go_to(offset, line)

    def _go_to(self, offset: int, line: int) -> None:
        self.file.seek(offset)
        # Untranslated line ends, so that a line's length in bytes is known.
        self.text = io.TextIOWrapper(_Open(self.file), self.encoding, newline="")
        self.offset, self.line = offset, line
        self.begin_record()

    def begin_record(self) -> None:
        self.taken: list[str] = []
        self.record_offset, self.record_line = self.offset, self.line

    def back_to_second(self) -> None:
        self._go_to(self.record_offset + self.first_bytes, self.record_line + 1)
        self.record_line -= 1

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        text = self.text.readline(LONGEST_LINE)
        if not text:
            raise StopIteration
        if len(self.taken) >= LONGEST_RECORD_LINES:
            raise _TooMuch
        size = self._bytes(text)
        if len(text) == LONGEST_LINE:
            size += self._skip_rest(text)
        if not self.taken:
            self.first_bytes = size
        self.taken.append(text)
        self.offset, self.line = self.offset + size, self.line + 1
        if len(text) == LONGEST_LINE:
            raise _TooMuch
        return text

    def _bytes(self, text: str) -> int:
        return len(text) if text.isascii() and not self.encoding.startswith("utf-16") else len(text.encode(self.encoding))

    def _skip_rest(self, text: str) -> int:
        size = 0
        while text and not text.endswith(("\n", "\r")):
            text = self.text.readline(LONGEST_LINE)
            size += self._bytes(text)
        return size


class _Open(io.RawIOBase):
    """The file for a reader that is thrown away; the file itself stays open."""

    def __init__(self, file: io.BufferedReader):
        self.file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return self.file.readinto(buffer)
