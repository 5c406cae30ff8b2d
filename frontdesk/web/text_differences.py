"""The lines in which two texts differ, as pages show them."""

import difflib

KINDS = {"+": "added", "-": "removed", " ": "same"}


def lines_of(before: str, after: str) -> list[tuple[str, str]]:
    """Lines of a unified difference, each with what it is: added, removed, same."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2))[2:]
    return [(KINDS.get(line[:1], "same"), line[1:] if line[:1] in KINDS else "…") for line in lines]
