"""A backup holds whom it held: erased people are erased again before a restored installation starts."""

import dataclasses
import io
from contextlib import closing

import pytest
from click.testing import CliRunner

from frontdesk import settings as settings_module
from frontdesk.cli import restore as command
from frontdesk.flows import backup, erasing, erasure_journal, inbound, media, restore
from frontdesk.store import audit, database, erasures, files
from frontdesk.store.database import transaction
from tests import media_bodies, webhooks
from tests.test_broadcasting import people  # noqa: F401 (a fixture)
from tests.test_erasing import ANA, BEN, WORD, arrive, conversation_of, erase, everything, queue


@pytest.fixture
def backed_up(context, people, tmp_path):  # noqa: F811
    """A backup from before Ana was erased. Returns its file."""
    ana = arrive(context, ANA, f"One {WORD}")
    arrive(context, BEN, "Hello")
    theirs = media.keep(context, io.BytesIO(media_bodies.PNG + b"ana"), client_id=1, filename="a.png", declared_type="image/png")
    queue(context, conversation_of(context, ana), "a picture", media_id=theirs.id)
    people(f"+{ANA},{WORD}", f"+{BEN},Ben")
    path = tmp_path / "backups" / "before.tar"
    path.parent.mkdir()
    backup.write(context.settings, path, context.now(), with_secrets=True)
    assert WORD.encode() in path.read_bytes()
    context.now.forward(3600)
    erase(context, ana)
    return path


def found_in(settings) -> tuple[str, list[audit.Entry], int]:
    with closing(database.connect(settings)) as db:
        folder = settings.media_dir
        return everything(db), audit.newest(db), sum(len(files.kept(folder, each)) for each in files.beginnings(folder))


def restored(settings, path, now=1_790_010_000.0):
    return restore.restore(settings, path, now)


def test_a_restore_erases_again_whom_the_backup_still_knows(context, backed_up):
    context.db.close()
    result = restored(context.settings, backed_up)
    kept, log, pictures = found_in(context.settings)
    assert (result.erased, result.of_another_key) == (1, 0)
    assert ANA not in kept and WORD not in kept and BEN in kept and pictures == 0
    assert [entry.deed for entry in log][:2] == ["restored", "contact.erased"]
    whole = b"".join(path.read_bytes() for path in context.settings.data_dir.glob("frontdesk.db*"))
    assert ANA.encode() not in whole and WORD.encode() not in whole


def test_on_a_new_machine_the_journal_beside_the_backups_says_whom(context, backed_up, tmp_path):
    here = dataclasses.replace(context.settings, backup_dir=backed_up.parent)
    [line] = erasure_journal.read(here.data_dir)
    erasure_journal.write(here, [line, line])
    assert ANA not in (backed_up.parent / erasure_journal.NAME).read_text()
    new = settings_module.load({"DATA_DIR": str(tmp_path / "new"), "SECRET_KEY": here.secret_key}, env_file=tmp_path / "none")
    assert restored(new, backed_up).erased == 1
    kept, _, _ = found_in(new)
    assert ANA not in kept and BEN in kept
    assert erasure_journal.read(new.data_dir) == [line], "and from there on the new machine knows it too"


def test_without_the_file_the_database_that_goes_aside_says_whom(context, backed_up):
    (context.settings.data_dir / erasure_journal.NAME).unlink()
    context.db.close()
    assert restored(context.settings, backed_up).erased == 1
    assert len(erasure_journal.read(context.settings.data_dir)) == 1


def test_under_another_key_it_is_said_that_nobody_could_be_erased(context, backed_up, tmp_path, monkeypatch):
    (backed_up.parent / erasure_journal.NAME).write_text((context.settings.data_dir / erasure_journal.NAME).read_text())
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "new"))
    monkeypatch.setenv("SECRET_KEY", "another key, which is long enough to be one")
    said = CliRunner().invoke(command.restore, [str(backed_up)])
    assert "1 erasures could NOT be repeated" in said.output, said.output


def test_a_backup_made_after_the_erasure_needs_none_and_who_came_back_stays(context, backed_up, tmp_path):
    context.now.forward(60)
    arrive(context, ANA, "I am back")
    later = tmp_path / "later.tar"
    backup.write(context.settings, later, context.now())
    context.db.close()
    assert restored(context.settings, later).erased == 0
    assert "I am back" in found_in(context.settings)[0]


def test_late_webhooks_of_the_erased_are_not_taken_in_after_the_restore_either(context, backed_up):
    erased_at = context.now()
    context.db.close()
    restored(context.settings, backed_up)
    database._local.__dict__.clear()
    context.now.forward(60)
    context.inbox.put("cloud", webhooks.texts(webhooks.text("verspätet", sender=ANA, at=erased_at - 5)), context.now())
    inbound.drain(context)
    assert "verspätet" not in everything(context.db)


def test_what_was_done_since_the_backup_stays_in_the_audit_log(context, backed_up):
    context.now.forward(5)
    with transaction(context.db) as db:
        audit.record(db, "user.role", "user 9", context.now(), role="owner")
    context.db.close()
    restored(context.settings, backed_up)
    assert "user.role" in [entry.deed for entry in found_in(context.settings)[1]]


def test_the_journal_outlives_a_cut_line_and_forgets_in_time(context, backed_up):
    path = context.settings.data_dir / erasure_journal.NAME
    whole = path.read_text()
    path.write_text(whole + whole[:20])
    other = erasure_journal.Line(1, 99, 5.0, ("x",), "k")
    erasure_journal.write(context.settings, [other])
    assert [line.contact_id for line in erasure_journal.read(context.settings.data_dir)] == [99, 1]
    erasing.clean(context)
    assert [line.contact_id for line in erasure_journal.read(context.settings.data_dir)] == [1]
    context.now.forward(401 * 24 * 3600)
    erasing.clean(context)
    assert erasure_journal.read(context.settings.data_dir) == [] and erasures.of_contact(context.db, 1)
