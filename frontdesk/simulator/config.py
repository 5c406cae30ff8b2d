"""Who the simulator pretends to be, from the environment that `bin/start` gives it."""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Config:
    port: int
    webhook_url: str
    app_secret: str
    access_token: str
    phone_number_id: str
    account_id: str
    display_phone: str
    widget_key: str

    @property
    def web_url(self) -> str:
        """Frontdesk's own origin."""
        parts = urlsplit(self.webhook_url)
        return f"{parts.scheme}://{parts.netloc}"

    @classmethod
    def from_environment(cls) -> "Config":
        get = os.environ.get
        return cls(
            port=int(get("SIMULATOR_PORT", "8001")),
            webhook_url=get("SIMULATOR_WEBHOOK_URL", "http://127.0.0.1:8000/webhooks/whatsapp"),
            app_secret=get("SIMULATOR_APP_SECRET", ""),
            access_token=get("SIMULATOR_ACCESS_TOKEN", "simulator"),
            phone_number_id=get("SIMULATOR_PHONE_NUMBER_ID", "100000000000001"),
            account_id=get("SIMULATOR_WABA_ID", "200000000000001"),
            display_phone=get("SIMULATOR_DISPLAY_PHONE", "15550100001"),
            widget_key=get("SIMULATOR_WIDGET_KEY", "corner-bakery"),
        )
