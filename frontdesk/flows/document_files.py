"""The texts in files that somebody hands over: one file, a ZIP of them, the rows of a CSV. What cannot be read is told by name."""

import csv
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from frontdesk.flows.refusals import Refused
from frontdesk.flows.documents import LARGEST_BATCH_BYTES, LARGEST_TEXT_BYTES, MOST_ITEMS, TOO_LARGE, Document

NOT_TEXT = "This is not a text file (UTF-8 or UTF-16), nor PDF, DOCX or HTML."

# Read later, by flows/extraction: suffix, its kind, how such a file begins.
READ_LATER = {".pdf": ("pdf", b"%PDF-"), ".docx": ("docx", b"PK"), ".html": ("html", b""), ".htm": ("html", b"")}
LARGEST_FILE_BYTES = 20_000_000
FILE_TOO_LARGE = f"A file has at most {LARGEST_FILE_BYTES} bytes."
# What turns out to be no document was unpacked all the same: a kilobyte of a ZIP can stand for gigabytes.
MOST_UNPACKED_BYTES = 10 * LARGEST_BATCH_BYTES
UNPACKED_IN_STEPS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile unpacks the others whole, whatever their size
NOT_UNDERSTOOD = "It is compressed in a way that is not understood."

# Of a Mac's archive and of folders that versions are kept in.
SKIPPED = ("__MACOSX/", ".")

csv.field_size_limit(LARGEST_TEXT_BYTES)


def read_all(files: Iterable[tuple[str, BinaryIO]], column: str | None, name_column: str | None) -> list[Document]:
    """The documents in files, each with its name. Raises Refused."""
    found: list[Document] = []
    for name, file in files:
        if name.lower().endswith(".zip"):
            found += read_zip(file)
        elif name.lower().endswith(".csv"):
            found += read_csv(file.read(LARGEST_BATCH_BYTES + 1), column, name_column)
        else:
            found.append(read_one(name, file.read(LARGEST_FILE_BYTES + 1)))
    return found


def read_one(name: str, data: bytes) -> Document:
    """`error` is set where it holds no text. `data`: up to LARGEST_FILE_BYTES + 1 bytes of the file."""
    kind, beginning = READ_LATER.get(Path(name).suffix.lower(), ("", b""))
    if kind and len(data) > LARGEST_FILE_BYTES:
        return Document("", name, FILE_TOO_LARGE)
    if kind and data.strip() and beginning in data[:1024]:
        return Document("", name, file_kind=kind, data=data)
    if len(data) > LARGEST_TEXT_BYTES:
        return Document("", name, TOO_LARGE)
    text = text_of(data)
    return Document("", name, NOT_TEXT) if text is None else Document(text, name)


def text_of(data: bytes) -> str | None:
    """None where it is no text."""
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text.replace("\r\n", "\n")


def read_zip(file: BinaryIO) -> list[Document]:
    """Raises Refused. A file in it that cannot be read is one document with an error."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = [one for one in archive.infolist() if not one.is_dir() and not is_skipped(one.filename)]
            if len(members) > MOST_ITEMS:
                raise Refused(422, "invalid", f"A batch has at most {MOST_ITEMS} documents, this archive has {len(members)}.", "file")
            return _members(archive, members)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise Refused(422, "invalid", f"This ZIP cannot be read ({type(error).__name__}).", "file") from None


def is_skipped(name: str) -> bool:
    """Of a ZIP or a folder: what the system keeps there for itself. `name`: with the folders above it."""
    return name.startswith(SKIPPED) or name.rpartition("/")[2].startswith(".")


def _members(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> list[Document]:
    found, left, unpacked = [], LARGEST_BATCH_BYTES, 0
    for member in members:
        name = member.filename.encode("utf-8", "replace").decode()
        why_not = _not_unpacked(name, member)
        document = Document("", name, why_not) if why_not else _member(archive, member, name)
        left -= len(document.text) + len(document.data)
        unpacked += 0 if why_not else member.file_size
        if left < 0 or unpacked > MOST_UNPACKED_BYTES:
            raise Refused(413, "too_large", f"A batch has at most {LARGEST_BATCH_BYTES} bytes.", "file")
        found.append(document)
    return found


def _not_unpacked(name: str, member: zipfile.ZipInfo) -> str | None:
    most, words = (LARGEST_FILE_BYTES, FILE_TOO_LARGE) if Path(name).suffix.lower() in READ_LATER else (LARGEST_TEXT_BYTES, TOO_LARGE)
    if member.file_size > most:
        return words
    return None if member.compress_type in UNPACKED_IN_STEPS else NOT_UNDERSTOOD


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> Document:
    try:
        with archive.open(member) as file:
            return read_one(name, file.read(member.file_size + 1))  # given a number, zipfile unpacks so much at most
    except RuntimeError:  # zipfile's word for it
        return Document("", name, "It is encrypted.")
    except NotImplementedError:
        return Document("", name, NOT_UNDERSTOOD)
    except Exception as error:  # zlib's, its own
        return Document("", name, f"It cannot be read ({type(error).__name__}).")


def read_csv(data: bytes, column: str | None, name_column: str | None) -> list[Document]:
    """A document for each row; `column` holds its text, `name_column` its name (else the row's number). Raises Refused."""
    text = text_of(data)
    if text is None:
        raise Refused(422, "invalid", NOT_TEXT, "file")
    first_line = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=first_line.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = [name or "" for name in reader.fieldnames or []]
        column = _column(column, names, "column") or ("text" if "text" in names else names[0] if len(names) == 1 else None)
        if column is None:
            raise Refused(422, "invalid", f"Say which column holds the text: {_listed(names)}.", "column")
        name_column = _column(name_column, names, "name_column")
        found = []
        for number, row in enumerate(reader, 1):
            if number > MOST_ITEMS:
                raise Refused(422, "invalid", f"A batch has at most {MOST_ITEMS} documents, this file has more rows.", "file")
            found.append(Document(row[column] or "", (row[name_column] if name_column else None) or str(number)))
        return found
    except csv.Error as error:
        raise Refused(422, "invalid", f"Line {reader.line_num} cannot be read as CSV: {error}.", "file") from None


def _column(wanted: str | None, names: list[str], field: str) -> str | None:
    if wanted is not None and wanted not in names:
        raise Refused(422, "invalid", f"There is no column {wanted!r}; there are: {_listed(names)}.", field)
    return wanted


def _listed(names: list[str]) -> str:
    return ", ".join(names[:20])[:300] or "none"
