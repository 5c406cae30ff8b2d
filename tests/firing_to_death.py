"""Fires schedules in children that are killed with SIGKILL at the first line of our code, then at the second, and so on.

    python -m tests.firing_to_death DATA_DIR REDIS_ADDRESS CONVERSATION

After each death the parent fires what is still due, as the sweep would have it done. Prints how many deaths there were.
"""

import os
import signal
import sys
import time

from frontdesk import queues
from frontdesk import settings as settings_module
from frontdesk.flows import firing, scheduling
from frontdesk.flows.context import Context, make
from frontdesk.flows.contents import TextMessage
from frontdesk.store import schedules
from frontdesk.store.database import transaction

OURS = ("flows/firing.py", "store/schedules.py", "store/outbox.py", "store/database.py", "queues/work.py", "queues/bells.py")


def die_at(count: int) -> None:
    seen = 0

    def trace(frame, event, _):
        nonlocal seen
        if not frame.f_code.co_filename.endswith(OURS):
            return None
        seen += event == "line"
        if seen == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def prepare(context: Context, conversation_id: int) -> None:
    """One that goes out once and one that recurs, both due now."""
    with transaction(context.db) as db:
        for rule in (None, "every hour"):
            wanted = scheduling.Wanted(TextMessage(text="x"), conversation_id, at=None if rule else time.time() + 60, rule=rule)
            schedules.change(db, scheduling.add(context, db, wanted), {"next_at": time.time() - 1}, time.time())


def main() -> None:
    data_dir, redis_address, conversation_id = sys.argv[1:]
    settings = settings_module.load({"DATA_DIR": data_dir}, env_file="/dev/null")
    count = 0
    while True:
        count += 1
        context = make(settings, queues.connect(redis_address))
        prepare(context, int(conversation_id))
        child = os.fork()
        if child == 0:
            context = make(settings, queues.connect(redis_address))
            die_at(count)
            firing.fire_due(context)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        firing.fire_due(context)
        if not os.WIFSIGNALED(status):
            break
    print(count - 1)


if __name__ == "__main__":
    main()
