"""`coven-action memory`: the files of a checkout, written, checked, revoked and exported."""

import json
from datetime import date

import pytest

from coven_action.cli import memory
from coven_action.cli.main import COMMANDS
from coven_action.core.memory.keys import build_entry_id
from coven_action.errors import Error
from tests.commands import fail, run
from tests.core.memory.values import TOKEN, TREE

KEY = "conventions/rounding"
PATH = ".github/coven/memory/conventions/rounding.md"
ADD = [
    "add",
    KEY,
    "--kind",
    "convention",
    "--text",
    "Totals are rounded once.",
    "--cite",
    "src/tax.py:4-5",
    "--person",
    "ada",
]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text("ref: refs/heads/main\n")
    for name, content in TREE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "get_today", lambda: date(2026, 11, 21))
    for name in ("GITHUB_REPOSITORY_ID", "GITHUB_ACTOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def _run(*arguments, **options):
    return run("memory", *arguments, **options)


def _fail(*arguments):
    return fail("memory", *arguments)


def test_the_command_is_in_the_help():
    assert "memory" in COMMANDS
    shown = _run("--help").output
    assert all(
        name in shown for name in ("list", "show", "check", "add", "revoke", "export", "--cite src/tax.py:40-42")
    )


def test_an_entry_is_written_listed_shown_and_checked(checkout):
    written = _run(*ADD)

    assert written.output.startswith(f"written    {PATH}\nCommit it")
    assert "sha256" in (checkout / PATH).read_text()
    assert "expires: 2027-11-21" in (checkout / PATH).read_text()
    listed = _run("list", "--repository-id", "9").output.splitlines()
    entry_id = build_entry_id("repo/9/conventions/rounding")
    assert listed[1].split() == [KEY, "active", "convention", "no", "2027-11-21", entry_id]
    assert "Totals are rounded once." in _run("show", KEY).output
    checked = _run("check")
    assert (checked.exit_code, checked.output) == (0, "1 active. 0 errors.\n")


def test_the_text_comes_from_standard_input_and_the_name_from_the_job(checkout, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTOR", "octocat")
    arguments = ["add", KEY, "--kind", "fact", "--text", "-", "--cite", "README.md:3", "--branch", "main"]

    result = _run(*arguments, "--shareable", "--expires", "2027-01-31", input="One\ntwo.\n")

    assert result.exit_code == 0
    document = json.loads(_run("show", KEY, "--json").output)
    assert (document["text"], document["source"]) == ("One\ntwo.", {"person": "octocat"})
    assert (document["branches"], document["shareable"], document["expires"]) == (["main"], True, "2027-01-31")


def test_the_configuration_says_how_long_an_entry_lives(checkout):
    (checkout / ".github").mkdir()
    text = "version: 1\nfamiliars: {c: {runtime: patch}}\nmemory: {retention: {max_age: 30d}}\n"
    (checkout / ".github/coven.yml").write_text(text)

    _run(*ADD)

    assert "expires: 2026-12-21" in (checkout / PATH).read_text()


def test_an_entry_is_never_written_over_silently(checkout):
    _run(*ADD)
    before = (checkout / PATH).read_bytes()

    assert _run(*ADD).output == f"unchanged  {PATH}\n"
    changed = [*ADD[:5], "Totals are rounded twice.", *ADD[6:]]
    assert _fail(*changed).code == "file-differs"
    assert (checkout / PATH).read_bytes() == before
    assert _run(*changed, "--force").output.startswith(f"replaced   {PATH}")
    assert b"twice" in (checkout / PATH).read_bytes()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({5: TOKEN}, "error[memory-secret]"),
        ({5: "a\u200bb"}, "error[memory-hidden-text]"),
        ({5: "x" * 2049}, "error[memory-too-large]"),
        ({5: " "}, "error[memory-empty]"),
        ({9: " "}, "error[invalid-value]: source.person is empty"),
        ({9: "a\udcffb"}, "error[memory-not-utf-8]"),
    ],
)
def test_what_could_not_be_used_is_not_written(checkout, change, expected):
    result = _run(*[change.get(index, argument) for index, argument in enumerate(ADD)])

    assert result.exit_code == 1
    assert expected in result.output
    assert result.output.endswith("Nothing was written.\n")
    assert TOKEN not in result.output
    assert not (checkout / PATH).exists()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({1: "Rounding"}, "is no key: write NAMESPACE/NAME"),
        ({1: "../../x/y"}, "is no key: write NAMESPACE/NAME"),
        ({3: "rule"}, "Invalid value for '--kind'"),
        ({7: "src/tax.py"}, "write PATH:LINE or PATH:FIRST-LAST"),
        ({7: "../x:1"}, "write PATH:LINE or PATH:FIRST-LAST"),
        ({7: "/etc/passwd:1"}, "write PATH:LINE or PATH:FIRST-LAST"),
        ({8: "--branch"}, "Missing option '--person'"),
    ],
)
def test_wrong_usage_is_told(checkout, change, expected):
    result = _run(*[change.get(index, argument) for index, argument in enumerate(ADD)])

    assert result.exit_code == 2
    assert expected in " ".join(result.output.split())


@pytest.mark.parametrize("place", ["src/tax.py:6", "src/tax.py:5-4", "src/tax.py:0", "none.py:1", "link.py:1", "src:1"])
def test_lines_that_are_not_there_cannot_be_cited(checkout, place):
    (checkout / "link.py").symlink_to("/etc/passwd")

    error = _fail(*[place if argument == "src/tax.py:4-5" else argument for argument in ADD])

    assert error.code in {"memory-not-citable", "io-failed"}


def test_an_instruction_is_written_with_a_note(checkout):
    result = _run(*[*ADD[:5], "You must run `make generate`.", *ADD[6:]])

    assert result.exit_code == 0
    assert "Note: the text reads as an instruction: it addresses the reader." in result.output


def test_standard_input_is_utf_8(checkout):
    with pytest.raises(Error, match="memory-not-utf-8"):
        _run(*[*ADD[:5], "-", *ADD[6:]], input=b"\xff")


def test_check_tells_every_mistake_with_its_place(checkout):
    _run(*ADD)
    (checkout / "src/tax.py").write_text("changed\n")
    folder = checkout / ".github/coven/memory"
    (folder / "a").mkdir()
    (folder / "a/bad.md").write_text("---\nkind: rule\n---\n\nx\n")
    (folder / "Top.md").write_text("x")
    (folder / "a/link.md").symlink_to("bad.md")
    (folder / "revoked.txt").write_text("conventions\n")

    result = _run("check")

    assert result.exit_code == 1
    places = [line.split(": ", 2)[:2] for line in result.output.splitlines() if ": error[" in line]
    assert [".github/coven/memory/revoked.txt:1:1", "error[memory-revocation]"] in places
    assert [".github/coven/memory/a/bad.md:2:7", "error[invalid-value]"] in places
    assert [".github/coven/memory/Top.md:1:1", "error[memory-path]"] in places
    assert [".github/coven/memory/a/link.md:1:1", "error[memory-path]"] in places
    assert any(place.startswith(f"{PATH}:") and code == "error[memory-stale]" for place, code in places)
    assert result.output.endswith("3 broken, 1 stale. 7 errors.\n")
    assert "no run uses any entry" in _run("list").output


def test_check_leaves_a_revoked_entry_in_peace(checkout):
    _run(*ADD)
    (checkout / "src/tax.py").write_text("changed\n")
    _run("revoke", "conventions", "--repository-id", "9")

    assert _run("check").output == "1 revoked. 0 errors.\n"


def test_where_there_is_no_memory_it_says_how_to_begin(checkout):
    assert "memory add --help" in _run("list").output
    assert json.loads(_run("list", "--json").output) == []
    assert _run("check").output == "no entries. 0 errors.\n"


def test_without_the_repositorys_id_the_keys_are_shown_and_why(checkout):
    _run(*ADD)
    result = _run("list")

    assert result.output.splitlines()[1].split()[-1] == "-"
    assert "gh api repos/OWNER/NAME --jq .id" in result.output


def test_the_id_comes_from_the_job(checkout, monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY_ID", "9")
    _run(*ADD)

    (document,) = json.loads(_run("list", "--json").output)
    assert document["id"] == build_entry_id("repo/9/conventions/rounding")


def test_every_state_has_its_note(checkout):
    _run(*ADD, "--expires", "2026-11-20")

    assert f"{KEY}: expired: it held until 2026-11-20" in _run("list").output


def test_an_unknown_entry_is_not_found(checkout):
    assert _fail("show", "a/b").code == "memory-not-found"


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (KEY, "repo/9/conventions/rounding"),
        ("conventions", "repo/9/conventions"),
        ("repo/12/conventions", "repo/12/conventions"),
    ],
)
def test_an_entry_is_taken_back(checkout, key, line):
    _run(*ADD)
    (checkout / ".github/coven/memory/revoked.txt").write_text("# mine\nrepo/9/old")

    result = _run("revoke", key, "--repository-id", "9")

    assert f"It covers {KEY}." in result.output
    assert (checkout / ".github/coven/memory/revoked.txt").read_text() == f"# mine\nrepo/9/old\n{line}\n"
    assert _run("list", "--repository-id", "9").output.splitlines()[1].split()[1] == "revoked"
    assert _run("revoke", key, "--repository-id", "9").output == f"{line} is revoked already.\n"


def test_a_key_without_an_entry_can_be_revoked_in_advance(checkout):
    assert "No entry of the checkout has this key." in _run("revoke", "tenant/7/x").output


def test_a_revocation_needs_to_know_the_repository(checkout):
    assert _fail("revoke", KEY).code == "repository-id-needed"


def test_a_revocation_names_a_key(checkout):
    result = _run("revoke", "Not a key", "--repository-id", "9")

    assert result.exit_code == 2
    assert "is no key" in result.output


def test_a_revocation_list_that_is_a_link_is_not_written_through(checkout, tmp_path):
    (checkout / ".github/coven/memory").mkdir(parents=True)
    (checkout / "other.txt").write_text("x")
    (checkout / ".github/coven/memory/revoked.txt").symlink_to(checkout / "other.txt")

    assert _fail("revoke", KEY, "--repository-id", "9").code == "link-in-the-way"
    assert (checkout / "other.txt").read_text() == "x"


def test_the_export_is_written_with_its_manifest(checkout):
    _run(*ADD)
    (checkout / ".github/coven/memory/Odd.md").write_text("x")

    result = _run("export", "--output", "memory.jsonl", "--repository-id", "9")

    (document,) = [json.loads(line) for line in (checkout / "memory.jsonl").read_text().splitlines()]
    manifest = json.loads((checkout / "memory.jsonl.manifest.json").read_text())
    assert document["key"] == KEY
    assert [item["id"] for item in manifest["entries"]] == [document["id"]]
    assert len(manifest["left_out"]) == 1
    assert "1 left out" in result.output


def test_an_export_needs_to_know_the_repository(checkout):
    assert _fail("export", "--output", "memory.jsonl").code == "repository-id-needed"


@pytest.mark.parametrize("arguments", [("list",), ("check",), tuple(ADD), ("revoke", "a/b"), ("show", "a/b")])
def test_outside_a_repository_nothing_is_done(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)

    assert _fail(*arguments).code == "no-repository"


def test_another_folder_of_the_repository_can_be_named(checkout, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))

    assert _run(*ADD, "-C", str(checkout / "src")).exit_code == 0
    assert (checkout / PATH).exists()


def test_the_day_is_today():
    assert memory.get_today() >= date(2026, 1, 1)
