"""End to end with real workers: a document becomes searchable while customers are served and processes are killed."""

import json
import random

import pytest

from frontdesk import queues
from frontdesk.flows import knowledge as flow, question_answers
from frontdesk.flows.context import make
from frontdesk.store import clients, questions
from tests.stack import Stack, wait_for

pytestmark = pytest.mark.stack

SECTIONS = 600


def test_a_document_is_found_whole_whatever_is_killed_and_customers_are_answered_meanwhile(tmp_path):
    with Stack(tmp_path, OLLAMA_EMBED_MODEL="nomic-embed-text", LEASE_SECONDS="2") as stack:
        context = make(stack.settings, queues.connect(stack.settings.redis_address))
        parts = "\n".join(f"# Topic {n}\n\nThe price of item number {n} is {n} euros.\n" for n in range(SECTIONS))
        document_id = flow.add(context, 1, "prices.md", parts.encode())
        for victim in ("bulk", "default", "bulk", "default", "default"):
            wait_for(lambda: random.random() < 0.2, every=0.1)
            stack.kill_grandchild(victim) if victim == "bulk" else stack.kill(victim)
        stack.ollama.next("It is **77** euros.")
        stack.simulator.customer_writes("4915199999", "price of item number 77?")
        stack.simulator.wait_for_answers("4915199999", seconds=60)
        wait_for(lambda: stack.rows("SELECT id FROM knowledge_documents WHERE embedded_by IS NOT NULL AND live = 1"), 90)
        assert stack.rows("SELECT COUNT(*) AS n, COUNT(DISTINCT position) AS d FROM knowledge_chunks") == [{"n": SECTIONS, "d": SECTIONS}]
        assert stack.rows("SELECT COUNT(*) AS n FROM knowledge_vectors") == [{"n": SECTIONS}]
        assert stack.rows("SELECT COUNT(*) AS n, COUNT(DISTINCT hash) AS d FROM knowledge_embeddings") == [{"n": SECTIONS, "d": SECTIONS}]
        stack.ollama.next("It is 77 euros.")
        stack.simulator.customer_writes("4915188888", "price of item number 77?")
        assert stack.simulator.wait_for_answers("4915188888", seconds=60) == ["It is 77 euros."]
        seen = stack.rows("SELECT place, text, similarity FROM knowledge_seen ORDER BY message_id DESC, position")
        assert "item number 77 is 77 euros" in json.dumps(seen[:6]) and seen[0]["similarity"] is not None
        assert flow.file_of(context, context.db.execute("SELECT sha256 FROM knowledge_documents").fetchone()[0]).exists()
        assert document_id == 1


def test_what_the_documents_do_not_hold_is_noted_once_whatever_is_killed_and_answered_for_good_from_the_page(tmp_path):
    with Stack(tmp_path, OLLAMA_EMBED_MODEL="nomic-embed-text", LEASE_SECONDS="2", SWEEP_SECONDS="1", QUIET_SECONDS="0.5") as stack:
        context = make(stack.settings, queues.connect(stack.settings.redis_address))
        clients.change(context.db, 1, {"knowledge_only": True, "unknown_text": "Somebody will tell you.", "shows_sources": True}, context.now())
        flow.add(context, 1, "menu.md", b"# Cakes\n\nLemon cake costs 3.90 a piece.\n")
        wait_for(lambda: stack.rows("SELECT id FROM knowledge_documents WHERE live = 1 AND embedded_by IS NOT NULL"), 60)
        stack.ollama.next(*["[[unknown]]"] * 30)  # a worker that is killed takes its own with it
        for number in range(6):
            stack.simulator.customer_writes(f"491511000{number}", "Is the lemon cake vegan?")
            stack.kill("default" if number % 2 else "high")
        for number in range(6):
            assert stack.simulator.wait_for_answers(f"491511000{number}", seconds=90) == ["Somebody will tell you."]
        wait_for(lambda: stack.rows("SELECT count FROM question_groups WHERE count = 6"), 60)
        assert stack.rows("SELECT COUNT(*) AS n FROM questions") == [{"n": 6}]
        assert stack.rows("SELECT DISTINCT needs_person_reason AS why FROM conversations") == [{"why": "not_in_documents"}]
        [group] = questions.open_groups(context.db, 1, 0, 10)
        question_answers.answer(context, group, group.text, "Yes, with oat milk.")
        stack.kill_grandchild("bulk")
        wait_for(lambda: stack.rows("SELECT id FROM knowledge_documents WHERE live = 1 AND name = 'Questions and answers'"), 60)
        stack.ollama.reset()
        stack.ollama.next("Yes, with oat milk.")
        stack.simulator.customer_writes("4915119999", "is the lemon cake vegan?")
        assert stack.simulator.wait_for_answers("4915119999", seconds=60) == ["Yes, with oat milk.\n\nFrom: Questions and answers"]
        assert stack.rows("SELECT COUNT(*) AS n FROM questions") == [{"n": 6}]
