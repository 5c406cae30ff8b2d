"""`bin/frontdesk upgrade`: after new code was put in place, before Frontdesk is started again."""

import time

import click

from frontdesk import __version__
from frontdesk import settings as settings_module
from frontdesk.cli import frontdesk
from frontdesk.flows import upgrade as flow
from frontdesk.store import installation


@frontdesk.command(with_appcontext=False)
def upgrade() -> None:
    """Back up the database, bring it to this version and check it. Frontdesk must be stopped. `start` does the same by itself."""
    settings = settings_module.load()
    with installation.taken(settings):
        done = flow.bring_up_to_date(settings, time.time())
    if done.backup:
        click.echo(f"What was there before is in {done.backup}.")
    steps = f"{len(done.steps)} steps" if len(done.steps) != 1 else "one step"
    click.echo(f"The database in {settings.data_dir} is that of Frontdesk {__version__}" + (f" now, by {steps}." if done.steps else " already."))
    click.echo("It is sound. Start Frontdesk again." if done.steps else "Nothing was to do.")
