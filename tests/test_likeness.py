"""The thresholds were measured with one embedding model; the cosines of another are brought to its scale first."""

import hashlib
import random
from itertools import chain

import pytest

from frontdesk.flows import embedding, fit, likeness, reindexing, retrieval
from frontdesk.flows.likeness import UNRELATED, UNRELATED_TEXTS, comparable
from frontdesk.store import embeddings, knowledge
from frontdesk.store.seen import Shown
from tests.test_inbound import queued
from tests.test_knowledge import CLIENT, add, embedder, index, ollama  # noqa: F401
from tests.test_questions import note, together
from tests.test_reply import customer_writes

DIMENSIONS = 256
TEXTS = set(chain.from_iterable(chain.from_iterable(UNRELATED_TEXTS)))


def lifted(texts: list[str]) -> list[list[float]]:
    """A model of which any two texts have a cosine of about 0.87: what they have in common is 2.6 times as long as what they have not."""
    return [[2.6] + [part / DIMENSIONS**0.5 for part in noise(text)] for text in texts]


def noise(text: str) -> list[float]:
    chance = random.Random(hashlib.sha256(text.encode()).digest())
    return [chance.gauss(0, 1) for _ in range(DIMENSIONS)]


@pytest.fixture
def high(embedder, ollama):
    """A context with such a model and a document."""
    ollama.embedder = lifted
    context = embedder("nomic-embed-text")
    index(context, add(context))
    return context


def model(context):
    return embeddings.model(context.db, "nomic-embed-text")


def test_the_measured_model_s_cosines_stay_and_those_of_others_come_to_its_scale():
    assert comparable(0.4, None) == 0.4 and comparable(0.4, UNRELATED) == pytest.approx(0.4)
    assert comparable(0.8, 0.8) == pytest.approx(UNRELATED) and comparable(1, 0.8) == pytest.approx(1)
    assert UNRELATED < comparable(0.9, 0.8) < 0.6 and comparable(0.7, 0.8) < UNRELATED
    assert comparable(1, 1) <= 1, "a model of which all texts are the same"


@pytest.mark.parametrize(("name", "needs"), [("all-minilm", False), ("all-minilm:latest", False), ("library/all-minilm:22m", False), ("nomic-embed-text", True)])
def test_only_other_models_are_measured(name, needs):
    assert likeness.needs_measuring(name) is needs


def test_a_model_is_measured_once_before_its_first_document(high, ollama):
    assert model(high).unrelated == pytest.approx(0.87, abs=0.03)
    asked = [text.partition(": ")[2] for entry in ollama.history if entry["path"] == "/api/embed" for text in entry["body"]["input"]]
    assert sorted(TEXTS) == sorted(text for text in asked if text in TEXTS)
    index(high, add(high, "b.txt", b"Parking behind the house."))
    assert sum(entry["path"] == "/api/embed" for entry in ollama.history) == 2 + 1 + 1


def test_the_measured_model_itself_is_asked_for_nothing_more(embedder, ollama):
    context = embedder("all-minilm")
    index(context, add(context))
    reindexing.begin_night(context)
    assert sum(entry["path"] == "/api/embed" for entry in ollama.history) == 1 and "index" not in queued(context, "documents")


def test_the_night_has_a_model_measured_that_served_before_an_upgrade(high):
    high.db.execute("UPDATE knowledge_models SET unrelated = NULL")
    high.queues.redis.delete("rq:queue:documents")
    reindexing.begin_night(high)
    assert queued(high, "documents") == ["index"]
    embedding.index_document(high, 1)
    assert model(high).unrelated == pytest.approx(0.87, abs=0.03) and knowledge.get(high.db, 1).embedded_by == model(high).id


def test_a_passage_that_has_nothing_to_do_with_it_is_held_back_however_high_its_cosine(high):
    [passage, *_] = retrieval.search(high, CLIENT, "zzqqxx vvbbnn?")
    assert passage.similarity < fit.LEAST_SIMILARITY
    assert not fit.good_enough(high.db, "zzqqxx vvbbnn?", [Shown(1, "x", "y", passage.similarity)])


def test_questions_that_have_nothing_to_do_with_each_other_are_no_group(high):
    asked = ["Is the cake vegan?", "Where can I park?"]
    assert likeness._cosine(*lifted(asked)) > 0.8
    customer_writes(high, "Hi")
    for text in asked:
        note(high.db, text)
    assert sorted(together(high)) == [(text, 1) for text in asked]
