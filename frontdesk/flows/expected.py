"""What an answer must and must not say: facts found in a text, whatever the case, accents, white space and the way numbers are written.

A fact is found as whole words (a number never inside a longer one). 1,000 is 1000, 1.000, 1'000 and 1000.00; 12,50 is 12.50. " / " parts
alternatives: "7 am / 7:00". WhatsApp's marks (*bold*, _italic_) and the kind of quotation mark or dash do not matter.
"""

import re
import unicodedata
from dataclasses import dataclass

from frontdesk.store.checks import Question
from frontdesk.store.search import spaced

_SAME = str.maketrans({"’": "'", "‘": "'", "´": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "–": "-", "—": "-", "‑": "-", "−": "-", "ł": "l"})
_THIN_SPACE = re.compile(r"(?<=\d)[\u00a0\u202f\u2009](?=\d{3}(?!\d))")
_THOUSANDS = re.compile(r"(?<![\d.,'])[1-9]\d{0,2}(?:[.,']\d{3})+(?!\d)")
_MARK = re.compile(r"(?<![^\W_])[*_~`]+|[*_~`]+(?![^\W_])")
_ALTERNATIVE = re.compile(r"\s+/\s+")


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong with an answer: facts that it lacks, facts that it must not say, that it should have declined."""

    missing: tuple[str, ...]
    unwanted: tuple[str, ...]
    not_declined: bool

    @property
    def passed(self) -> bool:
        return not (self.missing or self.unwanted or self.not_declined)

    def __str__(self) -> str:
        parts = [f"missing: {', '.join(self.missing)}"] if self.missing else []
        parts += [f"must not say: {', '.join(self.unwanted)}"] if self.unwanted else []
        parts += ["it did not decline"] if self.not_declined else []
        return "; ".join(parts)


def judged(asked: Question, answer: str, declined: bool) -> Findings:
    said = folded(answer)
    return Findings(
        missing=tuple(fact for fact in asked.must if not _says(said, fact)),
        unwanted=tuple(fact for fact in asked.must_not if _says(said, fact)),
        not_declined=asked.must_decline and not declined,
    )


def is_a_fact(text: str) -> bool:
    """Something that can be looked for."""
    return all(any(map(str.isalnum, folded(each))) for each in _ALTERNATIVE.split(text))


def _says(said: str, fact: str) -> bool:
    return any(re.search(_pattern(folded(each)), said) for each in _ALTERNATIVE.split(fact))


def _pattern(fact: str) -> str:
    before = r"(?<!\d)(?<!\d[.,:])" if fact[:1].isdecimal() else r"(?<![^\W\d_])" if _has_edges(fact[:1]) else ""
    after = r"(?!\d)(?![.,:]\d)" if fact[-1:].isdecimal() else r"(?![^\W\d_])" if _has_edges(fact[-1:]) else ""
    return before + re.escape(fact) + after


def _has_edges(character: str) -> bool:
    """Of a script that parts words by spaces."""
    return character.isalpha() and spaced(character) == character


def folded(text: str) -> str:
    """For comparing: two texts that say the same in these respects become one."""
    text = _THIN_SPACE.sub("", text.encode("utf-8", "replace").decode().translate(_SAME))
    parts = (each for each in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(each))
    text = "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in parts)
    text = _THOUSANDS.sub(lambda found: re.sub(r"\D", "", found[0]), _MARK.sub("", text))
    text = re.sub(r"(?<=\d),(?=\d)", ".", text)
    text = re.sub(r"(?<=\d)\.0+(?![\d.]*\d)", "", text)
    return " ".join(text.split())
