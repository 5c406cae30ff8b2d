"""The command line, `bin/frontdesk`: each module here is one command and holds a click command of the module's own name.

A module is imported when its command is asked for, so the commands stay quick and one that is broken spoils no other.
Errors are one line on stderr; the status is 2 where the caller can mend it.
"""

import getpass
import os
import sys
from importlib import import_module
from pkgutil import iter_modules

import click
from flask.cli import AppGroup, ScriptInfo

from frontdesk import __version__
from frontdesk.errors import FrontdeskError
from frontdesk.store.audit import Actor, act_as


class Commands(AppGroup):
    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(module.name.replace("_", "-") for module in iter_modules(__path__))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(context):
            return None
        module_name = name.replace("-", "_")
        return getattr(import_module(f"{__name__}.{module_name}"), module_name)


@click.group(cls=Commands)
@click.version_option(__version__, message="Frontdesk %(version)s")
def frontdesk() -> None:
    """Frontdesk answers your business's WhatsApp messages with a model that runs on your own machine."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit. Commands made with `with_appcontext` get the app of chatbot.py."""
    act_as(Actor("command line", None, _who()))
    try:
        status = frontdesk.main(
            arguments, prog_name="bin/frontdesk", standalone_mode=False, obj=ScriptInfo(create_app=_create_app)
        )
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        status = 2
    except click.ClickException as error:
        status = _say(_usage(error), error.exit_code)
    except FrontdeskError as error:
        status = _say(str(error), 2)
    except (click.Abort, KeyboardInterrupt):
        status = 130
    sys.exit(status if isinstance(status, int) else 0)


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return f"user {os.getuid()}"


def _create_app():
    from chatbot import create_app

    return create_app()


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    mend = f" See: {context.command_path} --help" if context else ""
    return error.format_message() + mend


def _say(line: str, status: int) -> int:
    click.echo(f"frontdesk: {line}", err=True)
    return status
