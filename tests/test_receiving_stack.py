"""Customers' files through the whole of it, in real processes: the simulator's Graph API, a transcription server, kill -9."""

import threading
import time
from pathlib import Path

import pytest

from frontdesk.store.files import UNFINISHED
from tests.made_files import pdf
from tests.stack import Stack, wait_for
from tests.standins.transcription import Transcriptions

pytestmark = pytest.mark.stack

FILES = Path(__file__).parent / "files"
VOICE, PICTURE = FILES / "voice.ogg", FILES / "picture.jpg"
SAID = "When do you open on Sunday?"


@pytest.fixture(scope="module")
def speech():
    with Transcriptions(SAID) as server:
        yield server


@pytest.fixture(scope="module")
def stack(tmp_path_factory, speech):
    with Stack(tmp_path_factory.mktemp("receiving"), TRANSCRIPTION_URL=speech.url, FILE_WAIT_SECONDS="25") as running:
        yield running


@pytest.fixture(autouse=True)
def best_behaviour(stack, speech):
    stack.simulator.behave(download_ms=0, expired_addresses=0)
    speech.answers[:] = [SAID]
    speech.asked.clear()


def downloads(stack: Stack) -> list[int | None]:
    return [call["code"] for call in stack.simulator.calls() if call["kind"] == "download"]


def files(stack: Stack) -> list[dict]:
    return stack.rows("SELECT received_files.* FROM received_files ORDER BY message_id")


def kill_the_fetching_one(stack: Stack) -> None:
    """The work-horse, or between two of them the worker."""
    if not stack.kill_grandchild("bulk"):
        stack.kill("bulk")


def answered_once(stack: Stack, sender: str, text: str, seconds: float = 40) -> None:
    assert stack.simulator.wait_for_answers(sender, 1, seconds) == [text]
    time.sleep(1)
    assert stack.simulator.texts(sender) == [text]


def test_a_voice_message_is_answered_by_what_was_said_in_it(stack, speech):
    stack.simulator.customer_sends("491511", VOICE, "voice")
    answered_once(stack, "491511", f"[voice message] {SAID}")
    assert [asked.sound for asked in speech.asked] == [VOICE.read_bytes()]


def test_a_burst_of_a_picture_words_and_a_voice_gets_one_answer(stack):
    stack.simulator.customer_sends("491512", PICTURE, caption="This cake")
    stack.simulator.customer_writes("491512", "for Sunday")
    stack.simulator.customer_sends("491512", VOICE, "voice")
    answered_once(stack, "491512", f"[image; which you cannot see] This cake\nfor Sunday\n[voice message] {SAID}")


def test_a_picture_alone_gets_the_client_s_text(stack):
    stack.simulator.customer_sends("491513", PICTURE)
    [text] = stack.simulator.wait_for_answers("491513")
    assert text.startswith("Thank you. I cannot look")


def test_a_document_reaches_the_model(stack, tmp_path):
    path = tmp_path / "bill.pdf"
    path.write_bytes(pdf([["Total 12 euros"]]))
    stack.simulator.customer_sends("491514", path, caption="Is it right?")
    [text] = stack.simulator.wait_for_answers("491514")
    assert text.startswith("[document: bill.pdf] Is it right?") and "Total 12 euros" in text


def test_an_address_that_is_over_is_asked_for_anew(stack):
    before = len(downloads(stack))
    stack.simulator.behave(expired_addresses=1)
    stack.simulator.customer_sends("491515", VOICE, "voice")
    answered_once(stack, "491515", f"[voice message] {SAID}")
    assert downloads(stack)[before:] == [404, None]


def test_killed_while_it_fetches_it_is_fetched_and_answered_once(stack):
    before = len(downloads(stack))
    stack.simulator.behave(download_ms=2500)
    stack.simulator.customer_sends("491516", VOICE, "voice")
    wait_for(lambda: any(file["lease_owner"] for file in files(stack)))
    time.sleep(0.5)
    kill_the_fetching_one(stack)
    stack.simulator.behave(download_ms=0)
    answered_once(stack, "491516", f"[voice message] {SAID}")
    assert 1 <= len(downloads(stack)) - before <= 2
    assert stack.rows("SELECT COUNT(*) AS count FROM media JOIN messages ON media_id = media.id GROUP BY messages.id HAVING count > 1") == []
    assert all(file["state"] == "done" for file in files(stack))


def test_killed_while_it_listens_it_is_heard_and_answered_once(stack, speech):
    asked = threading.Event()

    def slow(_):
        asked.set()
        time.sleep(4)
        return "of the dead one"

    speech.answers[:] = [slow, SAID]
    before = len(downloads(stack))
    stack.simulator.customer_sends("491517", VOICE, "voice")
    assert asked.wait(20)
    kill_the_fetching_one(stack)
    answered_once(stack, "491517", f"[voice message] {SAID}")
    assert downloads(stack)[before:] == [None]


@pytest.mark.slow
def test_under_kills_every_file_is_kept_once_and_every_message_answered_once(stack):
    senders, stop = [f"4916{n}" for n in range(10)], threading.Event()

    def kill():
        while not stop.wait(1.2):
            kill_the_fetching_one(stack)

    stack.simulator.behave(download_ms=300)
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        for sender in senders:
            stack.simulator.customer_sends(sender, VOICE, "voice")
            time.sleep(0.4)
    finally:
        stop.set()
        killer.join()
    for sender in senders:
        assert stack.simulator.wait_for_answers(sender, 1, 60) == [f"[voice message] {SAID}"]
    assert [len(stack.simulator.texts(sender)) for sender in senders] == [1] * len(senders)
    rows = stack.rows("SELECT media_id, COUNT(*) AS count FROM messages WHERE direction = 'in' AND kind = 'audio' GROUP BY media_id")
    assert all(row["media_id"] and row["count"] == 1 for row in rows)
    kept = [path for path in stack.settings.media_dir.rglob("*") if path.is_file() and UNFINISHED not in path.parts]  # what a death left goes at night
    assert len([path for path in kept if path.stat().st_size == VOICE.stat().st_size]) == 1


def test_a_transcription_that_takes_too_long_does_not_hold_up_the_answer_for_ever(stack, speech, tmp_path):
    speech.answers[:] = [lambda _: time.sleep(40) or "late"]
    began = time.monotonic()
    stack.simulator.customer_sends("491518", VOICE, "voice")
    [text] = stack.simulator.wait_for_answers("491518", 1, 45)
    assert text.startswith("Thank you. I cannot listen") and time.monotonic() - began > 24
