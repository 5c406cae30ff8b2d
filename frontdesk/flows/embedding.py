"""Vectors for documents, a batch at a time, so that a customer's answer waits for one inference at most.

A vector belongs to a text and a model, so only what changed is computed. With another model chosen, every document gets vectors of
that one in the background, and searches go on by the old ones until the new ones are complete (store/embeddings.py).
"""

import json
import logging
from collections.abc import Callable

from frontdesk.errors import ModelError, ModelMissing
from frontdesk.flows import likeness, model_hosts
from frontdesk.flows.chunking import told
from frontdesk.flows.context import Context
from frontdesk.flows.knowledge import Stopping, claimed
from frontdesk.queues import jittered
from frontdesk.store import cells, embeddings, knowledge, vectors
from frontdesk.store.database import transaction
from frontdesk.store.embeddings import EmbeddingModel
from frontdesk.store.knowledge import Document
from frontdesk.work_options import EMBEDDING

log = logging.getLogger(__name__)

PLACED_AT_ONCE, PLACED_A_JOB = 200, 4_000  # in one transaction, 20 ms; and what a broadcast in the same queue waits for
BATCH_TEXTS = 16  # some 3,000 tokens: about two seconds on a small machine
CLEANED_AT_ONCE = 500
TRY_AGAIN_SECONDS, TRY_MISSING_AGAIN_SECONDS = 60, 300

# What models were trained to be told before a text: (of a passage, of a question), by the beginning of their name.
PREFIXES = {
    "embeddinggemma": ("title: none | text: ", "task: search result | query: "),
    "nomic-embed-text": ("search_document: ", "search_query: "),
    "mxbai-embed-large": ("", "Represent this sentence for searching relevant passages: "),
    "snowflake-arctic-embed2": ("", "query: "),
    "snowflake-arctic-embed": ("", "Represent this sentence for searching relevant passages: "),
}


def as_passage(model: str, text: str) -> str:
    return _prefix(model, 0) + text


def as_question(model: str, text: str) -> str:
    return _prefix(model, 1) + text


def _prefix(model: str, which: int) -> str:
    name = model.rpartition("/")[2]
    return next((prefixes[which] for beginning, prefixes in PREFIXES.items() if name.startswith(beginning)), "")


def index_document(context: Context, document_id: int) -> None:
    """`documents`: the next batch of this document's vectors; rings for the one after it."""
    if context.settings.embed_model is None:
        return
    model = embeddings.model(context.db, context.settings.embed_model)
    if model.retry_at and model.retry_at > context.now():
        return
    try:
        if _is_unmeasured(model):
            _measure(context, model)
        with claimed(context, document_id) as document:
            if document is None or not document.live or document.embedded_by == model.id:
                return
            complete = _next_batch(context, document, model)
    except Stopping:
        complete = False
    except ModelError as error:
        _write_down_away(context, model, error)
        return
    if not complete:
        context.queues.index_document(document_id)
    elif cells.crowded(context.db, document.client_id, model.id):
        context.queues.place_vectors(document.client_id)


def _is_unmeasured(model: EmbeddingModel) -> bool:
    return model.unrelated is None and likeness.needs_measuring(model.name)


def _measure(context: Context, model: EmbeddingModel) -> None:
    def vectors_of(texts: list[str]) -> list[list[float]]:
        return _embed(context, model.name, texts, _longest_seconds(context), None)

    unrelated = likeness.measure(
        lambda texts: vectors_of([as_question(model.name, text) for text in texts]),
        lambda texts: vectors_of([as_passage(model.name, text) for text in texts]),
    )
    embeddings.measured(context.db, model.id, unrelated)
    log.info("unrelated texts have a cosine of %.2f with %s", unrelated, model.name)


def _next_batch(context: Context, document: Document, model: EmbeddingModel) -> bool:
    """Whether every chunk has its vector now."""
    missing = embeddings.missing(context.db, document.id, model.id, BATCH_TEXTS)
    computed = _computed(context, model, missing)
    with transaction(context.db) as db:
        embeddings.keep(db, model.id, computed)
        embeddings.link(db, document.client_id, document.id, model.id)
        embeddings.back(db, model.id)
        if len(missing) == BATCH_TEXTS:
            return False
        knowledge.embedded(db, document.id, model.id)
        if embeddings.serve_if_complete(db, document.client_id, model.id):
            embeddings.forget_others(db, document.client_id, model.id)
    return True


def _computed(context: Context, model: EmbeddingModel, missing: list[embeddings.Missing]) -> list[tuple[str, bytes, bytes]]:
    texts = [as_passage(model.name, told(each.name, json.loads(each.headings), each.text)) for each in missing]

    def stop_when_told() -> None:
        if context.stopping.is_set():
            raise Stopping

    found = _embed(context, model.name, texts, _longest_seconds(context), stop_when_told)
    return [(each.hash, vectors.bits(vector), vectors.packed(vector)) for each, vector in zip(missing, found, strict=True)]


def _longest_seconds(context: Context) -> float:
    return context.settings.ollama_timeout_seconds + context.settings.ollama_load_timeout_seconds


def _write_down_away(context: Context, model: EmbeddingModel, error: ModelError) -> None:
    delay = TRY_MISSING_AGAIN_SECONDS if isinstance(error, ModelMissing) else TRY_AGAIN_SECONDS
    embeddings.away(context.db, model.id, str(error), context.now() + jittered(delay))
    log.warning("no embeddings: %s", error)


def question_vectors(
    context: Context, model: EmbeddingModel, questions: list[str], timeout_seconds: float, watch: Callable[[], None] | None = None
) -> list[list[float]] | None:
    """None while the model is away: the search then goes by words. `watch`: as Ollama.chat has it."""
    if model.retry_at and model.retry_at > context.now():
        return None
    texts = [as_question(model.name, question) for question in questions]
    try:
        found = _embed(context, model.name, texts, timeout_seconds, watch)
    except ModelError as error:
        _write_down_away(context, model, error)
        return None
    embeddings.back(context.db, model.id)
    return found


def _embed(context: Context, name: str, texts: list[str], timeout_seconds: float, watch: Callable[[], None] | None) -> list[list[float]]:
    """Where the model is: it is quick, and a worker whose own server lacks it need not search by words alone."""
    options = context.settings.options_of(EMBEDDING)
    given = {"num_ctx": options.num_ctx} | ({} if options.keep_alive is None else {"keep_alive": options.keep_alive})
    ollama = context.ollama_at(model_hosts.host_with(context, EMBEDDING, name))
    return ollama.embed(texts, name, timeout_seconds=timeout_seconds, watch=watch, **given)


def sweep(context: Context) -> None:
    """Rings for live documents that lack vectors of the model that is chosen now."""
    if context.settings.embed_model is None:
        return
    model = embeddings.model(context.db, context.settings.embed_model)
    now = context.now()
    if model.retry_at and model.retry_at > now:
        return
    for document_id in knowledge.not_embedded(context.db, model.id, now, context.settings.lease_seconds):
        context.queues.index_document(document_id)


def begin_night(context: Context) -> None:
    """What an upgrade, a switch of models or a lost job left: a model that was not measured, vectors in no cell."""
    name, document_id = context.settings.embed_model, knowledge.first_live(context.db)
    if name and document_id and _is_unmeasured(embeddings.model(context.db, name)):
        context.queues.index_document(document_id)
    for client_id, model_id in embeddings.all_serving(context.db):
        if cells.crowded(context.db, client_id, model_id):
            context.queues.place_vectors(client_id)


def place_vectors(context: Context, client_id: int) -> None:
    """`bulk`: vectors of a large client that lie in no cell move into theirs; rings for the rest of them."""
    model = embeddings.serving(context.db, client_id)
    if model is None or not vectors.available(context.db):
        return
    if middles := cells.new_middles(context.db, client_id, model.id):
        with transaction(context.db) as db:
            cells.begin(db, client_id, model.id, middles)
    for _ in range(0, PLACED_A_JOB, PLACED_AT_ONCE):
        if context.stopping.is_set():
            return
        with transaction(context.db) as db:
            if not cells.place(db, client_id, model.id, PLACED_AT_ONCE):
                return
    context.queues.place_vectors(client_id)


def clean(context: Context) -> None:
    """Nightly: vectors that nothing needs any more go, a few at a time."""
    chosen = embeddings.model(context.db, context.settings.embed_model).id if context.settings.embed_model else None
    while not context.stopping.is_set() and embeddings.clean(context.db, chosen, CLEANED_AT_ONCE):
        pass
