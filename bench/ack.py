"""Acknowledgements: how many signed webhooks a second, and how quickly, against two twins and a Flask app that only verifies.

    bench/run ack.py [--seconds 4] [--rounds 3]

One Redis for all, emptied between; the same bodies; one server at a time; no workers. wrk makes the load.
"""

import argparse
import hashlib
import hmac
import itertools
import json
import subprocess
import tempfile
from pathlib import Path

import redis
from machine import BENCH, PRODUCT, SECRET, TWIN, answers, free_port, heading, median, process, redis_server, table, wait_until

BODIES = 60_000
THREADS = 1
NAMES = ["frontdesk", "verify only", "fastapi + celery", "flask + rq"]


def write_bodies(path: Path) -> None:
    serial = itertools.count()
    with path.open("w") as file:
        for _ in range(BODIES):
            n = next(serial)
            message = {
                "from": f"49151{n % 200:07}",
                "id": f"wamid.HBgNNDkxNTEyMzQ1Njc4ORUCABIYFjNFQjBDMUY5QzdDQkE3{n:08}",
                "timestamp": "1790000000",
                "type": "text",
                "text": {"body": f"Hello, are you open tomorrow? \u00fcber {n}"},
            }
            value = {
                "messaging_product": "whatsapp",
                "metadata": {"display_phone_number": "15550100001", "phone_number_id": "100000000000001"},
                "contacts": [{"profile": {"name": "Ana"}, "wa_id": message["from"]}],
                "messages": [message],
            }
            entry = {"id": "200000000000001", "changes": [{"field": "messages", "value": value}]}
            body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]})
            file.write(f"sha256={hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()} {body}\n")


def command(name: str, port: int) -> list:
    gunicorn = [PRODUCT / "python", "-m", "gunicorn"]
    tuned = ["-b", f"127.0.0.1:{port}", "-k", "gthread", "-w", "2", "--threads", "8", "--keep-alive", "75"]
    return {
        "frontdesk": [*gunicorn, "-c", "gunicorn.conf.py", "chatbot:create_app()"],
        "verify only": [*gunicorn, *tuned, "twins.verify_only:create_app()"],
        "flask + rq": [*gunicorn, *tuned, "twins.flask_rq:create_app()"],
        "fastapi + celery": [
            TWIN / "uvicorn", "--host", "127.0.0.1", "--port", port, "--workers", "2", "--loop", "uvloop",
            "--http", "httptools", "--no-access-log", "--log-level", "warning", "twins.fastapi_celery:app",
        ],
    }[name]  # fmt: skip


def measure(bodies: Path, port: int, connections: int, seconds: int) -> list[float]:
    """requests a second, p50, p99, p99.9 in milliseconds."""
    made = subprocess.run(
        ["wrk", "-t", str(THREADS), "-c", str(connections), "-d", f"{seconds}s", "-s", str(BENCH / "payloads.lua"),
         f"http://127.0.0.1:{port}", "--", str(bodies), str(THREADS)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    [line] = [line for line in made.stdout.splitlines() if line.startswith("RESULT")]
    requests, microseconds, refused, p50, p99, p999 = map(float, line.split()[1:])
    if refused:
        raise SystemExit(f"{refused:.0f} of {requests:.0f} requests were refused")
    return [requests / (microseconds / 1e6), p50, p99, p999]


def one_round(name: str, address: str, bodies: Path, connections: list[int], seconds: int) -> dict[int, list[float]]:
    port = free_port()
    redis.Redis.from_url(address).flushall()
    environ = {
        "BENCH_SECRET": SECRET,
        "BENCH_REDIS": address,
        "REDIS_URL": address,
        "WEB_PORT": str(port),
        "WHATSAPP_APP_SECRETS": SECRET,
        "FRONTDESK_ENV": "production",
        "DATA_DIR": str(bodies.parent / "data"),
        "LOG_LEVEL": "warning",
    }
    with process(command(name, port), **environ):
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"))
        measure(bodies, port, 8, 1)
        results = {}
        for count in connections:
            redis.Redis.from_url(address).flushall()
            results[count] = measure(bodies, port, count, seconds)
        return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--fsync", nargs="+", default=["everysec", "always"])
    parser.add_argument("--only", nargs="+", default=NAMES)
    given = parser.parse_args()
    heading("Acknowledgements a second")
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        bodies = Path(folder) / "bodies"
        write_bodies(bodies)
        for fsync in given.fsync:
            with redis_server(fsync) as address:
                rounds = [
                    {name: one_round(name, address, bodies, given.connections, given.seconds) for name in given.only}
                    for _ in range(given.rounds)
                ]
            report(fsync, given, rounds)


def report(fsync: str, given, rounds: list[dict]) -> None:
    print(f"appendfsync {fsync}; medians of {given.rounds} rounds; ratios are to frontdesk's own figure\n")
    rows = []
    for count in given.connections:
        own = [median(one["frontdesk"][count][place] for one in rounds) for place in range(4)]
        for name in given.only:
            figures = [median(one[name][count][place] for one in rounds) for place in range(4)]
            rows.append([name, count, *figures, own[0] / figures[0], own[2] / figures[2]])
    table(["server", "connections", "per second", "p50 ms", "p99 ms", "p99.9 ms", "rate ×", "p99 ×"], rows)


if __name__ == "__main__":
    main()
