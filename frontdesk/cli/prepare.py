"""`bin/frontdesk prepare`: what bin/start does before it starts anything, for those whom systemd or containers start."""

import click

from frontdesk import settings as settings_module
from frontdesk.cli import frontdesk
from frontdesk.cli import start
from frontdesk.store import installation


@frontdesk.command(with_appcontext=False)
def prepare() -> None:
    """Check the settings, bring the database up to date, and say the first owner's link as long as nobody used it."""
    settings = settings_module.load()
    installation.hold(settings)
    start.prepare(settings)
    click.echo(f"The database in {settings.data_dir} is up to date.")
    for line in start.first_login(settings):
        click.echo(line)
