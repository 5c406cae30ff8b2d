"""Knowledge in a real browser: a document from the upload to an answer, and a question from its first asking to being found. Run: tests/browser/run"""

import re

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="a browser is needed: tests/browser/run")

from tests.browser.conftest import check_looks  # noqa: E402
from tests.stack import wait_for  # noqa: E402

MENU = b"# Bread\n\nRye bread costs 4.20.\n\n# Cakes\n\nLemon cake costs 3.90 a piece.\n"
EVIL = "<img src=x onerror=\"document.title='HACKED'\">"


@pytest.fixture
def knowledge(page, stack):
    page.goto(f"{stack.web_url}/knowledge")
    return page


def upload(page, name: str, content: bytes, button: str = "Add them") -> None:
    page.set_input_files("input[type=file]", {"name": name, "mimeType": "text/markdown", "buffer": content})
    page.click(f"button:has-text('{button}')")


def test_a_document_is_added_is_seen_coming_in_without_a_reload_and_its_text_is_shown(knowledge, stack):
    assert knowledge.is_visible("text=No documents yet")
    upload(knowledge, "menu.md", MENU)
    knowledge.wait_for_selector("text=It is being read.")
    knowledge.wait_for_selector("#documents .badge:has-text('found')", timeout=20_000)
    knowledge.click("#documents a:has-text('menu')")
    knowledge.wait_for_selector("text=Lemon cake costs 3.90 a piece.")


def test_what_is_looked_for_is_found_with_its_place(knowledge):
    knowledge.fill("#f-q", "how much is a lemon cake?")
    knowledge.press("#f-q", "Enter")
    knowledge.wait_for_selector("text=menu > Cakes")


def test_a_large_document_shows_how_far_it_is(knowledge, stack):
    upload(knowledge, "prices.md", "\n".join(f"# Item {n}\n\nThe price of item {n} is {n} euros.\n" for n in range(3000)).encode())
    knowledge.wait_for_selector("#documents li:has-text('prices') .badge.accent", timeout=10_000)
    knowledge.wait_for_selector("#documents li:has-text('prices'):has-text('3000 passages')", timeout=60_000)


def test_a_newer_version_takes_its_place(knowledge, stack):
    knowledge.click("#documents a:has-text('menu')")
    upload(knowledge, "menu.md", MENU.replace(b"3.90", b"4.10"), "Replace")
    knowledge.wait_for_selector("#documents li:has-text('menu'):has-text('version 2') .badge.success", timeout=20_000)
    knowledge.goto(f"{stack.web_url}/knowledge?q=lemon+cake")
    knowledge.wait_for_selector("text=Lemon cake costs 4.10 a piece.")
    assert "3.90" not in knowledge.content()


def test_switched_off_it_is_found_no_more_and_switched_on_again_it_is(knowledge, stack):
    knowledge.click("#documents a:has-text('menu')")
    knowledge.click("button:has-text('Switch off')")
    knowledge.wait_for_selector("text=switched off")
    knowledge.goto(f"{stack.web_url}/knowledge?q=lemon+cake")
    assert "Lemon cake costs" not in knowledge.content()
    knowledge.click("#documents a:has-text('menu')")
    knowledge.click("button:has-text('Switch on')")
    knowledge.goto(f"{stack.web_url}/knowledge?q=lemon+cake")
    knowledge.wait_for_selector("#documents li:has-text('menu') .badge.success", timeout=20_000)
    knowledge.reload()
    knowledge.wait_for_selector("text=Lemon cake costs 4.10 a piece.")


def test_a_client_is_told_to_answer_only_from_the_knowledge(page, stack):
    page.goto(f"{stack.web_url}/clients/1")
    page.check("text=Answer only from the knowledge")
    page.fill("#f-unknown_text", "Somebody will tell you.")
    page.check("text=Name the sources under an answer")
    page.locator("section[aria-labelledby=knows] button:has-text('Save')").click()
    page.wait_for_selector("text=Saved.")
    assert page.is_checked("#f-knowledge_only") and page.input_value("#f-unknown_text") == "Somebody will tell you."


def test_a_question_that_nothing_answers_is_answered_on_the_page_and_then_found(page, stack):
    stack.ollama.next("[[unknown]]", "[[unknown]]")
    for phone, words in (("4915120000001", "Is the lemon cake vegan?"), ("4915120000002", f"is lemon cake vegan {EVIL}")):
        stack.simulator.customer_writes(phone, words, name="Vera Vegan")
        assert stack.simulator.wait_for_answers(phone) == ["Somebody will tell you."]
    wait_for(lambda: stack.rows("SELECT 1 FROM question_groups"), 40)
    page.goto(f"{stack.web_url}/knowledge")
    page.click("text=Unanswered questions")
    page.wait_for_selector("h2:has-text('Is the lemon cake vegan?')")
    assert "HACKED" not in page.title()
    page.click("article.question >> nth=0 >> summary")
    page.locator("article.question textarea[name=answer]").first.fill("Yes, with oat milk.")
    page.locator("article.question button:has-text('Put it into the knowledge')").first.click()
    page.wait_for_selector("#lately .badge:has-text('found')", timeout=20_000)
    assert "First of what this question finds" in page.inner_text("#lately")
    stack.ollama.next("Yes, with oat milk.")
    stack.simulator.customer_writes("4915120000003", "is the lemon cake vegan?")
    assert stack.simulator.wait_for_answers("4915120000003") == ["Yes, with oat milk.\n\nFrom: Questions and answers"]


def test_the_keyboard_is_enough_to_write_an_answer(page, stack):
    stack.ollama.next("[[unknown]]")
    stack.simulator.customer_writes("4915120000004", "Do lemon cakes travel well by post?")
    stack.simulator.wait_for_answers("4915120000004")
    wait_for(lambda: stack.rows("SELECT 1 FROM question_groups WHERE state = 'open' AND text LIKE '%travel%'"), 40)
    page.goto(f"{stack.web_url}/knowledge/questions")
    page.locator("article.question:has-text('travel') summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("Three days at most.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#lately li:has-text('travel') .badge:has-text('found')", timeout=20_000)


def test_dismissed_a_question_is_gone(page, stack):
    stack.simulator.customer_writes("4915120000005", "zzqqxx vvbbnn?")
    assert stack.simulator.wait_for_answers("4915120000005") == ["Somebody will tell you."]
    wait_for(lambda: stack.rows("SELECT 1 FROM question_groups WHERE text LIKE 'zzqqxx%'"), 40)
    page.goto(f"{stack.web_url}/knowledge/questions")
    page.locator("article.question:has-text('zzqqxx') button:has-text('Dismiss')").click()
    page.wait_for_selector("text=Dismissed.")
    assert page.locator("article.question:has-text('zzqqxx')").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_accessible_and_fit_a_phone(page, stack, scheme):
    stack.simulator.customer_writes("4915120000006", "qqzzyy wwttrr?")
    stack.simulator.wait_for_answers("4915120000006")
    wait_for(lambda: stack.rows("SELECT 1 FROM question_groups WHERE state = 'open'"), 40)
    for path in ("/knowledge", "/knowledge?q=lemon+cake", "/knowledge/1", "/knowledge/questions", "/clients/1"):
        check_looks(page, f"{stack.web_url}{path}", scheme)
    assert re.search(r"asked (once|\d+ times)", page.goto(f"{stack.web_url}/knowledge/questions") and page.content())
