"""Every door for files: who may send them, how large, what they are by their content, what becomes of their names, how they come back."""

import io
import json
import re
from pathlib import Path

import pytest

from frontdesk.flows import audience
from frontdesk.settings import ROOT
from frontdesk.store import api_tokens, files, media
from frontdesk.store.database import transaction
from frontdesk.web import attachments, widget
from frontdesk.web.api.routes import OPERATIONS
from tests import desk, media_bodies as bodies, webhooks
from tests.test_inbound import receive
from tests.test_templates import keep, made

SCHEMA = json.dumps({"type": "object", "properties": {"n": {"type": "string"}}, "required": ["n"]})
LIST, CHECKS = b"phone\n+4915120000001\n", b"question,must\nOpen?,yes\n"
EMPTY = {"rate": "", "spread_hours": "", "quiet_from": "", "quiet_until": "", "most_waiting": "", "error_percent": "10"}
OFFER = {f"from_{name}": "text" for name in ("1", "2", "button_1")} | {f"text_{name}": "x" for name in ("1", "2", "button_1")}

# Path → the other fields of the form, a file that is taken there and its ending.
DESK = {
    "/knowledge/of/1": ({}, b"# Bread\n\nMade of rye.", "md"),
    "/knowledge/1/replace": ({}, b"# Bread\n\nMade of wheat.", "md"),
    "/audiences": ({"way": "file", "client": "1", "region": "DE", "name": ""}, LIST, "csv"),
    "/documents": ({"kind": "summary", "client": "", "bullets": "3", "categories": "a\nb", "schema": SCHEMA}, b"A text.", "txt"),
    "/clients/1/checks/import": ({}, CHECKS, "csv"),
    "/inbox/1/answer": ({"text": "Look"}, bodies.PNG, "png"),
    "/inbox/1/compose/template": ({"template": "1", "when": "now", "1": "a", "2": "b", "button_1": "c"}, bodies.PNG, "png"),
    "/broadcasts": ({**EMPTY, **OFFER, "name": "Spring", "number": "1", "audience": "1", "template": "1"}, bodies.PNG, "png"),
}
API = {
    "/media": ({}, bodies.PNG, "png"),
    "/audiences": ({"name": "Regulars"}, LIST, "csv"),
    "/summaries": ({}, b"A text.", "txt"),
    "/classifications": ({}, b"A text.", "txt"),
    "/extractions": ({"schema": SCHEMA}, b"A text.", "txt"),
    "/summarise": ({}, b"A text.", "txt"),
    "/classify": ({}, b"A text.", "txt"),
    "/batches": ({"kind": "summary"}, b"A text.", "txt"),
}
DOORS = {path: door for path, door in DESK.items()} | {f"/api/v1{path}": door for path, door in API.items()}
TO_CUSTOMERS = [path for path, (_, body, _) in DOORS.items() if body == bodies.PNG]

# One of each kind, where several lead to the same code.
ALIKE = {"/inbox/1/compose/template", "/broadcasts", *(f"/api/v1/{name}" for name in ("summarise", "classify", "classifications", "extractions"))}
DIFFERENT = [path for path in DOORS if path not in ALIKE]

NAMES = [
    "../../../../etc/cron.d/x.{}", "..\\..\\x.{}", "/etc/x.{}", "a\0b.{}", "a" * 3000 + ".{}", "\u202egnp.{}", "<img src=x onerror=alert(1)>.{}",
    "=cmd|' /C calc'!A1.{}", "%2e%2e%2fx.{}", "x.php.{}", ".{}", "ünï — 名前 \U0001f600.{}", "' OR 1=1;--.{}",
]  # fmt: skip


@pytest.fixture
def token(app, db, clock):
    with transaction(db):
        return api_tokens.add(db, "shop", None, ("send", "read", "broadcasts", "documents"), None, clock())


@pytest.fixture
def owner(app, context):
    """With a conversation, an audience, a document and a template with a picture: 1, each."""
    receive(context, webhooks.texts(webhooks.text("Hello", at=context.now())))
    keep(context, made("weekly_offer"))
    owner = desk.log_in(app)
    for path in ("/knowledge/of/1", "/audiences"):
        assert hand_in(owner, path).status_code == 303
    audience.read(context, 1)
    return owner


@pytest.fixture
def handed_in(app, owner, token):
    """Hand a file in at a door, as somebody who may."""
    return lambda path, *args, **options: hand_in(owner, path, *args, token=token, **options)


def hand_in(browser, path: str, body: bytes | None = None, name: str = "file.{}", declared: str = "application/octet-stream", token: str = "", **options):
    """The form is written by hand: no client would send such names."""
    fields, usual, ending = DOORS[path]
    headers = {"Authorization": f"Bearer {token}"} if path.startswith("/api/") else {}
    fields = fields if headers else {"csrf_token": browser.csrf_token(), **fields}
    parts = [f'form-data; name="{key}"\r\n\r\n{value}'.encode() for key, value in fields.items()]
    quoted = name.format(ending).replace('"', "%22")
    parts.append(f'form-data; name="file"; filename="{quoted}"\r\nContent-Type: {declared}\r\n\r\n'.encode() + (usual if body is None else body))
    form = b"".join(b"--limit\r\nContent-Disposition: " + part + b"\r\n" for part in parts) + b"--limit--\r\n"
    return browser.post(path, data=form, headers=headers, content_type="multipart/form-data; boundary=limit", **options)


def test_every_door_for_files_is_in_these_lists():
    assert {f"/api/v1{one.path}" for one in OPERATIONS if one.takes_files} == {path for path in DOORS if path.startswith("/api/")}
    web = ROOT / "frontdesk" / "web"
    reading = {path.stem for path in web.glob("*.py") if "request.files" in path.read_text()}
    assert reading == {"knowledge", "audience_forms", "documents", "checks", "thread", "compose", "broadcast_forms"}


def test_a_good_file_is_taken_at_each(handed_in):
    assert {path: answer for path in DOORS if (answer := handed_in(path).status_code) not in (200, 201, 202, 303)} == {}


# --- who, and how much --------------------------------------------------------------------------------------------------------------


class Unread(io.BytesIO):
    def read(self, *args):
        raise AssertionError("a stranger's file was read")

    readline = readinto = read1 = read


def test_nothing_of_a_stranger_s_file_is_read(app):
    environ = {"wsgi.input": Unread(), "CONTENT_LENGTH": "50000000", "CONTENT_TYPE": "multipart/form-data; boundary=limit"}
    for path in DOORS:
        answer = app.test_client().post(path, headers={"X-CSRF-Token": "guess"}, environ_overrides=environ)
        assert answer.status_code in (401, 403), path


def test_what_is_announced_as_larger_than_the_door_is_refused_before_it_is_read(handed_in):
    for path in DOORS:
        assert handed_in(path, environ_overrides={"CONTENT_LENGTH": str(10**12)}).status_code == 413, path


class Endless(io.RawIOBase):
    """A body that does not say how long it is, and does not end."""

    def __init__(self, beginning: bytes):
        self.left, self.given = beginning, 0

    def readable(self):
        return True

    def readinto(self, buffer):
        data = (self.left + b"x" * len(buffer))[: len(buffer)]
        self.left, self.given = self.left[len(data) :], self.given + len(data)
        buffer[: len(data)] = data
        return len(data)


@pytest.mark.parametrize("path", ["/clients/1/checks/import", "/api/v1/summaries"])
def test_what_does_not_end_is_cut_off_at_the_door_s_limit(app, owner, token, path):
    beginning = b'--limit\r\nContent-Disposition: form-data; name="file"; filename="x.txt"\r\n\r\n'
    body = Endless(beginning)
    environ = {"wsgi.input": body, "wsgi.input_terminated": True, "CONTENT_TYPE": "multipart/form-data; boundary=limit"}
    headers = {"Authorization": f"Bearer {token}", "X-CSRF-Token": owner.csrf_token(), "Transfer-Encoding": "chunked"}
    assert owner.post(path, headers=headers, environ_overrides=environ).status_code == 413
    assert 1_000_000 < body.given < 40_000_000


# --- what it is, and what it is called ----------------------------------------------------------------------------------------------


def test_what_goes_to_customers_is_what_its_content_says(handed_in, settings):
    for path in TO_CUSTOMERS:
        for body in (bodies.SVG, bodies.HTML, bodies.EXE, bodies.GIF, b"", b"<?php system($_GET['c']); ?>\0"):
            assert handed_in(path, body, declared="image/png").status_code == 422, (path, body[:10])
        assert handed_in(path, bodies.SVG).status_code == 422, path
    assert kept_under(settings.media_dir) == []


@pytest.mark.parametrize("ending", ["txt", "csv", "zip", "docx", "svg"])
def test_whatever_is_in_a_file_no_door_stumbles(handed_in, ending):
    for body in (bodies.EXE * 50, b"\xff\xfe\x00", b'"' * 5000, b"PK\x03\x04" + b"\0" * 100, b"\x80" * 5000):
        for path in DIFFERENT:
            assert handed_in(path, body, name=f"file.{ending}").status_code < 500, path


def test_a_name_leads_nowhere_on_the_disk_and_is_text_on_the_page(handed_in, owner, settings, tmp_path):
    outside = kept_under(tmp_path, but=settings.data_dir)
    for path in DIFFERENT:
        for name in NAMES:
            assert handed_in(path, name=name).status_code < 500, (path, name)
    found = kept_under(settings.data_dir)
    assert kept_under(tmp_path, but=settings.data_dir) == outside
    own = re.compile(r"frontdesk\.db.*|[a-z._]+|uploads/[0-9a-f]{32}|knowledge/[0-9a-f]{64}|media/[0-9a-f]{2}/[0-9a-f]{64}|redis/.*")
    for file in found:
        assert own.fullmatch(str(file.relative_to(settings.data_dir))), file
        assert not file.stat().st_mode & 0o111 and (not own.fullmatch(file.name) or file.stat().st_mode & 0o077 == 0), file
    for page in ("/knowledge", "/audiences", "/documents", "/clients/1/checks", "/inbox/1", "/broadcasts"):
        shown = owner.get(page)
        assert shown.status_code == 200 and "<img src=x" not in shown.text, page


def kept_under(folder: Path, but: Path | None = None) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not (but and path.is_relative_to(but)))


# --- how it comes back --------------------------------------------------------------------------------------------------------------

HARMLESS = {"image/jpeg", "image/png", "image/webp"}
STORED = ["image/svg+xml", "text/html", "application/xhtml+xml", "text/xml", "application/pdf", "text/plain", "application/octet-stream", "application/zip"]


def put(context, mime_type: str, filename: str, body: bytes = bodies.SVG):
    """As if it had come past every check."""
    with files.unfinished(context.settings.media_dir, 10) as file:
        file.write(body)
        file.keep(context.settings.media_dir)
        with transaction(context.db) as db:
            return media.add_ready(
                db, client_id=1, sha256=file.sha256, mime_type=mime_type, size_bytes=len(body), filename=filename, animated=False, now=context.now()
            )


def test_what_opens_in_the_page_is_pictures_sounds_and_videos_alone():
    assert set(attachments.SHOWN) == HARMLESS and set(widget.SHOWN) <= HARMLESS and set(attachments.PLAYED) == {"audio/", "video/"}


def test_a_file_that_a_browser_could_run_is_only_ever_saved(owner, context):
    for mime_type in STORED:
        found = put(context, mime_type, 'menu "spring" <b>.svg')
        shown = owner.get(f"/media/{found.public_id}")
        assert shown.status_code == 200 and shown.data == bodies.SVG
        assert shown.headers["Content-Disposition"].startswith("attachment;"), mime_type
        assert shown.headers["X-Content-Type-Options"] == "nosniff" and shown.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


def test_a_picture_opens_as_what_it_was_found_to_be_and_in_no_other_way(owner, context):
    shown = owner.get(f"/media/{put(context, 'image/png', 'x.html').public_id}")
    assert shown.mimetype == "image/png" and shown.headers["X-Content-Type-Options"] == "nosniff"
    assert "attachment" not in shown.headers["Content-Disposition"]


def test_nobody_but_the_desk_gets_a_file_of_it(app, context):
    found = put(context, "image/png", "x.png")
    assert app.test_client().get(f"/media/{found.public_id}").status_code == 401
