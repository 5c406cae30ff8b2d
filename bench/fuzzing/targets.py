"""What is fuzzed: each target reads bytes and raises for what must not be. The documented errors are caught here, nothing else."""

from fuzzing.base import Target


def make(name: str) -> Target:
    from fuzzing import desk, reading, webhooks

    made = {**webhooks.TARGETS, **reading.TARGETS, **desk.TARGETS}
    return made[name]()
