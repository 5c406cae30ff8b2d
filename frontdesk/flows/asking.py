"""What the model is asked for an answer, and what it says: one way for customers, agents' drafts, 'try it', replays and checks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from frontdesk.errors import ContextExceeded
from frontdesk.flows import prompt, retrieval
from frontdesk.flows.context import Context
from frontdesk.flows.model_away import model_options
from frontdesk.ollama import Completion, ModelOptions
from frontdesk.store import models
from frontdesk.store.clients import Client
from frontdesk.store.messages import Turn
from frontdesk.store.seen import Shown


@dataclass(frozen=True, slots=True)
class Asked:
    """The prompt that was answered, the answer, and the documents' passages that were part of the prompt."""

    messages: list[dict[str, str]]
    completion: Completion
    shown: list[Shown]


def ask(
    context: Context,
    client: Client,
    turns: Sequence[Turn],
    waiting: int,
    *,
    watch: Callable[[], None],
    watch_every_seconds: float = 0.25,
    heard: Callable[[str], None] | None = None,
    now: float,
    older: int = 0,
    hint: str = "",
    options: ModelOptions | None = None,
) -> Asked:
    """The last `waiting` of `turns` want an answer, `older` came before the first. A prompt that is too long after all is halved once.

    `heard` is told all that is written so far. `now`: the time that the prompt tells. `options`: not the client's own. What `watch` raises comes out of here, as do the Model… errors.
    """
    options = options or model_options(context, client.model, client.temperature)
    ratio = models.get(context.db, context.settings.ollama_host, options.model).characters_per_token
    found = retrieval.shown(context, client.id, turns, waiting, watch=watch)
    for share in (1.0, 0.5):
        shown = prompt.fitting(found, client, options, ratio, share)
        messages = prompt.messages(client, turns, older, options, ratio, now, share, hint=hint, shown=shown)
        try:
            completion = context.ollama.chat(messages, options, watch=watch, watch_every_seconds=watch_every_seconds, heard=heard)
            return Asked(messages, completion, shown)
        except ContextExceeded:
            if share == 0.5:
                raise
