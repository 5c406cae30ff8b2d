"""Chunks follow headings and paragraphs, are short enough, and lose nothing, in languages without spaces too."""

import re

import pytest

from frontdesk.flows.chunking import LONGEST_TOKENS, TARGET_TOKENS, Chunk, chunks, digest, tokens, told
from frontdesk.flows.extraction import Section


def only_characters(text: str) -> str:
    return re.sub(r"\s+", "", text)


def test_short_sections_are_chunks_of_their_own_with_their_place():
    found = chunks([Section(("Menu", "Cakes"), 2, "Lemon, 4.20"), Section(("Menu", "Bread"), 3, "Rye, 3.90")])
    assert found == [Chunk(0, ("Menu", "Cakes"), 2, "Lemon, 4.20"), Chunk(1, ("Menu", "Bread"), 3, "Rye, 3.90")]


def test_paragraphs_are_put_together_while_they_fit():
    paragraph = "We deliver on weekdays within the city. " * 4
    found = chunks([Section((), None, "\n\n".join([paragraph.strip()] * 12))])
    assert 2 < len(found) < 12
    assert all(tokens(chunk.text) <= TARGET_TOKENS for chunk in found)
    assert all(chunk.text.startswith("We deliver") and chunk.text.endswith("city.") for chunk in found)


def test_a_long_paragraph_is_parted_between_sentences():
    found = chunks([Section((), None, "This sentence is about our opening hours on holidays. " * 60)])
    assert len(found) > 3
    assert all(chunk.text.startswith("This") and chunk.text.endswith("holidays.") for chunk in found)


@pytest.mark.parametrize(
    "text",
    [
        "当店は月曜日から金曜日まで、午前九時から午後六時まで営業しております。" * 40,
        "ร้านของเราเปิดทุกวันตั้งแต่เก้าโมงเช้าถึงหกโมงเย็น" * 40,
        "本店周一至周五营业" * 200,
        "x" * 20_000,
        "Donaudampfschifffahrt " * 500,
        "Zeile eins\n" * 400,
        "Wort.\n\n" * 600,
        "Mixed 混在した文章です。With words. " * 100,
    ],
)
def test_nothing_is_lost_and_nothing_is_too_long(text):
    found = chunks([Section((), None, text)])
    assert all(0 < tokens(chunk.text) <= LONGEST_TOKENS for chunk in found)
    assert only_characters("".join(chunk.text for chunk in found)) == only_characters(text)
    assert [chunk.position for chunk in found] == list(range(len(found)))


def test_sentences_of_languages_without_spaces_stay_whole():
    sentence = "当店は月曜日から金曜日まで、午前九時から午後六時まで営業しております。"
    found = chunks([Section((), None, sentence * 40)])
    assert all(chunk.text.startswith("当店は") and chunk.text.endswith("おります。") and " " not in chunk.text for chunk in found)


def test_a_chunk_is_indexed_with_what_it_stands_under():
    found = told("Price list", ("Prices", "Bikes"), "20 € a day")
    assert found == "Price list > Prices > Bikes\n20 € a day"
    assert digest(found) != digest(told("Old list", ("Prices", "Bikes"), "20 € a day"))


def test_half_a_surrogate_pair_has_a_digest_too():
    assert digest("\ud800")
