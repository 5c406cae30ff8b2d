"""Which models the Ollama stand-in holds in memory, with what load-time options, and until when."""

import asyncio
import math
import time
from dataclasses import dataclass
from typing import Any, Callable

from tests.standins.ollama_replies import Behaviour, Reply, seconds_of

# Changing any of these makes Ollama load the model again.
LOAD_OPTIONS = ("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap")
DEFAULT_NUM_CTX = 4096  # Ollama's own on a machine without a GPU


class LoadFailed(Exception):
    def __init__(self, reply: Reply):
        self.reply = reply


@dataclass(slots=True)
class Loaded:
    options: dict[str, Any]
    keep_alive_seconds: float
    ready: bool = False
    expires_at: float = math.inf  # time.monotonic()
    used_at: float = 0.0

    def touch(self) -> None:
        self.used_at = time.monotonic()
        self.expires_at = self.used_at + self.keep_alive_seconds


class Memory:
    """`load_count` counts all loads begun, `reload_count` those made necessary by changed load-time options."""

    def __init__(self):
        self.models: dict[str, Loaded] = {}
        self.load_count = self.reload_count = 0

    def current(self, name: str) -> Loaded | None:
        """The model if it is there, ready or still loading, and has not expired."""
        loaded = self.models.get(name)
        if loaded is not None and loaded.expires_at <= time.monotonic():
            del self.models[name]
            return None
        return loaded

    def fits(self, name: str, body: dict[str, Any]) -> bool:
        current = self.current(name)
        return current is not None and current.ready and current.options == _load_options(body)

    def use(self, name: str, body: dict[str, Any]) -> None:
        loaded = self.models[name]
        loaded.keep_alive_seconds = seconds_of(body.get("keep_alive"))
        loaded.touch()

    async def load(self, name: str, body: dict, behaviour: Behaviour, take: Callable[[str], Reply | None]) -> float:
        """Make the model ready with the request's load-time options; returns the seconds that took.

        A client that leaves (the task is cancelled) aborts the load. Raises LoadFailed as `take("load")` says.
        """
        if self.fits(name, body):
            self.use(name, body)
            return 0.0
        reply = take("load") or Reply()
        self.load_count += 1
        self.reload_count += self.current(name) is not None
        self._make_room(name, behaviour.most_loaded)
        loading = self.models[name] = Loaded(_load_options(body), seconds_of(body.get("keep_alive")))
        started = time.monotonic()
        try:
            await asyncio.sleep(behaviour.load_seconds if reply.load_seconds is None else reply.load_seconds)
            if reply.status != 200:
                raise LoadFailed(reply)
            loading.ready = True
            loading.touch()
        finally:
            if not loading.ready and self.models.get(name) is loading:
                del self.models[name]
        return time.monotonic() - started

    def _make_room(self, name: str, most: int | None) -> None:
        """Ollama unloads what is idle until the model fits, the one used longest ago first."""
        others = sorted((other for other in self.models if other != name), key=lambda other: self.models[other].used_at)
        for other in others[: max(0, len(others) + 1 - most)] if most else []:
            del self.models[other]


def _load_options(body: dict) -> dict[str, Any]:
    options = body.get("options") or {}
    return {"num_ctx": DEFAULT_NUM_CTX} | {key: options[key] for key in LOAD_OPTIONS if key in options}
