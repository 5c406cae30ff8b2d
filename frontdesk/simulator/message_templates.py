"""The templates that the simulated account begins with: each header, variable, button and state that readers must know."""

from typing import Any


def _body(text: str, *example: str) -> dict[str, Any]:
    return {"type": "BODY", "text": text, **({"example": {"body_text": [list(example)]}} if example else {})}


def _written(id_: str, name: str, language: str, category: str, *components: dict, status: str = "APPROVED", **more: Any) -> dict[str, Any]:
    return {"id": id_, "name": name, "language": language, "status": status, "category": category, "components": list(components), **more}


TEMPLATES = [
    _written("1", "hello_world", "en_US", "UTILITY", {"type": "HEADER", "format": "TEXT", "text": "Hello"}, _body("Welcome! This message shows that everything works.")),
    _written("2", "order_ready", "en", "UTILITY", _body("Hello {{1}}, your order {{2}} is ready to be picked up.", "Ana", "4711"), {"type": "FOOTER", "text": "Corner Bakery"}),
    _written("3", "order_ready", "de", "UTILITY", _body("Hallo {{1}}, Ihre Bestellung {{2}} ist fertig.", "Ana", "4711")),
    _written(
        "4", "appointment", "en", "UTILITY",
        _body("Dear {{customer}}, we expect you on {{day}}.") | {"example": {"body_text_named_params": [{"param_name": "customer", "example": "Ana"}, {"param_name": "day", "example": "Monday"}]}},
        {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "I will come"}, {"type": "QUICK_REPLY", "text": "Another day"}]},
        parameter_format="NAMED",
    ),
    _written(
        "5", "weekly_offer", "en", "MARKETING", {"type": "HEADER", "format": "IMAGE"}, _body("This week: {{1}} for {{2}}.", "walnut bread", "3.90"),
        {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "See it", "url": "https://bakery.example/offers/{{1}}"}]},
    ),
    _written(
        "8", "daily_digest", "en", "UTILITY",
        _body("Your digest of {{1}}.\n\n{{2}}.\n\n{{3}}\n\n{{4}} More at the desk.", "Friday, 20 November", "34 conversations", "Many asked for cake.", "Nobody waits."),
    ),
    _written("6", "spring_sale", "en", "MARKETING", _body("Everything 20 % off."), status="PAUSED"),
    _written("7", "winter_sale", "en", "MARKETING", _body("Buy now!"), status="REJECTED", rejected_reason="PROMOTIONAL"),
]  # fmt: skip
