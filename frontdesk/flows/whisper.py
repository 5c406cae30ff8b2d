"""The process that transcribes one sound with faster-whisper: MODEL_FOLDER PATH CPU_SECONDS. Tells {"text"} or {"error"} as JSON.

A process of its own: the model takes a gigabyte, which no worker keeps, and a sound made to crash its reader ends nothing else.
"""

import json
import os
import resource
import sys


def main() -> None:
    model_folder, path, cpu_seconds = sys.argv[1:]
    seconds = int(cpu_seconds) * (os.cpu_count() or 1)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        print(json.dumps({"text": _said(model_folder, path)}))
    except Exception as error:  # whatever a library makes of a broken file
        print(json.dumps({"error": type(error).__name__}))
        sys.exit(1)


def _said(model_folder: str, path: str) -> str:
    from faster_whisper import WhisperModel

    model = WhisperModel(model_folder, device="cpu", compute_type="int8", local_files_only=True)
    segments, _ = model.transcribe(path, vad_filter=True)
    return " ".join(segment.text.strip() for segment in segments)


if __name__ == "__main__":
    main()
