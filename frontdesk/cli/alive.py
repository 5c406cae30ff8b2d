"""`bin/frontdesk alive NAME`: one process, in a second, for health checks that want a status."""

import click

from frontdesk import queues
from frontdesk import settings as settings_module
from frontdesk.cli import frontdesk
from frontdesk.errors import FrontdeskError

TIMEOUT_SECONDS = 3


@frontdesk.command(with_appcontext=False)
@click.argument("name", type=click.Choice(["redis", "scheduler", *queues.QUEUES]))
def alive(name: str) -> None:
    """Status 0 if Redis, the scheduler or a worker of a queue is alive. The web process: GET /ready."""
    settings = settings_module.load()
    connection = queues.connect(settings.redis_address, timeout_seconds=TIMEOUT_SECONDS, retry=False)
    try:
        if not _is_alive(connection, name):
            raise FrontdeskError(f"{name} is not alive; look at its log")
    except queues.RedisError as error:
        raise FrontdeskError(f"Redis does not answer ({type(error).__name__}); look at REDIS_URL, and whether it runs") from None
    click.echo(f"{name} is alive")


def _is_alive(connection: queues.Connection, name: str) -> bool:
    if name == "redis":
        return bool(connection.ping())
    if name == "scheduler":
        return queues.scheduler_alive(connection)
    return queues.workers_alive(connection)[name] > 0
