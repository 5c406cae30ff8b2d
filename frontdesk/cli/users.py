"""`bin/frontdesk users`: who may log in, and links for those who cannot. No password is ever given on the command line."""

import time

import click

from frontdesk import settings as settings_module
from frontdesk.cli import frontdesk
from frontdesk.errors import FrontdeskError
from frontdesk.flows import links
from frontdesk.store import database
from frontdesk.store import users as store


@frontdesk.group()
def users() -> None:
    """Add and list the desk's users, and make links to log in."""


def _open():
    settings = settings_module.load()
    database.migrate(settings)
    return settings, database.connect(settings)


@users.command("list", with_appcontext=False)
def list_users() -> None:
    """Everybody who has an account."""
    _, db = _open()
    known = store.all_of_them(db)
    if not known:
        click.echo("Nobody yet. bin/start prints the link that makes the owner; so does: bin/frontdesk users link")
    for user in known:
        click.echo(f"{user.email}  {user.name}  {user.role}{'  disabled' if user.disabled else ''}")


@users.command("link", with_appcontext=False)
@click.argument("email", required=False)
def link(email: str | None) -> None:
    """A link to set a new password for EMAIL; without EMAIL the first owner's, while there is no user."""
    settings, db = _open()
    now = time.time()
    with database.transaction(db):
        if email is None:
            path = _first_run_path(db, now)
        else:
            path = f"/link/{links.new_password(db, _known(db, email).id, now)}"
    click.echo(f"{settings.web_url}{path}\nIt is good once, for 24 hours, and under your own domain too.")


def _first_run_path(db, now: float) -> str:
    token = links.first_run(db, now)
    if token is None:
        raise FrontdeskError("there are users already; name one by e-mail (see: bin/frontdesk users list)")
    return f"/first-run/{token}"


def _known(db, email: str) -> store.User:
    user = store.find(db, email.strip())
    if user is None:
        raise FrontdeskError(f"there is no user {email!r}; see: bin/frontdesk users list")
    if user.disabled:
        raise FrontdeskError(f"{user.email} is disabled; an owner enables it on the page Users")
    return user


@users.command("add", with_appcontext=False)
@click.argument("email")
@click.option("--role", type=click.Choice(store.ROLES), default="agent", show_default=True)
def add(email: str, role: str) -> None:
    """Invite EMAIL: prints the link with which they set their name and password."""
    if "@" not in email:
        raise FrontdeskError(f"EMAIL is {email!r}; it wants an address such as name@example.com")
    settings, db = _open()
    with database.transaction(db):
        try:
            token = links.invitation(db, email, role, time.time())
        except links.EmailTaken as error:
            raise FrontdeskError(f"{error}; see: bin/frontdesk users link") from None
    click.echo(f"{settings.web_url}/link/{token}\nIt is good once, for seven days, and under your own domain too.")
