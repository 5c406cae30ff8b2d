"""The beginnings of files as their programs write them: enough for whoever looks at content, nothing for whoever plays it."""

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + b"j" * 400
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"p" * 400
GIF = b"GIF89a" + b"g" * 400
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"d" * 400
MP4 = b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41" + b"v" * 400
FRAGMENTED_MP4 = b"\x00\x00\x00\x1cftypiso5\x00\x00\x02\x00iso6dash" + b"v" * 400
THREE_GP = b"\x00\x00\x00\x18ftyp3gp4\x00\x00\x03\x003gp43gp6" + b"v" * 400
QUICKTIME = b"\x00\x00\x00\x14ftypqt  \x20\x05\x03\x00qt  " + b"v" * 400
M4A = b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00M4A mp42isom\x00\x00\x00\x00" + b"a" * 400
MP3 = b"ID3\x04\x00\x00\x00\x00\x00\x00" + b"a" * 400
BARE_MP3 = b"\xff\xfb\x90\x64" + b"a" * 400
AAC = b"\xff\xf1\x50\x80" + b"a" * 400
AMR = b"#!AMR\n" + b"a" * 400
OGG_OPUS = b"OggS\x00\x02" + b"\x00" * 8 + b"\x01\x02\x03\x04" + b"\x00" * 8 + b"\x01\x13OpusHead\x01\x01" + b"a" * 400
OGG_VORBIS = b"OggS\x00\x02" + b"\x00" * 8 + b"\x01\x02\x03\x04" + b"\x00" * 8 + b"\x01\x1e\x01vorbis" + b"a" * 400
WAV = b"RIFF\x00\x10\x00\x00WAVEfmt " + b"a" * 400
WEBP = b"RIFF\x00\x10\x00\x00WEBPVP8 " + b"w" * 400
ANIMATED_WEBP = b"RIFF\x00\x10\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00" + b"w" * 400
ZIP = b"PK\x03\x04\x14\x00\x00\x00\x08\x00" + b"\x00" * 16 + b"\x09\x00\x00\x00notes.txt" + b"z" * 400
OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 2000
EXE = b"MZ\x90\x00\x03\x00\x00\x00" + b"\x00" * 400
TEXT = "Grüße aus der Bäckerei\n".encode()
HTML = b"\n<!DOCTYPE html><html><title>Please log in</title></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def webp(width: int, height: int) -> bytes:
    """A picture of this size by its header."""
    return b"RIFF\x00\x10\x00\x00WEBPVP8 " + b"\x90\x01\x00\x00" + b"\x30\x01\x00\x9d\x01\x2a" + width.to_bytes(2, "little") + height.to_bytes(2, "little") + b"w" * 400


def _zip(*names: bytes) -> bytes:
    local = b""
    for name in names:
        local += b"PK\x03\x04\x14\x00\x00\x00\x08\x00" + b"\x00" * 16 + len(name).to_bytes(2, "little") + b"\x00\x00" + name + b"c" * 300
    return local


DOCX = _zip(b"[Content_Types].xml", b"_rels/.rels", b"word/document.xml")
XLSX = _zip(b"[Content_Types].xml", b"_rels/.rels", b"xl/workbook.xml")
PPTX = _zip(b"[Content_Types].xml", b"_rels/.rels", b"ppt/presentation.xml")
LATE_DOCX = _zip(b"[Content_Types].xml", b"_rels/.rels", b"docProps/app.xml", b"docProps/core.xml", b"customXml/item1.xml", b"x", b"word/document.xml")
