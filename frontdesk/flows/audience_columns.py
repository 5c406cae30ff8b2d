"""Which column holds the phone number, what the others are called, and a record as a recipient."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count, islice, zip_longest

from frontdesk.errors import BadPhone, BadRow, UnreadableFile
from frontdesk.flows import phones
from frontdesk.flows.audience_file import Record, looks_like_phone

LOOKED_AT = 50  # records from which the columns are known
MOST_COLUMNS = 50
LONGEST_NAME = 60
LONGEST_VALUE = 1_000  # characters; a template's whole body has 1,024 (Meta, "Template components")

# Headers of phone columns, as spreadsheets and CRMs of many languages write them; the surer first.
_PHONE_NAMES = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"whats\s?app.*|wa[\s_-]?id|msisdn|e\.?164",
        r"(mobile|mobil|cell|handy|celular|m[oó]vil|cellulare|portable|gsm)\b.*",
        r".*(phone|telefon|tel[eé]fono|telefone|t[eé]l[eé]phone|rufnummer|handynummer|telefoon).*",
        r".*(телефон|电话|電話|هاتف|फ़ोन).*",
        r"tel\.?|number|numero|número|nummer|recipient|to",
    )
]


@dataclass(frozen=True, slots=True)
class Columns:
    """`names[phone]` is the phone's own and is no variable. `has_header`: the first record is no recipient."""

    names: tuple[str, ...]
    phone: int
    has_header: bool


def find_columns(beginning: Iterable[Record], region: str | None = None) -> Columns:
    """From a file's first records. `region`: where numbers without a country code belong. Raises `UnreadableFile` where no column holds phone numbers."""
    rows = [record.fields for record in islice(beginning, LOOKED_AT) if not record.problem]
    if not rows:
        raise UnreadableFile("the file has no line that can be read")
    if max(map(len, rows)) > MOST_COLUMNS:
        raise UnreadableFile(f"a line has more than {MOST_COLUMNS} columns")
    has_header = not any(map(looks_like_phone, rows[0])) and (len(rows) > 1 or not any(re.search(r"\d", field) for field in rows[0]))
    header, body = (rows[0], rows[1:]) if has_header else ([], rows)
    phone = _phone_column(header, body, region)
    width = len(header) or max(map(len, body))
    return Columns(_names(header, width), phone, has_header)


def _phone_column(header: list[str], body: list[list[str]], region: str | None) -> int:
    width = max([len(header), *map(len, body)])
    fits = [_fit([row[column] for row in body if len(row) > column], region) for column in range(width)]
    named = [min((rank for rank, name in enumerate(_PHONE_NAMES) if name.fullmatch(field.strip())), default=None) for field in header]
    nothing = not any(map(any, fits))
    ranked = [(rank, column) for column, rank in enumerate(named) if rank is not None and (nothing or any(fits[column]))]
    if ranked:
        return min(ranked)[1]
    if nothing:
        shown = ", ".join(header or body[0])[:80]
        raise UnreadableFile(f"no column holds phone numbers; the first line is: {shown}")
    return max(range(width), key=lambda column: fits[column])


def _fit(fields: list[str], region: str | None) -> tuple[int, int]:
    """How many are phone numbers, and how many look like one, as customers' numbers and sums may too."""
    alike = [field for field in fields if looks_like_phone(field)]
    return sum(_exists(field, region) for field in alike), len(alike)


def _exists(field: str, region: str | None) -> bool:
    try:
        phones.read(field, region)
    except BadPhone:
        return False
    return True


def _names(header: list[str], width: int) -> tuple[str, ...]:
    names: list[str] = []
    for column in range(width):
        given = header[column] if column < len(header) else ""
        names.append(_another(names, " ".join(given.split())[:LONGEST_NAME] or f"column {column + 1}"))
    return tuple(names)


def _another(names: list[str], name: str) -> str:
    """The name, with a number behind it where it is taken."""
    taken = {other.lower() for other in names}
    candidates = (f"{name} {number}" if number > 1 else name for number in count(1))
    return next(candidate for candidate in candidates if candidate.lower() not in taken)


@dataclass(frozen=True, slots=True)
class Read:
    """`problem`: why the phone is none, unless the client knows its digits."""

    phone: phones.Phone
    variables: dict[str, str]
    problem: str = ""


def recipient(record: Record, columns: Columns, region: str | None) -> Read:
    """Raises `BadRow` where the line can be no recipient, whoever the phone's owner is."""
    if record.problem:
        raise BadRow(record.problem)
    fields = [field.replace("\0", "").strip() for field in record.fields]
    if any(fields[len(columns.names) :]):
        expected = len(columns.names)
        raise BadRow(f"{len(fields)} columns where there should be {expected}; a value with the delimiter in it needs quotation marks")
    variables = {
        name: value
        for column, (name, value) in enumerate(zip_longest(columns.names, fields[: len(columns.names)], fillvalue=""))
        if column != columns.phone
    }
    for name, value in variables.items():
        if len(value) > LONGEST_VALUE:
            raise BadRow(f"'{name}' has {len(value):,} characters; {LONGEST_VALUE:,} is the most")
    try:
        return Read(phones.read(fields[columns.phone] if columns.phone < len(fields) else "", region), variables)
    except BadPhone as error:
        return Read(phones.Phone(error.digits, phones.region_of(error.digits) or "", ()), variables, str(error))
