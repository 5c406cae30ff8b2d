"""The audit log as a file for somebody else: CSV for a spreadsheet, or JSON lines."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from frontdesk.store.audit import DEEDS, Entry

COLUMNS = ("id", "at", "actor", "actor_id", "actor_name", "address", "deed", "words", "subject", "details")


def as_csv(entries: Iterable[Entry]) -> Iterator[str]:
    yield _line(COLUMNS)
    for entry in entries:
        row = _row(entry)
        yield _line([_harmless(row[name]) for name in COLUMNS[:-1]] + [json.dumps(row["details"], ensure_ascii=False)])


def as_lines(entries: Iterable[Entry]) -> Iterator[str]:
    for entry in entries:
        yield json.dumps(_row(entry), ensure_ascii=False) + "\n"


def _row(entry: Entry) -> dict:
    row = {name: getattr(entry, name) for name in Entry.__slots__}
    return row | {"at": datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="seconds"), "words": DEEDS.get(entry.deed, entry.deed)}


def _harmless(value: object) -> object:
    """A spreadsheet runs a cell that begins like a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def _line(values: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()
