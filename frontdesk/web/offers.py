"""What else than a text the desk offers to send in a conversation: what its channel carries, and nothing that it would refuse."""

from dataclasses import dataclass

from frontdesk.channels import Channel


@dataclass(frozen=True, slots=True)
class Offer:
    """A page of compose.py. `carried_as`: the kind of content that it becomes; `menu` and `tab` name it to a person."""

    kind: str
    carried_as: str
    icon: str
    menu: str
    tab: str


OFFERS = (
    Offer("text", "text", "calendar", "A text, later", "Text"),
    Offer("template", "template", "file", "Template", "Template"),
    Offer("buttons", "interactive", "more", "Buttons", "Buttons"),
    Offer("list", "interactive", "queue", "List to choose from", "List"),
    Offer("location", "location", "place", "Place", "Place"),
)


def of(channel: Channel) -> list[Offer]:
    return [offer for offer in OFFERS if offer.carried_as in channel.carries]
