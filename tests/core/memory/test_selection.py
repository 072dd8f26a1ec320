"""Which entries a run may read, and why the others are withheld."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.memory.entries import build_reader
from coven_action.core.memory.grants import MEMORY_GRANTS, MemorySettings
from coven_action.core.memory.keys import REVOKED_PATH, build_entry_id
from coven_action.core.memory.materialising import MAX_MATERIALISED_BYTES, PREAMBLE_BYTES, render_agents_md
from coven_action.core.memory.selection import MAX_ENTRIES, MAX_TOTAL_BYTES, PlannedMemory, Selection, select_entries
from tests.core.memory.values import REDACTOR, TODAY, TOKEN, TREE, cite, entry, path, policy
from tests.fuzzing import examples

KEY = "conventions/rounding"


def _select(files, *, revoked=None, tree=TREE, today=TODAY, **changes):
    listed = {**files, **({REVOKED_PATH: revoked} if revoked is not None else {})}
    return select_entries(
        listed,
        policy(**changes),
        today=today,
        read_file=tree if callable(tree) else build_reader(tree),
        redactor=REDACTOR,
    )


def _withheld(selection):
    return [(item.key, item.reason) for item in selection.planned.withheld]


def test_a_good_entry_is_read():
    selection = _select({path(KEY): entry()})

    (read,) = selection.planned.manifest
    assert read.id == build_entry_id("repo/9/conventions/rounding")
    assert (read.key, read.kind, read.shareable) == (KEY, "convention", False)
    assert read.text == "Totals are rounded to two places."
    assert selection.planned.versions == {KEY: read.version}
    assert selection.planned.withheld == ()
    assert selection.mistakes == {}


def test_the_plan_keeps_what_was_selected():
    planned = _select({path(KEY): entry(), path("a/b"): b"x"}).planned

    assert PlannedMemory.model_validate_json(planned.model_dump_json()) == planned


def test_where_memory_is_off_nothing_is_looked_at():
    def refuse(_):
        raise AssertionError("the tree was read")

    assert _select({path(KEY): entry()}, settings=MemorySettings(), tree=refuse) == Selection()


@pytest.mark.parametrize(
    ("data", "changes", "reason", "sentence"),
    [
        (entry(), {"revoked": b"repo/9/conventions/rounding"}, "revoked", "it was revoked"),
        (entry(), {"revoked": b"repo/9/conventions"}, "revoked", "it was revoked"),
        (entry(), {"revoked": b"repo/9"}, "revoked", "it was revoked"),
        (entry(), {"revoked": b"repo/1234/conventions"}, "revoked", "it was revoked"),
        (b"no entry", {"revoked": b"repo/9"}, "revoked", "it was revoked"),
        (
            entry(),
            {"revoked": b"conventions/rounding"},
            "revocations_unreadable",
            ".github/coven/memory/revoked.txt has mistakes, and nobody knows which entries it means",
        ),
        (
            b"no entry",
            {},
            "malformed",
            "line 1, column 1: the file begins with front matter between two lines of three hyphens",
        ),
        (None, {}, "malformed", "line 1, column 1: the entry is a link, an executable, or no file at all"),
        (entry(TOKEN), {}, "secret", "line 8, column 1: the text holds what looks like a secret: GitHub token"),
        (
            entry("a\u200bb"),
            {},
            "invisible_text",
            "line 8, column 2: the text holds invisible, bidirectional or control characters",
        ),
        (entry("x" * 3000), {}, "too_large", "line 7, column 1: the text has 3000 bytes; 2048 are allowed"),
        (entry(), {"base_ref": "release/1"}, "out_of_scope", "it is not for the branch this run works on"),
        (entry(head="branches: [release/1]"), {}, "out_of_scope", "it is not for the branch this run works on"),
        (
            entry(),
            {"trust_scope": "external"},
            "not_shareable",
            "this run reads only entries that are marked shareable",
        ),
        (entry(head="expires: 2026-11-20"), {}, "expired", "it held until 2026-11-20"),
        (entry(), {"tree": {}}, "stale", "the lines it cites have changed: src/tax.py:4"),
        (
            entry(),
            {"tree": {"src/tax.py": TREE["src/tax.py"].replace(b"1.19", b"1.20")}},
            "stale",
            "the lines it cites have changed: src/tax.py:4",
        ),
    ],
)
def test_an_entry_is_withheld_with_the_reason(data, changes, reason, sentence):
    planned = _select({path(KEY): data}, **changes).planned

    assert planned.manifest == ()
    (withheld,) = planned.withheld
    assert (withheld.id, withheld.key) == (build_entry_id("repo/9/conventions/rounding"), KEY)
    assert (withheld.reason, withheld.sentence) == (reason, sentence)
    assert KEY in planned.versions


@pytest.mark.parametrize(
    ("data", "changes"),
    [
        (entry(head="expires: 2026-11-21"), {}),
        (entry(head="branches: [release/1, main]"), {"base_ref": "release/1"}),
        (entry(head="shareable: true"), {"trust_scope": "fork_pr"}),
        (entry(), {"revoked": b"repo/9/conventions/round\nrepo/9/conv\n# repo/9\ntenant/9"}),
        (entry(), {"tree": {"src/tax.py": TREE["src/tax.py"].replace(b"import decimal", b"import math")}}),
    ],
)
def test_an_entry_is_read_up_to_its_bounds(data, changes):
    assert [item.key for item in _select({path(KEY): data}, **changes).planned.manifest] == [KEY]


def test_the_policys_own_denials_count():
    denied = policy().model_copy(update={"denied": ("repo/9/conventions",)})
    arguments = {"today": TODAY, "read_file": build_reader(TREE), "redactor": REDACTOR}

    assert _withheld(select_entries({path(KEY): entry()}, denied, **arguments)) == [(KEY, "revoked")]


def test_a_scope_that_may_not_be_read_is_not_read():
    tenant = policy().model_copy(update={"read_scopes": ("tenant_shared",), "write_scopes": ()})
    arguments = {"today": TODAY, "read_file": build_reader(TREE), "redactor": REDACTOR}

    (withheld,) = select_entries({path(KEY): entry()}, tenant, **arguments).planned.withheld
    assert (withheld.key, withheld.reason) == (KEY, "out_of_scope")
    assert withheld.sentence == "this run does not read the scope repo"


def test_without_the_repositorys_id_nothing_is_looked_at():
    stated = policy()
    nameless = stated.model_copy(update={"repo_scope": stated.repo_scope.model_copy(update={"repository_id": None})})
    arguments = {"today": TODAY, "read_file": build_reader(TREE), "redactor": REDACTOR}

    assert select_entries({path(KEY): entry()}, nameless, **arguments) == Selection()


def test_a_revocation_says_nothing_of_a_file_that_has_no_key():
    assert _withheld(_select({path("Bad"): entry()}, revoked=b"repo/9")) == [
        (".github/coven/memory/Bad.md", "malformed")
    ]


def test_a_bad_file_withholds_only_itself():
    selection = _select({path("a/bad"): b"x", path(KEY): entry(), path("Bad"): entry(), path("z/bad"): b"\xff"})

    assert [item.key for item in selection.planned.manifest] == [KEY]
    assert _withheld(selection) == [
        (".github/coven/memory/Bad.md", "malformed"),
        ("a/bad", "malformed"),
        ("z/bad", "malformed"),
    ]
    assert selection.planned.withheld[0].id is None
    assert set(selection.mistakes) == {path("Bad"), path("a/bad"), path("z/bad")}
    assert selection.planned.versions["a/bad"] == "unreadable"


def test_mistakes_of_the_revocations_are_told_by_their_file():
    selection = _select({path(KEY): entry(), path("a/b"): entry()}, revoked=b"nonsense")

    assert {reason for _, reason in _withheld(selection)} == {"revocations_unreadable"}
    assert set(selection.mistakes) == {".github/coven/memory/revoked.txt"}


@pytest.mark.parametrize("name", ["revoked.txt", "Revoked.txt"])
def test_a_list_of_revocations_that_is_no_plain_file_withholds_everything(name):
    selection = _select({path(KEY): entry(), f".github/coven/memory/{name}": None})

    assert _withheld(selection) == [(KEY, "revocations_unreadable")]


def test_other_files_of_the_folder_are_no_entries():
    assert _select({".github/coven/memory/revoked.txt": b"", ".github/coven.yml": b"y"}) == Selection()


def test_each_cited_file_is_read_once():
    asked = []

    def read(name):
        asked.append(name)
        return TREE.get(name)

    files = {path(f"a/n{number}"): entry(citation=cite("README.md", 1, 1)) for number in range(5)}

    assert len(_select(files, tree=read).planned.manifest) == 5
    assert asked == ["README.md"]


def test_only_the_first_files_are_looked_at():
    selection = _select({path(f"a/n{number:03}"): b"x" for number in range(MAX_ENTRIES + 7)})

    assert len(selection.planned.withheld) == MAX_ENTRIES + 1
    last = selection.planned.withheld[-1]
    assert (last.reason, last.sentence) == (
        "too_many",
        "7 more are not looked at; 200 files of 256 KiB together are",
    )


def test_files_that_are_large_together_are_not_looked_at():
    selection = _select({path(f"a/n{number:02}"): b"x" * 16_000 for number in range(20)})

    assert [item.reason for item in selection.planned.withheld] == ["malformed"] * 16 + ["too_many"]


def test_what_does_not_fit_into_the_runtimes_file_is_withheld():
    selection = _select({path(f"a/n{number:02}"): entry("x" * 2000) for number in range(30)})

    planned = selection.planned
    assert 15 < len(planned.manifest) < 25
    assert len(render_agents_md(planned.manifest).encode()) <= MAX_MATERIALISED_BYTES
    assert {item.reason for item in planned.withheld} == {"too_large"}
    assert len(planned.manifest) + len(planned.withheld) == 30


@pytest.mark.parametrize(("spare", "read"), [(0, 20), (-1, 19)])
def test_the_runtimes_file_is_filled_to_its_last_byte(spare, read):
    files = {path(f"a/n{number:02}"): entry("x" * 1900) for number in range(19)}
    filled = len(render_agents_md(_select(files).planned.manifest).encode())
    alone = len(render_agents_md(_select({path("a/n19"): entry("x")}).planned.manifest).encode())
    last = "x" * (1 + 40_000 - spare - filled - (alone - PREAMBLE_BYTES))
    planned = _select({**files, path("a/n19"): entry(last)}).planned

    assert len(planned.manifest) == read
    assert [(item.key, item.reason, item.sentence) for item in planned.withheld] == [
        ("a/n19", "too_large", "memory is full: a runtime reads 40 KB of it")
    ] * (20 - read)


def test_the_bounds_of_all_files_together_are_the_documented_ones():
    assert (MAX_ENTRIES, MAX_TOTAL_BYTES) == (200, 262_144)


ENTRIES = st.builds(
    lambda shareable, branch, expires, start: entry(
        head=f"shareable: {shareable}\nbranches: [{branch}]\nexpires: {expires}", citation=cite("src/tax.py", start, 5)
    ),
    st.sampled_from(["true", "false"]),
    st.sampled_from(["main", "other"]),
    st.dates(date(2026, 11, 1), date(2026, 12, 31)).map(str),
    st.integers(1, 5),
)
FILES = st.dictionaries(
    st.sampled_from([path(key) for key in ("a/b", "a/c", "b/a", "x", "A/b")]), ENTRIES | st.binary(max_size=20)
)


@given(
    FILES,
    st.sampled_from([None, b"repo/9/a", b"?", b"repo/9/b/a"]),
    st.sampled_from(list(MEMORY_GRANTS)),
    st.booleans(),
)
@examples(120)
def test_every_file_is_read_or_withheld_and_an_outsider_never_reads_more(files, revoked, scope, changed):
    tree = {} if changed else TREE
    selection = _select(files, revoked=revoked, trust_scope=scope, tree=tree)
    maintainers = _select(files, revoked=revoked, tree=tree)

    assert len(selection.planned.manifest) + len(selection.planned.withheld) == len(files)
    assert set(selection.planned.manifest) <= set(maintainers.planned.manifest)
    if scope in {"external", "fork_pr"}:
        assert all(item.shareable for item in selection.planned.manifest)
    if changed or revoked == b"?":
        assert not selection.planned.manifest
    if revoked == b"repo/9/a":
        assert all(not item.key.startswith("a/") for item in selection.planned.manifest)


@pytest.mark.parametrize(("spare", "looked_at"), [(0, 2), (-1, 1)])
def test_files_of_exactly_the_allowed_size_together_are_looked_at(spare, looked_at):
    first = b"x" * 1000
    files = {
        path("a/a"): first,
        path("a/b"): b"y" * (MAX_TOTAL_BYTES - len(first) - spare),
        path("a/c"): None,
        path("a/d"): b"x",
    }
    selection = _select(files)

    # What comes behind the first file that is too much is not looked at either, however small it is.
    assert len(selection.mistakes) == (3 if looked_at == 2 else 1)
    assert _withheld(selection)[-1] == (".github/coven/memory", "too_many")


def test_a_link_in_place_of_an_entry_is_told():
    (mistake,) = _select({path(KEY): None}).mistakes[path(KEY)]

    assert (mistake.code, mistake.line, mistake.column) == ("memory-path", 1, 1)
    assert "a link" in mistake.message
