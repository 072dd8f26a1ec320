"""The rule for secrets without a known shape: a random-looking value assigned to a name that says it is secret.

Pure. Precision comes first here: a placeholder, a reference to a variable, a hash, a path, a name or an ordinary word
is no secret. The expressions are tried only where one of the names stands, which are searched before, and every
repetition is bounded and possessive.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from coven_action.core.redaction.pairs import Places

_KIND: Final = "value of a secret"

NAMES: Final = (b"secret", b"token", b"passw", b"pwd", b"passphrase", b"credential", b"auth", b"key")
"""What the name of a secret has in it, in lower case."""

_PASSWORD_NAMES: Final = frozenset({b"passw", b"pwd", b"passphrase"})

# `key` alone names too much: what stands before it says whether it is one to keep.
_KEY_OWNERS: Final = (
    *(b"api", b"access", b"account", b"admin", b"app", b"auth", b"client", b"consumer", b"deploy", b"encryption"),
    *(b"master", b"private", b"secret", b"service", b"session", b"shared", b"signing", b"storage", b"webhook"),
)
# A name that goes on like this names something about a secret, or a public value.
_PUBLIC_NAME: Final = re.compile(
    rb"(?:id|name|type|file|path|url|uri|endpoint|hash|sha\d{0,3}|digest|checksum|count|limit|expir[a-z_]{1,12}|usage"
    rb"|len|length|size|version|arn|ref|ttl|scope|audience|prefix|pattern|regex|class|public|kind)s?$",
    re.IGNORECASE,
)
_ASSIGNMENT: Final = re.compile(
    rb"(?P<name>[A-Za-z0-9_.-]{0,40}+)(?P<close>\\?[\"'`]?\]?)"
    rb"[ \t]{0,8}+(?P<operator>=>|:=|==?|:|,)[ \t]{0,8}+(?P<open>\\?[\"'`]?)"
    rb"(?P<value>[A-Za-z0-9+/_.~!@#%^&*?-]{8,512}+={0,2}+)(?P<after>[^\s]?)"
)
_PLACEHOLDER: Final = re.compile(
    rb"example|sample|dummy|placeholder|change.?me|replace|redacted|insert|xxxx|\*\*\*|\.\.\.|abcdef|12345678|qwerty"
    rb"|foobar|^pass(?:word|wd)?[0-9]*$"
    rb"|(?:^|[_.-])(?:your|my|a|the|test|fake|todo|secret|password|token|key|none|null|undefined)(?:[_.-]|$)",
    re.IGNORECASE,
)
_HASH: Final = re.compile(rb"(?:sha(?:1|256|384|512)|md5)[-:=]|[0-9]{4}-[0-9]{2}-[0-9]{2}|https?:|[./~]{1,2}/|--|@")
_CALL: Final = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*(?:(?:\.|->|::)[A-Za-z_][A-Za-z0-9_-]*)+")
_WORDS: Final = re.compile(rb"(?:[A-Z]?[a-z]+|[A-Z]+)[0-9]{0,5}(?:[_./-](?:[A-Z]?[a-z]+|[A-Z]+|(?=[0-9]))[0-9]{0,5})*")
_CAMEL: Final = re.compile(rb"[A-Za-z]?[a-z]+[0-9]{0,5}(?:[A-Z]{1,4}[a-z]{2,}[0-9]{0,5})+")
_DIGIT: Final = re.compile(rb"[0-9]")
_LETTER: Final = re.compile(rb"[A-Za-z]")
_SIGN: Final = re.compile(rb"[^A-Za-z0-9_./-]")
_HEX: Final = re.compile(rb"[0-9a-fA-F-]+")

_BITS: Final = 3.2  # per character; the mean of 20 random letters and digits is about 4, of words about 3
_HEX_BITS: Final = 2.8
_SHORTEST: Final = 16
_SHORTEST_HEX: Final = 32
_SHORTEST_PASSWORD: Final = 8


def find_assignments(text: bytes, places: Places) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and kind of each random-looking value that is assigned to a secret-looking name.

    Args:
        text: What is searched.
        places: Where the `NAMES` stand in it, in any case.
    """
    for name in NAMES:
        for place in places.get(name, ()):
            if name != b"key" or _has_owner(text[max(place - 12, 0) : place]):
                yield from _read_assignment(text, place + len(name), is_password=name in _PASSWORD_NAMES)


def _has_owner(before: bytes) -> bool:
    return before.lower().rstrip(b"_-. ").endswith(_KEY_OWNERS)


def _read_assignment(text: bytes, place: int, *, is_password: bool) -> Iterator[tuple[int, int, str]]:
    match = _ASSIGNMENT.match(text, place)
    if match is None or _PUBLIC_NAME.search(match["name"]):
        return
    value = match["value"]
    is_quoted = match["open"] != b"" and match["after"] != b"" and match["after"] in match["open"] + b"\\"
    if match["operator"] == b"," and not is_quoted:
        return
    if match["after"] in {b"(", b"[", b"$", b"{"} or (
        b"]" in match["close"] and not match["close"].startswith((b'"', b"'"))
    ):
        return
    if is_random(value) or (is_password and is_quoted and is_password_like(value)):
        yield *match.span("value"), _KIND


def is_random(value: bytes) -> bool:
    """Whether a value looks as if a machine had drawn it: long, mixed, and with many different characters."""
    if len(value) < _SHORTEST or _DIGIT.search(value) is None or _LETTER.search(value) is None or is_benign(value):
        return False
    if _HEX.fullmatch(value):
        return len(value) >= _SHORTEST_HEX and measure_entropy(value) >= _HEX_BITS
    return measure_entropy(value) >= _BITS


def is_password_like(value: bytes) -> bool:
    """Whether a quoted value that is called a password looks like one: letters with digits or signs, no placeholder."""
    return (
        len(value) >= _SHORTEST_PASSWORD
        and _LETTER.search(value) is not None
        and (_DIGIT.search(value) is not None or len(_SIGN.findall(value)) > 1)
        and not is_benign(value)
    )


def is_benign(value: bytes) -> bool:
    """Whether a value is a placeholder, a hash that says so, a path, a call or made of words."""
    return bool(
        _PLACEHOLDER.search(value)
        or _HASH.match(value)
        or _CALL.fullmatch(value)
        or _WORDS.fullmatch(value)
        or _CAMEL.fullmatch(value)
    )


def measure_entropy(value: bytes) -> float:
    """Return the Shannon entropy of the characters of a value, in bits per character."""
    counts = Counter(value).values()
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts)
