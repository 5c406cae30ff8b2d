"""Vectors from Ollama, against the stand-in over HTTP: frontdesk/ollama.py, embed()."""

import pytest

from frontdesk.errors import ModelAway, ModelInterrupted, ModelMissing
from frontdesk.ollama import Ollama
from tests.standins.ollama import OllamaStandIn
from tests.standins.ollama_replies import Reply

MODEL = "nomic-embed-text"


@pytest.fixture
def standin():
    with OllamaStandIn() as started:
        yield started


@pytest.fixture
def ollama(standin):
    return Ollama(standin.url, crash_pause_seconds=0)


def test_each_text_has_a_vector_in_its_place(ollama):
    one, other = ollama.embed(["Bread", "Cakes"], MODEL, timeout_seconds=5)
    assert ollama.embed(["Cakes", "Bread"], MODEL, timeout_seconds=5) == [other, one]
    assert len(one) == len(other) == 768 and one != other


def test_for_nothing_nobody_is_asked(ollama, standin):
    assert ollama.embed([], MODEL, timeout_seconds=5) == []
    assert not standin.history


def test_the_model_is_kept_loaded_and_what_json_cannot_carry_is_left_out(ollama, standin):
    ollama.embed(["half \ud83d a pair, and a \x00"], MODEL, timeout_seconds=5)
    body = standin.history[-1]["body"]
    assert (body["input"], body["keep_alive"]) == (["half ? a pair, and a  "], -1)


def test_a_model_that_is_not_there_names_the_command(ollama):
    with pytest.raises(ModelMissing, match="ollama pull bge-m3"):
        ollama.embed(["Bread"], "bge-m3", timeout_seconds=5)


def test_no_server_is_away():
    with pytest.raises(ModelAway):
        Ollama("http://127.0.0.1:9").embed(["Bread"], MODEL, timeout_seconds=2)


@pytest.mark.parametrize("vectors", [[], [[1.0]], [[1.0], [1.0, 2.0]], [[], []]])
def test_vectors_that_do_not_fit_are_none(ollama, standin, vectors):
    standin.embedder = lambda texts: vectors
    with pytest.raises(ModelInterrupted):
        ollama.embed(["Bread", "Cakes"], MODEL, timeout_seconds=5)


def test_a_crash_is_tried_once_more(ollama, standin):
    standin.enqueue(Reply.runner_stopped(at="embed"))
    assert len(ollama.embed(["Bread"], MODEL, timeout_seconds=5)) == 1


def test_whoever_watches_can_end_it(ollama, standin):
    class Enough(Exception):
        pass

    def enough():
        raise Enough

    standin.behaviour.load_seconds = 30
    with pytest.raises(Enough):
        ollama.embed(["Bread"], MODEL, timeout_seconds=60, watch=enough)
