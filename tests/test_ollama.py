"""frontdesk/ollama.py against the Ollama stand-in: an answer, each way it can fail, its deadline, and stopping it."""

import asyncio
import logging
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from frontdesk.errors import (
    ContextExceeded,
    ModelAway,
    ModelBusy,
    ModelCrashed,
    ModelInterrupted,
    ModelMissing,
    ModelRefused,
    ModelSilent,
)
from frontdesk.ollama import ModelOptions, Ollama
from tests.standins.ollama import OllamaStandIn
from tests.standins.ollama_replies import Reply

OPTIONS = ModelOptions(model="llama3.2:3b", num_ctx=4096, num_predict=300)
SECRET = "my card number is 4929 1234 5678 9012"
ASK = [{"role": "system", "content": "You are the front desk."}, {"role": "user", "content": SECRET}]


class NewerMessage(Exception):
    pass


@pytest.fixture
def standin():
    """One of its own for every test: the request of a call that was broken off may arrive when its test is over."""
    with OllamaStandIn() as started:
        yield started
        started.wait_for(lambda s: s.under_way == 0)


@pytest.fixture
def ollama(standin):
    return Ollama(standin.url, timeout_seconds=5, load_timeout_seconds=5, crash_pause_seconds=0.05)


# --- an answer -------------------------------------------------------------------------------------------------------


def test_an_answer_comes_with_its_counts(standin, ollama):
    standin.enqueue(Reply("We open at nine.", first_token_delay_seconds=0.02))
    completion = ollama.chat(ASK, OPTIONS)
    assert completion.text == "We open at nine."
    assert completion.output_tokens == 4
    assert completion.prompt_tokens == standin_tokens(ASK)
    assert completion.prompt_seconds == pytest.approx(0.02, abs=0.01)
    assert completion.load_seconds > 0
    assert completion.done_reason == "stop"


def test_counts_that_the_server_leaves_out_are_none(standin, ollama):
    standin.enqueue(Reply("Yes.", metrics={"prompt_eval_count": 0, "eval_count": 0, "eval_duration": 0}))
    completion = ollama.chat(ASK, OPTIONS)
    assert (completion.prompt_tokens, completion.output_tokens, completion.output_seconds) == (None, None, 0.0)


def test_characters_split_across_chunks_arrive_whole(standin, ollama):
    text = "Olá! Às 9h, 東京 🎉 👩‍👩‍👧 مرحبا \u2028 <b>"
    standin.enqueue(Reply(text))
    assert ollama.chat(ASK, OPTIONS).text == text


def test_the_messages_arrive_as_given_and_thinking_is_off(standin, ollama):
    ollama.chat(ASK, OPTIONS)
    body = standin.chats[0]["body"]
    assert body["messages"] == ASK
    assert body["think"] is False
    assert body["keep_alive"] == -1
    assert body["options"] == {"num_ctx": 4096, "num_predict": 300, "temperature": 0.3}


def test_half_a_surrogate_pair_is_sent_as_a_question_mark(standin, ollama):
    assert ollama.chat([{"role": "user", "content": "hello \ud83d"}], OPTIONS).text == "hello ?"


def test_an_answer_cut_at_its_length_is_still_an_answer(standin, ollama):
    standin.enqueue("one two three four")
    completion = ollama.chat(ASK, replace(OPTIONS, num_predict=2))
    assert (completion.text, completion.done_reason) == ("one two", "length")


@pytest.mark.parametrize(
    "said",
    [
        "<think>hm, let me see</think>\n\nAt nine.",
        "<THINK>hm</THINK>At nine.",
        "hm, the template opened it</think>At nine.",
        "At nine.<think>and then it never closed",
        "<think>one</think>At <think>two</think>nine.",
    ],
)
def test_stray_thoughts_are_stripped(standin, ollama, said):
    standin.enqueue(said)
    assert ollama.chat(ASK, OPTIONS).text == "At nine."


def test_thinking_before_the_answer_is_left_out(standin, ollama):
    standin.enqueue(Reply("At nine.", thinking="The user asks when."))
    assert ollama.chat(ASK, OPTIONS).text == "At nine."


@pytest.mark.parametrize("messages", [[], [{"role": "user"}], [{"role": "user", "content": None}]])
def test_a_chat_without_proper_messages_is_a_mistake_of_the_caller(standin, ollama, messages):
    with pytest.raises(ValueError, match="chat needs"):
        ollama.chat(messages, OPTIONS)
    assert standin.history == []


def standin_tokens(messages):
    return sum(4 + -(-len(message["content"]) // 4) for message in messages)


# --- options, loading ------------------------------------------------------------------------------------------------


def test_warm_up_and_many_chats_load_the_model_once(standin, ollama):
    ollama.warm_up(OPTIONS)
    for _ in range(5):
        ollama.chat(ASK, OPTIONS)
    assert (standin.load_count, standin.reload_count) == (1, 0)
    sent = [entry["body"]["options"] for entry in standin.history if entry["path"] == "/api/chat"]
    assert sent == [sent[0]] * 6


def test_warm_up_generates_nothing(standin, ollama):
    ollama.warm_up(OPTIONS)
    assert standin.chats == []
    assert [model["name"] for model in ollama.loaded_models()] == ["llama3.2:3b"]


def test_time_spent_loading_is_not_charged_to_the_answer(standin):
    standin.behaviour.load_seconds = 1.6
    completion = Ollama(standin.url, timeout_seconds=1.5).chat(ASK, OPTIONS)
    assert completion.text == SECRET
    assert completion.load_seconds >= 1.6


def test_a_model_that_takes_too_long_to_load_is_away(standin):
    standin.behaviour.load_seconds = 30
    with pytest.raises(ModelAway, match="llama3.2:3b was not loaded within 0.3 s"):
        Ollama(standin.url, load_timeout_seconds=0.3).chat(ASK, OPTIONS)


def test_a_model_that_was_unloaded_meanwhile_may_load_again(standin):
    ollama = Ollama(standin.url, timeout_seconds=1.5, trusted_seconds=0)
    ollama.warm_up(OPTIONS)
    standin.memory.models.clear()
    standin.behaviour.load_seconds = 1.6
    assert ollama.chat(ASK, OPTIONS).text == SECRET


def test_a_model_that_has_just_answered_is_asked_without_looking_first(standin, ollama):
    for _ in range(3):
        ollama.chat(ASK, OPTIONS)
    paths = [call["path"] for call in standin.history]
    assert paths.count("/api/ps") == 1
    assert paths[-2:] == ["/api/chat", "/api/chat"]


def test_a_model_that_failed_is_looked_at_before_it_is_asked_again(standin, ollama):
    ollama.chat(ASK, OPTIONS)
    standin.enqueue(Reply.busy())
    with pytest.raises(ModelBusy):
        ollama.chat(ASK, OPTIONS)
    looked = [call["path"] for call in standin.history].count("/api/ps")
    ollama.chat(ASK, OPTIONS)
    assert [call["path"] for call in standin.history].count("/api/ps") == looked + 1


def test_a_model_of_another_program_still_loading_is_waited_for(standin):
    standin.behaviour.load_seconds = 1.6
    other = threading.Thread(target=Ollama(standin.url).warm_up, args=(OPTIONS,))
    other.start()
    standin.wait_for(lambda s: s.load_count == 1)
    assert Ollama(standin.url, timeout_seconds=1.5).chat(ASK, OPTIONS).text == SECRET
    other.join()
    assert standin.load_count == 1


# --- what can go wrong -----------------------------------------------------------------------------------------------


def test_a_missing_model_names_the_command_that_mends_it(standin, ollama):
    for call in (lambda o: ollama.chat(ASK, o), ollama.warm_up):
        with pytest.raises(ModelMissing) as caught:
            call(replace(OPTIONS, model="qwen3:4b"))
        assert caught.value.mend == "ollama pull qwen3:4b"
    assert [entry["status"] for entry in standin.history if entry["path"] == "/api/chat"] == [404, 404]


def test_a_404_of_something_else_is_not_a_missing_model(standin, ollama):
    standin.enqueue(Reply(status=404, html="<h1>Not Found</h1>"))
    with pytest.raises(ModelAway):
        ollama.chat(ASK, OPTIONS)


def test_a_bad_request_is_refused_without_a_retry(standin, ollama):
    standin.enqueue(Reply(status=400, error='"llama3.2:3b" does not support chat'))
    with pytest.raises(ModelRefused, match="does not support chat") as caught:
        ollama.chat(ASK, OPTIONS)
    assert caught.value.status == 400
    assert not isinstance(caught.value, ContextExceeded)
    assert len(standin.chats) == 1


def test_a_prompt_longer_than_the_context_says_so(standin, ollama):
    with pytest.raises(ContextExceeded):
        ollama.chat([{"role": "user", "content": "word " * 5000}], OPTIONS)
    assert len(standin.chats) == 1


def test_a_busy_server_is_left_to_the_caller(standin, ollama):
    standin.enqueue(Reply.busy())
    with pytest.raises(ModelBusy):
        ollama.chat(ASK, OPTIONS)
    assert len(standin.chats) == 1


def test_a_server_too_busy_to_load_is_busy(standin, ollama):
    standin.enqueue(Reply.busy(at="load"))
    with pytest.raises(ModelBusy):
        ollama.warm_up(OPTIONS)


MENDABLE = {
    "error line": (Reply("half an ans", end="error", error="unexpected EOF", end_after_tokens=2), ModelInterrupted),
    "cut": (Reply("half an ans", end="cut", end_after_tokens=2), ModelInterrupted),
    "cut before the first byte": (Reply("half", end="cut", end_after_tokens=0), ModelInterrupted),
    "reset": (Reply("half an ans", end="reset", end_after_tokens=2), ModelInterrupted),
    "no done": (Reply("half an ans", end="nothing", end_after_tokens=2), ModelInterrupted),
    "no line at all": (Reply("half an ans", end="nothing", end_after_tokens=0), ModelInterrupted),
    "no JSON": (Reply(lines=("half an ans",)), ModelInterrupted),
    "JSON that is no object": (Reply(lines=("[]",)), ModelInterrupted),
    "an object that is not Ollama's": (Reply(lines=('{"message": "half an ans"}',)), ModelInterrupted),
    "thinking ate the budget": (Reply("", thinking="hm " * 9, done_reason="length"), ModelSilent),
    "an unclosed thought": (Reply("<think>half an ans", done_reason="length"), ModelSilent),
    "white space": (Reply(" \n\t "), ModelSilent),
    "invisible characters": (Reply("\u200b\ufeff"), ModelSilent),
    "runner stopped": (Reply.runner_stopped(), ModelCrashed),
    "runner stopped in the middle": (
        Reply("half an ans", end="error", error=Reply.runner_stopped().error, end_after_tokens=1),
        ModelCrashed,
    ),
    "load failed": (Reply.load_failed(), ModelCrashed),
    "load failed while loading": (Reply.load_failed(at="load"), ModelCrashed),
}


@pytest.mark.parametrize(("reply", "error"), MENDABLE.values(), ids=MENDABLE)
def test_what_one_retry_mends_is_mended(standin, ollama, reply, error):
    standin.enqueue(reply, "At nine.")
    assert ollama.chat(ASK, OPTIONS).text == "At nine."


@pytest.mark.parametrize(("reply", "error"), MENDABLE.values(), ids=MENDABLE)
def test_what_the_retry_does_not_mend_is_raised_without_any_text(standin, ollama, caplog, reply, error):
    caplog.set_level(logging.DEBUG)
    standin.enqueue(reply, reply, "never asked for")
    with pytest.raises(error) as caught:
        ollama.chat(ASK, OPTIONS)
    assert type(caught.value) is error
    assert standin.counters()["enqueued"] == 1
    assert caught.value.__context__ is None
    for text in (str(caught.value), repr(caught.value), caplog.text):
        assert "4929" not in text
        assert "half" not in text


def test_words_of_the_server_that_quote_the_prompt_are_withheld(standin, ollama, caplog):
    standin.enqueue(Reply(status=400, error="cannot parse 'number is 4929 1234 5678'"))
    with pytest.raises(ModelRefused) as caught:
        ollama.chat(ASK, OPTIONS)
    assert "4929" not in str(caught.value)
    assert "4929" not in caught.value.reason


def test_a_load_that_fails_for_want_of_memory_says_how(standin, ollama):
    standin.enqueue(Reply.load_failed(at="load"), Reply.load_failed(at="load"))
    with pytest.raises(ModelCrashed, match="terminated: signal: killed"):
        ollama.warm_up(OPTIONS)


def test_after_a_crash_it_pauses_before_the_retry(standin):
    standin.enqueue(Reply.runner_stopped(), "At nine.")
    started = time.monotonic()
    assert Ollama(standin.url, crash_pause_seconds=0.3).chat(ASK, OPTIONS).text == "At nine."
    assert time.monotonic() - started >= 0.3


def test_a_pause_longer_than_the_time_left_is_not_begun(standin):
    standin.enqueue(Reply.runner_stopped())
    with pytest.raises(ModelCrashed):
        Ollama(standin.url, timeout_seconds=2, crash_pause_seconds=7).chat(ASK, OPTIONS)


def test_a_proxys_page_is_a_server_away(standin, ollama):
    standin.enqueue(Reply.proxy_page())
    with pytest.raises(ModelAway, match="502") as caught:
        ollama.chat(ASK, OPTIONS)
    assert type(caught.value) is ModelAway
    assert "nginx" not in str(caught.value)


def test_a_proxy_that_hides_ps_does_not_matter(standin, ollama):
    standin.enqueue(*[Reply(status=403, html="<h1>Forbidden</h1>", at="ps")] * 2)
    assert ollama.chat(ASK, OPTIONS).text == ollama.chat(ASK, OPTIONS).text == SECRET
    assert standin.load_count == 1


def test_a_refused_connection_is_a_server_away_and_it_comes_back():
    standin = OllamaStandIn().start()
    ollama = Ollama(standin.url)
    ollama.chat(ASK, OPTIONS)
    standin.stop()
    with pytest.raises(ModelAway, match="no Ollama server at http://127.0.0.1"):
        ollama.chat(ASK, OPTIONS)
    with pytest.raises(ModelAway):
        ollama.model_names()
    assert ollama.version() is None
    with standin:
        assert ollama.chat(ASK, OPTIONS).text == SECRET


def test_a_host_that_is_no_host_is_a_server_away():
    with pytest.raises(ModelAway):
        Ollama("http://no-such-host.invalid:1").chat(ASK, OPTIONS)


@pytest.mark.parametrize("after", [0, 2])
def test_an_answer_that_stalls_ends_at_the_deadline(standin, after):
    standin.enqueue(Reply("half an answer", end="stall", end_after_tokens=after))
    with pytest.raises(ModelAway, match="no answer within 0.4 s"):
        Ollama(standin.url, timeout_seconds=0.4).chat(ASK, OPTIONS)
    standin.wait_for(lambda s: s.cancelled_count == 1 and s.generating == 0)


def test_the_deadline_holds_for_the_retry_too(standin):
    standin.enqueue(Reply("half", end="nothing", first_token_delay_seconds=1.2), Reply("x", end="stall"))
    started = time.monotonic()
    with pytest.raises(ModelAway, match="within 1.5 s"):
        Ollama(standin.url, timeout_seconds=1.5).chat(ASK, OPTIONS)
    assert time.monotonic() - started < 2.6, "one for each would take 2.7 s"


def test_an_answer_that_trickles_is_not_faster_than_the_deadline(standin):
    standin.enqueue(Reply("word " * 100, tokens_per_second=50))
    with pytest.raises(ModelAway, match="within 0.4 s"):
        Ollama(standin.url, timeout_seconds=0.4).chat(ASK, OPTIONS)


# --- the watch -------------------------------------------------------------------------------------------------------


def raising(error, *, after_calls=0):
    calls = []

    def watch():
        calls.append(threading.current_thread())
        if len(calls) > after_calls:
            raise error

    watch.calls = calls
    return watch


WAITS = {
    "before the first token": Reply("x", end="stall", end_after_tokens=0),
    "between tokens": Reply("one two three", end="stall", end_after_tokens=2),
    "while loading": Reply(at="load", load_seconds=30),
}


@pytest.mark.parametrize("reply", WAITS.values(), ids=WAITS)
def test_what_the_watch_raises_stops_the_generation_and_comes_out_unchanged(standin, ollama, reply):
    standin.enqueue(reply)
    newer = NewerMessage("41")
    with pytest.raises(NewerMessage) as caught:
        ollama.chat(ASK, OPTIONS, watch=raising(newer, after_calls=2), watch_every_seconds=0.03)
    assert caught.value is newer
    standin.wait_for(lambda s: s.cancelled_count == 1 and s.generating == 0)
    assert ollama.chat(ASK, OPTIONS).text == SECRET


def test_the_watch_stops_the_pause_before_a_retry(standin):
    standin.enqueue(Reply.runner_stopped())
    started = time.monotonic()
    with pytest.raises(NewerMessage):
        Ollama(standin.url, crash_pause_seconds=30).chat(
            ASK, OPTIONS, watch=raising(NewerMessage(), after_calls=1), watch_every_seconds=0.05
        )
    assert time.monotonic() - started < 20


def test_the_watch_stops_a_chat_that_waits_behind_another(standin, ollama):
    ollama.warm_up(OPTIONS)
    standin.enqueue(Reply("x", end="stall"))
    first_watch = raising(NewerMessage(), after_calls=10_000)
    stop_first = threading.Event()
    outcome = []

    def first():
        def watch():
            first_watch()
            if stop_first.is_set():
                raise NewerMessage

        try:
            ollama.chat(ASK, OPTIONS, watch=watch, watch_every_seconds=0.02)
        except NewerMessage as error:
            outcome.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    standin.wait_for(lambda s: s.generating == 1)
    with pytest.raises(NewerMessage):
        ollama.chat(ASK, OPTIONS, watch=raising(NewerMessage()), watch_every_seconds=0.1)
    standin.wait_for(lambda s: s.cancelled_count == 1 and s.under_way == 1)
    stop_first.set()
    thread.join(5)
    assert len(outcome) == 1
    assert standin.greatest_concurrency == 2


@pytest.mark.parametrize("error", [StopIteration(1), asyncio.CancelledError(), TimeoutError("mine"), SystemExit(3)])
def test_any_exception_of_the_watch_comes_out_unchanged(standin, ollama, error):
    standin.enqueue(Reply("x", end="stall"))
    with pytest.raises(type(error)) as caught:
        ollama.chat(ASK, OPTIONS, watch=raising(error), watch_every_seconds=0.01)
    assert caught.value is error


def test_the_watch_is_called_again_and_again_in_one_side_thread(standin, ollama):
    standin.enqueue(Reply("x", first_token_delay_seconds=0.5))
    watch = raising(NewerMessage(), after_calls=10_000)
    ollama.chat(ASK, OPTIONS, watch=watch, watch_every_seconds=0.05)
    assert 5 <= len(watch.calls) <= 11
    assert len(set(watch.calls)) == 1
    assert watch.calls[0] is not threading.current_thread()
    assert not watch.calls[0].is_alive()


def test_a_slow_watch_neither_overlaps_itself_nor_holds_up_the_stream_nor_outlives_the_chat(standin, ollama):
    standin.enqueue(Reply("word " * 30, tokens_per_second=100))
    began, ended, enough = [], [], threading.Event()

    def watch():
        began.append(time.monotonic())
        enough.wait(0.2)
        ended.append(time.monotonic())

    completion = ollama.chat(ASK, OPTIONS, watch=watch, watch_every_seconds=0.01)
    assert completion.output_seconds < 0.4
    assert len(began) == len(ended) >= 2
    assert all(next_began >= last_ended for last_ended, next_began in zip(ended, began[1:]))


def test_a_watch_that_objects_after_the_answer_came_still_has_its_way(standin, ollama):
    ollama.warm_up(OPTIONS)
    answered = threading.Event()

    def watch():
        answered.wait(5)
        raise NewerMessage

    standin.enqueue(Reply("At nine.", first_token_delay_seconds=0.05))
    threading.Thread(target=lambda: (standin.wait_for(lambda s: answer_sent(s)), answered.set())).start()
    with pytest.raises(NewerMessage):
        ollama.chat(ASK, OPTIONS, watch=watch, watch_every_seconds=0.01)


def answer_sent(standin):
    return any(chat["outcome"] == "answered" for chat in standin.chats)


def test_chat_works_in_a_thread_that_is_not_the_main_one(standin, ollama):
    outcome = []

    def work():
        outcome.append(ollama.chat(ASK, OPTIONS, watch=lambda: None, watch_every_seconds=0.01).text)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(5)
    assert outcome == [SECRET]


@pytest.mark.parametrize("watch", [None, lambda: None])
def test_an_exception_of_a_signal_handler_stops_the_generation(standin, ollama, watch):
    ollama.warm_up(OPTIONS)
    standin.enqueue(Reply("word " * 100_000, tokens_per_second=5_000, done_reason="stop"))

    def out_of_time(*_):
        raise NewerMessage

    before = signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(NewerMessage):
            ollama.chat(ASK, OPTIONS, watch=watch, watch_every_seconds=0.01)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    standin.wait_for(lambda s: s.cancelled_count == 1, seconds=1)


# --- the rest --------------------------------------------------------------------------------------------------------


def test_it_says_what_the_server_has(standin, ollama):
    assert ollama.version() == "0.32.14"
    assert ollama.model_names() == ["llama3.2:3b", "nomic-embed-text:latest"]
    assert ollama.loaded_models() == []
    ollama.warm_up(OPTIONS)
    (loaded,) = ollama.loaded_models()
    assert (loaded["name"], loaded["context_length"]) == ("llama3.2:3b", 4096)


def test_a_server_that_does_not_answer_has_no_version(standin, ollama):
    standin.enqueue(Reply.proxy_page(at="version"))
    assert ollama.version() is None


def test_a_list_that_is_not_ollamas_is_a_server_away(standin, ollama):
    standin.enqueue(Reply(status=201, html="<h1>Welcome</h1>", at="tags"))
    with pytest.raises(ModelAway):
        ollama.model_names()


def test_importing_the_module_does_not_import_the_client():
    check = "import sys, frontdesk.ollama; sys.exit(any(m in sys.modules for m in ('ollama', 'httpx', 'pydantic')))"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
