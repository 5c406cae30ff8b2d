"""Bringing a database up to date: what was there is backed up first, and what came of it is checked. There is no way down but a backup."""

import logging
from dataclasses import dataclass
from pathlib import Path

from frontdesk.errors import FrontdeskError
from frontdesk.flows import backup
from frontdesk.settings import Settings
from frontdesk.store import database, installation, snapshot

log = logging.getLogger(__name__)

FOLDER, KEPT = "before-upgrades", 3


@dataclass(frozen=True, slots=True)
class Upgraded:
    """`steps`: names of the migrations that ran. `backup`: of what was there before, None where nothing was to do or nothing was there."""

    steps: list[str]
    backup: Path | None


def refuse_newer(settings: Settings) -> None:
    """A database that a newer Frontdesk has changed is not touched. Raises FrontdeskError."""
    if not settings.database_path.exists():
        return
    known = set(snapshot.known_schema())
    newer = [name for name in database.applied(settings) if name not in known]
    if newer:
        raise FrontdeskError(
            f"the database in {settings.data_dir} was used by a newer Frontdesk (it knows {newer[-1]}), and cannot go back; "
            "start that version again, or restore a backup of before: bin/frontdesk restore FILE"
        )


def bring_up_to_date(settings: Settings, now: float) -> Upgraded:
    """Safe to repeat. Raises FrontdeskError, with the backup named where one was made."""
    refuse_newer(settings)
    steps = database.pending(settings) if settings.database_path.exists() else []
    if not steps:
        database.migrate(settings)
        return Upgraded([], None)
    kept = _keep(settings, steps[0], now) if database.applied(settings) else None
    try:
        database.migrate(settings)
        damage = database.damage(settings)
    except Exception as error:
        raise FrontdeskError(_back(f"the database could not be brought up to date ({type(error).__name__}: {error})", kept)) from error
    if damage:
        raise FrontdeskError(_back(f"the database is not sound after the upgrade ({damage})", kept))
    if kept:
        log.info("database brought up to date: %s; before: %s", ", ".join(steps), kept)
    return Upgraded(steps, kept)


def _keep(settings: Settings, first_step: str, now: float) -> Path:
    folder = settings.data_dir / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{int(now)}-before-{first_step.partition('_')[0]}.tar"
    backup.write(settings, path, now)
    installation.sync(folder)
    for old in sorted(folder.glob("*-before-*.tar"), key=lambda one: int(one.name.partition("-")[0]))[:-KEPT]:
        old.unlink()
    return path


def _back(problem: str, kept: Path | None) -> str:
    return f"{problem}; what was there before is in {kept}: bin/frontdesk restore {kept}" if kept else problem
