"""While the model is away, a passage stands in where it is clear which, and says that it is one."""

import pytest

from frontdesk.flows import fit, knowledge as flow, reply
from frontdesk.store import clients, models, seen
from tests.test_inbound import rows
from tests.test_knowledge import CLIENT, MENU, add
from tests.test_reply import context, customer_writes, model  # noqa: F401

HOLDING = clients.HOLDING_TEXT


@pytest.fixture
def standing(context, model):
    """A client that wants it, whose model is away and whose patience is none."""
    clients.change(context.db, CLIENT, {"passage_when_away": True, "patience_seconds": 0}, context.now())
    add(context, "menu.md", MENU + b"\n# Delivery\n\nWe deliver wedding cakes within twenty kilometres for 15 euros.\n")
    model.behaviour.change({"busy": True})
    return context


def held(context, *words: str) -> list[str]:
    customer_writes(context, *words)
    context.now.forward(context.settings.quiet_seconds)
    reply.answer(context, 1)
    return [row["text"] for row in rows(context.db, "SELECT text FROM messages WHERE purpose = 'holding' ORDER BY id")]


def test_the_clear_passage_is_sent_with_the_holding_text_and_labelled(standing):
    [text] = held(standing, "Do you deliver wedding cakes?")
    assert text == (
        f"{HOLDING}\n\nUntil then, this is what our documents say:\n"
        "We deliver wedding cakes within twenty kilometres for 15 euros.\n(menu > Delivery)"
    )
    message_id = rows(standing.db, "SELECT id FROM messages WHERE purpose = 'holding'")[0]["id"]
    assert [each.place for each in seen.of(standing.db, message_id)] == ["menu > Delivery"]


def test_it_is_sent_once_in_a_wait(standing):
    held(standing, "Do you deliver wedding cakes?")
    assert len(held(standing, "hello? wedding cakes")) == 1


@pytest.mark.parametrize("words", ["Hi!", "zzqqxx vvbbnn?", "Can I pay by card when I come on my bicycle tomorrow with grandmother?"])
def test_where_nothing_is_clear_there_is_the_holding_text_alone(standing, words):
    assert held(standing, words) == [HOLDING]


def test_it_is_off_by_default(standing):
    clients.change(standing.db, CLIENT, {"passage_when_away": False}, standing.now())
    assert held(standing, "Do you deliver wedding cakes?") == [HOLDING]


def test_also_where_only_a_person_answers_afterwards(standing):
    clients.change(standing.db, CLIENT, {"answer_after_holding": 0}, standing.now())
    [text] = held(standing, "Do you deliver wedding cakes?")
    assert "twenty kilometres" in text
    assert rows(standing.db, "SELECT state FROM messages WHERE direction = 'in'")[0]["state"] == "unanswered"


def test_a_long_passage_is_cut_at_a_sentence(standing):
    add(standing, "parrots.md", b"# Parrot boarding\n\n" + b"Parrot boarding takes parrots of every colour. " * 25)
    [text] = held(standing, "parrot boarding")
    assert len(text) < 1_200 and "colour. …" in text or "colour." in text and " …\n(parrots" in text


def test_an_embedding_model_that_is_away_too_only_takes_its_say_away(standing):
    standing.db.execute("INSERT INTO knowledge_models (id, name) VALUES (1, 'all-minilm')")
    standing.db.execute("INSERT INTO knowledge_serving (client_id, model_id) VALUES (?, 1)", (CLIENT,))
    assert "twenty kilometres" in held(standing, "Do you deliver wedding cakes?")[0]


def test_a_document_that_was_removed_does_not_stand_in(standing):
    flow.remove(standing, 1)
    assert fit.clear(standing, CLIENT, "Do you deliver wedding cakes?") is None
    assert models.get(standing.db, standing.settings.ollama_host, "llama3.2:3b") is not None
