"""Who is here now: people at conversations, and workers at their Ollama servers. Gone with Redis, and told anew within seconds."""

import json
from dataclasses import asdict, dataclass

from frontdesk.queues.connection import Connection


@dataclass(frozen=True, slots=True)
class Server:
    """An Ollama server, as a worker last found it. `models` None: it does not answer."""

    version: str | None
    models: tuple[str, ...] | None

    def has(self, model: str) -> bool:
        """Ollama lists `llama3.2:latest` for what is called `llama3.2`."""
        return self.models is not None and (model in self.models or f"{model}:latest" in self.models)


@dataclass(frozen=True, slots=True)
class WorkerHosts:
    """What a worker that asks the model says of itself: kind of work → the address where it has it done, address → the server."""

    name: str
    hosts: dict[str, str]
    servers: dict[str, Server]

    def serves(self, kind: str, model: str) -> bool:
        server = self.servers.get(self.hosts.get(kind, self.hosts["reply"]))
        return server is not None and server.has(model)


class Presence:
    """Of people: gone a few seconds after the page was closed. Of workers: after WORKER_SECONDS without a word."""

    SECONDS = 15
    WORKERS, WORKER_SECONDS = "model-workers", 35
    JUDGED, JUDGED_SECONDS = "alerts:judged", 120

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

    def tell(self, worker: WorkerHosts, now: float) -> None:
        """This worker is here. Those that have said nothing for long are forgotten."""
        gone = [name for name, told_at, _ in self._told() if not self._is_living(told_at, now)]
        if gone:
            self.redis.hdel(self.WORKERS, *gone)
        self.redis.hset(self.WORKERS, worker.name, json.dumps({"told_at": now, **asdict(worker)}))

    def leave(self, worker: str) -> None:
        self.redis.hdel(self.WORKERS, worker)

    def workers(self, now: float) -> list[WorkerHosts]:
        """Those that are here and ask a model, by name."""
        return sorted((worker for _, told_at, worker in self._told() if self._is_living(told_at, now)), key=lambda worker: worker.name)

    def judged(self) -> None:
        """Somebody looked whether anything needs a person."""
        self.redis.set(self.JUDGED, 1, ex=self.JUDGED_SECONDS)

    def is_judged(self) -> bool:
        return bool(self.redis.exists(self.JUDGED))

    def _told(self) -> list[tuple[str, float, WorkerHosts]]:
        found = []
        for name, value in self.redis.hgetall(self.WORKERS).items():
            told = json.loads(value)
            servers = {
                address: Server(one["version"], tuple(one["models"]) if one["models"] is not None else None)
                for address, one in told["servers"].items()
            }
            found.append((name.decode(), told["told_at"], WorkerHosts(told["name"], told["hosts"], servers)))
        return found

    def _is_living(self, told_at: float, now: float) -> bool:
        return abs(now - told_at) < self.WORKER_SECONDS
