"""The desk in a real browser against the real stack: what a newcomer does in their first quarter of an hour. Run: tests/browser/run"""

import re
import time

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="a browser is needed: tests/browser/run")

from rq.results import Result  # noqa: E402

from frontdesk import queues  # noqa: E402
from tests import demo  # noqa: E402
from tests.browser.conftest import check_looks, in_list  # noqa: E402
from tests.stack import wait_for  # noqa: E402

EVIL = "<img src=x onerror=\"document.title='HACKED'\">"


def test_a_wrong_password_is_refused_and_the_right_one_leads_to_where_one_wanted(stack, browser, session):
    page = browser.new_context().new_page()
    page.goto(f"{stack.web_url}/inbox")
    assert page.url.endswith("/login?next=/inbox")
    page.fill("#f-email", "mina@example.com")
    page.fill("#f-password", "wrong password")
    page.click("button:has-text('Log in')")
    page.wait_for_selector(".error, .note.danger")
    page.fill("#f-email", "mina@example.com")
    page.fill("#f-password", "bread and butter")
    page.click("button:has-text('Log in')")
    page.wait_for_url("**/inbox")


def test_a_customer_writes_and_the_inbox_shows_it_without_a_reload(page, stack):
    stack.simulator.customer_writes("4915110000001", "Do you deliver?", name="Vera Live")
    in_list(page, "Vera Live").wait_for(timeout=8000)
    stack.simulator.wait_for_answers("4915110000001")


def test_take_over_answer_and_hand_back(page, stack):
    stack.simulator.customer_writes("4915110000002", "a person please", name="Ravi Two")
    in_list(page, "Ravi Two").click()
    page.wait_for_selector("text=a person please")
    page.fill("#text", "Hello Ravi, Mina here.")
    page.press("#text", "Enter")
    page.wait_for_selector(".bubble.out:has-text('Mina here')")
    wait_for(lambda: "Hello Ravi, Mina here." in stack.simulator.texts("4915110000002"))
    page.wait_for_selector(".bubble.out:has-text('Mina here') .tick.delivered, .bubble.out:has-text('Mina here') .tick.read", timeout=8000)
    page.wait_for_selector("#bar:has-text('Mina Okafor answers')")
    assert page.input_value("#text") == ""
    stack.simulator.customer_writes("4915110000002", "and when do you open?", name="Ravi Two")
    page.wait_for_selector(".bubble:has-text('when do you open')", timeout=8000)
    before = len(stack.simulator.texts("4915110000002"))
    page.click("text=Hand back")
    wait_for(lambda: len(stack.simulator.texts("4915110000002")) > before, 15)


def test_what_was_typed_survives_a_reload_and_a_canned_answer_is_put_in(page, stack):
    page.goto(f"{stack.web_url}/canned")
    page.fill("#f-shortcut", "hours")
    page.fill("#f-text", "We are open from seven.")
    page.click("text=Keep it")
    page.goto(f"{stack.web_url}/inbox")
    page.locator("a.conversation").first.click()
    page.fill("#text", "half an ans")
    page.reload()
    assert page.input_value("#text") == "half an ans"
    page.fill("#text", "/ho")
    page.press("#text", "Enter")
    assert page.input_value("#text") == "We are open from seven."
    page.fill("#text", "")


def test_the_keyboard_is_enough(page, stack):
    page.keyboard.press("j")
    page.wait_for_selector("#text")
    page.keyboard.press("?")
    page.wait_for_selector("#shortcuts[open]")
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    assert page.evaluate("document.activeElement.id") == "text"
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"


def test_a_draft_is_asked_for_edited_and_sent(page, stack):
    stack.simulator.customer_writes("4915110000003", "human", name="Dora Draft")
    in_list(page, "Dora Draft").click()
    stack.ollama.next("A drafted answer.")
    page.click("#draft")
    page.wait_for_selector("#draft-text:has-text('A drafted answer.')", timeout=15000)
    page.click("[data-use-draft]")
    page.fill("#text", page.input_value("#text") + " Edited.")
    page.press("#text", "Enter")
    wait_for(lambda: "A drafted answer. Edited." in stack.simulator.texts("4915110000003"))


def test_a_number_stops_everybody_sees_it_and_resuming_sends_what_waited(page, stack):
    stack.simulator.behave(token_expired=True)
    stack.simulator.customer_writes("4915110000004", "Hello?", name="Nina Stop")
    page.wait_for_timeout(1500)
    wait_for(lambda: stack.rows("SELECT 1 FROM numbers WHERE stopped_at IS NOT NULL"), 15)
    page.goto(f"{stack.web_url}/inbox")
    page.click(".banner.danger >> text=Mend it")
    page.wait_for_selector("text=/messages? waits?/")
    stack.simulator.behave(token_expired=False)
    page.click("button:has-text('Resume')")
    page.wait_for_selector("text=What waited goes out now")
    stack.simulator.wait_for_answers("4915110000004")
    page.click("text=Test now")
    page.wait_for_selector(".finding.good:has-text('token good')")


def test_a_dead_letter_is_retried_and_arrives_as_a_new_message(page, stack):
    stack.simulator.customer_writes("4915110000005", "human", name="Dead Letter")
    in_list(page, "Dead Letter").click()
    wait_for(lambda: stack.simulator.texts("4915110000005"))
    stack.simulator.behave(next_errors=[{"code": 131026}])
    page.fill("#text", "This will fail first")
    page.press("#text", "Enter")
    page.wait_for_selector(".bubble.failed", timeout=10000)
    page.goto(f"{stack.web_url}/dead-letters")
    page.check(".letters input[type=checkbox] >> nth=0")
    page.click("text=Retry chosen >> nth=0")
    page.wait_for_selector("text=On their way again: 1.")
    wait_for(lambda: "This will fail first" in stack.simulator.texts("4915110000005"))


def test_hostile_words_come_out_as_text(page, stack):
    stack.simulator.customer_writes("4915110000006", EVIL, name=EVIL)
    in_list(page, "onerror").wait_for(timeout=8000)
    in_list(page, "onerror").first.click()
    page.wait_for_selector(".bubble:has-text('onerror')")
    page.goto(f"{stack.web_url}/inbox/search?q=onerror")
    page.wait_for_selector("mark")
    assert page.locator("img[src=x]").count() == 0


def test_a_hostile_job_comes_out_as_text_in_the_queues(page, stack):
    """Written straight into Redis, into every field that the dashboard shows; its scripts must still work."""
    connection = queues.connect(stack.settings.redis_address)
    [queue] = queues.Queues(connection).rq_queues(["documents"])
    job = queue.enqueue_call("jobs.drain", args=(EVIL,), description=EVIL, job_id="evil", meta={"note": EVIL})
    queue.remove("evil")
    job.set_status("failed")
    queue.failed_job_registry.add(job, ttl=1000)
    Result.create_failure(job, ttl=1000, exc_string=EVIL)
    connection.sadd("rq:queues", f"rq:queue:{EVIL}")
    connection.sadd("rq:workers", f"rq:worker:{EVIL}")
    worker = {"queues": EVIL, "state": EVIL, "birth": "2026-01-01T00:00:00Z", "pid": 1, "current_job": "evil", "version": EVIL, "python_version": EVIL}
    connection.hset(f"rq:worker:{EVIL}", mapping=worker)
    for path, shown in (
        ("0/view/queues", "tr[data-role=queue]"),
        ("0/view/workers", "tr[data-role=worker]"),
        ("0/view/jobs/documents/failed/8/asc/1", "tr[data-role=job] pre.exc_info"),
        ("0/view/job/evil", "#job-data .description-scroll"),
    ):
        if path.endswith("job/evil"):
            connection.hset("rq:job:evil", "origin", EVIL)  # a list leaves out what is of another queue
        page.goto(f"{stack.web_url}/rq/{path}")
        page.locator(shown).first.wait_for()
        page.wait_for_timeout(200)
        assert "onerror" in page.inner_text("body"), path
        assert page.locator("img[src=x]").count() == 0 and "HACKED" not in page.title(), path
    page.click("#delete-job-btn")
    page.click("#confirmation-modal-yes")
    wait_for(lambda: not connection.exists("rq:job:evil"))
    connection.srem("rq:workers", f"rq:worker:{EVIL}")
    connection.srem("rq:queues", f"rq:queue:{EVIL}")


def test_a_dead_letter_is_looked_into_and_dismissed_with_a_reason(page, stack):
    stack.simulator.customer_writes("4915110000007", "human", name="Dismissed One")
    in_list(page, "Dismissed One").click()
    wait_for(lambda: stack.simulator.texts("4915110000007"))
    stack.simulator.behave(next_errors=[{"code": 131026}])
    page.fill("#text", "Nobody will read this")
    page.press("#text", "Enter")
    page.wait_for_selector(".bubble.failed", timeout=10000)
    page.goto(f"{stack.web_url}/dead-letters")
    page.check(".letters input[type=checkbox] >> nth=0")
    page.focus(".letters input[type=checkbox] >> nth=0")
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    assert page.url.endswith("/dead-letters") and not page.locator(".flash, [role=status] >> text=On their way").count()
    page.click("text=Look inside >> nth=0")
    page.wait_for_selector("text=Nobody will read this")
    page.click("text=Dismiss …")
    page.fill("#f-reason", "called them")
    page.press("#f-reason", "Enter")
    page.wait_for_selector("text=Dismissed: 1.")
    assert "Nobody will read this" not in stack.simulator.texts("4915110000007")


def test_a_list_is_uploaded_watched_and_deleted(page, stack, tmp_path):
    path = tmp_path / "spring.csv"
    path.write_text("phone,name\nnonsense,x\n" + "".join(f"+49151{20000000 + n},{EVIL if n == 0 else n}\n" for n in range(60_000)))
    page.goto(f"{stack.web_url}/audiences")
    page.click("text=Make the first")
    page.set_input_files("#f-file", path)
    page.click("text=Upload it")
    page.wait_for_selector("progress")
    page.wait_for_selector("text=60,000", timeout=40_000)
    assert page.locator("progress").count() == 0 and page.locator("text=Line 2: not a phone number").count() == 1
    with page.expect_download() as download:
        page.click("text=Download as CSV")
    assert "nonsense" in download.value.path().read_text(encoding="utf-8-sig")
    page.click(".head button:has-text('Delete')")
    page.click("#confirm-yes")
    page.wait_for_url("**/audiences")


def test_contacts_are_tagged_counted_and_chosen(page, stack):
    stack.simulator.customer_writes("4915110000077", "Hello", name="Tagged Tess")
    in_list(page, "Tagged Tess").click()
    page.click("#bar .menu summary")
    page.fill("#bar [name=tag]", "VIP")
    page.press("#bar [name=tag]", "Enter")
    page.wait_for_load_state()
    page.goto(f"{stack.web_url}/audiences/new?way=contacts")
    page.fill("#f-tags_any", "vip")
    page.click("text=How many are they?")
    page.wait_for_selector("text=1 contact: tagged any of vip.")
    page.fill("#f-name", "The best")
    page.click("text=Make the audience")
    page.wait_for_selector("td:has-text('Tagged Tess')", timeout=20_000)


@pytest.fixture(scope="module")
def long_thread(stack, session) -> int:
    """A conversation of 700 messages with 18 notes between them."""
    now = time.time()
    db = stack.database()
    demo.fill(db, stack.settings, 1, now)
    id_, number_id = db.execute("SELECT MAX(id), number_id FROM conversations").fetchone()
    for n in range(700):
        db.execute(
            """
            INSERT INTO messages (conversation_id, number_id, direction, state, kind, text, raw, external_id, provider_at, created_at)
            VALUES (?, ?, 'in', 'answered', 'text', ?, '{}', ?, ?, ?)
            """,
            (id_, number_id, f"line {n:03} zebra{n}", f"zebra{n}", now, now + n / 1000),
        )
        if n % 40 == 5:
            db.execute("INSERT INTO notes (conversation_id, user_id, text, created_at) VALUES (?, 1, ?, ?)",
                       (id_, f"note after {n}", now + n / 1000 + 0.0002))  # fmt: skip
    db.close()
    return id_


def test_a_search_leads_into_a_long_thread_and_one_reads_on_to_its_end(page, stack, long_thread):
    page.fill("#search", "zebra120")
    page.click("#results a")
    page.wait_for_selector(".found:has-text('zebra120')")
    with page.expect_response(lambda answer: "/recent?" in answer.url):
        pass  # what is polled is this part of the thread, not its end
    assert page.locator(".found").is_visible() and not page.locator("#composer").count()
    for key in ("r", "n", "?", "Escape"):
        page.keyboard.press(key)
    page.click("text=Newer messages")
    page.wait_for_selector(".bubble:has-text('zebra165')")
    page.click("text=Go to the newest messages")
    page.wait_for_selector("#composer")
    while page.locator("#older .loader").count():
        with page.expect_response(lambda answer: "/older?" in answer.url):
            page.evaluate("document.querySelector('#scroll').scrollTop = 1000; document.querySelector('#scroll').scrollTop = 0")
        page.wait_for_timeout(100)
    texts = page.locator("#scroll .bubble .text").all_inner_texts()
    for words, count in (("line", 700), ("note after", 18)):
        found = [text for text in texts if text.startswith(words)]
        assert len(found) == len(set(found)) == count


def test_a_plot_s_words_can_be_read_on_a_phone(page, stack, long_thread):
    page.set_viewport_size({"width": 390, "height": 844})
    for span in ("hour", "day", "week"):
        page.goto(f"{stack.web_url}/overview?span={span}")
        boxes = page.locator(".plot >> nth=0 >> .tick-label[text-anchor=middle]").evaluate_all(
            "all => all.map(one => one.getBoundingClientRect()).filter(box => box.width).map(box => [box.left, box.right, box.height])"
        )
        assert len(boxes) >= 3 and all(box[2] >= 9 for box in boxes)
        assert all(before[1] < after[0] for before, after in zip(boxes, boxes[1:])), span


PAGES = ["/inbox", "/inbox/1", "/overview", "/clients", "/clients/1", "/clients/1/versions", "/numbers/1", "/numbers/new", "/dead-letters", "/rejected", "/users", "/account", "/canned", "/audiences", "/audiences/new", "/audiences/new?way=paste", "/audiences/new?way=contacts", "/audiences/2", "/templates", "/schedules", "/schedules/month", "/inbox/1/compose/template", "/inbox/1/compose/buttons", "/inbox/1/compose/list", "/inbox/1/compose/location", "/inbox/1/compose/text", "/tokens", "/documents", "/broadcasts", "/broadcasts/new"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious_and_nothing_runs_over_the_edge(page, stack, path, scheme):
    check_looks(page, stack.web_url + path, scheme)


def test_a_page_is_small_and_quick(page, stack):
    for path in ("/inbox", "/inbox/1", "/overview"):
        begin = time.perf_counter()
        answer = page.request.get(stack.web_url + path)
        assert len(answer.body()) < 100_000 and time.perf_counter() - begin < 5
        assert not re.search(r"\sstyle=", answer.text())
