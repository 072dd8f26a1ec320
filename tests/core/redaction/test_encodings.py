"""Registered values: every encoding at every place, pieces, splits, and the rules for short and plain values."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest

from coven_action.core.redaction.encodings import LiveValues, build_forms, skeleton
from coven_action.core.redaction.redactor import Redactor

SECRET = "p9Xk/2mQ+7Lw=vR5t&Yz"
PLAIN_ASCII = "k7Jd92mXq0pLw3vR5tYz"
KIND = "registered secret"


def encode(before):
    return lambda value: base64.b64encode(b"\0" * before + value.encode() + b"\0").decode()


ENCODINGS = {
    "raw": lambda value: value,
    "reversed": lambda value: value[::-1],
    **{f"base64 at {n}": encode(n) for n in range(3)},
    **{
        f"urlsafe base64 at {n}": lambda value, n=n: encode(n)(value).translate(str.maketrans("+/", "-_"))
        for n in range(3)
    },
    "base64 twice": lambda value: base64.b64encode(base64.b64encode(value.encode())).decode(),
    "base64 in lines": lambda value: "\n".join(encode(1)(value)[start : start + 8] for start in range(0, 40, 8)),
    "hex": lambda value: value.encode().hex(),
    "HEX": lambda value: value.encode().hex().upper(),
    "hex with colons of spaces": lambda value: value.encode().hex(" "),
    "URL": lambda value: quote(value, safe=""),
    "form": quote_plus,
    "every byte %-encoded": lambda value: "".join(f"%{byte:02x}" for byte in value.encode()),
    "every byte %-ENCODED": lambda value: "".join(f"%{byte:02X}" for byte in value.encode()),
    "JSON": lambda value: json.dumps({"key": value}),
    "JSON in JSON": lambda value: json.dumps(json.dumps([value])),
    "slashes escaped": lambda value: value.replace("/", "\\/"),
    "HTML": html.escape,
    "split by spaces": " ".join,
    "split by newlines and tabs": "\n\t".join,
    "split by zero-width spaces": "\u200b".join,
    "split by soft hyphens and joiners": "\u00ad\u2060\u200d\ufeff".join,
    "split by tag characters": "\U000e0041".join,
    "split by terminal colours' escape": "\x1b".join,
    "reversed and split": lambda value: "\u200b".join(reversed(value)),
    "hex and split": lambda value: "\u200b".join(value.encode().hex()),
    "a line wrapped": lambda value: value[:10] + "\r\n    " + value[10:],
}
CONTEXTS = [
    ("", ""),
    ("token=", "\n"),
    ("x" * 13, "y" * 13),
    ("é漢\u200b", "🐈"),
    ("[redacted: ", "]"),
    ("\n" * 5, " " * 5),
]


@pytest.mark.parametrize("value", [SECRET, PLAIN_ASCII, "correct horse battery staple", "pässwörter sind geheim 1!"])
@pytest.mark.parametrize("name", ENCODINGS)
def test_every_encoding_is_covered_at_every_place(name, value):
    redactor = Redactor.build([value])
    leak = ENCODINGS[name](value)
    for before, after in CONTEXTS:
        redacted = redactor.redact(before + leak + after)

        assert leak not in redacted, (before, after)
        assert sum(redacted.counts.values()) == 1, (before, after)
        # What may stay of base64 are the characters that also depend on the neighbours.
        assert len(redacted) <= len(before) + len(after) + len("[redacted: registered secret]") + 16


@pytest.mark.parametrize("length", [12, 13, 16, 19])
def test_every_piece_of_twelve_characters_is_covered(length):
    redactor = Redactor.build([PLAIN_ASCII])
    for start in range(len(PLAIN_ASCII) - length + 1):
        piece = PLAIN_ASCII[start : start + length]
        for shift in range(8):
            before = "." * shift
            assert redactor.redact(before + piece + " rest") == before + "[redacted: registered secret] rest"
            assert not redactor.redact(before + piece[::-1]).is_clean
            assert not redactor.redact(before + piece.encode().hex()).is_clean


def test_a_piece_of_eleven_characters_is_not():
    assert Redactor.build([PLAIN_ASCII]).redact(PLAIN_ASCII[:11]).is_clean


def test_pieces_of_base64_and_of_long_tokens_are_covered():
    value = "ghs_" + "aB3dE6gH9jK2mN5pQ8.sT1vW4yZ7bC0e" * 16
    redactor = Redactor.build([value])
    encoded = base64.b64encode(value.encode()).decode()
    for start in range(0, len(encoded) - 40, 7):
        assert not redactor.redact(encoded[start : start + 24]).is_clean
    assert redactor.redact(value[100:400]) == "[redacted: registered secret]"


@pytest.mark.parametrize(
    ("value", "public"),
    [
        ("github_pat_11" + "Q7ZT0XKW5RNBAE3G" + "_x7Pd2", "github_pat_11"),
        ("sk-ant-api03-" + PLAIN_ASCII * 2, "the prefix is sk-ant-api03- and then"),
        ("https://hooks.example.com/services/" + PLAIN_ASCII, "https://hooks.example.com/ is the host"),
        (
            "-----BEGIN PRIVATE KEY-----\nq8Wm2Xz" + PLAIN_ASCII + "\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----",
        ),
        ("postgres://app:" + PLAIN_ASCII + "@db/app", "postgres://x"),
    ],
)
def test_what_is_public_about_a_value_is_no_piece_of_it(value, public):
    redactor = Redactor.build([value])

    assert redactor.redact(public).is_clean
    assert PLAIN_ASCII[:12] not in redactor.redact(value)
    assert value[-14:-1] not in redactor.redact(f"x {value} y") or "PRIVATE" in value


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        # plain words and numbers are whole words only
        ("production", "reproduction in production", "reproduction in [redacted: registered secret]"),
        ("production", "noitcudorp", "[redacted: registered secret]"),
        ("production", "cHJvZHVjdGlvbg==", "[redacted: registered secret]g=="),
        ("12345678", "1123456789 12345678", "1123456789 [redacted: registered secret]"),
        # eight to ten mixed characters are searched in every form
        ("hunter22", "xhunter22x h u n t e r 2 2", "x[redacted: registered secret]x [redacted: registered secret]"),
        ("hunter22", "68756e7465723232", "[redacted: registered secret]"),
        # four to seven mixed characters are whole words only
        (
            "hunter2",
            "hunter2, hunter22 hunter2",
            "[redacted: registered secret], hunter22 [redacted: registered secret]",
        ),
        ("a1b2", "a1b2", "[redacted: registered secret]"),
        # a value of few different characters is searched as a whole
        ("aaaaaaaaaaaaaaaaaaaaaaa1", "aaaaaaaaaaaaaaaa aaaaaaaaaaaaaaaaaaaaaaa1", "[redacted: registered secret]"),
        ("a" * 20, "a" * 16 + " b " + "a" * 20, "a" * 16 + " b [redacted: registered secret]"),
        # a value outside ASCII is searched as it stands, reversed and encoded
        ("пароль-секрет", "мой пароль-секрет тут", "мой [redacted: registered secret] тут"),
        ("пароль-секрет", "пароль-секрет"[::-1], "[redacted: registered secret]"),
        # white space around a value does not belong to it
        ("  k7Jd92mXq0pLw3\n", "(k7Jd92mXq0pLw3)", "([redacted: registered secret])"),
    ],
)
def test_short_plain_and_odd_values(value, text, expected):
    redacted = Redactor.build([value]).redact(text)

    assert redacted == expected or (value.startswith("aaaa") and value not in redacted)


@pytest.mark.parametrize("value", ["", "  ", "a", "ab1", "main", "true", "1234", "Maybe"])
def test_values_that_would_cover_ordinary_text_are_ignored_and_counted(value):
    redactor = Redactor.build([value])

    assert redactor.redact(f"it is {value} or {value}!").is_clean
    assert redactor.ignored == bool(value.strip())


def test_nothing_registered_finds_nothing():
    assert list(LiveValues.build([]).find_spans(PLAIN_ASCII.encode())) == []


def test_the_skeleton_is_visible_ascii():
    assert skeleton("a\u200b b%\\\té\x00c~".encode()) == b"abc~"


def test_the_forms_of_a_value_are_listed_once():
    forms = list(build_forms(PLAIN_ASCII))

    assert len(forms) == len(set(forms))


def test_the_number_of_searches_does_not_grow_with_the_values():
    """The filter's passes over a clean text are at most two set operations, however many values are registered."""
    for count in (1, 10, 100):
        live = LiveValues.build(f"{PLAIN_ASCII}{number:05d}" for number in range(count))
        assert len(live._grams) == 2
        assert not live.literals
        assert not live.exact | live.words
