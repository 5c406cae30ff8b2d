"""Deliveries of callbacks: what became of each, and once more."""

from frontdesk.flows import callbacks as flow
from frontdesk.flows.refusals import Refused
from frontdesk.store import callbacks
from frontdesk.store.callbacks import Callback
from frontdesk.web.api import callback_models as models
from frontdesk.web.api.operation import Call, Operation, page, sound

SCOPE = "documents or broadcasts"


def _deliveries(call: Call) -> models.Deliveries:
    def read(db, **which) -> list[dict]:
        return [{"id": one.id, "row": one} for one in callbacks.page(db, **which)]

    rows, following = page(call, read, client_id=call.token.client_id, state=call.given.state or "")
    return models.Deliveries(items=[_shown(row["row"]) for row in rows], next_cursor=following)


def _resend(call: Call) -> models.Delivery:
    public_id, client_id = call.path["delivery_id"], call.token.client_id
    found = callbacks.get(call.context.db, public_id, client_id=client_id)
    if found is None:
        raise Refused(404, "not_found", "There is no such delivery.")
    flow.send_again(call.context, found)
    return _shown(callbacks.get(call.context.db, public_id, client_id=client_id))


def _shown(one: Callback) -> models.Delivery:
    return models.Delivery(
        delivery_id=one.public_id,
        event=one.event,
        url=flow.address(one.url),
        state=one.state,
        attempts=one.attempts,
        http_status=one.status,
        answer=sound(one.answer),
        problem=sound(one.words),
        created_at=one.created_at,
        tried_at=one.tried_at,
        next_attempt_at=one.due_at if one.state == "wanted" else None,
    )


OPERATIONS = [
    Operation(
        "listCallbacks", "GET", "/callbacks", SCOPE, "Deliveries of callbacks, oldest first", models.DeliveriesPage, models.Deliveries, 200,
        _deliveries,
    ),
    Operation(
        "resendCallback", "POST", "/callbacks/<delivery_id>/resend", SCOPE, "Make a delivery once more, under the same id", None,
        models.Delivery, 200, _resend, (404,),
    ),
]  # fmt: skip
