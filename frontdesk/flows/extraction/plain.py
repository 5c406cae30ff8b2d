"""Plain text: its characters, whatever they are encoded in, and its paragraphs."""

import re
from pathlib import Path

from frontdesk.flows.extraction import Unreadable

MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
SAMPLE_BYTES = 200_000


def read(path: str, kind: str, tell) -> None:
    text = decoded(Path(path).read_bytes())
    tell(headings=[], page=None, text=tidy(text))


def decoded(stored: bytes) -> str:
    """Text of any usual encoding. Raises Unreadable for what is no text."""
    for mark, encoding in MARKS:
        if stored.startswith(mark):
            return stored.decode(encoding, "replace")
    if b"\x00" in stored[:SAMPLE_BYTES]:
        raise Unreadable("it is not text, whatever its name says")
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored.decode(_guessed(stored), "replace")


def _guessed(stored: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(stored[:SAMPLE_BYTES]).best()
    return best.encoding if best else "cp1252"


def tidy(text: str) -> str:
    """One space where there were many, one empty line between paragraphs, no control characters, no invisible ones."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x0c", "\n\n").replace("\xad", "")
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f\u200b\u2060\ufeff\U000e0000-\U000e007f]", "", text)
    text = re.sub(r"[^\S\n]+", " ", text)
    text = re.sub(r" ?\n ?", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()
