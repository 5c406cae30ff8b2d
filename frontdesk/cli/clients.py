"""`bin/frontdesk clients`: the businesses that are answered for, each with its own prompt."""

import time
from pathlib import Path
from zoneinfo import available_timezones

import click

from frontdesk import settings as settings_module
from frontdesk.cli import frontdesk
from frontdesk.errors import FrontdeskError
from frontdesk.store import audit, database
from frontdesk.store import clients as store


@frontdesk.group()
def clients() -> None:
    """Add, change and list clients."""


def _open():
    settings = settings_module.load()
    database.migrate(settings)
    return settings, database.connect(settings)


def _words(file: str) -> str:
    try:
        words = Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FrontdeskError(f"{file} cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not words:
        raise FrontdeskError(f"{file} is empty; it wants what the assistant must know, in plain words")
    return words


@clients.command("add", with_appcontext=False)
@click.argument("name")
@click.option("--prompt-file", required=True, help="What the assistant must know: who you are, hours, prices, tone.")
@click.option("--time-zone", default="UTC", show_default=True, help="Such as Europe/Berlin.")
def add(name: str, prompt_file: str, time_zone: str) -> None:
    """Add a client."""
    if time_zone not in available_timezones():
        raise FrontdeskError(f"--time-zone is {time_zone!r}; it wants a name such as Europe/Berlin")
    prompt = _words(prompt_file)
    _, db = _open()
    with database.transaction(db):
        if store.find(db, name) is not None:
            raise FrontdeskError(f"there is a client {name!r} already; change it: bin/frontdesk clients set-prompt")
        client_id = store.add(db, name, prompt, time.time(), time_zone)
        audit.record(db, "client.added", f"client {client_id}", time.time(), name=name)
    click.echo(f"Client {name} is there. Next: bin/frontdesk numbers add PHONE_NUMBER_ID --client {name!r}")


@clients.command("set-prompt", with_appcontext=False)
@click.argument("name")
@click.argument("file")
def set_prompt(name: str, file: str) -> None:
    """Give a client a new prompt; it counts from the next answer on."""
    prompt = _words(file)
    _, db = _open()
    client_id = store.find(db, name)
    if client_id is None:
        raise FrontdeskError(f"there is no client {name!r}; see: bin/frontdesk clients list")
    with database.transaction(db):
        store.set_prompt(db, client_id, prompt, time.time())
        audit.record(db, "client.prompt", f"client {client_id}", time.time())
    click.echo("Changed; it counts from the next answer on.")


@clients.command("list", with_appcontext=False)
def list_clients() -> None:
    """Every client and its model."""
    settings, db = _open()
    known = store.all_of_them(db, settings)
    if not known:
        click.echo("No clients yet. Add one: bin/frontdesk clients add NAME --prompt-file FILE")
    for client in known:
        click.echo(f"{client.name}  {client.model}  {client.time_zone}  {len(client.system_prompt)} characters of prompt")
