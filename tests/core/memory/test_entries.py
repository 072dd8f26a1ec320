"""Citations and versions of entries."""

import hashlib
import json
from datetime import date

import pytest
from pydantic import ValidationError

from coven_action.core.memory.entries import (
    Citation,
    ManifestEntry,
    MemoryEntry,
    Source,
    build_manifest_entry,
    build_reader,
    find_stale,
    hash_cited_lines,
    is_citable,
    is_range,
)

TEXT = b"one\ntwo\r\nthree"


def _sha(text):
    return hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(1, 1, b"one"), (1, 2, b"one\ntwo"), (2, 3, b"two\nthree"), (3, 3, b"three")],
)
def test_the_hash_covers_the_lines_joined_by_line_feeds(start, end, expected):
    assert hash_cited_lines(TEXT, start, end) == _sha(expected)
    assert hash_cited_lines(TEXT + b"\n", start, end) == _sha(expected)


@pytest.mark.parametrize(
    ("content", "start", "end"),
    [
        (None, 1, 1),
        (b"", 1, 1),
        (TEXT, 0, 1),
        (TEXT, -1, 1),
        (TEXT, 2, 1),
        (TEXT, 3, 4),
        (TEXT, 4, 4),
        (b"a\n", 2, 2),
        (b"a\n" * 600, 1, 501),
        (b"a" * 1_048_577, 1, 1),
    ],
)
def test_lines_that_are_not_there_have_no_hash(content, start, end):
    assert hash_cited_lines(content, start, end) is None


def test_an_empty_line_can_be_cited():
    assert hash_cited_lines(b"a\n\nb\n", 2, 2) == _sha(b"")
    assert hash_cited_lines(b"\n", 1, 1) == _sha(b"")


def test_a_range_is_bounded():
    assert is_range(1, 500)
    assert not is_range(1, 501)
    assert is_range(1_000_000, 1_000_000)
    assert not is_range(1_000_001, 1_000_001)


@pytest.mark.parametrize(
    "path", ["a", "src/tax.py", ".github/workflows/ci.yml", "ä/ö.md", "a b/c", ".gitignore", "AGENTS.md"]
)
def test_a_file_of_the_tree_can_be_cited(path):
    assert is_citable(path)


@pytest.mark.parametrize(
    "path",
    [
        "", "/etc/passwd", "../x", "a/../b", "./a", "a//b", "a/", "a\\b", "a\nb", "a\x00", "a\u202eb", "\ud800",
        ".git/config", ".GIT/config", ".git", ".coven/handoff/memory.jsonl", ".coven-code/x",
        ".github/coven/memory/a/b.md", ".github/Coven/memory/revoked.txt", "x" * 401,
    ],
)  # fmt: skip
def test_what_is_not_of_the_tree_proves_nothing(path):
    assert not is_citable(path)


def _entry(**changes):
    citation = Citation(path="a", start=1, end=1, sha256=_sha(b"one"))
    return MemoryEntry(
        **{
            "key": "a/b",
            "kind": "fact",
            "scope": "repo",
            "text": "T",
            "citations": (citation,),
            "source": Source(person="ada"),
            **changes,
        }
    )


def test_the_version_is_the_digest_of_the_canonical_content():
    content = (
        '{"branches":["main"],"citations":[{"end":1,"path":"a","sha256":"' + _sha(b"one") + '","start":1}],'
        '"key":"a/b","kind":"fact","scope":"repo","shareable":true,"text":"T"}'
    )

    assert _entry(branches=("main",), shareable=True).version == _sha(content.encode())


@pytest.mark.parametrize(
    "changes",
    [{"key": "a/c"}, {"kind": "pitfall"}, {"text": "U"}, {"branches": ("x",)}, {"shareable": True}, {"citations": ()}],
)
def test_another_content_is_another_version(changes):
    assert _entry(**changes).version != _entry().version


@pytest.mark.parametrize("changes", [{"source": Source(run=1)}, {"expires": date(2027, 1, 1)}])
def test_where_it_comes_from_and_how_long_it_holds_are_no_content(changes):
    assert _entry(**changes).version == _entry().version


def test_the_manifest_says_what_is_read():
    manifest = build_manifest_entry(_entry(), "mem_0123456789abcdef")

    assert manifest.version == _entry().version
    assert manifest.text_sha256 == _sha(b"T")


def test_a_manifest_holds_no_longer_text_than_an_entry():
    longest = json.loads(build_manifest_entry(_entry(text="x" * 2048), "mem_0123456789abcdef").model_dump_json())

    assert ManifestEntry.model_validate_json(json.dumps(longest)).text == "x" * 2048
    with pytest.raises(ValidationError, match="at most 2048 characters"):
        ManifestEntry.model_validate_json(json.dumps({**longest, "text": "x" * 2049}))


def test_a_citation_is_stale_when_its_lines_change():
    citations = _entry().citations

    assert find_stale(citations, build_reader({"a": b"one\nmore\n"})) == ()
    assert find_stale(citations, build_reader({"a": b"One\n"})) == citations
    assert find_stale(citations, build_reader({})) == citations


def test_paths_and_files_of_exactly_the_allowed_length_may_be_cited():
    assert is_citable("a" * 400)
    assert not is_citable("a" * 401)
    assert hash_cited_lines(b"a" * 1_048_576, 1, 1) == _sha(b"a" * 1_048_576)
