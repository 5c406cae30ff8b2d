"""Reading what people typed: each reader gives the value and writes what is wrong with it beside the field."""

import re

from flask import request

from frontdesk.flows import passwords
from frontdesk.flows.logging_in import normal_email

MOST_NAME_CHARACTERS = 100
MOST_EMAIL_CHARACTERS = 254  # RFC 5321, 4.5.3.1.3


class Form:
    """The fields of this request. `values` fill the form again, `errors` stand beside its fields."""

    def __init__(self, **values: str):
        self.values: dict[str, str] = values
        self.errors: dict[str, str] = {}

    def __bool__(self) -> bool:
        """Nothing is wrong."""
        return not self.errors

    def wrong(self, field: str, words: str) -> None:
        self.errors.setdefault(field, words)

    def text(self, field: str, label: str, most: int = MOST_NAME_CHARACTERS) -> str:
        value = self.values[field] = " ".join(request.form.get(field, "").split())
        if not value:
            self.wrong(field, f"{label} is missing.")
        elif len(value) > most:
            self.wrong(field, f"{label} is longer than {most} characters.")
        return value

    def words(self, field: str, label: str, most: int, *, required: bool = True) -> str:
        """A text of several lines."""
        value = self.values[field] = request.form.get(field, "").replace("\r\n", "\n").strip()
        if required and not value:
            self.wrong(field, f"{label} is missing.")
        elif len(value) > most:
            self.wrong(field, f"{label} has {len(value):,} characters; {most:,} is the most.")
        return value

    def number(self, field: str, label: str, low: float, high: float) -> float | None:
        """None: left empty."""
        typed = self.values[field] = request.form.get(field, "").strip()
        if not typed:
            return None
        try:
            value = float(typed.replace(",", "."))
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            self.wrong(field, f"{label} is a number from {low:g} to {high:g}, or empty.")
        return value

    def digits(self, field: str, label: str, *, required: bool = True) -> str | None:
        """One of Meta's ids."""
        value = self.values[field] = request.form.get(field, "").strip()
        if not value and not required:
            return None
        if not value.isascii() or not value.isdigit() or len(value) > 30:
            self.wrong(field, f"{label} is digits, as Meta shows it under API Setup.")
        return value

    def email(self, field: str = "email") -> str:
        value = self.values[field] = normal_email(request.form.get(field, ""))
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", value) or len(value) > MOST_EMAIL_CHARACTERS:
            self.wrong(field, "An e-mail address looks like name@example.com.")
        return value

    def choice(self, field: str, choices: tuple[str, ...]) -> str:
        """One of these, "" where it is none of them."""
        value = self.values[field] = request.form.get(field, "")
        if value not in choices:
            self.wrong(field, "Choose one of these.")
            return ""
        return value

    def new_password(self, field: str, *others: str) -> str:
        """Never shown again."""
        password = request.form.get(field, "")
        if weakness := passwords.weakness(password, *others):
            self.wrong(field, weakness)
        return password
