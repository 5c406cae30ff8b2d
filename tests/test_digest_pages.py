"""Digests on the desk: read by everybody, set up and sent again by owners."""

import pytest

from frontdesk.flows import digests as flow
from frontdesk.store import clients, digests
from frontdesk.store.digests import Wish
from tests.test_digests import LINES, OWNER, at, model, morning, newest, sent, work, written  # noqa: F401
from tests.test_inbound import rows
from tests.test_templates import body_template, keep, made

GIVEN = {"digest_on": "yes", "digest_hour": "8", "digest_phone": "+49 1511 9999999", "digest_template": "order_ready|en"}


@pytest.fixture
def made_digest(context, model, morning):  # noqa: F811
    written(context, morning, "Do you have <cake>?")
    model.enqueue(LINES.replace("lemon", "<lemon>"))
    flow.serve(context)
    work(context)
    flow.serve(context)
    return newest(context).id


def test_without_any_the_page_says_where_it_is_switched_on(owner, agent):
    assert 'href="/clients/1#digest"' in owner.get("/digests").text
    page = agent.get("/digests").text
    assert "No digest yet" in page and "/clients/1" not in page


def test_the_newest_is_read_in_full_and_stands_on_the_overview(made_digest, agent, context):
    for path in ("/digests", f"/digests/{made_digest}"):
        page = agent.get(path).text
        assert "Friday, 20 November 2026" in page and "asked for &lt;lemon&gt; cake." in page and "Nobody waited" in page and "on its way" in page
    assert agent.get("/digests/99").status_code == 404 and agent.get("/digests?client=99").status_code == 404
    overview = agent.get("/overview").text
    assert f'href="/digests/{made_digest}"' in overview and "&lt;lemon&gt;" in overview


def test_while_it_is_being_written_the_page_says_so_and_looks_again(morning, agent, context, model):  # noqa: F811
    written(context, morning, "Hello")
    flow.serve(context)
    page = agent.get("/digests").text
    assert "The model is writing it" in page and f'hx-get="/digests/{newest(context).id}"' in page


def test_earlier_ones_stand_behind_it_in_pages(morning, agent, context, db):  # noqa: F811
    for day in range(1, 36):
        db.execute(
            """
            INSERT INTO digests (client_id, day, begins_at, ends_at, state, numbers, waiting, remark, created_at)
            SELECT 1, date('2026-09-01', ?1 || ' days'), 0, 0, 'ready', ?2, '{"first": [], "count": 0}', 'Nobody wrote on this day.', ?1
            """,
            (day, '{"conversations": 0, "received": 0, "sent": 0, "bot": 0, "person": 0, "failed": 0, "broadcast": 0, "opted_out": 0, "median_seconds": null}'),
        )
    page = agent.get("/digests").text
    assert "Tuesday, 6 October 2026" in page and page.count("<li><div><a") == 29
    assert "Wednesday, 2 September 2026" in agent.get(page.split('rel="next" href="')[1].split('"')[0]).text


def test_one_that_could_not_be_sent_says_why_and_an_owner_sends_it(morning, owner, agent, context, db):  # noqa: F811
    morning.forward(1)
    keep(context, made("spring_sale"))
    flow.serve(context)
    digest = newest(context)
    page = agent.get(f"/digests/{digest.id}").text
    assert "It was not sent: There is no template" in page and "Send it now" not in page
    assert agent.submit(f"/digests/{digest.id}/send").status_code == 403
    morning.forward(1)
    keep(context, body_template("Digest of {{1}}: {{2}} End."))
    assert "Send it now" in owner.get(f"/digests/{digest.id}").text
    owner.submit(f"/digests/{digest.id}/send")
    assert len(sent(context)) == 1 and newest(context).refused_words is None
    assert "on its way, or was sent" in owner.post(f"/digests/{digest.id}/send", data={"csrf_token": owner.csrf_token()}, follow_redirects=True).text


# --- what a client wants of it ----------------------------------------------------------------------------------------------------------


def test_it_is_set_up_on_the_client_s_page(owner, context, db):
    keep(context, body_template("Digest of {{1}}: {{2}} End."), made("weekly_offer"))
    page = owner.get("/clients/1").text
    assert "order_ready (en)" in page and "weekly_offer" not in page, "only what a digest fits into"
    assert owner.submit("/clients/1/digest", **GIVEN).status_code == 303
    assert digests.wish(db, 1) == Wish(1, True, 8, "4915119999999", "order_ready", "en")
    page = owner.get("/clients/1").text
    assert 'value="+4915119999999"' in page and '<option value="order_ready|en" selected>' in page
    owner.submit("/clients/1/digest", digest_hour="8", digest_phone="", digest_template="")
    assert digests.wish(db, 1) == Wish(1, False, 8)


@pytest.mark.parametrize("given, words", [
    ({"digest_hour": "25"}, "Choose one of these."), ({"digest_phone": "12"}, "digest_phone"), ({"digest_phone": ""}, "both a phone number and a template"),
    ({"digest_template": ""}, "both a phone number and a template"), ({"digest_template": "weekly_offer|en"}, "This template cannot be used."),
    ({"digest_template": "none|en"}, "Choose one of these."),
])  # fmt: skip
def test_what_is_wrong_stands_beside_its_field_and_nothing_is_kept(owner, context, db, given, words):
    keep(context, body_template("Digest of {{1}}: {{2}} End."), made("weekly_offer"))
    answer = owner.submit("/clients/1/digest", **{**GIVEN, **given})
    assert answer.status_code == 422 and words in answer.text and rows(db, "SELECT 1 FROM digest_settings") == []
    assert 'name="name"' in answer.text and "Opening hours" in answer.text, "the rest of the page is as it was"


def test_a_template_that_is_chosen_and_gone_is_still_shown(owner, context, db, clock):
    digests.keep_wish(db, Wish(1, True, 7, OWNER, "lost", "en"), clock())
    assert "lost (en), cannot be sent now" in owner.get("/clients/1").text
    assert owner.submit("/clients/1/digest", **{**GIVEN, "digest_template": "lost|en"}).status_code == 303


def test_each_client_has_its_own(morning, owner, agent, context, db):  # noqa: F811
    other = clients.add(db, "Other", "", 0.0)
    digests.keep_wish(db, Wish(other, True, 7), morning())
    flow.serve(context)
    assert len(rows(db, "SELECT id FROM digests")) == 2
    assert agent.get(f"/digests?client={other}").text.count("<li><div><a") == 0 and "Earlier" in agent.get("/digests").text
    assert agent.submit("/clients/1/digest", **GIVEN).status_code == 403
