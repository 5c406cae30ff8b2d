"""Answers as JSON: which schemas are taken, and whether what a model wrote fits one."""

import json
import re
from typing import Any

from frontdesk import strict_json
from frontdesk.errors import FrontdeskError

LARGEST_SCHEMA_BYTES = 32 * 1024
DEEPEST_SCHEMA = 40

# Written out, every reference replaced by what it names: a schema of a few lines can come to more than any machine can check.
MOST_PLACES = 5_000

# A program's pattern can keep Python's `re` busy for ever.
REFUSED_WORDS = ("pattern", "patternProperties", "$dynamicRef", "$recursiveRef")

# Under these a schema has names and values of its sender's, not words of JSON Schema.
_NAMED = ("properties", "$defs", "definitions", "dependentSchemas")
_VALUES = ("enum", "const", "default", "examples", "required", "dependentRequired")

LONGEST_REASON = 400


class BadSchema(FrontdeskError):
    """No schema that an answer could be held to; `str()` says why."""


class DoesNotFit(FrontdeskError):
    """What the model wrote is no JSON, or not of this schema."""


def check_schema(schema: dict[str, Any]) -> None:
    """Raises BadSchema."""
    from jsonschema import Draft202012Validator, SchemaError

    try:
        if len(_written(schema)) > LARGEST_SCHEMA_BYTES:
            raise BadSchema(f"a schema has at most {LARGEST_SCHEMA_BYTES} bytes")
        if schema.get("type") != "object" or not schema.get("properties"):
            raise BadSchema('the schema must be of "type": "object" and name "properties"')
        _check_words(schema, schema, 0)
        _places(schema, schema, (), {})
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = "/".join(map(str, error.absolute_path)) or "the top"
        raise BadSchema(_short(f"at {place}: {error.message}")) from None
    except RecursionError:
        raise BadSchema("the schema is too deep") from None


def _written(schema: dict[str, Any]) -> bytes:
    """As the model's server gets it."""
    try:
        return json.dumps(schema, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        raise BadSchema("it holds half of a surrogate pair or an infinity, which no JSON can") from None


def _check_words(part: Any, whole: dict, depth: int, named: bool = False) -> None:
    if depth > DEEPEST_SCHEMA:
        raise BadSchema("the schema is too deep")
    if isinstance(part, list):
        for one in part:
            _check_words(one, whole, depth + 1)
    if not isinstance(part, dict):
        return
    for word, value in part.items():
        if not named and word in REFUSED_WORDS:
            raise BadSchema(f"{word!r} is not taken")
        if not named and word == "$ref":
            _named_by(value, whole)
        if named or word not in _VALUES:
            _check_words(value, whole, depth + 1, named=not named and word in _NAMED)


def _named_by(reference: Any, whole: dict) -> dict:
    part: Any = whole
    steps = reference[2:].split("/") if isinstance(reference, str) and reference.startswith("#/") else [None]
    for step in steps:
        step = step and step.replace("~1", "/").replace("~0", "~")
        if not isinstance(part, dict) or step not in part:
            raise BadSchema(f"$ref {_short(str(reference))!r} leads nowhere inside this schema")
        part = part[step]
    return part if isinstance(part, dict) else {}


def _places(part: Any, whole: dict, inside: tuple[str, ...], known: dict[str, int]) -> int:
    """How many there are, written out."""
    if isinstance(part, list):
        return sum(_places(one, whole, inside, known) for one in part)
    if not isinstance(part, dict):
        return 0
    count = 1 + sum(_places(value, whole, inside, known) for word, value in part.items() if word not in ("$defs", "definitions"))
    reference = part.get("$ref")
    if isinstance(reference, str):
        if reference in inside:
            raise BadSchema("the schema refers to itself")
        if reference not in known:
            known[reference] = _places(_named_by(reference, whole), whole, (*inside, reference), known)
        count += known[reference]
    if count > MOST_PLACES:
        raise BadSchema(f"written out, the schema has over {MOST_PLACES} places")
    return count


def fitting(answer: str, schema: dict[str, Any]) -> Any:
    """The answer as JSON of this schema. Raises DoesNotFit."""
    from jsonschema import Draft202012Validator

    found = _json(answer)
    try:
        first = next(Draft202012Validator(schema).iter_errors(found), None)
    except (OverflowError, RecursionError):  # jsonschema divides integers as floats, and shows what is wrong whole
        raise DoesNotFit("a number in it is too large, or it is nested too deeply") from None
    if first is not None:
        place = "/".join(map(str, first.absolute_path))
        raise DoesNotFit(_short(f"at {place}: {first.message}" if place else first.message))
    return found


def _json(answer: str) -> Any:
    """Some models put a fence around it, whatever they are told."""
    fenced = re.fullmatch(r"\s*```\w*\s*\n(.*)```\s*", answer, re.DOTALL)
    try:
        return strict_json.sendable(strict_json.loads(fenced[1] if fenced else answer))
    except (ValueError, RecursionError) as error:
        words = f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else "it cannot be read"
        raise DoesNotFit(f"this is not JSON: {words}") from None


def _short(words: str) -> str:
    words = " ".join(words.encode("utf-8", "replace").decode().split())
    return words if len(words) <= LONGEST_REASON else f"{words[:LONGEST_REASON]}…"
