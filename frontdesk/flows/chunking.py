"""Sections become chunks: pieces short enough for an embedding and a prompt, each with its place in the document.

A chunk never spans two headings. Within a section, paragraphs are put together while they fit; one that does not fit is parted
at its lines, then at its sentences, then at its words, and at last anywhere, as languages without spaces need.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from frontdesk.flows.extraction import Section

# In tokens as most models count. Small embedding models see 256; a prompt of 4,096 has room for about six of these.
TARGET_TOKENS = 180
LONGEST_TOKENS = 240

# Han, kana, Hangul, Thai, Lao, Khmer, Burmese: about a token for each character; of others about four characters make one.
DENSE = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")
CHARACTERS_PER_TOKEN = 4

PARAGRAPH, LINE = re.compile(r"\n\s*\n"), re.compile(r"\n")
SENTENCE = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？।])")
WORD = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Chunk:
    """`headings`: from the outermost in. `page` is the one it begins on."""

    position: int
    headings: tuple[str, ...]
    page: int | None
    text: str


def tokens(text: str) -> int:
    """About how many tokens a model makes of it."""
    dense = 0 if text.isascii() else len(DENSE.findall(text))
    return dense + (len(text) - dense + CHARACTERS_PER_TOKEN - 1) // CHARACTERS_PER_TOKEN


def chunks(sections: Sequence[Section]) -> list[Chunk]:
    found: list[Chunk] = []
    for section in sections:
        for text in _packed(section.text):
            found.append(Chunk(len(found), section.headings, section.page, text))
    return found


def told(name: str, headings: Sequence[str], text: str) -> str:
    """What the indexes are given: a chunk says little without what it stands under."""
    return f"{' > '.join((name, *headings))}\n{text}"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _packed(text: str) -> Iterator[str]:
    """Neighbours together up to TARGET_TOKENS, each with what parted it from the one before."""
    held = ""
    for joint, piece in _pieces(text, 0):
        together = held + joint + piece if held else piece
        if held and tokens(together) > TARGET_TOKENS:
            yield held
            held = piece
        else:
            held = together
    if held:
        yield held


SEAMS = ((PARAGRAPH, "\n\n"), (LINE, "\n"), (SENTENCE, " "), (WORD, " "))


def _pieces(text: str, seam: int) -> Iterator[tuple[str, str]]:
    """Pieces of at most LONGEST_TOKENS, each with the joint that parts it from the one before."""
    if tokens(text) <= LONGEST_TOKENS or seam == len(SEAMS):
        yield from _hard(text)
        return
    where, joint = SEAMS[seam]
    for part in where.split(text):
        if not part or not part.strip():
            continue
        between = "" if where is SENTENCE and DENSE.match(part) else joint
        for place, (inner, piece) in enumerate(_pieces(part.strip(), seam + 1)):
            yield inner if place else between, piece


def _hard(text: str) -> Iterator[tuple[str, str]]:
    while text:
        length = len(text)
        while tokens(text[:length]) > LONGEST_TOKENS:
            length = max(1, length * LONGEST_TOKENS // tokens(text[:length]))
        yield "", text[:length]
        text = text[length:]
