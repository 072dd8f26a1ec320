"""The redactor as a whole: types, replacement, streams, limits, and the laws that hold for any text and any chunks."""

import base64
import pickle
import random
import string
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.redaction import redactor as redaction
from coven_action.core.redaction.redactor import BLOCK, WINDOW, Finding, Redacted, Redactor
from tests.fuzzing import examples

SECRET = "k7Jd92mXq0pLw3vR5tYz"
OTHER = "Zq84-hhT_61bnWkPx02mD"
REDACTOR = Redactor.build([SECRET, OTHER])
MARKER = "[redacted: registered secret]"
GITHUB_TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6"

LAWS = examples(150)


def in_chunks(redactor, chunks):
    stream = redactor.stream()
    text = "".join([*[stream.feed(chunk) for chunk in chunks], stream.finish()])
    return text, dict(stream.counts)


def cut_at(text, places):
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def test_a_secret_is_replaced_by_its_kind():
    redacted = REDACTOR.redact(f"before {GITHUB_TOKEN} and {SECRET} after")

    assert redacted == f"before [redacted: GitHub token] and {MARKER} after"
    assert redacted.counts == {"GitHub token": 1, "registered secret": 1}
    assert not redacted.is_clean


def test_a_clean_text_comes_back_unchanged():
    redacted = REDACTOR.redact("nothing to see, é 漢字 🐈\r\n")

    assert redacted == "nothing to see, é 漢字 🐈\r\n"
    assert redacted.is_clean


def test_findings_say_kind_and_place_but_never_the_value():
    text = f"é{SECRET} x {GITHUB_TOKEN}"

    findings = REDACTOR.find(text)

    assert findings == (Finding("registered secret", 1, 21), Finding("GitHub token", 24, 64))
    assert text[1:21] == SECRET
    assert SECRET not in repr(findings)


def test_neither_the_redactor_nor_its_index_print_a_value():
    assert SECRET not in repr(REDACTOR) + repr(REDACTOR.live) + str(REDACTOR.stream())


def test_only_the_redactor_builds_redacted_text():
    with pytest.raises(TypeError, match="Redactor"):
        Redacted("plain", {}, builder=None)
    with pytest.raises(TypeError):
        Redacted("plain")
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(REDACTOR.redact("x")))


def test_operations_of_str_give_plain_text_and_a_cut_gives_redacted_text():
    redacted = REDACTOR.redact(f"{SECRET} and more")

    assert type(redacted + "x") is str
    assert type(redacted[:3]) is str
    assert type(redacted.cut(3)) is Redacted
    assert redacted.cut(3) == "[re"
    assert redacted.cut(3).counts == redacted.counts


def test_the_counts_of_redacted_text_cannot_be_changed():
    with pytest.raises(TypeError):
        REDACTOR.redact(SECRET).counts["GitHub token"] = 0


@pytest.mark.parametrize(
    ("given_bytes", "expected"),
    [
        (b"caf\xc3\xa9", "café"),
        (b"\xff\xfe " + SECRET.encode() + b" \xc3", f"\ufffd\ufffd {MARKER} \ufffd"),
        (b"\xff".join(SECRET[i : i + 1].encode() for i in range(20)), MARKER),
        (b"a\xf0\x9f\x90", "a\ufffd"),
    ],
)
def test_invalid_bytes_are_replaced_and_hide_nothing(given_bytes, expected):
    assert REDACTOR.redact(given_bytes) == expected
    assert in_chunks(REDACTOR, [given_bytes[i : i + 1] for i in range(len(given_bytes))])[0] == expected


def test_a_lone_surrogate_becomes_something_that_can_be_sent():
    assert REDACTOR.redact("a\ud800b").encode() == "a\ufffdb".encode()
    assert REDACTOR.find("\ud800" + SECRET) == (Finding("registered secret", 1, 21),)


@pytest.mark.parametrize("chunk", [997, 4096, BLOCK, BLOCK + WINDOW, 10**6])
@pytest.mark.parametrize("shift", [-30, -10, 0, 5])
def test_a_secret_at_the_edge_of_a_block_is_covered_whole(chunk, shift):
    filler = "a log line of no interest\n" * (BLOCK // 26 + 1)
    text = filler[: BLOCK + shift] + SECRET + filler + base64.b64encode(SECRET.encode()).decode()

    redacted, counts = in_chunks(REDACTOR, [text[i : i + chunk] for i in range(0, len(text), chunk)])

    assert redacted == REDACTOR.redact(text)
    assert counts == {"registered secret": 2}
    assert len(REDACTOR.find(text)) == 2


def test_a_secret_longer_than_block_and_window_is_covered_by_one_marker(monkeypatch):
    monkeypatch.setattr(redaction, "BLOCK", 4096)
    redactor = Redactor.build([SECRET[:13] * 3])
    text = f"<{SECRET[:13] * 4000}>"

    assert redactor.redact(text) == f"<{MARKER}>"
    assert redactor.find(text) == (Finding("registered secret", 1, len(text) - 1),)


def test_a_secret_that_is_split_over_four_kibibytes_is_covered():
    spread = (" " * 210).join(SECRET)
    filler = "x y z " * (BLOCK // 6)

    redacted = REDACTOR.redact(filler[:-3] + spread + filler)

    assert redacted == filler[:-3] + MARKER + filler


def test_a_stream_keeps_no_more_than_a_block_and_a_window():
    stream = REDACTOR.stream()
    given_size = returned = 0
    for _ in range(40):
        chunk = "twelve bytes" * 4000
        given_size += len(chunk)
        returned += len(stream.feed(chunk))
        assert given_size - returned < BLOCK + WINDOW + len(chunk)
    assert returned + len(stream.finish()) == given_size


def test_secrets_side_by_side_are_all_covered_at_once():
    aws = "AKIA" + "Q3EGV7TZ2XKW5RNB"
    text = f"{SECRET}{aws}{SECRET}{aws}"

    redacted = REDACTOR.redact(text)

    assert aws not in redacted
    assert SECRET not in redacted
    assert REDACTOR.redact(redacted) == redacted


def test_a_secret_in_every_line_is_covered_and_so_are_their_neighbours():
    aws = "AKIA" + "Q3EGV7TZ2XKW5RNB"

    redacted = REDACTOR.redact(f"{SECRET}{aws}\n" * 50)

    assert redacted == f"{MARKER}[redacted: AWS access key]\n" * 50


def test_overlapping_secrets_bear_the_kind_of_the_longest():
    redactor = Redactor.build([GITHUB_TOKEN[10:30]])

    assert redactor.redact(GITHUB_TOKEN) == "[redacted: GitHub token]"


CONTEXT = st.text(st.sampled_from(string.ascii_letters + string.digits + " \n\t.,:=/'\"é\u200b🐈"), max_size=40)
FORMS = st.sampled_from(
    [
        lambda value: value,
        lambda value: value[::-1],
        lambda value: base64.b64encode(value.encode()).decode(),
        lambda value: base64.urlsafe_b64encode(b"x" + value.encode()).decode(),
        lambda value: base64.b64encode(b"xy" + value.encode()).decode(),
        lambda value: value.encode().hex(),
        lambda value: value.encode().hex().upper(),
        lambda value: "".join(f"%{byte:02X}" for byte in value.encode()),
        " ".join,
        "\u200b".join,
        lambda value: value[2:14],
    ]
)
SECRETS = st.text(st.sampled_from(string.ascii_letters + string.digits + "_-+/=.!"), min_size=16, max_size=60)


@LAWS
@given(secret=SECRETS, before=CONTEXT, after=CONTEXT, form=FORMS, places=st.lists(st.integers(0, 999), max_size=6))
def test_in_any_context_and_any_chunks_no_form_of_a_secret_leaves(secret, before, after, form, places):
    redactor = Redactor.build([secret])
    leak = form(secret)
    text = before + leak + after

    whole = redactor.redact(text)

    if len(set(secret[2:14])) > 4:
        assert not whole.is_clean
        assert leak not in whole or leak in MARKER
    assert secret not in whole
    assert in_chunks(redactor, cut_at(text, places)) == (whole, dict(whole.counts))
    assert in_chunks(redactor, cut_at(text.encode(), places)) == (whole, dict(whole.counts))
    assert redactor.redact(whole) == whole
    assert sum(whole.counts.values()) == len(redactor.find(text))


@LAWS
@given(text=st.text(), data=st.binary(), places=st.lists(st.integers(0, 999), max_size=6))
def test_any_text_and_any_bytes_are_redacted_alike_whole_and_in_chunks(text, data, places):
    assert in_chunks(REDACTOR, cut_at(text, places))[0] == REDACTOR.redact(text)
    assert in_chunks(REDACTOR, cut_at(data, places))[0] == REDACTOR.redact(data)
    assert REDACTOR.redact(REDACTOR.redact(text)) == REDACTOR.redact(text)


@LAWS
@given(text=st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz .,;\n\tÀé漢"), max_size=400))
def test_text_without_secrets_is_unchanged(text):
    assert REDACTOR.redact(text) == text
    assert REDACTOR.find(text) == ()


def test_long_texts_are_redacted_alike_in_any_chunks(monkeypatch):
    monkeypatch.setattr(redaction, "BLOCK", 3000)
    rng = random.Random(7)
    parts = ["word ", "12.5 ", SECRET, SECRET[::-1], GITHUB_TOKEN, "\n", " " * 40, SECRET[:15], "x" * 300]
    text = "".join(rng.choices(parts, k=3000))
    edges = sorted(rng.sample(range(len(text)), 50))

    redacted, counts = in_chunks(REDACTOR, cut_at(text, edges))

    assert redacted == REDACTOR.redact(text)
    assert SECRET[:12] not in redacted
    assert len(REDACTOR.find(text)) == sum(counts.values())
