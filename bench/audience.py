"""Importing recipients: rows a second beside a plain csv + phonenumbers loop, and memory at 1,000 and 100,000 rows.

    bench/run audience.py [rows]

Each measurement is a process of its own, and the best of three, taken in turns. The plain loop reads the same file, checks each number,
gives it a time zone and keeps nothing; the import also keeps members, bad lines and its place, looks up opt-outs, and can be killed
at any moment.
"""

import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import PRODUCT, heading, table

LANDS = ["+49151{:08}", "0151{:08}", "+33612{:06}", "+5511987{:06}", "+1212555{:04}", "+9198765{:05}", "+44 7911 {:06}", "+614{:08}"]


def write_list(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("phone,name,city,voucher\r\n")
        for n in range(count):
            land = LANDS[n % len(LANDS)]
            digits = int(land.partition("{:0")[2][0])
            file.write(f'{land.format(n % 10**digits)},"Person, number {n}",Springfield,V-{n:06}\r\n')


def plain_loop(folder: Path, count: int) -> dict:
    import phonenumbers
    from phonenumbers import timezone

    began, good, seen = time.monotonic(), 0, set()
    with (folder / "list.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                number = phonenumbers.parse(row["phone"], "DE")
            except phonenumbers.NumberParseException:
                continue
            if not phonenumbers.is_valid_number(number):
                continue
            digits = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            if digits not in seen:
                seen.add(digits)
                timezone.time_zones_for_number(number)
                good += 1
    return measured(began, count, good=good)


def our_import(folder: Path, count: int) -> dict:
    from frontdesk import queues
    from frontdesk import settings as settings_module
    from frontdesk.flows import audience, first_run
    from frontdesk.flows.context import make
    from frontdesk.store import audiences, database

    settings = settings_module.load({"DATA_DIR": str(folder / "data")}, env_file=folder / "none")
    database.migrate(settings)
    first_run.prepare(settings)
    context = make(settings, queues.connect("unix:///nowhere"))
    context.queues.read_audience = lambda audience_id: None
    with (folder / "list.csv").open("rb") as file:
        audience_id = audience.from_file(context, 1, file, name="List", region="DE")
    began = time.monotonic()
    audience.read(context, audience_id)
    found = audiences.get(context.db, audience_id)
    assert found.state == "ready" and found.rows == count, found
    return measured(began, count, good=found.good)


def measured(began: float, count: int, **more) -> dict:
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": count, "seconds": seconds, "rows_per_second": count / seconds, "peak_mb": peak, **more}


def run(what: str, count: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        write_list(Path(folder) / "list.csv", count)
        done = subprocess.run([PRODUCT / "python", __file__, "--one", what, folder, str(count)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    heading("Importing recipients")
    found = []
    for count in (1_000, most):
        turns = [{what: run(what, count) for what in ("plain loop", "import")} for _ in range(3)]
        for what in turns[0]:
            best = min((turn[what] for turn in turns), key=lambda one: one["seconds"])
            found.append([what, f"{count:,}", f"{best['good']:,}", best["seconds"], f"{best['rows_per_second']:,.0f}", f"{best['peak_mb']:.1f}"])
    table(["what", "rows", "people", "seconds", "rows a second", "peak MB"], found)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        _, _, what, folder, count = sys.argv
        print(json.dumps({"plain loop": plain_loop, "import": our_import}[what](Path(folder), int(count))))
    else:
        main()
