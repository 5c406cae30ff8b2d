"""How many pixels a picture claims to have, from its header: a few kilobytes can unpack to gigabytes wherever it is decoded."""

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the segments of a JPEG that begin a frame
ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length


def pixels(data: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG or JPEG; None for anything else, and for what is broken."""
    if data.startswith(PNG) and data[12:16] == b"IHDR" and len(data) >= 24:
        return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    return _of_jpeg(data) if data.startswith(JPEG) else None


def _of_jpeg(data: bytes) -> tuple[int, int] | None:
    """The first frame's size; segments are skipped by their length, of at least two."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in ALONE:
            at += 2
        elif marker in FRAMES:
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        else:
            at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
    return None
