"""A long text cut into parts that fit the model's context, at headings, paragraphs, sentences or words, whichever is possible.

Each part begins with the headings it stands under, so that it can be understood by itself. The same text gives the same parts.
"""

import re
from collections.abc import Iterator

_HEADING = re.compile(r"(#{1,6})\s+(\S.*)")
_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])\s+|(?<=[。！？])|\n")

# Headings above a part may take this share of it.
HEADINGS_SHARE = 0.25


def parts(text: str, largest_bytes: int) -> list[str]:
    """At least one; none is larger than `largest_bytes` of UTF-8."""
    text = text.strip()
    if size(text) <= largest_bytes:
        return [text]
    found: list[str] = []
    above: list[tuple[int, str]] = []
    begun_under, begun = "", ""
    for block in _blocks(text):
        heading = _heading_of(block)
        if heading:
            above = [*(one for one in above if one[0] < heading[0]), heading]
        for piece in _pieces(block, int(largest_bytes * (1 - HEADINGS_SHARE))):
            together = f"{begun}\n\n{piece}" if begun else piece
            if begun and size(_under(begun_under, together)) > largest_bytes:
                found.append(_under(begun_under, begun))
                begun = ""
            if not begun:
                higher = above[:-1] if heading else above
                begun_under = _shown(higher, int(largest_bytes * HEADINGS_SHARE) - 2)
                together = piece
            begun = together
    return [*found, _under(begun_under, begun)]


def size(text: str) -> int:
    """In bytes of UTF-8: tokens follow bytes more evenly than characters, in all scripts."""
    return len(text.encode("utf-8", "surrogatepass"))


def _blocks(text: str) -> Iterator[str]:
    """Paragraphs, and headings by themselves."""
    for paragraph in re.split(r"\n\s*\n", text):
        lines: list[str] = []
        for line in paragraph.strip("\n").split("\n"):
            if _HEADING.match(line):
                if lines:
                    yield "\n".join(lines)
                yield line.strip()
                lines = []
            else:
                lines.append(line)
        if any(line.strip() for line in lines):
            yield "\n".join(lines)


def _heading_of(block: str) -> tuple[int, str] | None:
    """Its level and itself: Markdown's, or a short line of capitals."""
    if match := _HEADING.fullmatch(block):
        return len(match[1]), block
    if "\n" not in block and len(block) <= 80 and block.isupper() and len(block.split()) > 1:
        return 1, block
    return None


def _shown(above: list[tuple[int, str]], largest_bytes: int) -> str:
    """The nearest headings, as many as fit."""
    lines: list[str] = []
    for _, line in reversed(above):
        if size("\n".join([line, *lines])) > largest_bytes:
            break
        lines = [line, *lines]
    return "\n".join(lines)


def _under(headings: str, body: str) -> str:
    return f"{headings}\n\n{body}" if headings else body


def _pieces(block: str, largest_bytes: int) -> Iterator[str]:
    """The block, or as many sentences of it as fit together, or words, or what is left of a word."""
    if size(block) <= largest_bytes:
        yield block
        return
    begun: list[str] = []
    length = 0
    for unit in _units(block, largest_bytes):
        added = size(unit) + 1
        if begun and length + added > largest_bytes:
            yield " ".join(begun)
            begun, length = [], 0
        begun.append(unit)
        length += added
    if begun:
        yield " ".join(begun)


def _units(block: str, largest_bytes: int) -> Iterator[str]:
    for sentence in filter(None, map(str.strip, _SENTENCE_END.split(block))):
        if size(sentence) <= largest_bytes:
            yield sentence
            continue
        for word in sentence.split():
            yield from [word] if size(word) <= largest_bytes else _cut(word, largest_bytes)


def _cut(word: str, largest_bytes: int) -> Iterator[str]:
    step = max(1, largest_bytes // 4)  # a character has four bytes at most
    for start in range(0, len(word), step):
        yield word[start : start + step]
