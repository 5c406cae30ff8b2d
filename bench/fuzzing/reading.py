"""Texts, tables and JSON that strangers, models, providers and owners write: whatever they hold, the reader says so or reads it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from frontdesk.channels import cloud_account
from frontdesk.errors import BadFilter, BadPhone, BadRow, UnreadableFile
from frontdesk.flows import audience_columns, audience_file, chunking, contact_filter, formatting, hours, lookups, opting_out, person_words
from frontdesk.flows import phones, recurrence, splitting, structured, template_parts, tools, visitors, webhook_address, word_differences
from frontdesk.flows.extraction import Section, Unreadable, markup, plain, questions
from frontdesk.simulator.message_templates import TEMPLATES
from frontdesk.store import search
from frontdesk.store.templates import Template
from fuzzing.base import Finding, Target
from fuzzing.place import made_settings

SCHEMAS = (
    {"type": "object", "properties": {"total": {"type": "number", "minimum": 0}, "date": {"type": "string", "format": "date"}}, "required": ["total"]},
    {"type": "object", "properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/item"}, "uniqueItems": True}}, "$defs": {"item": {"type": "integer", "multipleOf": 0.01}}},
    tools.CHOICES,
)  # fmt: skip


class Model(Target):
    """Answers held to a schema, calls of tools that a model wrote, and schemas that a program sent. The first byte says which."""

    json, prefix = True, 1

    def seeds(self) -> Iterator[bytes]:
        yield b"\0" + b'```json\n{"total": 12.5, "date": "2026-03-11"}\n```'
        yield b"\0" + json.dumps({"total": 12.5, "date": "2026-03-11"}).encode()
        yield b"\1" + json.dumps({"items": [1, 2.01, "x"]}).encode()
        yield b"\2" + json.dumps({"text": "When?", "options": ["Today", "Tomorrow"]}).encode()
        yield b"\3" + json.dumps({"name": "offer_choices", "arguments": {"text": "When?", "options": ["Today", "Tomorrow"]}}).encode()
        for schema in SCHEMAS:
            yield b"\4" + json.dumps({"schema": schema, "answer": {"total": 1, "items": [1]}}).encode()
        yield b"\5" + json.dumps({"url": "https://shop.example/orders/{order_number}?mail={mail}", "schema": SCHEMAS[0], "answer": {"mail": "a@b.c"}}).encode()

    def run(self, data: bytes) -> None:
        kind, text = (data or b"\0")[0] % 6, data[1:].decode("utf-8", "replace")
        if kind < 3:
            self.fitting(text, SCHEMAS[kind])
        elif kind == 3:
            for call in tools._Talk._written(None, text):
                json.dumps([call.name, call.arguments], ensure_ascii=False, allow_nan=False).encode()
                self.arguments(call.arguments, tools.CHOICES)
        else:
            self.declared(text, lookup=kind == 5)

    def fitting(self, answer: str, schema: dict) -> None:
        try:
            found = structured.fitting(answer, schema)
        except structured.DoesNotFit as error:
            str(error).encode()
            return
        json.dumps(found, allow_nan=False, ensure_ascii=False).encode()

    def arguments(self, given: object, schema: dict) -> None:
        try:
            lookups.fitted(given, schema)
        except lookups.BadArguments as error:
            str(error).encode()

    def declared(self, text: str, lookup: bool) -> None:
        try:
            given = json.loads(text)
            schema, answer = given["schema"], given.get("answer")
            url = given["url"] if lookup else ""
        except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
            return
        if not isinstance(schema, dict) or not isinstance(url, str):
            return
        try:
            if lookup:
                schema = lookups.check_parameters(url, schema)
            else:
                structured.check_schema(schema)
        except (structured.BadSchema, lookups.BadLookup) as error:
            str(error).encode()
            return
        self.fitting(json.dumps(answer), schema)
        if lookup:
            self.arguments(answer, schema)


class Templates(Target):
    """A template as Meta lists it, and what is filled in."""

    json = True

    def seeds(self) -> Iterator[bytes]:
        for one in TEMPLATES:
            values = {"1": "Ana", "2": "4711", "customer": "Ana", "day": "Monday", "button_1": "x", "header": "Hello"}
            yield json.dumps({"template": one, "values": values}).encode()

    def run(self, data: bytes) -> None:
        try:
            given = json.loads(data)
            listed, values = given["template"], given["values"]
        except (ValueError, RecursionError, TypeError, KeyError):
            return
        read = cloud_account._template(listed)
        if read is None:
            return
        names = ("external_id", "name", "language", "status", "category", "parameter_format", "components", "reason", "quality")
        template = Template(1, "1", *(read[name] for name in names), 0.0)
        texts = {str(name): str(value) for name, value in values.items()} if isinstance(values, dict) else {}
        template_parts.obstacle(template)
        wanted = template_parts.slots(template)
        template_parts.preview(template, texts)
        for given_values in (texts, {slot.name: texts.get(slot.name, "x") for slot in wanted}):
            try:
                filled = template_parts.fill(template, given_values)
            except template_parts.BadVariable:
                continue
            json.dumps(filled.content.body)
        try:
            template_parts.fill_shortened(template, {slot.name: template_parts.one_line(texts.get(slot.name, "x")) for slot in wanted})
        except template_parts.BadVariable:
            pass


class Audience(Target):
    """A file of recipients, read whole and again from every place in it."""

    def __init__(self):
        self.file = Path(os.environ["DATA_DIR"]) / "audience.csv"

    def seeds(self) -> Iterator[bytes]:
        yield b"phone,name\n+49 151 12345678,Ana\n01512345679,\"Bo\nb\"\n"
        yield "sep=;\r\nName;Mobil\r\nZoë;0151 12345678\r\nBob;4.9E+11\r\n".encode("cp1252")
        yield "phone\tname\n4915112345678\tAna\n".encode("utf-16")
        yield b"4915112345678\n4915112345679\n"

    def run(self, data: bytes) -> None:
        self.file.write_bytes(data)
        try:
            format = audience_file.recognise(self.file)
            columns = audience_columns.find_columns(audience_file.records(self.file, format), "DE")
        except UnreadableFile as error:
            str(error).encode()
            return
        found = list(audience_file.records(self.file, format))
        for record in found:
            try:
                audience_columns.recipient(record, columns, "DE")
            except BadRow:
                continue
        for place, record in enumerate(found[:20]):
            rest = list(audience_file.records(self.file, format, record.next_offset, record.next_line))
            if rest[:3] != found[place + 1 : place + 4] or len(rest) != len(found) - place - 1:
                raise Finding("read on from a record, the rest is another")


class Phones(Target):
    def seeds(self) -> Iterator[bytes]:
        for text in ("+49 151 12345678", "0049 (0)151/123 456 78", "=\"4915112345678\"", "5215512345678", "4.9E+11", "٠١٢٣٤٥٦٧٨٩", "491511234567.0", "+1 555 010 0001"):
            yield b"\0" + text.encode()

    def run(self, data: bytes) -> None:
        regions = (None, "DE", "US", "MX", "BR", "AR", "IT", "GB")
        region, text = regions[(data or b"\0")[0] % len(regions)], data[1:].decode("utf-8", "replace")
        phones.region_of(text)
        try:
            phone = phones.read(text, region)
        except BadPhone:
            return
        if not phone.digits.isascii() or not phone.digits.isdigit():
            raise Finding("digits that are none")
        if phones.read(f"+{phone.digits}", None).digits != phone.digits:
            raise Finding("read again it is another number")
        phones.also_known_as(phone.digits)
        phones.one_zone(phone.time_zones, "Europe/Berlin", 20_000)


class Tokens(Target):
    """Signed texts that come back: none is believed that was not made here. The first byte says which kind."""

    def __init__(self):
        self.settings = made_settings()
        self.now = 1_790_000_000.0
        self.visitor = visitors.issue(self.settings, "shop", self.now, "web:abc")
        self.address_key = webhook_address.key(self.settings)
        self.file = visitors.file_address(self.settings, "shop", "f1", self.now)

    def seeds(self) -> Iterator[bytes]:
        yield b"\0" + self.visitor.encode()
        yield b"\1" + self.file.encode()
        yield b"\2" + b"7.4f2a." + webhook_address._proof(self.address_key, "7.4f2a").encode()
        yield b"\3" + b"https://shop.example:443"

    def run(self, data: bytes) -> None:
        kind, text = (data or b"\0")[0] % 4, data[1:].decode("utf-8", "replace")
        if kind == 0 and visitors.read(self.settings, "shop", text, self.now) and text != self.visitor:
            raise Finding("a visitor's token that was not made here")
        if kind == 1:
            until, _, signature = text.rpartition("?until=")[2].partition("&signature=")
            if visitors.may_open(self.settings, "shop", "f1", until, signature, self.now) and text != self.file and until not in self.file:
                raise Finding("a file's address that was not made here")
        if kind == 2:
            whose = webhook_address.proven(self.address_key, text)
            if whose is not None and whose != "7.4f2a":
                raise Finding("a webhook's address that was not made here")
        if kind == 3:
            visitors.is_origin(text)
            visitors.reference_in(text)


class Extraction(Target):
    """Documents in the readers that are ours; PDF and DOCX are libraries' and end in their own process. The first byte says which."""

    def __init__(self):
        self.file = Path(os.environ["DATA_DIR"]) / "document"

    def seeds(self) -> Iterator[bytes]:
        yield b"\0" + "Öffnungszeiten\r\n\r\nMo–Fr 9–18 Uhr\x00".encode()
        yield b"\1---\ntitle: x\n---\n# A\n\n- b\n- c\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
        yield b"\2<html><head><meta charset='latin-1'></head><h1>A</h1><p hidden>no<p>yes<table><tr><td>1<td>2</table><ul><li>x</ul><pre> y </pre>"
        yield b"\3Question,Answer\n\"When?\",\"At 9\"\nWhere?,Here\n"
        yield b"\3" + "Frage;Antwort\r\nWo?;Hier\r\n".encode("utf-16")

    def run(self, data: bytes) -> None:
        readers = (plain, "text"), (markup, "markdown"), (markup, "html"), (questions, "questions")
        (reader, kind), found = readers[(data or b"\0")[0] % 4], []
        self.file.write_bytes(data[1:])
        try:
            reader.read(str(self.file), kind, lambda **what: found.append(what))
        except (Unreadable, RecursionError):  # both are told as such by the process that reads
            return
        json.dumps(found)
        sections = [Section(tuple(one["headings"]), one["page"], one["text"]) for one in found if "text" in one]
        for chunk in chunking.chunks(sections):
            if not chunk.text.strip():
                raise Finding("an empty chunk")


class Words(Target):
    """What people and models write, on its way in and out. The first byte says how it is read."""

    prefix = 1

    def seeds(self) -> Iterator[bytes]:
        yield b"\0" + "**Bold** and *more* [link](https://a.example)\n\n1. x\n2. y\n\n| a | b |\n|---|---|\n| `1` | 2 |\n> quote\n```py\ncode\n```".encode()
        yield b"\1" + ("A sentence. " * 40 + "👩‍👩‍👧 🇩🇪 á\n\n" * 10).encode()
        yield b"\2" + 'Kuchen "OR" bestellen* ไทย'.encode()
        for rule in ("every weekday 09:00", "every month on the 1st at 08:00", "*/15 * * * *", "0 9 * * 1-5", "every 15 minutes"):
            yield b"\3" + rule.encode()
        yield b"\4" + b'{"mon": [["09:00", "18:00"]], "sat": [["10:00", "24:00"]]}'
        yield b"\5" + b'{"tags_any": ["vip"], "wrote_within_days": 30, "countries": ["DE"]}'
        yield b"\6" + "I want to talk to a person / STOP / FDABCDEFGH".encode()
        yield b"\7" + b"one two three\0one 2 three"

    def run(self, data: bytes) -> None:
        kinds = (self.format, self.split, self.search, self.rule, self.hours, self.filter, self.ask, self.compare)
        kinds[(data or b"\0")[0] % len(kinds)](data[1:].decode("utf-8", "replace"))

    def format(self, text: str) -> None:
        formatting.whatsapp_text(text)

    def split(self, text: str) -> None:
        for limit in (2, 50, 4096):
            parts = splitting.split_text(text, limit)
            if "".join("".join(parts).split()) != "".join(text.split()):
                raise Finding("a text that is split is not the whole text")
            if any(not part.strip() for part in parts) or (limit > 2 and any(len(part.encode("utf-16-le")) // 2 > limit for part in parts)):
                raise Finding("a part that cannot be sent")

    def search(self, text: str) -> None:
        query = search.query(text)
        if query is not None:
            self.found(query)
            search._parts(text, search._tokens(text))

    def found(self, query: str) -> None:
        if not hasattr(self, "db"):
            import sqlite3

            self.db = sqlite3.connect(":memory:")
            self.db.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
        self.db.execute("SELECT rowid FROM words WHERE words MATCH ?", (query,)).fetchall()

    def rule(self, text: str) -> None:
        try:
            rule = recurrence.parse(text)
            rule.words.encode()
            at = 1_790_000_000.0
            for zone in ("Europe/Berlin", "America/New_York"):
                if rule.next_after(at, zone) <= at:
                    raise Finding("the next time is not later")
            recurrence.zone(text)
        except recurrence.BadTime as error:
            str(error)

    def hours(self, text: str) -> None:
        try:
            read = hours.read(text)
        except ValueError:
            return
        if read is not None:
            hours.opens_at(read, "Europe/Berlin", 1_790_000_000.0)

    def filter(self, text: str) -> None:
        try:
            contact_filter.checked(json.loads(text))
        except (ValueError, RecursionError, BadFilter):
            return

    def ask(self, text: str) -> None:
        opting_out.read(text)
        person_words.asks_for_person(text, None)
        person_words.asks_for_person("I want a person", text)
        visitors.reference_in(text)

    def compare(self, text: str) -> None:
        old, _, new = text.partition("\0")
        before, after = word_differences.differences(old, new)
        if any("".join("".join(part[0] for part in parts).split()) != "".join(text.split()) for parts, text in ((before, old), (after, new))):
            raise Finding("what is compared is not what is shown")


TARGETS = {
    "model": Model, "templates": Templates, "audience": Audience, "phones": Phones, "tokens": Tokens, "extraction": Extraction, "words": Words,
}  # fmt: skip
