"""`bin/frontdesk contacts`: everything on a person as a file, and a person erased."""

import os
import time
from pathlib import Path

import click

from frontdesk import queues
from frontdesk import settings as settings_module
from frontdesk.cli import frontdesk
from frontdesk.errors import FrontdeskError
from frontdesk.flows import erasing, personal_export
from frontdesk.flows.context import Context, make
from frontdesk.store import clients, database, personal

TRIES, TRY_SECONDS = 10, 2


@frontdesk.group()
def contacts() -> None:
    """Export what is kept of a person, or erase them. A PERSON is a phone number, a user id, or a contact's id as #17."""


def _open() -> Context:
    settings = settings_module.load()
    database.migrate(settings)
    return make(settings, queues.connect(settings.redis_address))


def _known(context: Context, person: str) -> list[int]:
    digits = "".join(filter(str.isdigit, person))
    is_phone = not person.startswith("#") and digits and not any(letter.isalpha() for letter in person)
    found = personal.contacts_named(context.db, digits if is_phone else person)
    if not found:
        raise FrontdeskError(f"nobody is known as {person!r}; name a phone number with its country code, a user id, or a contact's id as #17")
    return found


@contacts.command("export", with_appcontext=False)
@click.argument("person")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export(person: str, file: Path) -> None:
    """Write everything that is kept of PERSON into the ZIP file FILE: JSON, a text to read, their files."""
    context = _open()
    found = _known(context, person)
    for place, contact_id in enumerate(found):
        path = file if len(found) == 1 else file.with_name(f"{file.stem}-{place + 1}{file.suffix}")
        draft = path.with_name(f".{path.name}.partial")
        try:
            with open(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b") as stream:
                personal_export.write(context, contact_id, stream)
            os.replace(draft, path)
        except OSError as error:
            raise FrontdeskError(f"{path} cannot be written ({error.strerror}); choose a folder this user may write to") from None
        finally:
            draft.unlink(missing_ok=True)
        click.echo(f"{path}: all of contact #{contact_id}{_client_of(context, contact_id)}")


@contacts.command("erase", with_appcontext=False)
@click.argument("person")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(person: str, yes: bool) -> None:
    """Erase PERSON: messages, notes, schedules, files, all of it, for ever. Backups keep it until they are deleted; a restore erases again."""
    context = _open()
    found = _known(context, person)
    for contact_id in found:
        counts = personal.counts(context.db, erasing.subject(context.db, contact_id))
        words = ", ".join(f"{count} {table}" for table, count in counts.items() if count)
        click.echo(f"contact #{contact_id}{_client_of(context, contact_id)}: {words}")
    if not yes:
        click.confirm("Erase this for ever?", abort=True)
    for contact_id in found:
        erasure = erasing.erase(context, contact_id)
        if erasure is None:
            continue
        click.echo(f"contact #{contact_id} is erased." if _finished(context, erasure.id) else f"contact #{contact_id} is erased; {LATER}")


LATER = "the last traces in Redis and in the database's log go within minutes, once Frontdesk runs."


def _finished(context: Context, erasure_id: int) -> bool:
    for _ in range(TRIES):
        try:
            if erasing.finish(context, erasure_id):
                return True
        except queues.RedisError:
            return False
        time.sleep(TRY_SECONDS)
    return False


def _client_of(context: Context, contact_id: int) -> str:
    of = erasing.subject(context.db, contact_id)
    return f" of {dict(clients.names(context.db))[of.client_id]}" if of else ""
