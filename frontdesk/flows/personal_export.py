"""Everything that is kept of a person, as a ZIP file: a README, the conversations to be read, each table as JSON, their files."""

import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO

from frontdesk.flows import erasing
from frontdesk.flows.context import Context
from frontdesk.flows.media import clean_name
from frontdesk.store import audit, clients, files, personal
from frontdesk.store.database import transaction
from frontdesk.store.personal import Subject

README = """\
Everything that {client} keeps of this person in Frontdesk, as of {at}.

conversation.txt   what was said, to be read. "they": the person; "we": the business or its assistant.
data/              the same and all the rest as it is stored, a file for each kind, in JSON. Times are UTC.
media/             the files that were sent or received and are still kept.

What is where, with how much of each:

{contents}

contacts           who the person is: phone number, user id, names; when they said that they want no offers
contact_aliases    every phone number and user id they were ever known by
contact_tags       words by which the business sorts its customers
conversations      with which of the business's numbers they talk, and how that stands
messages           what was said, when it was sent, delivered and read, and as the provider handed it over ("raw")
notes              what people of the business noted for themselves
drafts, suggestions  answers that the assistant prepared and nobody sent
schedules, schedule_firings  messages for later, and when they went out
audience_members   lists of recipients in which they stand
broadcast_skips    broadcasts that left them out, and why
rejected_events, unmatched_statuses  what the provider sent about them and could not be understood

Not in here: backups, which hold older states of the same until they are deleted; the log of who did what, which has no person's words.
"""


def write(context: Context, contact_id: int, stream: BinaryIO) -> bool:
    """False: there is no such contact."""
    of = erasing.subject(context.db, contact_id)
    if of is None:
        return False
    with transaction(context.db) as db:
        audit.record(db, "contact.exported", f"contact {contact_id}", context.now(), client_id=of.client_id)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        contents = [f"{name:18} {count}" for name, count in _tables(context, of, archive)]
        contents.append(f"{'media':18} {_files(context, of, archive)}")
        client = dict(clients.names(context.db))[of.client_id]
        archive.writestr("README.txt", README.format(client=client, at=_iso(context.now()), contents="\n".join(contents)))
    return True


def _tables(context: Context, of: Subject, archive: zipfile.ZipFile) -> Iterator[tuple[str, int]]:
    for table, rows in personal.rows(context.db, of):
        found = [_timed(row) for row in rows]
        yield table, len(found)
        if found:
            text = json.dumps(found, ensure_ascii=False, indent=1).encode("utf-8", "replace")
            archive.writestr(f"data/{table}.json", text)
        if table == "messages":
            archive.writestr("conversation.txt", "".join(_lines(found)).encode("utf-8", "replace"))


def _lines(messages: list[dict[str, Any]]) -> Iterator[str]:
    for message in sorted(messages, key=lambda one: (one["conversation_id"], one["id"])):
        yield f"{message['created_at']}  {'they' if message['direction'] == 'in' else 'we'}: {message['text']}\n"


def _files(context: Context, of: Subject, archive: zipfile.ZipFile) -> int:
    count = 0
    for file in personal.files(context.db, of):
        path = file.sha256 and files.path_of(context.settings.media_dir, file.sha256)
        if path and path.is_file():
            archive.write(path, f"media/{file.media_id}-{clean_name(file.filename) or file.sha256[:12]}")
            count += 1
    return count


def _timed(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _iso(value) if name.endswith(("_at", "_since")) and isinstance(value, (int, float)) else value for name, value in row.items()}


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
