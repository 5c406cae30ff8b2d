"""Who of the desk looks at a conversation now."""

from frontdesk.queues.connection import Connection


class Presence:
    """Who looks at a conversation now. Gone with Redis, and a few seconds after its page was closed."""

    SECONDS = 15

    def __init__(self, connection: Connection):
        self.redis = connection

    def seen(self, conversation_id: int, user_id: int, now: float, *, writing: bool) -> dict[int, bool]:
        """This user is here; the others who are, and whether each is writing."""
        key = f"presence:{conversation_id}"
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.hset(key, str(user_id), f"{now + self.SECONDS}:{int(writing)}")
        pipeline.expire(key, self.SECONDS)
        pipeline.hgetall(key)
        found = {}
        for other, value in pipeline.execute()[2].items():
            until, _, is_writing = value.decode().partition(":")
            if int(other) != user_id and float(until) > now:
                found[int(other)] = is_writing == "1"
        return found
