"""An Ollama made of no model: a real HTTP server on loopback that answers, fails and waits as Ollama does.

In a test:   with OllamaStandIn() as ollama: ollama.enqueue("Hello", Reply.busy()); … ollama.url, ollama.history
On its own:  python -m tests.standins.ollama --port 11434 --tokens-per-second 40    (see /standin/… below)

GET /standin/history; POST /standin/next (a Reply as JSON, or a list), /standin/behaviour (also GET), /standin/reset.
One generation at a time, first come first served; a client that leaves frees its place at once, also in the queue.
"""

import argparse
import asyncio
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict
from functools import partial
from typing import Any

from tests.standins import ollama_endpoints as endpoints
from tests.standins.ollama_endpoints import Entry, Refusal
from tests.standins.ollama_generation import Generation, line_of
from tests.standins.ollama_memory import LoadFailed, Memory
from tests.standins.ollama_replies import Behaviour, Reply, can_chat, can_think, can_use_tools, fitting, full_name
from tests.standins.ollama_wire import Connection, Exchange

HISTORY_LENGTH = 5_000
BACKLOG = 1024


class OllamaStandIn:
    """See the module. `greatest_concurrency` counts chats under way at once, those that wait included: one generates.

    `reload_count` counts loads made necessary by changed load-time options, `load_count` all loads, `cancelled_count`
    the clients that left before their answer's end.
    """

    def __init__(self, *, port: int = 0, **behaviour: Any):
        self.port = port
        self._first_behaviour = behaviour
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread: int | None = None
        self._connections: set[Connection] = set()
        self.slot = asyncio.Lock()
        self.embedder: Callable[[list[str]], list[list[float]]] | None = None  # a real model's, where one is wanted
        self.under_way = self.generating = 0
        self.reset()

    # --- for tests ---------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def history(self) -> list[dict[str, Any]]:
        """Every request to /api/… so far, oldest first, as plain dictionaries (the fields of Entry)."""
        return self._between_steps(lambda: [asdict(entry) for entry in self._history])

    @property
    def chats(self) -> list[dict[str, Any]]:
        """The part of the history that asked for an answer: /api/chat with messages."""
        chats = [entry for entry in self.history if entry["path"] == "/api/chat" and isinstance(entry["body"], dict)]
        return [entry for entry in chats if entry["body"].get("messages")]

    @property
    def load_count(self) -> int:
        return self.memory.load_count

    @property
    def reload_count(self) -> int:
        return self.memory.reload_count

    def enqueue(self, *replies: Reply | str | dict) -> None:
        """The next answers, each used once."""
        self._replies.extend(map(Reply.read, replies))

    def reset(self) -> None:
        """As new: no history, nothing enqueued, nothing loaded, the behaviour it was made with."""
        self.behaviour = Behaviour()
        self.behaviour.change(self._first_behaviour)
        self._history: deque[Entry] = deque(maxlen=HISTORY_LENGTH)
        self._replies: deque[Reply] = deque()
        self.memory = Memory()
        self.request_count = self.greatest_concurrency = self.cancelled_count = 0

    def wait_for(self, condition: Callable[["OllamaStandIn"], Any], seconds: float = 5.0) -> None:
        """Return as soon as the condition holds; AssertionError when it has not within these seconds."""
        deadline = time.monotonic() + seconds
        while not condition(self):  # without the lock: the condition may wait for the server's thread, which takes it
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s: {self.counters()}")
            with self._changed:
                self._changed.wait(0.01)

    def counters(self) -> dict[str, int]:
        names = "request_count under_way generating greatest_concurrency load_count reload_count cancelled_count"
        return self._between_steps(
            lambda: {name: getattr(self, name) for name in names.split()} | {"enqueued": len(self._replies)}
        )

    def _between_steps(self, read: Callable[[], Any]) -> Any:
        """Read in the server's own thread: who has had an answer then also finds its request recorded as answered."""
        if self._loop is None or not self._loop.is_running() or threading.get_ident() == self._loop_thread:
            return read()
        result: Future = Future()
        self._loop.call_soon_threadsafe(lambda: result.set_result(read()))
        return result.result(5)

    def start(self) -> "OllamaStandIn":
        """Listen in a thread of its own. After stop() it can start again, on the same port."""
        listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve(listening.set)), daemon=True)
        self._thread.start()
        while not listening.wait(0.01):
            if not self._thread.is_alive():
                raise OSError(f"the Ollama stand-in could not listen on port {self.port}")
        return self

    def stop(self) -> None:
        """Drop every connection and refuse new ones."""
        self._loop.call_soon_threadsafe(self.stopping.set)
        self._thread.join()

    def __enter__(self) -> "OllamaStandIn":
        return self.start()

    def __exit__(self, *_) -> None:
        self.stop()

    async def serve(self, when_listening: Callable[[], None]) -> None:
        """Serve until stop(); the port is known once `when_listening` is called."""
        self._loop, self.stopping, self.slot = asyncio.get_running_loop(), asyncio.Event(), asyncio.Lock()
        self._loop_thread = threading.get_ident()
        server = await self._loop.create_server(
            lambda: Connection(self._handle, self._connections), "127.0.0.1", self.port, backlog=BACKLOG
        )
        self.port = server.sockets[0].getsockname()[1]
        when_listening()
        await self.stopping.wait()
        server.close()
        for connection in list(self._connections):
            connection.drop(reset=False)
        await asyncio.sleep(0)

    # --- requests ----------------------------------------------------------------------------------------------------

    async def _handle(self, exchange: Exchange) -> None:
        if exchange.path.startswith("/standin/"):
            self._handle_control(exchange)
            return
        if exchange.path == "/":
            exchange.answer(200, b"Ollama is running", "text/plain; charset=utf-8")
            return
        entry = Entry(exchange.method, exchange.path, None)
        self._history.append(entry)
        self.request_count += 1
        started = time.monotonic()
        try:
            await self._route(exchange, entry)
            entry.outcome = "answered" if entry.outcome == "under way" else entry.outcome
        except Refusal as refusal:
            entry.outcome, entry.status = "refused", refusal.status
            exchange.answer_json(refusal.status, {"error": refusal.text})
        except LoadFailed as failed:
            entry.outcome, entry.status = "refused", failed.reply.status
            exchange.answer_json(failed.reply.status, {"error": failed.reply.error})
        except asyncio.CancelledError:
            entry.outcome = "cancelled"
            self.cancelled_count += 1
            raise
        finally:
            entry.lasted_seconds = time.monotonic() - started
            self._tell()

    async def _route(self, exchange: Exchange, entry: Entry) -> None:
        routes = {
            "/api/chat": ("POST", self._chat),
            "/api/embed": ("POST", partial(endpoints.embed, self)),
            "/api/show": ("POST", partial(endpoints.show, self)),
            "/api/pull": ("POST", partial(endpoints.pull, self)),
            "/api/tags": ("GET", partial(endpoints.tags, self)),
            "/api/ps": ("GET", partial(endpoints.ps, self)),
            "/api/version": ("GET", partial(endpoints.version, self)),
        }
        if exchange.path not in routes:
            entry.outcome, entry.status = "refused", 404
            exchange.answer(404, b"404 page not found", "text/plain")
            return
        method, answer = routes[exchange.path]
        if exchange.method not in (method, "HEAD"):
            entry.outcome, entry.status = "refused", 405
            exchange.answer(405, b"405 method not allowed", "text/plain")
            return
        try:
            entry.body = exchange.json()
        except ValueError:
            raise Refusal(400, "invalid character in request body") from None
        if method == "POST" and not exchange.body.strip():
            raise Refusal(400, "missing request body")
        if not isinstance(entry.body, dict):
            raise Refusal(400, "json: cannot unmarshal into Go value of type api.ChatRequest")
        entry.status = 200
        await answer(exchange, entry)

    # --- chat --------------------------------------------------------------------------------------------------------

    async def _chat(self, exchange: Exchange, entry: Entry) -> None:
        body = entry.body
        if not body.get("model"):
            raise Refusal(400, "model is required")
        name = self.installed(body, "model '{}' not found")
        if not body.get("messages") and body.get("keep_alive") in (0, "0", "0s"):
            self.memory.models.pop(name, None)
            exchange.answer_json(200, {**line_of(body["model"], ""), "done": True, "done_reason": "unload"})
            return
        if not can_chat(name):
            raise Refusal(400, f'"{body["model"]}" does not support chat')
        if body.get("think") and not can_think(name):
            raise Refusal(400, f'"{body["model"]}" does not support thinking')
        if body.get("tools") and not can_use_tools(name):
            raise Refusal(400, f"registry.ollama.ai/library/{body['model']} does not support tools")
        if not body.get("messages"):
            await self._preload(exchange, name, body)
            return
        reply = self.take("chat") or Reply()
        self.under_way += 1
        self.greatest_concurrency = max(self.greatest_concurrency, self.under_way)
        self._tell()
        try:
            if not await self.failed(exchange, entry, reply):
                await self._answer(exchange, entry, name, reply)
        finally:
            self.under_way -= 1
            if reply.unloads:
                self.memory.models.pop(name, None)

    async def _preload(self, exchange: Exchange, name: str, body: dict) -> None:
        """Loads and returns; like Ollama, it does not wait behind a generation when the model is there as wanted."""
        if self.memory.fits(name, body):
            self.memory.use(name, body)
        else:
            async with self.slot:
                await self.memory.load(name, body, self.behaviour, self.take)
        exchange.answer_json(200, {**line_of(body["model"], ""), "done": True, "done_reason": "load"})

    async def _answer(self, exchange: Exchange, entry: Entry, name: str, reply: Reply) -> None:
        arrived = time.monotonic()
        async with self.slot:
            entry.waited_seconds = time.monotonic() - arrived
            load_seconds = await self.memory.load(name, entry.body, self.behaviour, self.take)
            entry.seen = fitting(entry.body["messages"], self.memory.models[name].options["num_ctx"])
            if entry.seen is None:
                raise Refusal(400, Reply.context_exceeded().error)
            generation = Generation(exchange, entry.body, entry.seen, reply, self.behaviour, load_seconds)
            self.generating += 1
            self._tell()
            try:
                await generation.run()
            finally:
                self.generating -= 1
                entry.tokens_sent = generation.sent
                if loaded := self.memory.models.get(name):
                    loaded.touch()

    def installed(self, body: dict, text: str) -> str:
        """The full name of the model asked for; Refusal 404 with this text when it is not there."""
        asked = body.get("model") or body.get("name") or ""
        name = full_name(asked)
        if name not in map(full_name, self.behaviour.models):
            raise Refusal(404, text.format(asked))
        return name

    def take(self, at: str) -> Reply | None:
        """The oldest enqueued reply for this kind of request, removed."""
        for index, reply in enumerate(self._replies):
            if reply.at == at:
                del self._replies[index]
                return reply
        return None

    async def failed(self, exchange: Exchange, entry: Entry, reply: Reply | None) -> bool:
        """True when the request has been answered with an HTTP error, by the reply or because the server is busy."""
        if reply is not None and reply.first_token_delay_seconds and (reply.at != "chat" or reply.status != 200):
            await asyncio.sleep(reply.first_token_delay_seconds)
        if self.behaviour.busy and exchange.path in ("/api/chat", "/api/embed"):
            reply = Reply.busy()
        if reply is None or reply.status == 200:
            return False
        if not reply.html:
            raise Refusal(reply.status, reply.error)
        entry.outcome, entry.status = "refused", reply.status
        exchange.answer(reply.status, reply.html.encode(), "text/html")
        return True

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # --- /standin/… -------------------------------------------------------------------------------------------------

    def _handle_control(self, exchange: Exchange) -> None:
        try:
            answer = self._control(exchange.method, exchange.path, exchange.json())
        except (ValueError, TypeError, AttributeError) as error:
            exchange.answer_json(400, {"error": str(error)})
            return
        status = 404 if answer is None else 200
        exchange.answer_json(status, {"error": "no such control"} if answer is None else answer)

    def _control(self, method: str, path: str, body: Any) -> dict[str, Any] | None:
        match method, path:
            case "GET", "/standin/history":
                return {"history": self.history, **self.counters()}
            case "GET", "/standin/behaviour":
                return asdict(self.behaviour)
            case "POST", "/standin/behaviour":
                self.behaviour.change(body)
                return asdict(self.behaviour)
            case "POST", "/standin/next":
                self.enqueue(*(body if isinstance(body, list) else [body]))
                return self.counters()
            case "POST", "/standin/reset":
                self.reset()
                return self.counters()
        return None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.standins.ollama", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=11434)
    parser.add_argument("--model", action="append", help="an installed model; may be repeated")
    parser.add_argument("--tokens-per-second", type=float, default=40.0)
    parser.add_argument("--first-token-delay", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--load-seconds", type=float, default=0.0)
    parser.add_argument("--instant", action="store_true", help="no delays at all")
    given = parser.parse_args()
    behaviour = {"models": given.model} if given.model else {}
    if not given.instant:
        behaviour |= {
            "tokens_per_second": given.tokens_per_second,
            "first_token_delay_seconds": given.first_token_delay,
            "load_seconds": given.load_seconds,
        }
    asyncio.run(_serve_until_told(OllamaStandIn(port=given.port, **behaviour)))


async def _serve_until_told(standin: OllamaStandIn) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: standin.stopping.set())
    await standin.serve(lambda: print(f"Ollama stand-in on {standin.url}", flush=True))


if __name__ == "__main__":
    main()
