"""What everybody at the desk must know at once, above every page: stopped numbers, a model that is away, broadcasts."""

from dataclasses import dataclass

from frontdesk.flows.context import Context
from frontdesk.store import broadcasts, models, numbers

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
    return [
        Banner("warning", f"The model {model} does not answer ({reason}). Messages are kept until it does.")
        for model, reason in models.away_now(context.db, context.settings.ollama_host)
    ]
