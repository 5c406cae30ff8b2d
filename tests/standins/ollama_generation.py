"""One answer of the Ollama stand-in as it goes over the wire: its tokens, their pace, and the way it ends."""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from tests.standins.ollama_replies import Behaviour, Reply, can_think, prompt_tokens_of, tokens_of
from tests.standins.ollama_wire import Exchange, go_json

FOR_EVER_SECONDS = 1e6


@dataclass(slots=True)
class Generation:
    """`seen` are the messages that fit the context; `sent` counts the tokens that went out."""

    exchange: Exchange
    body: dict[str, Any]
    seen: list[dict[str, Any]]
    reply: Reply
    behaviour: Behaviour
    load_seconds: float
    sent: int = 0

    async def run(self) -> None:
        reply, started = self.reply, time.monotonic()
        parts, done_reason = self._parts()
        delay, rate = reply.first_token_delay_seconds, reply.tokens_per_second or self.behaviour.tokens_per_second
        first_at = started + (self.behaviour.first_token_delay_seconds if delay is None else delay)
        await _sleep_until(first_at)
        if reply.lines:
            self.exchange.finish(*(f"{line}\n".encode() for line in reply.lines))
            return
        shown = parts if reply.end_after_tokens is None else parts[: reply.end_after_tokens]
        streaming = self.body.get("stream") is not False
        unsent = await self._stream(shown, first_at, rate) if streaming else []
        await _sleep_until(first_at + len(shown) / rate if rate else 0)
        last = self._last_line(shown, done_reason, first_at - started, time.monotonic() - first_at)
        await (self._end_stream(unsent, last) if streaming else self._end_whole(shown, last))

    def _parts(self) -> tuple[list[tuple[str, str]], str]:
        """The tokens as (field, token) and the done_reason, cut at num_predict unless the reply says how it is done."""
        reply, model = self.reply, self.body["model"]
        text, thinking = reply.text, reply.thinking
        if text is None and reply.tool_calls:
            text = ""
        if text is None:
            text = self.behaviour.texts.get(self.body["model"], self.behaviour.text)
        if text is None:
            text = _last_user_text(self.body["messages"])
            if not thinking and can_think(model) and self.body.get("think") is not False:
                thinking = "Let me think about it."
        parts = [("thinking", token) for token in tokens_of(thinking)]
        parts += [("content", token) for token in tokens_of(text)]
        limit = (self.body.get("options") or {}).get("num_predict", -1)
        if reply.done_reason is not None:
            return parts, reply.done_reason
        return (parts[:limit], "length") if 0 <= limit < len(parts) else (parts, "stop")

    async def _stream(self, parts: list[tuple[str, str]], first_at: float, rate: float | None) -> list[bytes]:
        """Send the tokens at their pace. Without one they are gathered, and what is unsent at the end is returned."""
        batch: list[bytes] = []
        for number, (key, token) in enumerate(parts):
            if rate:
                await _sleep_until(first_at + number / rate)
            pieces = self._pieces(f"{go_json(line_of(self.body['model'], token, key))}\n".encode())
            batch += pieces
            self.sent += 1
            if len(pieces) > 1:
                self.exchange.write(*batch[:-1])
                await asyncio.sleep(0.001)  # so that the halves of the character do not arrive as one
                batch = batch[-1:]
            if rate:
                self.exchange.write(*batch)
                batch = []
        return batch

    def _pieces(self, line: bytes) -> list[bytes]:
        """The line, or its two halves cut in the middle of its first character of several bytes."""
        if not self.behaviour.split_characters or line.isascii():
            return [line]
        place = next(index for index, byte in enumerate(line) if byte >= 0x80) + 1
        return [line[:place], line[place:]]

    async def _end_stream(self, unsent: list[bytes], last: dict[str, Any]) -> None:
        end = self.reply.end
        if end == "done":
            unsent = [*unsent, *(f"{go_json(line)}\n".encode() for line in self._call_lines())]
            self.exchange.finish(*unsent, f"{go_json(last)}\n".encode())
            return
        if end == "error":
            self.exchange.finish(*unsent, f"{go_json({'error': self.reply.error})}\n".encode())
            return
        if end == "nothing":
            self.exchange.finish(*unsent)
            return
        if unsent:
            self.exchange.write(*unsent)
        await self._break_off()

    async def _end_whole(self, parts: list[tuple[str, str]], last: dict[str, Any]) -> None:
        if self.reply.end == "error":
            self.exchange.answer_json(500, {"error": self.reply.error})
            return
        if self.reply.end in ("cut", "reset", "stall"):
            await self._break_off()
            return
        if calls := self._calls():
            last["message"]["tool_calls"] = calls
        for key in ("content", "thinking"):
            if text := "".join(token for part, token in parts if part == key):
                last["message"][key] = text
        self.exchange.answer_json(200, last)

    async def _break_off(self) -> None:
        if self.reply.end == "stall":
            await asyncio.sleep(FOR_EVER_SECONDS)
        self.exchange.cut(reset=self.reply.end == "reset")

    def _calls(self) -> list[dict[str, Any]]:
        """As the server's parser gives them: an id of its own, their place, and arguments as an object."""
        return [
            {"id": f"call_{number:08x}", "function": {"index": number, **call["function"]}} for number, call in enumerate(self.reply.tool_calls)
        ]

    def _call_lines(self) -> list[dict[str, Any]]:
        """Whole, each as soon as the parser has it: before the last line, which is `done` and has none."""
        lines = []
        for call in self._calls():
            line = line_of(self.body["model"], "")
            line["message"]["tool_calls"] = [call]
            lines.append(line)
        return lines

    def _last_line(self, parts: list, done_reason: str, prompt_seconds: float, output_seconds: float) -> dict[str, Any]:
        line = line_of(self.body["model"], "")
        metrics = {
            "total_duration": nanoseconds(self.load_seconds + prompt_seconds + output_seconds),
            "load_duration": nanoseconds(self.load_seconds),
            "prompt_eval_count": sum(map(prompt_tokens_of, self.seen)),
            "prompt_eval_duration": nanoseconds(prompt_seconds),
            "eval_count": len(parts),
            "eval_duration": nanoseconds(output_seconds),
        }
        return line | {"done": True, "done_reason": done_reason} | without_zeros(metrics | self.reply.metrics)


def line_of(model: str, token: str, key: str = "content") -> dict[str, Any]:
    message = {"role": "assistant", "content": token if key == "content" else ""}
    if key == "thinking":
        message["thinking"] = token
    created = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f") + "789Z"  # Go writes nanoseconds
    return {"model": model, "created_at": created, "message": message, "done": False}


def nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def without_zeros(metrics: dict[str, int]) -> dict[str, int]:
    """Go's omitempty."""
    return {key: value for key, value in metrics.items() if value}


def _last_user_text(messages: list[dict[str, Any]]) -> str:
    return next((m.get("content") or "" for m in reversed(messages) if m.get("role") == "user"), "")


async def _sleep_until(moment: float) -> None:
    """Also when that is past it lets the loop notice a client that left."""
    await asyncio.sleep(max(0.0, moment - time.monotonic()))
