"""One slice of one target, in a process of its own: TARGET FOLDER and libFuzzer's arguments. Findings and counts go into FOLDER.

A finding ends nothing: it is written down once for each place that it comes from, and the search goes on.
"""

import hashlib
import json
import logging
import sys
import time
import traceback
from pathlib import Path

import atheris

from fuzzing.base import Finding, Logged
from fuzzing.changes import Changes

SLOW_SECONDS = 1.0  # of CPU, so that a busy machine is no finding
WRITTEN_EVERY_SECONDS = 2


class Counted:
    """A target with its executions counted and its findings kept."""

    def __init__(self, run, folder: Path, logged: Logged):
        self.run, self.folder, self.logged = run, folder, logged
        self.counts_file = folder / "counts.json"
        before = json.loads(self.counts_file.read_text()) if self.counts_file.exists() else {"executions": 0, "seconds": 0.0}
        self.before, self.executions = before, 0
        self.begun = self.written = time.monotonic()

    def __call__(self, data: bytes) -> None:
        begun, self.logged.last = time.process_time(), None
        try:
            self.run(data)
        except Exception as error:
            self.found(self.logged.last or error, data)
        else:
            if self.logged.last:
                self.found(self.logged.last, data)
        seconds = time.process_time() - begun
        if seconds > SLOW_SECONDS:
            self.write("slow", data, f"{seconds:.1f} s of CPU")
        self.executions += 1
        if time.monotonic() - self.written > WRITTEN_EVERY_SECONDS:
            self.count()

    def found(self, error: BaseException, data: bytes) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        last = next((frame for part in ("/frontdesk/", "/fuzzing/", "") for frame in reversed(frames) if part in frame.filename), None)
        place = f"{type(error).__name__} {last and Path(last.filename).name}:{last and last.lineno}"
        self.write(f"{place} {error}" if isinstance(error, Finding) else place, data, "".join(traceback.format_exception(error)))

    def write(self, place: str, data: bytes, words: str) -> None:
        name = hashlib.sha256(place.encode("utf-8", "replace")).hexdigest()[:12]
        file = self.folder / f"finding-{name}.txt"
        if not file.exists():
            file.write_text(f"{place}\n\n{words}\n\n{data!r}\n", errors="backslashreplace")
            (self.folder / f"input-{name}").write_bytes(data)

    def count(self) -> None:
        self.written = time.monotonic()
        seconds = self.before["seconds"] + self.written - self.begun
        self.counts_file.write_text(json.dumps({"executions": self.before["executions"] + self.executions, "seconds": seconds}))


def main() -> None:
    name, folder, *arguments = sys.argv[1:]
    logged = Logged()
    logging.disable(logging.WARNING)
    with atheris.instrument_imports(include=["frontdesk"]):
        from fuzzing import targets

        target = targets.make(name)
    changes = Changes(target.seeds(), target.prefix) if target.json else None
    corpus = Path(folder) / "corpus"
    if corpus.is_dir():
        for seed in target.seeds():
            (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    logging.getLogger().handlers = [logged]
    counted = Counted(target.run, Path(folder), logged)
    atheris.Setup([sys.argv[0], *arguments], counted, **({"custom_mutator": changes.mutate} if changes else {}))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
