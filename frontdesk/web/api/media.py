"""Files for messages: uploaded in a form, or named by an address that a job fetches."""

from frontdesk import fetch
from frontdesk.errors import FetchRefused, MediaRefused
from frontdesk.flows import media as keeping, media_types
from frontdesk.flows.refusals import Refused
from frontdesk.store import media as rows
from frontdesk.store.media import Media
from frontdesk.web.api import models
from frontdesk.web.api.operation import Call, Operation, client_of

LARGEST_BODY_BYTES = media_types.MOST_BYTES + 64 * 1024  # a form's own words stand around the file


def _add(call: Call) -> models.Media:
    if (call.given.url is None) == (not call.files):
        raise Refused(422, "invalid", "Send a file in the form's field file, or give a url.", "url")
    client_id = client_of(call)
    try:
        if call.given.url is not None:
            fetch.check(call.given.url)
            return _as_media(keeping.keep_from_url(call.context, call.given.url, client_id=client_id))
        [file] = call.files[:1]
        kept = keeping.keep(call.context, file.stream, client_id=client_id, filename=file.filename or "", declared_type=file.mimetype)
    except FetchRefused as error:
        raise Refused(422, error.code, str(error), "url") from None
    except MediaRefused as error:
        raise Refused(413 if error.code == "too_large" else 422, error.code, str(error), "file") from None
    return _as_media(kept)


def _one(call: Call) -> models.Media:
    found = rows.by_public_id(call.context.db, call.path["media_id"])
    if found is None or call.token.client_id not in (None, found.client_id):
        raise Refused(404, "not_found", "There is no such file.")
    return _as_media(found)


def _as_media(one: Media) -> models.Media:
    failure = models.ErrorBody(code=one.error_code or "failed", message=one.error_words or "") if one.state == "failed" else None
    return models.Media(
        media_id=one.public_id,
        status=one.state,
        kinds=keeping.kinds(one),
        mime_type=one.mime_type,
        size_bytes=one.size_bytes,
        sha256=one.sha256,
        filename=one.filename,
        failure=failure,
        created_at=one.created_at,
    )


OPERATIONS = [
    Operation(
        "addMedia", "POST", "/media", "send", "Upload a file for messages, or have it fetched", models.AddMedia, models.Media, 201, _add, (404,),
        takes_files=True, largest_body_bytes=LARGEST_BODY_BYTES,
    ),
    Operation("getMedia", "GET", "/media/<media_id>", "send", "Whether a file is ready, and as what it can go", None, models.Media, 200, _one, (404,)),
]  # fmt: skip
