"""What the Ollama stand-in can be told to answer, and the small sums it does in place of a model.

A `Reply` can be written as JSON too (`Reply.read`): the same field names, or {"kind": "busy"} for the ready-made ones.
"""

import hashlib
import math
import re
from dataclasses import dataclass, field, fields
from typing import Any

ENDS = ("done", "error", "nothing", "cut", "reset", "stall")
KINDS = ("busy", "missing", "runner_stopped", "load_failed", "context_exceeded", "proxy_page")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `at` is what it waits for: chat, load (the next load of a model), embed, pull, tags, ps, version.

    `end` is how it ends after `end_after_tokens` tokens (None: after the whole text): "done" (its last line), "error"
    (a line of `error`), "nothing" (a clean end without `done`), "cut" (FIN), "reset" (RST), "stall" (silence for ever).
    A `status` other than 200 answers `error` as JSON, or `html` as a proxy would, before any token.
    `tool_calls` ([{"function": {"name", "arguments"}}]) come after the text, each in a line of its own; ids and indexes are added.
    `metrics` replaces fields of the last line; 0 omits one. `lines` replaces the whole stream, raw.
    """

    text: str | None = None
    at: str = "chat"
    thinking: str = ""
    tool_calls: tuple[dict, ...] = ()
    status: int = 200
    error: str = ""
    html: str = ""
    end: str = "done"
    end_after_tokens: int | None = None
    done_reason: str | None = None
    metrics: dict[str, int] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    first_token_delay_seconds: float | None = None
    tokens_per_second: float | None = None
    load_seconds: float | None = None
    unloads: bool = False

    def __post_init__(self):
        if self.end not in ENDS:
            raise ValueError(f"end is {self.end!r}; it wants one of {', '.join(ENDS)}")

    @classmethod
    def read(cls, description: "Reply | str | dict[str, Any]") -> "Reply":
        """A Reply from itself, from its text, or from JSON. ValueError names what is wrong."""
        if isinstance(description, Reply):
            return description
        if isinstance(description, str):
            return cls(text=description)
        if not isinstance(description, dict):
            raise ValueError("a reply is a text or an object")
        values = dict(description)
        kind = values.pop("kind", None)
        if kind is not None and kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; it wants one of {', '.join(KINDS)}")
        if unknown := values.keys() - {item.name for item in fields(cls)}:
            raise ValueError(f"a reply has no {', '.join(sorted(unknown))}")
        for key in ("lines", "tool_calls"):
            if key in values:
                values[key] = tuple(values[key])
        return cls(**values) if kind is None else getattr(cls, kind)(**values)

    @classmethod
    def busy(cls, **changes) -> "Reply":
        text = "server busy, please try again.  maximum pending requests exceeded"
        return cls(**{"status": 503, "error": text, **changes})

    @classmethod
    def missing(cls, model: str = "llama3.2:3b", **changes) -> "Reply":
        return cls(**{"status": 404, "error": f"model '{model}' not found", **changes})

    @classmethod
    def runner_stopped(cls, **changes) -> "Reply":
        text = (
            "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, "
            "check ollama server logs for details"
        )
        return cls(**{"status": 500, "error": text, "unloads": True, **changes})

    @classmethod
    def load_failed(cls, **changes) -> "Reply":
        return cls(**{"status": 500, "error": "llama-server process has terminated: signal: killed", **changes})

    @classmethod
    def context_exceeded(cls, **changes) -> "Reply":
        inner = (
            '{"error":{"code":400,"message":"request (5000 tokens) exceeds the available context size (4096 tokens), '
            'try increasing it","type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":4096}}'
        )
        return cls(**{"status": 400, "error": inner, **changes})

    @classmethod
    def proxy_page(cls, **changes) -> "Reply":
        page = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1>nginx</body></html>"
        return cls(**{"status": 502, "html": page, **changes})


@dataclass(slots=True)
class Behaviour:
    """What holds for every answer that is not scripted. `text` None echoes the last user message; `texts`: by model, before it.

    `tokens_per_second` None means no delay at all. `dimensions` None means those of the model (768 where unknown).
    `most_loaded`: so many models fit into memory together (None: all of them); one more drives out what was used longest ago.
    """

    models: list[str] = field(default_factory=lambda: ["llama3.2:3b", "nomic-embed-text:latest"])
    text: str | None = None
    texts: dict[str, str] = field(default_factory=dict)
    tokens_per_second: float | None = None
    first_token_delay_seconds: float = 0.0
    load_seconds: float = 0.0
    most_loaded: int | None = None
    split_characters: bool = True
    dimensions: int | None = None
    version: str = "0.32.14"
    busy: bool = False

    def change(self, changes: dict[str, Any]) -> None:
        """Set these fields; ValueError on one that does not exist."""
        if unknown := changes.keys() - {item.name for item in fields(self)}:
            raise ValueError(f"behaviour has no {', '.join(sorted(unknown))}")
        for name, value in changes.items():
            setattr(self, name, value)


def full_name(model: str) -> str:
    return model if ":" in model.rsplit("/", 1)[-1] else f"{model}:latest"


def can_think(model: str) -> bool:
    return model.startswith(("qwen3", "deepseek-r1", "gpt-oss"))


def can_see(model: str) -> bool:
    return "vision" in model or model.startswith(("llava", "gemma3:4b"))


def can_use_tools(model: str) -> bool:
    return can_chat(model) and not model.startswith(("gemma3", "tinyllama"))


def can_chat(model: str) -> bool:
    return "embed" not in model and "minilm" not in model


def dimensions_of(model: str) -> int:
    return 384 if "minilm" in model else 768


def tokens_of(text: str) -> list[str]:
    """Words with the space before them: what the stand-in calls tokens of an answer."""
    return re.findall(r"\s*\S+|\s+\Z", text)


def prompt_tokens_of(message: dict[str, Any]) -> int:
    """About four bytes a token and four for the template, the usual rule of thumb."""
    return 4 + math.ceil(len((message.get("content") or "").encode()) / 4)


def fitting(messages: list[dict], num_ctx: int) -> list[dict] | None:
    """What a model with this context is shown: system messages and as many of the last ones as fit, at least the last.

    None when even those are too long: the runner itself refuses them.
    """
    for first in range(len(messages)):
        kept = [m for m in messages[:first] if m.get("role") == "system"] + messages[first:]
        if sum(map(prompt_tokens_of, kept)) <= num_ctx:
            return kept
    return None


def seconds_of(keep_alive: float | str | None) -> float:
    """Ollama's keep_alive in seconds: a number, or Go's "5m", "1h30m"; negative means for ever, absent five minutes."""
    if keep_alive is None:
        return 300.0
    if isinstance(keep_alive, str) and re.search("[a-z]", keep_alive):
        units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
        parts = re.findall(r"([\d.]+)(ms|s|m|h)", keep_alive)
        keep_alive = sum(float(n) * units[u] for n, u in parts) * (-1 if keep_alive.startswith("-") else 1)
    return math.inf if float(keep_alive) < 0 else float(keep_alive)


def vector_of(text: str, dimensions: int) -> list[float]:
    """A unit vector made of the text's words, so that texts that share words lie nearer to each other."""
    vector = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()) or [text or " "]:
        digest = hashlib.blake2b(word.encode(), digest_size=32).digest()
        for place in range(0, 32, 4):
            number = int.from_bytes(digest[place : place + 4], "big")
            vector[(number >> 1) % dimensions] += 1.0 if number & 1 else -1.0
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector] if length else [1.0] + [0.0] * (dimensions - 1)
