"""What everybody at the desk must know at once, above every page: stopped numbers, a model that is away."""

from dataclasses import dataclass

from frontdesk.flows.context import Context
from frontdesk.store import models, numbers


@dataclass(frozen=True, slots=True)
class Banner:
    """`kind`: danger or warning. `href` leads to the mend."""

    kind: str
    text: str
    href: str | None = None
    label: str = "Look"


def banners(context: Context) -> list[Banner]:
    return [*_stopped_numbers(context), *_models_away(context)]


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


def _models_away(context: Context) -> list[Banner]:
    return [
        Banner("warning", f"The model {model} does not answer ({reason}). Messages are kept until it does.")
        for model, reason in models.away_now(context.db, context.settings.ollama_host)
    ]
