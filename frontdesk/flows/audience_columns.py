"""Which column holds the phone number, what the others are called, and a record as a recipient."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, zip_longest

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
        r".*(phone|telefon|tel[eé]fono|telefone|t[eé]l[eé]phone|rufnummer|handynummer|telefoon|телефон|电话|電話|هاتف|फ़ोन).*",
        r"tel\.?|number|numero|número|nummer|recipient|to",
    )
]


@dataclass(frozen=True, slots=True)
class Columns:
    """`names[phone]` is the phone's own and is no variable. `has_header`: the first record is no recipient."""

    names: tuple[str, ...]
    phone: int
    has_header: bool


def find_columns(beginning: Iterable[Record]) -> Columns:
    """From a file's first records. Raises `UnreadableFile` where no column holds phone numbers."""
    rows = [record.fields for record in islice(beginning, LOOKED_AT) if not record.problem]
    if not rows:
        raise UnreadableFile("the file has no line that can be read")
    if max(map(len, rows)) > MOST_COLUMNS:
        raise UnreadableFile(f"a line has more than {MOST_COLUMNS} columns")
    has_header = not any(map(looks_like_phone, rows[0])) and (len(rows) > 1 or not any(re.search(r"\d", field) for field in rows[0]))
    header, body = (rows[0], rows[1:]) if has_header else ([], rows)
    phone = _phone_column(header, body)
    width = len(header) or max(map(len, body))
    return Columns(_names(header, width), phone, has_header)


def _phone_column(header: list[str], body: list[list[str]]) -> int:
    width = max([len(header), *map(len, body)])
    fits = [sum(len(row) > column and looks_like_phone(row[column]) for row in body) for column in range(width)]
    named = [min((rank for rank, name in enumerate(_PHONE_NAMES) if name.fullmatch(field.strip())), default=None) for field in header]
    ranked = [(rank, column) for column, rank in enumerate(named) if rank is not None and (fits[column] or not any(fits))]
    if ranked:
        return min(ranked)[1]
    if not any(fits):
        shown = ", ".join(header or body[0])[:80]
        raise UnreadableFile(f"no column holds phone numbers; the first line is: {shown}")
    return max(range(width), key=lambda column: fits[column])


def _names(header: list[str], width: int) -> tuple[str, ...]:
    names: list[str] = []
    for column, given in islice(enumerate([*header, *[""] * width]), width):
        name = " ".join(given.split())[:LONGEST_NAME] or f"column {column + 1}"
        taken = {other.lower() for other in names}
        unique = next(f"{name} {count}" if count > 1 else name for count in range(1, MOST_COLUMNS + 2)
                      if (f"{name} {count}" if count > 1 else name).lower() not in taken)  # fmt: skip
        names.append(unique)
    return tuple(names)


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
        count = len(columns.names)
        raise BadRow(f"{len(fields)} columns where there should be {count}; a value with the delimiter in it needs quotation marks")
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
