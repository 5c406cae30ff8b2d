"""`bin/frontdesk start`: checks what would go wrong, prepares the database, says where things are, and becomes the
foreground process of frontdesk/processes.py, which this process' id and its lock pass on to.
"""

import errno
import fcntl
import os
import signal
import socket
import sys
import time

import click

from frontdesk import redis_server
from frontdesk import settings as settings_module
from frontdesk.cli import frontdesk
from frontdesk.errors import FrontdeskError, SettingsError
from frontdesk.flows import first_run, links, upgrade
from frontdesk.flows.diagnosis import model_notice
from frontdesk.settings import ROOT, Settings
from frontdesk.store import database, files, installation

REDIS_TIMEOUT_SECONDS = 3
LEFTOVER_SECONDS = 10


@frontdesk.command(with_appcontext=False)
def start() -> None:
    """Start everything in the foreground; Ctrl-C stops it."""
    settings = settings_module.load()
    locks = [_only_one(settings), installation.hold(settings)]
    _check_ports(settings)
    _check_redis(settings)
    prepare(settings)
    for line in [*welcome(settings), *first_login(settings), model_notice(settings)]:
        if line:
            click.echo(line)
    for lock in locks:
        os.set_inheritable(lock, True)
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "frontdesk.processes"])


def prepare(settings: Settings) -> None:
    """The database at its newest form, what a first run needs in it, nothing half-written left over. Safe to repeat."""
    upgraded = upgrade.bring_up_to_date(settings, time.time())
    if upgraded.backup:
        click.echo(f"The database was brought up to date; what was there before is in {upgraded.backup}.")
    first_run.prepare(settings)
    first_run.prepare_widget(settings)
    files.forget_leftovers(settings.media_dir)


def _only_one(settings: Settings) -> int:
    """The lock of this DATA_DIR, held by an open descriptor until the last process that has it ends."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(settings.data_dir / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SettingsError(
            "DATA_DIR", f"'{settings.data_dir}' ({error.strerror})", "a folder this user may write to"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(lock, 20, 0).decode().strip() or "unknown"
        raise FrontdeskError(
            f"Frontdesk is already running here (pid {pid}); stop it with Ctrl-C there, or: kill {pid}"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _check_ports(settings: Settings) -> None:
    _check_port("WEB_PORT", settings.web_host, settings.web_port)
    if settings.development:
        _check_port("SIMULATOR_PORT", "127.0.0.1", settings.simulator_port)


def _check_port(key: str, host: str, port: int) -> None:
    """Bind as the server will, which answers every question at once: is it taken, allowed, an address of this host."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(key, f"{port}, which another program uses", f"a free port: {key}={port + 100}") from None
        if error.errno in (errno.EACCES, errno.EPERM):
            raise SettingsError(key, f"{port}, which this user may not open", "a port above 1023") from None
        raise SettingsError("WEB_HOST", f"{host!r} ({error.strerror})", "an address of this machine") from None


def _check_redis(settings: Settings) -> None:
    if settings.redis_url:
        _check_redis_answers(settings)
    elif redis_server.find_redis() is None:
        raise FrontdeskError(
            "no Redis was found; run: apt-get install redis-server   or set REDIS_URL to one that runs elsewhere"
        )
    else:
        _stop_leftover_redis(settings)


def _check_redis_answers(settings: Settings) -> None:
    import redis

    try:
        client = redis.Redis.from_url(
            settings.redis_url,
            socket_timeout=REDIS_TIMEOUT_SECONDS,
            socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
            retry=None,
        )
        client.ping()
    except (redis.RedisError, ValueError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FrontdeskError(
            f"the Redis of REDIS_URL does not answer ({reason}); start it, or empty REDIS_URL to have one started here"
        ) from None


def _stop_leftover_redis(settings: Settings) -> None:
    """An earlier run that was killed outright may have left its Redis; nobody watches over it, so it makes way."""
    directory = settings.data_dir / "redis"
    lock = redis_server.lock_directory(directory)
    pid = redis_server.holder_of(directory)
    if lock is None and pid:
        try:
            os.kill(pid, signal.SIGTERM)
        except (ProcessLookupError, PermissionError):
            pass
    if lock is None:
        lock = redis_server.lock_directory(directory, LEFTOVER_SECONDS)
    if lock is None:
        raise FrontdeskError(f"a Redis of an earlier run still holds {directory}; end it with: kill {pid or 'its pid'}")
    os.close(lock)


def welcome(settings: Settings) -> list[str]:
    """Where to look, one line each."""
    web = settings.web_url
    if not settings.development:
        return ["Frontdesk starts; Ctrl-C stops it.", f"  Webhook    {web}/webhooks/whatsapp", f"  Health     {web}/health"]
    return [
        "Frontdesk starts; Ctrl-C stops it.",
        f"  Try it     {web}/simulator  (a WhatsApp of your own)",
        f"  Web chat   {web}/simulator/site  (a shop's website with the chat on it)",
        f"  Health     {web}/health",
    ]


def first_login(settings: Settings) -> list[str]:
    """The way in for the first owner, anew at each start as long as nobody has used it."""
    db = database.connect(settings)
    try:
        with database.transaction(db):
            token = links.first_run(db, time.time())
    finally:
        db.close()
    if token is None:
        return []
    return [
        f"  Log in     {settings.web_url}/first-run/{token}",
        "             makes you the owner; it is good once, for 24 hours"
        + ("" if settings.development else ", and under your own domain too"),
    ]
