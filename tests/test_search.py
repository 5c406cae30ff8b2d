"""Search over messages: store/search.py."""

import pytest

from frontdesk.store import messages, search
from tests import webhooks
from tests.test_inbound import receive


@pytest.fixture
def said(context):
    def say(*words, **fields):
        receive(context, webhooks.texts(*[webhooks.text(each, **fields) for each in words]))

    return say


def found(db, words, **options) -> list[str]:
    return ["".join(part for part, _ in each.parts) for each in search.find(db, words, **options)]


def marked(db, words) -> list[str]:
    return [part for each in search.find(db, words) for part, is_match in each.parts if is_match]


def test_the_newest_message_with_all_words_comes_first(said, db):
    said("fresh bread today", "bread and butter", "butter only", "today there is bread")
    assert found(db, "today bread") == ["today there is bread", "fresh bread today"]


@pytest.mark.parametrize("words", ["creme", "CRÈME", "crème brûlée", "brul"])
def test_accents_case_and_the_end_of_the_last_word_do_not_matter(said, db, words):
    said("Une Crème brûlée, s'il vous plaît")
    assert len(found(db, words)) == 1


def test_what_was_found_is_marked(said, db):
    said("Crème brûlée and more crème")
    assert marked(db, "creme") == ["Crème", "crème"]


@pytest.mark.parametrize("words", ["朝", "明日", "クロワッサン", "焼けます", "คุณ"])
def test_languages_without_spaces_are_found_by_any_part(said, db, words):
    said("明日の朝、クロワッサンは何時に焼けますか", "ขอบคุณครับ")
    assert len(found(db, words)) == 1
    assert marked(db, words) == [words]


@pytest.mark.parametrize("words", ["", "  ", '"', "AND", "bread OR", "NEAR(", "col:bread", "*", "-bread", "bread'; --", "(((", "^", "_"])
def test_nothing_that_is_typed_is_a_syntax_error(said, db, words):
    said("bread")
    search.find(db, words)


def test_an_edited_message_is_found_by_its_new_words_alone(said, db):
    said("the old words", id="wamid.1")
    messages.edit(db, 1, "wamid.1", "something else", 2_000_000_000)
    assert found(db, "old") == [] and len(found(db, "else")) == 1


def test_a_message_that_is_gone_is_not_found(said, db):
    said("a secret")
    db.execute("DELETE FROM messages")
    assert found(db, "secret") == []


def test_another_client_s_messages_are_left_out(said, db):
    said("bread")
    assert len(found(db, "bread", client_id=1)) == 1 and found(db, "bread", client_id=2) == []


def test_a_long_message_is_shown_around_the_match(said, db):
    said("x " * 300 + "needle" + " y" * 300)
    [text] = found(db, "needle")
    assert len(text) < 130 and text.startswith("…") and "needle" in text and text.endswith("…")


def test_words_that_sqlite_cannot_hold_as_utf_8_are_no_trouble(said, db):
    said("half \ud83d a pair and a \x00 nul")
    assert len(found(db, "pair")) == 1


@pytest.mark.parametrize(
    ("said_word", "typed"),
    [
        ("Brötchen", "brotc"), ("Brötchen", "BRÖTC"), ("bestellungen", "bestell"), ("Доставка", "доста"), ("Доставка", "ДОСТА"), ("ёлочка", "ёлоч"),
        ("Παραγγελία", "παραγ"), ("Κωδικός", "ΚΩΔΙΚ"), ("توصيلات", "توصيل"), ("주문합니다", "주문합니"), ("İstanbul", "istan"), ("Smørrebrød", "smørr"),
        ("Straße", "straß"), ("2024100077", "202410"),
    ],
)  # fmt: skip
def test_a_long_word_is_found_by_its_beginning_in_any_script(said, db, said_word, typed):
    said(f"one {said_word} please", "another")
    assert found(db, typed) == [f"one {said_word} please"]
    assert found(db, f"one {typed}") == [f"one {said_word} please"]


def test_a_beginning_of_very_many_words_finds_the_newest_of_them(said, db):
    said(*[f"order 7001{n:03}" for n in range(150)], "order 70020", "and 7001x")
    assert found(db, "7001")[:2] == ["and 7001x", "order 7001149"]
    assert found(db, "order 7001")[0] == "order 7001149" and len(found(db, "order 7001")) == search.LIMIT


def test_a_beginning_of_very_many_words_is_found_however_old_they_are(said, db, monkeypatch):
    monkeypatch.setattr(search, "LOOKED_THROUGH", (10,))
    said(*[f"order 7001{n:03}" for n in range(101)], *["order 70020"] * 20)
    assert len(found(db, "7001")) == search.LIMIT and found(db, "7001")[0] == "order 7001100"
