"""DOCX: a zip of XML, made into HTML by mammoth. Its size is looked at before anything is unpacked."""

import re
import zipfile

from frontdesk.flows.extraction import Unreadable
from frontdesk.flows.extraction.markup import tell_html

LARGEST_UNPACKED_BYTES = 48 * 1024 * 1024  # of the XML, which as objects takes several times as much
LARGEST_PART_BYTES = 12 * 1024 * 1024
LOCKED = b"\xd0\xcf\x11\xe0"  # an OLE file: what Word makes of a document with a password, and its format before 2007


def read(path: str, kind: str, tell) -> None:
    with open(path, "rb") as file:
        if file.read(4) == LOCKED:
            raise Unreadable("it is locked with a password, or a .doc of before 2007; save it as .docx without a password")
        _look_at_size(file)
        import mammoth

        style_map = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => p:fresh"
        found = mammoth.convert_to_html(file, convert_image=lambda image: [], style_map=style_map)
    pictures = len(re.findall(r"word/media/", "\n".join(zipfile.ZipFile(path).namelist())))
    if pictures:
        tell(note=f"{pictures} pictures were left out: text in them cannot be read")
    tell_html(found.value, tell)


def _look_at_size(file) -> None:
    try:
        parts = [part for part in zipfile.ZipFile(file).infolist() if part.filename.endswith((".xml", ".rels"))]
    except zipfile.BadZipFile:
        raise Unreadable("it is not a DOCX file, whatever its name says, or it is cut off") from None
    if sum(part.file_size for part in parts) > LARGEST_UNPACKED_BYTES or any(part.file_size > LARGEST_PART_BYTES for part in parts):
        raise Unreadable("unpacked it is far larger than a document is; split it or save it anew")
    file.seek(0)
