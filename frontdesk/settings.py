"""Every setting, in one table: its key, default, meaning and the values it takes. Read from the environment and `.env`.

The environment wins over `.env`. `load()` checks everything at once and raises SettingsError naming the first wrong key;
it never prints a secret. Each field of `Settings` is its key in lower case, and docs/settings.md is checked against it.
"""

import hashlib
import hmac
import os
import pwd
import re
import secrets
import tempfile
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable, Mapping
from urllib.parse import urlsplit

from dotenv import dotenv_values

from frontdesk.errors import SettingsError
from frontdesk.work_options import EMBEDDING, WorkOptions, model_or_none, work_options

ROOT = Path(__file__).resolve().parent.parent


def _text(raw: str) -> str:
    return raw


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(raw: str) -> int:
        value = int(raw)
        if not low <= value <= high:
            raise ValueError
        return value

    read.wants = f"a whole number from {low} to {high}"
    return read


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(raw: str) -> float:
        value = float(raw)
        if not low <= value <= high:
            raise ValueError
        return value

    read.wants = f"a number from {low:g} to {high:g}"
    return read


def _days_or_none(low: float) -> Callable[[str], float | None]:
    """Nothing, and 0, which is what a client's page has for it: for ever."""
    read_days = _number(low, 36500)

    def read(raw: str) -> float | None:
        return read_days(raw) if raw and raw != "0" else None

    read.wants = f"days, from {low:g} to 36500, or nothing"
    return read


def _choice(*choices: str) -> Callable[[str], str]:
    def read(raw: str) -> str:
        if raw.lower() not in choices:
            raise ValueError
        return raw.lower()

    read.wants = "one of " + ", ".join(choices)
    return read


def _yes_or_no(raw: str) -> bool:
    return {"yes": True, "true": True, "1": True, "on": True, "no": False, "false": False, "0": False, "off": False}[
        raw.lower()
    ]


_yes_or_no.wants = "yes or no"


def _web_address(raw: str) -> str:
    address = raw if "://" in raw else f"http://{raw}"
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError
    _ = parts.port  # raises ValueError on a port that is no port
    return address.rstrip("/")


_web_address.wants = "an address such as https://example.com"


def _web_address_or_none(raw: str) -> str:
    return _web_address(raw) if raw else ""


_web_address_or_none.wants = "an address such as https://example.com, or nothing"


def _web_address_as_typed(raw: str) -> str:
    if raw:
        _web_address(raw)
    return raw if "://" in raw or not raw else f"http://{raw}"


_web_address_as_typed.wants = "an address such as https://example.com/told, or nothing"


def _told_by_whatsapp(raw: str) -> str:
    parts = raw.split()
    if raw and not (len(parts) in (2, 3) and re.fullmatch(r"\+?[1-9]\d{6,14}", parts[0]) and re.fullmatch(r"[a-z0-9_]+/[A-Za-z_]+", parts[1])):
        raise ValueError
    return " ".join([parts[0].removeprefix("+"), *parts[1:]]) if raw else ""


_told_by_whatsapp.wants = "a phone number, `template/language` and, where one of several numbers is to send it, its phone number id; or nothing"


def _ollama_address(raw: str) -> str:
    """Like Ollama's own client a bare host means port 11434; unlike it, so does http://host (there it means port 80)."""
    parts = urlsplit(_web_address(raw))
    if not parts.port and parts.scheme == "http":
        parts = parts._replace(netloc=f"{parts.netloc.rstrip(':')}:11434")
    return parts.geturl()


_ollama_address.wants = "the Ollama server's address, such as http://127.0.0.1:11434"


_reply_options = work_options("temperature keep_alive", _ollama_address)
_document_options = work_options("temperature num_ctx num_predict keep_alive host", _ollama_address)
_embedding_options = work_options("num_ctx keep_alive host", _ollama_address)


def _redis_address(raw: str) -> str:
    if raw and not raw.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError
    return raw


_redis_address.wants = "redis://…, rediss://… or unix://…, or nothing to have bin/start run a Redis of its own"


def _secret_list(raw: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in raw.split(",") if part.strip())


_secret_list.wants = "one or more secrets, separated by commas"


def _delays(raw: str) -> tuple[float, ...]:
    values = tuple(float(part) for part in raw.split(","))
    if not all(0 <= value <= 86400 for value in values):
        raise ValueError
    return values


_delays.wants = "seconds, separated by commas, such as 10,60,300"


def _version(raw: str) -> str:
    if not (raw.startswith("v") and raw[1:].replace(".", "", 1).isdigit()):
        raise ValueError
    return raw


_version.wants = "a Graph API version such as v25.0"


def _folder(raw: str) -> Path:
    try:
        return Path(raw).expanduser()
    except RuntimeError:  # ~ of a user who has no home
        raise ValueError from None


_folder.wants = "a folder this user may write to"


def _folder_or_none(raw: str) -> Path | None:
    return _folder(raw) if raw else None


_folder_or_none.wants = "a folder this user may write to, or nothing"


def _long_secret(raw: str) -> str:
    if raw and len(raw) < 32:
        raise ValueError
    return raw


_long_secret.wants = "at least 32 characters, or nothing to have one made in DATA_DIR"


def _setting(default: str, read: Callable[[str], Any], meaning: str, secret: bool = False) -> Any:
    return field(repr=not secret, metadata={"default": default, "read": read, "meaning": meaning, "secret": secret})


@dataclass(frozen=True)
class Settings:
    frontdesk_env: str = _setting(
        "development",
        _choice("development", "production"),
        "`development` has the simulator; `production` has not, and asks for real credentials.",
    )
    data_dir: Path = _setting("data", _folder, "Folder of the database, the secret key and Redis' files.")
    secret_key: str = _setting(
        "", _long_secret, "Encrypts stored tokens and signs sessions. Made on the first run when empty.", secret=True
    )
    log_level: str = _setting(
        "info", _choice("debug", "info", "warning", "error"), "How much the processes print. Message text: debug only."
    )
    log_format: str = _setting(
        "auto", _choice("auto", "json", "text"), "How they print it. `auto`: one JSON object a line in production, plain lines in development."
    )
    sentry_dsn: str = _setting("", _web_address_or_none, "Where errors are reported, if anywhere; wants `requirements-sentry.txt` installed.", secret=True)

    web_host: str = _setting("127.0.0.1", _text, "Address the web process listens on.")
    web_port: int = _setting("8000", _whole(1, 65535), "Port the web process listens on.")
    web_workers: int = _setting("2", _whole(1, 64), "Web processes.")
    web_threads: int = _setting("8", _whole(1, 256), "Threads of each web process.")
    trusted_proxies: int = _setting(
        "0",
        _whole(0, 8),
        "Proxies in front of Frontdesk (1 behind Caddy or nginx): so many are believed what they say of a visitor's address and"
        " of https. 0: nobody is.",
    )
    simulator_port: int = _setting("8001", _whole(1, 65535), "Port of the simulator (development only).")

    redis_url: str = _setting(
        "", _redis_address, "Redis to use. Empty: `bin/start` runs one of its own in DATA_DIR.", secret=True
    )
    redis_appendfsync: str = _setting(
        "everysec",
        _choice("everysec", "always"),
        "How often our own Redis syncs its file. No crash of a process loses anything; a power cut may cost the last second"
        " of `everysec`, and nothing of `always`, which is slower.",
    )
    sqlite_synchronous: str = _setting(
        "normal",
        _choice("normal", "full"),
        "`normal` survives any crash of a process; `full` also loses no commit to a power cut.",
    )

    whatsapp_app_secrets: tuple[str, ...] = _setting(
        "", _secret_list, "App secrets that webhooks may be signed with, separated by commas.", secret=True
    )
    whatsapp_verify_token: str = _setting(
        "", _text, "The token you type into Meta's webhook form. Made on the first run when empty.", secret=True
    )
    graph_url: str = _setting("https://graph.facebook.com", _web_address, "The Graph API.")
    graph_version: str = _setting("v25.0", _version, "Version of the Graph API.")
    graph_timeout_seconds: float = _setting("20", _number(0.1, 120), "How long one call to the Graph API may take.")

    media_keep_days: int = _setting("90", _whole(1, 3650), "Files, sent or received, that nobody used for so many days are deleted.")
    file_wait_seconds: float = _setting(
        "60", _number(0, 600), "So long an answer waits for the customer's files to be fetched and read; then it is given without them."
    )
    transcription_url: str = _setting(
        "",
        _web_address_or_none,
        "A server with OpenAI's `/v1/audio/transcriptions`, such as speaches or whisper.cpp: voice messages become text. Empty: none.",
    )
    transcription_model: str = _setting("whisper-1", _text, "The model that server is asked for.")
    transcription_token: str = _setting("", _text, "Sent to that server as `Authorization: Bearer …`. Empty: nothing is.", secret=True)
    transcription_timeout_seconds: float = _setting("45", _number(0.1, 600), "How long the transcription of one message may take.")
    whisper_model: str = _setting(
        "", _text, "Without a server: folder of a model for faster-whisper, which is installed beside Frontdesk (docs/tour.md). Empty: none."
    )
    fetch_private_addresses: bool = _setting(
        "no",
        _yes_or_no,
        "Also fetch from private, loopback and link-local addresses that callers of the API and lookups name: for an intranet of your own.",
    )
    ollama_host: str = _setting("http://127.0.0.1:11434", _ollama_address, "The Ollama server.")
    ollama_model: str = _setting("llama3.2:3b", _text, "The model that answers, unless the client names another.")
    ollama_model_summary: str = _setting("", model_or_none, "The model that summarises (per client). Empty: `OLLAMA_MODEL`.")
    ollama_model_classification: str = _setting("", model_or_none, "The model that classifies (per client). Empty: `OLLAMA_MODEL`.")
    ollama_model_extraction: str = _setting(
        "", model_or_none, "The model that takes values from documents (per client). Empty: `OLLAMA_MODEL`."
    )
    ollama_embed_model: str = _setting(
        "embeddinggemma",
        _text,
        "The model by which documents are found by their meaning; `none`: by their words alone.",
    )
    ollama_num_ctx: int = _setting("4096", _whole(512, 1048576), "Context of the models, in tokens.")
    ollama_num_predict: int = _setting("300", _whole(16, 8192), "Longest answer to a customer, in tokens.")
    ollama_options_reply: WorkOptions = _setting(
        "", _reply_options, "For answers to customers. A client's own temperature goes before this one."
    )
    ollama_options_summary: WorkOptions = _setting("", _document_options, "For summaries, where it is not as usual.")
    ollama_options_classification: WorkOptions = _setting("", _document_options, "For classifications, where it is not as usual.")
    ollama_options_extraction: WorkOptions = _setting("", _document_options, "For extractions, where it is not as usual.")
    ollama_options_embedding: WorkOptions = _setting("", _embedding_options, "For finding documents by their meaning.")
    ollama_timeout_seconds: float = _setting(
        "120", _number(0.1, 3600), "Total time one answer may take, loading the model not included."
    )
    ollama_load_timeout_seconds: float = _setting("600", _number(0.1, 7200), "Time the model may take to load.")

    quiet_seconds: float = _setting(
        "2", _number(0, 120), "An answer waits until the customer has been quiet this long (per client)."
    )
    longest_wait_seconds: float = _setting(
        "15", _number(0, 600), "… but never longer than this after the first message (per client)."
    )
    early_start: bool = _setting(
        "yes",
        _yes_or_no,
        "While the model is idle, begin an answer before the quiet period is over; thrown away if the customer goes on.",
    )
    stale_after_minutes: float = _setting(
        "10", _number(0.01, 10080), "Older unanswered messages get one answer that begins with an apology (per client)."
    )
    patience_seconds: float = _setting(
        "60", _number(1, 86400), "With the model away this long, the customer gets one holding message (per client)."
    )
    answer_after_holding: bool = _setting(
        "yes", _yes_or_no, "Give the real answer when the model is back after a holding message (per client)."
    )

    document_timeout_seconds: float = _setting(
        "120", _number(0.1, 3600), "Total time one inference on a document may take. A customer's answer waits for one at most."
    )
    document_kept_hours: float = _setting("24", _number(0.01, 8760), "A single document's result is kept this long.")
    batch_kept_days: float = _setting("30", _number(0.01, 3650), "A batch of documents and its results are kept this long.")

    send_retry_seconds: tuple[float, ...] = _setting("10,60,300", _delays, "Delays before each retry of a failed send.")
    unknown_wait_seconds: float = _setting(
        "120", _number(1, 3600), "How long a send without an answer waits for a status as proof before it is repeated."
    )
    lease_seconds: float = _setting(
        "30", _number(2, 600), "Work of a process that died is taken over after this long; renewed every third of it."
    )
    sweep_seconds: int = _setting("15", _whole(1, 300), "How often the sweep looks for work that nobody carries.")
    send_threads: int = _setting("16", _whole(1, 128), "Sends under way at once in a `high` worker.")

    metrics_token: str = _setting(
        "", _text, "Who reads /metrics must send it: `Authorization: Bearer …`. Empty: this machine alone, and no proxy.", secret=True
    )

    alert_webhook_url: str = _setting(
        "",
        _web_address_as_typed,
        "Told, signed like every callback, what needs a person and when it is over. It may be an address of your own network. Empty: nobody is.",
        secret=True,
    )
    alert_whatsapp: str = _setting(
        "",
        _told_by_whatsapp,
        "Who is told the same by WhatsApp, such as `+4915112345678 frontdesk_alert/en 106540352242922`: an approved template with one variable"
        " (all of it) or two (whether it began or is over; what). Empty: nobody is.",
    )

    canary_minutes: int = _setting(
        "0",
        _whole(0, 1440),
        "So often a message of our own goes the whole way (webhook, queue, model, a send to nobody) while no customer waits. 0: never.",
    )
    canary_url: str = _setting(
        "", _web_address_or_none, "Where its webhook is posted, such as https://your.domain to go through the proxy too. Empty: the web process itself."
    )
    canary_ping_url: str = _setting(
        "",
        _web_address_as_typed,
        "Asked (GET) after each one that came through: a service that warns you when it stays silent. It may be of your own network.",
        secret=True,
    )

    messages_keep_days: float | None = _setting(
        "", _days_or_none(8), "Messages are deleted after so many days (per client). Empty: never. Under 8 a provider's repetition would be news."
    )
    closed_keep_days: float | None = _setting(
        "", _days_or_none(8), "Closed conversations in which nothing was said for so many days are deleted (per client). Empty: never."
    )
    audit_keep_days: int = _setting("365", _whole(30, 36500), "The audit log, of who did what, goes back so far.")
    erasures_keep_days: int = _setting(
        "400",
        _whole(30, 36500),
        "So long it is known, by keyed hashes, who was erased, so that a restored backup does not bring them back: as long as your oldest backup.",
    )

    backup_dir: Path | None = _setting(
        "", _folder_or_none, "Where a backup is put every night at 3:15, best on another disk. Empty: none is made."
    )
    backup_keep: int = _setting("14", _whole(1, 10000), "How many nightly backups are kept; older ones are deleted.")

    @property
    def development(self) -> bool:
        return self.frontdesk_env == "development"

    @property
    def embed_model(self) -> str | None:
        return None if self.ollama_embed_model == "none" else self.ollama_embed_model

    def model_of(self, kind: str) -> str | None:
        """Of a kind of work (frontdesk/work_options.py), where the client has none of its own; None: nobody does it."""
        if kind == EMBEDDING:
            return self.embed_model
        return getattr(self, f"ollama_model_{kind}", "") or self.ollama_model

    def options_of(self, kind: str) -> WorkOptions:
        return getattr(self, f"ollama_options_{kind}", None) or WorkOptions()

    def num_ctx_of(self, kind: str) -> int:
        return self.options_of(kind).num_ctx or self.ollama_num_ctx

    def host_of(self, kind: str) -> str:
        return self.options_of(kind).host or self.ollama_host

    @property
    def database_path(self) -> Path:
        return self.data_dir / "frontdesk.db"

    @property
    def media_dir(self) -> Path:
        return self.data_dir / "media"

    @property
    def redis_socket(self) -> Path:
        """Where our own Redis listens. The kernel takes 107 bytes for it, so a deep DATA_DIR gets a folder in /tmp."""
        path = self.data_dir / "redis.sock"
        if len(os.fsencode(path)) <= 100:
            return path
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        return Path(f"/tmp/frontdesk-{os.getuid()}-{digest}/redis.sock")

    @property
    def redis_address(self) -> str:
        return self.redis_url or f"unix://{self.redis_socket}"

    @property
    def web_url(self) -> str:
        """Our own pages, as this machine reaches them."""
        host = "127.0.0.1" if self.web_host in ("0.0.0.0", "::") else self.web_host
        return f"http://[{host}]:{self.web_port}" if ":" in host else f"http://{host}:{self.web_port}"

    @property
    def simulator_url(self) -> str:
        return f"http://127.0.0.1:{self.simulator_port}"

    @property
    def simulator_app_secret(self) -> str:
        """Signs the simulator's webhooks; trusted in development only."""
        return self.derived_secret("simulator app secret")

    @property
    def trusted_app_secrets(self) -> tuple[str, ...]:
        if self.development:
            return (*self.whatsapp_app_secrets, self.simulator_app_secret)
        return self.whatsapp_app_secrets

    @property
    def verify_token(self) -> str:
        return self.whatsapp_verify_token or self.derived_secret("webhook verify token")[:32]

    def derived_secret(self, purpose: str) -> str:
        """A secret for one purpose, the same as long as SECRET_KEY is (HMAC-SHA256, hex)."""
        return hmac.new(self.secret_key.encode(), purpose.encode(), hashlib.sha256).hexdigest()


def load(environ: Mapping[str, str] | None = None, env_file: Path | None = None) -> Settings:
    """The settings of this process. `environ` and `env_file` default to the real environment and ROOT/.env."""
    environ = os.environ if environ is None else environ
    in_file = _read_env_file(env_file or ROOT / ".env")
    values = {}
    for entry in fields(Settings):
        key = entry.name.upper()
        raw = (environ.get(key) or "").strip() or (in_file.get(key) or "").strip() or entry.metadata["default"]
        values[entry.name] = _read(key, raw, entry.metadata)
    values["data_dir"] = (ROOT / values["data_dir"]).resolve()
    _refuse_root_elsewhere(values["data_dir"])
    values["backup_dir"] = (ROOT / values["backup_dir"]).resolve() if values["backup_dir"] else None
    values["secret_key"] = values["secret_key"] or _kept_secret_key(values["data_dir"])
    settings = Settings(**values)
    _check_together(settings)
    return settings


def written(settings: Settings, with_secrets: bool) -> dict[str, str]:
    """What differs from the defaults, as `load` reads it; not DATA_DIR and SECRET_KEY, which belong to a machine."""
    found = {}
    for entry in fields(Settings):
        text = _written(getattr(settings, entry.name))
        secret = entry.metadata["secret"] and not with_secrets
        if entry.name not in ("data_dir", "secret_key") and not secret and text != entry.metadata["default"]:
            found[entry.name.upper()] = text
    return found


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(_written, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _read_env_file(path: Path) -> Mapping[str, str | None]:
    try:
        return dotenv_values(path, interpolate=False, encoding="utf-8-sig")  # Windows editors begin it with a mark
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise SettingsError(".env", f"'{path}' ({reason})", "to be a text file this user may read") from None


def _read(key: str, raw: str, metadata: Mapping[str, Any]) -> Any:
    try:
        return metadata["read"](raw)
    except (ValueError, KeyError):
        got = f"set to something else ({len(raw)} characters, not shown)" if metadata["secret"] else f"{raw!r}"
        raise SettingsError(key, got, getattr(metadata["read"], "wants", "another value")) from None


def _kept_secret_key(data_dir: Path) -> str:
    """The key of the first run, in a file only its owner may read; made atomically, for several processes may start."""
    path = data_dir / "secret_key"
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _make_secret_key(path)
        kept = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise SettingsError("DATA_DIR", f"'{data_dir}' ({error.strerror})", "a folder this user may write to") from None
    except UnicodeDecodeError:
        kept = ""
    if len(kept) < 32:
        raise SettingsError("SECRET_KEY", f"broken in its file '{path}'", "that file back from your backup")
    return kept


def _make_secret_key(path: Path) -> None:
    descriptor, draft = tempfile.mkstemp(prefix="secret_key.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)


def _refuse_root_elsewhere(data_dir: Path) -> None:
    """What root makes in a service's folder (a lock, a backup), the service itself can never open again."""
    if os.getuid() != 0 or not data_dir.exists() or (owner := data_dir.stat().st_uid) == 0:
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:  # a container's user without a name
        name = f"#{owner}"
    raise SettingsError("DATA_DIR", f"'{data_dir}', which belongs to {name}", f"its owner, not root: runuser -u {name} -- and the same command")


def _check_together(settings: Settings) -> None:
    if settings.longest_wait_seconds < settings.quiet_seconds:
        raise SettingsError(
            "LONGEST_WAIT_SECONDS", f"{settings.longest_wait_seconds:g}", "at least QUIET_SECONDS, which it bounds"
        )
    if settings.development and settings.simulator_port == settings.web_port:
        raise SettingsError("SIMULATOR_PORT", f"{settings.simulator_port}, as WEB_PORT is", "a port of its own")
    if settings.whisper_model and not settings.transcription_url:
        _check_whisper(settings.whisper_model)
    if not settings.development and not settings.whatsapp_app_secrets:
        raise SettingsError("WHATSAPP_APP_SECRETS", "empty", "the app secret of your Meta app (App settings > Basic)")


def _check_whisper(folder: str) -> None:
    if find_spec("faster_whisper") is None:
        raise SettingsError("WHISPER_MODEL", "set", "the package: .venv/bin/pip install faster-whisper")
    if not Path(folder).is_dir():
        raise SettingsError("WHISPER_MODEL", repr(folder), "the folder of a model that was converted for faster-whisper")
