"""Every kind of message that can be sent, with WhatsApp's limits: what the API takes and what the desk's forms are read into.

Imported where something is written, not by the workers: pydantic is large. Limits without a source of their own are Meta's,
"Messages" of the Cloud API's reference, mid-2026.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, TypeAdapter, model_validator

from frontdesk.channels import Content
from frontdesk.channels.cloud_words import words_of

LONGEST_TEXT = 4096


def _encodable(text: str) -> str:
    """Half a surrogate pair, which JSON can spell, is nothing that could be sent; NUL is nothing that should."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair, which is no character") from None
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


def words(most: int, least: int = 1) -> Any:
    return Annotated[str, StringConstraints(strip_whitespace=True, min_length=least, max_length=most), AfterValidator(_encodable)]


class Sendable(BaseModel):
    """`body()` is the Cloud API's object, without the file's id; `text()` what people and the model read of it."""

    model_config = ConfigDict(extra="forbid")

    type: str

    def body(self) -> Any:
        raise NotImplementedError

    @property
    def kind(self) -> str:
        """The Cloud API's type."""
        return self.type

    def text_of(self) -> str:
        return words_of({"type": self.kind, self.kind: self.body()})

    def content(self) -> Content:
        return Content(self.kind, self.text_of(), self.body())


class TextMessage(Sendable):
    """A text. A link in it gets its preview."""

    type: Literal["text"] = "text"
    text: words(LONGEST_TEXT)

    def content(self) -> Content:
        return Content("text", self.text)


class WithFile(Sendable):
    """A file: either `media_id` of an upload (POST /media), or `url`, which is fetched first."""

    media_id: words(64) | None = None
    url: words(2000) | None = Field(None, description="http or https, of a public address.")

    @model_validator(mode="after")
    def one_source(self) -> Self:
        if (self.media_id is None) == (self.url is None):
            raise ValueError("give either media_id or url")
        return self

    def body(self) -> dict[str, Any]:
        return self.model_dump(include={"caption", "filename"}, exclude_none=True)


class ImageMessage(WithFile):
    """JPEG or PNG, 5 MB at most."""

    type: Literal["image"]
    caption: words(1024) | None = None


class VideoMessage(WithFile):
    """MP4 or 3GP, 16 MB at most."""

    type: Literal["video"]
    caption: words(1024) | None = None


class AudioMessage(WithFile):
    """AAC, AMR, MP3, M4A or OGG with Opus, 16 MB at most."""

    type: Literal["audio"]


class DocumentMessage(WithFile):
    """Any document, 100 MB at most."""

    type: Literal["document"]
    caption: words(1024) | None = None
    filename: words(240) | None = None


class StickerMessage(WithFile):
    """WebP: 100 KB, moving ones 500 KB at most."""

    type: Literal["sticker"]


class LocationMessage(Sendable):
    """A place on the map."""

    type: Literal["location"]
    latitude: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
    longitude: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
    name: words(1000) | None = None
    address: words(1000) | None = None

    @model_validator(mode="after")
    def address_has_a_name(self) -> Self:
        if self.address and not self.name:
            raise ValueError("WhatsApp shows an address only together with a name")
        return self

    def body(self) -> dict[str, Any]:
        return self.model_dump(exclude={"type"}, exclude_none=True)


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CardName(Part):
    """Beside `formatted_name` at least one other part must be there; without one, `first_name` is the whole."""

    formatted_name: words(200)
    first_name: words(200) | None = None
    last_name: words(200) | None = None
    middle_name: words(200) | None = None
    prefix: words(50) | None = None
    suffix: words(50) | None = None


class CardPhone(Part):
    phone: words(40)
    type: words(20) | None = None
    wa_id: Annotated[str, StringConstraints(pattern=r"^[0-9]{5,20}$")] | None = None


class CardEmail(Part):
    email: words(254)
    type: words(20) | None = None


class CardOrganisation(Part):
    company: words(200) | None = None
    department: words(200) | None = None
    title: words(200) | None = None


class CardUrl(Part):
    url: words(2000)
    type: words(20) | None = None


class Card(Part):
    name: CardName
    phones: Annotated[list[CardPhone], Field(max_length=20)] = []
    emails: Annotated[list[CardEmail], Field(max_length=20)] = []
    org: CardOrganisation | None = None
    urls: Annotated[list[CardUrl], Field(max_length=20)] = []

    def body(self) -> dict[str, Any]:
        body = {name: value for name, value in self.model_dump(exclude_none=True).items() if value}
        if len(body["name"]) == 1:
            body["name"]["first_name"] = self.name.formatted_name
        return body


class ContactsMessage(Sendable):
    """Contact cards. Few phones show more than ten in one message."""

    type: Literal["contacts"]
    contacts: Annotated[list[Card], Field(min_length=1, max_length=10)]

    def body(self) -> list[dict[str, Any]]:
        return [card.body() for card in self.contacts]


class ReactionMessage(Sendable):
    """An emoji on one of the customer's messages; '' takes it away."""

    type: Literal["reaction"]
    message_id: words(200) = Field(description="The WhatsApp id of the customer's message.")
    emoji: Annotated[str, StringConstraints(strip_whitespace=True, max_length=20), AfterValidator(_encodable)]

    @model_validator(mode="after")
    def is_an_emoji(self) -> Self:
        letters = any(character.isalpha() or character.isspace() for character in self.emoji)
        if letters and "\ufe0f" not in self.emoji:  # ℹ is a letter, and as an emoji carries a variation selector
            raise ValueError("emoji: one emoji, or '' to take it away")
        return self

    def body(self) -> dict[str, Any]:
        return {"message_id": self.message_id, "emoji": self.emoji}


class HeaderFile(WithFile):
    """The file above a template or buttons."""

    type: Literal["image", "video", "document"]
    filename: words(240) | None = None

    @model_validator(mode="after")
    def filename_of_a_document(self) -> Self:
        if self.filename and self.type != "document":
            raise ValueError("only a document has a filename")
        return self


class TemplateMessage(Sendable):
    """A template that Meta has approved. `variables` by their names: "1", "2" … or as named in the template, "header" for the header's own,
    "button_1" … for what an address or a code of the first button wants.
    """

    type: Literal["template"]
    name: words(512)
    language: words(20)
    variables: dict[words(100), words(1024)] = {}
    header: HeaderFile | None = Field(None, description="For a template whose header is a file.")


class Button(Part):
    title: words(20)
    id: words(256) | None = Field(None, description="Comes back when it is pressed; the title where there is none.")


class WithChoices(Sendable):
    footer: words(60) | None = None

    @property
    def kind(self) -> str:
        return "interactive"

    def text_of(self) -> str:
        header = self.header if isinstance(self.header, str) else None
        return "\n".join(filter(None, (header, self.text, self.footer)))

    def _framed(self, kind: str, action: dict[str, Any]) -> dict[str, Any]:
        body = {"type": kind, "body": {"text": self.text}, "action": action}
        if isinstance(self.header, str):
            body["header"] = {"type": "text", "text": self.header}
        elif self.header is not None:
            body["header"] = {"type": self.header.type, self.header.type: self.header.body()}
        return body | ({"footer": {"text": self.footer}} if self.footer else {})


def _all_different(name: str, values: Iterable[str]) -> None:
    values = list(values)
    if len(set(values)) < len(values):
        raise ValueError(f"{name}: two are the same")


class ButtonsMessage(WithChoices):
    """Up to three buttons under a text."""

    type: Literal["buttons"]
    text: words(1024)
    buttons: Annotated[list[Button], Field(min_length=1, max_length=3)]
    header: words(60) | HeaderFile | None = None

    @model_validator(mode="after")
    def buttons_differ(self) -> Self:
        _all_different("buttons.title", (button.title for button in self.buttons))
        _all_different("buttons.id", (button.id or button.title for button in self.buttons))
        return self

    def body(self) -> dict[str, Any]:
        replies = [{"type": "reply", "reply": {"id": button.id or button.title, "title": button.title}} for button in self.buttons]
        return self._framed("button", {"buttons": replies})


class Row(Part):
    title: words(24)
    id: words(200) | None = None
    description: words(72) | None = None

    def body(self) -> dict[str, Any]:
        body = {"id": self.id or self.title, "title": self.title}
        return body | ({"description": self.description} if self.description else {})


class Section(Part):
    title: words(24) | None = None
    rows: Annotated[list[Row], Field(min_length=1, max_length=10)]


class ListMessage(WithChoices):
    """Up to ten rows to choose from, behind one button."""

    type: Literal["list"]
    text: words(4096)
    button: words(20)
    sections: Annotated[list[Section], Field(min_length=1, max_length=10)]
    header: words(60) | None = None

    @model_validator(mode="after")
    def ten_rows_in_all(self) -> Self:
        rows = [row for section in self.sections for row in section.rows]
        if len(rows) > 10:
            raise ValueError(f"sections: {len(rows)} rows; WhatsApp takes 10 in all")
        if len(self.sections) > 1 and not all(section.title for section in self.sections):
            raise ValueError("sections.title: each of several sections has one")
        _all_different("sections.rows.id", (row.id or row.title for row in rows))
        return self

    def body(self) -> dict[str, Any]:
        sections = [
            {**({"title": section.title} if section.title else {}), "rows": [row.body() for row in section.rows]} for section in self.sections
        ]
        return self._framed("list", {"button": self.button, "sections": sections})


AnyMessage = (
    Annotated[TextMessage, Tag("text")]
    | Annotated[ImageMessage, Tag("image")]
    | Annotated[VideoMessage, Tag("video")]
    | Annotated[AudioMessage, Tag("audio")]
    | Annotated[DocumentMessage, Tag("document")]
    | Annotated[StickerMessage, Tag("sticker")]
    | Annotated[LocationMessage, Tag("location")]
    | Annotated[ContactsMessage, Tag("contacts")]
    | Annotated[ReactionMessage, Tag("reaction")]
    | Annotated[TemplateMessage, Tag("template")]
    | Annotated[ButtonsMessage, Tag("buttons")]
    | Annotated[ListMessage, Tag("list")]
)


def _tag(given: Any) -> Any:
    """By which model it is checked. Without a tag every model would report what is wrong with it."""
    if isinstance(given, str):
        return "string"
    return given.get("type") if isinstance(given, dict) else getattr(given, "type", None)


_by_type = Discriminator(
    _tag,
    custom_error_type="unknown_type",
    custom_error_message="type is one of text, image, video, audio, document, sticker, location, contacts, reaction, template, buttons, list",
)
TextOrMessage = Annotated[Annotated[words(LONGEST_TEXT), Tag("string")] | AnyMessage, _by_type]

_any = TypeAdapter(Annotated[AnyMessage, _by_type])


def read(given: dict[str, Any]) -> Sendable:
    """Raises pydantic.ValidationError."""
    return _any.validate_python(given)
