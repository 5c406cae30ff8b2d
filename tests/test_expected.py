"""Facts found in answers however they are written; answers that say that the bot does not know."""

import pytest

from frontdesk.flows.declining import declines
from frontdesk.flows.expected import folded, is_a_fact, judged
from frontdesk.store.checks import Question


def says(answer: str, fact: str) -> bool:
    return judged(Question("?", must=(fact,)), answer, False).passed


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ("We open at *7:00*.", "7:00"),
        ("We open at\n seven  o’clock", "Seven o'clock"),
        ("It is _lactose-free_", "lactose–free"),
        ("GRÖSSE der Straße", "größe der strasse"),
        ("crème brûlée", "Creme Brulee"),
        ("1,000 EUR", "1000"),
        ("1.000 €", "1,000"),
        ("1'000 CHF", "1000.00"),
        ("1\u202f000 €", "1000"),
        ("1.234.567,50", "1,234,567.50"),
        ("12,50 EUR", "12.50"),
        ("30 EUR", "30.00"),
        ("costs 30.", "30"),
        ("30€", "30"),
        ("open from 7 am", "7:00 / 7 am"),
        ("明日は休みです。", "休み"),
        ("ثمنه ٣٠ ريال", "30"),
        ("call 030-1234", "030-1234"),
        ("0,125 l", "0.125"),
        ("on 24.12.2026", "24.12.2026"),
        ("your order_ready now", "order_ready"),
    ],
)
def test_a_fact_is_found_however_it_is_written(answer, fact):
    assert says(answer, fact)


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ("17 rolls", "7"),
        ("at 17:00", "7:00"),
        ("30.50 EUR", "30"),
        ("2.30 EUR", "30"),
        ("10,000 EUR", "1,000"),
        ("a freezer", "free"),
        ("we reopened", "open"),
        ("", "anything"),
        ("7:30", "7"),
        ("1.5 kg", "1500"),
    ],
)
def test_a_fact_is_no_part_of_a_word_or_of_a_number(answer, fact):
    assert not says(answer, fact)


def test_what_is_wrong_is_told_by_name():
    asked = Question("When?", must=("7:00", "Sunday"), must_not=("free", "24 hours"), must_decline=True)
    found = judged(asked, "We open at 7:00, delivery is FREE.", False)
    assert (found.missing, found.unwanted, found.not_declined, found.passed) == (("Sunday",), ("free",), True, False)
    assert str(found) == "missing: Sunday; must not say: free; it did not decline"
    assert judged(asked, "I don't know about 7:00 on Sunday", True).passed


def test_a_fact_holds_a_word_or_a_number():
    assert is_a_fact("7") and is_a_fact("休み") and not is_a_fact("***") and not is_a_fact("a / !")


@pytest.mark.parametrize("text", ["\ud83d half", "*" * 5000, "1" * 5000, "1." * 3000, "٣,٣,٣", "'\"’", "½ ² ①", "1.000." * 500])
def test_no_text_breaks_the_comparison(text):
    assert folded(folded(text)) == folded(folded(folded(text)))
    assert judged(Question("?", must=(text[:200],), must_not=("7",)), text, False) is not None
    assert declines(text) is False


@pytest.mark.parametrize(
    "text",
    [
        "I do not know that; a person will answer you.",
        "I’m sorry, I don’t have that information.",
        "I'm not sure about that.",
        "A colleague will get back to you.",
        "Das weiß ich leider nicht.",
        "Ich kann Ihnen das leider nicht sagen.",
        "Je ne sais pas, désolé.",
        "No lo sé, lo siento.",
        "Não tenho essa informação.",
        "Non lo so.",
        "Dat weet ik helaas niet.",
        "Я не знаю.",
        "我不知道",
        "申し訳ありませんが、わかりません。",
    ],
)
def test_an_answer_that_says_that_it_does_not_know(text):
    assert declines(text)


@pytest.mark.parametrize(
    "text",
    ["We open at 7.", "As you know, Sundays are quiet.", "Do you know our rye bread?", "Wir haben keine Nüsse im Teig.", "A person can carry two boxes.", "Sí, sé cuál es."],
)
def test_an_answer_is_no_refusal(text):
    assert not declines(text)
