"""What the model is asked for an answer, and what it says: one way for customers, agents' drafts, 'try it', replays and checks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from frontdesk.errors import ContextExceeded, ModelError
from frontdesk.flows import files_told, grounding, prompt, tools
from frontdesk.flows.context import Context
from frontdesk.flows.model_away import model_options
from frontdesk.ollama import Completion, ModelOptions
from frontdesk.store import models
from frontdesk.store.clients import Client
from frontdesk.store.conversations import Conversation
from frontdesk.store.messages import Turn
from frontdesk.store.seen import Shown
from frontdesk.store.tool_calls import Used


@dataclass(frozen=True, slots=True)
class Asked:
    """The answer as it goes out, the prompt it is to, and the documents' passages that were part of the prompt.

    `completion` None: the model was not asked, for the client answers only from its documents and nothing in them fits.
    `gap`: why the documents did not give the answer, a word of grounding.py, where they did not.
    `used`: the tools that were called, and what they want done with the answer; `had_tools`: the prompt had them besides its messages.
    `retrieval_seconds`: of the search in the documents, None where there was none.
    """

    messages: list[dict[str, str]]
    completion: Completion | None
    shown: list[Shown]
    text: str
    gap: str | None
    used: Used = Used()
    had_tools: bool = False
    retrieval_seconds: float | None = None

    @property
    def seconds(self) -> float:
        """The model's own."""
        return self.completion.prompt_seconds + self.completion.output_seconds if self.completion else 0.0


def ask(
    context: Context,
    client: Client,
    turns: Sequence[Turn],
    waiting: int,
    *,
    watch: Callable[[], None],
    now: float,
    older: int = 0,
    hint: str = "",
    options: ModelOptions | None = None,
    hearing: dict | None = None,
    conversation: Conversation | None = None,
) -> Asked:
    """The last `waiting` of `turns` want an answer, `older` came before the first. A prompt that is too long after all is halved once,
    one whose pictures the model chokes on is asked without them.

    `now`: the time that the prompt tells. `options`: not the client's own. `hint`: what a colleague wants it to say. `hearing`: more for
    Ollama.chat, where somebody reads along. `conversation`: whose files it is told of.
    What `watch` raises comes out of here, as do the Model… errors.
    """
    options = options or model_options(context, client.model, client.temperature)
    ratio = models.get(context.db, context.settings.ollama_host, options.model).characters_per_token
    ground = grounding.find(context, client, turns, waiting, watch=watch)
    kit = tools.kit(context, client, conversation, options, ratio)
    must_not = grounding.must_not_ask(client, ground, hint)
    if must_not and kit is None:
        return Asked([], None, [], client.unknown_text, grounding.NO_PASSAGE, retrieval_seconds=ground.seconds)
    rules = grounding.rules(client, ground, hint)
    burst = [turn.id for turn in turns[len(turns) - waiting :]]
    pictures = files_told.pictures(context, conversation, burst, options.model) if conversation else []
    share, blind = 1.0, False
    room = replace(options, num_ctx=options.num_ctx - kit.tokens(options)) if kit else options
    while True:
        shown = prompt.fitting(ground.shown, client, room, ratio, share)
        told = files_told.told(context, conversation, turns, room, ratio, share, blind=blind) if conversation else turns
        messages = prompt.messages(client, told, older, room, ratio, now, share, hint=hint, shown=shown, rules=rules)
        messages = files_told.with_pictures(messages, [] if blind else pictures)
        try:
            completion, used = tools.chat(context, kit, messages, options, watch=watch, hearing=hearing)
        except ContextExceeded:
            if share == 0.5:
                raise
            share = 0.5
        except ModelError as error:
            if blind or not pictures or not files_told.is_of_pictures(error):
                raise
            blind = True
        else:
            asked = _asked(client, ground, messages, completion, shown, used, must_not, kit is not None)
            return replace(asked, retrieval_seconds=ground.seconds)


def _asked(
    client: Client, ground: grounding.Ground, messages: list, completion: Completion, shown: list[Shown], used: Used, must_not: bool, had_tools: bool
) -> Asked:
    """Of a client that answers only from its documents, what rests on neither them nor a tool is not said."""
    if used.hand_over is not None:
        text, _ = grounding.said(client, ground, completion.text) if completion.text else ("", None)
        return Asked(messages, completion, shown, "" if must_not else text, None, used, had_tools)
    if must_not and not tools.grounded(used):
        return Asked(messages, completion, shown, client.unknown_text, grounding.DECLINED, Used(used.calls), had_tools)
    text, gap = grounding.said(client, ground, completion.text, grounded=tools.grounded(used))
    return Asked(messages, completion, shown, text, gap, Used(used.calls) if gap and text == client.unknown_text else used, had_tools)
