"""The web chat in a real browser, on a page of another origin with a strict content policy (the simulator's shop)."""

import re

import pytest

pytest.importorskip("playwright.sync_api", reason="a browser is needed: tests/browser/run")

from frontdesk.store import widgets  # noqa: E402
from tests.browser.conftest import in_list  # noqa: E402
from tests.stack import wait_for  # noqa: E402

CHAT = "frontdesk-chat"


@pytest.fixture
def shop(browser, stack):
    """A visitor's browser with an empty past, on the shop's page; afterwards nothing may have gone wrong in its console."""
    stack.simulator.reset()
    stack.ollama.reset()
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if "Content Security Policy" in message.text or "Trusted" in message.text else None)
    visit(page, stack)
    yield page
    assert wrong == []
    context.close()


def visit(page, stack, query=""):
    page.goto(f"{stack.simulator.url}/simulator/site{query}")
    page.locator(f"{CHAT} .launcher").wait_for()


def chat(page, selector):
    return page.locator(f"{CHAT} {selector}")


def open_chat(page):
    page.get_by_role("button", name=re.compile("Open the chat")).click()
    chat(page, "textarea").wait_for()


def write(page, text):
    chat(page, "textarea").fill(text)
    chat(page, "textarea").press("Enter")


def bubbles(page):
    return chat(page, ".log .bubble").all_inner_texts()


def wait_for_bubbles(page, *texts, seconds=20):
    wait_for(lambda: (page.wait_for_timeout(50), bubbles(page) == list(texts))[1], seconds)


def conversation(stack):
    return stack.rows("SELECT MAX(conversations.id) AS id FROM conversations JOIN numbers ON numbers.id = number_id WHERE channel = 'widget'")[0]["id"]


def test_an_answer_streams_in_and_is_there_after_a_reload(shop, stack):
    stack.ollama.behave(tokens_per_second=6)
    stack.ollama.next({"text": "We open at **seven** and close at six, see https://bakery.example/hours."})
    open_chat(shop)
    write(shop, "When are you open?")
    chat(shop, ".writing:not([hidden])").wait_for()
    seen = set()
    wait_for(lambda: (shop.wait_for_timeout(100), seen.add(chat(shop, ".writing .bubble").inner_text()), len(bubbles(shop)) == 2)[2])
    assert len(seen - {""}) >= 3
    answer = "We open at seven and close at six, see https://bakery.example/hours."
    assert bubbles(shop) == ["When are you open?", answer]
    assert chat(shop, ".log b").inner_text() == "seven"
    assert chat(shop, ".log a").get_attribute("href") == "https://bakery.example/hours"
    assert not chat(shop, ".writing").is_visible()
    shop.reload()
    chat(shop, "textarea").wait_for()  # it was open, and is
    wait_for_bubbles(shop, "When are you open?", answer)
    wait_for(lambda: stack.rows("SELECT state FROM messages WHERE conversation_id = ? AND direction = 'out'", conversation(stack))[0]["state"] == "read")


def test_a_person_of_the_desk_takes_over_and_answers(shop, stack, page):
    open_chat(shop)
    write(shop, "a person, please")
    wait_for(lambda: stack.rows("SELECT 1 FROM conversations WHERE id = ? AND needs_person_reason = 'asked'", conversation(stack)))
    page.goto(f"{stack.web_url}/inbox/{conversation(stack)}")
    assert page.locator("#closed-note").is_hidden() and "window" not in page.locator("#bar").inner_text()
    chat(shop, "textarea").press_sequentially("hm", delay=20)
    page.get_by_text("is writing").first.wait_for()
    page.locator("#text").press_sequentially("Hello, this is Mina", delay=20)
    chat(shop, ".dots:not([hidden])").wait_for(timeout=10_000)
    chat(shop, "header button").click()
    page.keyboard.press("Enter")
    chat(shop, ".count:not([hidden])").wait_for()
    assert "new" in shop.get_by_role("button", name=re.compile("Open the chat")).get_attribute("aria-label")
    open_chat(shop)
    wait_for(lambda: (shop.wait_for_timeout(50), "Hello, this is Mina" in bubbles(shop))[1])
    assert chat(shop, ".who").last.inner_text() == "Mina"
    chat(shop, "textarea").fill("")
    write(shop, "Thank you")
    page.locator(".bubble", has_text="Thank you").wait_for()
    assert in_list(page, "Visitor").count() >= 1


def test_a_picture_from_the_desk_is_shown(shop, stack, page, tmp_path):
    open_chat(shop)
    write(shop, "Show me")
    wait_for(lambda: len(bubbles(shop)) == 2 or shop.wait_for_timeout(50))
    picture = tmp_path / "cake.png"
    picture.write_bytes(page.screenshot())
    page.goto(f"{stack.web_url}/inbox/{conversation(stack)}")
    page.set_input_files("#file", picture)
    page.click("#send")
    image = chat(shop, ".log img")
    image.wait_for()
    wait_for(lambda: (shop.wait_for_timeout(50), image.evaluate("image => image.naturalWidth"))[1])


def test_without_a_network_nothing_is_lost_or_doubled(shop, stack):
    open_chat(shop)
    write(shop, "First")
    wait_for(lambda: len(bubbles(shop)) == 2 or shop.wait_for_timeout(50))
    shop.context.set_offline(True)
    write(shop, "Written without a network")
    shop.get_by_text("No connection").wait_for()
    shop.wait_for_timeout(10_000)
    write(shop, "And another one")
    shop.context.set_offline(False)
    wait_for(lambda: (shop.wait_for_timeout(100), len(stack.rows("SELECT 1 FROM messages WHERE conversation_id = ? AND direction = 'in'", conversation(stack))) == 3)[1])
    wait_for(lambda: (shop.wait_for_timeout(100), bubbles(shop)[0] == "First" and len(bubbles(shop)) >= 5)[1])
    assert not shop.get_by_text("No connection").is_visible()
    shop.wait_for_timeout(1000)
    texts = [row["text"] for row in stack.rows("SELECT text FROM messages WHERE conversation_id = ? AND direction = 'in' ORDER BY id", conversation(stack))]
    assert texts == ["First", "Written without a network", "And another one"]
    assert chat(shop, ".own .bubble").all_inner_texts() == texts
    answers = chat(shop, ".log .message:not(.own) .bubble").all_inner_texts()
    assert len(answers) == len(stack.rows("SELECT 1 FROM messages WHERE conversation_id = ? AND direction = 'out'", conversation(stack)))


def test_where_streams_are_held_back_it_asks_from_time_to_time(shop, stack):
    shop.route("**/stream", lambda route: route.abort())
    shop.reload()
    chat(shop, ".launcher").wait_for()
    open_chat(shop)
    write(shop, "Hello")
    wait_for_bubbles(shop, "Hello", "Hello")  # the stand-in's model says what it was told


def test_by_keyboard_alone(shop):
    launcher = shop.get_by_role("button", name=re.compile("Open the chat"))
    launcher.focus()
    shop.keyboard.press("Enter")
    focused = "document.querySelector('frontdesk-chat').shadowRoot.activeElement"
    assert shop.evaluate(f"{focused}.tagName") == "TEXTAREA"
    tags = []
    for _ in range(12):
        shop.keyboard.press("Tab")
        tags.append(shop.evaluate(f"{focused}?.closest('.panel') !== null && {focused} !== null"))
    assert all(tags)  # Tab stays in the panel
    shop.keyboard.press("Shift+Tab")
    chat(shop, "textarea").focus()
    shop.keyboard.type("Line one")
    shop.keyboard.press("Shift+Enter")
    shop.keyboard.type("line two")
    shop.keyboard.press("Enter")
    assert bubbles(shop)[0] == "Line one\nline two"
    shop.keyboard.press("Escape")
    assert chat(shop, ".panel").is_hidden()
    assert shop.evaluate(f"{focused}.className") == "launcher"
    assert chat(shop, ".log").get_attribute("aria-live") == "polite"


def test_a_quick_question_is_asked_by_one_click(shop):
    open_chat(shop)
    chat(shop, ".questions button").first.click()
    wait_for(lambda: (shop.wait_for_timeout(50), bubbles(shop)[:1] == ["When are you open tomorrow?"])[1])
    assert not chat(shop, ".questions").is_visible()


def test_what_a_visitor_or_the_model_writes_is_text(shop, stack):
    attack = "<img src=x onerror=\"document.title='HACKED'\"> <script>document.title='HACKED'</script> *<b>x</b>* javascript:alert(1)"
    stack.ollama.next({"text": attack})
    open_chat(shop)
    write(shop, attack)
    wait_for(lambda: len(bubbles(shop)) == 2 or shop.wait_for_timeout(50))
    assert "HACKED" not in shop.title() and chat(shop, ".log img").count() == 0 and chat(shop, ".log a").count() == 0


def test_who_is_not_answered_is_asked_for_an_address(shop, stack):
    stack.ollama.behave(busy=True)
    open_chat(shop)
    write(shop, "Is anybody there?")
    chat(shop, ".details:not([hidden])").wait_for(timeout=20_000)
    chat(shop, ".details .fill").click()
    chat(shop, ".details .wrong:not([hidden])").wait_for()
    chat(shop, "[name=email]").fill("ana@example.com")
    chat(shop, ".details .fill").click()
    shop.get_by_text("Thank you. We will get back to you.").wait_for()
    wait_for(lambda: (shop.wait_for_timeout(50), "ana@example.com" in bubbles(shop))[1])
    assert not chat(shop, ".details").is_visible()
    db = stack.database()
    contact = db.execute("SELECT contact_id FROM conversations WHERE id = ?", (conversation(stack),)).fetchone()[0]
    assert widgets.details(db, contact).email == "ana@example.com"
    db.close()


def test_in_arabic_it_is_the_other_way_round(shop, stack):
    visit(shop, stack, "?lang=ar")
    box = chat(shop, ".launcher").bounding_box()
    assert box["x"] < 100 and chat(shop, ".all").get_attribute("dir") == "rtl"
    chat(shop, ".launcher").click()
    assert chat(shop, "h2").inner_text() == "تحدّث معنا"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(shop, stack, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    shop.emulate_media(color_scheme=scheme)
    shop.set_viewport_size({"width": width, "height": 844})
    open_chat(shop)
    write(shop, "Hello")
    wait_for(lambda: len(bubbles(shop)) == 2 or shop.wait_for_timeout(50))
    found = Axe().run(shop).response["violations"]
    serious = [(each["id"], each["nodes"][0]["html"][:160]) for each in found if each["impact"] in ("serious", "critical")]
    assert serious == []
    assert shop.evaluate("document.documentElement.scrollWidth") <= width
