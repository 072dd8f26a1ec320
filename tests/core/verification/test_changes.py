"""What changed, as git's records say it, and how large it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.verification.changes import (
    DiffStatistics,
    find_broken_limits,
    find_links,
    find_objects,
    measure,
    parse_changes,
)
from tests.fuzzing import examples

ZERO, ONE, TWO = "0" * 40, "1" * 40, "2" * 40


def raw(*records):
    return "".join(f"{header}\0{path}\0" for header, path in records)


def numstat(*records):
    return "".join(f"{added}\t{deleted}\t{path}\0" for added, deleted, path in records)


def test_every_kind_of_entry_and_status_is_read():
    files = parse_changes(
        raw(
            (f":100644 100755 {ONE} {TWO} M", "run.sh"),
            (f":000000 100644 {ZERO} {ONE} A", "new file\twith tab\nand line"),
            (f":100644 000000 {ONE} {ZERO} D", "old"),
            (f":100644 120000 {ONE} {TWO} T", "link"),
            (f":000000 160000 {ZERO} {ONE} A", "sub"),
            (f":100644 100644 {ONE} {TWO} M090", "picture.png"),
            (f":100644 040000 {ONE} {TWO} M", "odd"),
        ),
        numstat(
            (0, 0, "run.sh"), (3, 0, "new file\twith tab\nand line"), (0, 9, "old"), (1, 1, "link"), (1, 0, "sub"),
            ("-", "-", "picture.png"), (1, 2, "odd"),
        ),
    )  # fmt: skip

    assert [(file.path, file.status, file.before, file.after) for file in files] == [
        ("run.sh", "modified", "file", "executable"),
        ("new file\twith tab\nand line", "added", "absent", "file"),
        ("old", "deleted", "file", "absent"),
        ("link", "type_changed", "file", "symlink"),
        ("sub", "added", "absent", "submodule"),
        ("picture.png", "modified", "file", "file"),
        ("odd", "modified", "file", "unknown"),
    ]
    assert [(file.added_lines, file.deleted_lines, file.binary) for file in files] == [
        (0, 0, False), (3, 0, False), (0, 9, False), (1, 1, False), (1, 0, False), (0, 0, True), (1, 2, False),
    ]  # fmt: skip


def test_links_that_are_new_or_lead_elsewhere_are_found_once_with_their_targets():
    text = raw(
        (f":000000 120000 {ZERO} {ONE} A", "link"),
        (f":120000 120000 {TWO} {ONE} M", "moved"),
        (f":120000 000000 {TWO} {ZERO} D", "gone"),
        (f":100644 100644 {ONE} {TWO} M", "file"),
    )
    lines = numstat((1, 0, "link"), (1, 1, "moved"), (0, 1, "gone"), (1, 1, "file"))

    assert find_links(text) == (ONE,)
    assert [file.link_target for file in parse_changes(text, lines, {ONE: "src"})] == ["src", "src", None, None]


def test_no_change_is_no_file():
    assert parse_changes("", "") == ()


HEADER = f":100644 100644 {ONE} {TWO} M"


@pytest.mark.parametrize(
    ("raw_text", "numstat_text"),
    [
        ("fatal: not a repository", ""),
        (f"{HEADER}\0", ""),
        (f"{HEADER}\0a", "1\t1\ta\0"),
        (f"{HEADER}\0a\0{HEADER}\0b", "1\t1\ta\0"),
        (f"{HEADER}\0a\0", "1\t1\ta"),
        (f"{HEADER}\0a\0", ""),
        (f"{HEADER}\0a\0", "1\t1\tb\0"),
        (f"{HEADER}\0a\0", "1\t1\ta\0" + "1\t1\tb\0"),
        ("", "1\t1\ta\0"),
        (f"{HEADER}\0a\0", "1 1 a\0"),
        (f"{HEADER}\0a\0", "one\t1\ta\0"),
        (f":100644 100644 {ONE} {TWO} R100\0a\0b\0", "1\t1\ta\0"),
        (f":100644 100644 {ONE} {TWO} R100\0a\0", "1\t1\ta\0"),
        (f":100644 000000 {ONE} {ZERO} U\0a\0", "1\t1\ta\0"),
        (f"::100644 100644 100644 {ONE} {ONE} {TWO} MM\0a\0", "1\t1\ta\0"),
        (f":100644 100644 {ONE} {TWO} M\n\0a\0", "1\t1\ta\0"),
    ],
)
def test_what_git_does_not_write_is_refused_and_never_read_as_no_change(raw_text, numstat_text):
    with pytest.raises(ValueError):  # noqa: PT011 - the docstring promises no more
        parse_changes(raw_text, numstat_text)


PATHS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=20)


@given(st.dictionaries(PATHS, st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=5))
@examples(100)
def test_any_path_survives_and_the_size_is_the_sum(files):
    read = parse_changes(
        raw(*((HEADER, path) for path in files)), numstat(*((*lines, path) for path, lines in files.items()))
    )

    assert [file.path for file in read] == list(files)
    size = measure(iter(read), 7)
    assert (size.files, size.patch_bytes, size.binary_files) == (len(files), 7, 0)
    assert size.added_lines == sum(added for added, _ in files.values())
    assert size.deleted_lines == sum(deleted for _, deleted in files.values())


@pytest.mark.parametrize(
    ("statistics", "said"),
    [
        (DiffStatistics(files=1, added_lines=1), "1 file, +1 \u22120"),
        (DiffStatistics(files=2, added_lines=14, deleted_lines=3), "2 files, +14 \u22123"),
        (DiffStatistics(), "0 files, +0 \u22120"),
    ],
)
def test_a_size_is_told_in_a_persons_words(statistics, said):
    assert statistics.described == said


@pytest.mark.parametrize(
    ("size", "broken"),
    [
        ({}, ()),
        ({"files": 101}, ("101 files are changed; limits.files allows 100",)),
        ({"added_lines": 301}, ("501 lines are added or deleted; limits.lines allows 500",)),
        ({"deleted_lines": 201}, ("501 lines are added or deleted; limits.lines allows 500",)),
        ({"added_lines": 500, "deleted_lines": 0}, ()),
        ({"added_lines": 0, "deleted_lines": 500}, ()),
        ({"added_lines": 0, "deleted_lines": 501}, ("501 lines are added or deleted; limits.lines allows 500",)),
        ({"binary_files": 8}, ("8 binary files are changed; limits.binary_files allows 7",)),
        ({"patch_bytes": 1001}, ("the patch has 1001 bytes; limits.patch allows 1000",)),
        (
            {"files": 101, "added_lines": 301, "binary_files": 8, "patch_bytes": 1001},
            (
                "101 files are changed; limits.files allows 100",
                "501 lines are added or deleted; limits.lines allows 500",
                "8 binary files are changed; limits.binary_files allows 7",
                "the patch has 1001 bytes; limits.patch allows 1000",
            ),
        ),
    ],
)
def test_a_limit_holds_up_to_and_including_its_number(size, broken):
    at_the_limits = {"files": 100, "added_lines": 300, "deleted_lines": 200, "binary_files": 7, "patch_bytes": 1000}
    statistics = DiffStatistics(**{**at_the_limits, **size})

    assert find_broken_limits(statistics, files=100, lines=500, binary_files=7, patch_bytes=1000) == broken


def test_a_limit_of_no_binary_files_allows_none():
    bounds = {"files": 9, "lines": 9, "patch_bytes": 9}

    assert find_broken_limits(DiffStatistics(files=9), binary_files=0, **bounds) == ()
    (sentence,) = find_broken_limits(DiffStatistics(files=1, binary_files=1), binary_files=0, **bounds)
    assert sentence == "1 binary files are changed; limits.binary_files allows 0"


def test_both_sides_of_a_change_are_listed_where_they_have_content():
    text = raw(
        (f":000000 100644 {ZERO} {TWO} A", "added"),
        (f":000000 100755 {ZERO} {TWO} A", "the same again"),
        (f":100644 000000 {ONE} {ZERO} D", "deleted"),
        (f":100644 120000 {ONE} {TWO} T", "a link now"),
        (f":160000 160000 {ONE} {TWO} M", "a submodule"),
    )

    assert find_objects(text) == (
        (TWO, "added"),
        (TWO, "the same again"),
        (ONE, "deleted"),
        (ONE, "a link now"),
        (TWO, "a link now"),
    )
    assert find_objects("") == ()
