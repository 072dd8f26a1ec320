"""What a checkout's memory says, for the people who keep it."""

import hashlib
import json
from typing import get_args

import pytest

from coven_action.core.memory.entries import build_reader
from coven_action.core.memory.keys import REVOKED_PATH, build_entry_id
from coven_action.core.memory.listing import (
    State,
    build_document,
    list_entries,
    render_entry_for_people,
    render_export,
    render_table,
)
from tests.core.memory.values import REDACTOR, TODAY, TREE, cite, entry, path

KEY = "conventions/rounding"
STALE = '{path: gone.py, start: 1, end: 2, sha256: "' + "0" * 64 + '"}'
FILES = {
    path("a/broken"): b"x",
    path("a/expired"): entry(head="expires: 2026-01-01", citation=STALE),
    path("a/revoked"): entry(head="shareable: true"),
    path("a/stale"): entry(citation=STALE),
    path("Odd\nname"): entry(),
    path("b/link"): None,
    path(KEY): entry(head="branches: [main]\nexpires: 2027-01-01", source="{run: 5}"),
    REVOKED_PATH: b"repo/9/a/revoked # wrong\n",
}


def _list(files=FILES, *, repository_id=9):
    return list_entries(
        files, repository_id=repository_id, today=TODAY, read_file=build_reader(TREE), redactor=REDACTOR
    )


def _get(key, **changes):
    return next(listed for listed in _list(**changes) if listed.key == key)


@pytest.mark.parametrize("repository_id", [9, 10, None])
def test_every_entry_has_its_state_whatever_the_id(repository_id):
    assert [(listed.name, listed.state, listed.note) for listed in _list(repository_id=repository_id)] == [
        (
            '".github/coven/memory/Odd\\nname.md"',
            "broken",
            (
                "an entry stands in .github/coven/memory/<namespace>/<name>.md, "
                "each up to 64 lower-case letters, digits and hyphens, beginning with a letter or digit"
            ),
        ),
        ("a/broken", "broken", "the file begins with front matter between two lines of three hyphens"),
        ("a/expired", "expired", "it held until 2026-01-01"),
        ("a/revoked", "revoked", "taken back in revoked.txt"),
        ("a/stale", "stale", "the lines gone.py:1-2 are not there, or no longer what they were"),
        ("b/link", "broken", "the entry is a link, or no ordinary file"),
        (KEY, "active", ""),
    ]


def test_every_state_has_a_case():
    assert {listed.state for listed in _list()} == set(get_args(State))


def test_ids_need_the_repositorys_id():
    assert _get(KEY).id == build_entry_id("repo/9/conventions/rounding")
    assert _get(KEY, repository_id=None).id is None
    assert _list()[0].id is None


def test_a_stale_citation_is_told_at_its_hash():
    (mistake,) = _get("a/stale").mistakes

    assert (mistake.code, mistake.line, mistake.column) == ("memory-stale", 5, 48)


def test_a_hash_that_is_written_in_pieces_is_told_at_the_top():
    folded = STALE.replace('"' + "0" * 64, '"' + "0" * 32 + "\\\n      " + "0" * 32)
    (mistake,) = _list({path(KEY): entry(citation=folded)})[0].mistakes

    assert (mistake.code, mistake.line, mistake.column) == ("memory-stale", 1, 1)


def test_the_table_stands_in_columns():
    lines = render_table(_list()).split("\n")

    assert lines[0].split() == ["KEY", "STATE", "KIND", "SHAREABLE", "UNTIL", "ID"]
    assert lines[-1].split() == [KEY, "active", "convention", "no", "2027-01-01", _get(KEY).id]
    assert lines[4].split()[:5] == ["a/revoked", "revoked", "convention", "yes", "-"]
    assert lines[2].split() == ["a/broken", "broken", "-", "-", "-", build_entry_id("repo/9/a/broken")]


def test_the_columns_are_as_wide_as_their_widest_cell():
    files = {
        path("a/b"): b"x",
        path(KEY): entry(head="shareable: true"),
        path("a/c"): entry(head="expires: 2026-11-21"),
    }

    assert render_table(_list(files, repository_id=None)) == (
        "KEY                   STATE   KIND        SHAREABLE  UNTIL       ID\n"
        "a/b                   broken  -           -          -           -\n"
        "a/c                   active  convention  no         2026-11-21  -\n"
        "conventions/rounding  active  convention  yes        -           -"
    )


def test_a_link_is_told_where_a_mistake_is():
    (mistake,) = _get("b/link").mistakes

    assert (mistake.code, mistake.line, mistake.column) == ("memory-path", 1, 1)


def test_a_revocation_says_nothing_of_a_file_that_has_no_key():
    listed = _list({path("Odd"): entry(), path("a/b"): entry(), REVOKED_PATH: b"repo/9"})

    assert [item.state for item in listed] == ["broken", "revoked"]


def test_lists_in_an_entry_are_shown_one_after_the_other():
    both = STALE + "\n  - " + STALE.replace("gone.py", "lost.py")
    shown = render_entry_for_people(
        _list({path(KEY): entry(head="branches: [main, next]", source="{run: 5, pull_request: 6}", citation=both)})[0]
    )

    assert "branches   main, next\n" in shown
    assert "source     run 5, pull request 6\n" in shown
    assert "cited      gone.py:1-2, lost.py:1-2\n" in shown


def test_one_entry_is_shown_whole():
    assert render_entry_for_people(_get(KEY)) == (
        f"key        {KEY}\n"
        f"id         {_get(KEY).id}\n"
        f"version    {_get(KEY).entry.version}\n"
        "state      active\n"
        "kind       convention\n"
        "shareable  no\n"
        "branches   main\n"
        "source     run 5, pull request none\n"
        "cited      src/tax.py:4-5\n"
        "until      2027-01-01\n"
        "\n"
        "Totals are rounded to two places."
    )


def test_one_entry_is_shown_without_what_is_unknown():
    shown = render_entry_for_people(_get("a/revoked", repository_id=None))

    assert "id         needs --repository-id\n" in shown
    assert "state      revoked: taken back in revoked.txt\n" in shown
    assert "shareable  yes\n" in shown
    assert "branches   the default branch\n" in shown
    assert "source     ada\n" in shown
    assert "until      no date\n" in shown


def test_a_broken_entry_is_shown_with_what_is_wrong():
    assert render_entry_for_people(_get("b/link")) == "b/link: broken: the entry is a link, or no ordinary file"


def test_the_document_holds_everything():
    digest = hashlib.sha256(b"    return round(net * 1.19, 2)").hexdigest()
    listed = _list({path(KEY): entry(citation=cite("src/tax.py", 5, 5), head="expires: 2026-01-01")})[0]

    assert build_document(listed) == {
        "key": KEY,
        "id": listed.id,
        "path": path(KEY),
        "state": "expired",
        "note": "it held until 2026-01-01",
        "kind": "convention",
        "scope": "repo",
        "text": "Totals are rounded to two places.",
        "branches": [],
        "shareable": False,
        "citations": [{"path": "src/tax.py", "start": 5, "end": 5, "sha256": digest}],
        "source": {"person": "ada"},
        "expires": "2026-01-01",
        "version": listed.entry.version,
    }
    assert build_document(_get("b/link")) == {
        "key": "b/link",
        "id": build_entry_id("repo/9/b/link"),
        "path": path("b/link"),
        "state": "broken",
        "note": "the entry is a link, or no ordinary file",
    }


def test_the_export_is_complete_and_vouched_for():
    lines, manifest = render_export(_list(), repository_id=9, exported_on=TODAY)

    exported = [json.loads(line) for line in lines.splitlines()]
    said = json.loads(manifest)
    assert [document["key"] for document in exported] == ["a/expired", "a/revoked", "a/stale", KEY]
    assert exported[-1] == build_document(_get(KEY))
    assert lines.endswith(b"}\n")
    assert said == {
        "kind": "coven-action/memory-export",
        "version": 1,
        "repository_id": 9,
        "exported_on": "2026-11-21",
        "folder": ".github/coven/memory",
        "sha256": hashlib.sha256(lines).hexdigest(),
        "bytes": len(lines),
        "entries": [{name: document[name] for name in ("id", "key", "state", "version")} for document in exported],
        "left_out": [
            {"path": item.path, "reason": item.note}
            for item in _list()
            if item.path in (path("Odd\nname"), path("a/broken"), path("b/link"))
        ],
    }


def test_no_memory_is_an_empty_list():
    assert _list({}) == ()
    assert render_table(()) == "KEY  STATE  KIND  SHAREABLE  UNTIL  ID"
