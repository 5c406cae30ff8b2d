"""What an answer may rest on, and what the model is told about it: the same rule for answers, drafts, suggestions and tries.

The model is asked to say so when the documents do not hold an answer, with a mark that is taken out before anybody reads it. Of a
client that answers only from its documents, such an answer is not sent, and without a passage that fits the model is not asked at all.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from frontdesk.flows import fit, prompt, retrieval
from frontdesk.flows.context import Context
from frontdesk.flows.formatting import whatsapp_text
from frontdesk.flows.small_talk import asks_nothing
from frontdesk.store import knowledge
from frontdesk.store.clients import Client
from frontdesk.store.messages import Turn
from frontdesk.store.seen import Shown

NO_PASSAGE, DECLINED = "no_passage", "declined"
NOT_IN_DOCUMENTS = "not_in_documents"  # why a person is needed

# Small models write the mark with one bracket, with others, in capitals, in their own marks for bold, or its word alone.
_MARK = re.compile(r"[*_`\"'“”]*[\[<({【]+\s*unknown\s*[\])>}】]+[*_`\"'“”]*[.:,]?|\A\W*unknown\W*\Z", re.IGNORECASE)
_BEGUN = re.compile(r"[*_`]*[\[<({【]+\s*(u(n(k(n(o(wn?)?)?)?)?)?)?\s*\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ground:
    """`question`: what was asked, '' where nothing was. `shown`: passages, best first. `fits`: whether any is good enough.

    `seconds`: how long the search took, its question's embedding included; None where there was none.
    """

    question: str = ""
    shown: list[Shown] = field(default_factory=list)
    fits: bool = False
    seconds: float | None = None

    @property
    def searched(self) -> bool:
        return self.seconds is not None


def find(context: Context, client: Client, turns: Sequence[Turn], waiting: int, *, watch: Callable[[], None] | None = None) -> Ground:
    """What the documents have for an answer to the last `waiting` turns."""
    asking = [turn.text.strip() for turn in turns[len(turns) - waiting :] if not asks_nothing(turn.text)]
    question = "\n".join(asking)
    if not knowledge.any_of(context.db, client.id):
        return Ground(question)
    began = time.monotonic()
    shown = retrieval.shown(context, client.id, turns, waiting, watch=watch)
    if not question:
        return Ground(question, shown, True, time.monotonic() - began)
    _, earlier = retrieval.asked_in(turns, waiting)
    fits = any(fit.good_enough(context.db, said, shown) for said in (question, f"{earlier}\n{question}" if earlier else "") if said)
    return Ground(question, shown, fits, time.monotonic() - began)


def must_not_ask(client: Client, ground: Ground, hint: str = "") -> bool:
    """Nothing that was found fits. `hint`: what a colleague says is something to rest on; a greeting needs nothing."""
    return bool(client.knowledge_only and ground.question and not ground.fits and not hint)


def rules(client: Client, ground: Ground, hint: str = "") -> str:
    """What stands before the passages."""
    if hint or not client.knowledge_only:
        return prompt.DOCUMENTS if ground.shown else ""
    return prompt.ONLY_DOCUMENTS if ground.question else prompt.NOTHING_ASKED


def without_mark(words: str) -> str:
    """Also of what is still being written: without a mark's beginning at its end."""
    return _BEGUN.sub("", _MARK.sub("", words)).rstrip()


def said(client: Client, ground: Ground, words: str, *, grounded: bool = False) -> tuple[str, str | None]:
    """The answer as it goes out, and why the documents did not give it (None where they did, or nobody asked).

    `grounded`: a tool gave it something to rest on.
    """
    declined, fits = bool(_MARK.search(words)), ground.fits or grounded
    text = whatsapp_text(_MARK.sub("", words)).strip()
    if not ground.question or not (ground.searched or client.knowledge_only):
        return text, None
    gap = NO_PASSAGE if not fits else DECLINED if declined else None
    if declined and (client.knowledge_only or not text):
        return client.unknown_text, DECLINED if fits else NO_PASSAGE
    return text, gap
