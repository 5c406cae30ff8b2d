"""After a restore: who was erased since the backup was made is erased from it again, before anything starts.

Whom, the journal of erasures says (erasure_journal.py): the one in DATA_DIR, the one beside the backup, and the database that goes aside.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from frontdesk.flows import erasing, erasure_journal
from frontdesk.flows.erasure_journal import Line
from frontdesk.settings import Settings
from frontdesk.store import database, erasures, files, media, personal, search
from frontdesk.store.database import transaction


def repeat(settings: Settings, staged: Settings, backup: Path) -> tuple[int, int]:
    """`staged`: the settings of the unpacked backup. How many people were erased, and how many erasures have another key."""
    lines = _journal(settings, backup)
    key = erasure_journal.key_of(settings)
    ours = [line for line in lines if line.key == key]
    if ours:
        with closing(database.connect(staged)) as db:
            count = sum(_erase(db, settings, staged, line) for line in ours)
            _leave_no_trace(db)
    else:
        count = 0
    erasure_journal.write(settings, lines)
    return count, len(lines) - len(ours)


def _journal(settings: Settings, backup: Path) -> list[Line]:
    written = erasure_journal.read(settings.data_dir, backup.parent)
    known = {(line.client_id, line.contact_id, line.erased_at) for line in written}
    key = erasure_journal.key_of(settings)
    for one, names in _of_database(settings.database_path):
        if (one.client_id, one.contact_id, one.erased_at) not in known:
            written.append(Line(one.client_id, one.contact_id, one.erased_at, tuple(names), key))
    return written


def _of_database(path: Path) -> list[tuple[erasures.Erasure, list[str]]]:
    """Of the one that goes aside; nothing where it is not there or cannot be read."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            return erasures.journal(db)
    except sqlite3.Error:
        return []


def _erase(db: sqlite3.Connection, settings: Settings, staged: Settings, line: Line) -> bool:
    """True where the backup knew this person. An erasure that is in the backup is over."""
    if erasures.is_known(db, line.contact_id, line.erased_at):
        return False
    contact_ids = _contacts(db, settings, line)
    if not contact_ids:
        with transaction(db):
            personal.forget_phones(db, line.client_id, _phones(db, settings, line))
            erasures.finished(db, erasures.add(db, line.client_id, line.contact_id, line.names, None, line.erased_at), line.erased_at)
        return False
    for contact_id in contact_ids:
        of = erasing.subject(db, contact_id)
        mentioned = personal.mentioned_in(db, of.names)
        with transaction(db):
            erasure_id = erasing.begin(db, settings, contact_id, line.erased_at, mentioned)
        if erasure_id is None:
            continue
        erasure = erasures.get(db, erasure_id)
        erasing.delete_rows(db, erasure)
        with transaction(db):
            files.forget(staged.media_dir, media.unneeded(db, erasure.traces["files"]))
            erasures.traces_gone(db, erasure_id)
            erasures.finished(db, erasure_id, line.erased_at)
    return True


def _contacts(db: sqlite3.Connection, settings: Settings, line: Line) -> list[int]:
    """Who bears one of the names, and was not somebody new already."""
    found = {}
    for contact_id, name in personal.names_of_client(db, line.client_id, line.erased_at):
        found.setdefault(name, set()).add(contact_id)
    return sorted({one for name, ids in _named(settings, line, found).items() for one in ids})


def _phones(db: sqlite3.Connection, settings: Settings, line: Line) -> list[str]:
    """Numbers on lists and schedules of somebody whom the backup does not know as a contact."""
    return list(_named(settings, line, dict.fromkeys(personal.phones_of_client(db, line.client_id))))


def _named(settings: Settings, line: Line, names: dict) -> dict:
    wanted, given = set(line.names), list(names)
    hashes = erasure_journal.hashes(settings, line.client_id, given)
    return {name: names[name] for name, name_hash in zip(given, hashes, strict=True) if name_hash in wanted}


def _leave_no_trace(db: sqlite3.Connection) -> None:
    steps: Iterable = search.merge_all(db)
    while True:
        with transaction(db):
            if next(steps, True):
                break
    database.empty_log(db)
