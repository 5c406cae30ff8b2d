"""Backups: flows/backup.py and flows/restore.py on real files, under writes, kills, damage and full disks."""

import dataclasses
import hashlib
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import pytest

import scheduler
from frontdesk import settings as settings_module
from frontdesk.errors import FrontdeskError
from frontdesk.flows import backup, diagnosis, first_run, inbound, restore
from frontdesk.settings import ROOT
from frontdesk.store import database, installation, outbox, secrets, snapshot
from frontdesk.store.migrations import migrations
from tests import webhooks

NOW = 1_790_000_000.0


@pytest.fixture
def elsewhere(tmp_path):
    """The settings of another, empty machine."""
    return settings_module.load({"DATA_DIR": str(tmp_path / "elsewhere")}, env_file=tmp_path / "none")


@pytest.fixture
def conversations(context):
    """A few conversations with words, and media."""
    for n in range(40):
        context.inbox.put("cloud", webhooks.texts(webhooks.text(f"Hello {n} 你好", sender=f"49151{n:07}", id=f"wamid.{n}")), context.now())
    inbound.drain(context)
    for n in range(5):
        content = random.Random(n).randbytes(70_000 * n)
        path = context.settings.data_dir / "media" / f"{n:02}" / hashlib.sha256(content).hexdigest()
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    for name in ("knowledge", "uploads"):
        (context.settings.data_dir / name).mkdir()
        (context.settings.data_dir / name / "kept").write_text(name)
    return context


def everything(settings) -> dict:
    """All rows of all tables, and all media."""
    with closing(database.connect(settings)) as db:
        tables = [name for [name] in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'messages_fts%' AND name <> 'audit'")]
        found = {table: [tuple(row) for row in db.execute(f"SELECT * FROM {table}")] for table in tables}
        found["search"] = [id for [id] in db.execute("SELECT rowid FROM messages_fts WHERE messages_fts MATCH 'hello'")]
    for folder in installation.FOLDERS:
        place = settings.data_dir / folder
        found[folder] = {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}
    return found


def in_a_process(code: str, settings, *arguments, **options) -> subprocess.Popen:
    """Python of its own on these settings; it says `ready` when it begins what the test is about."""
    environ = {**os.environ, "DATA_DIR": str(settings.data_dir), "PYTHONPATH": str(ROOT)}
    head = "import sys, time; from pathlib import Path; from frontdesk import settings as s; settings = s.load(env_file=Path('/nonexistent'))\n"
    return subprocess.Popen([sys.executable, "-c", head + code, *map(str, arguments)], env=environ, text=True, stdout=subprocess.PIPE, **options)


def test_a_backup_brings_everything_back_onto_an_empty_machine(conversations, elsewhere, tmp_path):
    path = tmp_path / "all.tar"
    manifest = backup.write(conversations.settings, path, NOW, with_secrets=True)
    assert manifest.counts["messages"] == 40 and not manifest.damage
    restore.restore(elsewhere, path, NOW, as_it_stood=True)
    assert everything(elsewhere) == everything(conversations.settings)
    assert len(everything(elsewhere)["search"]) == 40 and len(everything(elsewhere)["media"]) == 5
    again = settings_module.load({"DATA_DIR": str(elsewhere.data_dir)}, env_file=tmp_path / "none")
    with closing(database.connect(again)) as db:
        [[token]] = db.execute("SELECT access_token_encrypted FROM numbers")
    assert secrets.decrypt(again, token) == first_run.SIMULATOR_TOKEN


def test_a_backup_under_a_stream_of_writes_is_one_moment_and_holds_nobody_up(conversations, elsewhere, tmp_path, monkeypatch):
    """Between any two steps of it others commit, without waiting; none of that is in the copy, and it is not begun anew."""
    settings = conversations.settings
    monkeypatch.setattr(snapshot, "STEP_PAGES", 8)
    written = []
    with closing(database.connect(settings)) as db, database.without_waiting(db):
        db.execute("CREATE TABLE stream (id INTEGER PRIMARY KEY, padding TEXT)")
        db.execute("INSERT INTO stream (padding) VALUES ('before')")

        def somebody_writes() -> None:
            with database.transaction(db):
                db.execute("INSERT INTO stream (padding) VALUES (hex(randomblob(500)))")
            conversations.inbox.put("cloud", webhooks.texts(webhooks.text(id=f"wamid.late{len(written)}")), NOW)
            inbound.drain(conversations)
            written.append(1)

        backup.write(settings, tmp_path / "all.tar", NOW, going_on=somebody_writes)
        assert db.execute("SELECT COUNT(*) FROM stream").fetchone()[0] == 1 + len(written)
    assert len(written) > 10
    restore.restore(elsewhere, tmp_path / "all.tar", NOW)
    with closing(database.connect(elsewhere)) as db:
        assert [row[0] for row in db.execute("SELECT padding FROM stream")] == ["before"]
        assert db.execute("SELECT COUNT(*) FROM messages").fetchone()[0] == 40


def test_secrets_stay_out_unless_asked_for(conversations, tmp_path):
    settings = dataclasses.replace(
        conversations.settings, whatsapp_app_secrets=("the app's secret",), redis_url="redis://:word@host", ollama_model="qwen3:8b #1's"
    )
    backup.write(settings, tmp_path / "without.tar", NOW)
    content = (tmp_path / "without.tar").read_bytes()
    for secret in (b"the app's secret", b"word@host", settings.secret_key.encode()):
        assert secret not in content
    backup.write(settings, tmp_path / "with.tar", NOW, with_secrets=True)
    with tarfile.open(tmp_path / "with.tar") as tar:
        (tmp_path / "settings.env").write_bytes(tar.extractfile("settings.env").read())
    own = {"DATA_DIR": str(settings.data_dir), "SECRET_KEY": settings.secret_key}
    assert settings_module.load(own, env_file=tmp_path / "settings.env") == settings
    assert (tmp_path / "with.tar").stat().st_mode & 0o077 == 0


def test_every_folder_that_rows_speak_of_is_in_it(conversations, tmp_path):
    """Where a flow keeps files in a folder of its own, it must be one of FOLDERS."""
    sources = "".join(path.read_text() for path in (ROOT / "frontdesk").rglob("*.py"))
    named = set(re.findall(r'data_dir / "([a-z_]+)"', sources)) | set(re.findall(r'^FOLDER = "(\w+)"', sources, re.MULTILINE))
    assert named - {"redis", "secret_key"} == set(installation.FOLDERS)
    for draft in ("media/.unfinished/half", "knowledge/draft.half"):
        (conversations.settings.data_dir / draft).parent.mkdir(exist_ok=True)
        (conversations.settings.data_dir / draft).write_text("half")
    parts = backup.write(conversations.settings, tmp_path / "all.tar", NOW).parts
    assert {"knowledge/kept", "uploads/kept"} <= set(parts) and not [name for name in parts if "half" in name]


def test_what_was_there_is_kept_aside(conversations, elsewhere, tmp_path):
    backup.write(conversations.settings, tmp_path / "all.tar", NOW)
    database.migrate(elsewhere)
    first_run.prepare(elsewhere)
    (elsewhere.data_dir / "media").mkdir()
    (elsewhere.data_dir / "media" / "old").write_text("old")
    before = everything(elsewhere)
    aside = restore.restore(elsewhere, tmp_path / "all.tar", NOW).aside
    assert restore.restore(elsewhere, tmp_path / "all.tar", NOW).aside != aside
    assert everything(dataclasses.replace(elsewhere, data_dir=aside)) == before
    assert len(everything(elsewhere)["messages"]) == 40


def test_what_was_to_be_sent_or_answered_is_left_to_people(conversations, elsewhere, tmp_path, db):
    outbox.queue_text(db, conversation_id=1, number_id=1, text="Yes", purpose="answer", now=NOW)
    backup.write(conversations.settings, tmp_path / "all.tar", NOW)
    restored = restore.restore(elsewhere, tmp_path / "all.tar", NOW)
    assert (restored.sends, restored.answers) == (1, 40)
    with closing(database.connect(elsewhere)) as there:
        assert not outbox.to_send(there, NOW + 1e6)
        assert there.execute("SELECT COUNT(*) FROM conversations WHERE waiting_since IS NOT NULL OR needs_person_at IS NULL").fetchone()[0] == 0


def test_schedules_that_were_due_since_are_paused_and_later_ones_are_not(conversations, elsewhere, tmp_path, db):
    for next_at in (NOW - 60, NOW + 60):
        db.execute(
            """
            INSERT INTO schedules (public_id, client_id, number_id, conversation_id, name, content, time_zone, next_at, late_limit_seconds,
                created_at, updated_at)
            VALUES (?, 1, 1, 1, 'n', '{}', 'UTC', ?, 3600, 0, 0)
            """,
            (str(next_at), next_at),
        )
    backup.write(conversations.settings, tmp_path / "all.tar", NOW)
    restore.restore(elsewhere, tmp_path / "all.tar", NOW)
    with closing(database.connect(elsewhere)) as there:
        assert [row[0] for row in there.execute("SELECT state FROM schedules ORDER BY next_at")] == ["paused", "active"]


# --- refusals ---------------------------------------------------------------------------------------------------------------------


def test_a_running_installation_is_not_overwritten(conversations, elsewhere, tmp_path):
    backup.write(conversations.settings, tmp_path / "all.tar", NOW)
    running = in_a_process(
        "from frontdesk.store import installation; installation.hold(settings); print('ready', flush=True); sys.stdin.read()",
        elsewhere,
        stdin=subprocess.PIPE,
    )
    assert running.stdout.readline() == "ready\n"
    with pytest.raises(FrontdeskError, match="is running"):
        restore.restore(elsewhere, tmp_path / "all.tar", NOW)
    running.communicate()
    restore.restore(elsewhere, tmp_path / "all.tar", NOW)


def test_nothing_starts_while_a_restore_is_under_way(elsewhere):
    with installation.taken(elsewhere):
        process = in_a_process("from frontdesk.store import installation; installation.hold(settings)", elsewhere, stderr=subprocess.PIPE)
        assert "a restore into" in process.communicate()[1]


def test_a_file_cut_short_anywhere_is_refused(conversations, elsewhere, tmp_path):
    backup.write(conversations.settings, tmp_path / "all.tar", NOW)
    whole = (tmp_path / "all.tar").read_bytes()
    for length in [0, 1, 511, 512, 5000, len(whole) // 2, len(whole) * 9 // 10, len(whole.rstrip(b"\0")) - 1]:
        (tmp_path / "cut.tar").write_bytes(whole[:length])
        with pytest.raises(FrontdeskError, match="damaged"):
            restore.restore(elsewhere, tmp_path / "cut.tar", NOW)
    assert not elsewhere.database_path.exists()


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(conversations, elsewhere, tmp_path):
    """Between the parts of a tar file is padding that means nothing."""
    backup.write(conversations.settings, tmp_path / "all.tar", NOW)
    sound = restore.drill(elsewhere, tmp_path / "all.tar")
    whole = bytearray((tmp_path / "all.tar").read_bytes())
    chance = random.Random(4)
    places = [chance.randrange(len(whole)) for _ in range(60)] + [chance.randrange(2048) for _ in range(30)]
    refused = 0
    for place in places + [whole.rindex(b"manifest.json"), whole.rindex(b'"format"'), whole.rindex(b"manifest.sha256") + 600]:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << chance.randrange(8)
        (tmp_path / "flipped.tar").write_bytes(flipped)
        try:
            assert restore.drill(elsewhere, tmp_path / "flipped.tar") == sound
        except restore.Damaged:
            refused += 1
    assert refused > 60


def test_a_newer_schema_is_refused_with_words(conversations, elsewhere, tmp_path, db):
    db.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('frontdesk', 'm999_future', '2030')")
    backup.write(conversations.settings, tmp_path / "all.tar", NOW)
    with pytest.raises(FrontdeskError, match="newer Frontdesk .its database knows m999_future"):
        restore.restore(elsewhere, tmp_path / "all.tar", NOW)


def test_an_older_schema_is_brought_up_to_date(settings, elsewhere, tmp_path):
    from sqlite_utils import Database

    settings.data_dir.mkdir(exist_ok=True)
    with closing(database.connect(settings)) as db:
        migrations.apply(Database(db), stop_before="m007_dead_letters")
    backup.write(settings, tmp_path / "all.tar", NOW)
    restore.restore(elsewhere, tmp_path / "all.tar", NOW)
    assert database.pending(elsewhere) == []


@pytest.mark.parametrize("name", ["../out", "media/../../out", "/tmp/out", "media/a/../../../out", "else"])
def test_a_part_that_would_lie_elsewhere_is_refused(elsewhere, tmp_path, name):
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(restore.Damaged):
        restore.restore(elsewhere, tmp_path / "bad.tar", NOW)


def test_a_damaged_database_is_said_and_older_backups_stay(conversations, tmp_path):
    settings = dataclasses.replace(conversations.settings, backup_dir=tmp_path / "kept", backup_keep=1)
    with closing(database.connect(settings)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sound = backup.nightly(dataclasses.replace(conversations, settings=settings, now=lambda: NOW))
    content = bytearray(settings.database_path.read_bytes())
    with closing(sqlite3.connect(settings.database_path)) as db:
        [[root]] = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'messages_conversation'")
    content[(root - 1) * 4096 : root * 4096] = bytes(4096)
    settings.database_path.write_bytes(content)
    broken = backup.nightly(dataclasses.replace(conversations, settings=settings, now=lambda: NOW + 86400))
    assert backup.kept(settings.backup_dir) == [sound, broken]
    with pytest.raises(restore.Damaged):
        restore.drill(settings, broken)


# --- death and full disks -----------------------------------------------------------------------------------------------------------

BACKUP = "from frontdesk.flows import backup; print('ready', flush=True); backup.write(settings, Path(sys.argv[1]), 1.0)"
RESTORE = "from frontdesk.flows import restore; print('ready', flush=True); restore.restore(settings, Path(sys.argv[1]), float(sys.argv[2]), as_it_stood=True)"


def test_a_backup_that_is_killed_leaves_the_earlier_file_whole(conversations, elsewhere, tmp_path):
    path = tmp_path / "all.tar"
    backup.write(conversations.settings, path, NOW)
    digest = hashlib.sha256(path.read_bytes()).digest()
    for delay in (0.0, 0.01, 0.02, 0.03, 0.05):
        process = in_a_process(BACKUP, conversations.settings, path)
        process.stdout.readline()
        killer = threading.Timer(delay, process.send_signal, [signal.SIGKILL])
        killer.start()
        process.wait()
        killer.join()
        if process.returncode == -signal.SIGKILL and hashlib.sha256(path.read_bytes()).digest() != digest:
            restore.drill(elsewhere, path)  # it was killed after its last rename
    assert restore.drill(elsewhere, path).counts["messages"] == 40


def test_a_restore_that_is_killed_anywhere_leaves_the_old_or_the_new(conversations, elsewhere, tmp_path):
    """Killed before each of its renames in turn: then hold() finds one of the two, whole."""
    backup.write(conversations.settings, tmp_path / "all.tar", NOW, with_secrets=True)
    new = everything(conversations.settings)
    database.migrate(elsewhere)
    first_run.prepare(elsewhere)
    for name in installation.FOLDERS:
        (elsewhere.data_dir / name).mkdir()
    old = everything(elsewhere)
    spare = tmp_path / "spare"
    shutil.copytree(elsewhere.data_dir, spare)
    outcomes = []
    for nth in range(1, 80):
        shutil.rmtree(elsewhere.data_dir)
        shutil.copytree(spare, elsewhere.data_dir)
        log_of_nobody = elsewhere.data_dir / "frontdesk.db-wal"
        log_of_nobody.write_bytes(b"")
        deadly = (
            "import os, itertools; count = itertools.count(1)\n"
            "def deadly(call):\n"
            f"    return lambda *a, **k: os.kill(os.getpid(), 9) if next(count) == {nth} else call(*a, **k)\n"
            "os.rename, os.replace, os.unlink, os.mkdir = map(deadly, (os.rename, os.replace, os.unlink, os.mkdir))\n"
        )
        process = in_a_process(deadly + RESTORE, elsewhere, tmp_path / "all.tar", NOW)
        process.communicate()
        if process.returncode == 0:
            break
        holder = in_a_process("from frontdesk.store import installation; installation.hold(settings)", elsewhere)
        assert holder.wait() == 0
        found = everything(elsewhere)
        assert found in (old, new)
        outcomes.append(found == new)
        assert not (elsewhere.data_dir / installation.MARKER).exists()
    else:
        pytest.fail("it never came to its end")
    assert outcomes == sorted(outcomes) and set(outcomes) == {False, True}
    restore.restore(elsewhere, tmp_path / "all.tar", NOW + 1)
    assert not list(elsewhere.data_dir.glob("restoring.*"))


def on_a_small_disk(code: str, settings, folder: Path, megabytes: float, *arguments) -> subprocess.CompletedProcess:
    """Runs with a disk of its own at `folder`; skips where this user may not mount one even so."""
    folder.mkdir()
    tried = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(folder)], capture_output=True)
    if tried.returncode:
        pytest.skip("no disk can be mounted here")
    environ = {**os.environ, "DATA_DIR": str(settings.data_dir), "PYTHONPATH": str(ROOT)}
    script = f"mount -t tmpfs -o size={int(megabytes * 1024)}k none '{folder}' && exec '{sys.executable}' -c \"$0\" \"$@\"; "
    head = "import sys; from pathlib import Path; from frontdesk import settings as s; settings = s.load(env_file=Path('/nonexistent'))\n"
    command = ["unshare", "-rm", "sh", "-c", script, head + code, *map(str, arguments)]
    return subprocess.run(command, env=environ, capture_output=True, text=True)


def test_a_full_disk_is_said_and_leaves_nothing(conversations, tmp_path):
    code = (
        "import os; from frontdesk.flows import backup; backup._check_room = lambda *_: None\n"
        "try: backup.write(settings, Path(sys.argv[1]) / 'all.tar', 1.0)\n"
        "except Exception as error: print(type(error).__name__, error, os.listdir(sys.argv[1]))"
    )
    for megabytes in (0.1, 0.6, 1.2):
        place = tmp_path / f"small{megabytes}"
        ran = on_a_small_disk(code, conversations.settings, place, megabytes, place)
        assert "FrontdeskError there is no room" in ran.stdout and ran.stdout.rstrip().endswith("[]"), ran


def test_a_restore_onto_a_full_disk_changes_nothing(conversations, elsewhere, tmp_path):
    backup.write(conversations.settings, tmp_path / "all.tar", NOW)
    place = tmp_path / "small"
    code = (
        "import os; from frontdesk.flows import restore; restore._check_room = lambda *_: None\n"
        "try: restore.restore(settings, Path(sys.argv[1]), 1.0)\n"
        "except Exception as error: print(type(error).__name__, error, (settings.data_dir / 'frontdesk.db').exists())"
    )
    there = dataclasses.replace(elsewhere, data_dir=place)
    ran = on_a_small_disk(code, there, place, 0.6, tmp_path / "all.tar")
    assert "FrontdeskError there is no room" in ran.stdout and ran.stdout.rstrip().endswith("False"), ran


def test_too_little_room_is_known_before_it_is_begun(conversations, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(FrontdeskError, match="no room"):
        backup.write(conversations.settings, tmp_path / "all.tar", NOW)
    assert not list(tmp_path.glob("*all*"))


# --- every night ---------------------------------------------------------------------------------------------------------------------


def test_the_nightly_backups_are_rotated_and_nothing_else_is_touched(conversations, tmp_path):
    settings = dataclasses.replace(conversations.settings, backup_dir=tmp_path / "kept", backup_keep=3)
    settings.backup_dir.mkdir()
    (settings.backup_dir / "frontdesk-mine.tar").write_text("mine")
    (settings.backup_dir / ".frontdesk-20260101-000000.tar.x.partial").write_text("of one that was killed")
    for day in range(5):
        assert backup.nightly(dataclasses.replace(conversations, settings=settings, now=lambda: NOW + day * 86400))
    names = sorted(path.name for path in settings.backup_dir.iterdir())
    assert [name[:14] for name in names] == [".lock", "frontdesk-2026", "frontdesk-2026", "frontdesk-2026", "frontdesk-mine"]
    assert restore.newest(settings).name == names[3]
    assert restore.drill(settings, restore.newest(settings)).made_at == NOW + 4 * 86400


def test_two_nightly_backups_at_once_are_one(conversations, tmp_path):
    settings = dataclasses.replace(conversations.settings, backup_dir=tmp_path)
    with backup._only_one(tmp_path) as alone:
        assert alone
        assert backup.nightly(dataclasses.replace(conversations, settings=settings)) is None


def test_a_worker_that_must_end_gives_the_backup_up(conversations, tmp_path):
    settings = dataclasses.replace(conversations.settings, backup_dir=tmp_path)
    context = dataclasses.replace(conversations, settings=settings)
    context.stopping.set()
    with pytest.raises(backup.Stopped):
        backup.nightly(context)
    assert [path.name for path in tmp_path.glob("*frontdesk*")] == []


def test_the_scheduler_rings_for_it_only_where_a_folder_is_set(settings, tmp_path):
    assert "backup" not in [entry.name for entry in scheduler.recurring(settings)]
    [entry] = [e for e in scheduler.recurring(dataclasses.replace(settings, backup_dir=tmp_path)) if e.name == "backup"]
    assert (entry.job, entry.queue) == ("jobs.backup", "bulk")


def test_before_the_first_night_a_drill_says_to_name_a_backup_made_by_hand(conversations, tmp_path):
    settings = dataclasses.replace(conversations.settings, backup_dir=tmp_path)
    with pytest.raises(FrontdeskError, match="backup FILE"):
        restore.newest(settings)


def test_without_a_folder_no_backup_is_made_nor_found(conversations):
    assert backup.nightly(conversations) is None
    with pytest.raises(FrontdeskError, match="BACKUP_DIR"):
        restore.newest(conversations.settings)


def test_doctor_says_how_old_the_newest_backup_is(conversations, tmp_path):
    said = lambda settings: next(finding for finding in diagnosis.examine(settings) if finding.subject == "backup")  # noqa: E731
    settings = conversations.settings
    assert said(settings).ok and not said(dataclasses.replace(settings, frontdesk_env="production")).ok
    settings = dataclasses.replace(settings, backup_dir=tmp_path / "kept")
    path = backup.nightly(dataclasses.replace(conversations, settings=settings))
    assert said(settings).ok
    os.utime(path, (1, 1))
    assert "last night" in said(settings).mend


# --- the command line ------------------------------------------------------------------------------------------------------------------


def run(settings, *arguments) -> subprocess.CompletedProcess:
    environ = {**os.environ, "DATA_DIR": str(settings.data_dir), "BACKUP_DIR": str(settings.data_dir / "kept")}
    return subprocess.run([ROOT / "bin/frontdesk", *map(str, arguments)], env=environ, capture_output=True, text=True)


def test_the_commands_say_what_they_did(conversations, elsewhere, tmp_path):
    made = run(conversations.settings, "backup", tmp_path / "all.tar")
    assert made.returncode == 0 and "40 messages" in made.stdout and "secret key" in made.stdout
    tried = run(elsewhere, "restore", "--drill", tmp_path / "all.tar")
    assert tried.returncode == 0 and "sound" in tried.stdout and "another SECRET_KEY" in tried.stdout
    done = run(elsewhere, "restore", tmp_path / "all.tar")
    assert done.returncode == 0 and "before-restore-" in done.stdout and "marked for a person" in done.stdout
    for wrong in (["restore"], ["restore", tmp_path / "no.tar"], ["restore", "--drill"], ["backup", tmp_path / "no" / "all.tar"]):
        said = run(elsewhere, *wrong)
        assert said.returncode == 2 and said.stderr.startswith("frontdesk: ") and said.stderr.count("\n") == 1, (wrong, said)
