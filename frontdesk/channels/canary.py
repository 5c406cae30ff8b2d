"""The channel of the canary (flows/canary.py): its webhooks are the Cloud API's own, and what it sends goes to nobody."""

from frontdesk.channels import Accepted, Content, Event, Person, Sender
from frontdesk.channels.cloud_webhook import parse
from frontdesk.channels.widget import WidgetChannel


class CanaryChannel(WidgetChannel):
    """Calls nobody, as the web chat's."""

    carries = ("text",)

    def parse(self, body: bytes) -> list[Event]:
        return parse(body)

    def refusal(self, content: Content) -> str | None:
        return None if content.kind in self.carries else "The canary answers with text alone."

    def send(self, sender: Sender, to: Person, content: Content, *, callback_data: str, **_) -> Accepted:
        return Accepted(f"canary.{callback_data}")
