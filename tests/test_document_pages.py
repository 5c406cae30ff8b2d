"""Documents on the desk."""

import io

import pytest

from tests.test_documents import CLASSIFIED, model, work  # noqa: F401
from tests.test_inbound import rows


def hand_over(browser, *files, **fields):
    given = {"kind": "classification", "client": "", "categories": "invoice\nother", **fields}
    return browser.submit("/documents", file=[(io.BytesIO(data), name) for name, data in files], **given)


def test_files_are_handed_over_watched_and_taken_along(owner, context, model):
    answer = hand_over(owner, ("a.txt", b"Invoice <7>"), ("b.png", b"\x89\0"))
    assert answer.status_code == 303
    page = owner.get(answer.location)
    assert "1 of 2" in page.text and "This is not a text file" in page.text and "Pause" in page.text
    model.behaviour.text = CLASSIFIED
    work(context)
    page = owner.get(answer.location).text
    assert "2 of 2" in page and "invoice" in page and "hx-get" not in page.split('id="standing"')[1].split(">")[0]
    assert "a.txt" in owner.get(f"{answer.location}/results.csv").text
    lines = owner.get(f"{answer.location}/results.jsonl")
    assert lines.headers["Content-Disposition"].endswith(".jsonl") and len(lines.text.splitlines()) == 2
    assert "1 of 2" in owner.get("/documents").text


def test_a_folder_is_handed_over_without_what_the_system_keeps_in_it(owner, db):
    folder = [(io.BytesIO(b"Invoice"), name) for name in ("bills/a.txt", "bills/2026/b.txt", "bills/.DS_Store")]
    assert owner.submit("/documents", folder=folder, kind="summary", client="").status_code == 303
    assert [row["name"] for row in rows(db, "SELECT name FROM document_tasks ORDER BY id")] == ["bills/a.txt", "bills/2026/b.txt"]


def test_a_batch_is_paused_resumed_and_cancelled(owner, db):
    at = hand_over(owner, ("a.csv", b"text\none\ntwo")).location
    owner.submit(f"{at}/pause")
    assert "paused" in owner.get(at).text and {row["state"] for row in rows(db, "SELECT state FROM document_tasks")} == {"paused"}
    owner.submit(f"{at}/resume")
    assert {row["state"] for row in rows(db, "SELECT state FROM document_tasks")} == {"queued"}
    owner.submit(f"{at}/cancel")
    assert "cancelled" in owner.get(at).text
    assert "nothing left to change" in owner.post(f"{at}/pause", data={"csrf_token": owner.csrf_token()}, follow_redirects=True).text


def test_the_standing_is_sent_again_only_when_it_changed(owner):
    at = hand_over(owner, ("a.txt", b"one")).location
    first = owner.fragment(f"{at}/standing")
    known = first.text.split("known=")[1].split('"')[0]
    assert owner.fragment(f"{at}/standing?after=0&known={known}").status_code == 204


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Choose files, or paste a text."),
        ({"text": "x", "kind": "poem"}, "Choose one of these."),
        ({"text": "x", "categories": "one"}, "Write 2 to 50 categories"),
        ({"text": "x", "kind": "extraction", "schema": "{"}, "This is not JSON"),
        ({"text": "x", "kind": "extraction", "schema": "{}"}, "This is no schema"),
        ({"text": "x", "kind": "summary", "bullets": "99"}, "The number of points"),
        ({"files": [("a.zip", b"no zip")]}, "This ZIP cannot be read"),
        ({"files": [("a.csv", b"a,b\n1,2")]}, "Say which column"),
        ({"files": [("a.txt", b"x")], "text": "y"}, "Either files or a text"),
    ],
)
def test_what_is_wrong_is_said_beside_the_form(owner, db, fields, words):
    answer = hand_over(owner, *fields.pop("files", []), **fields)
    assert answer.status_code == 422 and words in answer.text
    assert rows(db, "SELECT id FROM document_batches") == []


def test_documents_are_for_owners_and_what_is_gone_is_told(owner, agent):
    assert agent.get("/documents").status_code == 403
    assert owner.get("/documents/batch_none").status_code == 404


def test_the_overview_and_the_figures_say_how_many_are_left(owner, app):
    hand_over(owner, ("a.csv", b"text\none\ntwo"))
    assert 'href="/documents"><span class="figure">2</span>' in owner.get("/overview").text
    assert "\nfrontdesk_documents 2.0" in app.test_client().get("/metrics").get_data(as_text=True)
