"""Replays and checks on the desk."""

import io

import pytest

from frontdesk.flows import checks as check_flow
from frontdesk.store import checks, clients
from frontdesk.store import replays as rows
from frontdesk.store.checks import Question
from tests.test_inbound import rows as selected
from tests.test_replays import CLIENT, context, found, model, several, start, turn, work  # noqa: F401

EVIL = "<img src=x onerror=alert(1)>"


def begin(browser, context, **fields):
    stored = clients.as_stored(context.db, CLIENT)
    given = {"client": "1", "kind": "turns", "period": "7", "prompt": stored["system_prompt"], **fields}
    return browser.submit("/replays", **given)


def test_from_a_choice_to_results_marks_and_adoption(owner, context, model, db):
    turn(context, model, f"When do you open? {EVIL}", "We open at seven.")
    turn(context, model, "Do you deliver?", "Yes, until five.")
    page = owner.get("/replays/new?client=1").text
    assert "<b>2 answers</b> in 1 conversation" in page and "Corner Bakery" in page
    answer = begin(owner, context, prompt="Be a parrot.", temperature="0,9")
    assert answer.status_code == 303
    waiting = owner.get(answer.location).text
    assert "0 of 2" in waiting and "Answers appear here as they come" in waiting and "Pause" in waiting
    model.enqueue("We open at eight.", f"No. {EVIL}")
    work(context)
    page = owner.get(answer.location).text
    assert "We open at <del>seven</del>." in page and "We open at <ins>eight</ins>." in page
    assert EVIL not in page and "&lt;img src=x" in page
    assert '<span class="added"><span class="hidden">added: </span>+ Be a parrot.' in page
    assert "0.9" in page and "hx-get" not in page.split('id="standing"')[1].split(">")[0]

    first, second = rows.finished(db, 1, "all", after=0, limit=9)
    card = owner.fragment(f"{answer.location}/items/{first.id}/mark", "POST", mark="worse")
    assert f'id="t{first.id}"' in card.text and 'hx-swap-oob="true"' in card.text and ">1</span> worse" in card.text
    plain = owner.submit(f"{answer.location}/items/{second.id}/mark", mark="better", show="all")
    assert plain.status_code == 303 and plain.location == f"{answer.location}?show=all#t{second.id}"
    owner.submit(f"{answer.location}/items/{second.id}/mark", mark="better")
    assert rows.item(db, second.id).mark is None, "the same mark again takes it away"
    shown = owner.get(f"{answer.location}?show=worse").text
    assert f'id="t{first.id}"' in shown and f'id="t{second.id}"' not in shown

    seen = page.split('name="seen" value="')[1].split('"')[0]
    adopted = owner.submit(f"{answer.location}/adopt", seen=seen)
    assert adopted.location == "/clients/1"
    client = clients.get(db, CLIENT, context.settings)
    assert (client.system_prompt, client.temperature) == ("Be a parrot.", 0.9)
    assert clients.prompt_versions(db, CLIENT)[0].user_name == "Some Owner"
    assert "adopted" in owner.get(answer.location).text and "adopted" in owner.get("/replays").text
    owner.submit(f"{answer.location}/adopt", seen=seen)
    assert "Somebody saved this client meanwhile" in owner.get(answer.location).text


def test_what_is_found_follows_what_is_chosen(owner, context, model):
    several(context, model, 2)
    form = {"client": "1", "period": "30", "words": "Question 1"}
    assert "<b>1 answer</b>" in owner.fragment("/replays/found", "POST", **form).text
    assert "No answers of the bot" in owner.fragment("/replays/found", "POST", **{**form, "words": "cinnamon"}).text
    days = {**form, "period": "days"}
    assert "Say from which day" in owner.fragment("/replays/found", "POST", **days).text
    page = begin(owner, context, show="yes", words="Question 0", prompt="typed so far").text
    assert "<b>1 answer</b>" in page and "typed so far" in page and rows.newest(context.db, client_id=None, before=None, limit=9) == []


def test_one_conversation_or_some_are_chosen_by_hand(owner, context, model, db):
    several(context, model, 2)
    page = owner.get("/replays/new?conversation=1").text
    assert "Of one conversation alone" in page and 'name="conversation" value="1"' in page
    begin(owner, context, conversation="1")
    assert rows.get(db, 1).chosen == "the last 7 days, of one conversation"
    begin(owner, context, ticked=["1"])
    assert rows.get(db, 2).chosen.endswith("of chosen conversations") and rows.counts(db, 2).total() == 2
    assert begin(owner, context, ticked=["99"]).status_code == 422


def test_more_than_five_hundred_are_told_with_words(owner, context, model, monkeypatch):
    from frontdesk.flows import replays

    monkeypatch.setattr(replays, "MOST_TURNS", 2)
    several(context, model, 3)
    page = owner.get("/replays/new?client=1").text
    assert "There are 3 answers. The newest 2 are asked again" in page
    begin(owner, context)
    assert [item.message_id for item in map(lambda n: rows.item(context.db, n), (1, 2))] == found(context)[1:]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"prompt": ""}, "The prompt is missing"),
        ({"temperature": "9"}, "Temperature is a number from 0 to 2"),
        ({"period": "never"}, "Choose one of these"),
        ({"words": "cinnamon"}, "Nothing was answered then"),
        ({"kind": "checks"}, "There are no checks yet"),
        ({"period": "days", "first": "2026-02-30", "last": "x"}, "Say from which day"),
        ({"kind": "poem"}, "Choose one of these"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_begins(owner, context, model, fields, words):
    several(context, model, 1)
    answer = begin(owner, context, **fields)
    assert answer.status_code == 422 and words in answer.text
    assert selected(context.db, "SELECT id FROM replays") == []


def test_items_are_paged_and_new_ones_come_by_themselves(owner, context, model):
    several(context, model, 3)
    replay_id = start(context, found(context) * 9)
    context.queues.redis.delete("rq:queue:documents")
    assert owner.fragment(f"/replays/{replay_id}/more?show=all&after=0").status_code == 204
    work(context)
    first = owner.get(f"/replays/{replay_id}").text
    assert first.count("data-turn") == 20 and "after=20" in first
    rest = owner.fragment(f"/replays/{replay_id}/more?show=all&after=20").text
    assert rest.count("data-turn") == 7 and "loader" not in rest
    standing = owner.fragment(f"/replays/{replay_id}/standing")
    assert standing.status_code == 200 and "27" in standing.text


def test_a_replay_is_paused_cancelled_and_deleted(owner, context, model):
    several(context, model, 1)
    at = f"/replays/{start(context)}"
    owner.submit(f"{at}/pause")
    assert "paused" in owner.get(at).text and "paused" in owner.get("/replays").text
    owner.submit(f"{at}/resume")
    owner.submit(f"{at}/cancel")
    assert "cancelled" in owner.get(at).text
    assert "nothing left to change" in owner.post(f"{at}/pause", data={"csrf_token": owner.csrf_token()}, follow_redirects=True).text
    assert owner.submit(f"{at}/poem").status_code == 404
    owner.submit(f"{at}/delete")
    assert owner.get(at).status_code == 404 and "No replay yet" in owner.get("/replays").text


def test_with_several_clients_one_is_chosen_first(owner, context):
    clients.add(context.db, f"Zoo {EVIL}", "You are a zoo.", context.now())
    page = owner.get("/replays/new").text
    assert "Whose answers?" in page and EVIL not in page and "/replays/new?client=2" in page
    assert "No answers of the bot" in owner.get("/replays/new?client=2").text
    assert owner.get("/replays/new?client=99").status_code == 404


def test_replays_and_checks_are_for_owners(agent, owner, context, model):
    several(context, model, 1)
    for path in ("/replays", "/replays/new", f"/replays/{start(context)}", "/clients/1/checks", "/clients/1/checks.csv"):
        assert agent.get(path).status_code == 403 and owner.get(path).status_code == 200
    assert "Replay its answers" in owner.get("/inbox/1").text and "Replay its answers" not in agent.get("/inbox/1").text
    assert owner.submit("/replays/1/items/99/mark", mark="better").status_code == 404
    assert owner.submit("/replays/1/items/1/mark", mark="splendid").status_code == 404


# --- checks -------------------------------------------------------------------------------------------------------------------


def test_checks_are_written_changed_asked_and_removed(owner, context, model, db):
    assert "No check yet" in owner.get("/clients/1/checks").text
    assert owner.submit("/clients/1/checks", question="When do you open?", must="7:00", must_not="24 hours").status_code == 303
    owner.submit("/clients/1/checks", question=f"The mayor's phone? {EVIL}", must_decline="yes")
    page = owner.get("/clients/1/checks").text
    assert "7:00" in page and "24 hours" in page and EVIL not in page
    owner.submit("/clients/1/checks/1", question="When do you open?", must="7:00\nSunday")
    assert checks.get(db, 1).asked == Question("When do you open?", ("7:00", "Sunday"))
    at = owner.submit("/clients/1/checks/run").location
    model.enqueue(f"At 7:00. {EVIL}", "I do not know.")
    work(context)
    page = owner.get(at).text
    assert "Missing: <b dir=\"auto\">Sunday</b>" in page and "Says that it does not know" in page and EVIL not in page
    assert owner.get(f"{at}?show=wrong").text.count("data-turn") == 1
    assert "1 of 2 passed" in owner.get("/clients/1/checks").text and "1 failed" in owner.get("/replays").text
    owner.submit("/clients/1/checks/1/remove")
    assert checks.get(db, 1) is None and owner.get("/clients/1/checks/1").status_code == 404
    assert owner.get("/clients/2/checks/2").status_code == 404


def test_what_is_no_check_is_said_beside_its_field(owner, db):
    answer = owner.submit("/clients/1/checks", question="When?", must="***")
    assert answer.status_code == 422 and 'id="e-must"' in answer.text and "When?" in answer.text
    check_id = checks.add(db, 1, Question("When?", ("7",)), 0)
    assert owner.submit(f"/clients/1/checks/{check_id}", question="", must="7").status_code == 422


def test_checks_are_asked_of_a_candidate(owner, context, model, db):
    checks.add(db, 1, Question("When?", ("7",)), 0)
    assert '<option value="checks" selected>' in owner.get("/replays/new?client=1&kind=checks").text
    at = begin(owner, context, kind="checks", prompt="We open at 7.").location
    work(context)
    assert model.chats[-1]["body"]["messages"][0]["content"].startswith("We open at 7.") and "Adopt it" in owner.get(at).text


def test_a_customer_s_question_is_saved_as_a_check(owner, context, model):
    turn(context, model, "Do you bake rye?", "Yes.")
    replay_id = start(context)
    work(context)
    page = owner.get(f"/replays/{replay_id}").text
    assert "/clients/1/checks?item=1#add" in page
    assert "Do you bake rye?</textarea>" in owner.get("/clients/1/checks?item=1").text.replace("\n", "")
    assert owner.get("/clients/1/checks?item=77").status_code == 200


def test_a_table_is_taken_in_and_along(owner, context, db):
    file = (io.BytesIO(b"question,must\nWhen?,7\nWhere?,Mill Lane\n"), "checks.csv")
    owner.submit("/clients/1/checks/import", file=file)
    assert [check.asked.question for check in checks.of_client(db, 1)] == ["When?", "Where?"]
    table = owner.get("/clients/1/checks.csv")
    assert table.data.startswith(b"\xef\xbb\xbfquestion,must") and "attachment" in table.headers["Content-Disposition"]
    wrong = owner.submit("/clients/1/checks/import", file=(io.BytesIO(b"a,b\n1,2"), "x.csv"))
    assert wrong.status_code == 422 and 'id="e-file"' in wrong.text
    assert owner.submit("/clients/1/checks/import").status_code == 422
    large = owner.submit("/clients/1/checks/import", file=(io.BytesIO(b"x" * (check_flow.LARGEST_FILE_BYTES + 20_000)), "x.csv"))
    assert large.status_code == 413
