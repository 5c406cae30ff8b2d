"""Audiences: lists of recipients, uploaded or chosen among the contacts, and what of them was left out."""

import io

from frontdesk.errors import BadFilter
from frontdesk.flows import audience, phones
from frontdesk.flows.refusals import Refused
from frontdesk.store import audience_members, audiences
from frontdesk.web.api import audience_models as models
from frontdesk.web.api.models import Page
from frontdesk.web.api.operation import Call, Operation, client_of, page, sound

LARGEST_BODY_BYTES = 64 * 2**20


def _add(call: Call) -> models.Audience:
    given = call.given
    if (given.text is not None) + (given.filter is not None) + len(call.files) != 1:
        raise Refused(422, "invalid", "Send one file in the form's field file, or give text, or a filter.", "file")
    if given.region is not None and given.region not in phones.regions():
        raise Refused(422, "invalid", "There is no such country.", "region")
    client_id = client_of(call)
    if given.filter is not None:
        return _one_of(call, _chosen(call, client_id))
    stream = call.files[0].stream if call.files else io.BytesIO(given.text.encode("utf-8", "replace"))
    source = "csv" if call.files else "paste"
    return _one_of(call, audience.from_file(call.context, client_id, stream, name=given.name, source=source, region=given.region))


def _chosen(call: Call, client_id: int) -> int:
    try:
        return audience.from_contacts(call.context, client_id, call.given.filter, name=call.given.name)
    except BadFilter as error:
        raise Refused(422, "invalid", str(error), f"filter.{error.field}") from None


def _audiences(call: Call) -> models.Audiences:
    rows, following = page(
        call, lambda db, **which: [{"id": one.id, "row": one} for one in audiences.page(db, **which)], client_id=call.token.client_id
    )
    return models.Audiences(items=[_as_audience(row["row"]) for row in rows], next_cursor=following)


def _known(call: Call) -> audiences.Audience:
    found = audiences.get(call.context.db, call.path["audience_id"])
    if found is None or call.token.client_id not in (None, found.client_id):
        raise Refused(404, "not_found", "There is no such audience.")
    return found


def _left_out(call: Call) -> models.LeftOuts:
    found, limit = _known(call), call.given.limit
    lines = audience_members.bad_lines(
        call.context.db, found.id, after_line=call.given.cursor, limit=limit + 1, cause=call.given.cause
    )
    items = [models.LeftOut(line=one.line, cause=one.cause, reason=sound(one.reason), text=sound(one.text)) for one in lines[:limit]]
    return models.LeftOuts(items=items, next_cursor=lines[limit - 1].line if len(lines) > limit else None)


def _one_of(call: Call, audience_id: int) -> models.Audience:
    return _as_audience(audiences.get(call.context.db, audience_id))


def _as_audience(one: audiences.Audience) -> models.Audience:
    return models.Audience(
        audience_id=one.id,
        client_id=one.client_id,
        name=one.name,
        state=one.state,
        problem=one.problem,
        percent=round(one.done * 100, 1),
        recipients=one.good,
        left_out=one.rows - one.good,
        bad=one.bad,
        duplicates=one.duplicates,
        opted_out=one.opted_out,
        unreachable=one.unreachable,
        columns=[sound(name) for name in one.names],
        created_at=one.created_at,
    )


OPERATIONS = [
    Operation(
        "addAudience", "POST", "/audiences", "broadcasts", "Upload recipients, or choose them among the contacts", models.AddAudience,
        models.Audience, 201, _add, (404,), takes_files=True, largest_body_bytes=LARGEST_BODY_BYTES,
    ),
    Operation("listAudiences", "GET", "/audiences", "broadcasts", "Lists of recipients, oldest first", Page, models.Audiences, 200, _audiences),
    Operation(
        "getAudience", "GET", "/audiences/<int:audience_id>", "broadcasts", "How far a list is read", None, models.Audience, 200,
        lambda call: _as_audience(_known(call)), (404,),
    ),
    Operation(
        "listLeftOut", "GET", "/audiences/<int:audience_id>/left-out", "broadcasts", "Lines that became no recipient, and why", models.LeftOutPage,
        models.LeftOuts, 200, _left_out, (404,),
    ),
]  # fmt: skip
