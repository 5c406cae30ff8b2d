"""`bin/frontdesk restore FILE`: a backup takes the place of what is there, which is kept aside."""

import time
from pathlib import Path

import click

from frontdesk import settings as settings_module
from frontdesk.cli import frontdesk
from frontdesk.errors import FrontdeskError
from frontdesk.flows import backup
from frontdesk.flows import restore as flow
from frontdesk.flows.backup import Manifest
from frontdesk.settings import Settings
from frontdesk.store import installation


@frontdesk.command(with_appcontext=False)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--drill", is_flag=True, help="Only try it, in a temporary folder, and say what would come back. FILE defaults to the newest of BACKUP_DIR.")
@click.option("--as-it-stood", is_flag=True, help="Send and answer what waited then. Only where Frontdesk was stopped before the backup, as in a move.")
def restore(file: Path | None, drill: bool, as_it_stood: bool) -> None:
    """Put the backup FILE in place of what is in DATA_DIR. Frontdesk must be stopped; what was there is kept aside."""
    settings = settings_module.load()
    if drill:
        return _drill(settings, file)
    if file is None:
        raise FrontdeskError("which backup? Name its file: bin/frontdesk restore FILE")
    restored = flow.restore(settings, file.absolute(), time.time(), as_it_stood=as_it_stood)
    manifest = restored.manifest
    click.echo(f"Restored: {_words(manifest)}.")
    click.echo(f"What was there before is in {restored.aside}; delete it when all is well.")
    if restored.sends or restored.answers:
        click.echo(
            f"{restored.sends} messages that were to be sent are under Dead letters, {restored.answers} that waited for an answer are marked for "
            "a person: it may all have happened after the backup was made."
        )
    if restored.erased:
        click.echo(f"{restored.erased} people who were erased after the backup was made were erased from it again.")
    if restored.of_another_key:
        click.echo(
            f"{restored.of_another_key} erasures could NOT be repeated: they were written down under another SECRET_KEY. Put that secret_key file back "
            f"into {settings.data_dir} and restore once more."
        )
    click.echo(f"The settings of the backup are in {settings.data_dir / installation.SETTINGS_OF_BACKUP}; take over into .env what you want of them.")
    if not manifest.with_secrets and manifest.key != backup.key_fingerprint(settings):
        click.echo(
            "The access tokens in it were stored under another SECRET_KEY: put that secret_key file back into "
            f"{settings.data_dir}, or store each token again (bin/frontdesk numbers add)."
        )


def _drill(settings: Settings, file: Path | None) -> None:
    path = file.absolute() if file else flow.newest(settings)
    began = time.monotonic()
    manifest = flow.drill(settings, path)
    hours = (time.time() - manifest.made_at) / 3600
    click.echo(f"{path}: sound, made {hours:.1f} hours ago; read, checked and brought up to date in {time.monotonic() - began:.1f} s.")
    click.echo(f"It would bring back {_words(manifest)}.")
    if manifest.key != backup.key_fingerprint(settings):
        click.echo("Its access tokens were stored under another SECRET_KEY than this one.")


def _words(manifest: Manifest) -> str:
    files = sum("/" in name for name in manifest.parts)
    made = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(manifest.made_at))
    return ", ".join(f"{count} {table}" for table, count in manifest.counts.items()) + f", {files} files, as of {made}"
