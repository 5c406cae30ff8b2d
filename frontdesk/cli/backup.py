"""`bin/frontdesk backup FILE`: everything in one file, while Frontdesk runs."""

import time
from contextlib import closing
from pathlib import Path

import click

from frontdesk import settings as settings_module
from frontdesk.cli import frontdesk
from frontdesk.errors import FrontdeskError
from frontdesk.flows import backup as flow
from frontdesk.store import audit, database


@frontdesk.command(with_appcontext=False)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--with-secrets", is_flag=True, help="Also the secret key and the secret settings: whoever has the file then has all of it.")
def backup(file: Path, with_secrets: bool) -> None:
    """Write database, files and settings to FILE, while Frontdesk runs. Read it back with: bin/frontdesk restore FILE"""
    settings = settings_module.load()
    path = file.absolute()
    manifest = flow.write(settings, path, time.time(), with_secrets=with_secrets)
    with closing(database.connect(settings)) as db, database.transaction(db):
        audit.record(db, "backup.made", None, time.time(), file=path.name, with_secrets=with_secrets)
    counts = ", ".join(f"{count} {table}" for table, count in manifest.counts.items())
    click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {counts}")
    if manifest.damage:
        raise FrontdeskError(f"the database itself is damaged ({manifest.damage}); this backup has it as it is. Restore the newest sound one")
    if not with_secrets:
        click.echo("The secrets are not in it. Keep the secret key apart from it: without that, stored access tokens cannot be opened.")
