"""Redis on another machine: over TLS with a password, and as far away as a private network makes it.

    bench/run machines.py [--messages 100] [--burst 300] [--away 0.5 2]

`--away`: milliseconds there and back, made by a relay that holds every byte for half of it. A webhook costs one round trip; the work behind
it some more. Everything that opens SQLite is on one machine in each line.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis
import requests
from loop import latencies, lift_the_rate, post, throughput
from machine import SECRET, free_port, heading, process, table, wait_until

from frontdesk import redis_server as own
from tests.stack import Stack
from tests.standins.certificates import own_certificate

PASSWORD = "a-password-of-the-benchmark"


@contextmanager
def redis_over_tls(folder: Path):
    """Yields its port; `folder`/own.pem is what vouches for it."""
    own_certificate(folder)
    port, pem = free_port(), folder / "own.pem"
    command = own.redis_command(own.find_redis(), directory=folder, socket_path=folder / "s", appendfsync="everysec")
    tls = ["--tls-port", port, "--port", 0, "--bind", "127.0.0.1", "--tls-cert-file", pem, "--tls-key-file", pem, "--tls-ca-cert-file", pem]
    with process([*command, *tls, "--tls-auth-clients", "no", "--requirepass", PASSWORD]):
        wait_until(lambda: is_there(address(folder, port)))
        yield port


def address(folder: Path, port: int) -> str:
    return f"rediss://:{PASSWORD}@127.0.0.1:{port}/0?ssl_ca_certs={folder / 'own.pem'}"


def is_there(url: str) -> bool:
    try:
        return redis.Redis.from_url(url).ping()
    except redis.ConnectionError:
        return False


@contextmanager
def away(port: int, milliseconds: float):
    """Yields the port of a relay to `port`."""
    outer = free_port()
    with process([Path(__file__).parent / ".venv" / "bin" / "python", __file__, "--relay", outer, port, milliseconds]):
        time.sleep(1)
        yield outer


async def relay(outer: int, inner: int, milliseconds: float) -> None:
    loop, half = asyncio.get_running_loop(), milliseconds / 2000

    async def copy(reader, writer) -> None:
        while chunk := await reader.read(65536):
            loop.call_later(half, writer.write, chunk)
        loop.call_later(half, writer.close)

    async def accept(reader, writer) -> None:
        there = await asyncio.open_connection("127.0.0.1", inner)
        await asyncio.gather(copy(reader, there[1]), copy(there[0], writer), return_exceptions=True)

    async with await asyncio.start_server(accept, "127.0.0.1", outer) as server:
        await server.serve_forever()


def measured(name: str, folder: Path, given, **settings: str) -> list:
    without = ("redis",) if "REDIS_URL" in settings else ()
    with Stack(folder, without=without, QUIET_SECONDS="0", WHATSAPP_APP_SECRETS=SECRET, LOG_LEVEL="warning", SWEEP_SECONDS="15", **settings) as stack:
        stack.simulator.behave(windows=False, statuses={"off": True})
        lift_the_rate(stack)
        latencies(stack.web_url, stack.simulator, 10, 0)
        took = latencies(stack.web_url, stack.simulator, given.messages, 1000)
        acknowledged = acknowledgements(stack.web_url, given.messages)
        stack.simulator._call("POST", "reset")
        stack.simulator.behave(windows=False, statuses={"off": True})
        rate = throughput(stack.web_url, stack.simulator, given.burst, 0)
    return [name, statistics.median(acknowledged), statistics.quantiles(acknowledged, n=100)[98], statistics.median(took), rate]


def acknowledgements(url: str, count: int) -> list[float]:
    session, found = requests.Session(), []
    for n in range(count):
        begin = time.perf_counter()
        post(session, url, "4915200000001", 10**7 + n)
        found.append((time.perf_counter() - begin) * 1000)
        time.sleep(0.01)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100)
    parser.add_argument("--burst", type=int, default=300)
    parser.add_argument("--away", type=float, nargs="*", default=[0.5, 2])
    parser.add_argument("--relay", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.relay:
        asyncio.run(relay(int(given.relay[0]), int(given.relay[1]), float(given.relay[2])))
        return
    heading("Redis on another machine")
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        rows = [measured("on a socket, as bin/start has it", Path(folder), given)]
    for milliseconds in (0, *given.away):
        with tempfile.TemporaryDirectory(prefix="bench") as folder, ExitStack() as stack:
            port = stack.enter_context(redis_over_tls(Path(folder)))
            if milliseconds:
                port = stack.enter_context(away(port, milliseconds))
            name = f"TLS and a password, {milliseconds:g} ms away" if milliseconds else "TLS and a password, on this machine"
            rows.append(measured(name, Path(folder), given, REDIS_URL=address(Path(folder), port)))
    for row in rows:
        row.append(rows[0][4] and row[4] / rows[0][4])
    table(["Redis", "acknowledged p50 ms", "p99 ms", "answered p50 ms", "conversations/s", "rate ×"], rows)


if __name__ == "__main__":
    main()
