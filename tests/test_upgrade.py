"""Upgrades: from every released version, with a backup of before; and no way down."""

import gzip
import os
import re
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from frontdesk import __version__, settings as settings_module
from frontdesk.cli import frontdesk
from frontdesk.errors import FrontdeskError
from frontdesk.flows import restore, upgrade
from frontdesk.store import database, installation

# One database for each version that was released, made by that version: some conversations of a bakery.
RELEASED = sorted(Path(__file__).with_name("released").glob("*.db.gz"))
NOW = 1_795_300_000.0


@pytest.fixture
def installed(tmp_path):
    """Settings of a folder that holds a released database."""

    def make(path: Path = RELEASED[-1]):
        settings = settings_module.load({"DATA_DIR": str(tmp_path / "data"), "SECRET_KEY": "k" * 32}, env_file=tmp_path / "none")
        settings.data_dir.mkdir()
        settings.database_path.write_bytes(gzip.decompress(path.read_bytes()))
        return settings

    return make


def schema(settings) -> set[tuple[str, str]]:
    """Every table, index and trigger, however its words are spaced."""
    with closing(database.connect(settings)) as db:
        rows = db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE '\\_sqlite%' ESCAPE '\\'")
        return {(row["name"], " ".join(re.sub(r"--[^\n]*", "", row["sql"]).replace('"', "").split())) for row in rows}


def counts(settings) -> dict[str, int]:
    with closing(database.connect(settings)) as db:
        return {table: db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in ("contacts", "conversations", "messages", "clients", "numbers")}


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.name.removesuffix(".db.gz"))
def test_a_released_version_s_database_is_brought_up_to_date_with_all_its_rows(path, installed, tmp_path):
    settings = installed(path)
    before = counts(settings)
    done = upgrade.bring_up_to_date(settings, NOW)
    assert counts(settings) == before and before["messages"] > 30
    assert done.steps and database.damage(settings) is None
    fresh = settings_module.load({"DATA_DIR": str(tmp_path / "fresh")}, env_file=tmp_path / "none")
    database.migrate(fresh)
    assert schema(settings) == schema(fresh)


def test_what_was_there_before_is_kept_and_can_be_drilled(installed):
    settings = installed()
    kept = upgrade.bring_up_to_date(settings, NOW).backup
    assert kept.parent == settings.data_dir / upgrade.FOLDER and kept.stat().st_mode & 0o077 == 0
    assert restore.drill(settings, kept).counts["messages"] == counts(settings)["messages"]


def test_a_second_time_nothing_is_to_do(installed):
    settings = installed()
    upgrade.bring_up_to_date(settings, NOW)
    assert upgrade.bring_up_to_date(settings, NOW + 1) == upgrade.Upgraded([], None)


def test_only_the_newest_backups_of_before_are_kept(installed):
    settings = installed()
    for n in range(upgrade.KEPT + 2):
        newest = upgrade._keep(settings, "m099_x", NOW + n)
    left = sorted(path.name for path in (settings.data_dir / upgrade.FOLDER).iterdir())
    assert len(left) == upgrade.KEPT and newest.name in left


def test_a_database_of_a_newer_version_is_refused_with_words_and_not_touched(installed):
    settings = installed()
    upgrade.bring_up_to_date(settings, NOW)
    with closing(database.connect(settings)) as db:
        db.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('frontdesk', 'm999_future', '2030')")
    for act in (lambda: upgrade.bring_up_to_date(settings, NOW), lambda: upgrade.refuse_newer(settings)):
        with pytest.raises(FrontdeskError, match="used by a newer Frontdesk .it knows m999_future.*restore"):
            act()


def test_a_step_that_fails_names_the_backup_to_go_back_to(installed, monkeypatch):
    settings = installed()

    def fails(_settings):
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(database, "migrate", fails)
    with pytest.raises(FrontdeskError, match=r"disk on fire.*bin/frontdesk restore .*before-m"):
        upgrade.bring_up_to_date(settings, NOW)


def test_what_is_not_sound_afterwards_is_said(installed, monkeypatch):
    settings = installed()
    with closing(database.connect(settings)) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute("UPDATE messages SET conversation_id = 999 WHERE id = 1")
    with pytest.raises(FrontdeskError, match="a row of messages names one of conversations"):
        upgrade.bring_up_to_date(settings, NOW)


def run(*arguments: str, monkeypatch, settings):
    monkeypatch.setattr(settings_module, "load", lambda *_: settings)
    return CliRunner().invoke(frontdesk, arguments)


def test_the_command_says_what_it_did(installed, monkeypatch):
    settings = installed()
    said = run("upgrade", monkeypatch=monkeypatch, settings=settings)
    assert said.exit_code == 0 and "-before-m0" in said.output and f"Frontdesk {__version__} now" in said.output
    assert "Nothing was to do." in run("upgrade", monkeypatch=monkeypatch, settings=settings).output


def test_the_command_is_refused_while_frontdesk_runs(installed, monkeypatch):
    settings = installed()
    installation.hold(settings)
    try:
        said = run("upgrade", monkeypatch=monkeypatch, settings=settings)
        assert isinstance(said.exception, FrontdeskError) and "stop it first" in str(said.exception)
    finally:
        os.close(installation._held.pop(settings.data_dir))


def test_the_version_is_told():
    assert CliRunner().invoke(frontdesk, ["--version"]).output == f"Frontdesk {__version__}\n"
