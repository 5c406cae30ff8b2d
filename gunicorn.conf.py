"""How gunicorn serves chatbot.py; what a user may change comes from the settings."""

import os

from gunicorn.glogging import Logger

from frontdesk import logs
from frontdesk import settings as settings_module
from frontdesk.store import installation

_settings = settings_module.load()
installation.hold(_settings)
_host = f"[{_settings.web_host}]" if ":" in _settings.web_host else _settings.web_host

bind = f"{_host}:{_settings.web_port}"
worker_class = "gthread"
workers = _settings.web_workers
threads = _settings.web_threads
keepalive = 75  # longer than the 60 s for which nginx keeps an idle connection to us, so it is never closed under a request
graceful_timeout = 4  # under the time that bin/keep gives a command to stop
loglevel = _settings.log_level
logconfig_dict = logs.configuration(_settings, "web")


class _Logger(Logger):
    """No line for each request: whatever logconfig_dict says of it, gunicorn would gather all that could stand in one."""

    access_log_enabled = False


logger_class = _Logger


def post_worker_init(worker) -> None:
    logs.configure(_settings, "web")


control_socket_disable = True  # it would lie in HOME, shared by every gunicorn of this user

# The workers' heartbeat is a file that is touched every second: in memory, so a busy disk cannot make them look dead.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
