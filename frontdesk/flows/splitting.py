"""Cutting a long text into messages, at the best place that still fits.

WhatsApp limits a text to 4096 characters and does not say of what kind. UTF-16 code units are what JavaScript, Java and iOS
count, and no text has fewer of them than it has characters: what fits in units fits however Meta counts.
"""

import re
import unicodedata
from collections.abc import Callable

LIMIT = 4096
SHORTEST = 256
# Best first: after a paragraph, a line, a sentence (also one of a script that writes no space behind it), a word.
_PLACES = tuple(
    re.compile(pattern)
    for pattern in (r"\n[ \t]*\n", r"\n", r"[.!?…؟।։][\"'»”’)\]]*\s|[。！？｡][」』”）]*", r"\s")
)
_JOINER = "\u200d"
_FLAG_HALVES = re.compile("[\U0001f1e6-\U0001f1ff]+$")


def split_text(text: str, limit: int = LIMIT) -> list[str]:
    """Parts of at most `limit` UTF-16 units (at least 2), none blank; only white space at the cuts is left out.

    A place in the first quarter of a part is passed over where a lesser one follows: nobody wants a line of three words and
    then a wall. A cluster (surrogates, accents, joined emoji, flags) is cut only where it alone is over the limit.
    """
    if limit < 2:
        raise ValueError(f"a part of {limit} UTF-16 units cannot hold every character; it wants 2 or more")
    parts, rest = [], _without_blank_lines(text)
    while rest.strip():
        longest = _fitting(rest, limit)
        end = len(rest) if longest == len(rest) else _best_cut(rest, longest)
        if part := rest[:end].rstrip():
            parts.append(part)
        rest = _after_cut(rest[end:]) if end < len(rest) else ""
    return parts


def split_to_fit(text: str, fits: Callable[[str], bool]) -> list[str]:
    """As few parts as fit by the channel's own measure as well."""
    parts = split_text(text)
    limit = LIMIT
    while limit > SHORTEST and not all(map(fits, parts)):
        limit //= 2
        parts = split_text(text, limit)
    return parts


def _fitting(text: str, limit: int) -> int:
    """How many characters of `text` fit into `limit` UTF-16 units."""
    units = 0
    for index, character in enumerate(text[: limit + 1]):
        units += 2 if character > "\uffff" else 1
        if units > limit:
            return index
    return len(text)


def _best_cut(text: str, longest: int) -> int:
    """Where to cut, between 1 and `longest`. White space may stand right behind the longest part: it is left out anyway."""
    window = text[: longest + 1]
    for place in _PLACES:
        for found in reversed(list(place.finditer(window))):
            end = _end_of_words(found)
            if longest // 4 < end <= longest and not _joined(text, end):
                return end
    end = longest
    while end > 1 and _joined(text, end):
        end -= 1
    if not _joined(text, end):
        return end
    return longest - 1 if longest > 1 and _surrogates(text, longest) else longest


def _end_of_words(found: re.Match[str]) -> int:
    """The end of what is kept: the white space itself need not fit."""
    return len(found.string[: found.end()].rstrip())


def _joined(text: str, index: int) -> bool:
    """Do the characters before and at `index` belong together? A working part of Unicode's grapheme clusters (UAX 29)."""
    if not 0 < index < len(text):
        return False
    before, at = text[index - 1], text[index]
    if _surrogates(text, index) or _JOINER in (before, at):
        return True
    if unicodedata.category(at) in ("Mn", "Me", "Mc") or "\U0001f3fb" <= at <= "\U0001f3ff" or "\U000e0020" <= at <= "\U000e007f":
        return True  # accents and variation selectors, skin tones, tags of flags
    if "\U0001f1e6" <= at <= "\U0001f1ff" and (halves := _FLAG_HALVES.search(text, 0, index)):
        return len(halves[0]) % 2 == 1
    return "\u1160" <= at <= "\u11ff" or (before == "\r" and at == "\n")  # a Korean syllable in parts


def _surrogates(text: str, index: int) -> bool:
    return "\ud800" <= text[index - 1] <= "\udbff" and "\udc00" <= text[index] <= "\udfff"


def _after_cut(rest: str) -> str:
    """`rest` without the white space of the cut; the indentation of a new line stays."""
    return _without_blank_lines(rest) if "\n" in rest[: len(rest) - len(rest.lstrip())] else rest.lstrip()


def _without_blank_lines(text: str) -> str:
    start = len(text) - len(text.lstrip())
    return text[text.rfind("\n", 0, start) + 1 :]
