"""A real browser in which the owner of a real stack is logged in. Run: tests/browser/run"""

import shutil

import pytest

from tests.stack import Stack

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        yield started.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)


@pytest.fixture(scope="module")
def session(stack, browser):
    """A browser in which the owner was made by the first-run link and is logged in."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(stack.first_run_url())
    page.fill("#f-name", "Mina Okafor")
    page.fill("#f-email", "mina@example.com")
    page.fill("#f-password", "bread and butter")
    page.click("text=Begin")
    page.wait_for_url("**/inbox")
    page.close()
    return context


@pytest.fixture
def page(session, stack):
    """A tab; afterwards nothing may have gone wrong in its console."""
    stack.simulator.reset()
    stack.ollama.reset()
    page, wrong = session.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if "Content Security Policy" in message.text else None)
    page.goto(f"{stack.web_url}/inbox")
    yield page
    assert wrong == [] and "HACKED" not in page.title()
    page.close()


def check_looks(page, url: str, scheme: str) -> None:
    """Axe finds nothing serious and nothing runs over the edge, at a desk's width and at a phone's."""
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=scheme)
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        page.goto(url)
        page.wait_for_timeout(200)
        found = Axe().run(page).response["violations"]
        serious = [(each["id"], each["nodes"][0]["html"][:160]) for each in found if each["impact"] in ("serious", "critical")]
        assert serious == [], (url, width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (url, width)


def in_list(page, name: str):
    return page.locator("a.conversation", has_text=name)
