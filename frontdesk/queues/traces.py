"""What Redis still holds of somebody who was erased. Jobs carry ids alone; only a traceback could quote more."""

import time
from collections.abc import Iterable

from redis.exceptions import ResponseError

from frontdesk.queues.connection import Connection

REWRITE_SECONDS = 60


def forget(connection: Connection, names: Iterable[str]) -> int:
    """RQ's jobs and results that mention one of the names go. Returns how many."""
    wanted = [name.encode() for name in names]
    found = []
    for pattern, read in (("rq:job:*", connection.hgetall), ("rq:results:*", connection.xrange)):
        for key in connection.scan_iter(match=pattern, count=1000):
            if any(name in repr(read(key)).encode() for name in wanted):
                found.append(key)
    if found:
        connection.delete(*found)
    return len(found)


def rewrite(connection: Connection) -> bool:
    """The append-only file as if what is gone had never been there. False: not yet. A Redis that lets nobody do this answers for itself."""
    try:
        connection.bgrewriteaof()
    except ResponseError as error:
        if "in progress" not in str(error) and "scheduled" not in str(error):
            return True
    ends_at = time.monotonic() + REWRITE_SECONDS
    while time.monotonic() < ends_at:
        facts = connection.info("persistence")
        if not facts.get("aof_rewrite_in_progress") and not facts.get("aof_rewrite_scheduled"):
            return facts.get("aof_last_bgrewrite_status", "ok") == "ok"
        time.sleep(0.05)
    return False
