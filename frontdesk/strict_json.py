"""JSON as other programs read it: what Python takes and gives beyond that is refused, or replaced where half of a value is better than none."""

import json
from typing import Any


def loads(text: str | bytes) -> Any:
    """Raises ValueError, also for NaN, for Infinity and for numbers that would become one, and RecursionError."""
    return json.loads(text, parse_constant=_refused, parse_float=_finite)


def _refused(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    """1e999 would become an infinity, which nothing downstream can store as JSON."""
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number too large")
    return value


def sendable(value: Any) -> Any:
    """The same with what no JSON in UTF-8 can hold replaced: half of a surrogate pair by "?", an infinity by its name."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"), parse_constant=str)
