"""How every process logs: a line for people in development, one JSON object a line in production; errors also to Sentry where it is set.

`about(trace)` names the one id that a customer's message keeps from its webhook to the answer's send. No secrets: what looks like a
token is struck out, tracebacks hold no values, and message text is for DEBUG alone.
"""

import json
import logging
import logging.config
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from frontdesk.errors import FrontdeskError
from frontdesk.settings import Settings

_trace: ContextVar[str | None] = ContextVar("trace", default=None)

# Bearer headers, Meta's access tokens, our own API tokens, keys and signatures in addresses.
SECRET = re.compile(
    r"""(Bearer\s+)[^\s"',}]+|\bEAA[0-9A-Za-z]{16,}|\bfd_[0-9A-Za-z_-]{16,}|((?:access_token|passkey|secret|token|signature)=)[^\s&"']+""",
    re.IGNORECASE,
)


def trace() -> str | None:
    """Of what is worked on here."""
    return _trace.get()


def follow(trace: str | None) -> None:
    """From here on, until the `about` around it ends."""
    _trace.set(trace)


@contextmanager
def about(trace: str | None) -> Iterator[None]:
    """What is logged inside belongs to this."""
    token = _trace.set(trace)
    try:
        yield
    finally:
        _trace.reset(token)


def configure(settings: Settings, process: str) -> None:
    """Once, when a process begins. Raises FrontdeskError."""
    logging.config.dictConfig(configuration(settings, process))
    if settings.sentry_dsn:
        _begin_sentry(settings, process)


def configuration(settings: Settings, process: str) -> dict[str, Any]:
    """For logging.config.dictConfig, as gunicorn wants it too."""
    form = {"auto": "json" if settings.frontdesk_env == "production" else "text"}.get(settings.log_format, settings.log_format)
    level = settings.log_level.upper()
    quieter = "WARNING" if level == "INFO" else level
    formatter = {"()": f"{__name__}.{'Json' if form == 'json' else 'Text'}Formatter", "process": process}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"ours": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "ours"}},
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {
            "httpx": {"level": "WARNING"},
            "urllib3": {"level": "WARNING"},
            "rq.worker": {"level": quieter},
            "rq_scheduler": {"level": "ERROR"},
            **{name: {"level": level, "handlers": [], "propagate": True} for name in ("gunicorn.error", "gunicorn.access")},
        },
    }


class _Formatter(logging.Formatter):
    def __init__(self, process: str):
        super().__init__()
        self.process = process

    def _said(self, record: logging.LogRecord) -> str:
        return without_secrets(record.getMessage())

    def _exception(self, record: logging.LogRecord) -> str | None:
        return without_secrets(self.formatException(record.exc_info)) if record.exc_info else None


class TextFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        mark = "" if record.levelno <= logging.INFO else f"{record.levelname}: "
        line = f"{mark}{self._said(record)}" + (f"  [{trace()}]" if trace() else "")
        exception = self._exception(record)
        return f"{line}\n{exception}" if exception else line


class JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"at": at, "level": record.levelname.lower(), "process": self.process, "logger": record.name, "message": self._said(record)}
        more = {"trace": trace(), "exception": self._exception(record)}
        return json.dumps(line | {name: value for name, value in more.items() if value}, ensure_ascii=False)


def without_secrets(text: str) -> str:
    return SECRET.sub(lambda found: f"{found[1] or found[2] or ''}[…]", text)


def _begin_sentry(settings: Settings, process: str) -> None:
    try:
        import sentry_sdk
    except ImportError:
        raise FrontdeskError("SENTRY_DSN is set, but sentry-sdk is not installed: .venv/bin/pip install -r requirements-sentry.txt") from None
    sentry_sdk.init(
        dsn=settings.sentry_dsn,
        environment=settings.frontdesk_env,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        before_send=_for_sentry,
        before_breadcrumb=lambda crumb, hint: None,
    )
    sentry_sdk.set_tag("process", process)


def _for_sentry(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """What went wrong and where; no words of a customer's, no header, no address with a query."""
    if trace():
        event.setdefault("tags", {})["trace"] = trace()
    event.pop("request", None)
    event.pop("user", None)
    return _cleaned(event)


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return without_secrets(value)
        case dict():
            return {name: _cleaned(part) for name, part in value.items()}
        case list() | tuple():
            return [_cleaned(part) for part in value]
    return value
