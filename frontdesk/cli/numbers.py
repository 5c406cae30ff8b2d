"""`bin/frontdesk numbers`: the WhatsApp numbers that are answered. A token is asked for, never given on the command line."""

import sys
import time

import click

from frontdesk import settings as settings_module
from frontdesk.cli import frontdesk
from frontdesk.channels import wati_account
from frontdesk.errors import FrontdeskError
from frontdesk.flows import webhook_address
from frontdesk.settings import Settings
from frontdesk.store import audit, clients, database
from frontdesk.store import numbers as store


@frontdesk.group()
def numbers() -> None:
    """Add, list, stop and resume numbers."""


def _open(settings: Settings):
    database.migrate(settings)
    return database.connect(settings)


@numbers.command("add", with_appcontext=False)
@click.argument("phone_number_id")
@click.option("--client", "client_name", required=True, help="The client it answers for (see: clients list).")
@click.option("--waba-id", help="The WhatsApp Business Account's id.")
@click.option("--display-phone", help="The number as people write it.")
def add(phone_number_id: str, client_name: str, waba_id: str | None, display_phone: str | None) -> None:
    """Add a number, or give one a new token. PHONE_NUMBER_ID is Meta's id of the number, not the number."""
    if not phone_number_id.isdigit():
        raise FrontdeskError(f"PHONE_NUMBER_ID is {phone_number_id!r}; it wants the digits Meta shows under API Setup")
    settings = settings_module.load()
    _put(settings, client_name, "cloud", phone_number_id, _asked_token(), account_id=waba_id, display_phone=display_phone)
    click.echo(f"Number {phone_number_id} answers for {client_name}. Check it: bin/frontdesk doctor")


@numbers.command("list", with_appcontext=False)
def list_numbers() -> None:
    """Every number, its client, and whether it is stopped."""
    settings = settings_module.load()
    db = _open(settings)
    known = store.all_of_them(db)
    if not known:
        click.echo("No numbers yet. Add one: bin/frontdesk numbers add PHONE_NUMBER_ID --client NAME")
    for number in known:
        client = clients.get(db, number.client_id, settings).name
        state = f"stopped: {number.stopped_reason}" if number.stopped_at is not None else "sending"
        click.echo(f"{number.external_id}  {number.display_phone or '-'}  {number.channel}  {client}  {state}")


@numbers.command("add-wati", with_appcontext=False)
@click.argument("endpoint")
@click.option("--client", "client_name", required=True, help="The client it answers for (see: clients list).")
@click.option("--channel-phone", default="", help="The number's digits, where the account has several WhatsApp numbers.")
@click.option("--display-phone", help="The number as people write it.")
def add_wati(endpoint: str, client_name: str, channel_phone: str, display_phone: str | None) -> None:
    """Add a number at WATI, or give one a new token. ENDPOINT is what WATI shows under API Docs."""
    settings = settings_module.load()
    found = wati_account.endpoint(endpoint, anywhere=settings.fetch_private_addresses)
    if channel_phone and not channel_phone.isdigit():
        raise FrontdeskError(f"--channel-phone is {channel_phone!r}; it wants digits")
    external_id = "/".join(filter(None, (found.account, channel_phone)))
    token = _asked_token().removeprefix("Bearer ").strip()
    key = webhook_address.new_key()
    number = _put(settings, client_name, "wati", external_id, token, display_phone=display_phone, base_url=found.base_url, webhook_key=key)
    secret = webhook_address.secret(settings, number)
    click.echo(f"Number {external_id} answers for {client_name}. In WATI under Webhooks add this address, behind your domain:")
    click.echo(f"  /webhooks/wati/{secret}")
    click.echo("It holds a secret. The events to choose stand on the number's page. Check it: bin/frontdesk doctor")


def _put(settings: Settings, client_name: str, channel: str, external_id: str, token: str, **columns: str | None) -> store.Number:
    """The number, new or with a new token."""
    db, now = _open(settings), time.time()
    with database.transaction(db):
        client_id = _client(db, client_name)
        number_id = store.put(db, settings, client_id=client_id, channel=channel, external_id=external_id, access_token=token, now=now, **columns)
        audit.record(db, "number.added", f"number {number_id}", now, external_id=external_id)
    return store.get(db, number_id)


def _asked_token() -> str:
    token = (click.prompt("Access token", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()).strip()
    if not token:
        raise FrontdeskError("no access token was given; type it at the prompt or pipe it in")
    return token


def _client(db, name: str) -> int:
    client_id = clients.find(db, name)
    if client_id is None:
        raise FrontdeskError(f"there is no client {name!r}; make it: bin/frontdesk clients add")
    return client_id


def _known(db, phone_number_id: str) -> store.Number:
    number = store.named(db, phone_number_id)
    if number is None:
        raise FrontdeskError(f"there is no number {phone_number_id}; see: bin/frontdesk numbers list")
    return number


@numbers.command("stop", with_appcontext=False)
@click.argument("phone_number_id")
def stop(phone_number_id: str) -> None:
    """Send nothing from this number until it is resumed; messages wait."""
    db = _open(settings_module.load())
    number = _known(db, phone_number_id)
    with database.transaction(db):
        stopped = store.stop(db, number.id, store.BY_HAND, None, time.time())
        if stopped:
            audit.record(db, "number.stopped", f"number {number.id}", time.time())
    click.echo("Stopped; messages wait." if stopped else "It was stopped already.")


@numbers.command("resume", with_appcontext=False)
@click.argument("phone_number_id")
def resume(phone_number_id: str) -> None:
    """Send again; what waited goes out within seconds."""
    db = _open(settings_module.load())
    number = _known(db, phone_number_id)
    with database.transaction(db):
        resumed = store.resume(db, number.id)
        if resumed:
            audit.record(db, "number.resumed", f"number {number.id}", time.time())
    click.echo("Resumed; what waited goes out within seconds." if resumed else "It was not stopped.")
