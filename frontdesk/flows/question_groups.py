"""Unanswered questions, each put with those like it, one at a time as they come: never all anew.

Likeness is by meaning where there is a model for that and by words elsewhere. A question is held against at most NEWEST groups, so that
the hundred-thousandth costs what the first one did.
"""

import logging

from frontdesk.flows import embedding, likeness, retrieval
from frontdesk.flows.context import Context
from frontdesk.store import embeddings, questions, vectors
from frontdesk.store.database import transaction
from frontdesk.store.embeddings import EmbeddingModel
from frontdesk.store.questions import Question

log = logging.getLogger(__name__)

BATCH = 16  # one inference: a customer's answer waits for no more
# Measured with all-minilm, to whose scale other models' cosines are brought (likeness.py): what is asked in other words has 0.7 to 0.95, two questions about one thing up to 0.76.
ALIKE_BY_MEANING = 0.8
ALIKE_BY_WORDS = 0.6
NEWEST, NEAR = 5_000, 20
MOST_OF_A_WORD = 500
SHORTEST_WORD, STEM_LETTERS = 4, 6
EMBED_SECONDS = 30
KEPT_SECONDS = 400 * 24 * 3600
CLEANED_AT_ONCE = 5_000

Vector = tuple[EmbeddingModel, bytes, bytes]


def put_together(context: Context) -> None:
    """`documents`: the next questions get their groups; rings for those after them."""
    found = questions.ungrouped(context.db, BATCH)
    if not found:
        return
    for question, vector in zip(found, _vectors(context, found), strict=True):
        with transaction(context.db) as db:
            if questions.is_ungrouped(db, question.id):
                _put(db, question, vector)
    if len(found) == BATCH:
        context.queues.group_questions()


def _vectors(context: Context, found: list[Question]) -> list[Vector | None]:
    """Of each question by the model that its client's documents are searched by."""
    if context.settings.embed_model is None or not vectors.available(context.db):
        return [None] * len(found)
    model = embeddings.model(context.db, context.settings.embed_model)
    computed = embedding.question_vectors(context, model, [question.text for question in found], EMBED_SECONDS)
    if computed is None:
        return [None] * len(found)
    return [(model, vectors.bits(each), vectors.packed(each)) for each in computed]


def _put(db, question: Question, vector: Vector | None) -> None:
    words = words_of(question.text)
    like = questions.nearest_by_words(db, question.client_id, words, MOST_OF_A_WORD) if words else None
    group_id = like[0] if like and like[1] >= ALIKE_BY_WORDS else None
    model, *kept = vector or (None,)
    if group_id is None and model:
        near = questions.nearest_by_vector(db, question.client_id, model.id, *kept, NEWEST, NEAR)
        group_id = near[0] if near and likeness.comparable(near[1], model.unrelated) >= ALIKE_BY_MEANING else None
    if group_id is None:
        group_id = questions.new_group(db, question, words, (model.id, *kept) if model else None)
    questions.put_in(db, question, group_id)


def words_of(text: str) -> list[str]:
    """What two questions are compared by: longer words by their beginning, numbers, pairs of characters; all words where there are none."""
    words = retrieval.words(text)
    telling = [word[:STEM_LETTERS] for word in words if len(word) >= SHORTEST_WORD or " " in word or word.isdigit() or not word.isascii()]
    return list(dict.fromkeys(telling or words))


def sweep(context: Context) -> None:
    if questions.ungrouped(context.db, 1):
        context.queues.group_questions()


def clean(context: Context) -> None:
    while not context.stopping.is_set():
        with transaction(context.db) as db:
            gone = questions.clean(db, context.now() - KEPT_SECONDS, CLEANED_AT_ONCE)
        if gone < CLEANED_AT_ONCE:
            return
