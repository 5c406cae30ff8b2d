"""What goes in and what comes out where deliveries of callbacks are looked at and made again."""

from typing import Literal

from pydantic import BaseModel, Field

from frontdesk.web.api.models import Page

State = Literal["wanted", "delivered", "failed"]


class DeliveriesPage(Page):
    state: State | None = None


class Delivery(BaseModel):
    """`delivery_id`: what X-Frontdesk-Delivery says, the same for each attempt. `http_status`, `answer`: of the newest attempt, the body's
    first 2,048 bytes. A query in `url` is left out. Times are UTC epoch seconds.
    """

    delivery_id: str
    event: str
    url: str
    state: State = Field(description="wanted: still to be taken; failed: given up after a day, or never possible.")
    attempts: int
    http_status: int | None
    answer: str
    problem: str | None
    created_at: float
    tried_at: float | None
    next_attempt_at: float | None


class Deliveries(BaseModel):
    items: list[Delivery]
    next_cursor: int | None
