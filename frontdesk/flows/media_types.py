"""What WhatsApp takes as media: which types and sizes as which kind of message, and what a file is, by its content.

Sizes: facts of the Cloud API ("Media"). Types: the list that its upload names when it refuses another one.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath

from frontdesk.errors import MediaRefused

MB, KB = 1024 * 1024, 1024
HEAD_BYTES = 8192  # of a file, that its type is told by

WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
SLIDES = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
OLD_WORD, OLD_SLIDES, OLD_SHEET = "application/msword", "application/vnd.ms-powerpoint", "application/vnd.ms-excel"

IMAGES = ("image/jpeg", "image/png")
VIDEOS = ("video/mp4", "video/3gpp")
SOUNDS = ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg")
PAPERS = ("application/pdf", "text/plain", WORD, SHEET, SLIDES, OLD_WORD, OLD_SHEET, OLD_SLIDES)


@dataclass(frozen=True, slots=True)
class Limit:
    """`still_bytes`: of a sticker that does not move."""

    types: tuple[str, ...]
    most_bytes: int
    still_bytes: int | None = None
    named: str = ""


# In the order in which a file's own kind is looked for.
LIMITS = {
    "image": Limit(IMAGES, 5 * MB, named="a picture"),
    "video": Limit(VIDEOS, 16 * MB, named="a video"),
    "audio": Limit(SOUNDS, 16 * MB, named="a sound"),
    "sticker": Limit(("image/webp",), 500 * KB, still_bytes=100 * KB, named="a sticker"),
    "document": Limit((*PAPERS, *IMAGES, *VIDEOS, *SOUNDS), 100 * MB, named="a document"),
}
MOST_BYTES = max(limit.most_bytes for limit in LIMITS.values())

# What servers and browsers call the same things.
ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "audio/mp3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/x-mpeg": "audio/mpeg",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/x-aac": "audio/aac",
    "audio/aacp": "audio/aac",
    "audio/opus": "audio/ogg",
    "application/ogg": "audio/ogg",
    "video/3gp": "video/3gpp",
    "application/x-pdf": "application/pdf",
}
SAYS_NOTHING = ("", "application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded")

UNKNOWN = "application/octet-stream"
# What may come as which kind: a little more than may be sent, for all of it can be shown.
_SOUNDS_IN_VIDEO = {"video/mp4": "audio/mp4", "video/3gpp": "audio/3gpp", "video/webm": "audio/webm"}
_RECEIVED = {
    "image": (*IMAGES, "image/webp", "image/gif").__contains__,
    "sticker": (*IMAGES, "image/webp").__contains__,
    "audio": lambda found: found.startswith("audio/"),
    "video": lambda found: found.startswith("video/"),
}

# Containers of which the first bytes do not always tell what is inside: there the name or the declared type decides.
_INSIDE = {
    "application/zip": {".docx": WORD, ".pptx": SLIDES, ".xlsx": SHEET},
    "application/x-ole-storage": {".doc": OLD_WORD, ".ppt": OLD_SLIDES, ".xls": OLD_SHEET},
    "video/mp4": {".m4a": "audio/mp4"},
}
_OFFICE_STARTS = (b"[Content_Types].xml", b"_rels/", b"docProps/", b"word/", b"xl/", b"ppt/", b"customXml/")
# Brands of MP4 that filetype does not know, or takes for a video's.
_BRANDS = {b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"3gp": "video/3gpp", b"iso": "video/mp4", b"avc1": "video/mp4", b"dash": "video/mp4"}
_TEXT_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b")) + b"\x7f"


def type_of(head: bytes, filename: str, declared_type: str) -> str:
    """The type of a file that begins with `head` (HEAD_BYTES of it, or all). Raises MediaRefused where WhatsApp takes no such file.

    `declared_type`: what its sender calls it; it must fit, unless it says nothing.
    """
    declared = declared_type.partition(";")[0].strip().lower()
    declared = ALIASES.get(declared, declared)
    found = _inside(_sniffed(head), declared, filename)
    if found == "text/plain" and declared.startswith("text/") and declared != "text/html":
        return found
    if not any(found in limit.types for limit in LIMITS.values()):
        raise MediaRefused("type_not_taken", f"WhatsApp takes no files of this type ({found or 'unknown'})")
    if declared not in SAYS_NOTHING and declared != found:
        raise MediaRefused("type_mismatch", f"the file is called {_safe(declared)}, and is {found}")
    return found


def received(kind: str, head: bytes, filename: str) -> str:
    """The type of a file that a customer sent as this kind of message, by its content alone; for documents of no kind that we know
    "application/octet-stream", which no browser opens. Raises MediaRefused where it is not what it came as.
    """
    found = _inside(_sniffed(head), "", filename)
    if kind == "audio" and found in _SOUNDS_IN_VIDEO:
        found = _SOUNDS_IN_VIDEO[found]
    if kind == "document":
        return found if any(found in limit.types for limit in LIMITS.values()) else UNKNOWN
    if not _RECEIVED[kind](found):
        raise MediaRefused("type_mismatch", f"it came as {LIMITS[kind].named}, and its content is something else")
    return found.partition(" ")[0]


def _sniffed(head: bytes) -> str:
    import filetype  # here: most processes never need it

    if head[4:8] == b"ftyp" and (brand := _BRANDS.get(head[8:12]) or _BRANDS.get(head[8:11])):
        return brand
    found = filetype.guess_mime(head) or ""
    if found == "audio/ogg" and b"OpusHead" not in head[:512]:
        return "audio/ogg without Opus"
    if found == "application/zip" and not head[30:].startswith(_OFFICE_STARTS):
        return "a zip archive"
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") and found not in (OLD_WORD, OLD_SHEET, OLD_SLIDES):
        return "application/x-ole-storage"
    return found or ("text/plain" if _is_text(head) else "")


def _inside(found: str, declared: str, filename: str) -> str:
    choices = _INSIDE.get(found, {})
    if declared in choices.values():
        return declared
    return choices.get(PurePosixPath(filename).suffix.lower(), found)


def _is_text(head: bytes) -> bool:
    """Text for people: no controls, UTF-8 or another 8-bit alphabet, and no web page (the error page behind a dead link)."""
    if not head.strip() or any(control in head for control in _TEXT_CONTROLS):
        return False
    return not head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html", b"<?xml", b"<svg"))


def is_animated(head: bytes) -> bool:
    """Of a WebP: the animation bit of its extended header."""
    return head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & 2)


def pixels(head: bytes) -> tuple[int, int] | None:
    """Width and height of a WebP, None where its header does not say them. Source: RFC 9649."""
    kind, data = head[12:16], head[20:30]
    if len(data) < 10:
        return None
    if kind == b"VP8X":
        return int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1
    if kind == b"VP8L" and data[0] == 0x2F:
        both = int.from_bytes(data[1:5], "little")
        return (both & 0x3FFF) + 1, (both >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF
    return None


def check_sticker(head: bytes, side: int) -> None:
    """Raises MediaRefused where a sticker is not as wide and as high as this."""
    found = pixels(head)
    if found not in (None, (side, side)):
        raise MediaRefused("wrong_pixels", f"a sticker has {side} × {side} pixels; this one has {found[0]} × {found[1]}")


def kinds(mime_type: str, size_bytes: int, animated: bool) -> list[str]:
    """The kinds of message a file can be sent as, its own first."""
    return [kind for kind, limit in LIMITS.items() if mime_type in limit.types and size_bytes <= _most_bytes(limit, animated)]


def check(kind: str, mime_type: str, size_bytes: int, animated: bool) -> None:
    """Raises MediaRefused where a file cannot be sent as this kind of message."""
    limit = LIMITS[kind]
    if mime_type not in limit.types:
        raise MediaRefused("type_not_taken", f"{limit.named} cannot be {mime_type}; it may be {', '.join(limit.types)}")
    if size_bytes > _most_bytes(limit, animated):
        raise MediaRefused("too_large", f"{limit.named} may have {readable(_most_bytes(limit, animated))}; this one has {readable(size_bytes)}")


def _most_bytes(limit: Limit, animated: bool) -> int:
    return limit.most_bytes if animated or limit.still_bytes is None else limit.still_bytes


def readable(size_bytes: int) -> str:
    return f"{size_bytes / MB:.3g} MB" if size_bytes >= MB else f"{size_bytes / KB:.3g} KB"


def _safe(declared: str) -> str:
    return declared[:80] if declared.isprintable() else "something else"
