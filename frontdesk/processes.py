"""Runs the lines of the Procfile in the foreground with honcho's parts, and stops them in order.

honcho's own manager keeps a Python process for each line, dies on SIGHUP with all lines left behind, and stops Redis
together with those that still need it. This one has a thread for each line, starts the others when Redis answers and
stops Redis when the others are gone. It imports neither Flask nor redis: it lives as long as Frontdesk does.
"""

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from honcho.colour import get_colours
from honcho.environ import parse_procfile
from honcho.printer import Message, Printer
from honcho.process import Process

from frontdesk import redis_server
from frontdesk import settings as settings_module
from frontdesk.settings import ROOT, Settings

EXIT_STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
KILL_AFTER_SECONDS = 4.9  # bin/keep kills its command after 4.4 s
GIVE_UP_SECONDS = 1  # a killed line whose output some stray process still holds open is not waited for


@dataclass
class Line:
    """One line of the Procfile: what runs, and what became of it."""

    process: Process
    pid: int | None = None
    started: bool = False
    ended: bool = False
    told_at: float | None = None
    killed_at: float | None = field(default=None)


class Foreground:
    """`first` is the line that starts before all others (when `ready()` says so they follow) and stops after them."""

    def __init__(self, first: str = "redis", ready=lambda: True, output=None):
        self.first, self.ready = first, ready
        self.lines: dict[str, Line] = {}
        self.events: queue.Queue[Message] = queue.Queue()
        self.printer = Printer(output or sys.stdout)
        self.colours = get_colours()
        self.exit_status: int | None = None
        self.asked_again = False

    def add(self, name: str, command: str, environ: dict[str, str]) -> None:
        process = Process(command, name=name, colour=next(self.colours), env=environ, cwd=ROOT)
        self.lines[name] = Line(process)
        self.printer.width = max(self.printer.width, len(name))

    def run(self) -> int:
        """Until a signal comes or a line ends; returns the exit status when nothing runs any more."""
        self._listen()
        while not all(line.ended for line in self.lines.values()):
            if self.exit_status is None:
                self._start_what_may()
            else:
                self._stop_what_may(time.monotonic())
            self._take_event()
        return self.exit_status or 0

    def _listen(self) -> None:
        for signum in EXIT_STATUS:
            if signal.getsignal(signum) is not signal.SIG_IGN:  # nohup, or a shell's background
                signal.signal(signum, self._ask_to_stop)

    def _ask_to_stop(self, signum: int, frame) -> None:
        self.asked_again = self.exit_status is not None
        if self.exit_status is None:
            self.exit_status = EXIT_STATUS[signal.Signals(signum)]

    def _start_what_may(self) -> None:
        waiting = [name for name, line in self.lines.items() if not line.started]
        if not waiting:
            return
        if self.first in waiting:
            waiting = [self.first]
        elif self.first in self.lines and not self.ready():
            return
        for name in waiting:
            self.lines[name].started = True
            threading.Thread(target=self._run_line, args=(name,), daemon=True).start()

    def _run_line(self, name: str) -> None:
        try:
            self.lines[name].process.run(self.events)
        except OSError as error:
            self._note(f"{name} cannot be started: {error}")
            self.events.put(Message("stop", {"returncode": 1}, datetime.now(), name, None))

    def _stop_what_may(self, now: float) -> None:
        for line in self.lines.values():
            line.ended = line.ended or not line.started
        alive = {name: line for name, line in self.lines.items() if not line.ended}
        others = {name: line for name, line in alive.items() if name != self.first}
        for line in (others or alive).values():
            self._stop(line, now)
        self.asked_again = False

    def _stop(self, line: Line, now: float) -> None:
        if line.pid is None:  # started, and its start is not yet reported
            return
        if line.told_at is None or self.asked_again:
            line.told_at = line.told_at or now
            _signal(line.pid, signal.SIGTERM)
        elif line.killed_at is None and now - line.told_at > KILL_AFTER_SECONDS:
            line.killed_at = now
            _signal(line.pid, signal.SIGKILL)
        elif line.killed_at is not None and now - line.killed_at > GIVE_UP_SECONDS:
            line.ended = True

    def _take_event(self) -> None:
        try:
            event = self.events.get(timeout=0.05)
        except queue.Empty:
            return
        if event.type == "line":
            self._print(event)
        elif event.type == "start":
            self.lines[event.name].pid = event.data["pid"]
        elif event.type == "stop":
            self._ended(event.name, event.data["returncode"])

    def _ended(self, name: str, status: int) -> None:
        self.lines[name].ended = True
        if self.exit_status is None:
            self._note(f"{name} ended ({status}); stopping the others")
            self.exit_status = status if status > 0 else 1

    def _note(self, text: str) -> None:
        self.events.put(Message("line", text, datetime.now(), "frontdesk", None))

    def _print(self, message: Message) -> None:
        try:
            self.printer.write(message)
        except OSError:  # the terminal or the reader is gone; what is still buffered must find a place, too
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.printer.output.fileno())
            self.exit_status = self.exit_status or EXIT_STATUS[signal.SIGHUP]


def _signal(group: int, signum: signal.Signals) -> None:
    try:
        os.killpg(group, signum)
    except (ProcessLookupError, PermissionError):
        pass


LINES = ("redis", "web", "high", "default", "bulk", "scheduler", "simulator")


def names(settings: Settings, lines: Iterable[str] = LINES) -> list[str]:
    """Those of the Procfile's lines that this configuration runs; an operator may have added some."""
    left_out = set() if settings.development else {"simulator"}
    return [name for name in lines if name not in (left_out | {"redis"} if settings.redis_url else left_out)]


def environ_of(name: str, settings: Settings) -> dict[str, str]:
    """This Python first on the PATH. Only the simulator is given its secret, and no command line is."""
    environ = {**os.environ, "PATH": f"{sys.prefix}/bin:{os.environ.get('PATH', os.defpath)}", "PYTHONUNBUFFERED": "1"}
    if name == "simulator":
        environ.update(
            SIMULATOR_PORT=str(settings.simulator_port),
            SIMULATOR_WEBHOOK_URL=f"http://127.0.0.1:{settings.web_port}/webhooks/whatsapp",
            SIMULATOR_APP_SECRET=settings.simulator_app_secret,
            SIMULATOR_ACCESS_TOKEN="simulator",
        )
    return environ


def main() -> None:
    settings = settings_module.load()
    commands = parse_procfile((ROOT / "Procfile").read_text()).processes
    foreground = Foreground(ready=lambda: redis_server.answers(settings.redis_socket))
    for name in names(settings, commands):
        foreground.add(name, f"exec {_dying_with_us()}{commands[name]}", environ_of(name, settings))
    if not settings.redis_url and settings.redis_appendfsync == "everysec":
        threading.Thread(target=_sync_every_second, args=(settings.data_dir / "redis",), daemon=True).start()
    sys.exit(foreground.run())


def _sync_every_second(directory: Path) -> None:
    while True:
        time.sleep(1)
        try:
            redis_server.sync_files(directory)
        except OSError as error:
            print(f"frontdesk: {directory} cannot be synced: {error}", file=sys.stderr)


def _dying_with_us() -> str:
    """Has the kernel send a line TERM when this process is killed outright (util-linux 2.33 and newer)."""
    if not shutil.which("setpriv"):
        return ""
    known = subprocess.run(["setpriv", "--pdeathsig", "TERM", "true"], capture_output=True)
    return "setpriv --pdeathsig TERM " if known.returncode == 0 else ""


if __name__ == "__main__":
    main()
