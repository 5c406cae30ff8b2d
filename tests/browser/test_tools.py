"""A client's tools in a real browser against the real stack: switched by keys, a lookup made, tried and used, hostile words, looks."""

import pytest

pytest.importorskip("playwright.sync_api", reason="a browser is needed: tests/browser/run")

from tests.browser.conftest import check_looks, in_list  # noqa: E402
from tests.stack import Stack, wait_for  # noqa: E402
from tests.standins.shop import Answer, Shop  # noqa: E402

EVIL = "<img src=x onerror=\"document.title='HACKED'\">"
TOOLS = "/clients/1/tools"
RINA = "4915110000077"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """The business's server stands on loopback."""
    with Stack(tmp_path_factory.mktemp("stack"), FETCH_PRIVATE_ADDRESSES="yes") as running:
        yield running


@pytest.fixture(scope="module")
def shop():
    with Shop({"status": f"on its way {EVIL}"}) as running:
        yield running


@pytest.fixture
def tools(page, stack):
    page.goto(stack.web_url + TOOLS)
    return page


@pytest.fixture
def lookup(page, stack, shop):
    """A lookup that the model may use; its page is open."""
    page.goto(stack.web_url + TOOLS)
    made = page.locator("a:has-text('order_status')")
    if made.count():
        made.click()
        page.wait_for_selector("h2:has-text('Try it')")
        return page
    page.click("text=add the first lookup")
    for name, value in {"name": "order_status", "description": f"Where an order is {EVIL}", "url": f"{shop.url}/orders/{{number}}?phone={{phone}}"}.items():
        page.fill(f"#f-{name}", value)
    page.check("#f-is_on")
    page.click("text=Add it")
    page.wait_for_selector("h2:has-text('Try it')")
    return page


def test_the_built_in_tools_are_switched_by_keys_alone(tools):
    tools.focus("#f-opening_hours")
    for key in ("Space", "Tab", "Space", "Tab", "Space", "Tab"):
        tools.keyboard.press(key)
    assert tools.evaluate("document.activeElement.id") == "f-list_word"
    tools.keyboard.press("Enter")
    tools.wait_for_selector("text=It counts from the next answer on")
    assert [tools.is_checked(f"#f-{name}") for name in ("opening_hours", "hand_over", "offer_choices")] == [True] * 3


def test_what_is_wrong_with_a_lookup_stands_beside_its_field_and_is_led_to(tools, stack):
    tools.goto(f"{stack.web_url}{TOOLS}/new")
    typed = {"name": EVIL[:40], "description": EVIL, "url": "ftp://shop.example/{x}", "parameters": EVIL, "hosts": EVIL, "headers": EVIL}
    for name, value in typed.items():
        tools.fill(f"#f-{name}", value)
    tools.click("text=Add it")
    tools.wait_for_selector("[role=alert] >> text=not right yet")
    for name in ("name", "url", "headers"):
        assert tools.get_attribute(f"#f-{name}", "aria-invalid") == "true" and tools.is_visible(f"#e-{name}")
    assert tools.input_value("#f-description") == EVIL and tools.locator("img[src=x]").count() == 0
    tools.click("[role=alert] a >> nth=0")
    assert tools.evaluate("location.hash") == "#f-name"
    assert tools.evaluate("document.documentElement.scrollWidth") <= 1280


def test_a_lookup_is_tried_and_what_came_back_is_shown_as_words(lookup, shop):
    lookup.fill("#p-number", f"A/7 {EVIL}")
    lookup.fill("#p-phone", "+49 151 1")
    lookup.press("#p-phone", "Enter")
    lookup.wait_for_selector("#tried pre:has-text('on its way')")
    assert EVIL.replace('"', '\\"') in lookup.inner_text("#tried pre") and lookup.locator("img[src=x]").count() == 0
    assert shop.paths[-1].startswith("/orders/A%2F7%20%3Cimg") and shop.paths[-1].endswith("?phone=491511")
    shop.answers[:] = [Answer(status=503), {"status": "sent"}]
    lookup.click("text=Look it up")
    lookup.wait_for_selector("#tried .note.warning:has-text('HTTP 503')")
    lookup.click("text=Look it up")
    lookup.wait_for_selector("#tried pre:has-text('sent')")


def test_what_the_model_looked_up_stands_under_its_answer(lookup, stack, shop):
    shop.answers[:] = [{"status": f"baked {EVIL}"}]
    asked = {"function": {"name": "order_status", "arguments": {"number": "12"}}}
    stack.ollama.next({"text": "", "tool_calls": [asked]}, "It is baked.")
    stack.simulator.customer_writes(RINA, "Where is order 12?", name="Rina")
    stack.simulator.wait_for_answers(RINA)
    lookup.goto(f"{stack.web_url}/inbox")
    in_list(lookup, "Rina").click()
    called = lookup.locator(".bubble.out:has-text('It is baked') details:has-text('order_status')")
    called.locator("summary").click()
    assert "baked" in called.inner_text() and lookup.locator("img[src=x]").count() == 0
    wait_for(lambda: shop.paths[-1] == f"/orders/12?phone={RINA}")


def test_a_lookup_is_removed_only_after_a_question(lookup, stack):
    lookup.goto(stack.web_url + TOOLS)
    remove = lookup.locator("li:has-text('order_status') button:has-text('Remove')")
    remove.click()
    lookup.keyboard.press("Escape")
    assert lookup.locator("a:has-text('order_status')").is_visible()
    remove.click()
    lookup.click("dialog[open] >> text=Remove it")
    lookup.wait_for_selector("text=order_status is removed")
    assert lookup.locator("text=add the first lookup").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_sound_to_axe_and_fits_a_phone_in_both_themes(lookup, stack, scheme):
    made = lookup.url
    for url in (stack.web_url + TOOLS, f"{stack.web_url}{TOOLS}/new", made, f"{stack.web_url}/clients/1"):
        check_looks(lookup, url, scheme)
