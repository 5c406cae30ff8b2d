"""Models by kind of work, and work that is left to whoever's Ollama server can do it: flows/model_choice.py, model_hosts.py, model_turn.py."""

import dataclasses

import pytest

from frontdesk.flows import diagnosis_hosts, document_work, early, model_away, model_choice, model_hosts, model_looks, reply, sweep, waits
from frontdesk.flows.model_turn import LONGEST_IN_A_ROW_SECONDS, MOST_IN_A_ROW, ModelTurn
from frontdesk.ollama import Ollama
from frontdesk.queues import Server, WorkerHosts
from frontdesk.store import clients, conversations, models
from frontdesk.work_options import WorkOptions
from tests.standins.ollama import OllamaStandIn
from tests.test_api import ask, error  # noqa: F401
from tests.test_documents import CLASSIFIED, SUMMARISED, token, work  # noqa: F401
from tests.test_inbound import queued, rows
from tests.test_reply import customer_writes, inbound_states, outbound

A, B, C = "llama3.2:3b", "summary:3b", "classes:1b"
ANSWERS = {A: "Hello.", B: SUMMARISED, C: CLASSIFIED}


@pytest.fixture
def model():
    with OllamaStandIn(models=[A, B, C], texts=ANSWERS) as standin:
        yield standin


@pytest.fixture
def context(context, model):
    context.settings = dataclasses.replace(context.settings, ollama_host=model.url)
    context.ollama = Ollama(model.url, timeout_seconds=20, load_timeout_seconds=20, crash_pause_seconds=0)
    context.worker = "ours-1"
    return context


def with_settings(context, **changes) -> None:
    context.settings = dataclasses.replace(context.settings, **changes)


def other_worker(context, host="http://other:11434", has=(A, B, C)) -> None:
    """A living worker at another server."""
    hosts = dict.fromkeys(("reply", "summary", "classification", "extraction", "embedding"), host)
    context.presence.tell(WorkerHosts("other-1", hosts, {host: Server("0.32.14", None if has is None else tuple(has))}), context.now())


def asked(model) -> list[tuple[str, dict]]:
    return [(chat["body"]["model"], chat["body"]["options"]) for chat in model.chats]


# --- which model, with what ---------------------------------------------------------------------------------------------------


def test_each_kind_of_work_has_its_model_and_options(ask, context, model):
    with_settings(
        context,
        ollama_model_summary=B,
        ollama_options_summary=WorkOptions(temperature=0.4, num_ctx=8192, num_predict=500, keep_alive="10m"),
        ollama_options_reply=WorkOptions(temperature=0.7),
        ollama_model_classification=C,
    )
    ask("POST", "/summaries", {"text": "A letter."})
    ask("POST", "/classifications", {"text": "A bill."})
    work(context)
    customer_writes(context, "Hi")
    context.now.forward(context.settings.quiet_seconds)
    reply.answer(context, 1)
    assert asked(model) == [
        (B, {"num_ctx": 8192, "num_predict": 500, "temperature": 0.4, "seed": 1}),
        (C, {"num_ctx": 4096, "num_predict": 80, "temperature": 0.0, "seed": 1}),
        (A, {"num_ctx": 4096, "num_predict": 300, "temperature": 0.7}),
    ]
    assert [chat["body"]["keep_alive"] for chat in model.chats] == ["10m", -1, -1]


def test_a_request_s_own_model_goes_before_the_client_s_and_that_before_the_setting_s(context, db):
    with_settings(context, ollama_model_summary=B)
    [first] = [client.id for client in clients.all_of_them(db, context.settings)]
    assert model_choice.model_for(context, "summary", None) == model_choice.model_for(context, "summary", first) == B
    clients.change(db, first, {"summary_model": C}, 0.0)
    assert model_choice.model_for(context, "summary", first) == C
    assert model_choice.model_for(context, "summary", first, "asked:1b") == "asked:1b"
    assert model_choice.model_for(context, "extraction", first) == A


def test_a_client_s_own_model_does_its_documents(ask, context, model, db):
    [client_id] = [client.id for client in clients.all_of_them(db, context.settings)]
    clients.change(db, client_id, {"summary_model": C}, 0.0)
    db.execute("UPDATE api_tokens SET client_id = ?", (client_id,))
    ask("POST", "/summaries", {"text": "A letter."})
    ask("POST", "/batches", {"kind": "summary", "texts": ["A letter."]})
    work(context)
    assert {name for name, _ in asked(model)} == {C}


def test_one_model_is_loaded_with_one_context_for_all_its_work_and_each_keeps_to_its_own(ask, context, model):
    """Ollama would load it anew at each change."""
    with_settings(context, ollama_options_summary=WorkOptions(num_ctx=8192))
    options = model_away.model_options(context, A)
    assert (options.num_ctx, options.room) == (8192, 4096)
    assert model_away.model_options(context, B).num_ctx == 4096
    for _ in range(3):
        ask("POST", "/summaries", {"text": "A letter."})
        ask("POST", "/classifications", {"text": "A bill."})
    model.behaviour.texts = {}
    model.enqueue(*[SUMMARISED, CLASSIFIED] * 3)
    work(context)
    assert (model.load_count, model.reload_count) == (1, 0)


def test_a_kind_of_work_can_have_a_server_for_itself(ask, context, model):
    with OllamaStandIn(models=[A], text=SUMMARISED) as other:
        with_settings(context, ollama_options_summary=WorkOptions(host=other.url))
        ask("POST", "/summaries", {"text": "A letter."})
        ask("POST", "/classifications", {"text": "A bill.", "model": C})
        work(context)
        assert (len(other.chats), len(model.chats)) == (1, 1)
        assert rows(context.db, "SELECT state FROM document_tasks") == [{"state": "done"}] * 2


# --- models that do not fit together --------------------------------------------------------------------------------------------


def test_work_of_the_model_that_is_loaded_runs_together(ask, context, model):
    model.behaviour.most_loaded = 1
    for n in range(10):
        ask("POST", "/summaries", {"text": f"Letter {n}.", "model": B})
        ask("POST", "/classifications", {"text": f"Bill {n}.", "model": C})
    work(context)
    assert [name for name, _ in asked(model)] == [B] * 10 + [C] * 10
    assert model.load_count == 2


def test_after_an_answer_the_work_of_its_model_comes_first(ask, context, model):
    model.behaviour.most_loaded = 1
    model.enqueue("Hello.", SUMMARISED, CLASSIFIED)
    customer_writes(context, "Hi")
    context.now.forward(context.settings.quiet_seconds)
    reply.answer(context, 1)
    ask("POST", "/classifications", {"text": "A bill.", "model": C})
    ask("POST", "/summaries", {"text": "A letter.", "model": A})
    work(context)
    assert [name for name, _ in asked(model)] == [A, A, C] and model.load_count == 2


def test_work_of_another_model_is_not_starved(ask, context, model, monkeypatch):
    monkeypatch.setattr("frontdesk.flows.model_turn.MOST_IN_A_ROW", 3)
    model.behaviour.most_loaded = 1
    for n in range(8):
        ask("POST", "/summaries", {"text": f"Letter {n}.", "model": B})
    ask("POST", "/classifications", {"text": "A bill.", "model": C})
    work(context)
    assert [name for name, _ in asked(model)].index(C) <= 4


def test_a_turn_ends_after_so_much_work_or_time_while_others_wait():
    turn, both = ModelTurn(), [("summary", B), ("classification", C)]
    for n in range(MOST_IN_A_ROW):
        assert turn.first(both, {B}, 1000.0) == {("summary", B)}
        turn.took(("summary", B), 1000.0)
    assert turn.first(both, {B}, 1000.0) == {("classification", C)}
    turn.took(("classification", C), 1000.0)
    assert turn.first(both, {C}, 1000.0) == {("classification", C)}
    turn.took(("classification", C), 1000.0)
    assert turn.first(both, {C}, 1000.0 + LONGEST_IN_A_ROW_SECONDS) == {("summary", B)}
    assert turn.first(both, {C}, 500.0) == {("summary", B)}, "the clock was set back"


def test_where_all_models_are_loaded_or_one_is_all_that_waits_nothing_goes_first():
    turn = ModelTurn()
    assert turn.first([("summary", B), ("classification", C)], {B, C}, 0.0) == set()
    assert turn.first([("summary", B)], {C}, 0.0) == set()
    assert turn.first([("summary", "b")], {"b:latest"}, 0.0) == set()


# --- several servers --------------------------------------------------------------------------------------------------------------


def test_a_worker_takes_only_work_that_its_server_has_the_model_for(ask, context, model):
    model.behaviour.models = [A, B]
    model_hosts.look(context)
    mine = ask("POST", "/summaries", {"text": "A letter.", "model": B}).json["task_id"]
    others = ask("POST", "/classifications", {"text": "A bill.", "model": C}).json["task_id"]
    work(context)
    assert ask("GET", f"/tasks/{mine}/result").json["status"] == "done"
    assert ask("GET", f"/tasks/{others}/result").json["status"] == "queued"
    assert {name for name, _ in asked(model)} == {B}, "the server was not even asked for what it has not got"
    other_worker(context)
    document_work.serve(context)
    assert "document-0" in entries(context), "the other is rung for"


def entries(context) -> list[str]:
    return [entry.decode() for entry in context.queues.redis.zrange("rq:scheduler:scheduled_jobs", 0, -1)]


def test_answers_by_a_model_that_only_another_server_has_are_left_to_its_worker(context, model, clock):
    customer_writes(context, "Hi")
    clock.forward(context.settings.quiet_seconds)
    model.behaviour.models = [B]
    model_hosts.look(context)
    other_worker(context)
    context.queues.redis.delete("rq:scheduler:scheduled_jobs")
    reply.answer_due(context)
    assert model.chats == [] and inbound_states(context) == ["waiting"]
    assert conversations.get(context.db, 1).reply_due_at <= clock(), "it is not postponed"
    assert entries(context) == ["reply-1"]


def test_answers_by_a_model_that_nobody_has_are_tried_and_told(context, model, clock):
    customer_writes(context, "Hi")
    clock.forward(context.settings.quiet_seconds)
    model.behaviour.models = [B]
    model_hosts.look(context)
    reply.answer_due(context)
    assert "ollama pull llama3.2:3b" in models.get(context.db, model.url, A).reason
    assert inbound_states(context) == ["waiting"] and conversations.get(context.db, 1).reply_due_at > clock()


def test_an_answer_whose_server_dies_is_handed_over_at_once_and_nobody_hears_of_it(context, model, clock):
    customer_writes(context, "Hi")
    clock.forward(context.settings.quiet_seconds + context.settings.patience_seconds)
    other_worker(context)
    model.stop()
    reply.answer_due(context)
    conversation = conversations.get(context.db, 1)
    assert (conversation.claim_owner, outbound(context)) == (None, []) and conversation.reply_due_at <= clock()
    assert queued(context, "default") == ["reply"]
    model.start()


def test_all_who_wait_are_handed_over_by_a_server_that_dies(context, model, clock):
    for n in range(3):
        customer_writes(context, "Hi", sender=f"4917700{n}")
    clock.forward(context.settings.quiet_seconds)
    other_worker(context)
    model.stop()
    for conversation_id in (1, 2, 3):  # as a job has them that found them due before it knew
        reply.answer(context, conversation_id)
    assert [conversations.get(context.db, id_).claim_owner for id_ in (1, 2, 3)] == [None] * 3 and outbound(context) == []
    model.start()


def test_with_every_server_away_the_customer_hears_so_once(context, model, clock):
    customer_writes(context, "Hi")
    clock.forward(context.settings.quiet_seconds + context.settings.patience_seconds)
    other_worker(context, has=None)
    model.stop()
    for _ in range(5):
        reply.answer_due(context)
        clock.forward(31)
        other_worker(context, has=None)
    assert len(outbound(context)) == 1
    model.start()


def test_documents_give_way_to_an_answer_that_was_rung_for_at_another_worker(ask, context, model, clock):
    for n in range(3):
        ask("POST", "/summaries", {"text": f"Letter {n}.", "model": B})
    customer_writes(context, "Hi")
    clock.forward(context.settings.quiet_seconds)
    context.queues.redis.flushall()
    document_work.serve(context)
    assert len(model.chats) == 1 and queued(context, "default") == ["reply"]


def test_a_pulled_model_rings_for_the_documents_that_waited_for_it(ask, context, model):
    model.behaviour.models = [A]
    model_looks.look(context)
    ask("POST", "/summaries", {"text": "A letter.", "model": B})
    context.queues.redis.flushall()
    model_looks.look(context)
    assert queued(context, "documents") == []
    model.behaviour.models = [A, B]
    model_looks.look(context)
    assert queued(context, "documents") == ["documents"]


def test_an_early_draft_is_left_where_the_model_rests(context, model, clock):
    customer_writes(context, "Hi")
    models.away(context.db, model.url, A, "away", clock() + 5, clock())
    early.begin_early(context, 1)
    assert model.chats == [] and conversations.get(context.db, 1).claim_owner is None


def test_what_another_server_can_answer_is_given_back_to_its_worker(context, model, clock):
    customer_writes(context, "Hi")
    other_worker(context)
    models.away(context.db, model.url, A, "away", clock() + 30, clock())
    early.begin_early(context, 1)
    assert conversations.get(context.db, 1).claim_owner is None
    clock.forward(context.settings.quiet_seconds)
    other_worker(context)
    reply.answer(context, 1)
    conversation = conversations.get(context.db, 1)
    assert (conversation.claim_owner, model.chats, queued(context, "default")) == (None, [], ["reply"])


def test_a_draft_that_is_not_begun_neither_shortens_the_quiet_period_nor_holds_anybody(context, model, clock):
    clients.change(context.db, 1, {"quiet_seconds": 60, "longest_wait_seconds": 120, "patience_seconds": 0}, clock())
    customer_writes(context, "Hi")
    models.away(context.db, model.url, A, "away", clock() + 5, clock())
    early.begin_early(context, 1)
    conversation = conversations.get(context.db, 1)
    assert (conversation.claim_owner, conversation.reply_due_at, outbound(context)) == (None, clock() + 60, [])


def test_a_document_whose_server_dies_waits_no_longer_than_the_other_needs(ask, context, model, clock):
    ask("POST", "/summaries", {"text": "A letter.", "model": B})
    other_worker(context)
    model.stop()
    document_work.serve(context)
    [task] = rows(context.db, "SELECT state, due_at FROM document_tasks")
    assert task == {"state": "queued", "due_at": clock()}
    model.start()


def test_a_document_for_a_model_that_nobody_has_waits_for_it_to_be_pulled(ask, context, model, clock):
    task = ask("POST", "/summaries", {"text": "A letter.", "model": "llama9:1b"}).json["task_id"]
    model_hosts.look(context)
    work(context)
    sweep.sweep(context)
    [lacking] = model_hosts.missing(context, document_work.waiting(context)[1])
    assert lacking.words == f"No Ollama server has the model llama9:1b: summaries must wait. Run: ollama pull llama9:1b (at {model.url})."
    model.behaviour.models.append("llama9:1b")
    model.behaviour.text = SUMMARISED
    model_hosts.look(context)
    work(context)
    assert ask("GET", f"/tasks/{task}/result").json["status"] == "done"


def test_a_model_that_a_request_named_and_nobody_has_for_a_day_is_told_to_the_sender(ask, context, model, clock):
    task = ask("POST", "/summaries", {"text": "A letter.", "model": "llama9:1b"}).json["task_id"]
    with_settings(context, ollama_model_classification="llama9:2b")
    ours = ask("POST", "/classifications", {"text": "A bill."}).json["task_id"]
    for _ in range(2):
        model_hosts.look(context)
        sweep.sweep(context)
        clock.forward(document_work.MISSING_SECONDS)
    assert ask("GET", f"/tasks/{task}/result").json["status"] == "queued"
    model_hosts.look(context)
    sweep.sweep(context)
    failed = ask("GET", f"/tasks/{task}/result").json
    assert failed["status"] == "failed" and "llama9:1b" in failed["failure"]["message"]
    assert ask("GET", f"/tasks/{ours}/result").json["status"] == "queued", "the installation's own is waited for"


def test_a_worker_that_says_nothing_for_long_is_forgotten(context, clock):
    other_worker(context)
    assert [worker.name for worker in context.presence.workers(clock())] == ["other-1"]
    clock.forward(context.presence.WORKER_SECONDS)
    assert context.presence.workers(clock()) == []
    model_hosts.look(context)
    assert context.queues.redis.hkeys("model-workers") == [b"ours-1"]
    model_looks.end(context)
    assert context.presence.workers(clock()) == []


def test_a_first_look_loads_the_models_that_answer_and_a_later_one_those_that_came_back(context, model, clock):
    model_looks.look(context, is_first=True)
    assert model.load_count == 1
    models.away(context.db, model.url, A, "gone", clock() + 5, clock())
    model_looks.look(context)
    assert models.get(context.db, model.url, A).away_since is not None
    clock.forward(6)
    model_looks.look(context)
    assert models.get(context.db, model.url, A).away_since is None


def test_meaning_is_asked_for_where_its_model_is(context, model):
    with OllamaStandIn(models=["embeddinggemma"]) as other:
        model_hosts.look(context)
        other_worker(context, other.url, ["embeddinggemma:latest"])
        assert model_hosts.host_with(context, "embedding", "embeddinggemma") == other.url
        assert model_hosts.host_with(context, "reply", A) == model.url


def test_a_wait_is_shared_by_the_servers_that_answer(context, model, clock):
    for n in range(4):
        customer_writes(context, "Hi", sender=f"49177{n}")
    models.took(context.db, model.url, A, 10.0, None, clock())
    context.now.forward(context.settings.quiet_seconds)
    assert max(waits.expected_seconds(context).values()) == 40
    model_hosts.look(context)
    other_worker(context)
    assert max(waits.expected_seconds(context).values()) == 20


# --- what an operator is told -----------------------------------------------------------------------------------------------------


def test_doctor_says_for_each_server_what_it_can_do_and_what_is_to_be_pulled_where(context, model, db, clock, monkeypatch):
    with OllamaStandIn(models=[B]) as other:
        settings = dataclasses.replace(
            context.settings, ollama_model_summary=B, ollama_model_extraction="big:8b", redis_url=context_address(context)
        )
        with_settings(context, ollama_model_summary=B)
        model.behaviour.models = [A]
        model_hosts.look(context)
        other_worker(context, other.url, [B])
        said = {}
        for finding in diagnosis_hosts.examine(settings, db, clock()):
            said.setdefault(finding.subject, []).append((finding.words, finding.mend))
    assert (f"0.32.14 at {model.url}; has {A}", None) in said["Ollama"]
    assert said[f"work at {model.url}"][0][0].startswith(f"can do answers ({A}), classifications ({A}); cannot do summaries ({B})")
    assert said[f"work at {other.url}"][0][0].startswith(f"can do summaries ({B}); cannot do answers ({A})")
    hosts = " or ".join(sorted([model.url, other.url]))
    assert ("big:8b is missing: extractions must wait", f"ollama pull big:8b (at {hosts})") in said["model"]
    assert (f"{A} is there", None) in said["model"] and (f"{B} is there", None) in said["model"]


def context_address(context) -> str:
    return f"unix://{context.queues.redis.connection_pool.connection_kwargs['path']}"


def test_the_desk_says_which_model_to_pull_and_that_another_server_answers_meanwhile(owner, app, clock, db):
    context = app.extensions["frontdesk"]
    other_worker(context, "http://a:11434", ["other:1b"])
    text = owner.get("/overview").text
    assert "No Ollama server has the model llama3.2:3b" in text and "ollama pull llama3.2:3b" in text
    context.presence.tell(
        WorkerHosts("second-1", {"reply": "http://b:11434"}, {"http://b:11434": Server("0.32.14", (A,))}), clock()
    )
    models.away(db, "http://a:11434", A, "no Ollama server", clock() + 5, clock())
    text = owner.get("/overview").text
    assert "No Ollama server has" not in text and "Another server answers meanwhile" in text
