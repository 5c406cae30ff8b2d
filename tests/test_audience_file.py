"""Files of recipients: characters, delimiters, quotes, and phone numbers as people write them."""

import pytest

from frontdesk.errors import BadPhone, BadRow, UnreadableFile
from frontdesk.flows import audience_columns, audience_file, phones
from frontdesk.flows.audience_file import Format


def read(path, text: str | bytes, encoding="utf-8"):
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    format = audience_file.recognise(path)
    return format, list(audience_file.records(path, format))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "list.csv"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_list_is_read_in_any_usual_writing(path, encoding, end, delimiter):
    lines = [delimiter.join(line) for line in (["phone", "name"], ["+49 151 23456789", '"Zoë\nMüller"'], ["+491512345678", "Bo"])]
    format, found = read(path, end.join(lines) + end, encoding)
    assert format.delimiter == delimiter
    assert [record.fields for record in found] == [["phone", "name"], ["+49 151 23456789", "Zoë\nMüller"], ["+491512345678", "Bo"]]
    assert [record.line for record in found] == [1, 2, 4]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_reading_goes_on_from_any_record(path, encoding):
    text = "phone;name\r\n" + "".join(f'+4915123456{n:03};"Zoë\r\n{n}"\r\n\r\n' for n in range(300))
    format, found = read(path, text, encoding)
    for at in (0, 1, 57, 299):
        place = found[at]
        assert list(audience_file.records(path, format, place.next_offset, place.next_line)) == found[at + 1 :]


def test_broken_utf_8_near_the_end_makes_the_whole_file_latin_1(path):
    format, found = read(path, b"+491512345678,Bo\n" * 9000 + "+491512345678,Zoë\n".encode("cp1252"))
    assert format.encoding == "cp1252" and found[-1].fields[1] == "Zoë"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04 and more", "an Excel workbook"),
        (b"%PDF-1.7", "a PDF"),
        (b"\x7fELF\0\1\2 more text than zeros", "no text file"),
        (b"\xff\xfea\0b", "says that it is UTF-16"),
    ],
)
def test_what_is_no_list_is_refused_in_words(path, content, words):
    with pytest.raises(UnreadableFile, match=words):
        read(path, content)


def test_a_stray_quote_costs_one_line_and_not_its_neighbours(path):
    _, found = read(path, 'phone,name\n+1,"never closed\n' + "".join(f"+2{n},x\n" for n in range(500)))
    assert [(record.line, record.problem) for record in found if record.problem] == [(2, "a quotation mark is opened and not closed")]
    assert [record.line for record in found] == list(range(1, 503))


def test_two_stray_quotes_do_not_swallow_who_stands_between_them(path):
    _, found = read(path, 'phone,name\n+1,"Bo\n+2,Al\n+3,"Cy\n+4,Di\n')
    assert [record.line for record in found if not record.problem] == [1, 3, 5]
    assert [record.line for record in found if record.problem] == [2, 4]


def test_a_line_without_an_end_is_one_bad_line(path):
    _, found = read(path, "phone,name\n+1," + "x" * 200_000 + "\n+2,y\n")
    assert [(record.line, bool(record.problem)) for record in found] == [(1, False), (2, True), (3, False)]
    assert len(found[1].text) == 300


def test_excels_own_line_names_the_delimiter(path):
    format, found = read(path, "sep=|\nphone|name;x\n+491512345678|a;b\n")
    assert format == Format("utf-8", "|", 6, 2) and [record.line for record in found] == [2, 3]


def test_values_with_other_delimiters_do_not_mislead(path):
    format, _ = read(path, "phone;amount;note\n" + "+491512345678;12,50;a, b, c\n" * 30)
    assert format.delimiter == ";"


# --- columns --------------------------------------------------------------------------------------------------------------------


def columns(path, text):
    return audience_columns.find_columns(read(path, text)[1])


@pytest.mark.parametrize(
    ("text", "names", "phone", "has_header"),
    [
        ("Name,Mobile No.,City\nBo,+491512345678,Ulm\n", ("Name", "Mobile No.", "City"), 1, True),
        ("id,Telefon,WhatsApp\n7,030 1234567,+491512345678\n", ("id", "Telefon", "WhatsApp"), 2, True),
        ("phone,mobile\n+491512345678,\n", ("phone", "mobile"), 0, True),
        ("a,b\nBo,+491512345678\n", ("a", "b"), 1, True),
        ("+491512345678\n+491512345679\n", ("column 1",), 0, False),
        ("Bo,+491512345678\n", ("column 1", "column 2"), 1, False),
        ("joined,no,contact\n2026-11-21,10002345,+4915123456789\n", ("joined", "no", "contact"), 2, True),
        ("21.11.2026;491512345678\n22.11.2026;491512345679\n", ("column 1", "column 2"), 1, False),
        ("phone,name,Name,\n+491512345678,a,b,c\n", ("phone", "name", "Name 2", "column 4"), 0, True),
    ],
)
def test_the_phone_is_found_by_its_name_or_its_look(path, text, names, phone, has_header):
    assert columns(path, text) == audience_columns.Columns(names, phone, has_header)


def test_a_list_without_any_number_says_what_it_saw(path):
    with pytest.raises(UnreadableFile, match="no column holds phone numbers; the first line is: name, city"):
        columns(path, "name,city\nBo,Ulm\n")


def test_the_other_columns_are_the_recipients_variables(path):
    _, found = read(path, 'phone,name,note\n+491512345678,"Bo, the first"\n+491512345678,a,b,c\n+491512345678,' + "x" * 1001 + ",\n")
    known = audience_columns.find_columns(found)
    assert audience_columns.recipient(found[1], known, None).variables == {"name": "Bo, the first", "note": ""}
    with pytest.raises(BadRow, match="4 columns where there should be 3"):
        audience_columns.recipient(found[2], known, None)
    with pytest.raises(BadRow, match="'name' has 1,001 characters"):
        audience_columns.recipient(found[3], known, None)


# --- phone numbers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "region", "digits", "country"),
    [
        ("+49 (0)151 / 234-56789", None, "4915123456789", "DE"),
        ("0151 23456789", "DE", "4915123456789", "DE"),
        ("4915123456789", "DE", "4915123456789", "DE"),
        ("4915123456789", None, "4915123456789", "DE"),
        ("0049 151 23456789", "US", "4915123456789", "DE"),
        ("33612345678", "DE", "33612345678", "FR"),
        ("(212) 555-1234", "US", "12125551234", "US"),
        ("4155551234", "US", "14155551234", "US"),
        ("4915123456789.0", "DE", "4915123456789", "DE"),
        ("612 345 678", "ES", "34612345678", "ES"),
        ("+39 06 4567 8901", None, "390645678901", "IT"),
        ("+521 55 1234 5678", None, "525512345678", "MX"),
        ("551187654321", None, "5511987654321", "BR"),
        ("'+4915123456789", None, "4915123456789", "DE"),
        ('="+4915123456789"', None, "4915123456789", "DE"),
        ("\u202a+49\u00a0151 23456789\u202c", None, "4915123456789", "DE"),
        ("＋４９１５１２３４５６７８９", None, "4915123456789", "DE"),
    ],
)
def test_numbers_are_read_as_people_write_them(text, region, digits, country):
    found = phones.read(text, region)
    assert (found.digits, found.country) == (digits, country)


@pytest.mark.parametrize(
    ("text", "region", "words"),
    [
        ("", "DE", "no phone number in this line"),
        ("call me", "DE", "not a phone number"),
        ("4.91512E+12", "DE", "shortened by a spreadsheet"),
        ("0151 23456789", None, "no country code, and no country was chosen"),
        ("+49 151", None, "too short for a number of DE"),
        ("+49 151 234567890123456", None, "too long"),
        ("+999 12345678", None, "no country has this country code"),
        ("+1 555 010 0001", None, "no such number exists in US"),
        ("9" * 100, "DE", "not a phone number"),
    ],
)
def test_a_bad_number_says_what_is_wrong(text, region, words):
    with pytest.raises(BadPhone, match=words):
        phones.read(text, region)


def test_a_mobile_of_every_country_is_read_in_every_usual_writing():
    import phonenumbers

    for region in phones.regions():
        number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE) or phonenumbers.example_number(region)
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
        found = {phones.read(*given).digits for given in ((e164, None), (national, region), (e164[1:], region), (e164[1:], None))}
        assert found == {e164[1:]}, region


def test_a_number_in_many_zones_gets_the_clients_own_or_the_middle_one():
    zones = phones.read("+79161234567", None).time_zones
    assert phones.one_zone(zones, "Europe/Moscow", 20_000) == "Europe/Moscow"
    assert phones.one_zone(zones, "Europe/Berlin", 20_000) in zones
    assert phones.one_zone((), "Europe/Berlin", 20_000) == "Europe/Berlin"
    assert phones.read("+1 212 555 1234", None).time_zones == ("America/New_York",)


def test_the_businesss_own_number_tells_its_country():
    assert [phones.region_of(text) for text in ("+1 555 010 0001", "49301234567", "+7 701 234 5678", "", None, "x")] == [
        "US", "DE", "KZ", None, None, None,
    ]  # fmt: skip
