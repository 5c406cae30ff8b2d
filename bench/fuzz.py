"""What nobody would send: inputs that coverage leads to, for everything that reads what strangers, providers or models wrote.

    bench/run fuzz.py [--minutes 60] [--slice 60] [--only TARGET ...]
    bench/run fuzz.py --again TARGET FILE

One process at a time, a slice for each target (bench/fuzzing/) in turn, with the code as it is at the slice's start; the corpus, the findings
and the counts stay in bench/.fuzz, so a later run goes on from there. A finding is an exception that is not the documented error, more
than a second of CPU for one input, an answer with a status that is not documented, or an event that is neither stored nor rejected.
Atheris and a second copy of the product's packages go into bench/.venv-fuzz on the first run (Linux, Python 3.11).
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from machine import BENCH, ROOT, heading, redis_server, table

VENV = BENCH / ".venv-fuzz"
STATE = BENCH / ".fuzz"
CHILD = BENCH / "fuzzing" / "child.py"
TARGETS = ("cloud", "wati", "widget", "door", "drain", "visitors", "api", "model", "templates", "audience", "phones", "tokens", "extraction", "words")
LONGEST_INPUT_BYTES = 8192
HANG_SECONDS = 20  # of wall time: libFuzzer ends the process
MEMORY_MB = 1500


def main() -> None:
    given = argparse.ArgumentParser()
    given.add_argument("--minutes", type=float, default=60)
    given.add_argument("--slice", type=float, default=60, help="seconds")
    given.add_argument("--only", nargs="+", choices=TARGETS, default=TARGETS)
    given.add_argument("--again", nargs=2, metavar=("TARGET", "FILE"))
    asked = given.parse_args()
    with redis_server() as address:
        if asked.again:
            target, file = asked.again
            raise SystemExit(child(target, address, [Path(file).resolve()]).returncode)
        heading(f"Fuzzing: {asked.minutes:g} minutes")
        deadline = time.monotonic() + asked.minutes * 60
        while time.monotonic() < deadline:
            for target in asked.only:
                seconds = int(min(asked.slice, deadline - time.monotonic()))
                if seconds > 0:
                    run(target, address, seconds)
    table(["target", "seconds", "executions", "corpus", "findings"], [counted(target) for target in TARGETS])


def run(target: str, address: str, seconds: int) -> None:
    corpus = STATE / target / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT_BYTES}", f"-timeout={HANG_SECONDS}", f"-rss_limit_mb={MEMORY_MB}"]
    ended = child(target, address, [corpus, *options, f"-artifact_prefix={STATE / target}/", "-print_final_stats=1", "-verbosity=0"])
    if ended.returncode:
        print(f"{target} ended with {ended.returncode}; its last words are in {STATE / target}/log", flush=True)


def child(target: str, address: str, arguments: list) -> subprocess.CompletedProcess:
    (STATE / target).mkdir(parents=True, exist_ok=True)
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fuzz", dir=in_memory) as folder, (STATE / target / "log").open("wb") as log:
        environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{BENCH}", "REDIS_URL": address, "DATA_DIR": folder}
        return subprocess.run(
            ["nice", "-n", "19", venv() / "bin/python", CHILD, target, STATE / target, *arguments],
            cwd=ROOT, env=environ, stdout=log, stderr=log, check=False,
        )  # fmt: skip


def counted(target: str) -> list:
    try:
        counts = json.loads((STATE / target / "counts.json").read_text())
    except FileNotFoundError:
        counts = {"seconds": 0.0, "executions": 0}
    found = [*(STATE / target).glob("finding-*.txt"), *(STATE / target).glob("timeout-*"), *(STATE / target).glob("oom-*")]
    return [target, round(counts["seconds"]), f"{counts['executions']:,}", len(list((STATE / target / "corpus").glob("*"))), len(found)]


def venv() -> Path:
    """Coverage needs atheris, and with it all that the product needs."""
    wanted = (BENCH / "fuzz-requirements.txt").read_bytes()
    stamp = VENV / "installed"
    if not stamp.exists() or stamp.read_bytes() != wanted:
        subprocess.run([ROOT / ".venv/bin/python", "-m", "venv", "--clear", VENV], check=True)
        subprocess.run([VENV / "bin/python", "-m", "pip", "install", "-q", "--require-hashes", "-r", BENCH / "fuzz-requirements.txt"], check=True)
        stamp.write_bytes(wanted)
    return VENV


if __name__ == "__main__":
    main()
