"""How well passages fit a question: which are worth asking a model about, and which is clear enough to be sent without one.

Fused ranks say which passage is best, never whether it is any good: of a question that nothing answers, something still comes first.
The figures are those of `bench/run retrieval.py --only fit`, and docs/decisions.md says what they were.
"""

import math
import sqlite3
from collections.abc import Callable, Sequence

from frontdesk.flows import embedding, retrieval
from frontdesk.flows.context import Context
from frontdesk.store import embeddings, knowledge, passages, vectors
from frontdesk.store.seen import Shown

# Measured with all-minilm alone; the cosines of other models are brought to its scale (likeness.py).
LEAST_SIMILARITY = 0.18
LEAST_COVERAGE, LEAST_COVERAGE_WITH_VECTORS = 0.03, 0.3
CLEAR_COVERAGE, CLEAR_COVERAGE_WITH_VECTORS = 0.3, 0.2
LOOKED_AT = 3  # a model reads the first passages; a tenth that fits by chance is no reason to ask it
EMBED_SECONDS = 5  # while the model that answers is away, the one that embeds mostly is too
LONGEST_WEIGHED = 8  # letters: short words are mostly articles and pronouns, in every language


def good_enough(db: sqlite3.Connection, question: str, shown: Sequence[Shown]) -> bool:
    """Whether any of these, best first, may hold an answer. Lenient: who is held back here gets no answer at all."""
    looked_at = shown[:LOOKED_AT]
    if any(each.similarity is not None and each.similarity >= LEAST_SIMILARITY for each in looked_at):
        return True
    by_meaning = any(each.similarity is not None for each in shown)
    least = LEAST_COVERAGE_WITH_VECTORS if by_meaning else LEAST_COVERAGE
    weights = weights_of(db, question)
    return any(coverage(weights, f"{each.place} {each.text}") >= least for each in looked_at)


def clear(context: Context, client_id: int, question: str, watch: Callable[[], None] | None = None) -> Shown | None:
    """The passage that words, letters and meaning (where there is a model for it) all put first and that holds much of the question."""
    db, question = context.db, question.strip()[: retrieval.LONGEST_QUERY]
    if not question or not knowledge.any_of(db, client_id):
        return None
    model = embeddings.serving(db, client_id) if vectors.available(db) else None
    found = embedding.question_vectors(context, model, [question], EMBED_SECONDS, watch) if model else None
    similar: dict[int, float] = {}
    ranked = retrieval.ranked(db, client_id, question, similar, model, found[0] if found else None)
    firsts = {chunk_ids[0] if chunk_ids else None for chunk_ids in ranked.values()}
    if len(firsts) != 1 or None in firsts:
        return None
    [best] = retrieval.best(db, dict.fromkeys(firsts, 1.0), similar, 1) or [None]
    least = CLEAR_COVERAGE_WITH_VECTORS if found else CLEAR_COVERAGE
    if best is None or coverage(weights_of(db, question), f"{best.place} {best.text}") < least:
        return None
    return Shown(best.document_id, best.place, best.text, best.similarity, best.page)


def weights_of(db: sqlite3.Connection, text: str) -> dict[str, float]:
    """Each word of it (retrieval.words) with what it says: long and rare words most."""
    count = passages.about(db)
    return {
        word: math.log(1 + count / (1 + retrieval.rows_with(db, "word", word))) * min(len(word), LONGEST_WEIGHED) / LONGEST_WEIGHED
        for word in retrieval.words(text)
    }


def coverage(weights: dict[str, float], text: str) -> float:
    """The share of these words, by weight, that a text holds: 0 to 1."""
    total = sum(weights.values())
    if not total:
        return 0.0
    words = passages.words_of(text).split()
    said = f" {' '.join(words)} "
    return sum(weight * _held(word, said, words) for word, weight in weights.items()) / total


SHORTEST_STEM, STEM_SHARE, NEARLY = 4, 0.7, 0.8


def _held(word: str, said: str, words: list[str]) -> float:
    """1 for the word itself, less for an inflection or a part of a compound."""
    if f" {word} " in said:
        return 1.0
    if len(word) <= SHORTEST_STEM:
        return 0.0
    if word in said or any(_same_stem(word, other) or (len(other) > SHORTEST_STEM and other in word) for other in words):
        return NEARLY
    return 0.0


def _same_stem(one: str, other: str) -> bool:
    if len(other) < SHORTEST_STEM or one[:SHORTEST_STEM] != other[:SHORTEST_STEM]:
        return False
    same = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other)))
    return same >= STEM_SHARE * max(len(one), len(other))
