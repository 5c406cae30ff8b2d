"""What was said in a sound: by a server with OpenAI's /v1/audio/transcriptions, or by faster-whisper in a process of its own.

Transcribing twice does no harm. No word of a transcript enters an exception or a log line.
"""

import json
import logging
import os
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

from frontdesk.channels.multipart import FileForm
from frontdesk.channels.wire import Answer, NoAnswer, NotSent, Wire
from frontdesk.errors import FrontdeskError
from frontdesk.settings import ROOT, Settings

log = logging.getLogger(__name__)

PATH = "/v1/audio/transcriptions"
LONGEST_TRANSCRIPT = 8_000  # characters; ten minutes of speech
LONGEST_OUTPUT = 1_000_000
REFUSES_THE_FILE = (400, 413, 415, 422)
# Servers tell a sound's form by its name.
ENDINGS = {"audio/ogg": "ogg", "audio/mp4": "m4a", "audio/mpeg": "mp3", "audio/amr": "amr", "audio/aac": "aac", "audio/webm": "webm"}

# A model of its own for each would take the machine's memory.
_one_whisper = threading.Lock()


class NotTranscribed(FrontdeskError):
    """`again`: it may work later."""

    def __init__(self, words: str, *, again: bool):
        self.again = again
        super().__init__(words)


def is_set_up(settings: Settings) -> bool:
    return bool(settings.transcription_url or settings.whisper_model)


def transcribe(settings: Settings, path: Path, mime_type: str) -> str:
    """The words, bounded; '' where nothing was said. Raises NotTranscribed."""
    said = _by_server(settings, path, mime_type) if settings.transcription_url else _by_whisper(settings, path)
    return " ".join(said.encode("utf-8", "replace").decode().replace("\x00", "").split())[:LONGEST_TRANSCRIPT]


@cache
def _wire(timeout_seconds: float) -> Wire:
    return Wire(timeout_seconds)


def _by_server(settings: Settings, path: Path, mime_type: str) -> str:
    seconds, fields = settings.transcription_timeout_seconds, {"model": settings.transcription_model, "response_format": "json"}
    address = settings.transcription_url.removesuffix(PATH).removesuffix("/v1") + PATH
    with open(path, "rb") as file:
        form = FileForm(fields, "file", f"message.{ENDINGS.get(mime_type, 'bin')}", mime_type, file)
        try:
            answer = _wire(seconds).upload(address, form, settings.transcription_token, seconds)
        except (NotSent, NoAnswer) as error:
            raise NotTranscribed(f"the transcription server could not be asked: {error}", again=True) from None
    return _said(answer)


def _said(answer: Answer) -> str:
    if answer.status != 200:
        raise NotTranscribed(f"the transcription server answered HTTP {answer.status}", again=answer.status not in REFUSES_THE_FILE)
    try:
        said = json.loads(answer.body)["text"] if answer.whole else None
    except (ValueError, KeyError, TypeError, RecursionError):
        said = None
    if not isinstance(said, str):
        raise NotTranscribed("the transcription server answered with something else than a text", again=True)
    return said


def _by_whisper(settings: Settings, path: Path) -> str:
    seconds = settings.transcription_timeout_seconds
    if not _one_whisper.acquire(timeout=seconds):
        raise NotTranscribed("other messages are being transcribed", again=True)
    try:
        return _asked_of_whisper([sys.executable, "-m", "frontdesk.flows.whisper", settings.whisper_model, str(path), str(int(seconds) + 1)], seconds)
    finally:
        _one_whisper.release()


def _asked_of_whisper(command: list[str], seconds: float) -> str:
    environ = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS") if name in os.environ}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env={**environ, "PYTHONUTF8": "1", "HF_HUB_OFFLINE": "1"}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NotTranscribed(f"transcribing it took longer than {seconds:g} seconds", again=True) from None
    try:
        told = json.loads(done.stdout[:LONGEST_OUTPUT])
        return str(told["text"])
    except (ValueError, KeyError, TypeError):
        raise NotTranscribed("faster-whisper could not transcribe it", again=done.returncode < 0) from None
