"""docs/settings.md and .env.example say what the table in frontdesk/settings.py says.

After a change there:  python -m tests.test_settings_documented
"""

import textwrap
from dataclasses import fields

import pytest
from dotenv import dotenv_values

from frontdesk import settings as settings_module
from frontdesk.settings import ROOT, Settings

INTRODUCTION = """\
# Settings

Set them in the environment or in a file `.env` beside `bin/` (copy `.env.example`); the environment wins. A wrong value stops the
start and is named. An empty one counts as not set. What says "per client" can also be set for each client.

| Key | Default | Takes | Meaning |
|---|---|---|---|
"""

EXAMPLE_INTRODUCTION = """\
# Copy this file to .env and take the # away from the lines you change; what is shown is the default.
# The environment wins over this file.
"""


def documentation() -> str:
    rows = []
    for entry in fields(Settings):
        default = f"`{entry.metadata['default']}`" if entry.metadata["default"] else "(empty)"
        wants = getattr(entry.metadata["read"], "wants", "text")
        rows.append(f"| `{entry.name.upper()}` | {default} | {wants} | {entry.metadata['meaning']} |")
    return INTRODUCTION + "\n".join(rows) + "\n"


def example() -> str:
    parts = [EXAMPLE_INTRODUCTION]
    for entry in fields(Settings):
        wants = getattr(entry.metadata["read"], "wants", "text")
        words = textwrap.wrap(f"{entry.metadata['meaning']} Takes {wants}.", 118)
        parts.append("\n".join(f"# {line}" for line in words))
        parts.append(f"#{entry.name.upper()}={entry.metadata['default']}\n")
    return "\n".join(parts)


FILES = {ROOT / "docs/settings.md": documentation, ROOT / ".env.example": example}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_file_says_what_the_table_says(path):
    assert path.read_text() == FILES[path](), "run: python -m tests.test_settings_documented"


def test_the_example_with_every_line_taken_is_the_defaults(tmp_path):
    taken = tmp_path / ".env"
    lines = [line.removeprefix("#") for line in example().splitlines() if not line.startswith("# ")]
    taken.write_text("\n".join(lines))
    assert set(dotenv_values(taken)) == {entry.name.upper() for entry in fields(Settings)}
    own = {"SECRET_KEY": "k" * 32, "DATA_DIR": "data"}
    assert settings_module.load(own, env_file=taken) == settings_module.load(own, env_file=tmp_path / "none")


def test_every_setting_says_what_it_means():
    for entry in fields(Settings):
        assert entry.metadata["meaning"].rstrip().endswith((".", ")")), entry.name
        assert "|" not in entry.metadata["meaning"] and "\n" not in entry.metadata["meaning"]


if __name__ == "__main__":
    for path, text in FILES.items():
        path.write_text(text())
