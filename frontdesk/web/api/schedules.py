"""Messages for later: once at a time, or again and again by a rule."""

from frontdesk.flows import firing, recurrence, scheduling
from frontdesk.flows.addressee import CannotAddress
from frontdesk.flows.refusals import STATUS, Refused
from frontdesk.flows.outgoing import CannotSend
from frontdesk.flows.scheduling import Changes, Wanted
from frontdesk.store import schedules
from frontdesk.store.schedules import Schedule
from frontdesk.web.api import models
from frontdesk.web.api.operation import Call, Operation, digits, once, page, sendable


def _make(call: Call) -> models.Schedule:
    given, context = call.given, call.context
    wanted = Wanted(
        sendable(given.message), given.conversation_id, digits(given.phone_number), given.number_id,
        name=given.name, at=given.at, rule=given.rule, time_zone=given.time_zone, late_limit_seconds=given.late_limit_seconds,
    )  # fmt: skip

    def make(db) -> models.Schedule:
        try:
            return _as_schedule(schedules.get(db, scheduling.add(context, db, wanted, client_id=call.token.client_id)))
        except CannotSend as error:
            raise _refused(error) from None

    answer = once(call, wanted, models.Schedule, make)
    firing.ring(context)
    return answer


def _refused(error: CannotSend) -> Refused:
    of_request = ("phone_number", "conversation_id", "number_id", "at", "rule", "time_zone", "name", "late_limit_seconds", "reply_to")
    in_message = error.field and not (isinstance(error, scheduling.CannotSchedule | CannotAddress) or error.field in of_request and error.code == "window_closed")
    refused = Refused.because(error, f"message.{error.field}" if in_message else error.field)
    refused.status = 409 if error.code == "schedule_over" else STATUS.get(error.code, 422)
    return refused


def _schedules(call: Call) -> models.Schedules:
    rows, following = page(call, lambda db, **which: [{"id": one.id, "row": one} for one in schedules.page(db, **which)], client_id=call.token.client_id)
    return models.Schedules(items=[_as_schedule(row["row"]) for row in rows], next_cursor=following)


def _schedule(call: Call) -> models.Schedule:
    return _as_schedule(_known(call))


def _known(call: Call) -> Schedule:
    found = schedules.find(call.context.db, call.path["schedule_id"], client_id=call.token.client_id)
    if found is None:
        raise Refused(404, "not_found", "There is no such schedule.")
    return found


def _change(call: Call) -> models.Schedule:
    given = call.given
    message = None if given.message is None else sendable(given.message)
    changes = Changes(message, given.name, given.at, given.rule, given.time_zone, given.late_limit_seconds)
    return _changed(call, lambda context, id_, client_id: scheduling.change(context, id_, changes, client_id=client_id))


def _turn(turn):
    return lambda call: _changed(call, lambda context, id_, client_id: turn(context, id_, client_id=client_id))


def _changed(call: Call, change) -> models.Schedule:
    try:
        return _as_schedule(change(call.context, call.path["schedule_id"], call.token.client_id))
    except CannotSend as error:
        raise _refused(error) from None


def _firings(call: Call) -> models.Firings:
    found = schedules.firings(call.context.db, _known(call).id)
    return models.Firings(items=[models.Firing(due_at=one.due_at, fired_at=one.fired_at, outcome=one.outcome, code=one.code, words=one.words) for one in found])


def _as_schedule(one: Schedule) -> models.Schedule:
    return models.Schedule(
        schedule_id=one.public_id,
        state=one.state,
        name=one.name,
        conversation_id=one.conversation_id,
        phone_number=one.phone,
        number_id=one.number_id,
        kind=one.content["kind"],
        text=one.content["text"],
        rule=one.rule,
        rule_in_words=recurrence.parse(one.rule).words if one.rule else None,
        time_zone=one.time_zone,
        next_at=one.next_at,
        late_limit_seconds=one.late_limit_seconds,
        last_fired_at=one.last_fired_at,
        last_outcome=one.last_outcome,
        last_words=one.last_words,
        created_at=one.created_at,
    )


OPERATIONS = [
    Operation(
        "makeSchedule", "POST", "/schedules", "send", "Send a message later, once or again and again", models.MakeSchedule,
        models.Schedule, 201, _make, (404, 409), takes_key=True,
    ),
    Operation("listSchedules", "GET", "/schedules", "read", "Schedules, oldest first", models.Page, models.Schedules, 200, _schedules),
    Operation("getSchedule", "GET", "/schedules/<schedule_id>", "read", "One schedule", None, models.Schedule, 200, _schedule, (404,)),
    Operation(
        "changeSchedule", "PATCH", "/schedules/<schedule_id>", "send", "Change its message, its time or its name", models.ChangeSchedule,
        models.Schedule, 200, _change, (404, 409),
    ),
    Operation(
        "pauseSchedule", "POST", "/schedules/<schedule_id>/pause", "send", "Nothing goes out until it is resumed", None, models.Schedule, 200,
        _turn(scheduling.pause), (404, 409),
    ),
    Operation(
        "resumeSchedule", "POST", "/schedules/<schedule_id>/resume", "send", "Go on with the next time", None, models.Schedule, 200,
        _turn(scheduling.resume), (404, 409),
    ),
    Operation(
        "cancelSchedule", "DELETE", "/schedules/<schedule_id>", "send", "Cancel it for ever", None, models.Schedule, 200,
        _turn(scheduling.cancel), (404, 409),
    ),
    Operation(
        "listFirings", "GET", "/schedules/<schedule_id>/firings", "read", "What came of its newest times", None, models.Firings, 200,
        _firings, (404,),
    ),
]  # fmt: skip
