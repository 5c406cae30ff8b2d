"""Deliveries on the desk: looked at, sent again; the secret shown on a click and changed. For owners."""

import pytest

from frontdesk.flows import callbacks as flow
from frontdesk.store import callbacks
from tests.test_inbound import rows


@pytest.fixture
def delivered(db, clock):
    """Ten of which three are given up."""
    for n in range(10):
        id_ = callbacks.add(db, 1, f"https://shop.example/<told>/{n}?key=hidden-key", "batch.done" if n % 2 else "document.done", {"task_id": f"<doc {n}>"}, clock() + n)
        state = "failed" if n in (1, 2, 3) else "delivered"
        db.execute("UPDATE callbacks SET state = ?, due_at = NULL, status = 500, attempts = 7, answer = '<b>no</b>' WHERE id = ?", (state, id_))


def states(db) -> list[str]:
    return [row["state"] for row in rows(db, "SELECT state FROM callbacks ORDER BY id")]


def test_an_empty_page_says_how_one_is_asked_for(owner):
    assert "Nobody asked to be told" in owner.get("/callbacks").text


def test_deliveries_stand_newest_first_by_state_and_event(owner, delivered):
    page = owner.get("/callbacks").text
    assert page.index("&lt;told&gt;/9?…") < page.index("&lt;told&gt;/0?…") and "hidden-key" not in page
    failed = owner.get("/callbacks?state=failed&event=batch.done").text
    assert failed.count("?…</span>") == 2 and "/3?…" in failed and "/1?…" in failed


def test_one_is_seen_with_what_was_told_and_what_came_back_and_sent_again(owner, delivered, db):
    one = callbacks.newest(db, state="failed")[0]
    page = owner.get(f"/callbacks/{one.public_id}").text
    assert "&lt;doc 3&gt;" in page and "&lt;b&gt;no&lt;/b&gt;" in page and "HTTP 500" in page and "hidden-key" not in page
    assert owner.submit(f"/callbacks/{one.public_id}/resend").status_code == 303
    again = callbacks.get(db, one.public_id)
    assert (again.state, again.attempts, again.begun_after) == ("wanted", 7, 7)
    assert owner.get("/callbacks/none").status_code == 404


def test_all_that_failed_of_an_event_are_sent_again_after_a_question(owner, delivered, db):
    page = owner.get("/callbacks?event=batch.done").text
    assert 'data-confirm="Send all 2 that were given up of batch.done again?' in page
    owner.submit("/callbacks/resend-failed", event="batch.done")
    assert states(db).count("wanted") == 2 and states(db).count("failed") == 1
    owner.submit("/callbacks/resend-failed", event="")
    assert states(db).count("wanted") == 3
    assert "none left" in owner.post("/callbacks/resend-failed", data={"csrf_token": owner.csrf_token()}, follow_redirects=True).text


def test_the_secret_is_shown_on_a_click_alone_and_changed(owner, context):
    [secret] = flow.secrets(context, 1)
    assert secret not in owner.get("/callbacks").text and secret not in owner.get("/tokens").text
    assert secret in owner.submit("/callbacks/secret", client="1").text
    page = owner.submit("/callbacks/secret/change", client="1").text
    new, old = flow.secrets(context, 1)
    assert old == secret and new in page and secret not in page
    assert owner.submit("/callbacks/secret", client="99").status_code == 404


def test_it_is_for_owners(agent, delivered):
    assert agent.get("/callbacks").status_code == 403 and agent.submit("/callbacks/secret", client="1").status_code == 403


def test_a_batch_handed_over_on_the_desk_may_name_an_address(owner, db):
    fields = {"kind": "summary", "client": "", "categories": "", "text": "Spring."}
    refused = owner.submit("/documents", **fields, callback_url="http://127.0.0.1/")
    assert refused.status_code == 422 and "leads to a private network" in refused.text and rows(db, "SELECT id FROM document_batches") == []
    owner.submit("/documents", **fields, callback_url="https://shop.example/told")
    assert rows(db, "SELECT callback_url FROM document_batches")[0]["callback_url"] == "https://shop.example/told"
