"""A broadcast in a real browser against the real stack: a list is uploaded, real messages are looked at, it runs, pauses, goes on, is done."""

import re

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="a browser is needed: tests/browser/run")

from frontdesk.flows import broadcasts as control  # noqa: E402
from frontdesk.flows.context import make as make_context  # noqa: E402
from frontdesk.queues import connect  # noqa: E402
from tests.browser.conftest import check_looks  # noqa: E402
from tests.stack import wait_for  # noqa: E402

COUNT = 240
EVIL = "<img src=x onerror=\"document.title='HACKED'\">"


def test_a_list_becomes_a_broadcast_that_runs_pauses_goes_on_and_is_done(page, stack, tmp_path):
    path = tmp_path / "regulars.csv"
    path.write_text("phone,name,order\n" + "".join(f"+49152{30000000 + n},{EVIL if n == 1 else f'Customer {n}'},{n}\n" for n in range(COUNT)))
    page.goto(f"{stack.web_url}/broadcasts")
    page.click("text=Make an audience")
    page.set_input_files("#f-file", path)
    page.click("text=Upload it")
    page.wait_for_selector("text=The first 10 of 240", timeout=30_000)
    page.goto(f"{stack.web_url}/templates")
    page.click("button:has-text('Read them now')")
    wait_for(lambda: stack.rows("SELECT id FROM templates WHERE name = 'order_ready'"))

    page.goto(f"{stack.web_url}/broadcasts")
    page.click("text=Make the first")
    page.select_option("#f-template", label="order_ready (en)")
    page.wait_for_selector("#f-from_1")
    page.select_option("#f-from_1", label="Column: name")
    page.select_option("#f-from_2", label="The same text for everybody")
    page.fill("#f-text_2", "none yet")
    page.select_option("#f-from_2", label="Column: order")
    assert not page.locator("#f-text_2").is_visible()
    page.fill("#f-rate", "a lot")
    page.click("text=Make the draft")
    page.wait_for_selector("#e-rate")
    page.fill("#f-rate", "30")
    page.click("text=Make the draft")

    page.wait_for_selector("text=Hello Customer 0, your order 0 is ready")
    assert page.locator("img[src=x]").count() == 0
    page.fill("#f-phone", "+49 151 99999999")
    page.click("text=Send a test")
    page.wait_for_selector("text=The test goes out in its conversation")
    wait_for(lambda: stack.simulator.sends("4915199999999"))
    assert len(stack.simulator.sends()) == 1

    page.click("button:has-text('Start now')")
    page.click("#confirm-yes")
    page.wait_for_selector("#standing >> text=running")
    wait_for(lambda: len(stack.simulator.sends()) > 30, 30)
    page.click("button:has-text('Pause')")
    page.wait_for_selector("text=It is paused.")
    page.wait_for_timeout(1500)
    stands_at = len(stack.simulator.sends())
    assert stands_at < COUNT
    page.wait_for_timeout(1000)
    assert len(stack.simulator.sends()) == stands_at
    page.click("button:has-text('Resume')")
    page.wait_for_selector("#standing >> text=done", timeout=60_000)
    page.wait_for_selector("#standing >> text=240 of 240")
    recipients = [send["to"] for send in stack.simulator.sends()]
    assert len(recipients) == len(set(recipients)) == COUNT + 1

    page.wait_for_selector(".tiles li:has-text('read') .figure:has-text('240')", timeout=20_000)
    page.click("text=Recipients >> nth=0")
    page.fill("#phone", "30000007")
    page.click("button:has-text('Find')")
    page.wait_for_selector("td:has-text('+4915230000007')")
    assert page.locator("tbody tr").count() == 1
    page.click("tbody >> text=Conversation")
    page.click(".bubble.out >> text=Broadcast")
    with page.expect_download() as download:
        page.click("text=Recipients >> nth=0")
        page.click("text=Download as CSV")
    lines = download.value.path().read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == COUNT + 1 and re.match(r"49152\d+,.*,read,", lines[1])


@pytest.fixture(scope="module")
def broadcasts(stack) -> dict[str, str]:
    """One in each state, made of the audience that was uploaded: state → its page. The done one has failures and skips."""
    context = make_context(stack.settings, connect(stack.settings.redis_address))
    db = context.db
    [done] = db.execute("SELECT id FROM broadcasts WHERE state = 'done'").fetchone()
    db.execute("UPDATE messages SET state = 'failed', error_code = 131026, error_title = ? WHERE broadcast_id = ? AND id % 9 = 0", (EVIL, done))
    db.execute("UPDATE messages SET state = 'failed', error_code = 131049, error_title = 'Not now' WHERE broadcast_id = ? AND id % 25 = 0", (done,))
    db.execute("INSERT INTO broadcast_skips VALUES (?, 500, '4915230000500', 'opted out'), (?, 501, '4915230000501', 'variable 2: empty')", (done, done))
    variables = {"1": {"column": "name"}, "2": {"text": "none yet"}}
    for state in ("draft", "scheduled", "paused", "cancelled"):
        wanted = control.Wanted(f"Now {state}", 1, 1, "order_ready", "en", variables, quiet_from=1260, quiet_until=540, spread_seconds=7200)
        id_ = control.make(context, wanted).id
        words = ("number_stopped", f"The number is stopped: {EVIL}") if state == "paused" else (None, None)
        db.execute("UPDATE broadcasts SET state = ?1, pause_code = ?2, pause_words = ?3, starts_at = IIF(?1 = 'scheduled', 2e9, NULL) WHERE id = ?4", (state, *words, id_))
    found = {row["state"]: f"/broadcasts/{row['public_id']}" for row in db.execute("SELECT state, public_id FROM broadcasts")}
    db.close()
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_its_pages_look_right_in_every_state(page, stack, broadcasts, scheme):
    done = broadcasts["done"]
    [template] = stack.rows("SELECT id FROM templates WHERE name = 'weekly_offer' AND language = 'en'")
    new = f"/broadcasts/new?audience=1&template={template['id']}"
    recipients = [f"{done}/recipients{query}" for query in ("", "?state=failed", "?state=skipped", "?phone=77777")]
    for path in ("/broadcasts", new, *broadcasts.values(), *recipients, f"{broadcasts['draft']}?price=0.11&tested=1"):
        check_looks(page, stack.web_url + path, scheme)
        assert page.locator("img[src=x]").count() == 0
