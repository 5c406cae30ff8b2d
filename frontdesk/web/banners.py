"""What everybody at the desk must know at once, above every page: stopped numbers, a model that is away, broadcasts."""

from dataclasses import dataclass

from frontdesk.flows import document_work, model_hosts
from frontdesk.flows.context import Context
from frontdesk.queues import WorkerHosts
from frontdesk.store import broadcasts, models, numbers
from frontdesk.work_options import REPLY

DONE_SHOWN_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Banner:
    """`kind`: danger, warning or success. `href` leads to the mend."""

    kind: str
    text: str
    href: str | None = None
    label: str = "Look"


def banners(context: Context) -> list[Banner]:
    return [*_stopped_numbers(context), *_models_away(context), *_broadcasts(context)]


def _stopped_numbers(context: Context) -> list[Banner]:
    return [
        Banner(
            "danger",
            f"{number.display_phone or number.external_id} sends nothing: {number.stopped_reason}. Its messages wait.",
            f"/numbers/{number.id}",
            "Mend it",
        )
        for number in numbers.all_of_them(context.db)
        if number.stopped_at is not None
    ]


def _broadcasts(context: Context) -> list[Banner]:
    """What paused by itself until somebody looks, and for an hour what is done."""
    paused = [
        Banner("warning", f"The broadcast {one.name} pauses: {one.pause_words}", f"/broadcasts/{one.public_id}")
        for one in broadcasts.paused_by_themselves(context.db)
    ]
    done = broadcasts.done_since(context.db, context.now() - DONE_SHOWN_SECONDS)
    return paused + [Banner("success", f"The broadcast {one.name} is done.", f"/broadcasts/{one.public_id}") for one in done]


def _models_away(context: Context) -> list[Banner]:
    """Those that a server lacks, with the command that mends it; and servers whose model does not answer, and whether others do."""
    lacking = model_hosts.missing(context, [pair for pairs in document_work.waiting(context) for pair in pairs])
    told, living = {each.model for each in lacking}, model_hosts.workers(context)
    found = [Banner("warning", each.words) for each in lacking]
    for host in sorted({host for worker in living for host in worker.hosts.values()}) or [context.settings.ollama_host]:
        for model, reason in models.away_now(context.db, host):
            if model not in told:
                found.append(Banner("warning", _words(context, host, model, reason, living)))
    return found


def _words(context: Context, host: str, model: str, reason: str, living: list[WorkerHosts]) -> str:
    if any(worker.hosts[REPLY] != host and worker.serves(REPLY, model) for worker in living):
        return f"The model {model} does not answer at {host} ({reason}). Another server answers meanwhile."
    return f"The model {model} does not answer ({reason}). Messages are kept until it does."
