"""What a file is, by its content, and as what WhatsApp takes it."""

import random
from pathlib import Path

import pytest

from frontdesk.errors import MediaRefused
from frontdesk.flows.media_types import HEAD_BYTES, KB, LIMITS, MB, OLD_SHEET, OLD_WORD, SHEET, SLIDES, WORD, check, kinds, pixels, type_of
from tests import media_bodies as bodies


@pytest.mark.parametrize(
    ("head", "declared", "found"),
    [
        (bodies.JPEG, "image/jpeg", "image/jpeg"),
        (bodies.JPEG, "image/jpg", "image/jpeg"),
        (bodies.JPEG, "IMAGE/JPEG; charset=binary", "image/jpeg"),
        (bodies.PNG, "", "image/png"),
        (bodies.PNG, "application/octet-stream", "image/png"),
        (bodies.PDF, "application/pdf", "application/pdf"),
        (bodies.MP4, "video/mp4", "video/mp4"),
        (bodies.MP4, "audio/mp4", "audio/mp4"),
        (bodies.FRAGMENTED_MP4, "video/mp4", "video/mp4"),
        (bodies.THREE_GP, "video/3gpp", "video/3gpp"),
        (bodies.M4A, "audio/x-m4a", "audio/mp4"),
        (bodies.MP3, "audio/mp3", "audio/mpeg"),
        (bodies.BARE_MP3, "audio/mpeg", "audio/mpeg"),
        (bodies.AAC, "audio/aac", "audio/aac"),
        (bodies.AMR, "audio/amr", "audio/amr"),
        (bodies.OGG_OPUS, "audio/ogg; codecs=opus", "audio/ogg"),
        (bodies.OGG_OPUS, "audio/opus", "audio/ogg"),
        (bodies.WEBP, "image/webp", "image/webp"),
        (bodies.DOCX, WORD, WORD),
        (bodies.DOCX, "", WORD),
        (bodies.XLSX, "", SHEET),
        (bodies.PPTX, "", SLIDES),
        (bodies.LATE_DOCX, WORD, WORD),
        (bodies.OLD_OFFICE, OLD_SHEET, OLD_SHEET),
        (bodies.TEXT, "text/plain; charset=utf-8", "text/plain"),
        (bodies.TEXT, "text/csv", "text/plain"),
        (bodies.TEXT, "", "text/plain"),
        ("Grüße".encode("latin-1"), "text/plain", "text/plain"),
    ],
)
def test_a_file_that_is_taken(head, declared, found):
    assert type_of(head, "x", declared) == found


@pytest.mark.parametrize(
    ("head", "filename", "found"),
    [
        (bodies.LATE_DOCX, "a.docx", WORD),
        (bodies.OLD_OFFICE, "a.DOC", OLD_WORD),
        (bodies.MP4, "voice.m4a", "audio/mp4"),
        (bodies.MP4, "a.mp4", "video/mp4"),
    ],
)
def test_where_the_content_leaves_it_open_the_name_decides(head, filename, found):
    assert type_of(head, filename, "") == found


@pytest.mark.parametrize(
    ("head", "declared"),
    [
        (bodies.GIF, "image/gif"),
        (bodies.QUICKTIME, "video/quicktime"),
        (bodies.WAV, "audio/wav"),
        (bodies.OGG_VORBIS, "audio/ogg"),
        (bodies.ZIP, "application/zip"),
        (bodies.ZIP, WORD),
        (bodies.OLD_OFFICE, ""),
        (bodies.EXE, "application/octet-stream"),
        (bodies.EXE, "image/png"),
        (bodies.HTML, "text/html"),
        (bodies.HTML, "text/plain"),
        (bodies.HTML, "image/png"),
        (bodies.SVG, "image/svg+xml"),
        (b"\x00\x01\x02 binary", "text/plain"),
        (b"   ", "text/plain"),
    ],
)
def test_a_file_that_is_not(head, declared):
    with pytest.raises(MediaRefused) as caught:
        type_of(head, "x", declared)
    assert caught.value.code == "type_not_taken"


@pytest.mark.parametrize(
    ("head", "declared"),
    [
        (bodies.PNG, "image/jpeg"),
        (bodies.PDF, "image/png"),
        (bodies.TEXT, "application/pdf"),
        (bodies.TEXT, "text/html"),
        (bodies.DOCX, SHEET),
        (bodies.JPEG, "text/html"),
        (bodies.JPEG, "nonsense"),
    ],
)
def test_a_file_that_is_not_what_it_is_called(head, declared):
    with pytest.raises(MediaRefused) as caught:
        type_of(head, "x", declared)
    assert caught.value.code == "type_mismatch"


def test_a_file_s_kinds_and_their_limits():
    assert kinds("image/jpeg", 5 * MB, False) == ["image", "document"]
    assert kinds("image/jpeg", 5 * MB + 1, False) == ["document"]
    assert kinds("video/mp4", 16 * MB, False) == ["video", "document"]
    assert kinds("audio/ogg", 16 * MB + 1, False) == ["document"]
    assert kinds("application/pdf", 100 * MB, False) == ["document"]
    assert kinds("application/pdf", 100 * MB + 1, False) == []
    assert kinds("image/webp", 100 * KB, False) == ["sticker"]
    assert kinds("image/webp", 100 * KB + 1, False) == []
    assert kinds("image/webp", 500 * KB, True) == ["sticker"]


def test_the_size_of_each_kind_of_webp_is_read_from_its_header():
    lossless = b"RIFF\x00\x10\x00\x00WEBPVP8L\x0c\x00\x00\x00\x2f" + (799 | 599 << 14).to_bytes(4, "little") + b"w" * 20
    extended = b"RIFF\x00\x10\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00" + (799).to_bytes(3, "little") + (599).to_bytes(3, "little")
    assert pixels(bodies.webp(800, 600)) == pixels(lossless) == pixels(extended) == (800, 600)
    assert pixels((Path(__file__).parent / "files" / "sticker.webp").read_bytes()) == (128, 128)
    assert pixels(bodies.WEBP) is pixels(bodies.PNG) is pixels(extended[:-1]) is pixels(b"") is None


def test_a_refusal_names_the_limit():
    check("image", "image/png", 5 * MB, False)
    with pytest.raises(MediaRefused, match="a picture may have 5 MB; this one has 8 MB"):
        check("image", "image/png", 8 * MB, False)
    with pytest.raises(MediaRefused, match="a sticker may have 100 KB; this one has 200 KB"):
        check("sticker", "image/webp", 200 * KB, False)
    with pytest.raises(MediaRefused, match="a video cannot be application/pdf"):
        check("video", "application/pdf", 1, False)


def test_no_bytes_whatever_make_it_stumble():
    chance = random.Random(1)
    samples = [value for name, value in vars(bodies).items() if name.isupper()]
    for _ in range(3000):
        head = bytearray(chance.choice(samples)[: chance.choice((1, 3, 8, 12, 20, 40, 261, HEAD_BYTES))])
        for _ in range(chance.randrange(4)):
            head[chance.randrange(len(head))] = chance.randrange(256)
        try:
            assert any(type_of(bytes(head), "x.docx", "") in limit.types for limit in LIMITS.values())
        except MediaRefused:
            pass
