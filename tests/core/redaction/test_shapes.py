"""The table of known shapes: every row finds its own, in every place, and the search stays linear."""

import re._parser as parser

import pytest

from benchmarks.redaction_corpus import PLACES, build_positives
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.redaction.search import find_places, find_shapes
from coven_action.core.redaction.shapes import OTHER_SHAPES, PREFIXES, TOKEN, TOKEN_SHAPES

REDACTOR = Redactor.build()
RANDOM = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6L8n1R4u7X0"
KEY_LINES = [f"{RANDOM}{RANDOM}"[:64] for _ in range(20)]
BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----"
END = "-----END OPENSSH PRIVATE KEY-----"


def name_shape(shape):
    return shape.expression.pattern.decode()[:60]


def kinds(text):
    return [kind for _, _, kind in find_shapes(text.encode(), find_places(text.encode()))]


RULES = sorted({positive.rule for positive in build_positives(1)})


@pytest.mark.parametrize("rule", RULES)
def test_every_published_form_is_covered_in_every_place(rule):
    for positive in build_positives(len(PLACES), seed=1):
        if positive.rule == rule:
            redacted = REDACTOR.redact(positive.line)

            assert positive.secret not in redacted
            assert sum(redacted.counts.values()) >= 1
            assert REDACTOR.redact(redacted) == redacted


@pytest.mark.parametrize("shape", TOKEN_SHAPES, ids=name_shape)
def test_a_token_is_never_shorter_than_the_runs_that_are_searched(shape):
    """A run of fewer characters is not looked at, so no expression may match one."""
    shortest = parser.parse(shape.expression.pattern).getwidth()[0]

    assert shortest + shape.before >= TOKEN or shape.expression.groups


def test_the_prefixes_need_a_run_that_is_searched():
    assert all(shortest >= TOKEN for _, shortest, _ in PREFIXES.values())
    assert all(prefix[-1:] in {b"_", b"-", b"."} for prefix in PREFIXES)


@pytest.mark.parametrize("shape", [*TOKEN_SHAPES, *OTHER_SHAPES], ids=name_shape)
def test_an_expression_begins_with_fixed_bytes_and_has_bounds(shape):
    """What an expression can read twice is bounded: a literal first, then repetitions with an upper bound or none back."""
    pattern = shape.expression.pattern.decode()
    parsed = parser.parse(pattern)

    assert all(str(code) == "LITERAL" for code, _ in parsed[:2])
    assert not has_open_repetition(parsed), pattern
    assert all(literal.decode() for literal in shape.literals)


@pytest.mark.parametrize("shape", [*TOKEN_SHAPES, *OTHER_SHAPES], ids=name_shape)
def test_a_match_begins_with_a_literal_that_is_searched(shape):
    """An expression is tried where a literal of its shape stands; a beginning that is not listed would never be found."""
    length = max(map(len, shape.literals)) - shape.shift
    heads = {head[:length] for head in expand(list(parser.parse(shape.expression.pattern.decode())), length)}

    assert heads
    for head in heads:
        assert any(
            literal[shape.shift :].decode().startswith(head) or head.startswith(literal[shape.shift :].decode())
            for literal in shape.literals
        ), head


def expand(parsed, length):
    """Yield the fixed texts that an expression can begin with, up to a length, as far as they are fixed."""
    if not parsed or length <= 0:
        yield ""
        return
    (code, argument), *rest = parsed
    name = str(code)
    if name == "LITERAL":
        yield from (chr(argument) + tail for tail in expand(rest, length - 1))
    elif name == "IN" and all(str(item) == "LITERAL" for item, _ in argument):
        yield from (chr(byte) + tail for _, byte in argument for tail in expand(rest, length - 1))
    elif name == "SUBPATTERN":
        yield from expand([*argument[3], *rest], length)
    elif name == "BRANCH":
        yield from (text for branch in argument[1] for text in expand([*branch, *rest], length))
    elif name in {"ASSERT", "ASSERT_NOT"}:
        yield from expand(rest, length)
    else:
        yield ""


@pytest.mark.parametrize(
    "text",
    [
        *(f"{first}Q3EGV7TZ2XKW5RNB" for first in ("AKIA", "ASIA", "ABIA", "ACCA")),
        *(f"xY3{digit}Q~{RANDOM[:34]}" for digit in range(10)),
        *(f"{scheme} {RANDOM}" for scheme in ("Bearer", "bearer")),
        *(f"Authorization: {scheme} {RANDOM}" for scheme in ("Basic", "basic")),
    ],
)  # fmt: skip
def test_every_beginning_before_the_match_is_searched(text):
    assert len(kinds(text)) == 1


def has_open_repetition(parsed):
    for code, argument in parsed:
        name = str(code)
        if name in {"MAX_REPEAT", "MIN_REPEAT"} and argument[1] == parser.MAXREPEAT:
            return True
        children = {
            "MAX_REPEAT": lambda a: [a[2]],
            "POSSESSIVE_REPEAT": lambda a: [a[2]],
            "SUBPATTERN": lambda a: [a[3]],
            "BRANCH": lambda a: a[1],
        }.get(name, lambda a: [])(argument)
        if any(has_open_repetition(child) for child in children):
            return True
    return False


def test_installation_tokens_of_520_characters_with_dots_are_covered():
    token = "ghs_" + (RANDOM + "." + RANDOM + "-_") * 6
    token = token[:519] + "A"

    assert REDACTOR.redact(f"token {token}. Done") == "token [redacted: GitHub token]. Done"


@pytest.mark.parametrize(
    "text",
    [
        f"{BEGIN}\n" + "\n".join(KEY_LINES) + f"\n{END}",
        f"{BEGIN}\\n" + "\\n".join(KEY_LINES) + f"\\n{END}",
        "+" + f"\n+{BEGIN}\n+".join(["", "\n+".join(KEY_LINES)]) + f"\n+{END}",
        "".join(f"2026-11-21T13:00:00.0000000Z {line}\r\n" for line in [BEGIN, *KEY_LINES, END]),
        f"{BEGIN}\n" + "\n".join(KEY_LINES),
        f"{BEGIN}\n{KEY_LINES[0]}",
        f"{BEGIN}\n" + "\n".join(KEY_LINES * 20),
        BEGIN.replace("OPENSSH", "PGP").replace("KEY", "KEY BLOCK") + "\n\n" + "\n".join(KEY_LINES),
    ],
)
def test_private_keys_are_covered_complete_or_not(text):
    redacted = REDACTOR.redact(f"see\n{text}\n(and on.)")

    assert KEY_LINES[0] not in redacted[: 9 * 1024]
    assert "[redacted: private key]" in redacted
    assert redacted.startswith("see\n")
    assert redacted.endswith("(and on.)")
    assert {*redacted.counts} == {"private key"}


@pytest.mark.parametrize(
    "text",
    [
        "ghp_short and ghs_ and github_pat_",
        "the token begins with ghp_ and 36 letters",
        f"{BEGIN} is the first line of a key",
        f'START = "{BEGIN}"\nEND = "{END}"',
        "-----BEGIN CERTIFICATE-----\nMIIB",
        f"-----BEGIN PUBLIC KEY-----\n{KEY_LINES[0]}\n-----END PUBLIC KEY-----",
        "task-0123456789abcdef0123456789abcdef",
        "disk-" + RANDOM[:32],
        "eyJhbGciOiJIUzI1NiJ9 alone is a header",
        "eyJ0eXAi.eyJ",
        "https://user:password@example.com/ https://user:pass@host",
        "https://example.com:8080/@scope/package ssh://git@github.com:22/x",
        "postgres://app:${DB_PASSWORD}@db/app https://x:***@github.com",
        "Authorization: Bearer ${{ secrets.TOKEN }} and Basic authentication is off",
        "Authorization: Basic authenticationscheme",
        "npm_config_registry_and_some_more_words_in_a_row",
        f"keepnpm_{RANDOM[:36]} xnpm_{RANDOM[:36]}",
        f"npm_{RANDOM[:30]} npm_{RANDOM[:40]}",
        "word_" + RANDOM[:30],
        "pip-25.3-py3-none-any.whl --hash=sha256:9c3ee4e1a3ba1e8d0bb1bd8dd5b0a91e5d3c2b1a0f9e8d7c6b5a493827160504",
        "a_very_long_name_in_snake_case.of.a.module_with_many_words",
        "XAKIAQ3EGV7TZ2XKW5RNB AKIAQ3EGV7TZ2XKW5RNBC",
        "https://hooks.slack.com/services/ is where webhooks live",
    ],
)
def test_what_only_resembles_a_token_is_left_alone(text):
    assert REDACTOR.redact(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"npm_{RANDOM[:36]}", ["npm token"]),
        (f"dp.pt.{RANDOM[:40]}", ["Doppler token"]),
        (f"-> sk-{RANDOM[:40]}", ["model API key"]),
        (f"https://{RANDOM}{RANDOM[:4]}@github.com/x", ["password in a URL"]),
        (f"eyJ{RANDOM}..{RANDOM}.{RANDOM}.{RANDOM}", ["JWT"]),
        (f"eyJ{RANDOM}.eyJ{RANDOM}.", ["JWT"]),
        (f"123456789:AA{RANDOM[:33]}", ["Telegram token"]),
        (f"AUTHORIZATION: basic {RANDOM}==", ["authorization header"]),
        ("eC1hY2Nlc3MtdG9rZW46" + RANDOM, ["GitHub token"]),
        ("A" * 76 + "AZDO" + "B3c4", ["Azure DevOps token"]),
    ],
)
def test_forms_outside_the_corpus(text, expected):
    assert kinds(text) == expected


@pytest.mark.parametrize(
    "unit", ["eyJ", "eyJ.", "ghp_", "://", "://a:", "-----BEGIN PRIVATE KEY-----", "sk-", "A.", "_npm", "xox"]
)
def test_hostile_repetition_is_searched_once(unit):
    """Findings in a text of ever the same beginning grow at most with the text; the expressions are bounded above."""
    texts = ((unit * count).encode() for count in (500, 5000))
    small, large = (list(find_shapes(text, find_places(text))) for text in texts)

    assert len(large) <= 10 * len(small) + 10
