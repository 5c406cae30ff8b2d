"""`bin/frontdesk doctor`: each part of the installation on a line of its own, and the mend where one is wrong."""

import sys

import click

from frontdesk import settings as settings_module
from frontdesk.cli import frontdesk
from frontdesk.flows import diagnosis


@frontdesk.command(with_appcontext=False)
def doctor() -> None:
    """Check settings, Redis, database, workers, model, numbers and clock; exit 1 if anything is wrong."""
    settings = settings_module.load()
    wrong = 0
    for finding in diagnosis.examine(settings):
        click.echo(f"{'ok   ' if finding.ok else 'WRONG'}  {finding.subject}: {finding.words}")
        if not finding.ok:
            wrong += 1
            click.echo(f"       → {finding.mend}")
    if wrong:
        click.echo(f"{wrong} of these want mending.")
        sys.exit(1)
