"""What an agent sends besides texts, in a real browser: files, notes by key, reactions, templates, buttons, and messages for later."""

import pytest

pytest.importorskip("playwright.sync_api", reason="a browser is needed: tests/browser/run")

from tests import media_bodies as bodies  # noqa: E402
from tests.browser.conftest import in_list  # noqa: E402
from tests.stack import wait_for  # noqa: E402

NINA = "4915110000021"


@pytest.fixture
def nina(page, stack):
    """Nina has asked for a person, and her conversation is open."""
    stack.simulator.customer_writes(NINA, "human please", name="Nina Twenty")
    in_list(page, "Nina Twenty").click()
    page.wait_for_selector(".bubble:has-text('human please')")
    return page


def sends(stack, kind: str) -> list[dict]:
    return [send["payload"][kind] for send in stack.simulator.sends(NINA) if send["type"] == kind]


def test_a_note_by_key_stays_among_colleagues(nina, stack):
    nina.keyboard.press("n")
    nina.keyboard.type("only for us")
    nina.keyboard.press("Enter")
    nina.wait_for_selector(".bubble.note:has-text('only for us')")
    nina.keyboard.press("Escape")
    nina.keyboard.press("r")
    nina.keyboard.type("for Nina")
    nina.keyboard.press("Enter")
    wait_for(lambda: "for Nina" in stack.simulator.texts(NINA))
    assert "only for us" not in stack.simulator.texts(NINA)


def test_a_picture_is_chosen_sent_and_shown(nina, stack, tmp_path):
    (tmp_path / "cake.png").write_bytes(bodies.PNG)
    nina.set_input_files("#file", tmp_path / "cake.png")
    nina.wait_for_selector(".chosen-file:has-text('cake.png')")
    nina.fill("#text", "Our cake")
    nina.press("#text", "Enter")
    nina.wait_for_selector(".bubble.out:has-text('Our cake') img")
    wait_for(lambda: sends(stack, "image"))
    assert sends(stack, "image")[0]["caption"] == "Our cake"
    assert nina.locator(".chosen-file").is_hidden()


def test_a_reaction_stands_on_the_message(nina, stack):
    bubble = nina.locator(".bubble:has-text('human please')").last  # each test has written one
    bubble.hover()
    bubble.locator("[data-reply]").click()
    nina.click("button[name=emoji][value='❤️']")
    bubble.locator(".reactions").wait_for()
    wait_for(lambda: sends(stack, "reaction"))


def test_a_template_is_filled_in_with_its_bubble_growing_and_sent(nina, stack):
    at = nina.url
    nina.goto(f"{stack.web_url}/templates")
    nina.click("text=Read them now")
    wait_for(lambda: stack.rows("SELECT id FROM templates"))
    nina.goto(at)
    nina.click("summary[aria-label='Send something else']")
    nina.click(".links a:has-text('Template')")
    nina.select_option("#template", label="order_ready (en)")
    nina.wait_for_url("**template=*")
    nina.wait_for_load_state()
    nina.fill("#f-1", "Nina")
    nina.wait_for_selector("#preview:has-text('Hello Nina, your order {{2}}')")
    nina.fill("#f-2", "4711")
    nina.click("main form[method=post] button.primary")
    nina.wait_for_selector(".bubble.out:has-text('Hello Nina, your order 4711')")
    wait_for(lambda: sends(stack, "template"))


def test_buttons_are_built_pressed_by_the_customer_and_answered(nina, stack):
    nina.click("summary[aria-label='Send something else']")
    nina.click(".links a:has-text('Buttons')")
    nina.fill("#f-text", "Which cake?")
    nina.fill("#f-button_1", "Lemon")
    nina.wait_for_selector("#preview .choice:has-text('Lemon')")
    nina.click("main form[method=post] button.primary")
    nina.wait_for_selector(".bubble.out .choice:has-text('Lemon')")
    wait_for(lambda: sends(stack, "interactive"))
    reply = {"type": "button_reply", "button_reply": {"id": "Lemon", "title": "Lemon"}}
    stack.simulator._call("POST", "messages", json={"from": NINA, "type": "interactive", "interactive": reply})
    nina.wait_for_selector(".bubble:not(.out):has-text('Lemon')", timeout=8000)


def test_a_text_for_later_is_in_the_list_the_month_and_gone_when_cancelled(nina, stack):
    nina.goto(f"{nina.url.split('?')[0]}/compose/text")
    nina.fill("#f-text", "Happy new year!")
    nina.check("input[name=when][value=once]")
    nina.fill("#f-on", "2036-01-01")
    nina.fill("#f-clock", "00:01")
    nina.click("main form[method=post] button.primary")
    nina.wait_for_selector(".error:has-text('over five years ahead')")
    nina.fill("#f-on", "2028-01-01")
    nina.fill("#f-schedule_name", "New year")
    nina.click("main form[method=post] button.primary")
    nina.wait_for_url("**/schedules")
    nina.goto(f"{stack.web_url}/schedules/month/2028-01")
    nina.click("text=New year")
    nina.click("button:has-text('Cancel')")
    nina.click("#confirm-yes")
    nina.wait_for_selector(".badge:has-text('cancelled')")


def test_the_window_that_opens_again_lets_one_send(nina, stack):
    with stack.database() as db:
        db.execute("UPDATE conversations SET window_closes_at = 1 WHERE id IN (SELECT conversation_id FROM messages WHERE text = 'human please')")
    nina.wait_for_selector("#closed-note:visible", timeout=8000)
    assert nina.locator("#send").is_disabled()
    stack.simulator.customer_writes(NINA, "here I am again", name="Nina Twenty")
    nina.wait_for_selector("#send:enabled", timeout=8000)
    assert nina.locator("#closed-note").is_hidden()
