"""The only place that talks to Ollama: an answer to a chat, embeddings, loading a model, and what the server has.

Every call is synchronous; connections are kept for the seconds between two answers (ollama_loop.py). What goes wrong comes out as one of the Model… errors, after
the one retry that may mend it; half an answer never comes out.
No text of a prompt or of an answer enters an exception or a log line, nor may it.
The `ollama` package takes half a second to import, so it is imported by the first call and not by this module.
"""

import asyncio
import contextlib
import logging
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from frontdesk import strict_json
from frontdesk.errors import (
    ContextExceeded,
    ModelAway,
    ModelBusy,
    ModelCrashed,
    ModelError,
    ModelInterrupted,
    ModelMissing,
    ModelRefused,
    ModelSilent,
    ModelSlow,
)
from frontdesk.ollama_loop import Answer, Loop, Watch

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5
QUICK_SECONDS = 10  # for what Ollama answers at once, also while it loads or generates
VERSION_SECONDS = 2
REMEMBERED_SECONDS = 300
END_SECONDS = 0.1
THOUGHTS = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)
THOUGHTS_BEGUN_IN_THE_TEMPLATE = re.compile(r"\A.*</think>", re.DOTALL | re.IGNORECASE)
SHARED_LENGTH = 16  # so many characters in common and a server's words may be quoting a message
TOO_SLOW, NOT_LOADED = "Ollama gave no answer within {:g} s", "the model {} was not loaded within {:g} s"

Attempt = Callable[[Any], Awaitable[Answer]]  # given the client; may be called twice


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What goes with every call to one model, warm-up included: a changed `num_ctx` makes Ollama load the model again.

    `num_ctx` and `num_predict` are tokens; `keep_alive` is seconds or Ollama's "5m", negative for ever. `share_ctx`: so much of the
    context may be filled, where the model is loaded with more for another kind of work.
    """

    model: str
    num_ctx: int
    num_predict: int
    temperature: float = 0.3
    keep_alive: int | str = -1
    seed: int | None = None
    share_ctx: int | None = None

    @property
    def room(self) -> int:
        """Tokens for the prompt and its answer."""
        return min(self.num_ctx, self.share_ctx or self.num_ctx)

    def request(self) -> dict[str, Any]:
        """The arguments of the client's chat(). `think` unset would mean ON for models that can."""
        options = {"num_ctx": self.num_ctx, "num_predict": self.num_predict, "temperature": self.temperature}
        if self.seed is not None:
            options["seed"] = self.seed
        return {"model": self.model, "options": options, "keep_alive": self.keep_alive, "think": False}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What the model wants called: `arguments` as it gave them, not looked at, but fit to be sent back to it."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer, without thoughts and outer white space, empty only beside tool calls. Ollama leaves out counts it does not know: None.

    `load_seconds` is what making the model ready took; `done_reason` is "stop", or "length" when `num_predict` cut it.
    """

    text: str
    prompt_tokens: int | None
    output_tokens: int | None
    load_seconds: float
    prompt_seconds: float
    output_seconds: float
    done_reason: str
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def tokens_per_second(self) -> float | None:
        return self.output_tokens / self.output_seconds if self.output_tokens and self.output_seconds else None


class Ollama:
    """One Ollama server. `host` is an address as settings has it, its scheme and port spelled out.

    `timeout_seconds` bounds the whole of one answer, the retry and its pause included; the time the model takes to load
    is not part of it and has its own bound. `crash_pause_seconds` is the pause before a retry after the runner died. A model
    that answered less than `trusted_seconds` ago is taken to be loaded still: only another model's load could drive it out.
    """

    def __init__(
        self,
        host: str,
        *,
        timeout_seconds: float = 120,
        load_timeout_seconds: float = 600,
        crash_pause_seconds: float = 7.0,
        trusted_seconds: float = 10.0,
    ):
        self.host = host
        self.timeout_seconds = timeout_seconds
        self.load_timeout_seconds = load_timeout_seconds
        self.crash_pause_seconds = crash_pause_seconds
        self.trusted_seconds = trusted_seconds
        self._can: dict[str, tuple[frozenset[str], float]] = {}
        self.last_model: str | None = None
        self._made_ready: dict[ModelOptions, float] = {}
        self._loop = Loop(self._client)

    def chat(
        self,
        messages: Sequence[dict],
        options: ModelOptions,
        *,
        schema: dict[str, Any] | None = None,
        tools: Sequence[dict[str, Any]] = (),
        timeout_seconds: float | None = None,
        watch: Watch | None = None,
        watch_every_seconds: float = 0.25,
        heard: Callable[[str], None] | None = None,
    ) -> Completion:
        """The model's answer to `messages` ({"role", "content"}, oldest first, at least one; "images", a list of bytes, where it can see;
        "tool_calls" and "tool_name" of earlier calls).

        `watch` is called from one side thread, never twice at once, until this call ends. Whatever it raises stops the
        generation and comes out of here unchanged, also when the answer was complete meanwhile or failed.
        `heard` is given all that was written so far, from another thread, after each piece: it must be quick. A retry begins anew.
        `schema`: a JSON schema that the answer is held to, as far as the server can; the caller must check it all the same.
        `tools`: what the model may call ({"type": "function", "function": …}), where it can (`can_use_tools`).
        Raises the Model… errors.
        """
        if not messages or not all(isinstance(m.get(key), str) for m in messages for key in ("role", "content")):
            raise ValueError("chat needs at least one message, each with a role and a content")
        seconds = timeout_seconds or self.timeout_seconds
        call = _Call(seconds, self.load_timeout_seconds, options.model, messages, schema=schema, heard=heard, tools=tools)
        return self._loop.run(self._answer(options, call), watch, watch_every_seconds)

    def warm_up(self, options: ModelOptions) -> None:
        """Load the model as chat() will want it. Raises the Model… errors."""
        call = _Call(self.timeout_seconds, self.load_timeout_seconds, options.model)
        self._loop.run(self._twice(lambda client: self._load(client, options, call), call))

    def embed(
        self,
        texts: Sequence[str],
        model: str,
        *,
        timeout_seconds: float,
        watch: Watch | None = None,
        keep_alive: int | str = -1,
        num_ctx: int | None = None,
    ) -> list[list[float]]:
        """A vector for each text, all of one length; what is longer than the model's context is cut by Ollama.

        `timeout_seconds` bounds all of it, loading included: too short, and a model that must be loaded never is.
        Raises the Model… errors, and whatever `watch` raises (see chat).
        """
        if not texts:
            return []
        sent = [text.encode(errors="replace").decode().replace("\x00", " ") for text in texts]
        call = _Call(timeout_seconds, 0, model, [{"content": text} for text in sent])
        options = {"num_ctx": num_ctx} if num_ctx else None

        async def attempt(client) -> list[list[float]]:
            async with call.charged("answer_seconds", TOO_SLOW.format(timeout_seconds)):
                answer = await self._whole(client.embed(model=model, input=sent, keep_alive=keep_alive, options=options))
            return _vectors(answer.embeddings, len(sent))

        return self._loop.run(self._twice(attempt, call), watch)

    def version(self) -> str | None:
        """The server's version, None when there is no usable server, which is known after about two seconds."""
        import httpx

        try:
            response = httpx.get(f"{self.host}/api/version", timeout=VERSION_SECONDS, **self._connection())
            return response.raise_for_status().json()["version"]
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, KeyError, TypeError):
            return None

    def can_see(self, model: str) -> bool:
        """Whether the model takes pictures. Raises the Model… errors."""
        return "vision" in self._capabilities(model)

    def can_use_tools(self, model: str) -> bool:
        """Raises the Model… errors."""
        return "tools" in self._capabilities(model)

    def _capabilities(self, model: str) -> frozenset[str]:
        """Remembered for a while: only pulling the model anew changes them."""
        known, asked_at = self._can.get(model, (frozenset(), float("-inf")))
        if time.monotonic() - asked_at > REMEMBERED_SECONDS:
            known = frozenset(self._ask(lambda client: client.show(model), model).capabilities or [])
            self._can[model] = known, time.monotonic()
        return known

    def model_names(self) -> list[str]:
        """The names of the models that are installed. Raises ModelAway."""
        listed = self._ask(lambda client: client.list())
        return [model.model for model in listed.models if model.model]

    def loaded_models(self) -> list[dict[str, Any]]:
        """The models in memory or on their way, as /api/ps lists them: name, context_length… Raises ModelAway."""
        listed = self._ask(lambda client: client.ps())
        return [model.model_dump(mode="json") for model in listed.models]

    def _ask(self, ask: Callable[[Any], Awaitable[Answer]], model: str = "") -> Answer:
        async def attempt(client) -> Answer:
            async with call.charged("answer_seconds", TOO_SLOW.format(QUICK_SECONDS)):
                return await self._whole(ask(client))

        call = _Call(QUICK_SECONDS, 0, model, may_retry=False)
        return self._loop.run(self._twice(attempt, call))

    async def _answer(self, options: ModelOptions, call: "_Call") -> Completion | ModelError:
        bound_seconds = call.answer_seconds

        async def attempt(client) -> Completion:
            load_seconds = await self._make_ready(client, options, call)
            async with call.charged("answer_seconds", TOO_SLOW.format(bound_seconds), error=ModelSlow):
                completion = await _stream(client, call, options, load_seconds)
            self._is_ready(options)
            return completion

        return await self._twice(attempt, call)

    async def _twice(self, attempt: Attempt, call: "_Call") -> Answer | ModelError:
        """What `attempt` gave, at the second try if the first failed in a way that a retry may mend."""
        outcome = await self._tried(attempt, call)
        if not isinstance(outcome, _Failed):
            return outcome
        self._made_ready.clear()  # whatever it was, look again; and /api/ps may go on listing a runner that died
        pause_seconds = self.crash_pause_seconds if isinstance(outcome.error, ModelCrashed) else 0
        if not (call.may_retry and outcome.again) or call.answer_seconds <= pause_seconds:
            return outcome.error
        log.warning("%s; trying once more in %g s", outcome.error, pause_seconds)
        await asyncio.sleep(pause_seconds)
        call.answer_seconds -= pause_seconds
        outcome = await self._tried(attempt, call)
        return outcome.error if isinstance(outcome, _Failed) else outcome

    async def _tried(self, attempt: Attempt, call: "_Call") -> "Answer | _Failed":
        import httpx
        import ollama

        try:
            return await attempt(self._loop.client())
        except _Failed as failed:
            return failed
        except ollama.ResponseError as error:
            return self._judged(error.status_code, str(error.error), call)
        except (httpx.ConnectError, httpx.TimeoutException, httpx.UnsupportedProtocol, OSError) as error:
            return _Failed(ModelAway(f"no Ollama server at {self.host} ({type(error).__name__})"))
        except httpx.HTTPError as error:
            return _Failed(ModelInterrupted(f"the answer broke off ({type(error).__name__})"), again=True)
        except (ValueError, AttributeError):  # no JSON, not Ollama's, or (the client stumbles) JSON that is no object
            return _Failed(ModelInterrupted("the answer could not be read"), again=True)

    def _judged(self, status: int, reason: str, call: "_Call") -> "_Failed":
        """An error that the server reported: `status` is HTTP's, or -1 when the answer had begun."""
        page = reason.lstrip().startswith("<")
        if "exceed_context_size_error" in reason or "exceeds the available context size" in reason:
            return _Failed(ContextExceeded(400, "the prompt is longer than the model's context"))
        if status == 404 and not page and "model" in reason and "not found" in reason:
            return _Failed(ModelMissing(call.model))
        if status in (429, 503) and not page:
            return _Failed(ModelBusy(f"Ollama is busy ({status})"))
        if "runner has unexpectedly stopped" in reason:
            return _Failed(ModelCrashed("Ollama's model runner stopped"), again=True)
        if status == -1:
            return _Failed(ModelInterrupted("the answer ended in an error"), again=True)
        if status == 500 and not page:
            return _Failed(ModelCrashed(f"Ollama failed (500): {_fit_to_show(reason, call.messages)}"), again=True)
        if 400 <= status < 500 and status not in (404, 405, 408, 499) and not page:
            return _Failed(ModelRefused(status, _fit_to_show(reason, call.messages)))
        return _Failed(ModelAway(f"no Ollama behind {self.host}: it answers {status}"))

    async def _make_ready(self, client, options: ModelOptions, call: "_Call") -> float:
        """Have the model loaded before it is asked, so that loading is not charged to the answer. Returns its seconds.

        /api/ps also lists a model that is still loading, so it is believed only about options that were ready before. It is
        not asked at all while the model has just answered.
        """
        if time.monotonic() - self._made_ready.get(options, float("-inf")) < self.trusted_seconds:
            return 0.0
        quick_seconds = min(QUICK_SECONDS, self.timeout_seconds)
        async with call.charged("answer_seconds", TOO_SLOW.format(quick_seconds), at_most=quick_seconds):
            listed = await self._listed(client, options)
        if listed and options in self._made_ready:
            return 0.0
        started = time.monotonic()
        await self._load(client, options, call)
        return time.monotonic() - started

    async def _listed(self, client, options: ModelOptions) -> bool:
        import ollama

        try:
            models = (await self._whole(client.ps())).models
        except ollama.ResponseError as error:
            if error.status_code >= 500:
                raise
            return False  # a proxy that lets only /api/chat through
        ready = {(model.name, model.context_length) for model in models}
        return not ready.isdisjoint({(options.model, options.num_ctx), (f"{options.model}:latest", options.num_ctx)})

    async def _load(self, client, options: ModelOptions, call: "_Call") -> None:
        """Chat without messages loads and returns. Leaving early aborts the load, hence the long bound of its own."""
        async with call.charged("load_seconds", NOT_LOADED.format(options.model, self.load_timeout_seconds)):
            await self._whole(client.chat(messages=[], stream=False, **options.request()))
        self._is_ready(options)

    def _is_ready(self, options: ModelOptions) -> None:
        """Another model's load may have driven out the others, so they are looked for before they are asked again."""
        if options.model != self.last_model:
            self._made_ready = dict.fromkeys(self._made_ready, float("-inf"))
        self._made_ready[options], self.last_model = time.monotonic(), options.model

    async def _whole(self, asked: Awaitable[Answer]) -> Answer:
        """An answer that is not streamed: broken, there is no half of it to blame, but no usable server."""
        import httpx

        try:
            return await asked
        except (httpx.RemoteProtocolError, httpx.ReadError) as error:
            raise _Failed(ModelCrashed(f"Ollama dropped the connection ({type(error).__name__})"), again=True) from None
        except (ValueError, AttributeError):
            raise _Failed(ModelAway(f"what answers at {self.host} is not Ollama")) from None

    def _client(self):
        import httpx
        from ollama import AsyncClient

        # No read timeout: every wait is charged to a _Call, which bounds the whole and not each gap.
        timeout = httpx.Timeout(connect=CONNECT_SECONDS, read=None, write=30, pool=5)
        return AsyncClient(self.host, timeout=timeout, **self._connection())

    def _connection(self) -> dict[str, Any]:
        # Reading the certificates takes longer than connecting does; only https needs them.
        return {"trust_env": False, "follow_redirects": False, "verify": self.host.startswith("https:")}


class _Failed(Exception):
    """An attempt that gave nothing; `again` when the same call may succeed at once."""

    def __init__(self, error: ModelError, *, again: bool = False):
        self.error, self.again = error, again


@dataclass(slots=True)
class _Call:
    """What one call is about, and the seconds it has left for answering and for loading."""

    answer_seconds: float
    load_seconds: float
    model: str = ""
    messages: Sequence[dict] = ()
    may_retry: bool = True
    schema: dict[str, Any] | None = None
    heard: Callable[[str], None] | None = None
    tools: Sequence[dict[str, Any]] = ()

    @contextlib.asynccontextmanager
    async def charged(
        self, kind: str, too_slow: str, at_most: float = float("inf"), error: type[ModelAway] = ModelAway
    ) -> AsyncIterator[None]:
        """Charge the time of this block to `kind`; when nothing is left the block ends in error(too_slow)."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(min(getattr(self, kind), at_most)):
                yield
        except TimeoutError:
            raise _Failed(error(too_slow)) from None
        finally:
            setattr(self, kind, getattr(self, kind) - (time.monotonic() - started))


async def _stream(client, call: _Call, options: ModelOptions, load_seconds: float) -> Completion:
    words, calls, last = [], [], None
    messages = [_sendable(message) for message in call.messages]
    parts = await client.chat(messages=messages, stream=True, format=call.schema, tools=call.tools or None, **options.request())
    async with contextlib.aclosing(parts):
        async for part in parts:
            words.append(part.message.content or "")
            wanted = (part.message.tool_calls if call.tools else None) or ()
            calls += [ToolCall(*strict_json.sendable([one.function.name, dict(one.function.arguments)])) for one in wanted]
            if call.heard and words[-1]:
                call.heard(_spoken("".join(words)))
            if part.done:
                last = part
                await _read_to_the_end(parts)
                break
    if last is None:  # a model that repeats itself is ended like this too
        raise _Failed(ModelInterrupted("the answer ended without its last line"), again=True)
    text = _spoken("".join(words))
    if not calls and not any(character.isprintable() and not character.isspace() for character in text):
        raise _Failed(ModelSilent(f"{options.model} answered nothing ({last.done_reason})"), again=True)
    return Completion(
        text=text,
        prompt_tokens=last.prompt_eval_count,
        output_tokens=last.eval_count,
        load_seconds=load_seconds + (last.load_duration or 0) / 1e9,
        prompt_seconds=(last.prompt_eval_duration or 0) / 1e9,
        output_seconds=(last.eval_duration or 0) / 1e9,
        done_reason=last.done_reason or "",
        tool_calls=tuple(calls),
    )


async def _read_to_the_end(parts) -> None:
    """So that the connection can be kept; an end that does not come is nothing to wait for."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            async for _ in parts:
                pass


def _vectors(given: Sequence[Sequence[float]], count: int) -> list[list[float]]:
    vectors = [list(vector) for vector in given]
    lengths = {len(vector) for vector in vectors}
    if len(vectors) != count or len(lengths) != 1 or 0 in lengths or not all(math.isfinite(part) for vector in vectors for part in vector):
        raise _Failed(ModelInterrupted("the embeddings could not be read"), again=True)
    return vectors


def _sendable(message: dict[str, Any]) -> dict[str, Any]:
    """Half of a surrogate pair, which a customer's JSON may hold, cannot be written as UTF-8: it becomes "?"."""
    return {**message, "content": message["content"].encode(errors="replace").decode()}


def _spoken(text: str) -> str:
    """The answer without the thoughts that some models leave in it, closed or not, opened or not."""
    return THOUGHTS_BEGUN_IN_THE_TEMPLATE.sub("", THOUGHTS.sub("", text)).strip()


def _fit_to_show(reason: str, messages: Sequence[dict]) -> str:
    """The server's words on one short line, unless they may quote a message."""
    reason = " ".join(reason.split())[:200]
    told = [" ".join(str(message.get("content") or "").split()) for message in messages]
    pieces = [reason[start : start + SHARED_LENGTH] for start in range(max(1, len(reason) - SHARED_LENGTH + 1))]
    quoted = any(text in reason for text in told if len(text) > 3)
    if quoted or any(piece in text for piece in pieces for text in told):
        return "(its words are withheld, for they may quote a message)"
    return reason
