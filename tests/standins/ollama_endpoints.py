"""What the Ollama stand-in answers besides chats: its models, pulling one, embeddings."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from tests.standins.ollama_generation import nanoseconds, without_zeros
from tests.standins.ollama_replies import can_chat, can_see, can_think, can_use_tools, dimensions_of, full_name, prompt_tokens_of, vector_of
from tests.standins.ollama_wire import Exchange, go_json

if TYPE_CHECKING:
    from tests.standins.ollama import OllamaStandIn


class Refusal(Exception):
    """An HTTP error answer: `status` and Ollama's text."""

    def __init__(self, status: int, text: str):
        self.status, self.text = status, text


@dataclass(slots=True)
class Entry:
    """One request in the history. `seen` is what the model was shown of its messages; times are in seconds."""

    method: str
    path: str
    body: Any
    received_at: float = field(default_factory=time.time)
    outcome: str = "under way"
    status: int | None = None
    waited_seconds: float = 0.0
    lasted_seconds: float = 0.0
    seen: list[dict] | None = None
    tokens_sent: int = 0


async def version(standin: "OllamaStandIn", exchange: Exchange, entry: Entry) -> None:
    if not await standin.failed(exchange, entry, standin.take("version")):
        exchange.answer_json(200, {"version": standin.behaviour.version})


async def tags(standin: "OllamaStandIn", exchange: Exchange, entry: Entry) -> None:
    if await standin.failed(exchange, entry, standin.take("tags")):
        return
    models = [
        {**_described(name), "modified_at": "2026-08-01T10:00:00.123456789Z"} for name in standin.behaviour.models
    ]
    exchange.answer_json(200, {"models": models})


async def ps(standin: "OllamaStandIn", exchange: Exchange, entry: Entry) -> None:
    """Like Ollama, a model that is still loading is listed too."""
    if await standin.failed(exchange, entry, standin.take("ps")):
        return
    models = []
    for name in list(standin.memory.models):
        if loaded := standin.memory.current(name):
            left = min(loaded.expires_at - time.monotonic(), loaded.keep_alive_seconds, 9e9)
            expires = (datetime.now(timezone.utc) + timedelta(seconds=left)).isoformat().replace("+00:00", "Z")
            models.append({**_described(name), "expires_at": expires, "size_vram": 0,
                           "context_length": loaded.options["num_ctx"]})  # fmt: skip
    exchange.answer_json(200, {"models": models})


async def show(standin: "OllamaStandIn", exchange: Exchange, entry: Entry) -> None:
    name = standin.installed(entry.body, "model '{}' not found")
    thinks, chats = can_think(name), can_chat(name)
    capabilities = (["completion"] if chats else ["embedding"]) + (["tools"] if can_use_tools(name) else []) + (["thinking"] if thinks else []) + (["vision"] if can_see(name) else [])
    info = {"general.architecture": "llama", "llama.context_length": 131072, "llama.embedding_length": 768}
    exchange.answer_json(
        200,
        {"modelfile": f"FROM {name}", "parameters": "", "template": "{{ .Prompt }}", "capabilities": capabilities,
         "details": _described(name)["details"], "model_info": info, "modified_at": "2026-08-01T10:00:00Z"},
    )  # fmt: skip


async def pull(standin: "OllamaStandIn", exchange: Exchange, entry: Entry) -> None:
    reply = standin.take("pull")
    if await standin.failed(exchange, entry, reply):
        return
    name = entry.body.get("model") or entry.body.get("name") or ""
    digest, total = "ab12" * 16, 2_000_000_000
    layer = {"status": f"pulling {digest[:12]}", "digest": f"sha256:{digest}", "total": total}
    steps = [{"status": "pulling manifest"}, layer]
    steps += [{**layer, "completed": total * part // 4} for part in range(1, 5)]
    steps += [{"status": text} for text in ("verifying sha256 digest", "writing manifest", "success")]
    failure = reply.error if reply and reply.end == "error" else ""
    if failure:
        steps = [*steps[: reply.end_after_tokens or 1], {"error": failure}]
    elif full_name(name) not in map(full_name, standin.behaviour.models):
        standin.behaviour.models.append(name)
    if entry.body.get("stream") is False:
        exchange.answer_json(500 if failure else 200, steps[-1])
        return
    exchange.finish(*(f"{go_json(step)}\n".encode() for step in steps))


async def embed(standin: "OllamaStandIn", exchange: Exchange, entry: Entry) -> None:
    if await standin.failed(exchange, entry, standin.take("embed")):
        return
    started = time.monotonic()
    name = standin.installed(entry.body, 'model "{}" not found, try pulling it first')
    given = entry.body.get("input")
    texts = [given] if isinstance(given, str) and given else given or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refusal(400, "invalid input type")
    if not texts:
        exchange.answer_json(200, {"model": entry.body["model"], "embeddings": []})
        return
    async with standin.slot:
        load_seconds = await standin.memory.load(name, entry.body, standin.behaviour, standin.take)
    dimensions = entry.body.get("dimensions") or standin.behaviour.dimensions or dimensions_of(name)
    counted = sum(prompt_tokens_of({"content": text}) - 2 for text in texts)
    metrics = {
        "total_duration": nanoseconds(time.monotonic() - started),
        "load_duration": nanoseconds(load_seconds),
        "prompt_eval_count": counted,
    }
    if standin.embedder:
        vectors = await asyncio.to_thread(standin.embedder, texts)
    else:
        vectors = [vector_of(text, dimensions) for text in texts]
    answer = {"model": entry.body["model"], "embeddings": vectors}
    exchange.answer_json(200, answer | without_zeros(metrics))


def _described(name: str) -> dict[str, Any]:
    details = {"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"],
               "parameter_size": "3.2B", "quantization_level": "Q4_K_M"}  # fmt: skip
    name = full_name(name)
    return {"name": name, "model": name, "size": 2_019_393_189, "digest": f"{'a80c4f17acd5':0<64}", "details": details}
