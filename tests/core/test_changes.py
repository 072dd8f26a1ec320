"""What changed, as git's records say it, and which paths a familiar may not touch under any spelling."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coven_action.core.changes import (
    PROTECTED_FOLDERS,
    PROTECTED_NAMES,
    DiffStatistics,
    find_broken_limits,
    find_protected,
    fold_path,
    measure,
    parse_changes,
)
from tests.core.samples import changed

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
@settings(derandomize=True, max_examples=100)
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
    "path",
    [
        ".github/workflows/ci.yml", ".github", ".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", "AGENTS.md",
        "packages/api/AGENTS.md", "CLAUDE.md", "sub/.claude/settings.json", ".mcp.json", ".cursor/rules/x.mdc",
        ".coven/handoff/x", ".coven-code/x", ".gitattributes", "deep/down/.gitattributes", ".gitmodules", ".git/config",
        "vendor/.git/hooks/pre-commit", ".husky/pre-commit", ".lfsconfig",
        # case
        ".GitHub/workflows/ci.yml", ".GITHUB/x", "codeowners", "agents.MD", ".GitModules",
        # compatibility forms: full-width, small forms, ligatures, the Kelvin sign, the long s
        "\uff0egithub/x", ".\uff47ithub/x", "\ufe52github/x", ".\u210aithub/x", "AGENT\u017f.md", ".\u24d6ithub/x",
        ".cur\u017for/x", ".hus\u212ay/x", "\uff23\uff2f\uff24\uff25\uff2f\uff37\uff2e\uff25\uff32\uff33",
        # trailing dots and spaces, which Windows drops
        ".github./x", ".github /x", ".github. . /x", ".github\u00a0/x", "CODEOWNERS.", "AGENTS.md ", ".github\u3000/x",
        # invisible characters, which HFS+ and readers drop
        ".g\u200cithub/x", ".github\u200b/x", "\ufeff.github/x", ".git\u2060hub/x", ".gi\u00adthub/x", "AGENTS\u200d.md",
        ".g\ufe0fithub/x", ".gith\u034fub/x", ".git\U000e0061hub/x", "AGENTS.md\u3164",
        # separators of other systems, also in full width
        ".github\\workflows\\ci.yml", "a\\.github\\x", ".github\uff3cx", "a\\AGENTS.md", ".github\uff0fx",
        # NTFS streams
        ".github::$INDEX_ALLOCATION/x", "AGENTS.md::$DATA", ".git\uff1ax/config", ".github .:x/y",
    ],
)  # fmt: skip
def test_a_protected_path_is_recognised_under_any_spelling(path):
    assert find_protected((changed(path),)) == (path,)


@pytest.mark.parametrize(
    "path",
    [
        "src/tax.py", "github/x", ".githubber/x", "docs/agents.md.txt", "my-agents.md", "CODEOWNERS.txt", "x.github",
        ".gitignore", "coven/x", ".claude.md.bak", "src/codeowners_parser.py", "a.git/x", "...", ":", "a:b",
    ],
)  # fmt: skip
def test_an_ordinary_path_is_not_protected(path):
    assert find_protected((changed(path),)) == ()


@pytest.mark.parametrize("facts", [{"before": "submodule"}, {"after": "submodule"}])
def test_a_submodule_is_protected_wherever_it_is(facts):
    assert find_protected((changed("src/a.py"), changed("vendor/lib", **facts))) == ("vendor/lib",)


@pytest.mark.parametrize("status", ["added", "modified", "deleted", "type_changed"])
@pytest.mark.parametrize("after", ["absent", "file", "executable", "symlink"])
def test_no_kind_of_change_to_a_protected_path_passes(status, after):
    assert find_protected((changed("AGENTS.md", status=status, after=after),)) == ("AGENTS.md",)


IGNORED = [chr(code) for code in range(0x30000) if unicodedata.category(chr(code)) == "Cf"]


@given(
    st.sampled_from([*(f"{folder}/x" for folder in PROTECTED_FOLDERS), *sorted(PROTECTED_NAMES)]),
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from(IGNORED)), max_size=4),
    st.lists(st.integers(0, 30), max_size=6),
    st.sampled_from(["", "a/", "a\\", "../", "./", "A/b/"]),
)
@settings(derandomize=True, max_examples=300)
def test_no_mixture_of_case_and_format_characters_opens_a_protected_path(path, inserted, raised, before):
    letters = [letter.upper() if place in raised else letter for place, letter in enumerate(path)]
    for place, character in inserted:
        letters.insert(place, character)
    spelled = before + "".join(letters)

    assert find_protected((changed(spelled),)) == (spelled,)


@given(PATHS)
@settings(derandomize=True, max_examples=200)
def test_case_never_matters_to_a_folded_path(path):
    assert fold_path(path)
    ascii_path = path.encode("ascii", "ignore").decode()
    assert fold_path(ascii_path.upper()) == fold_path(ascii_path.lower())


@pytest.mark.parametrize(
    ("files", "patch_bytes", "broken"),
    [
        (100, 1000, ()),
        (101, 1000, ("101 files are changed; limits.files allows 100",)),
        (100, 1001, ("the patch has 1001 bytes; limits.patch allows 1000",)),
        (
            101,
            1001,
            (
                "101 files are changed; limits.files allows 100",
                "the patch has 1001 bytes; limits.patch allows 1000",
            ),
        ),
    ],
)
def test_a_limit_holds_up_to_and_including_its_number(files, patch_bytes, broken):
    statistics = DiffStatistics(files=files, patch_bytes=patch_bytes)

    assert find_broken_limits(statistics, files=100, patch_bytes=1000) == broken
