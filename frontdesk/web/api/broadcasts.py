"""Broadcasts: made, started, paused, watched."""

from frontdesk.flows import broadcasts as control, callbacks, mends, reach
from frontdesk.flows.broadcasts import CannotBroadcast, Wanted
from frontdesk.flows.refusals import Refused
from frontdesk.store import broadcasts
from frontdesk.store.broadcasts import Broadcast
from frontdesk.web.api import broadcast_models as models
from frontdesk.web.api.models import Failure, Page
from frontdesk.web.api.operation import Call, Operation, digits, once, page, sound

STATUS = {"not_found": 404, "wrong_state": 409, "not_ready": 409}


def _make(call: Call) -> models.Broadcast:
    context, wanted = call.context, _wanted(call.given)
    callbacks.check(context, wanted.callback_url)

    def make(db) -> models.Broadcast:
        try:
            return _shown(call, broadcasts.get(db, control.add(context, db, wanted, client_id=call.token.client_id)))
        except CannotBroadcast as error:
            raise _refused(error) from None

    return once(call, wanted, models.Broadcast, make)


def _alter(call: Call) -> models.Broadcast:
    callbacks.check(call.context, call.given.callback_url)
    try:
        control.change(call.context, _known(call).id, _wanted(call.given), client_id=call.token.client_id)
    except CannotBroadcast as error:
        raise _refused(error) from None
    return _shown(call, _known(call))


def _wanted(given: models.MakeBroadcast) -> Wanted:
    values = given.model_dump(exclude={"variables", "quiet_from", "quiet_until"})
    variables = {name: source.model_dump(exclude_none=True) for name, source in given.variables.items()}
    return Wanted(**values, variables=variables, quiet_from=_minutes(given.quiet_from), quiet_until=_minutes(given.quiet_until))


def _minutes(clock: str | None) -> int | None:
    return int(clock[:2]) * 60 + int(clock[3:]) if clock else None


def _clock(minutes: int | None) -> str | None:
    return None if minutes is None else f"{minutes // 60:02}:{minutes % 60:02}"


def _refused(error: CannotBroadcast) -> Refused:
    return Refused(STATUS.get(error.code, 422), error.code, str(error), error.field)


def _broadcasts(call: Call) -> models.Broadcasts:
    rows, following = page(
        call, lambda db, **which: [{"id": one.id, "row": one} for one in broadcasts.page(db, **which)], client_id=call.token.client_id
    )
    return models.Broadcasts(items=[_shown(call, row["row"], brief=True) for row in rows], next_cursor=following)


def _broadcast(call: Call) -> models.BroadcastInDepth:
    found, db = _known(call), call.context.db
    return models.BroadcastInDepth(
        **_shown(call, found).model_dump(),
        failures=[models.FailureCount(**_failure(row).model_dump(), count=row["count"]) for row in broadcasts.failures(db, found.id)],
        skips=[models.Counted(cause=sound(cause), count=count) for cause, count in broadcasts.skips(db, found.id).items()],
        expected_seconds=control.estimate_seconds(call.context, found),
        warning=reach.warning(call.context, found),
    )


def _known(call: Call) -> Broadcast:
    found = broadcasts.find(call.context.db, call.path["broadcast_id"], client_id=call.token.client_id)
    if found is None:
        raise Refused(404, "not_found", "There is no such broadcast.")
    return found


def _start(call: Call) -> models.Broadcast:
    return _turned(call, lambda context, id_: control.start(context, id_, call.given.at))


def _turn(change):
    return lambda call: _turned(call, change)


def _turned(call: Call, change) -> models.Broadcast:
    found = _known(call)
    try:
        change(call.context, found.id)
    except CannotBroadcast as error:
        raise _refused(error) from None
    return _shown(call, broadcasts.get(call.context.db, found.id))


def _recipients(call: Call) -> models.Recipients:
    found, given = _known(call), call.given
    phone = digits(given.phone_number)
    if given.state == "skipped":
        rows, following = page(
            call, lambda db, **which: [{"id": row["position"], **row} for row in broadcasts.skipped(db, found.id, phone=phone, **which)]
        )
        items = [models.Recipient(phone_number=row["phone"], state="skipped", skipped_because=sound(row["cause"])) for row in rows]
        return models.Recipients(items=items, next_cursor=following)
    rows, following = page(call, lambda db, **which: broadcasts.recipients(db, found.id, state=given.state, phone=phone, **which))
    return models.Recipients(items=[_recipient(row) for row in rows], next_cursor=following)


def _recipient(row) -> models.Recipient:
    return models.Recipient(
        phone_number=row["phone"],
        state=row["state"],
        task_id=row["public_id"],
        conversation_id=row["conversation_id"],
        sent_at=row["sent_at"],
        delivered_at=row["delivered_at"],
        read_at=row["read_at"],
        answered_at=row["replied_at"],
        failure=_failure(row) if row["state"] == "failed" else None,
    )


def _failure(row) -> Failure:
    cause = mends.cause_of(row["error_code"])
    return Failure(cause=cause.name, code=row["error_code"], title=sound(row["error_title"]), details=None, mend=cause.mend)


def _shown(call: Call, one: Broadcast, *, brief: bool = False) -> models.Broadcast:
    done = control.progress(call.context, one, brief=brief)
    counts = {name: getattr(done, name) for name in models.BroadcastProgress.model_fields if name != "messages_per_second"}
    return models.Broadcast(
        broadcast_id=one.public_id,
        state=one.state,
        name=one.name,
        number_id=one.number_id,
        audience_id=one.audience_id,
        template=one.content["name"],
        language=one.content["language"],
        variables=one.content["variables"],
        pause_code=one.pause_code,
        pause_words=sound(one.pause_words),
        starts_at=one.starts_at,
        messages_per_second=one.messages_per_second,
        spread_seconds=one.spread_seconds,
        quiet_from=_clock(one.quiet_from),
        quiet_until=_clock(one.quiet_until),
        most_waiting=one.most_waiting,
        error_limit=one.error_limit,
        created_at=one.created_at,
        started_at=one.started_at,
        finished_at=one.finished_at,
        progress=models.BroadcastProgress(**counts, messages_per_second=done.rate),
    )


def _change(verb: str, summary: str, does, given=None) -> Operation:
    return Operation(
        f"{verb}Broadcast", "POST", f"/broadcasts/<broadcast_id>/{verb}", "broadcasts", summary, given, models.Broadcast, 200, does, (404, 409),
        body_optional=True,
    )  # fmt: skip


OPERATIONS = [
    Operation(
        "makeBroadcast", "POST", "/broadcasts", "broadcasts", "A template to everybody of an audience, as a draft", models.MakeBroadcast,
        models.Broadcast, 201, _make, (404, 409), takes_key=True,
    ),
    Operation("listBroadcasts", "GET", "/broadcasts", "broadcasts", "Broadcasts, oldest first", Page, models.Broadcasts, 200, _broadcasts),
    Operation(
        "getBroadcast", "GET", "/broadcasts/<broadcast_id>", "broadcasts", "How a broadcast stands", None, models.BroadcastInDepth, 200,
        _broadcast, (404,),
    ),
    Operation(
        "changeBroadcast", "PUT", "/broadcasts/<broadcast_id>", "broadcasts", "All of a broadcast that has not begun", models.MakeBroadcast,
        models.Broadcast, 200, _alter, (404, 409),
    ),
    _change("start", "Begin, at once or at a time", _start, models.StartBroadcast),
    _change("pause", "Nothing more goes out until it is resumed", _turn(control.pause)),
    _change("resume", "Go on with those that are left", _turn(control.resume)),
    _change("cancel", "Send no more of it, for ever", _turn(control.cancel)),
    Operation(
        "listRecipients", "GET", "/broadcasts/<broadcast_id>/recipients", "broadcasts", "What became of each recipient", models.RecipientsPage,
        models.Recipients, 200, _recipients, (404,),
    ),
]  # fmt: skip
