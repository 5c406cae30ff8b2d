"""The line that names an answer's documents: only those that it used, and never more than WhatsApp takes."""

import pytest

from frontdesk.flows import knowledge as flow, prompt, reply, sources
from frontdesk.flows.splitting import LIMIT
from frontdesk.store import clients, conversations, messages, seen
from frontdesk.store.seen import Shown
from tests.test_knowledge import CLIENT, add
from tests.test_reply import answer, context, customer_writes, model, outbound  # noqa: F401


@pytest.fixture
def naming(context):
    clients.change(context.db, CLIENT, {"shows_sources": True}, context.now())
    return context


def client(context):
    return clients.get(context.db, CLIENT, context.settings)


def test_the_document_that_the_answer_used_is_named_and_others_are_not(naming, model):
    add(naming)
    add(naming, "cakes.md", b"# Carrot cake\n\nWith walnuts, baked on Fridays.")
    model.enqueue("The carrot cake has walnuts and is baked on Fridays.")
    customer_writes(naming, "What is in the carrot cake?")
    answer(naming)
    assert len(seen.of(naming.db, 2)) > 1
    assert outbound(naming) == ["The carrot cake has walnuts and is baked on Fridays.\n\nFrom: cakes"]


def test_it_is_off_by_default(context, model):
    add(context)
    model.enqueue("Lemon cake costs 3.90 a piece.")
    customer_writes(context, "lemon cake?")
    answer(context)
    assert outbound(context) == ["Lemon cake costs 3.90 a piece."]


@pytest.mark.parametrize("words", ["Hello! How can I help you today?", "[[unknown]] I do not know that.", "Wir haben heute leider geschlossen."])
def test_an_answer_that_used_none_names_none(naming, model, words):
    add(naming)
    model.enqueue(words)
    customer_writes(naming, "What is the lemon cake?")
    answer(naming)
    assert "From:" not in outbound(naming)[0]


def test_pages_and_addresses_are_named_and_three_documents_at_most(naming):
    ids = [add(naming, f"list {n}.txt", f"word{n} costs {n}00 euros".encode()) for n in range(5)]
    naming.db.execute("UPDATE knowledge_documents SET url = 'https://example.com/prices' WHERE id = ?", (ids[0],))
    shown = [Shown(id_, "x", "Alpha beta gamma delta.", page=page) for id_, page in zip([ids[0], ids[1], ids[1], *ids[2:]], [None, 7, 3, None, None, None])]
    line = sources.line(naming.db, client(naming), "alpha beta gamma delta", "?", shown)
    assert line == "From: https://example.com/prices, list 1, pages 3, 7, list 2"
    assert sources.line(naming.db, client(naming), "alpha beta gamma delta", "?", [shown[1]]) == "From: list 1, page 7"


def test_a_document_that_is_gone_and_a_very_long_address_are_not_written_out(naming):
    document_id = add(naming)
    naming.db.execute("UPDATE knowledge_documents SET url = ? WHERE id = ?", ("https://example.com/" + "x" * 2000, document_id))
    shown = [Shown(document_id, "menu", "Lemon cake costs 3.90 a piece.")]
    assert sources.line(naming.db, client(naming), "Lemon cake: 3.90 a piece", "", shown) == "From: menu"
    flow.remove(naming, document_id)
    assert sources.line(naming.db, client(naming), "Lemon cake: 3.90 a piece", "", shown) == ""


def test_the_line_stands_under_the_last_part_or_behind_it_where_there_is_no_room():
    assert sources.under(["one", "two"], "From: x") == ["one", "two\n\nFrom: x"]
    assert sources.under(["one", "y" * (LIMIT - 9)], "From: x")[-1] == "y" * (LIMIT - 9) + "\n\nFrom: x"
    assert sources.under(["one", "y" * (LIMIT - 8)], "From: x")[1:] == ["y" * (LIMIT - 8), "From: x"]
    assert sources.under(["one", "🙂" * (LIMIT // 2)], "From: x")[1:] == ["🙂" * (LIMIT // 2), "From: x"]
    assert sources.under(["one"], "") == ["one"]
    assert sources.under(["one"], "From: x", lambda text: len(text) < 9) == ["one", "From: x"]


def test_a_split_answer_names_its_sources_once_at_its_end(naming, model):
    document_id = add(naming)
    customer_writes(naming, "lemon cake?")
    naming.now.forward(5)
    work = reply.begin(naming, conversations.claim(naming.db, 1, "me", naming.now(), 45), "me")
    work.shown = [Shown(document_id, "menu > Cakes", "Lemon cake costs 3.90 a piece.")]
    reply.keep(work, "Lemon cake costs 3.90 a piece. " * 200)
    parts = outbound(naming)
    assert len(parts) == 2 and "From:" not in parts[0] and parts[1].endswith("\n\nFrom: menu")
    assert all(len(part.encode("utf-16-le")) // 2 <= LIMIT for part in parts)


def test_the_model_is_not_shown_the_line_as_words_of_its_own(naming, model):
    add(naming)
    model.enqueue("Lemon cake costs 3.90 a piece.", "ok")
    customer_writes(naming, "lemon cake?")
    answer(naming)
    assert outbound(naming)[0].endswith("From: menu")
    naming.db.execute("UPDATE messages SET state = 'sent' WHERE direction = 'out'")
    turns, _ = messages.history(naming.db, 1, prompt.LONGEST_HISTORY)
    assert turns[-1].text == "Lemon cake costs 3.90 a piece."
    customer_writes(naming, "and rye bread?")
    answer(naming)
    assert "From: menu" not in str(model.chats[1]["body"])


def test_an_answer_in_japanese_names_its_source_too(naming):
    document_id = add(naming, "料金.txt", "ホワイトニングは三万五千円です。効果は約二年続きます。".encode())
    shown = [Shown(document_id, "料金", "ホワイトニングは三万五千円です。効果は約二年続きます。"), Shown(document_id, "x", "診療は予約制です。")]
    assert sources.used(naming.db, "三万五千円です。効果は約二年続きます。", "ホワイトニングはいくら", shown) == shown[:1]
