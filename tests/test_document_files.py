"""Texts out of ZIP and CSV files, long texts in parts, and which schemas are taken."""

import io
import zipfile

import pytest

from frontdesk.flows import chunks, document_files, structured
from frontdesk.flows.refusals import Refused
from frontdesk.flows.document_prompts import KINDS, NOTE_TOKENS, measure, step


def zipped(**files: bytes) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out


# --- files ------------------------------------------------------------------------------------------------------------------


def test_a_zip_is_its_text_files_and_what_is_no_text_fails_alone():
    found = document_files.read_zip(
        zipped(**{"a.txt": b"one", "folder/": b"", "folder/b.md": "zwei ü".encode(), "c.png": b"\x89\0", "__MACOSX/._a.txt": b"x", "x/.git": b""})
    )
    assert [(one.name, one.text, one.error) for one in found] == [
        ("a.txt", "one", None),
        ("folder/b.md", "zwei ü", None),
        ("c.png", "", document_files.NOT_TEXT),
    ]


def test_a_zip_that_unpacks_to_too_much_is_refused_before_it_is_in_memory(monkeypatch):
    monkeypatch.setattr(document_files, "LARGEST_BATCH_BYTES", 3_000_000)
    with pytest.raises(Refused) as refused:
        document_files.read_zip(zipped(**{f"{n}.txt": b"x" * 1_900_000 for n in range(5)}))
    assert refused.value.status == 413
    [bomb] = document_files.read_zip(zipped(bomb=b"x" * 100_000_000))
    assert bomb.error == document_files.TOO_LARGE and bomb.text == ""


def test_what_a_zip_unpacks_for_nothing_is_bounded_too(monkeypatch):
    """A file that is named a thousand times, and a compression that is unpacked whole before anybody can look at its size."""
    archive = zipped(**{"0.pdf": b"\0" * 2_500_000})
    monkeypatch.setattr(document_files, "MOST_UNPACKED_BYTES", 5_000_000)
    with zipfile.ZipFile(archive, "a") as written:
        written.filelist += [written.filelist[0]] * 1_000
        written._didModify = True
    with pytest.raises(Refused) as refused:
        document_files.read_zip(archive)
    assert refused.value.status == 413
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_BZIP2) as written:
        written.writestr("a.txt", b"\0" * 1_000_000)
    [found] = document_files.read_zip(packed)
    assert found.error == document_files.NOT_UNDERSTOOD


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"no zip at all" * 100])
def test_what_is_no_zip_is_told(data):
    with pytest.raises(Refused) as refused:
        document_files.read_zip(io.BytesIO(data))
    assert (refused.value.status, refused.value.field) == (422, "file")


def test_a_damaged_file_in_a_zip_fails_alone():
    data = bytearray(zipped(**{"a.txt": b"one " * 500, "b.txt": b"two"}).getvalue())
    data[45] ^= 0xFF
    found = document_files.read_zip(io.BytesIO(bytes(data)))
    assert found[0].error and found[1].text == "two"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_is_a_document_for_each_row(delimiter):
    lines = [["id", "text"], ["7", '"with ""quotes"" and\na line"'], ["8", "plain"], ["", "no name"], ["9", ""]]
    data = "\ufeff" + "\r\n".join(delimiter.join(row) for row in lines)
    found = document_files.read_csv(data.encode(), None, "id")
    assert [(one.name, one.text) for one in found] == [("7", 'with "quotes" and\na line'), ("8", "plain"), ("3", "no name"), ("9", "")]


@pytest.mark.parametrize(
    ("data", "column", "field"),
    [
        (b"a,b\n1,2", None, "column"),
        (b"a,b\n1,2", "c", "column"),
        (b"\xff\xfe\0", "a", "file"),
        (b"", None, "column"),
    ],
)
def test_what_a_csv_lacks_is_named(data, column, field):
    with pytest.raises(Refused) as refused:
        document_files.read_csv(data, column, None)
    assert refused.value.field == field


def test_a_short_row_is_an_empty_document():
    assert [one.text for one in document_files.read_csv(b"id,text\n1", None, None)] == [""]


# --- parts ------------------------------------------------------------------------------------------------------------------

LONG = {
    "paragraphs": "\n\n".join(f"Paragraph {n}. " + "Word after word. " * 20 for n in range(200)),
    "one line": "word " * 20_000,
    "one word": "x" * 50_000,
    "Chinese": "面包店今天开门。" * 5_000,
    "emoji": "😀" * 9_000,
    "many headings": "\n".join(f"{'#' * (n % 6 + 1)} Heading {n} {'long ' * 60}\ntext {n}" for n in range(300)),
    "half pairs": "a\ud83d " * 5_000,
}


@pytest.mark.parametrize("name", LONG)
def test_parts_fit_and_hold_every_word(name):
    found = chunks.parts(LONG[name], 1000)
    assert len(found) > 1 and all(0 < chunks.size(part) <= 1000 for part in found)
    together = "".join("".join(found).split())
    if name != "many headings":
        assert together == "".join(LONG[name].split())
    assert all(word in together for word in LONG[name].split()[::97])
    assert found == chunks.parts(LONG[name], 1000)


def test_a_short_text_is_one_part():
    assert chunks.parts("  short \n", 1000) == ["short"]


def test_a_part_begins_with_the_headings_it_stands_under():
    text = "# Handbook\n\nHello.\n\n## Holidays\n\n" + "Thirty days. " * 100 + "\n\n## Pay\n\n" + "Monthly. " * 100
    found = chunks.parts(text, 600)
    assert all(part.startswith("# Handbook") for part in found)
    assert any(part.startswith("# Handbook\n## Holidays\n\nThirty") for part in found[2:])
    assert found[-1].startswith("# Handbook\n## Pay")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2, 30, 300])
def test_the_number_of_steps_is_known_before_and_each_fits_the_context(settings, kind, count):
    options = {"schema": {"type": "object", "properties": {"a": {"type": "string"}}}} if kind == "extraction" else {}
    text = "\n\n".join(f"Paragraph {n}. {'Word ' * 1200}" for n in range(count))
    size = measure(kind, options, text, settings)
    notes = []
    for number in range(size.parts_total):
        asked = step(kind, options, text, size.part_bytes, notes)
        assert (asked.schema is not None) == (number == size.parts_total - 1)
        tokens = sum(chunks.size(message["content"]) for message in asked.messages) / 3
        assert tokens + asked.answer_tokens <= settings.ollama_num_ctx
        notes.append("n" * (NOTE_TOKENS * 3 - 20))
    assert kind == "classification" or size.parts_total >= count / 3


# --- schemas ----------------------------------------------------------------------------------------------------------------


def of(**properties) -> dict:
    return {"type": "object", "properties": properties}


def deep(levels: int) -> dict:
    schema = of(a={"type": "string"})
    for _ in range(levels):
        schema = of(a=schema)
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "array"},
        {"type": "object", "properties": {}},
        of(a={"type": "text"}),
        of(a={"pattern": "(a+)+$"}),
        of(a={"$ref": "https://example.com/schema"}),
        of(a={"$ref": "#/$defs/nothing"}),
        {"$ref": "#", **of(a={})},
        of(a={"enum": 7}),
        deep(30),
        deep(400),
        of(a={"description": "x" * 40_000}),
        of(a={"description": "\ud800"}),
        of(**{"\ud800": {"type": "string"}}),
        of(a={"type": "number", "minimum": float("inf")}),
    ],
)
def test_a_schema_that_cannot_be_held_to_is_refused(schema):
    with pytest.raises(structured.BadSchema):
        structured.check_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        of(pattern={"type": "string"}, **{"$ref": {"type": "string"}}),
        {**of(lines={"type": "array", "items": {"$ref": "#/$defs/Line"}}), "$defs": {"Line": of(text={"type": "string"})}},
        of(a={"enum": [{"pattern": 1}]}),
        of(a={"type": ["string", "null"]}),
    ],
)
def test_a_schema_as_programs_write_them_is_taken(schema):
    structured.check_schema(schema)


def test_the_words_about_a_refused_schema_can_be_shown():
    with pytest.raises(structured.BadSchema) as refused:
        structured.check_schema({**of(a={}), "$defs": {"\ud800": "Today"}})
    assert str(refused.value).encode()


@pytest.mark.parametrize("answer", ['{"a": 1e999}', '{"a": -1E400}', '{"a": NaN}', '{"b": Infinity}'])
def test_an_answer_with_a_number_that_no_json_can_hold_does_not_fit(answer):
    with pytest.raises(structured.DoesNotFit, match="not JSON"):
        structured.fitting(answer, of(a={"type": "number"}))


@pytest.mark.parametrize("answer", ['{"a": [1' + "0" * 400 + "]}", '{"a": ' + "[" * 900 + "]" * 900 + "}"])
def test_an_answer_that_cannot_be_checked_does_not_fit(answer):
    with pytest.raises(structured.DoesNotFit):
        structured.fitting(answer, of(a={"type": "array", "items": {"type": "number", "multipleOf": 0.01}}))


@pytest.mark.parametrize(
    "definitions",
    [
        {"A": {"allOf": [{"$ref": "#/$defs/A"}]}},
        {"A": of(a={"$ref": "#/$defs/B"}), "B": of(a={"$ref": "#/$defs/A"})},
        {"A": {"allOf": [{"$ref": "#/$defs/A1"}] * 2}, **{f"A{n}": {"allOf": [{"$ref": f"#/$defs/A{n + 1}"}] * 2} for n in range(1, 30)}, "A30": {}},
    ],
)
def test_a_schema_that_could_be_checked_for_ever_is_refused(definitions):
    with pytest.raises(structured.BadSchema):
        structured.check_schema({**of(a={"$ref": "#/$defs/A"}), "$defs": definitions})
