"""Broadcasts on the desk: made, looked at, tried, started; watched, paused, resumed, cancelled; who got them, downloaded."""

import io
import re

import pytest

from frontdesk.flows import audience, broadcasting, broadcasts as control
from frontdesk.flows.broadcasts import Wanted
from frontdesk.store import broadcasts, media as media_rows, numbers
from tests import media_bodies as bodies
from tests.test_inbound import rows
from tests.test_templates import keep, made

EVIL = "<script>alert(1)</script>"
LIST = f"phone,name,order\n+4915120000001,Ana,1\n+4915120000002,{EVIL},2\n+4915120000003,Cy,\n"
SOURCES = {"from_1": "column:name", "text_1": "", "from_2": "column:order", "text_2": ""}
EMPTY = {"name": "", "rate": "", "spread_hours": "", "quiet_from": "", "quiet_until": "", "most_waiting": "", "error_percent": "10"}


@pytest.fixture
def people(context):
    """A ready audience of three; the third lacks an order. The templates are there."""
    keep(context, made("order_ready"), made("weekly_offer"), made("spring_sale"))
    id_ = audience.from_file(context, 1, io.BytesIO(LIST.encode()), name="Regulars")
    audience.read(context, id_)
    return id_


@pytest.fixture
def template_id(people, db):
    return {row["name"]: row["id"] for row in rows(db, "SELECT id, name FROM templates")}


@pytest.fixture
def submit(owner, people, template_id):
    def call(template="order_ready", **fields):
        return owner.submit(
            "/broadcasts", **{**EMPTY, **SOURCES, "number": 1, "audience": people, "template": template_id[template], **fields}
        )

    return call


@pytest.fixture
def draft(context, people):
    variables = {"1": {"column": "name"}, "2": {"column": "order"}}
    return control.make(context, Wanted("Ready", 1, people, "order_ready", "en", variables))


def page_of(draft) -> str:
    return f"/broadcasts/{draft.public_id}"


def said(page: str, field: str) -> str | None:
    found = re.search(rf'id="e-{field}">([^<]+)<', page)
    return found and found[1]


# --- making ---------------------------------------------------------------------------------------------------------------------------


def test_without_any_the_page_says_what_to_do_next(owner, context):
    assert 'href="/audiences/new"' in owner.get("/broadcasts").text
    audience.read(context, audience.from_file(context, 1, io.BytesIO(LIST.encode()), name="Regulars"))
    assert 'href="/broadcasts/new"' in owner.get("/broadcasts").text


def test_agents_and_visitors_have_no_broadcasts(agent, visitor, draft):
    for path in ("/broadcasts", "/broadcasts/new", page_of(draft), f"{page_of(draft)}/recipients.csv"):
        assert agent.get(path).status_code == 403 and visitor.get(path).status_code == 302
    assert agent.submit(f"{page_of(draft)}/start").status_code == 403
    assert "Broadcasts" not in agent.get("/inbox").text


def test_what_is_chosen_decides_what_is_asked(owner, people, template_id):
    page = owner.get("/broadcasts/new").text
    assert "Regulars (3)" in page and "order_ready (en)" in page and "spring_sale" not in page and "What stands there" not in page
    page = owner.get(f"/broadcasts/new?audience={people}&template={template_id['order_ready']}").text
    assert page.count("What stands there") == 2 and "Column: order" in page and "for example: 4711" in page


def test_a_draft_is_made_and_shows_real_messages_and_what_it_takes(owner, submit, db):
    answer = submit(name="Ready", quiet_from="21:00", quiet_until="09:00", spread_hours="2", rate="5", most_waiting="20", error_percent="5")
    assert answer.status_code == 303
    [row] = rows(db, "SELECT state, quiet_from, quiet_until, spread_seconds, messages_per_second, most_waiting, error_limit FROM broadcasts")
    assert list(row.values()) == ["draft", 1260, 540, 7200.0, 5.0, 20, 0.05]
    page = owner.get(answer.location).text
    assert "Hello Ana, your order 1 is ready" in page and "would be skipped" in page
    assert EVIL not in page and "&lt;script&gt;" in page
    assert "2 hours" in page and "21:00 to 09:00" in page
    assert "About <b>0.33</b>" in owner.get(f"{answer.location}?price=0,11").text
    for price in ("nan", "x", "-1", "inf", "9" * 400):
        assert owner.get(f"{answer.location}?price={price}").status_code == 200


def test_a_variable_may_be_the_same_for_everybody(owner, submit):
    page = owner.get(submit(**{"from_2": "text", "text_2": "4711"}).location).text
    assert "your order 4711 is ready" in page and "would be skipped" not in page


@pytest.mark.parametrize(
    "fields, field, words",
    [
        ({"from_2": ""}, "from_2", "Choose a column"),
        ({"from_2": "text", "text_2": " "}, "text_2", "WhatsApp refuses an empty variable."),
        ({"from_2": "column:none"}, "from_2", "The audience has no column none."),
        ({"rate": "fast"}, "rate", "A rate is a number"),
        ({"spread_hours": "1000"}, "spread_hours", "is a number"),
        ({"quiet_from": "21:00"}, "quiet_until", "Quiet hours have a beginning and an end."),
        ({"quiet_from": "9 pm", "quiet_until": "09:00"}, "quiet_from", "A time of day looks like 21:00."),
        ({"quiet_from": "²:00", "quiet_until": "09:00"}, "quiet_from", "A time of day looks like 21:00."),
        ({"error_percent": "0"}, "error_percent", "is a number"),
        ({"most_waiting": "-1"}, "most_waiting", "is a number"),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_the_rest_stays(submit, db, fields, field, words):
    page = submit(**{"name": "Kept", **fields})
    assert page.status_code == 422 and words in (said(page.text, field) or ""), page.text
    assert 'value="Kept"' in page.text and rows(db, "SELECT id FROM broadcasts") == []


def test_one_without_its_choices_or_of_a_template_that_cannot_go_is_not_made(submit, db):
    assert submit(audience=99, template="order_ready").status_code == 303, "the only audience is taken"
    assert submit(template="spring_sale").status_code == 422 and submit(number="x" * 9, audience="").status_code == 303
    assert len(rows(db, "SELECT id FROM broadcasts")) == 2


def test_the_heading_s_file_is_kept_while_a_field_is_wrong(submit, db):
    values = {"template": "weekly_offer", "from_button_1": "text", "text_button_1": "47"}
    assert "Choose a file." in submit(**values).text
    page = submit(**values, rate="fast", file=(io.BytesIO(bodies.PNG), "offer.png"))
    assert page.status_code == 422 and "Your file is kept" in page.text
    media_id = re.search(r'name="media_id" value="(\w+)"', page.text)[1]
    assert submit(**values, media_id=media_id).status_code == 303
    assert broadcasts.get(db, 1).media_id == media_rows.by_public_id(db, media_id).id


def test_another_is_made_like_one_that_was(owner, submit, db):
    submit(rate="5", **{"from_2": "text", "text_2": "4711"}, quiet_from="21:00", quiet_until="09:00")
    like = broadcasts.get(db, 1)
    page = owner.get(f"/broadcasts/new?like={like.public_id}&number=1&audience=1&template=1").text
    assert 'value="4711"' in page and 'value="21:00"' in page and 'value="column:name" selected' in page


# --- before the start -----------------------------------------------------------------------------------------------------------------


def test_a_test_goes_to_one_phone_as_a_message_of_the_person(owner, context, draft, db):
    page = owner.submit(f"{page_of(draft)}/test", phone="hello")
    assert page.status_code == 422 and said(page.text, "phone")
    answer = owner.submit(f"{page_of(draft)}/test", phone="+49 151 23456789")
    assert answer.status_code == 303 and "its conversation" in owner.get(answer.location).text
    [message] = rows(db, "SELECT purpose, text, broadcast_id, conversation_id FROM messages")
    assert message["text"].startswith("Hello Ana, your order 1") and (message["purpose"], message["broadcast_id"]) == ("person", None)
    assert list(context.queues.take_sends()) == [message["conversation_id"]]
    assert broadcasts.get(db, draft.id).state == "draft"


def test_it_starts_at_a_time_of_the_client_s_zone_or_now(owner, draft, db, clock):
    db.execute("UPDATE clients SET time_zone = 'Europe/Berlin'")
    page = owner.submit(f"{page_of(draft)}/start", when="once", on="2020-01-01", clock="09:00")
    assert page.status_code == 422 and said(page.text, "on") == "This time is over."
    assert owner.submit(f"{page_of(draft)}/start", when="once", on="", clock="").status_code == 422
    assert owner.submit(f"{page_of(draft)}/start", when="once", on="2026-09-22", clock="09:00").status_code == 303
    assert (broadcasts.get(db, draft.id).state, broadcasts.get(db, draft.id).starts_at) == ("scheduled", 1_790_060_400)
    assert "scheduled" in owner.get(page_of(draft)).text and "begins" in owner.get("/broadcasts").text
    owner.submit(f"{page_of(draft)}/start", when="now")
    assert broadcasts.get(db, draft.id).state == "running"
    refreshed = owner.fragment(f"{page_of(draft)}/standing?was=scheduled&known=x")
    assert refreshed.headers["HX-Refresh"] == "true"


def test_a_draft_is_deleted(owner, draft, db):
    assert owner.submit(f"{page_of(draft)}/cancel").location == "/broadcasts"
    assert broadcasts.get(db, draft.id).state == "cancelled" and "cancelled" in owner.get(page_of(draft)).text


# --- while it runs --------------------------------------------------------------------------------------------------------------------


def test_progress_is_polled_and_204_while_nothing_changed(owner, context, draft):
    owner.submit(f"{page_of(draft)}/start", when="now")
    first = owner.fragment(f"{page_of(draft)}/standing").text
    assert "0 of 3" in first and "Pause" in first
    known = re.search(r"known=(\w+)", first)[1]
    assert owner.fragment(f"{page_of(draft)}/standing?known={known}").status_code == 204
    broadcasting.serve(context)
    broadcasting.serve(context)  # as the sweep rings again: nothing is left
    later = owner.fragment(f"{page_of(draft)}/standing?known={known}").text
    assert "3 of 3" in later and "done" in later and "Why some were skipped" in later
    page = owner.get(page_of(draft)).text
    assert "<script>alert" not in page and f'href="{page_of(draft)}/recipients"' in page
    assert "3 of 3" in owner.get("/broadcasts").text


def test_pause_resume_and_cancel_and_what_is_too_late_is_said(owner, draft, db):
    at = page_of(draft)
    owner.submit(f"{at}/start", when="now")
    assert owner.submit(f"{at}/pause").location == at
    page = owner.get(at).text
    assert "It is paused." in page and "as soon as somebody resumes it" in page and "Resume" in page
    owner.submit(f"{at}/resume")
    assert broadcasts.get(db, draft.id).state == "running"
    owner.submit(f"{at}/cancel")
    assert owner.submit(f"{at}/resume").status_code == 303 and "that is not possible now" in owner.get(at).text
    assert broadcasts.get(db, draft.id).state == "cancelled" and owner.submit(f"{at}/explode").status_code == 404


@pytest.mark.parametrize(
    "code, mend", [("number_stopped", 'href="/numbers/1"'), ("template_unusable", 'href="/templates"'), ("errors", "counted anew"), ("disliked", "Wait some hours")]
)
def test_why_it_paused_and_what_mends_it(owner, context, draft, code, mend):
    control.start(context, draft.id)
    control.pause_for(context, draft.id, code, f"Because of {EVIL}")
    page = owner.get(page_of(draft)).text
    assert "Because of &lt;script&gt;" in page and mend in page


def test_it_says_when_it_holds_and_when_recipients_sleep(owner, context, draft, db, clock):
    db.execute("UPDATE broadcasts SET most_waiting = 0, quiet_from = 0, quiet_until = 1439")
    control.start(context, draft.id)
    broadcasting.serve(context)
    assert "2 wait until the recipients' quiet hours" in owner.get(page_of(draft)).text
    db.execute("UPDATE conversations SET waiting_since = ?", (clock(),))
    assert "It holds: 2 conversations wait" in owner.get(page_of(draft)).text


# --- its recipients -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def sent(context, draft, db):
    """Ana's arrived, the second failed, Cy was skipped."""
    control.start(context, draft.id)
    broadcasting.serve(context)
    db.execute("UPDATE messages SET state = 'failed', failed_at = 1, error_code = 131026, error_title = '=cmd()' WHERE text LIKE '%script%'")
    db.execute("UPDATE messages SET state = 'read', read_at = 2, replied_at = 3 WHERE text LIKE '%Ana%'")
    return draft


def test_its_figures_are_those_of_its_messages_also_when_these_are_gone(sent, db):
    there = {row["state"]: row["count"] for row in db.execute("SELECT state, COUNT(*) AS count FROM messages WHERE broadcast_id = ? GROUP BY state", (sent.id,))}
    assert broadcasts.tally(db, sent.id) == there and there["failed"] == there["read"] == 1
    db.execute("DELETE FROM messages WHERE broadcast_id = ?", (sent.id,))
    assert broadcasts.tally(db, sent.id) == there


def test_who_opted_out_within_thirty_days_of_it_is_counted_once_and_who_did_before_or_later_is_not(sent, db):
    first, second = [row["contact_id"] for row in db.execute("SELECT contact_id FROM conversations ORDER BY id LIMIT 2")]
    [at] = db.execute("SELECT MAX(created_at) FROM messages").fetchone()
    opt_outs = [(first, None, at + 1), (first, sent.number_id, at + 2), (second, None, at - 9e6)]
    db.executemany("INSERT INTO opt_outs VALUES (?, ?, ?)", opt_outs)
    assert broadcasts.opted_out(db, sent.id) == 1
    db.execute("UPDATE opt_outs SET stopped_at = ? WHERE contact_id = ?", (at + 31 * 86400, second))
    assert broadcasts.opted_out(db, sent.id) == 1
    db.execute("UPDATE opt_outs SET stopped_at = ? WHERE contact_id = ?", (at + 29 * 86400, second))
    assert broadcasts.opted_out(db, sent.id) == 2


def test_failures_are_told_by_cause_with_their_mend(owner, sent):
    page = owner.get(page_of(sent)).text
    assert "Undeliverable" in page and "Reach them in another way" in page and "(131026): 1" in page


@pytest.mark.parametrize(
    "query, phones",
    [
        ("", ["1", "2"]), ("state=failed", ["2"]), ("state=read", ["1"]), ("state=answered", ["1"]), ("state=skipped", ["3"]),
        ("phone=%2B49 151-2000 0002", ["2"]), ("state=skipped&phone=0003", ["3"]), ("state=read&phone=0002", []), ("state=%27", ["1", "2"]),
    ],
)  # fmt: skip
def test_recipients_are_filtered_and_found(owner, sent, query, phones):
    page = owner.get(f"{page_of(sent)}/recipients?{query}").text
    assert re.findall(r'class="phone">\+491512000000(\d)', page) == phones


def test_recipients_come_in_pages_and_lead_to_their_conversations(owner, sent, monkeypatch):
    monkeypatch.setattr("frontdesk.web.broadcasts.RECIPIENTS_PAGE", 1)
    page = owner.get(f"{page_of(sent)}/recipients").text
    assert 'href="/inbox/1"' in page and "More" in page
    following = re.search(r'rel="next" href="([^"]+)"', page)[1].replace("&amp;", "&")
    assert "+4915120000002" in owner.get(following).text


def test_the_download_holds_everybody_and_no_formula(owner, sent, monkeypatch):
    monkeypatch.setattr("frontdesk.store.broadcasts.BATCH", 1)
    answer = owner.get(f"{page_of(sent)}/recipients.csv")
    lines = answer.text.lstrip("\ufeff").splitlines()
    assert answer.mimetype == "text/csv" and "Ready_recipients.csv" in answer.headers["Content-Disposition"]
    assert len(lines) == 4 and lines[1].startswith("4915120000001,,read,")
    assert "131026,'=cmd()" in lines[2] and lines[3].startswith("4915120000003,,skipped,")


def test_in_its_conversation_a_message_says_that_it_is_a_broadcast_s(owner, agent, sent):
    assert f'<a href="{page_of(sent)}">Broadcast</a>' in owner.get("/inbox/1").text
    assert "<span>Broadcast</span>" in agent.get("/inbox/1").text


def test_one_that_is_not_there_is_404(owner, db):
    for path in ("/broadcasts/none", "/broadcasts/none/recipients", "/broadcasts/none/recipients.csv", "/broadcasts/none/standing"):
        assert owner.get(path).status_code == 404
    assert owner.submit("/broadcasts/none/start").status_code == owner.submit("/broadcasts/none/test", phone="1").status_code == 404
    assert numbers.known(db, 1)


def test_a_draft_is_changed_and_keeps_its_address_and_what_programs_gave_it(owner, draft, submit, db, context):
    db.execute("UPDATE broadcasts SET callback_url = 'https://example.com/told'")
    page = owner.get(page_of(draft)).text
    link = re.search(r'href="([^"]+)">Change it<', page)[1].replace("&amp;", "&")
    form = owner.get(link).text
    assert 'value="Ready"' in form and "Change the draft" in form and 'selected>Column: order' in form
    changed = submit(instead=draft.public_id, name="Readier", from_2="text", text_2="7")
    assert changed.location.endswith(page_of(draft))
    now = broadcasts.get(db, draft.id)
    assert (now.name, now.content["variables"]["2"], now.callback_url, now.state) == ("Readier", {"text": "7"}, "https://example.com/told", "draft")
    assert len(rows(db, "SELECT id FROM broadcasts")) == 1


def test_what_has_begun_is_not_changed_and_says_so(owner, context, draft, submit, db):
    control.start(context, draft.id)
    answer = submit(instead=draft.public_id, name="Too late")
    assert answer.status_code == 422 and "It has begun" in answer.text
    assert broadcasts.get(db, draft.id).name == "Ready"


def test_the_time_left_is_told_from_the_rate_since_it_was_resumed(context, draft, db, clock):
    control.start(context, draft.id)
    control.pause(context, draft.id)
    clock.forward(3600)
    control.resume(context, draft.id)
    clock.forward(2)
    db.execute("UPDATE broadcasts SET guard_out = -1")  # one went out since
    found = control.progress(context, broadcasts.get(db, draft.id))
    assert (found.rate, found.seconds_left) == (0.5, 6)
