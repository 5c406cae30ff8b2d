"""Replays and checks in a real browser against the real stack: chosen, watched, marked by keys and without scripts, adopted; checks asked."""

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="a browser is needed: tests/browser/run")

from tests.browser.conftest import check_looks  # noqa: E402
from tests.stack import wait_for  # noqa: E402

EVIL = "<img src=x onerror=\"document.title='HACKED'\">"
ASKED = ["When are you open on Sunday?", f"How much is the sourdough? {EVIL}", "Do you deliver?"]
BEFORE = ["On Sunday we are open from 8:00 to 12:00.", f"It is 4.80. {EVIL}", "I do not know, a person will answer."]
NOW = ["On Sunday we are open from 9:00 to 12:00.", f"It is 4.80. {EVIL}", "No, but you can collect it."]


@pytest.fixture(scope="module")
def asked(stack):
    """Three customers with an answer each."""
    for n, (question, answer) in enumerate(zip(ASKED, BEFORE, strict=True)):
        stack.ollama.next(answer)
        stack.simulator.customer_writes(f"49151600{n}", question)
        stack.simulator.wait_for_answers(f"49151600{n}", 1)


def begin(page, stack, **fields) -> None:
    page.goto(f"{stack.web_url}/replays/new?client=1")
    for name, text in fields.items():
        page.fill(f"#f-{name}", text)
    page.click("text=Begin")


def cards(page):
    return page.locator("[data-turn]")


def test_past_answers_are_replayed_marked_by_keys_and_adopted(asked, page, stack):
    page.goto(f"{stack.web_url}/replays")
    page.click("text=Make the first")
    page.wait_for_selector("text=3 answers")
    page.fill("#f-words", "sourdough")
    page.keyboard.press("Tab")
    page.wait_for_selector("#found >> text=1 answer")
    page.select_option("#f-period", "days")
    page.wait_for_selector("text=Say from which day")
    assert page.locator("#f-first").is_visible()
    page.select_option("#f-period", "today")
    page.fill("#f-words", "")
    page.keyboard.press("Tab")
    page.wait_for_selector("text=3 answers")
    stack.ollama.next(*[{"text": text, "first_token_delay_seconds": 0.6} for text in NOW])
    page.fill("#f-prompt", page.input_value("#f-prompt") + "\nNothing is delivered.")
    page.click("text=Begin")
    page.wait_for_selector("text=Answers appear here as they come")
    page.wait_for_selector("[data-turn] >> nth=2", timeout=20_000)
    page.wait_for_selector("[aria-label=Progress]", state="detached", timeout=20_000)
    assert page.locator("del:has-text('8:00')").count() == 1 and page.locator("ins:has-text('9:00')").count() == 1
    assert page.locator("text=did not know, answers now").count() == 1 and page.locator("img[src=x]").count() == 0

    page.keyboard.press("j")
    page.keyboard.press("w")
    page.wait_for_selector("#standing .bad >> text=1")
    page.keyboard.press("s")
    page.wait_for_selector("[data-turn] .badge:has-text('the same') >> nth=0")
    page.keyboard.press("k")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("b")
    wait_for(lambda: [row["mark"] for row in stack.rows("SELECT mark FROM replay_items ORDER BY id")] == ["worse", "same", "better"])
    page.wait_for_selector("#show-better >> text=1")
    page.click("#show-worse")
    assert cards(page).count() == 1 and "8:00" in cards(page).inner_text()

    page.click("text=Adopt it")
    page.click("#confirm-yes")
    page.wait_for_url("**/clients/1")
    assert "Nothing is delivered." in page.input_value("#f-prompt")
    page.click("a:has-text('Versions')")
    page.wait_for_selector(".added:has-text('Nothing is delivered.')")
    assert len(stack.simulator.sends()) == 0, "the simulator was emptied before, and has heard nothing since"


def test_all_of_it_works_without_scripts(asked, page, stack, browser, session):
    plain = browser.new_context(java_script_enabled=False, storage_state=session.storage_state())
    tab = plain.new_page()
    tab.goto(f"{stack.web_url}/replays/new?client=1")
    tab.fill("#f-words", "Sunday")
    tab.click("text=Begin")
    assert tab.locator("h1:has-text('Replay of')").count() == 1
    wait_for(lambda: not stack.rows("SELECT id FROM replay_items WHERE state <> 'done'"))
    tab.reload()
    tab.click(".mark-better")
    assert tab.locator(".mark-better[aria-pressed=true]").count() == 1 and "#t" in tab.url
    tab.click("#show-better")
    assert tab.locator("[data-turn]").count() == 1
    plain.close()


def test_a_customer_s_question_becomes_a_check_and_is_asked(asked, page, stack):
    page.goto(f"{stack.web_url}/replays/1")
    cards(page).nth(0).locator("text=Save as a check").click()
    page.wait_for_selector("#f-question")
    assert page.input_value("#f-question") == ASKED[0]
    page.fill("#f-must", "***")
    page.click("text=Add it")
    page.wait_for_selector("#e-must")
    page.fill("#f-must", "8:00 / 8 am\nSunday")
    page.click("text=Add it")
    page.wait_for_selector("text=The check is there.")
    page.fill("#f-question", f"Who is the mayor? {EVIL}")
    page.check("#f-must_decline")
    page.click("text=Add it")
    page.wait_for_selector("text=Who is the mayor?")
    stack.ollama.next("Sundays from 8 AM on.", f"Ada is. {EVIL}")
    page.click("text=Ask them now")
    page.wait_for_selector("[data-turn] >> nth=1", timeout=20_000)
    page.click("#show-wrong")
    assert cards(page).count() == 2 and page.locator("text=Missing: Sunday").count() == 1, "Sundays is another word"
    page.goto(f"{stack.web_url}/clients/1/checks")
    with page.expect_download() as download:
        page.click("text=Download as CSV")
    assert "8:00 / 8 am | Sunday" in download.value.path().read_text(encoding="utf-8-sig")
    page.set_input_files("#f-file", download.value.path())
    page.click("text=Take it in")
    page.wait_for_selector("text=0 added, 0 changed.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_its_pages_look_right(asked, page, stack, scheme):
    stack.ollama.behave(first_token_delay_seconds=30)
    begin(page, stack, persona=f"A parrot {EVIL}")
    page.wait_for_selector("#standing >> text=working")
    running = page.url.removeprefix(stack.web_url)
    paths = ["/replays", "/replays/new?client=1", "/replays/new?conversation=1", "/replays/1", "/replays/1?show=unmarked", "/replays/2", "/replays/3"]
    for path in (*paths, running, "/clients/1/checks", "/clients/1/checks?item=1", "/clients/1/checks/1", "/clients/1"):
        check_looks(page, stack.web_url + path, scheme)
        assert page.locator("img[src=x]").count() == 0
    page.goto(stack.web_url + running)
    page.click("button:has-text('Cancel')")
    page.click("#confirm-yes")
    page.wait_for_selector("#standing >> text=cancelled")
    stack.ollama.reset()
