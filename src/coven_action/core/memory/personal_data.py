"""Find personal data by its shape: addresses, phone numbers, bank accounts, cards, social security numbers. Pure.

Each shape begins where a word begins, so the search is linear, and where the number carries check digits they must
hold. Addresses in the domains that are reserved for examples, and the technical accounts of git hosts, are nobody's. A
name or a postal address has no shape: people who approve a proposal look for those.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

# A part begins only where a word begins, so no address is tried from each of its letters.
_EMAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]+@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")
_PHONE: Final = re.compile(
    r"(?<![\w+])\+[1-9](?:[ .()/-]{0,3}\d){7,14}(?!\d)|(?<![\w.])\(?[2-9]\d\d\)?[ .-][2-9]\d\d[.-]\d{4}(?![\w.])"
)
_IBAN: Final = re.compile(r"(?<!\w)[A-Z]{2}\d\d(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")
_CARD: Final = re.compile(r"(?<![\w.-])[3-6](?:[ -]?\d){12,18}(?![\w-])")
_SOCIAL_SECURITY: Final = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])")

# RFC 2606 and RFC 6761: these names belong to nobody.
_EXAMPLE_DOMAINS: Final = ("example.com", "example.net", "example.org", "example", "test", "invalid", "localhost")
_TECHNICAL_ACCOUNTS: Final = ("git@", "noreply@", "no-reply@")
_NOREPLY_DOMAIN: Final = "users.noreply.github.com"

_IBAN_MODULUS: Final = 97
_TEN: Final = 10


def find_personal_data(text: str) -> str | None:
    """Return what kind of personal data a text holds, the first found; None where there is none. Never the data."""
    return next((kind for kind, find in SHAPES.items() if find(text)), None)


def _find_email(text: str) -> bool:
    return any(not _is_nobody(match[0].casefold(), match[1].casefold()) for match in _EMAIL.finditer(text))


def _is_nobody(address: str, domain: str) -> bool:
    is_example = any(domain == reserved or domain.endswith(f".{reserved}") for reserved in _EXAMPLE_DOMAINS)
    return is_example or domain == _NOREPLY_DOMAIN or address.startswith(_TECHNICAL_ACCOUNTS)


def _find_phone(text: str) -> bool:
    return _PHONE.search(text) is not None


def _find_iban(text: str) -> bool:
    return any(_has_iban_digits(match[0].replace(" ", "")) for match in _IBAN.finditer(text))


def _has_iban_digits(number: str) -> bool:
    """ISO 13616: the country and check digits go to the end, letters count from 10, and the rest by 97 is 1."""
    rearranged = "".join(str(int(character, 36)) for character in number[4:] + number[:4])
    return int(rearranged) % _IBAN_MODULUS == 1


def _find_card(text: str) -> bool:
    return any(_has_luhn_digit(re.sub(r"[ -]", "", match[0])) for match in _CARD.finditer(text))


def _has_luhn_digit(number: str) -> bool:
    """ISO/IEC 7812-1, annex B: every second digit from the right is doubled, and the sum ends in 0."""
    doubled = [int(digit) * (1 + index % 2) for index, digit in enumerate(reversed(number))]
    return sum(value // _TEN + value % _TEN for value in doubled) % _TEN == 0


def _find_social_security(text: str) -> bool:
    return _SOCIAL_SECURITY.search(text) is not None


SHAPES: Final[Mapping[str, Callable[[str], bool]]] = {
    "an e-mail address": _find_email,
    "a phone number": _find_phone,
    "a bank account (IBAN)": _find_iban,
    "a payment card": _find_card,
    "a social security number": _find_social_security,
}
"""What is looked for, by the words people read."""
