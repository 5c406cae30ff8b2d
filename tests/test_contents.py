"""Kinds of message: each limit of WhatsApp's is checked before anything is queued, and the field is named."""

import pytest
from pydantic import ValidationError

from frontdesk.flows import contents

BUTTON = {"title": "Yes"}
CARD = {"name": {"formatted_name": "Ana"}}
ROW = {"title": "Cake"}


def wrong(given: dict) -> tuple[str, str]:
    """The field and the words of the first thing that is wrong."""
    with pytest.raises(ValidationError) as caught:
        contents.read(given)
    first = caught.value.errors()[0]
    return ".".join(map(str, first["loc"][1:])), first["msg"]


@pytest.mark.parametrize(
    "given, field",
    [
        ({"type": "text", "text": "x" * 4097}, "text"),
        ({"type": "text", "text": "  "}, "text"),
        ({"type": "text", "text": "half \ud83d"}, "text"),
        ({"type": "text", "text": "null \0"}, "text"),
        ({"type": "image", "media_id": "m", "caption": "x" * 1025}, "caption"),
        ({"type": "video", "media_id": "m", "caption": "x" * 1025}, "caption"),
        ({"type": "audio", "media_id": "m", "caption": "no"}, "caption"),
        ({"type": "document", "media_id": "m", "filename": "x" * 241}, "filename"),
        ({"type": "sticker", "media_id": "m", "caption": "no"}, "caption"),
        ({"type": "location", "latitude": 90.1, "longitude": 0}, "latitude"),
        ({"type": "location", "latitude": 0, "longitude": -180.1}, "longitude"),
        ({"type": "location", "latitude": float("nan"), "longitude": 0}, "latitude"),
        ({"type": "contacts", "contacts": []}, "contacts"),
        ({"type": "contacts", "contacts": [CARD] * 11}, "contacts"),
        ({"type": "contacts", "contacts": [{"name": {}}]}, "contacts.0.name.formatted_name"),
        ({"type": "reaction", "emoji": "👍"}, "message_id"),
        ({"type": "template", "language": "en"}, "name"),
        ({"type": "buttons", "text": "x" * 1025, "buttons": [BUTTON]}, "text"),
        ({"type": "buttons", "text": "x", "buttons": []}, "buttons"),
        ({"type": "buttons", "text": "x", "buttons": [{"title": str(n)} for n in range(4)]}, "buttons"),
        ({"type": "buttons", "text": "x", "buttons": [{"title": "x" * 21}]}, "buttons.0.title"),
        ({"type": "buttons", "text": "x", "buttons": [{"title": "x", "id": "y" * 257}]}, "buttons.0.id"),
        ({"type": "buttons", "text": "x", "buttons": [BUTTON], "footer": "x" * 61}, "footer"),
        ({"type": "list", "text": "x", "button": "x" * 21, "sections": [{"rows": [ROW]}]}, "button"),
        ({"type": "list", "text": "x", "button": "x", "sections": [{"rows": [{"title": "x" * 25}]}]}, "sections.0.rows.0.title"),
        ({"type": "list", "text": "x", "button": "x", "sections": [{"rows": [{"title": "x", "id": "y" * 201}]}]}, "sections.0.rows.0.id"),
        ({"type": "list", "text": "x", "button": "x", "sections": [{"rows": [{"title": "x", "description": "y" * 73}]}]}, "sections.0.rows.0.description"),
        ({"type": "list", "text": "x", "button": "x", "sections": [{"title": "x" * 25, "rows": [ROW]}]}, "sections.0.title"),
        ({"type": "list", "text": "x", "button": "x", "sections": [{"rows": [{"title": str(n)} for n in range(11)]}]}, "sections.0.rows"),
        ({"type": "list", "text": "x", "button": "x", "sections": [{"rows": []}]}, "sections.0.rows"),
        ({"type": "text", "text": "x", "colour": "red"}, "colour"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_limit_of_whatsapps_names_its_field(given, field):
    assert wrong(given)[0] == field


@pytest.mark.parametrize(
    "given, words",
    [
        ({"type": "image"}, "either media_id or url"),
        ({"type": "image", "media_id": "m", "url": "https://x.example/y"}, "either media_id or url"),
        ({"type": "reaction", "message_id": "w", "emoji": "nice"}, "one emoji"),
        ({"type": "location", "latitude": 1, "longitude": 2, "address": "Street 1"}, "together with a name"),
        ({"type": "buttons", "text": "x", "buttons": [BUTTON, BUTTON]}, "two are the same"),
        ({"type": "buttons", "text": "x", "buttons": [{"title": "a", "id": "1"}, {"title": "b", "id": "1"}]}, "two are the same"),
        ({"type": "list", "text": "x", "button": "x", "sections": [{"title": "a", "rows": [ROW]}, {"title": "b", "rows": [ROW]}]}, "two are the same"),
        ({"type": "list", "text": "x", "button": "x", "sections": [{"rows": [ROW]}, {"title": "b", "rows": [{"title": "y"}]}]}, "each of several"),
        (
            {"type": "list", "text": "x", "button": "x", "sections": [{"title": s, "rows": [{"title": f"{s}{n}"} for n in range(6)]} for s in "ab"]},
            "12 rows; WhatsApp takes 10",
        ),
        ({"type": "pigeon"}, "type is one of"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_parts_must_be_together_is_said(given, words):
    assert words in wrong(given)[1]


@pytest.mark.parametrize("emoji", ["👍", "❤️", "👩‍👩‍👧‍👦", "🇩🇪", "1️⃣", "ℹ️", ""])
def test_any_emoji_can_be_a_reaction(emoji):
    assert contents.read({"type": "reaction", "message_id": "w", "emoji": emoji}).body()["emoji"] == emoji


def test_what_people_read_of_a_message_is_in_words():
    def words(**given) -> str:
        return contents.read(given).content().text

    assert words(type="location", latitude=52.5, longitude=13.4, name="Shop", address="Street 1") == "[location: Shop, Street 1 (52.5, 13.4)]"
    assert words(type="contacts", contacts=[{**CARD, "phones": [{"phone": "+49 30 1"}]}]) == "[contact: Ana, +49 30 1]"
    assert words(type="image", media_id="m", caption="Our cake") == "[image] Our cake"
    assert words(type="document", media_id="m", filename="menu.pdf") == "[document: menu.pdf]"
    assert words(type="buttons", header="Cakes", text="Which?", footer="Corner Bakery", buttons=[BUTTON]) == "Cakes\nWhich?\nCorner Bakery"


def test_a_button_without_an_id_comes_back_as_its_title():
    reply = contents.read({"type": "buttons", "text": "x", "buttons": [BUTTON]}).body()["action"]["buttons"][0]
    assert reply == {"type": "reply", "reply": {"id": "Yes", "title": "Yes"}}
