"""Two answers side by side: which words changed."""

import time

import pytest

from frontdesk.flows.word_differences import differences


def marked(parts) -> str:
    return "".join(f"[{text}]" if changed else text for text, changed in parts)


@pytest.mark.parametrize(
    ("old", "new", "before", "after"),
    [
        ("We open at seven.", "We open at eight.", "We open at [seven].", "We open at [eight]."),
        ("We open.", "We open.", "We open.", "We open."),
        ("", "All new", "", "[All new]"),
        ("Open 8:00 to 12:00", "Open _8:00 to 12:30_", "Open 8:00 to [12:00]", "Open [_]8:00 to [12:30_]"),
        ("a  b\n\nc", "a b c", "a  b\n\nc", "a b c"),
        ("one, two", "eins, zwei", "[one, two]", "[eins, zwei]"),
        ("朝7時に焼きます", "朝7時半に焼きます", "朝7時に焼きます", "朝7時[半]に焼きます"),
        ("It is 4.80 today", "It is 4.90 today", "It is [4.80] today", "It is [4.90] today"),
    ],
)
def test_what_changed_is_marked_word_by_word(old, new, before, after):
    first, second = differences(old, new)
    assert (marked(first), marked(second)) == (before, after)


def test_every_text_comes_out_whole():
    for old, new in [("a\ud83db <i>", "b  c 🎂 "), ("x" * 5000, "y z " * 900), ("_*_", "*_*")]:
        first, second = differences(old, new)
        assert ("".join(text for text, _ in first), "".join(text for text, _ in second)) == (old.strip(), new.strip())


def test_the_longest_answers_are_compared_quickly():
    old = "The quick brown fox, and the lazy dog. " * 105
    began = time.process_time()
    differences(old, old.replace("fox", "cat").replace("dog.", "dog; the end."))
    assert time.process_time() - began < 0.5
