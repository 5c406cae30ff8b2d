"""The kinds of work a model does, and what a setting may say of one: `temperature=0.2, num_ctx=8192`. Reads and writes that line."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

REPLY, SUMMARY, CLASSIFICATION, EXTRACTION, EMBEDDING = KINDS = ("reply", "summary", "classification", "extraction", "embedding")

# As people are told of them.
IN_WORDS = {REPLY: "answers", SUMMARY: "summaries", CLASSIFICATION: "classifications", EXTRACTION: "extractions", EMBEDDING: "finding by meaning"}


@dataclass(frozen=True, slots=True)
class WorkOptions:
    """None: as usual. `keep_alive`: seconds or Ollama's "5m", negative for ever. `host`: an Ollama server, in place of OLLAMA_HOST."""

    temperature: float | None = None
    num_ctx: int | None = None
    num_predict: int | None = None
    keep_alive: int | str | None = None
    host: str | None = None

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in asdict(self).items() if value is not None)


def model_or_none(raw: str) -> str:
    if raw and not re.fullmatch(r"[A-Za-z0-9][\w.:/-]{0,199}", raw):
        raise ValueError
    return raw


model_or_none.wants = "a model's name as `ollama list` has it, or nothing"


def work_options(names: str, address: Callable[[str], str]) -> Callable[[str], WorkOptions]:
    """A reader that takes these names, parted by commas or spaces, each once."""
    readers: dict[str, Callable[[str], Any]] = {
        "temperature": _between(float, 0, 2),
        "num_ctx": _between(int, 512, 1_048_576),
        "num_predict": _between(int, 16, 8192),
        "keep_alive": _keep_alive,
        "host": address,
    }
    taken = {name: readers[name] for name in names.split()}

    def read(raw: str) -> WorkOptions:
        values: dict[str, Any] = {}
        for part in re.split(r"[,\s]+", raw.strip(" ,")) if raw.strip(" ,") else []:
            name, equals, value = part.partition("=")
            if not equals or name in values:
                raise ValueError
            values[name] = taken[name](value)  # a KeyError is as good
        return WorkOptions(**values)

    read.wants = "parted by commas, any of " + ", ".join(f"{name}={_SHOWN[name]}" for name in taken)
    return read


_SHOWN = {
    "temperature": "0 to 2",
    "num_ctx": "512 to 1048576",
    "num_predict": "16 to 8192",
    "keep_alive": "10m (or seconds; -1: for ever)",
    "host": "http://address:11434",
}


def _between(read: Callable[[str], float], low: float, high: float) -> Callable[[str], float]:
    def value(raw: str) -> float:
        if not low <= (found := read(raw)) <= high:
            raise ValueError
        return found

    return value


def _keep_alive(raw: str) -> int | str:
    if re.fullmatch(r"-?\d+", raw):
        return int(raw)
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", raw):
        raise ValueError
    return raw
