"""Keys, canonical keys, ids, and what a revocation covers."""

import hashlib

import pytest

from coven_action.core.memory.keys import (
    build_canonical_key,
    build_entry_id,
    is_denied,
    is_entry_id,
    is_key,
    is_revocable,
    list_entry_paths,
    parse_entry_path,
    render_entry_path,
)


@pytest.mark.parametrize("key", ["a/b", "conventions/rounding", "0/1-2", f"{'a' * 64}/{'b' * 64}"])
def test_a_key_is_namespace_and_name(key):
    assert is_key(key)
    assert parse_entry_path(render_entry_path(key)) == key


@pytest.mark.parametrize(
    "key",
    [
        "", "a", "a/", "/a", "a/b/c", "A/b", "a/B", "a_b/c", "-a/b", "a/-b", "a b/c", "../x", "a/..", "a/b\n", "ä/b",
        f"{'a' * 65}/b", "a/b.md", "a\\b", "\u0430/b",
    ],
)  # fmt: skip
def test_anything_else_is_no_key(key):
    assert not is_key(key)
    assert parse_entry_path(render_entry_path(key)) is None


@pytest.mark.parametrize(
    "path", [".github/coven/memory/a/b.MD", "x/.github/coven/memory/a/b.md", ".github/coven/memory/a/b.md/c", "a/b.md"]
)
def test_an_entry_stands_in_its_one_place(path):
    assert parse_entry_path(path) is None


def test_the_id_comes_from_the_canonical_key():
    canonical = build_canonical_key(9, "a/b")

    assert canonical == "repo/9/a/b"
    assert build_entry_id(canonical) == "mem_" + hashlib.sha256(b"repo/9/a/b").hexdigest()[:16]
    assert is_entry_id(build_entry_id(canonical))
    assert build_entry_id(build_canonical_key(10, "a/b")) != build_entry_id(canonical)


@pytest.mark.parametrize("text", ["mem_", "mem_0123456789abcde", "mem_0123456789ABCDEF", "mem_0123456789abcdef0", "x"])
def test_anything_else_is_no_id(text):
    assert not is_entry_id(text)


@pytest.mark.parametrize("text", ["repo/9", "tenant/7", "repo/9/a", "repo/9/a/b", "repo/9223372036854775807"])
def test_a_canonical_key_or_a_prefix_can_be_revoked(text):
    assert is_revocable(text)


@pytest.mark.parametrize(
    "text",
    [
        "repo",
        "repo/",
        "repo/0",
        "repo/09",
        "repo/9/",
        "repo/9/A",
        "a/b",
        "repo/9/a/b/c",
        "*",
        "repo/10000000000000000000",
    ],
)
def test_anything_else_cannot(text):
    assert not is_revocable(text)


@pytest.mark.parametrize(
    ("prefix", "denied"),
    [
        ("repo/9", True),
        ("repo/9/conventions", True),
        ("repo/9/conventions/rounding", True),
        ("repo/9/conv", False),
        ("repo/9/conventions/round", False),
        ("repo/9/conventions/rounding-up", False),
        ("repo/99", False),
        ("tenant/9", False),
    ],
)
def test_a_prefix_covers_whole_segments(prefix, denied):
    assert is_denied("repo/9/conventions/rounding", ["repo/8", prefix]) is denied


def test_nothing_is_denied_by_nothing():
    assert not is_denied("repo/9/a/b", [])


def test_every_file_that_could_be_an_entry_is_listed_in_order():
    folder = ".github/coven/memory"
    paths = [f"{folder}/b/a.md", f"{folder}/Wrong.md", f"{folder}/revoked.txt", "README.md", f"{folder}/a/b.md"]

    assert list_entry_paths(paths) == (f"{folder}/Wrong.md", f"{folder}/a/b.md", f"{folder}/b/a.md")
