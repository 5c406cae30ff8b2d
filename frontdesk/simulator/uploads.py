"""Files: what Meta refuses of an upload, by its type and size, written from its reference and not from Frontdesk's own checks; and what
customers send, which Meta takes as it is within the kind's size.
"""

from typing import Any

from flask import Request

from frontdesk.simulator.checks import MOST_BYTES as MOST_BYTES_OF, Refused
from frontdesk.simulator.record import media_of

MB = 1024 * 1024
OFFICE = "application/vnd.openxmlformats-officedocument."
# An upload does not say which kind of message it is for: pictures, videos and sounds may go out as documents.
MOST_BYTES = {
    "image/webp": 500 * 1024,
    **dict.fromkeys(("image/jpeg", "image/png", "video/mp4", "video/3gpp"), 100 * MB),
    **dict.fromkeys(("audio/aac", "audio/mp4", "audio/mpeg", "audio/amr", "audio/ogg", "audio/opus"), 100 * MB),
    **dict.fromkeys(("application/pdf", "text/plain", "application/msword", "application/vnd.ms-excel"), 100 * MB),
    **dict.fromkeys(("application/vnd.ms-powerpoint", OFFICE + "wordprocessingml.document"), 100 * MB),
    **dict.fromkeys((OFFICE + "spreadsheetml.sheet", OFFICE + "presentationml.presentation"), 100 * MB),
}


def uploaded(request: Request) -> dict[str, Any]:
    """The file of an upload, once all is as Meta wants it. Raises Refused."""
    file = request.files.get("file")
    if request.form.get("messaging_product") != "whatsapp":
        raise Refused(100, "(#100) The parameter messaging_product is required.")
    if file is None:
        raise Refused(100, "(#100) The parameter file is required.")
    if file.mimetype not in MOST_BYTES:
        taken = ", ".join(MOST_BYTES)
        raise Refused(100, f"Param file must be a file with one of the following types: {taken}. Received file of type '{file.mimetype}'.")
    if request.form.get("type", file.mimetype).partition(";")[0] != file.mimetype:
        raise Refused(100, f"Param type is {request.form['type']}, and the file is {file.mimetype}.")
    data = file.read()
    if not 0 < len(data) <= MOST_BYTES[file.mimetype]:
        raise Refused(131053, f"Media upload error: a file of {len(data)} bytes of type {file.mimetype}")
    return media_of(data, file.mimetype, file.filename)


def sent_file(request: Request, media_id: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The type of a customer's message, its file, and the message's object of it. Raises ValueError where the phone would refuse."""
    file, asked = request.files["file"], request.form.get("type") or ""
    mime_type = file.mimetype or "application/octet-stream"
    kind = "audio" if asked == "voice" else asked or _usual_kind(mime_type)
    if kind not in MOST_BYTES_OF:
        raise ValueError(f"there is no message of type {kind}")
    data = file.read(MOST_BYTES_OF[kind] + 1)
    if not 0 < len(data) <= MOST_BYTES_OF[kind]:
        raise ValueError(f"a file of type {kind} has between one byte and {MOST_BYTES_OF[kind]}")
    media = {**media_of(data, mime_type, file.filename), "data": data}
    content: dict[str, Any] = {"id": media_id, "mime_type": mime_type, "sha256": media["sha256"]}
    if kind == "audio":
        content["voice"] = asked == "voice"
    if kind == "document":
        content["filename"] = file.filename
    if request.form.get("caption") and kind in ("image", "video", "document"):
        content["caption"] = request.form["caption"]
    return kind, media, content


def _usual_kind(mime_type: str) -> str:
    if mime_type in ("image/jpeg", "image/png"):
        return "image"
    family = mime_type.partition("/")[0]
    return "sticker" if mime_type == "image/webp" else family if family in ("audio", "video") else "document"
