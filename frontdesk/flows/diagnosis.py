"""What is wrong with this installation, and the mend, in words an operator can act on."""

import shutil
import sqlite3
import time
from collections.abc import Iterator

from frontdesk import fetch, queues
from frontdesk.channels import cloud_account, cloud_errors, wati_account
from frontdesk.flows import diagnosis_hosts, mends
from frontdesk.errors import FetchError, FrontdeskError, NumberStopped, SendError
from frontdesk.flows.finding import Finding
from frontdesk.settings import Settings
from frontdesk.store import database, embeddings, knowledge, numbers, vectors

CLOCK_TOLERANCE_SECONDS = 60
OLDEST_BACKUP_HOURS = 36
SPEECH_SECONDS = 3
LEAST_FREE_BYTES = 512 * 1024 * 1024


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check of `bin/frontdesk doctor`, each as soon as it is known."""
    yield Finding("settings", f"{settings.frontdesk_env}, data in {settings.data_dir}")
    yield from _redis(settings)
    db = yield from _database(settings)
    yield _backup(settings)
    yield from (_model(settings) if db is None else diagnosis_hosts.examine(settings, db, time.time()))
    yield from _speech(settings)
    if db is not None:
        yield from _knowledge(settings, db)
        yield from _numbers(settings, db)
        db.close()


def _knowledge(settings: Settings, db: sqlite3.Connection) -> Iterator[Finding]:
    """Nothing where there are no documents."""
    count = knowledge.live_count(db)
    if not count:
        return
    alone, name = f"{count} documents, found by their words alone", settings.embed_model
    model = embeddings.model(db, name) if name else None
    if model is None:
        yield Finding("knowledge", alone)
    elif not vectors.available(db):
        yield Finding("knowledge", alone, "use a Python whose sqlite3 can load extensions, such as Debian's: sqlite-vec is one")
    elif model.away_reason:
        yield Finding("knowledge", f"{alone}: {model.away_reason}", f"ollama pull {name}, or set OLLAMA_EMBED_MODEL")
    else:
        yield Finding("knowledge", f"{count} documents, found by words and by meaning ({name})")


# --- Redis, workers -----------------------------------------------------------------------------------------------------------


def _redis(settings: Settings) -> Iterator[Finding]:
    connection = queues.connect(settings.redis_address, timeout_seconds=3, retry=False)
    try:
        facts = queues.redis_facts(connection)
        workers = queues.workers_alive(connection)
        scheduler = queues.scheduler_alive(connection)
    except queues.RedisError as error:
        mend = "look at REDIS_URL, and whether it runs" if settings.redis_url else "start Frontdesk with bin/start"
        reason = " ".join(str(error).split()) or type(error).__name__
        yield Finding("Redis", f"does not answer ({reason})", mend)
        return
    yield _redis_finding(facts, is_ours=not settings.redis_url)
    for name, count in workers.items():
        mend = None if count else "start Frontdesk with bin/start, or look at the log of this worker"
        yield Finding(f"worker {name}", f"{count} alive", mend)
    mend = None if scheduler else "start Frontdesk with bin/start, or look at the log of the scheduler"
    yield Finding("scheduler", "alive" if scheduler else "not running", mend)


def _redis_finding(facts: queues.RedisFacts, is_ours: bool) -> Finding:
    # Our own never syncs by itself: frontdesk/processes.py does it each second, which loses less (docs/reliability.md).
    synced = "each second" if is_ours and facts.appendfsync == "no" else facts.appendfsync
    words = f"{facts.version}, append-only file {'on' if facts.appendonly else 'off'}, synced {synced}, {facts.eviction_policy}"
    if int(facts.version.split(".")[0]) < 6:
        return Finding("Redis", words, "install Redis 7 or newer")
    if not facts.appendonly:
        return Finding("Redis", words, "set `appendonly yes`: without it a restart loses acknowledged messages")
    if synced == "no":
        return Finding("Redis", words, "set `appendfsync everysec`: a power cut may cost half a minute otherwise")
    if facts.eviction_policy != "noeviction":
        return Finding("Redis", words, "set `maxmemory-policy noeviction`: any other drops queued work when memory is full")
    if not facts.last_write_ok:
        return Finding("Redis", words, "its last write to disk failed: look at the disk's free space")
    return Finding("Redis", words)


# --- the database ---------------------------------------------------------------------------------------------------------------


def _database(settings: Settings) -> Iterator[Finding]:
    if not settings.database_path.exists():
        yield Finding("database", "is not there yet", "run bin/start once: it is made on the first run")
        return None
    try:
        db = database.connect(settings)
        missing = database.pending(settings)
    except sqlite3.Error as error:
        yield Finding("database", f"cannot be opened ({error})", "restore the newest backup, or look at the file's owner")
        return None
    size = settings.database_path.stat().st_size
    words = f"{size / 1e6:.1f} MB, synchronous {settings.sqlite_synchronous}"
    mend = f"run bin/start: it brings the schema up to date ({', '.join(missing)})" if missing else None
    yield Finding("database", words, mend)
    free = shutil.disk_usage(settings.data_dir).free
    mend = "make room: with a full disk nothing can be acknowledged" if free < LEAST_FREE_BYTES else None
    yield Finding("disk", f"{free / 1e9:.1f} GB free", mend)
    return None if missing else db


def _backup(settings: Settings) -> Finding:
    from frontdesk.flows import backup  # only here: no process that serves wants it

    if settings.backup_dir is None:
        return Finding("backup", "none is made every night", None if settings.development else "set BACKUP_DIR, best on another disk")
    found = backup.kept(settings.backup_dir)
    if not found:
        return Finding("backup", f"none in {settings.backup_dir} yet", None if settings.development else "look again after the night; one at once: bin/frontdesk backup FILE")
    hours = (time.time() - found[-1].stat().st_mtime) / 3600
    words = f"{len(found)} in {settings.backup_dir}, the newest {hours:.0f} hours old"
    return Finding("backup", words, "look at the log of the bulk worker: none was made last night" if hours > OLDEST_BACKUP_HOURS else None)


# --- the model ------------------------------------------------------------------------------------------------------------------


def _speech(settings: Settings) -> Iterator[Finding]:
    """Nothing where voice messages are not to be understood."""
    if settings.transcription_url:
        try:
            fetch.call("GET", settings.transcription_url, timeout_seconds=SPEECH_SECONDS, allow_private=True)
        except FetchError as error:
            yield Finding("voice messages", f"their server: {error}", "start it, or correct TRANSCRIPTION_URL")
        else:
            yield Finding("voice messages", f"transcribed by {settings.transcription_model} at {settings.transcription_url}")
    elif settings.whisper_model:
        yield Finding("voice messages", f"transcribed by faster-whisper with {settings.whisper_model}")


def _model(settings: Settings) -> Iterator[Finding]:
    """The one that answers, where nothing is known of clients and workers."""
    server, model = diagnosis_hosts.ask(settings.ollama_host), settings.ollama_model
    found = diagnosis_hosts.server_finding(settings.ollama_host, server, model)
    yield found
    if found.ok:
        yield Finding("model", f"{model} is {'there' if server.has(model) else 'missing'}", None if server.has(model) else f"ollama pull {model}")


def notice(settings: Settings) -> str | None:
    """One line on what keeps answers from coming, for whoever looks at the simulator; None when nothing does."""
    db = database.connect(settings)
    try:
        for number in numbers.all_of_them(db):
            if number.stopped_at is not None:
                return (
                    f"The number is stopped and its messages wait: {number.stopped_reason} ({number.stopped_code}). When the "
                    f"cause is mended, run: bin/frontdesk numbers resume {number.external_id}"
                )
    finally:
        db.close()
    return model_notice(settings)


def model_notice(settings: Settings) -> str | None:
    """One line when the model cannot answer, None when it can. Takes two seconds at most when Ollama is away."""
    for finding in _model(settings):
        if not finding.ok:
            return f"{finding.subject}: {finding.words}. {finding.mend[0].upper()}{finding.mend[1:]}. Messages are kept, and answered when it is there."
    return None


# --- numbers ----------------------------------------------------------------------------------------------------------------------


def _numbers(settings: Settings, db: sqlite3.Connection) -> Iterator[Finding]:
    known = numbers.all_of_them(db)
    if not known:
        yield Finding("numbers", "none", "add yours: bin/frontdesk numbers add")
    for number in known:
        if check := _CHECKS.get(number.channel):
            yield from check(settings, number)


def number_findings(settings: Settings, number: numbers.Number) -> list[Finding]:
    """Asks its provider about one number."""
    check = _CHECKS.get(number.channel)
    return list(check(settings, number)) if check else []  # the web chat has no provider


def wati_number(settings: Settings, number: numbers.Number) -> Iterator[Finding]:
    name = f"number {number.display_phone or number.external_id}"
    yield from _stopped(number, name)
    try:
        server_time = wati_account.server_time(numbers.sender(number, settings))
    except NumberStopped as error:
        refused = error.code in (401, 403)
        words = f"the token is refused by WATI ({error})" if refused else str(error)
        yield Finding(name, words, "give the number a new token of WATI's" if refused else "look at the number's endpoint")
        return
    except (SendError, FrontdeskError) as error:
        yield Finding(name, str(error), "look at the number's endpoint and the network")
        return
    yield Finding(name, "token good at WATI")
    words = "has told what became of messages" if number.told_at else "has told nothing yet of messages that were sent"
    mend = None if number.told_at else "send a first message; if this stays, subscribe the webhook in WATI to the events on the number's page"
    yield Finding(f"webhook of {name}", words, mend)
    if server_time is not None:
        yield _clock(server_time)


def _stopped(number: numbers.Number, name: str) -> Iterator[Finding]:
    if number.stopped_at is not None:
        code = f" ({number.stopped_code})" if number.stopped_code else ""
        mend = f"mend the cause, then: bin/frontdesk numbers resume {number.external_id}"
        yield Finding(name, f"stopped: {number.stopped_reason}{code}", mend)


def cloud_number(settings: Settings, number: numbers.Number) -> Iterator[Finding]:
    name = f"number {number.display_phone or number.external_id}"
    yield from _stopped(number, name)
    try:
        sender = numbers.sender(number, settings)
        facts = cloud_account.number_facts(sender)
    except NumberStopped as error:
        if error.code == cloud_errors.NO_SUCH_NUMBER:
            yield Finding(name, str(error), mends.NUMBER_ID.mend.removesuffix("; then retry."))
        else:
            yield Finding(name, f"the token is refused: {error}", "store a new token: bin/frontdesk numbers add")
        return
    except (SendError, FrontdeskError) as error:
        yield Finding(name, str(error), "look at the number's id, GRAPH_URL and the network")
        return
    yield Finding(name, f"token good, {facts.verified_name} {facts.display_phone}")
    yield from _subscription(sender, name)
    if facts.server_time is not None:
        yield _clock(facts.server_time)


def mend_of_stop(number: numbers.Number) -> str:
    """What to do about a stopped number."""
    if mend := _MENDS_AT_WATI.get(number.stopped_code) if number.channel == "wati" else None:
        return f"{mend}, then resume the number."
    if number.stopped_code is None:
        if number.stopped_reason == numbers.BY_HAND:
            return "It was stopped by hand. Resume it when it should send again."
        return "Give the number a new token, then resume the number."  # what was refused before it reached Meta
    return f"{mends.cause_of(number.stopped_code).mend.removesuffix('; then retry.')}, then resume the number."


_CHECKS = {"cloud": cloud_number, "wati": wati_number}


def _subscription(sender, name: str) -> Iterator[Finding]:
    subject = f"webhook of {name}"
    if sender.account_id is None:
        yield Finding(subject, "cannot be checked: the WABA id is not known", "bin/frontdesk numbers add … --waba-id ID")
        return
    try:
        apps = cloud_account.subscribed_apps(sender)
    except SendError as error:
        yield Finding(subject, str(error), "give the token the permission whatsapp_business_management")
        return
    mend = None if apps else "subscribe your app: POST /{waba-id}/subscribed_apps (README, Going live)"
    yield Finding(subject, f"subscribed: {', '.join(apps)}" if apps else "no app is subscribed: nothing will arrive", mend)


# By HTTP status. Meta's own codes, which WATI passes on, have their mends in mends.py.
_MENDS_AT_WATI = {
    401: "Make a new token in WATI (API Docs, or Connectors) and store it here",
    402: "Look at the plan in WATI",
    403: "Give the token in WATI the right to write to conversations, and look at the plan",
    404: "Correct the endpoint: it is shown in WATI under API Docs",
    405: "Correct the endpoint: it is shown in WATI under API Docs",
}


def _clock(server_time: float) -> Finding:
    off = time.time() - server_time
    mend = "set the clock, e.g. with systemd-timesyncd" if abs(off) > CLOCK_TOLERANCE_SECONDS else None
    return Finding("clock", f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the provider's", mend)
