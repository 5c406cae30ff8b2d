"""What the model is asked for an answer, and what it says: one way for customers, agents' drafts, 'try it', replays and checks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from frontdesk.errors import ContextExceeded, ModelError
from frontdesk.flows import files_told, grounding, prompt
from frontdesk.flows.context import Context
from frontdesk.flows.model_away import model_options
from frontdesk.ollama import Completion, ModelOptions
from frontdesk.store import models
from frontdesk.store.clients import Client
from frontdesk.store.conversations import Conversation
from frontdesk.store.messages import Turn
from frontdesk.store.seen import Shown


@dataclass(frozen=True, slots=True)
class Asked:
    """The answer as it goes out, the prompt it is to, and the documents' passages that were part of the prompt.

    `completion` None: the model was not asked, for the client answers only from its documents and nothing in them fits.
    `gap`: why the documents did not give the answer, a word of grounding.py, where they did not.
    """

    messages: list[dict[str, str]]
    completion: Completion | None
    shown: list[Shown]
    text: str
    gap: str | None

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
    pictures_of: Sequence[int] = (),
) -> Asked:
    """The last `waiting` of `turns` want an answer, `older` came before the first. A prompt that is too long after all is halved once, one
    whose pictures the model chokes on is asked without them.

    `now`: the time that the prompt tells. `options`: not the client's own. `hint`: what a colleague wants it to say. `hearing`: more for
    Ollama.chat, where somebody reads along. `conversation`: whose files are told; `pictures_of`: messages whose pictures are shown.
    What `watch` raises comes out of here, as do the Model… errors.
    """
    options = options or model_options(context, client.model, client.temperature)
    ratio = models.get(context.db, context.settings.ollama_host, options.model).characters_per_token
    ground = grounding.find(context, client, turns, waiting, watch=watch)
    if grounding.must_not_ask(client, ground, hint):
        return Asked([], None, [], client.unknown_text, grounding.NO_PASSAGE)
    rules = grounding.rules(client, ground, hint)
    pictures = files_told.pictures(context, conversation, pictures_of, options.model) if pictures_of else []
    share, blind = 1.0, not pictures_of
    while True:
        shown = prompt.fitting(ground.shown, client, options, ratio, share)
        told = files_told.told(context, conversation, turns, options, ratio, share, blind=blind) if conversation else turns
        messages = prompt.messages(client, told, older, options, ratio, now, share, hint=hint, shown=shown, rules=rules)
        messages = messages if blind else files_told.with_pictures(messages, pictures)
        try:
            completion = context.ollama.chat(messages, options, watch=watch, **(hearing or {}))
            return Asked(messages, completion, shown, *grounding.said(client, ground, completion.text))
        except ContextExceeded:
            if share == 0.5:
                raise
            share = 0.5
        except ModelError as error:
            if blind or not pictures or not files_told.is_of_pictures(error):
                raise
            blind = True
