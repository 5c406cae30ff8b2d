"""PDF, page by page: its text, the headings of its outline, and which pages hold none."""

import logging
import re
from bisect import bisect_right
from collections import Counter

from frontdesk.flows.extraction import Unreadable
from frontdesk.flows.extraction.plain import tidy

MOST_PAGES = 2_000
LONGEST_CONTENT_BYTES = 8_000_000  # of one page's drawing instructions; a page of text has five thousand
REPEATED_ON = 0.6  # of the pages: then a first or last line is a running head
FORGET_EVERY_PAGES = 20


def read(path: str, kind: str, tell) -> None:
    import pypdf

    logging.disable(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("it is locked with a password; save it without one")
        count = len(reader.pages)
    except pypdf.errors.PdfReadError:
        raise Unreadable("it is not a PDF file, whatever its name says, or it is cut off") from None
    if count > MOST_PAGES:
        raise Unreadable(f"it has {count:,} pages; {MOST_PAGES:,} is the most: split it")
    headings = _headings(reader)
    texts, empty, broken = [], [], []
    for number in range(1, count + 1):
        text = _text_of(reader, number, broken)
        texts.append(text)
        if not text and number not in broken:
            empty.append(number)
        if number % FORGET_EVERY_PAGES == 0:
            reader.resolved_objects.clear()
        tell(read=[number, count])
    if empty:
        tell(note=f"{_pages(empty)} held no text (perhaps a picture or a scan: its text cannot be read)")
    if broken:
        tell(note=f"{_pages(broken)} could not be read")
    repeated = _running_heads(texts)
    for number, text in enumerate(texts, start=1):
        if text := _paragraphs(text, repeated):
            tell(headings=_heading_at(headings, number), page=number, text=text)


def _text_of(reader, number: int, broken: list[int]) -> str:
    page = reader.pages[number - 1]
    try:
        contents = page.get_contents()
        if contents is not None and len(contents.get_data()) > LONGEST_CONTENT_BYTES:
            raise ValueError("a page of so many instructions is no text")
        return tidy(page.extract_text())
    except (MemoryError, RecursionError):
        raise
    except Exception:  # pypdf raises whatever a broken page makes it stumble over
        broken.append(number)
        return ""


def _headings(reader) -> list[tuple[int, list[str]]]:
    """The outline as (page, path), by page; none where it is broken."""
    found: list[tuple[int, list[str]]] = []

    def walk(entries, path: list[str]) -> None:
        last = path
        for entry in entries:
            if isinstance(entry, list):
                walk(entry, last)
                continue
            last = [*path, " ".join(str(entry.title).split())[:200]]
            page = reader.get_destination_page_number(entry)
            if page is not None and page >= 0:
                found.append((page + 1, last))

    try:
        walk(reader.outline, [])
    except MemoryError:
        raise
    except Exception:  # an outline is a help, not a need
        return []
    return sorted(found, key=lambda entry: entry[0])


def _heading_at(headings: list[tuple[int, list[str]]], page: int) -> list[str]:
    """The heading that the page begins under, or the first one on it."""
    place = bisect_right([at for at, _ in headings], page)
    on_page = [path for at, path in headings if at == page]
    if on_page:
        return on_page[0]
    return headings[place - 1][1] if place else []


def _running_heads(texts: list[str]) -> set[str]:
    filled = [text.split("\n") for text in texts if text]
    if len(filled) < 4:
        return set()
    counts = Counter(line for lines in filled for line in {_shape(lines[0]), _shape(lines[-1])})
    return {line for line, count in counts.items() if count > REPEATED_ON * len(filled)}


def _shape(line: str) -> str:
    return re.sub(r"\d+", "0", line.strip())


def _paragraphs(text: str, repeated: set[str]) -> str:
    lines = text.split("\n")
    if lines and _shape(lines[0]) in repeated:
        del lines[0]
    if lines and _shape(lines[-1]) in repeated:
        del lines[-1]
    text = re.sub(r"(?<=[^\W\d_])-\n(?=[a-zà-ÿ])", "", "\n".join(lines))
    return tidy(text)


def _pages(numbers: list[int]) -> str:
    """pages 1–3, 7"""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [f"{first}–{last}" if first != last else str(first) for first, last in runs[:10]]
    more = " and more" if len(runs) > 10 else ""
    return ("page " if len(numbers) == 1 else "pages ") + ", ".join(words) + more
