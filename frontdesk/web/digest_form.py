"""The part of a client's page that says whether a daily digest is made, when, and to whom it goes by WhatsApp."""

from flask import request

from frontdesk.flows import digest_words, phones
from frontdesk.flows.context import Context
from frontdesk.flows.digest_words import BadTemplate
from frontdesk.flows.phones import BadPhone
from frontdesk.store import digests, numbers, templates
from frontdesk.store.digests import Wish
from frontdesk.store.templates import Template
from frontdesk.web.forms import Form

HOURS = [(str(hour), f"{hour:02}:00") for hour in range(24)]


def typed(wish: Wish) -> dict[str, str]:
    """As the form's fields show it."""
    return {
        "digest_on": "yes" if wish.is_on else "",
        "digest_hour": str(wish.hour),
        "digest_phone": f"+{wish.phone}" if wish.phone else "",
        "digest_template": _value(wish.template, wish.language) if wish.template else "",
    }


def _value(name: str, language: str) -> str:
    return f"{name}|{language}"


def templates_of(context: Context, client_id: int) -> list[tuple[str, str]]:
    """What the form offers, also a template that is chosen and no longer there."""
    found = {_value(one.name, one.language): f"{one.name} ({one.language})" for one in _known(context, client_id).values() if _fits(one)}
    wish = digests.wish(context.db, client_id)
    if wish.template and (value := _value(wish.template, wish.language)) not in found:
        found[value] = f"{wish.template} ({wish.language}), cannot be sent now"
    return [("", "no message: on the desk alone"), *found.items()]


def _known(context: Context, client_id: int) -> dict[str, Template]:
    accounts = dict.fromkeys(number.account_id for number in numbers.of_client(context.db, client_id) if number.account_id)
    known = [one for account in accounts for one in templates.of_account(context.db, account)]
    return {_value(one.name, one.language): one for one in reversed(known)}


def _fits(template: Template) -> bool:
    try:
        digest_words.check(template)
    except BadTemplate:
        return False
    return True


def read(context: Context, client_id: int, form: Form) -> Wish:
    is_on = form.values["digest_on"] = request.form.get("digest_on", "")
    hour = form.choice("digest_hour", tuple(value for value, _ in HOURS))
    phone = _phone(context, client_id, form)
    template = _template(context, client_id, form)
    if form and bool(phone) != bool(template):
        form.wrong("digest_template" if phone else "digest_phone", "For a message by WhatsApp both a phone number and a template are needed.")
    name, _, language = template.partition("|")
    return Wish(client_id, is_on == "yes", int(hour or digests.USUAL_HOUR) if form else digests.USUAL_HOUR, phone or None, name or None, language or None)


def _phone(context: Context, client_id: int, form: Form) -> str:
    given = form.words("digest_phone", "The phone number", 40, required=False)
    if not given:
        return ""
    own = next((number.display_phone for number in numbers.of_client(context.db, client_id) if number.display_phone), None)
    try:
        return phones.read(given, phones.region_of(own)).digits
    except BadPhone as error:
        form.wrong("digest_phone", f"{str(error)[:1].upper()}{str(error)[1:]}.")
        return ""


def _template(context: Context, client_id: int, form: Form) -> str:
    value = form.values["digest_template"] = request.form.get("digest_template", "")
    if not value:
        return ""
    wish = digests.wish(context.db, client_id)
    found = _known(context, client_id).get(value)
    try:
        if found:
            digest_words.check(found)
        elif not (wish.template and value == _value(wish.template, wish.language)):
            form.wrong("digest_template", "Choose one of these.")
    except BadTemplate as error:
        form.wrong("digest_template", f"This template cannot be used. {error}")
    return value


def in_words(wish: Wish) -> str:
    if not wish.is_on:
        return "there is no daily digest."
    to = f", and goes to +{wish.phone} by WhatsApp" if wish.phone else ""
    return f"the digest of each day comes at {wish.hour:02}:00 the next morning{to}." if wish.hour < 12 else f"the digest of each day comes at {wish.hour:02}:00 the next day{to}."
