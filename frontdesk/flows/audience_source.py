"""Where an audience's rows come from, a file or the client's contacts: both give batches, and a checkpoint to go on from."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Protocol

from frontdesk.errors import BadPhone, BadRow, UnreadableFile
from frontdesk.flows import audience_columns, audience_file, contact_filter, phones
from frontdesk.flows.audience_columns import Columns
from frontdesk.flows.audience_file import Format, Record
from frontdesk.flows.context import Context
from frontdesk.store import clients, contact_filters, numbers
from frontdesk.store.audiences import Audience


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a source. With a `problem`, `phone` is what might still be a contact's number."""

    line: int
    text: str
    phone: str = ""
    also_known_as: tuple[str, ...] = ()
    country: str = ""
    time_zone: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    problem: str = ""


class Source(Protocol):
    """`total_rows`: None where only the end tells. `checkpoint()`: the place after the last batch, as JSON."""

    names: list[str]
    remark: str
    total_rows: int | None
    read_bytes: int

    def checkpoint(self) -> str: ...

    def batches(self, size: int) -> Iterator[list[Row]]: ...


def open_source(context: Context, audience: Audience) -> Source:
    """At the audience's checkpoint, or at its beginning. Raises `UnreadableFile`."""
    zone = clients.get(context.db, audience.client_id, context.settings).time_zone
    kept = json.loads(audience.checkpoint) if audience.checkpoint else None
    if audience.source in ("tag", "filter"):
        return ContactSource(context, audience, zone, kept)
    return FileSource(context, audience, zone, kept)


def home_region(context: Context, client_id: int, number_id: int | None) -> str | None:
    """The client's own country: as it was chosen, or as its WhatsApp number tells."""
    if region := clients.as_stored(context.db, client_id)["region"]:
        return region
    own = [number for number in numbers.of_client(context.db, client_id) if number_id in (None, number.id)]
    return next((region for number in own if (region := phones.region_of(number.display_phone))), None)


class FileSource:
    total_rows = None

    def __init__(self, context: Context, audience: Audience, zone: str, kept: dict | None):
        self.path = context.settings.data_dir / audience.file
        self.zone, self.day = zone, int(audience.created_at // 86400)
        if kept is None:
            self._look_at_it(audience.region or home_region(context, audience.client_id, audience.number_id))
        else:
            self.format, self.columns = Format(**kept["format"]), Columns(**{**kept["columns"], "names": tuple(kept["columns"]["names"])})
            self.region, self.offset, self.line = kept["region"], kept["offset"], kept["line"]
            self.remark = audience.remark
        self.names = [name for column, name in enumerate(self.columns.names) if column != self.columns.phone]

    def _look_at_it(self, region: str | None) -> None:
        self.format = audience_file.recognise(self.path)
        beginning = list(islice(audience_file.records(self.path, self.format), audience_columns.LOOKED_AT))
        self.columns, self.region = audience_columns.find_columns(beginning, region), region
        self.offset, self.line = self.format.start, self.format.first_line
        if self.columns.has_header:
            first = next(record for record in beginning if not record.problem)
            self.offset, self.line = first.next_offset, first.next_line
        self.remark = self._remark()

    def _remark(self) -> str:
        encoding, remarks = self.format.encoding, []
        if encoding in ("cp1252", "latin-1"):
            remarks.append("The file is not UTF-8; it was read as Latin-1 (Windows-1252). Look whether accents are right.")
        if not self.columns.has_header and len(self.columns.names) > 1:
            remarks.append("No header line was found, so the columns are called after their places.")
        if self.region:
            remarks.append(f"Numbers without a country code were read as numbers of {self.region}.")
        return " ".join(remarks)

    @property
    def read_bytes(self) -> int:
        return self.offset

    def checkpoint(self) -> str:
        place = {"offset": self.offset, "line": self.line, "region": self.region}
        return json.dumps({**place, "format": asdict(self.format), "columns": asdict(self.columns)})

    def batches(self, size: int) -> Iterator[list[Row]]:
        records = audience_file.records(self.path, self.format, self.offset, self.line)
        while batch := list(islice(records, size)):
            rows = [self._row(record) for record in batch]
            self.offset, self.line = batch[-1].next_offset, batch[-1].next_line
            yield rows

    def _row(self, record: Record) -> Row:
        try:
            found = audience_columns.recipient(record, self.columns, self.region)
        except BadRow as error:
            return Row(record.line, record.text, problem=str(error))
        phone = found.phone
        zone = phones.one_zone(phone.time_zones, self.zone, self.day)
        names = phones.also_known_as(phone.digits) if phone.digits else ()
        return Row(record.line, record.text, phone.digits, names, phone.country, zone, found.variables, found.problem)


class ContactSource:
    names = ["name"]
    remark = ""
    read_bytes = 0

    def __init__(self, context: Context, audience: Audience, zone: str, kept: dict | None):
        self.db, self.client_id, self.zone = context.db, audience.client_id, zone
        self.at, self.day = audience.created_at, int(audience.created_at // 86400)
        self.filter = contact_filter.loads(audience.filter)
        self.codes = contact_filter.codes(self.filter)
        self.contact_id = kept["contact_id"] if kept else 0
        self.total_rows = audience.total_rows if kept else contact_filters.count(self.db, self.client_id, self.filter, self.codes, self.at)
        if not self.total_rows:
            raise UnreadableFile("no contact is meant by this")

    def checkpoint(self) -> str:
        return json.dumps({"contact_id": self.contact_id})

    def batches(self, size: int) -> Iterator[list[Row]]:
        while chosen := self._after(size):
            rows = [self._row(contact) for contact in chosen]
            self.contact_id = chosen[-1].contact_id
            yield [row for row in rows if self._is_meant(row)]

    def _after(self, size: int) -> list[contact_filters.Chosen]:
        return contact_filters.after(
            self.db, self.client_id, self.filter, self.codes, self.at, contact_id=self.contact_id, limit=size
        )

    def _row(self, contact: contact_filters.Chosen) -> Row:
        text = contact.name or ""
        if not contact.phone:
            return Row(contact.contact_id, text, problem="known by a WhatsApp user name only, without a phone number")
        try:
            phone = phones.read(f"+{contact.phone}", None)
        except BadPhone:  # WhatsApp knows numbers that are newer than our rules
            phone = phones.Phone(contact.phone, phones.region_of(contact.phone) or "", ())
        zone = phones.one_zone(phone.time_zones, self.zone, self.day)
        names = tuple(dict.fromkeys((contact.phone, *phones.also_known_as(phone.digits))))
        return Row(contact.contact_id, text, phone.digits, names, phone.country, zone, {"name": text})

    def _is_meant(self, row: Row) -> bool:
        """Countries that share a calling code are told apart here."""
        wanted = self.filter.get("countries")
        return not wanted or bool(row.problem) or row.country in wanted
