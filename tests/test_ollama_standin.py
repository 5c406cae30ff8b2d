"""The Ollama stand-in does what Ollama does, asserted over plain HTTP.

With OLLAMA_TEST_HOST set the tests that take `server` run against that real server too, with OLLAMA_TEST_MODEL (and
OLLAMA_TEST_EMBED_MODEL) installed there.
"""

import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.standins.ollama import OllamaStandIn
from tests.standins.ollama_replies import Reply

REAL_HOST = os.environ.get("OLLAMA_TEST_HOST")
MODEL = "llama3.2:3b"
HI = [{"role": "user", "content": "Say hello."}]


@dataclass
class Server:
    url: str
    model: str
    embed_model: str | None

    def get(self, path):
        return httpx.get(self.url + path, trust_env=False, timeout=30)

    def post(self, path, **body):
        return httpx.post(self.url + path, json=body, trust_env=False, timeout=600)

    def chat(self, messages=HI, **body):
        return self.post("/api/chat", model=self.model, messages=messages, **body)


@pytest.fixture
def standin():
    with OllamaStandIn() as started:
        yield started
        started.wait_for(lambda s: s.under_way == 0)


@pytest.fixture
def local(standin):
    return Server(standin.url, MODEL, "nomic-embed-text")


@pytest.fixture(params=["stand-in"] + ["real"] * bool(REAL_HOST))
def server(request):
    if request.param == "stand-in":
        return request.getfixturevalue("local")
    url = REAL_HOST if "://" in REAL_HOST else f"http://{REAL_HOST}"
    return Server(url.rstrip("/"), os.environ["OLLAMA_TEST_MODEL"], os.environ.get("OLLAMA_TEST_EMBED_MODEL"))


def lines_of(response):
    return [json.loads(line) for line in response.text.split("\n") if line]


def said_in(lines):
    return "".join(line["message"]["content"] for line in lines)


# --- 1, 2: streamed and whole ----------------------------------------------------------------------------------------


def test_a_chat_streams_lines_unless_told_otherwise(server):
    response = server.chat(options={"num_predict": 8}, think=False)
    assert response.headers["content-type"] == "application/x-ndjson"
    *lines, last = lines_of(response)
    assert lines and all(line["done"] is False and line["message"]["role"] == "assistant" for line in lines)
    assert last["done"] is True and last["message"]["content"] == ""
    assert last["done_reason"] in ("stop", "length")
    assert all(isinstance(last[name], int) for name in ("total_duration", "prompt_eval_count", "eval_count"))


def test_without_streaming_the_answer_is_one_object(server):
    response = server.chat(stream=False, options={"num_predict": 8}, think=False)
    assert response.headers["content-type"].startswith("application/json")
    answer = response.json()
    assert answer["done"] is True and answer["message"]["content"]


def test_a_character_of_several_bytes_is_split_across_socket_writes(standin):
    standin.enqueue(Reply("á 🎉 " * 10, tokens_per_second=100))
    with socket.create_connection(("127.0.0.1", standin.port)) as connection:
        body = json.dumps({"model": MODEL, "messages": HI}).encode()
        connection.sendall(b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        received = []
        while not received or not received[-1].endswith(b"0\r\n\r\n"):
            received.append(connection.recv(65536))
    whole = b"".join(received)
    assert (whole.count(b"\xc3\r\n"), whole.count(b"\xf0\r\n")) == (10, 10)  # a chunk ends inside each character
    assert any(not decodes(part) for part in received)  # and so does what one recv() gives


def decodes(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_the_halves_make_the_whole(local, standin):
    standin.enqueue("Olá 🎉 <b> \u2028")
    response = local.chat()
    assert said_in(lines_of(response)) == "Olá 🎉 <b> \u2028"
    assert "\\u003cb\\u003e" in response.text and "\\u2028" in response.text


# --- 3: loading ------------------------------------------------------------------------------------------------------


def test_no_messages_load_the_model_and_keep_alive_zero_unloads_it(server):
    loaded = server.chat(messages=[], keep_alive="5m", stream=False)
    assert (loaded.json()["done"], loaded.json()["done_reason"]) == (True, "load")
    (listed,) = [model for model in server.get("/api/ps").json()["models"] if model["name"] == server.model]
    assert {"expires_at", "size_vram", "context_length"} <= listed.keys()
    unloaded = server.chat(messages=[], keep_alive=0)
    assert len(lines_of(unloaded)) == 1
    assert unloaded.json()["done_reason"] == "unload"


def test_a_model_expires_after_its_keep_alive(local, standin):
    local.chat(messages=[], keep_alive="1h30m")
    loaded = standin.memory.models[MODEL]
    assert loaded.expires_at == pytest.approx(time.monotonic() + 5400, abs=5)
    assert len(local.get("/api/ps").json()["models"]) == 1
    loaded.expires_at = time.monotonic()
    assert local.get("/api/ps").json()["models"] == []


def test_a_client_that_leaves_while_the_model_loads_aborts_the_load(local, standin):
    standin.behaviour.load_seconds = 30
    leave_after(standin, {"model": MODEL, "messages": []}, lambda s: s.load_count == 1)
    standin.wait_for(lambda s: s.cancelled_count == 1)
    assert local.get("/api/ps").json()["models"] == []


def test_a_model_that_is_loading_is_listed_already(local, standin):
    standin.behaviour.load_seconds = 0.3
    loading = threading.Thread(target=local.chat, kwargs={"messages": []})
    loading.start()
    standin.wait_for(lambda s: s.load_count == 1)
    assert [model["name"] for model in local.get("/api/ps").json()["models"]] == [MODEL]
    loading.join()


# --- 4, 5, 6, 7, 18: errors before the first byte --------------------------------------------------------------------


def test_a_missing_model_has_two_texts(server):
    chat = server.post("/api/chat", model="no-such-model:1b", messages=HI)
    embed = server.post("/api/embed", model="no-such-model:1b", input="x")
    assert (chat.status_code, chat.json()) == (404, {"error": "model 'no-such-model:1b' not found"})
    wanted = {"error": 'model "no-such-model:1b" not found, try pulling it first'}
    assert (embed.status_code, embed.json()) == (404, wanted)


def test_a_busy_server_says_so_with_two_spaces(local, standin):
    standin.enqueue(Reply.busy())
    response = local.chat()
    assert response.status_code == 503
    assert response.json() == {"error": "server busy, please try again.  maximum pending requests exceeded"}
    standin.behaviour.busy = True
    assert [local.chat().status_code for _ in range(2)] == [503, 503]


def test_bad_requests_are_400(server):
    no_body = httpx.post(server.url + "/api/chat", trust_env=False)
    assert (no_body.status_code, no_body.json()) == (400, {"error": "missing request body"})
    for broken in (b"{", b"[]"):
        assert httpx.post(server.url + "/api/chat", content=broken, trust_env=False).status_code == 400
    assert server.post("/api/embed", model=server.model, input=5).status_code == 400


def test_a_model_that_cannot_think_refuses_to(server):
    if "thinking" in server.post("/api/show", model=server.model).json()["capabilities"]:
        pytest.skip("this model can think")
    response = server.chat(think=True)
    assert response.status_code == 400
    assert response.json() == {"error": f'"{server.model}" does not support thinking'}


def test_an_embedding_model_does_not_chat(local):
    response = local.post("/api/chat", model="nomic-embed-text", messages=HI)
    assert (response.status_code, response.json()) == (400, {"error": '"nomic-embed-text" does not support chat'})


def test_a_prompt_over_the_context_is_a_nested_400(local, standin):
    standin.enqueue(Reply.context_exceeded())
    for response in (local.chat(), local.chat([{"role": "user", "content": "x" * 40_000}])):
        assert response.status_code == 400
        assert json.loads(response.json()["error"])["error"]["type"] == "exceed_context_size_error"


def test_a_stopped_runner_is_a_500_and_must_load_again(local, standin):
    local.chat()
    standin.enqueue(Reply.runner_stopped())
    response = local.chat()
    assert response.status_code == 500
    assert response.json()["error"].startswith("model runner has unexpectedly stopped, ")
    local.chat()
    assert standin.load_count == 2


def test_a_failed_load_is_a_500(local, standin):
    standin.enqueue(Reply.load_failed(at="load"))
    response = local.chat()
    assert response.status_code == 500
    assert response.json()["error"].startswith("llama-server process has terminated: ")
    assert local.chat().status_code == 200


def test_a_proxys_502_is_html(local, standin):
    standin.enqueue(Reply.proxy_page())
    response = local.chat()
    assert response.status_code == 502
    assert response.headers["content-type"] == "text/html"
    assert response.text.startswith("<html>")


# --- 8, 9, 10: answers that break off --------------------------------------------------------------------------------


def test_an_error_line_ends_a_stream_that_began_well(local, standin):
    standin.enqueue(Reply("one two three", end="error", error="unexpected EOF", end_after_tokens=2))
    response = local.chat()
    *lines, last = lines_of(response)
    assert (response.status_code, said_in(lines), last) == (200, "one two", {"error": "unexpected EOF"})


def test_a_stream_may_end_cleanly_without_done(local, standin):
    standin.enqueue(Reply("one two three", end="nothing", end_after_tokens=2))
    lines = lines_of(local.chat())
    assert said_in(lines) == "one two"
    assert not any(line["done"] for line in lines)


@pytest.mark.parametrize("tokens", [0, 2])
@pytest.mark.parametrize(("end", "error"), [("cut", httpx.RemoteProtocolError), ("reset", httpx.ReadError)])
def test_a_connection_may_be_cut(local, standin, end, error, tokens):
    standin.enqueue(Reply("one two three", end=end, end_after_tokens=tokens))
    with pytest.raises(error):
        local.chat()


def test_an_answer_may_stall(local, standin):
    standin.enqueue(Reply("one two three", end="stall", end_after_tokens=2))
    with httpx.stream("POST", local.url + "/api/chat", json={"model": MODEL, "messages": HI}, timeout=0.2) as response:
        lines = response.iter_lines()
        assert [json.loads(next(lines))["message"]["content"] for _ in range(2)] == ["one", " two"]
        with pytest.raises(httpx.ReadTimeout):
            next(lines)


def test_the_first_byte_may_be_late(local, standin):
    standin.enqueue(Reply("hello", first_token_delay_seconds=0.2))
    started = time.monotonic()
    last = lines_of(local.chat())[-1]
    assert time.monotonic() - started >= 0.2
    assert last["prompt_eval_duration"] >= 0.19e9


def test_tokens_come_at_their_pace(local, standin):
    standin.behaviour.tokens_per_second = 100
    standin.enqueue("word " * 20)
    last = lines_of(local.chat())[-1]
    assert last["eval_duration"] == pytest.approx(0.2e9, rel=0.3)


# --- 11: length and thinking -----------------------------------------------------------------------------------------


def test_num_predict_cuts_the_answer(server):
    words = [{"role": "user", "content": "Count from one to twenty, in words."}]
    last = lines_of(server.chat(words, options={"num_predict": 2}, think=False))[-1]
    assert (last["done_reason"], last["eval_count"]) == ("length", 2)


def test_a_model_that_can_think_does_unless_told_not_to(local, standin):
    standin.behaviour.models.append("qwen3:4b")
    told = {"model": "qwen3:4b", "messages": HI, "stream": False}
    assert local.post("/api/chat", **told).json()["message"]["thinking"]
    assert "thinking" not in local.post("/api/chat", **told, think=False).json()["message"]


def test_thinking_comes_before_the_content(local, standin):
    standin.enqueue(Reply("Hello.", thinking="They greet me."))
    *lines, _ = lines_of(local.chat())
    assert [bool(line["message"].get("thinking")) for line in lines] == [True, True, True, False]


def test_thinking_may_eat_the_whole_budget(local, standin):
    standin.enqueue(Reply("Hello.", thinking="hm " * 50))
    lines = lines_of(local.chat(options={"num_predict": 10}))
    assert said_in(lines) == ""
    assert all(line["message"]["thinking"] for line in lines[:-1])
    assert lines[-1]["done_reason"] == "length"


def test_tool_calls_come_each_in_a_line_before_the_last_with_objects_for_arguments(local, standin):
    calls = tuple({"function": {"name": "book", "arguments": {"day": day}}} for day in ("Friday", "Sunday"))
    standin.enqueue(Reply("Let me see.", tool_calls=calls))
    *lines, last = lines_of(local.chat(tools=[{"type": "function", "function": {"name": "book", "parameters": {"type": "object"}}}]))
    told = [call for line in lines for call in line["message"].get("tool_calls", [])]
    assert [call["function"] for call in told] == [
        {"index": 0, "name": "book", "arguments": {"day": "Friday"}},
        {"index": 1, "name": "book", "arguments": {"day": "Sunday"}},
    ]
    assert all(call["id"].startswith("call_") for call in told)
    assert last["done"] and "tool_calls" not in last["message"]
    standin.enqueue(Reply(tool_calls=calls[:1]))
    whole = local.chat(stream=False).json()["message"]
    assert whole["content"] == "" and whole["tool_calls"][0]["function"]["arguments"] == {"day": "Friday"}


def test_a_model_without_tools_says_so_and_refuses_them(standin):
    standin.behaviour.models.append("gemma3:1b")
    local = Server(standin.url, "gemma3:1b", None)
    assert "tools" not in local.post("/api/show", model="gemma3:1b").json()["capabilities"]
    refused = local.chat(tools=[{"type": "function", "function": {"name": "book"}}])
    assert refused.status_code == 400 and refused.json()["error"].endswith("does not support tools")
    assert local.chat().status_code == 200


# --- 12: one at a time -----------------------------------------------------------------------------------------------


def test_generations_go_one_after_another_in_order(local, standin):
    standin.enqueue(Reply("x", first_token_delay_seconds=0.4), Reply("x", first_token_delay_seconds=0.05), "x")
    threads = [threading.Thread(target=local.chat) for _ in range(3)]
    for number, thread in enumerate(threads, 1):
        thread.start()
        standin.wait_for(lambda s: s.under_way == number)
    for thread in threads:
        thread.join()
    begun = [chat["received_at"] + chat["waited_seconds"] for chat in standin.chats]
    ended = [chat["received_at"] + chat["lasted_seconds"] for chat in standin.chats]
    assert begun[1] > ended[0] - 0.01 and begun[2] > ended[1] - 0.01
    assert standin.greatest_concurrency == 3


def test_a_client_that_leaves_frees_its_place_at_once(local, standin):
    standin.enqueue(Reply("x", end="stall"))
    leave_after(standin, {"model": MODEL, "messages": HI}, lambda s: s.generating == 1)
    assert local.chat().status_code == 200
    assert [chat["outcome"] for chat in standin.chats] == ["cancelled", "answered"]


def test_a_client_that_leaves_the_queue_is_never_served(local, standin):
    standin.enqueue(Reply("x", first_token_delay_seconds=0.3))
    first = threading.Thread(target=local.chat)
    first.start()
    standin.wait_for(lambda s: s.generating == 1)
    leave_after(standin, {"model": MODEL, "messages": HI}, lambda s: s.under_way == 2)
    standin.wait_for(lambda s: s.under_way == 1)
    assert standin.generating == 1
    first.join()
    assert [chat["outcome"] for chat in standin.chats] == ["answered", "cancelled"]


def leave_after(standin, body, condition):
    """Ask, wait for the condition, and hang up."""
    connection = HTTPConnection("127.0.0.1", standin.port)
    connection.request("POST", "/api/chat", json.dumps(body))
    standin.wait_for(condition)
    connection.close()


# --- 13, 14, 15: options, context, omitted fields --------------------------------------------------------------------


def test_another_num_ctx_loads_the_model_again(local, standin):
    for num_ctx in (4096, 4096, 8192, 8192, 4096):
        local.chat(options={"num_ctx": num_ctx, "temperature": num_ctx / 10_000})
    assert (standin.load_count, standin.reload_count) == (3, 2)


def test_over_the_context_the_oldest_messages_are_dropped_silently(local, standin):
    system = {"role": "system", "content": "Be brief."}
    old = [{"role": "user", "content": f"{number} " + "x" * 400} for number in range(9)]
    last = {"role": "user", "content": "And now?"}
    lines = lines_of(local.chat([system, *old, last], options={"num_ctx": 512}))
    assert said_in(lines) == "And now?"
    seen = standin.chats[0]["seen"]
    assert seen == [system, *old[-4:], last]
    assert lines[-1]["prompt_eval_count"] <= 512


def test_fields_that_are_zero_are_left_out(local, standin):
    local.chat()
    standin.enqueue(Reply("hello", metrics={"prompt_eval_count": 0}))
    last = lines_of(local.chat())[-1]
    assert "prompt_eval_count" not in last and "load_duration" not in last
    assert last["eval_count"] == 1


# --- 16: embeddings --------------------------------------------------------------------------------------------------


def test_embeddings_are_unit_vectors_in_order(server):
    if server.embed_model is None:
        pytest.skip("OLLAMA_TEST_EMBED_MODEL is not set")
    both = server.post("/api/embed", model=server.embed_model, input=["opening hours", "a red bicycle"]).json()
    alone = server.post("/api/embed", model=server.embed_model, input="a red bicycle").json()
    assert len(both["embeddings"]) == 2 and len(alone["embeddings"]) == 1
    assert both["prompt_eval_count"] > 0
    for vector in both["embeddings"]:
        assert math.isclose(sum(value * value for value in vector), 1, rel_tol=1e-3)
    assert both["embeddings"][1] == pytest.approx(alone["embeddings"][0], abs=1e-2)


def test_embedding_nothing_gives_no_vectors(server):
    if server.embed_model is None:
        pytest.skip("OLLAMA_TEST_EMBED_MODEL is not set")
    for nothing in ("", []):
        assert server.post("/api/embed", model=server.embed_model, input=nothing).json()["embeddings"] == []


def test_dimensions_are_those_of_the_model(local, standin):
    standin.behaviour.models.append("all-minilm")
    for model, dimensions in (("nomic-embed-text", 768), ("all-minilm", 384)):
        vectors = local.post("/api/embed", model=model, input=["a", ""]).json()["embeddings"]
        assert [len(vector) for vector in vectors] == [dimensions] * 2


def test_texts_that_share_words_lie_nearer(local):
    texts = ["when do you open", "when do you close", "red bicycle for sale"]
    one, two, three = local.post("/api/embed", model="nomic-embed-text", input=texts).json()["embeddings"]
    assert sum(map(float.__mul__, one, two)) > sum(map(float.__mul__, one, three))


# --- 17: what there is -----------------------------------------------------------------------------------------------


def test_the_server_says_what_it_is_and_has(server):
    assert server.get("/").text == "Ollama is running"
    assert server.get("/api/version").json()["version"]
    assert server.model in [model["name"] for model in server.get("/api/tags").json()["models"]]
    assert server.post("/api/show", model=server.model).json()["model_info"]
    assert server.post("/api/show", model="no-such-model:1b").status_code == 404
    assert server.get("/api/no-such-thing").status_code == 404


def test_a_pull_reports_its_progress_and_installs_the_model(local):
    steps = lines_of(local.post("/api/pull", model="gemma3:1b"))
    assert steps[0] == {"status": "pulling manifest"}
    assert steps[-1] == {"status": "success"}
    (digest,) = {step["digest"] for step in steps if "digest" in step}
    assert steps[2]["status"] == f"pulling {digest.removeprefix('sha256:')[:12]}"
    assert [step["completed"] for step in steps if "completed" in step][-1] == steps[2]["total"]
    assert local.post("/api/chat", model="gemma3:1b", messages=HI).status_code == 200


def test_a_pull_that_fails_ends_in_an_error_line(local, standin):
    failure = Reply(at="pull", end="error", error="pull model manifest: file does not exist")
    standin.enqueue(failure, failure)
    assert lines_of(local.post("/api/pull", model="gemma3:1b"))[-1] == {"error": failure.error}
    whole = local.post("/api/pull", model="gemma3:1b", stream=False)
    assert (whole.status_code, whole.json()) == (500, {"error": failure.error})
    assert local.post("/api/chat", model="gemma3:1b", messages=HI).status_code == 404


# --- the stand-in itself ---------------------------------------------------------------------------------------------


@pytest.fixture
def process():
    """The stand-in as a process of its own."""
    command = [sys.executable, "-m", "tests.standins.ollama", "--port", "0", "--instant", "--model", "gemma3:1b"]
    root = Path(__file__).resolve().parent.parent
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        yield process, Server(process.stdout.readline().split()[-1], "gemma3:1b", None)
        process.terminate()
    assert process.returncode == 0


def test_as_a_process_it_is_controlled_over_http(process):
    _, server = process
    assert server.post("/standin/next", kind="busy").json()["enqueued"] == 1
    httpx.post(server.url + "/standin/next", json=["one", {"text": "two", "done_reason": "length"}])
    assert server.chat().status_code == 503
    answers = [server.chat(stream=False).json() for _ in range(3)]
    assert [answer["message"]["content"] for answer in answers] == ["one", "two", "Say hello."]
    assert server.post("/standin/behaviour", text="Always this.").json()["text"] == "Always this."
    assert server.chat(stream=False).json()["message"]["content"] == "Always this."
    report = server.get("/standin/history").json()
    assert [entry["status"] for entry in report["history"]] == [503, 200, 200, 200, 200]
    assert report["greatest_concurrency"] == 1
    server.post("/standin/reset")
    assert server.get("/standin/history").json()["history"] == []
    assert server.get("/standin/behaviour").json()["models"] == ["gemma3:1b"]


@pytest.mark.parametrize(
    ("path", "body"),
    [("next", {"kind": "no-such"}), ("next", {"txt": "x"}), ("next", {"end": "x"}), ("behaviour", {"x": 1})],
)
def test_a_mistake_in_the_controls_is_told(local, path, body):
    response = local.post(f"/standin/{path}", **body)
    assert response.status_code == 400
    assert response.json()["error"]


def test_it_keeps_a_connection_open_for_the_next_request(standin):
    connection = HTTPConnection("127.0.0.1", standin.port)
    for _ in range(3):
        connection.request("POST", "/api/chat", json.dumps({"model": MODEL, "messages": HI}))
        assert connection.getresponse().read().endswith(b"}\n")
    connection.close()


def test_it_stands_hundreds_of_requests_from_several_at_once(process):
    address = urlsplit(process[1].url).netloc
    body = json.dumps({"model": "gemma3:1b", "messages": HI})

    def ask(times):
        for _ in range(times):
            connection = HTTPConnection(address)
            connection.request("POST", "/api/chat", body)
            assert b'"done":true' in connection.getresponse().read()
            connection.close()

    threads = [threading.Thread(target=ask, args=(50,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(process[1].get("/standin/history").json()["history"]) == 400


def test_where_two_models_do_not_fit_the_one_used_longest_ago_goes():
    with OllamaStandIn(models=["a:1b", "b:1b", "c:1b"], most_loaded=2) as standin:
        for model in ("a:1b", "b:1b", "a:1b", "c:1b", "a:1b", "b:1b"):
            httpx.post(f"{standin.url}/api/chat", json={"model": model, "messages": HI, "stream": False}, trust_env=False)
        assert standin.load_count == 4 and standin.reload_count == 0
        assert sorted(standin.memory.models) == ["a:1b", "b:1b"]
