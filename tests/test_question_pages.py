"""Unanswered questions on the desk: looked at, dismissed, answered and then found; and the client's settings for what it knows."""

import re

import pytest

from frontdesk.flows import question_groups
from frontdesk.store import clients, questions
from frontdesk.store.database import transaction
from tests.demo import fill
from tests.test_client_pages import FORM
from tests.test_knowledge_pages import desk, read_all  # noqa: F401


@pytest.fixture
def asked(desk):
    """Two questions of client 1, one of them asked twice."""
    fill(desk.db, desk.settings, 1, desk.now())
    conversation_id = desk.db.execute("SELECT id FROM conversations ORDER BY id LIMIT 1").fetchone()["id"]
    for number, (cause, text) in enumerate([("no_passage", "Do you repair <b>e-bikes</b>?"), ("declined", "repair e-bikes"), ("person", "Have you tandems?")]):
        questions.record(desk.db, 1, conversation_id, 90_000 + number, cause, text, desk.now())
    question_groups.put_together(desk)
    return conversation_id


def test_with_none_the_page_says_what_will_stand_there(owner):
    page = owner.get("/knowledge/questions").text
    assert "No unanswered questions" in page and "To the knowledge" in page
    assert "/knowledge/questions?client=1" in owner.get("/knowledge").text


def test_the_most_asked_stands_first_with_its_count_and_its_conversations(owner, asked):
    page = owner.get("/knowledge/questions?client=1").text
    assert page.index("Do you repair &lt;b&gt;e-bikes&lt;/b&gt;?") < page.index("Have you tandems?")
    assert "asked 2 times" in page and "asked once" in page and "<b>e-bikes" not in page
    assert page.count(f"/inbox/{asked}\"") == 3
    assert all(words in page for words in ("nothing found", "the bot did not know", "a person stepped in"))
    assert "Unanswered questions (2)" in owner.get("/knowledge?client=1").text


def test_dismissed_it_is_gone(owner, asked):
    assert owner.submit("/knowledge/questions/2/dismiss").status_code == 303
    page = owner.get("/knowledge/questions").text
    assert "tandems" not in page and "e-bikes" in page
    assert owner.submit("/knowledge/questions/77/dismiss").status_code == 404


def test_an_answer_is_put_in_and_then_the_question_finds_it(owner, asked, desk):
    done = owner.submit("/knowledge/questions/1/answer", question="Do you repair e-bikes?", answer="Yes, on Thursdays.")
    assert done.status_code == 303
    page = owner.get("/knowledge/questions").text
    assert "being put in" in page and "every 2s" in page and "asked 2 times" not in page
    read_all(desk)
    page = owner.get("/knowledge/questions").text
    assert re.search(r"Do you repair e-bikes\?</b> <span class=\"badge success\">found", page)
    assert "Yes, on Thursdays." in page and "First of what this question finds" in page and "every 2s" not in page
    assert "Yes, on Thursdays." in owner.get("/knowledge?client=1&q=e-bike+repairs").text


def test_an_answer_that_is_removed_later_is_said_not_to_be_found(owner, asked, desk):
    owner.submit("/knowledge/questions/1/answer", question="Do you repair e-bikes?", answer="Yes.")
    read_all(desk)
    owner.submit("/knowledge/1/remove")
    assert "not found" in owner.get("/knowledge/questions").text


def test_what_is_missing_is_said_beside_its_field_and_what_was_typed_stays(owner, asked):
    page = owner.submit("/knowledge/questions/1/answer", question="My words", answer=" ")
    assert page.status_code == 422 and "The answer is missing." in page.text and "My words" in page.text and "<details open>" in page.text


def test_many_are_shown_in_pages(owner, desk, asked):
    with transaction(desk.db) as db:
        for number in range(60):
            question = questions.Question(0, 1, asked, "person", f"Question {number:03}", desk.now())
            db.execute("UPDATE question_groups SET count = 1 WHERE id = ?", (questions.new_group(db, question, [], None),))
    first, second = owner.get("/knowledge/questions").text, owner.get("/knowledge/questions?from=25").text
    assert first.count("class=\"card question\"") == second.count("class=\"card question\"") == 25
    assert "Asked less often" in first and "Asked more often" not in first and "Asked more often" in second
    assert "No unanswered" in owner.get("/knowledge/questions?from=9999999").text


def test_only_owners_see_it_and_no_form_works_without_its_token(agent, visitor, owner, asked):
    assert agent.get("/knowledge/questions").status_code == 403
    assert visitor.get("/knowledge/questions").status_code == 302
    assert owner.post("/knowledge/questions/1/dismiss").status_code in (400, 403)
    assert owner.get("/knowledge/questions?client=77").status_code == 404


def test_the_client_s_page_turns_each_of_it_on_with_its_own_words(owner, desk):
    page = owner.get("/clients/1").text
    assert "Answer only from the knowledge" in page and "I have asked a colleague to look at it." in page
    words = {"unknown_text": "Ask us.", "sources_text": "See:", "passage_text": "Meanwhile:"}
    form = {**FORM, **words, "knowledge_only": "yes", "shows_sources": "yes", "passage_when_away": "yes"}
    assert owner.submit("/clients/1", **form).status_code == 303
    client = clients.get(desk.db, 1, desk.settings)
    assert (client.knowledge_only, client.shows_sources, client.passage_when_away) == (True, True, True)
    assert (client.unknown_text, client.sources_text, client.passage_text) == ("Ask us.", "See:", "Meanwhile:")
    owner.submit("/clients/1", **{**FORM, **words})
    assert not clients.get(desk.db, 1, desk.settings).knowledge_only


def test_only_from_the_knowledge_wants_its_sentence(owner):
    page = owner.submit("/clients/1", **{**FORM, "knowledge_only": "yes", "unknown_text": ""})
    assert page.status_code == 422 and "Customers need a sentence to read" in page.text


def test_the_inbox_says_why_a_person_is_needed(owner, desk, asked):
    desk.db.execute("UPDATE conversations SET needs_person_at = 1, needs_person_reason = 'not_in_documents' WHERE id = ?", (asked,))
    assert "not in the documents" in owner.get("/inbox?show=needs_person").text
