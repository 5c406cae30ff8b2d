"""Two texts side by side: which words of each the other does not have in that place."""

import difflib
import re

from frontdesk.store.search import spaced

# A word or a sign, with the white space behind it.
_PIECE = re.compile(r"(\w+|[^\w\s])(\s*)")

Parts = list[tuple[str, bool]]


def differences(old: str, new: str) -> tuple[Parts, Parts]:
    """Each text in parts; True: only this one has it. White space alone is no difference."""
    before, after = _pieces(old), _pieces(new)
    matcher = difflib.SequenceMatcher(None, [word for word, _ in before], [word for word, _ in after], autojunk=False)
    parts: tuple[Parts, Parts] = [], []
    for kind, begin, end, new_begin, new_end in matcher.get_opcodes():
        _add(parts[0], before[begin:end], kind != "equal")
        _add(parts[1], after[new_begin:new_end], kind != "equal")
    return parts


def _pieces(text: str) -> list[tuple[str, str]]:
    """Words with what stands behind them; of languages without spaces each character is one."""
    pieces = []
    for word, space in _PIECE.findall(text.strip()):
        if spaced(word) == word:
            pieces.append((word, space))
        else:
            pieces += [(character, "") for character in word[:-1]] + [(word[-1], space)]
    return pieces


def _add(parts: Parts, pieces: list[tuple[str, str]], changed: bool) -> None:
    """The white space behind a change belongs to no change."""
    if not pieces:
        return
    text = "".join(word + space for word, space in pieces)
    kept = text.rstrip() if changed else text
    parts.append((kept, changed))
    if len(kept) < len(text):
        parts.append((text[len(kept) :], False))
