"""Questions that the documents did not answer: noted once, grouped as they come, answered into the documents."""

import csv
import io
import threading
import time

import pytest

from frontdesk.flows import knowledge as documents, question_answers, question_groups, questions as flow, retrieval, sweep, take_over
from frontdesk.flows.extraction import Unreadable
from frontdesk.store import clients, database, knowledge, questions, vectors
from tests.test_inbound import queued
from tests.test_knowledge import CLIENT, add, embedder, ollama  # noqa: F401
from tests.test_reply import customer_writes
from tests.test_take_over import ANA


def note(db, text: str, cause: str = "no_passage", at: float = 100.0) -> None:
    conversation_id = db.execute("SELECT id FROM conversations").fetchone()["id"]
    message_id = db.execute("SELECT COALESCE(MAX(message_id), 10000) + 1 FROM questions").fetchone()[0]
    questions.record(db, CLIENT, conversation_id, message_id, cause, text, at)


@pytest.fixture
def noted(context):
    """A context with a conversation to ask in."""
    customer_writes(context, "Hi")
    return context


def together(context) -> list[tuple[str, int]]:
    while questions.ungrouped(context.db, 1):
        question_groups.put_together(context)
    return [(group.text, group.count) for group in questions.open_groups(context.db, CLIENT, 0, 100)]


def the_group(context) -> questions.Group:
    together(context)
    return questions.open_groups(context.db, CLIENT, 0, 1)[0]


# --- what is noted ---------------------------------------------------------------------------------------------------------------


def causes(context) -> list[tuple[str, str]]:
    return [tuple(row) for row in context.db.execute("SELECT cause, text FROM questions ORDER BY id")]


def test_who_asks_for_a_person_leaves_what_they_had_asked_before(context):
    customer_writes(context, "Do you repair e-bikes?", "thanks", "a human please")
    assert causes(context) == [("person", "Do you repair e-bikes?")]
    customer_writes(context, "a human please")
    assert len(causes(context)) == 1


def test_who_only_asks_for_a_person_leaves_nothing(context):
    customer_writes(context, "Hello", "a human please")
    assert causes(context) == []


def test_a_person_s_first_answer_leaves_the_question_and_the_talk_after_it_nothing(context):
    customer_writes(context, "Do you repair e-bikes?")
    take_over.take_over(context, 1, ANA)
    take_over.answer_by_person(context, 1, ANA, "Yes!")
    customer_writes(context, "And tandems?")
    take_over.answer_by_person(context, 1, ANA, "Those too.")
    assert causes(context) == [("person", "Do you repair e-bikes?")]


def test_what_the_bot_could_not_answer_and_a_person_does_is_noted_once(noted):
    note(noted.db, "x")
    customer_writes(noted, "Do you repair e-bikes?")
    newest = noted.db.execute("SELECT MAX(id) FROM messages").fetchone()[0]
    questions.record(noted.db, CLIENT, 1, newest, "declined", "Do you repair e-bikes?", 100.0)
    take_over.answer_by_person(noted, 1, ANA, "Yes!")
    assert causes(noted) == [("no_passage", "x"), ("declined", "Do you repair e-bikes?")]


def test_what_was_asked_long_ago_is_not_what_a_person_came_for(context):
    customer_writes(context, "Do you repair e-bikes?")
    client = clients.get(context.db, CLIENT, context.settings)
    flow.person_stepped_in(context.db, client, 1, context.now() + 2 * flow.LOOKED_BACK_SECONDS)
    assert causes(context) == []


# --- groups ----------------------------------------------------------------------------------------------------------------------


def test_questions_with_the_same_words_are_one_group(noted):
    for text in ("Are you open on Sunday?", "are you open on sundays", "OPEN SUNDAY??", "Do you deliver?", "do you repair"):
        note(noted.db, text)
    assert sorted(together(noted)) == [("Are you open on Sunday?", 3), ("Do you deliver?", 1), ("do you repair", 1)]


def test_in_languages_without_spaces_too(noted):
    for text in ("駐車場はありますか", "駐車場はありますか？", "予約できますか"):
        note(noted.db, text)
    assert sorted(together(noted)) == [("予約できますか", 1), ("駐車場はありますか", 2)]


@pytest.mark.skipif("not __import__('frontdesk.store.vectors').store.vectors._extension()")
def test_with_a_model_for_meaning_other_words_are_one_group_too(embedder, ollama):
    context = embedder("all-minilm")
    customer_writes(context, "Hi")
    ollama.embedder = lambda texts: [[1.0, 0.1, 0.0] if "dog" in text or "labrador" in text else [0.0, 0.2, 1.0] for text in texts]
    for text in ("May I bring my dog?", "Is a labrador allowed inside?", "Which tram goes there?"):
        note(context.db, text)
    assert together(context) == [("May I bring my dog?", 2), ("Which tram goes there?", 1)]


def test_with_that_model_away_words_do(embedder, ollama):
    context = embedder("all-minilm")
    customer_writes(context, "Hi")
    ollama.behaviour.change({"busy": True})
    note(context.db, "open on sunday?")
    note(context.db, "open sunday")
    assert together(context) == [("open on sunday?", 2)]


def test_groups_are_those_of_one_client(noted):
    other = clients.add(noted.db, "Other", "x", 0)
    note(noted.db, "open on sunday?")
    questions.record(noted.db, other, 1, 1, "declined", "open on sunday?", 5.0)
    assert together(noted) == [("open on sunday?", 1)]
    assert [group.count for group in questions.open_groups(noted.db, other, 0, 9)] == [1]


def test_killed_anywhere_each_question_is_counted_once(noted, monkeypatch):
    for _ in range(20):
        note(noted.db, "open on sunday?")
    real, calls = questions.put_in, []

    def dies(db, question, group_id):
        real(db, question, group_id)
        calls.append(question.id)
        if len(calls) % 3 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(questions, "put_in", dies)
    while questions.ungrouped(noted.db, 1):
        try:
            question_groups.put_together(noted)
        except KeyboardInterrupt:
            pass
    assert together(noted) == [("open on sunday?", 20)] and len(calls) > 20


def test_two_workers_count_none_twice(noted, settings):
    for _ in range(40):
        note(noted.db, "open on sunday?")
    found = questions.ungrouped(noted.db, 40)

    def put() -> None:
        db = database.connect(settings)
        for question in found:
            with database.transaction(db):
                if questions.is_ungrouped(db, question.id):
                    question_groups._put(db, question, None)
        db.close()

    workers = [threading.Thread(target=put) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert together(noted) == [("open on sunday?", 40)]


def test_the_sweep_rings_for_what_has_no_group_and_once(noted):
    note(noted.db, "open on sunday?")
    sweep.sweep(noted)
    sweep.sweep(noted)
    assert [job for job in queued(noted, "documents") if job == "questions"] == ["questions"]


def test_dismissed_stays_so_and_answered_opens_again_when_it_is_asked_again(noted):
    note(noted.db, "open on sunday?")
    group = the_group(noted)
    questions.dismiss(noted.db, group.id)
    note(noted.db, "open on sundays")
    assert together(noted) == []
    noted.db.execute("UPDATE question_groups SET state = 'answered', answered_at = 200")
    note(noted.db, "open sunday", at=150)
    assert together(noted) == []
    note(noted.db, "open sunday?", at=300)
    assert together(noted) == [("open on sunday?", 4)]


def test_the_nightly_cleaning_takes_old_questions_and_empty_groups(noted):
    note(noted.db, "old one", at=0)
    note(noted.db, "young one", at=noted.now())
    together(noted)
    sweep.clean(noted)
    assert together(noted) == [("young one", 1)]
    assert noted.db.execute("SELECT COUNT(*) FROM question_words").fetchone()[0] == 1


@pytest.mark.slow
def test_a_hundred_thousand_questions_make_neither_the_page_nor_the_next_one_slow(noted):
    db = noted.db
    with database.transaction(db):
        db.execute("INSERT INTO knowledge_models (id, name) VALUES (7, 'x')")
        vector = vectors.packed([0.1] * 384)
        numbers = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100000)"
        db.execute(
            f"""{numbers} INSERT INTO question_groups (id, client_id, text, word_count, count, latest_at, model_id, bits, vector)
            SELECT n, 1, 'item number ' || n, 3, 1 + n % 7, n, 7, ?, ? FROM n""",
            (bytes(48), vector),
        )
        for word in ("'item'", "'number'", "CAST(n AS TEXT)"):
            db.execute(f"{numbers} INSERT INTO question_words SELECT 1, {word}, n FROM n")
        db.execute(
            f"{numbers} INSERT INTO questions SELECT n, 1, 1, n, 'declined', 'item number ' || n, n, n FROM n"
        )
    began = time.perf_counter()
    groups = questions.open_groups(db, CLIENT, 0, 26)
    asked = [questions.of_group(db, group.id, 3) for group in groups]
    page_seconds = time.perf_counter() - began
    assert groups[0].count == 7 and len(asked) == 26 and page_seconds < 1
    note(db, "item number 5 thousand?")
    [question] = questions.ungrouped(db, 9)
    began = time.perf_counter()
    with database.transaction(db):
        question_groups._put(db, question, (7, bytes(48), vectors.packed([-0.1] * 384)) if vectors.available(db) else None)
    assert time.perf_counter() - began < 3


# --- answered --------------------------------------------------------------------------------------------------------------------


def rows_of(context, document_id: int) -> list[list[str]]:
    path = documents.file_of(context, knowledge.get(context.db, document_id).sha256)
    return list(csv.reader(io.StringIO(path.read_text(), newline="")))[1:]


def read(context) -> None:
    while ids := [row["id"] for row in context.db.execute("SELECT id FROM knowledge_documents WHERE settled = 0")]:
        for id_ in ids:
            documents.read_document(context, id_)


def test_an_answer_becomes_an_entry_that_the_question_finds(noted):
    note(noted.db, "Are you open on Sunday?")
    group = the_group(noted)
    document_id = question_answers.answer(noted, group, "Are you open\non Sunday?", "No, on Sundays the oven rests.")
    assert questions.group(noted.db, group.id).state == "answered" and together(noted) == []
    read(noted)
    [best, *_] = retrieval.search(noted, CLIENT, "open sunday?")
    assert (best.document_id, best.place) == (document_id, "Questions and answers > Are you open on Sunday?")
    assert best.text == "No, on Sundays the oven rests."


def test_the_next_answer_is_a_new_version_and_an_older_answer_to_the_same_question_goes(noted):
    for question, words in (("Dogs?", "Yes."), ("Cats, \"big\" ones?", "No,\nsorry."), ("dogs", "Only small ones.")):
        note(noted.db, question, at=noted.now.forward(1))
        last = question_answers.answer(noted, the_group(noted), question, words)
    assert rows_of(noted, last) == [['Cats, "big" ones?', "No,\nsorry."], ["dogs", "Only small ones."]]
    read(noted)
    [document] = knowledge.of_client(noted.db, CLIENT)
    assert (document.id, document.version, document.live) == (last, 3, True)
    assert [row["id"] for row in noted.db.execute("SELECT id FROM knowledge_documents WHERE live")] == [last]


def test_answers_of_two_people_at_once_are_both_kept(noted, monkeypatch):
    for question in ("Dogs?", "Cats?"):
        note(noted.db, question)
        together(noted)
    first, second = questions.open_groups(noted.db, CLIENT, 0, 2)
    real, once = documents.keep_file, []

    def meanwhile(context, content):
        if not once:
            once.append(1)
            question_answers.answer(context, second, second.text, "two")
        return real(context, content)

    monkeypatch.setattr(documents, "keep_file", meanwhile)
    last = question_answers.answer(noted, first, first.text, "one")
    assert sorted(words for _, words in rows_of(noted, last)) == ["one", "two"]


def test_a_table_that_was_uploaded_is_gone_on_with_once_it_is_read(noted):
    note(noted.db, "Cats?")
    documents.add(noted, CLIENT, "Questions and answers.csv", "Frage;Antwort\nHunde?;Ja.\n".encode())
    with pytest.raises(Unreadable, match="still being read"):
        question_answers.answer(noted, the_group(noted), "Cats?", "No.")
    read(noted)
    last = question_answers.answer(noted, the_group(noted), "Cats?", "No.")
    assert rows_of(noted, last) == [["Hunde?", "Ja."], ["Cats?", "No."]]


def test_one_that_is_off_stays_off_and_a_new_one_is_begun(noted):
    note(noted.db, "Cats?")
    old = add(noted, "Questions and answers.csv", b"question,answer\r\nDogs?,Yes.\r\n")
    documents.switch(noted, old, False)
    read(noted)
    last = question_answers.answer(noted, the_group(noted), "Cats?", "No.")
    assert knowledge.get(noted.db, last).replaces is None and rows_of(noted, last) == [["Cats?", "No."]]


def test_a_version_between_that_could_not_be_read_leaves_no_older_one_live(context):
    first = add(context, "menu.md", b"# One\n\nfirst words")
    broken = add(context, "menu.pdf", b"no pdf at all", replaces=first)
    third = add(context, "menu.md", b"# One\n\nthird words", replaces=broken)
    read(context)
    assert [row["id"] for row in context.db.execute("SELECT id FROM knowledge_documents WHERE live")] == [third]
    assert context.db.execute("SELECT COUNT(*) FROM knowledge_chunks WHERE document_id = ?", (first,)).fetchone()[0] == 0
