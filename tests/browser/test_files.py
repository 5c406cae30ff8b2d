"""Files from the simulated phone to the desk, in a real browser: a voice message, its words under the player, its answer."""

from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="a browser is needed: tests/browser/run")

from tests.browser.conftest import check_looks, in_list  # noqa: E402
from tests.stack import Stack  # noqa: E402
from tests.standins.transcription import Transcriptions  # noqa: E402

FILES = Path(__file__).parent.parent / "files"
SAID = "Do you have walnut bread today?"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with Transcriptions(SAID) as speech, Stack(tmp_path_factory.mktemp("stack"), TRANSCRIPTION_URL=speech.url) as running:
        running.speech = speech
        yield running


def test_a_voice_message_from_the_phone_shows_its_words_under_the_player_and_is_answered(page, stack, session):
    stack.ollama.next("Yes, fresh since eight.")
    phone = session.new_page()
    phone.goto(f"{stack.web_url}/simulator")
    phone.set_input_files("#file", FILES / "voice.ogg")
    assert phone.input_value("#kind") == "voice"
    phone.click(".send")
    phone.wait_for_selector(".mine audio")
    phone.wait_for_selector(".theirs:has-text('Yes, fresh since eight.')", timeout=15000)
    in_list(page, "Ana Lima").click()
    bubble = page.locator(".bubble", has=page.locator("audio"))
    bubble.locator(f".transcript:has-text('{SAID}')").wait_for(timeout=8000)
    page.wait_for_selector(".bubble.out:has-text('Yes, fresh since eight.')")
    seconds = page.evaluate("(async () => { const a = document.querySelector('audio'); a.muted = true; await a.play(); return a.duration })()")
    assert 1 < seconds < 3
    phone.close()


def test_listening_goes_on_while_a_new_message_comes(page, stack):
    in_list(page, "Ana Lima").click()
    page.wait_for_selector("audio")
    page.evaluate("window.kept = document.querySelector('audio'); kept.muted = kept.loop = true; kept.play()")
    stack.simulator.customer_writes("15550123001", "Still there?")
    page.wait_for_selector(".bubble:has-text('Still there?')", timeout=8000)
    assert page.evaluate("kept.isConnected && !kept.paused && kept.controls")


def test_every_kind_of_file_is_shown_as_what_it_is(page, stack, tmp_path):
    evil = tmp_path / "evil.svg"
    evil.write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>document.title='HACKED'</script></svg>")
    for path, kind in ((FILES / "picture.jpg", "image"), (FILES / "clip.mp4", "video"), (FILES / "sticker.webp", "sticker"),
                       (evil, "document"), (evil, "image")):  # fmt: skip
        stack.simulator.customer_sends("4915110000077", path, kind, name="Files Fiona")
    in_list(page, "Files Fiona").click()
    page.wait_for_selector(".bubble .picture:not(.sticker) img", timeout=10000)
    page.wait_for_selector(".bubble .picture.sticker img", timeout=10000)
    page.wait_for_selector(".bubble video", timeout=10000)
    failed = page.locator(".attachment", has_text="its content is something else")
    failed.wait_for(timeout=10000)
    with page.expect_download() as saved:
        page.locator(".attachment", has_text="evil.svg").locator("a").click()
    assert saved.value.suggested_filename == "evil.svg"
    address = page.url
    failed.locator("button:has-text('Try again')").click()
    page.wait_for_selector(".attachment:has-text('its content is something else')", timeout=10000)
    for scheme in ("light", "dark"):
        check_looks(page, address, scheme)
