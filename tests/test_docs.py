"""What README and docs/ show is tried: the API's examples by a real curl, the callbacks' sample, the words after bin/frontdesk."""

import json
import re
import shlex
import shutil
import subprocess
import threading
import time
import zipfile

import click
import pytest
from werkzeug.serving import make_server

from frontdesk.cli import frontdesk
from frontdesk.flows import audience, callbacks
from frontdesk.settings import ROOT
from frontdesk.store import api_tokens
from frontdesk.store.database import transaction
from tests import webhooks
from tests.test_inbound import receive
from tests.test_templates import keep, made

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"bin/frontdesk ([a-z][^`\n]*)")


def curls(page: str) -> list[str]:
    """The commands of the page's indented blocks that call curl, each with all of its lines."""
    lines = [line[4:] for line in page.splitlines() if line.startswith("    ")]
    return re.findall(r"^curl .*?(?=^\S|\Z)", "\n".join(lines), re.DOTALL | re.MULTILINE)


@pytest.fixture
def address(app):
    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def newcomer(context, db, clock, tmp_path):
    """A token for everything, the files that the examples name, and a customer who has just written."""
    keep(context, made("order_ready"))
    receive(context, webhooks.texts(webhooks.text("Hello", sender="4915112345678", at=context.now())))
    shutil.copy(ROOT / "tests/files/picture.jpg", tmp_path / "cake.jpg")
    (tmp_path / "people.csv").write_text("phone,name\n+49 151 12345678,Ana\n")
    (tmp_path / "letter.txt").write_text("Spring is here.")
    (tmp_path / "invoice.schema.json").write_text(json.dumps({"type": "object", "properties": {"number": {"type": "string"}}}))
    with zipfile.ZipFile(tmp_path / "invoices.zip", "w") as file:
        file.write(tmp_path / "letter.txt", "letter.txt")
    with transaction(db):
        return api_tokens.add(db, "newcomer", None, api_tokens.SCOPES, None, clock())


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
def test_each_example_of_the_api_s_page_is_taken_as_it_stands(context, address, newcomer, tmp_path):
    known = {}
    for command in curls((ROOT / "docs/api.md").read_text()):
        for name, value in known.items():
            command = command.replace(f"<{name}>", str(value))
        asked = command.replace("curl ", "curl -sS --fail-with-body ", 1)
        environ = {"api": f"{address}/api/v1", "token": newcomer, "PATH": "/usr/local/bin:/usr/bin:/bin"}
        done = subprocess.run(["sh", "-c", asked], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        known |= json.loads(done.stdout)
        if "/audiences" in command:
            audience.read(context, known["audience_id"])
    assert {"task_id", "media_id", "schedule_id", "broadcast_id", "batch_id"} <= known.keys()


def test_the_sample_for_programs_that_are_told_knows_our_signature_and_no_other():
    [sample] = re.findall(r"```python\n(.*?)```", (ROOT / "docs/callbacks.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(sample, names)  # noqa: S102 - our own page
    is_ours, now, body = names["is_ours"], int(time.time()), b'{"task_id": "doc_1"}'
    header = callbacks.signature(["new", "old"], now, body)
    assert is_ours("new", header, body) and is_ours("old", header, body)
    assert not is_ours("another", header, body) and not is_ours("new", header, body + b" ")
    assert not is_ours("new", callbacks.signature(["new"], now - 301, body), body)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_the_pages_say_to_type_are_commands_with_those_options(page):
    for words in COMMAND.findall(page.read_text()):
        typed = shlex.split(words.replace("'", ""), comments=True)
        command: click.Command = frontdesk
        while isinstance(command, click.Group):
            assert command.get_command(None, typed[0]), words
            command = command.get_command(None, typed.pop(0))
        command.make_context("bin/frontdesk", typed, resilient_parsing=True)  # raises for an option that it has not
