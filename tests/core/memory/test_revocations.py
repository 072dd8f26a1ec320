"""`revoked.txt`: what a maintainer has taken back."""

import pytest

from coven_action.core.memory.keys import REVOKED_PATH
from coven_action.core.memory.revocations import append_revocation, find_revocations, parse_revocations


def test_no_file_revokes_nothing():
    assert parse_revocations(None).keys == ()
    assert parse_revocations(b"").keys == ()


def test_keys_and_prefixes_stand_one_a_line_with_comments():
    data = b"\xef\xbb\xbf# taken back\r\nrepo/9/a/b # wrong since 2026\r\n\r\n\trepo/9/c\nrepo/9/a/b\ntenant/7/x/y\n"

    revocations = parse_revocations(data)

    assert revocations.keys == ("repo/9/a/b", "repo/9/c", "tenant/7/x/y")
    assert revocations.mistakes == ()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"repo/9/a/b\n  a/b\n", (2, 3, '"a/b" is no canonical key')),
        (b"repo/9/a/b c", (1, 1, '"repo/9/a/b c" is no canonical key')),
        (b"repo/9/a/b#c", (1, 1, '"repo/9/a/b#c" is no canonical key')),
        (b"Xrepo/9/a", (1, 1, '"Xrepo/9/a" is no canonical key')),
        (b"repo/9/*", (1, 1, '"repo/9/*" is no canonical key')),
        (b"repo/9/a/b\xe2\x80\x8b", (1, 1, '"repo/9/a/b\\u200b" is no canonical key')),
        (b"repo/9/a\rrepo/9/b", (1, 1, '"repo/9/a\\rrepo/9/b" is no canonical key')),
        (b"\xff", (1, 1, "the file is not UTF-8")),
        (b"#" * 65_537, (1, 1, "the file is larger than 64 KiB")),
        (b"\n" * 1001, (1, 1, "the file has more than 1000 lines; a prefix stands for all keys below it")),
    ],
)
def test_a_line_that_means_nothing_is_told(data, expected):
    mistakes = parse_revocations(data).mistakes

    assert [(mistake.line, mistake.column, mistake.message) for mistake in mistakes] == [expected]


def test_readable_lines_count_beside_others():
    assert parse_revocations(b"repo/9/a\n???\n").keys == ("repo/9/a",)


def test_a_copy_of_a_repository_brings_its_revocations_along():
    revocations = parse_revocations(b"repo/9/a/b\ntenant/7/x\n")

    assert revocations.list_denied(1000) == ("repo/1000/a/b", "repo/9/a/b", "tenant/7/x")
    assert revocations.list_denied(9) == ("repo/9/a/b", "tenant/7/x")


@pytest.mark.parametrize("before", [None, b"", b"# mine\nrepo/9/x", b"repo/9/x\n"])
def test_a_line_is_added_and_the_rest_stays(before):
    after = append_revocation(before, "repo/9/a/b")

    assert after.startswith(before or b"")
    assert parse_revocations(after).keys[-1] == "repo/9/a/b"
    assert parse_revocations(after).mistakes == ()


@pytest.mark.parametrize("data", [b"#" * 65_536, b"\n" * 999])
def test_a_file_of_exactly_the_allowed_size_is_read(data):
    assert parse_revocations(data).mistakes == ()


def test_a_mistake_shows_the_line_and_what_to_write():
    (mistake,) = parse_revocations(b"# taken back\n a/b # why\n").mistakes

    assert mistake.code == "memory-revocation"
    assert (mistake.source_line, mistake.column, mistake.length) == (" a/b # why", 2, 3)
    assert "repo/<repository id>/<namespace>/<name>" in mistake.note


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({REVOKED_PATH: None}, "a link"),
        ({REVOKED_PATH.replace("revoked", "Revoked"): b"repo/9/a"}, "nothing but case"),
    ],
)
def test_what_stands_in_place_of_the_list_is_refused(files, said):
    (mistake,) = find_revocations(files).mistakes

    assert (mistake.code, mistake.line, mistake.column) == ("memory-revocation", 1, 1)
    assert said in mistake.message


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"repo/9/a/b\n"),
        (b"repo/9/x", b"repo/9/x\nrepo/9/a/b\n"),
        (b"\nrepo/9/x", b"\nrepo/9/x\nrepo/9/a/b\n"),
        (b"repo/9/x\n", b"repo/9/x\nrepo/9/a/b\n"),
        (None, b"# Revoked memory: one canonical key, or whole-segment prefix, a line.\nrepo/9/a/b\n"),
    ],
)
def test_a_revocation_stands_on_a_line_of_its_own(before, after):
    assert append_revocation(before, "repo/9/a/b") == after
