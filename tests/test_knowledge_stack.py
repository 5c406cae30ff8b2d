"""End to end with real workers: a document becomes searchable while customers are served and processes are killed."""

import json
import random

import pytest

from frontdesk import queues
from frontdesk.flows import knowledge as flow
from frontdesk.flows.context import make
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
