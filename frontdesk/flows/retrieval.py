"""Search in a client's documents: by words, by three letters in a row, by meaning, merged by the places that each gives.

Words find names, numbers and languages without spaces; three letters find inflections, compounds and slips of the pen; vectors find
what is said in other words. Reciprocal rank fusion needs no common scale. With no embedding model it is the first two alone.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from frontdesk.flows import embedding, likeness
from frontdesk.flows.context import Context
from frontdesk.store import embeddings, knowledge, passages, vectors
from frontdesk.store.embeddings import EmbeddingModel
from frontdesk.store.messages import Turn
from frontdesk.store.search import spaced
from frontdesk.store.seen import Shown

log = logging.getLogger(__name__)

LONGEST_QUERY = 1_000  # characters
QUERY_EMBED_SECONDS = 30  # a model that is loaded takes a tenth; one that is not is loaded meanwhile
CANDIDATES = 60
SHOWN = 6
EARLIER_TURNS, LONGEST_EARLIER = 3, 300  # characters of each
SHORT_QUERY_WORDS, WEIGHT_OF_EARLIER = 5, 0.4
# Both kinds of words together count as much as meaning. The usual constant, 60, hardly tells a first place from a tenth: by
# bench/retrieval.py it finds a tenth less than 3 does, and less than vectors alone.
FUSION = 3
WEIGHTS = {"words": 1.0, "letters": 1.0, "meaning": 2.0}

# A search by words takes as long as there are rows with any of them: the rarest terms are taken until they hold so many.
MOST_ROWS = 3_000
MOST_TERMS = {"word": 24, "trigram": 32}
COUNTS_KEPT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that may answer. `similarity`: its cosine to the question, as likeness.py makes it; None without vectors."""

    document_id: int
    name: str
    url: str | None
    headings: tuple[str, ...]
    page: int | None
    text: str
    score: float
    similarity: float | None = None

    @property
    def place(self) -> str:
        """Price list > Bikes, page 3"""
        return " > ".join((self.name, *self.headings)) + (f", page {self.page}" if self.page else "")


def search(
    context: Context, client_id: int, query: str, k: int = 6, *, earlier: str = "", watch: Callable[[], None] | None = None
) -> list[Passage]:
    """The passages most likely to answer, best first. `earlier`: what the conversation was about, for "and on Sundays?".

    `watch` is called while an embedding is waited for, and what it raises comes out of here.
    """
    db, query, earlier = context.db, query.strip()[:LONGEST_QUERY], earlier.strip()[-LONGEST_QUERY:]
    if not query or not knowledge.any_of(db, client_id):
        return []
    asked = {query: 1.0}
    if earlier:
        asked[f"{earlier}\n{query}"] = WEIGHT_OF_EARLIER if len(words(query)) > SHORT_QUERY_WORDS else 1.0
    model = embeddings.serving(db, client_id) if vectors.available(db) else None
    found = embedding.question_vectors(context, model, list(asked), QUERY_EMBED_SECONDS, watch) if model else None
    scores: dict[int, float] = {}
    similar: dict[int, float] = {}
    for (text, weight), vector in zip(asked.items(), found or [None] * len(asked), strict=True):
        rank(db, client_id, text, scores, similar, model, vector, {way: weight * each for way, each in WEIGHTS.items()})
    return best(db, scores, similar, k)


def rank(
    db: sqlite3.Connection, client_id: int, query: str, scores: dict[int, float], similar: dict[int, float],
    model: EmbeddingModel | None = None, vector: Sequence[float] | None = None, weights: dict[str, float] = WEIGHTS,
) -> None:  # fmt: skip
    """Adds what one question's search makes of the chunks to `scores`, and cosines to `similar`. A weight of 0 leaves a way out."""
    for way, chunk_ids in ranked(db, client_id, query, similar, model, vector, weights).items():
        for place, chunk_id in enumerate(chunk_ids, start=1):
            scores[chunk_id] = scores.get(chunk_id, 0.0) + weights[way] / (FUSION + place)


def ranked(
    db: sqlite3.Connection, client_id: int, query: str, similar: dict[int, float],
    model: EmbeddingModel | None = None, vector: Sequence[float] | None = None, weights: dict[str, float] = WEIGHTS,
) -> dict[str, list[int]]:  # fmt: skip
    """The chunks that each way finds, best first; cosines go to `similar`."""
    found: dict[str, list[int]] = {}
    if weights["words"]:
        found["words"] = passages.by_words(db, client_id, _rarest(db, "word", words(query)), CANDIDATES)
    if weights["letters"]:
        found["letters"] = passages.by_letters(db, client_id, _rarest(db, "trigram", trigrams(query)), CANDIDATES)
    if vector is not None and weights["meaning"]:
        near = _nearest(db, client_id, model, vector)
        found["meaning"] = [chunk_id for chunk_id, _ in near]
        for chunk_id, similarity in near:
            similar[chunk_id] = max(similarity, similar.get(chunk_id, -1.0))
    return found


def _nearest(db: sqlite3.Connection, client_id: int, model: EmbeddingModel, vector: Sequence[float]) -> list[tuple[int, float]]:
    try:
        near = passages.by_meaning(db, client_id, model.id, vectors.bits(vector), vectors.packed(vector), CANDIDATES)
    except sqlite3.OperationalError as error:  # a model of the same name with other dimensions: words still find
        log.warning("no search by the vectors of %s: %s", model.name, error)
        return []
    return [(chunk_id, likeness.comparable(cosine, model.unrelated)) for chunk_id, cosine in near]


def best(db: sqlite3.Connection, scores: dict[int, float], similar: dict[int, float], k: int) -> list[Passage]:
    ordered = sorted(scores, key=lambda chunk_id: (-scores[chunk_id], chunk_id))
    return _passages(passages.found(db, ordered[: 3 * k]), scores, similar)[:k]


def shown(
    context: Context, client_id: int, turns: Sequence[Turn], waiting: int, *, watch: Callable[[], None] | None = None
) -> list[Shown]:
    """The passages for an answer to the last `waiting` turns, best first; nothing is asked for clients without documents."""
    if not knowledge.any_of(context.db, client_id):
        return []
    query, earlier = asked_in(turns, waiting)
    found = search(context, client_id, query, SHOWN, earlier=earlier, watch=watch)
    return [Shown(each.document_id, each.place, each.text, each.similarity, each.page) for each in found]


def asked_in(turns: Sequence[Turn], waiting: int) -> tuple[str, str]:
    """What is searched for where the last `waiting` turns want an answer: those, and the turns before them that they may lean on."""
    split = len(turns) - waiting
    earlier = [turn.text.strip()[:LONGEST_EARLIER] for turn in turns[max(0, split - EARLIER_TURNS) : split]]
    return "\n".join(turn.text.strip() for turn in turns[split:]), "\n".join(earlier)


def _passages(found: list[passages.Found], scores: dict[int, float], similar: dict[int, float]) -> list[Passage]:
    """Each text once, however many documents say it."""
    seen: set[str] = set()
    kept = []
    for each in found:
        if each.text not in seen:
            seen.add(each.text)
            place = (each.document_id, each.name, each.url, each.headings, each.page, each.text)
            kept.append(Passage(*place, scores[each.chunk_id], similar.get(each.chunk_id)))
    return kept


# --- what is searched for ------------------------------------------------------------------------------------------------------


def words(query: str) -> list[str]:
    """Words, and of languages without spaces each two neighbouring characters, as phrases of the words' index."""
    found: dict[str, None] = {}
    for run in passages.letters_of(query).split():
        parts = spaced(run).split()
        pairs = [f"{first} {second}" for first, second in zip(parts, parts[1:], strict=False)]
        found |= dict.fromkeys(pairs or parts)
    return list(found)


def trigrams(query: str) -> list[str]:
    """Three letters in a row of each word, its edges included."""
    found: dict[str, None] = {}
    for word in passages.letters_of(query).split():
        edged = f" {word} " if spaced(word) == word else word
        for start in range(len(edged) - 2):
            found[edged[start : start + 3]] = None
    return list(found)


_counts: dict[tuple[str, str], tuple[int, float]] = {}


def _rarest(db: sqlite3.Connection, kind: str, terms: list[str]) -> list[str]:
    """The terms that say most; at least one, however common."""
    counted = sorted((rows, term) for term in terms if (rows := rows_with(db, kind, term)))
    kept, total = [], 0
    for rows, term in counted[: MOST_TERMS[kind]]:
        if kept and total + rows > MOST_ROWS:
            break
        kept.append(term)
        total += rows
    return kept


def rows_with(db: sqlite3.Connection, kind: str, term: str) -> int:
    """Counting a common term takes milliseconds, so that is remembered for a while; of a phrase, its rarest word is counted."""
    now = time.monotonic()
    rows, counted_at = _counts.get((kind, term), (0, float("-inf")))
    if now - counted_at < COUNTS_KEPT_SECONDS and rows > MOST_ROWS // 20:
        return rows
    rows = min(passages.rows_with(db, kind, part) for part in (term.split() if kind == "word" else [term]))
    if len(_counts) > 20_000:
        _counts.clear()
    _counts[kind, term] = (rows, now)
    return rows
