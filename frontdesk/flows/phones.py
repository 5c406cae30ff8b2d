"""Phone numbers as people write them → as WhatsApp knows them: digits in international form, with country and time zone.

Google's rules (phonenumbers) decide what exists. They are imported when first needed: 4 MB that most processes never use.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, ZoneInfoNotFoundError

from frontdesk.errors import BadPhone

LONGEST_TEXT = 60
UNKNOWN_ZONE = "Etc/Unknown"

# In a list of WhatsApp recipients: a number that can be read in two ways is rather a mobile.
_MOBILE = (1, 2)  # PhoneNumberType.MOBILE, FIXED_LINE_OR_MOBILE
_EXCEL_SHORT = re.compile(r"\d+([.,]\d+)?E\+?\d+", re.IGNORECASE)
_AS_DECIMAL = re.compile(r"(\+?\d{7,15})[.,]0{1,2}")  # a program took it for a sum
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2069\ufeff"))
_WRAPPING = " \t\r\n\"'=\u00a0"


@dataclass(frozen=True, slots=True)
class Phone:
    """`digits`: E.164 without its plus, the form of contacts. `time_zones`: every one the number may be in, none if unknown."""

    digits: str
    country: str
    time_zones: tuple[str, ...]


def read(text: str, region: str | None) -> Phone:
    """`region`: where numbers without a country code belong (ISO 3166, "DE"). Raises `BadPhone`."""
    number, kind = _number(text, region)
    return Phone(
        digits=_digits(number),
        country=_library().region_code_for_number(number) or "",
        time_zones=_time_zones(number, kind),
    )


@cache
def _library():
    import phonenumbers

    return phonenumbers


def _digits(number) -> str:
    zeros = (number.number_of_leading_zeros or 1) if number.italian_leading_zero else 0
    return f"{number.country_code}{'0' * zeros}{number.national_number}"


def _number(text: str, region: str | None) -> tuple:
    """The number and its kind."""
    text = text.translate(_UNSEEN).strip(_WRAPPING)
    if not text:
        raise BadPhone("no phone number in this line")
    if len(text) > LONGEST_TEXT or not re.search(r"\d", text):
        raise BadPhone("not a phone number")
    if _EXCEL_SHORT.fullmatch(text):
        raise BadPhone("shortened by a spreadsheet (such as 4.9E+11); format the column as text and save it again")
    if decimal := _AS_DECIMAL.fullmatch(text):
        text = decimal[1]
    if text.startswith("+"):
        return _valid(text, None) or _mended(text) or _refused(text, None)
    at_home = _valid(text, region) if region else None
    if at_home and (text[0] in "0(" or at_home[1] in _MOBILE):
        return at_home
    abroad = _abroad(text)
    if abroad and (not at_home or abroad[1] in _MOBILE):
        return abroad
    return at_home or _refused(text, region)


def _valid(text: str, region: str | None) -> tuple | None:
    library = _library()
    try:
        number = library.parse(text, region)
    except library.NumberParseException:
        return None
    kind = library.number_type(number)  # UNKNOWN is what is_valid_number() calls invalid, at half the cost of asking for both
    return None if kind == library.PhoneNumberType.UNKNOWN else (number, kind)


def _abroad(text: str) -> tuple | None:
    """With its country code but no plus, as WhatsApp's own ids are written."""
    international = f"+{text[2:]}" if text.startswith("00") else f"+{text}" if text[0] != "0" else ""
    return _valid(international, None) or _mended(international) if international else None


def _mended(text: str) -> tuple | None:
    """Mexican numbers with the 1 and Brazilian mobiles without the 9 that WhatsApp's ids still have or lack."""
    digits = "".join(filter(str.isdigit, text))
    if len(digits) == 13 and digits.startswith("521"):
        return _valid(f"+52{digits[3:]}", None)
    if len(digits) == 12 and digits.startswith("55") and digits[4] in "6789":
        return _valid(f"+{digits[:4]}9{digits[4:]}", None)
    return None


def _refused(text: str, region: str | None):
    library = _library()
    try:
        number = library.parse(text, region)
    except library.NumberParseException as error:
        raise BadPhone(_parse_words(error, country_given=bool(region) or text[0] in "+＋")) from None
    digits = _digits(number)
    reason, possible = library.is_possible_number_with_reason(number), library.ValidationResult
    country = library.region_code_for_country_code(number.country_code)
    if reason in (possible.TOO_SHORT, possible.IS_POSSIBLE_LOCAL_ONLY):
        raise BadPhone(f"too short for a number of {country}", digits)
    if reason == possible.TOO_LONG:
        raise BadPhone(f"too long for a number of {country}", digits)
    if reason == possible.INVALID_COUNTRY_CODE:
        raise BadPhone("no country has this country code")
    raise BadPhone(f"no such number exists in {country}", digits)


def _parse_words(error, *, country_given: bool) -> str:
    if error.error_type == error.INVALID_COUNTRY_CODE:
        return "no country has this country code" if country_given else "no country code, and no country was chosen for such numbers"
    if error.error_type == error.NOT_A_NUMBER:
        return "not a phone number"
    return "too long for a phone number" if error.error_type == error.TOO_LONG else "too short for a phone number"


# --- other names of a number ----------------------------------------------------------------------------------------------------


def also_known_as(digits: str) -> tuple[str, ...]:
    """The ids under which WhatsApp may know this number: itself first. Whoever opted out under one did so under all."""
    if digits.startswith("52") and len(digits) == 12:
        return digits, f"521{digits[2:]}"
    if digits.startswith("55") and len(digits) == 13 and digits[4] == "9":
        return digits, f"{digits[:4]}{digits[5:]}"
    if digits.startswith("549") and len(digits) == 13:
        return digits, f"54{digits[3:]}"
    if digits.startswith("54") and len(digits) == 12:
        return digits, f"549{digits[2:]}"
    return (digits,)


# --- countries and time zones ---------------------------------------------------------------------------------------------------


def region_of(phone: str | None) -> str | None:
    """The country of a number in international form, such as the business's own."""
    digits = "".join(filter(str.isdigit, phone or ""))
    library = _library()
    try:
        number = library.parse(f"+{digits}", None)
    except library.NumberParseException:
        return None
    region = library.region_code_for_number(number) or library.region_code_for_country_code(number.country_code)
    return region if region not in ("ZZ", "001") else None


def regions() -> tuple[str, ...]:
    return tuple(sorted(_library().SUPPORTED_REGIONS))


@cache
def country_names() -> dict[str, str]:
    """As this machine's time zone data name them; what is missing is shown by its code."""
    for folder in TZPATH:
        try:
            lines = Path(folder, "iso3166.tab").read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        return dict(line.split("\t", 1) for line in lines if "\t" in line and not line.startswith("#"))
    return {}


def calling_code(region: str) -> str:
    return str(_library().country_code_for_region(region))


def shares_calling_code(region: str) -> bool:
    """With other countries, as the US does with Canada."""
    return len(_library().COUNTRY_CODE_TO_REGION_CODE[int(calling_code(region))]) > 1


def _time_zones(number, kind: int) -> tuple[str, ...]:
    """Only of geographical numbers the digits tell more than the country."""
    if _library().is_number_type_geographical(kind, number.country_code):
        return _known_zones(number)
    if number.country_code not in _zones_of_country:
        _zones_of_country[number.country_code] = _known_zones(number)
    return _zones_of_country[number.country_code]


_zones_of_country: dict[int, tuple[str, ...]] = {}


def _known_zones(number) -> tuple[str, ...]:
    from phonenumbers import timezone

    zones = timezone.time_zones_for_number(number)
    return () if zones == (UNKNOWN_ZONE,) else tuple(zones)


@lru_cache(maxsize=4096)
def one_zone(zones: tuple[str, ...], preferred: str, day: int) -> str:
    """Of all zones a number may be in: the preferred one if it is among them, else the one in the middle, which errs least.

    `day`: whole days since 1970, for summer time.
    """
    known = [zone for zone in zones if _exists(zone)]
    if not known or preferred in known:
        return preferred
    at = datetime.fromtimestamp(day * 86400)
    ordered = sorted(known, key=lambda zone: (ZoneInfo(zone).utcoffset(at), zone))
    return ordered[len(ordered) // 2]


@cache
def _exists(zone: str) -> bool:
    """In this machine's own table, which may be older."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
