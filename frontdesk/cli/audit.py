"""`bin/frontdesk audit export FILE`: who did what, as a file."""

import os
import time
from pathlib import Path

import click

from frontdesk import settings as settings_module
from frontdesk.cli import frontdesk
from frontdesk.errors import FrontdeskError
from frontdesk.flows import audit_export
from frontdesk.store import audit as store
from frontdesk.store import database


@frontdesk.group()
def audit() -> None:
    """The log of who did what. Nothing in it can be changed."""


@audit.command("export", with_appcontext=False)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--deed", help="Only this one, such as contact.erased; or all of a kind, such as user.")
@click.option("--by", "actor", help="Only of 'user 3', 'token 1', 'command line' or 'system'.")
def export(file: Path, deed: str | None, actor: str | None) -> None:
    """Write the log to FILE, oldest first: as CSV where its name ends in .csv, else as JSON lines."""
    settings = settings_module.load()
    database.migrate(settings)
    db = database.connect(settings)
    with database.transaction(db):
        store.record(db, "audit.exported", None, time.time())
    written = audit_export.as_csv if file.suffix.lower() == ".csv" else audit_export.as_lines
    count = 0
    try:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8", newline="") as stream:
            for line in written(store.oldest_first(db, deed=deed, actor=actor)):
                count += bool(stream.write(line))
    except OSError as error:
        raise FrontdeskError(f"{file} cannot be written ({error.strerror}); choose a folder this user may write to") from None
    click.echo(f"{file}: {count - (written is audit_export.as_csv)} entries")
