"""Knowledge on the desk: added, looked at, searched, replaced, switched off, removed."""

import io

import pytest

from frontdesk.flows import knowledge as flow
from frontdesk.store import knowledge
from tests.test_knowledge import MENU


@pytest.fixture
def desk(app):
    return app.extensions["frontdesk"]


def upload(browser, name: str, content: bytes, path: str = "/knowledge/of/1"):
    return browser.submit(path, file=(io.BytesIO(content), name))


def read_all(desk) -> None:
    for row in desk.db.execute("SELECT id FROM knowledge_documents WHERE settled = 0").fetchall():
        flow.read_document(desk, row["id"])


def test_with_no_documents_the_page_says_what_to_add(owner):
    assert "No documents yet" in owner.get("/knowledge").text


def test_a_file_is_added_read_shown_and_found(owner, desk):
    assert upload(owner, "menu.md", MENU).status_code == 303
    assert "being read" in owner.get("/knowledge").text
    read_all(desk)
    page = owner.get("/knowledge").text
    assert "menu" in page and "3 passages" in page
    assert "Lemon cake costs 3.90 a piece." in owner.get("/knowledge/1").text
    assert "menu &gt; Cakes" in owner.get("/knowledge?client=1&q=price+of+lemon+cakes").text
    assert "Nothing has any of these words" in owner.get("/knowledge?client=1&q=zzzqqq").text


def test_what_is_typed_is_a_document_too(owner, desk):
    assert owner.submit("/knowledge/of/1", name="Hours", text="# Sunday\nClosed.").status_code == 303
    read_all(desk)
    assert "Sunday" in owner.get("/knowledge/1").text
    page = owner.submit("/knowledge/of/1", name="", text="words that were typed")
    assert page.status_code == 422 and "A name is missing." in page.text and "words that were typed" in page.text


def test_a_file_that_cannot_be_taken_says_why(owner, desk):
    page = upload(owner, "prices.xls", b"x")
    assert page.status_code == 422 and "prices.xls: &#39;.xls&#39; files cannot be read" in page.text
    upload(owner, "broken.pdf", b"no pdf")
    read_all(desk)
    page = owner.get("/knowledge/1").text
    assert "cannot be read" in page and "It is not a PDF file" in page and "Try again" in page
    assert owner.submit("/knowledge/1/again").status_code == 303
    assert knowledge.get(desk.db, 1).state == "new"


def test_replaced_switched_off_and_removed(owner, desk):
    upload(owner, "menu.md", MENU)
    read_all(desk)
    assert upload(owner, "menu.md", MENU + b"\n# New\n\nNew words.", "/knowledge/1/replace").status_code == 303
    read_all(desk)
    assert "version 2" in owner.get("/knowledge").text and "A newer version took its place" in owner.get("/knowledge/1").text
    owner.submit("/knowledge/2/switch")
    assert "switched off" in owner.get("/knowledge").text
    owner.submit("/knowledge/2/switch")
    assert owner.submit("/knowledge/2/remove").status_code == 303
    assert owner.get("/knowledge/2").status_code == 404


def test_what_a_document_says_is_shown_as_text(owner, desk):
    upload(owner, "<b>x.txt", b"<script>alert(1)</script>")
    read_all(desk)
    for path in ("/knowledge", "/knowledge/1", "/knowledge?q=alert"):
        page = owner.get(path).text
        assert "<script>alert" not in page and "<b>x" not in page


def test_only_owners_see_it_and_no_form_works_without_its_token(agent, visitor, owner):
    assert agent.get("/knowledge").status_code == 403
    assert visitor.get("/knowledge").status_code == 302
    assert owner.post("/knowledge/of/1", data={"name": "x", "text": "y"}).status_code in (400, 403)
    assert owner.get("/knowledge?client=77").status_code == 404


def test_a_long_text_is_shown_in_parts(owner, desk):
    upload(owner, "long.md", "\n".join(f"# Part {n}\n\nWords {n}.\n" for n in range(100)).encode())
    read_all(desk)
    assert "Words 39." in owner.get("/knowledge/1").text and "Words 40." not in owner.get("/knowledge/1").text
    assert "Words 40." in owner.get("/knowledge/1?from=40").text


def test_the_desk_shows_under_an_answer_which_passages_it_saw(owner, desk):
    from frontdesk.store import seen
    from tests.demo import fill

    fill(desk.db, desk.settings, 1, desk.now())
    row = desk.db.execute("SELECT id, conversation_id FROM messages WHERE purpose = 'answer' ORDER BY id LIMIT 1").fetchone()
    seen.put(desk.db, row["id"], [seen.Shown(1, "Menu > <b>Cakes", "Lemon cake <i>3.90", 0.7)])
    page = owner.get(f"/inbox/{row['conversation_id']}").text
    assert "From 1 passage" in page and "Menu &gt; &lt;b&gt;Cakes" in page and "Lemon cake &lt;i&gt;3.90" in page


def test_an_address_that_is_none_is_refused_at_once_and_one_of_this_machine_when_it_is_read(owner, desk):
    assert owner.submit("/knowledge/of/1", url="http://127.0.0.1:6379/").status_code == 303
    read_all(desk)
    assert "could not be fetched" in owner.get("/knowledge").text
    owner.submit("/knowledge/1/remove")
    read_all(desk)
    db, page = desk.db, owner.submit("/knowledge/of/1", url="file:///etc/passwd")
    assert page.status_code == 422 and db.execute("SELECT COUNT(*) FROM knowledge_documents").fetchone()[0] == 0
