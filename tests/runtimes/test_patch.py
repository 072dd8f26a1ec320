"""The `patch` runtime as a program, on real git repositories."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coven_action.core.contract.contract import parse_result
from coven_action.runtimes.patch import main

SCHEMA = Path(__file__).parents[2] / ".." / "shared" / "contracts" / "v3" / "result.schema.json"


def git(root, *arguments, check=True, **options):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(root),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "someone" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], env=environment, capture_output=True, check=check, **options
    )
    return done.stdout.decode("utf-8", "surrogateescape")


class Repository:
    """A repository with a commit, and the runtime to run in it."""

    def __init__(self, folder):
        self.folder = folder
        self.root = folder / "work"
        self.root.mkdir()
        git(self.root, "init", "--quiet", "--initial-branch=main")

    def write(self, path, content, mode=None):
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        if mode is not None:
            place.chmod(mode)

    def read(self, path):
        return (self.root / path).read_bytes().decode()

    def commit(self):
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--message", "state")
        return git(self.root, "rev-parse", "HEAD").strip()

    def make_diff(self, *options):
        """Return the diff of what was changed since the commit, and undo the change."""
        git(self.root, "add", "--all")
        diff = git(self.root, "diff", "--cached", *options)
        git(self.root, "reset", "--quiet", "--hard")
        return diff

    def status(self):
        return git(self.root, "status", "--porcelain", "--untracked-files=all").splitlines()

    def brief(self, body, **changes):
        path = self.folder / "brief.json"
        document = {
            "contract_version": "3",
            "trigger": "issue_assigned",
            "repo": {
                "owner": "acme",
                "name": "billing",
                "clone_url": "https://x/acme/billing",
                "default_branch": "main",
            },
            "task": {"kind": "fix_issue", "issue_number": 1, "issue_title": "t", "issue_body": body},
            "familiar": {"id": "cody", "display_name": "Cody", "skills": []},
            "workspace": {"root": str(self.root)},
            "memory_policy": {"enabled": False},
            **changes,
        }
        path.write_text(json.dumps(document))
        return path

    def run(self, body, *flags, **changes):
        """Run the program as a process; return its exit code and its result."""
        output = self.folder / "result.json"
        output.unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", "coven_action.runtimes.patch", "--headless", *flags]
        done = subprocess.run(
            [*command, "--context", str(self.brief(body, **changes)), "--output", str(output)],
            capture_output=True,
            check=False,
            cwd=self.folder,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return done.returncode, check_result(output.read_bytes()) if output.exists() else None

    def run_here(self, body, **changes):
        """Run the program inside this process, which is faster."""
        output = self.folder / "result.json"
        output.unlink(missing_ok=True)
        code = main(["--headless", "--context", str(self.brief(body, **changes)), "--output", str(output)])
        return code, check_result(output.read_bytes()) if output.exists() else None


def check_result(data):
    if SCHEMA.exists():
        jsonschema = pytest.importorskip("jsonschema")
        jsonschema.validate(json.loads(data), json.loads(SCHEMA.read_text()))
    return parse_result(data)


@pytest.fixture
def repository(tmp_path):
    made = Repository(tmp_path)
    made.write(
        "total.py",
        "def total(prices):\n    result = 0\n    for price in prices:\n        result += int(price)\n    return result\n",
    )
    made.write("README.md", "# Billing\n\nAdds up.\n")
    made.commit()
    return made


def fence(diff, language="diff"):
    return f"Please apply:\n\n```{language}\n{diff}```\n"


FIX = """\
--- a/total.py
+++ b/total.py
@@ -2,4 +2,4 @@
     result = 0
     for price in prices:
-        result += int(price)
+        result += price
     return result
"""


def test_a_diff_in_an_issue_is_applied_and_not_committed(repository):
    code, result = repository.run(fence(FIX), "--max-turns", "40", "--output-format", "json", "--no-claude-md")
    assert (code, result.status, result.exit_reason) == (0, "success", None)
    assert result.files_changed == ["total.py"]
    assert "1 file, +1 \N{MINUS SIGN}1" in result.summary
    assert "result += price\n" in repository.read("total.py")
    assert repository.status() == [" M total.py"]
    assert git(repository.root, "rev-list", "--count", "HEAD").strip() == "1"
    assert result.commits == []
    assert result.unknown_fields == ()


def test_help_and_version_are_answered():
    for flag, expected in (("--help", b"--context BRIEF"), ("--version", b"coven-patch ")):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "coven_action.runtimes.patch", flag], capture_output=True, check=True
        )
        assert expected in done.stdout


def test_wrong_usage_ends_with_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--headless"])
    assert stopped.value.code == 2
    assert "--context" in capsys.readouterr().err


def test_several_files_new_deleted_renamed_and_changed_modes_in_one_diff(repository):
    repository.write("old name.txt", "one\ntwo\nthree\nfour\n")
    repository.write("run.sh", "#!/bin/sh\n")
    repository.write("gone.txt", "bye\n")
    repository.commit()
    repository.write("total.py", repository.read("total.py").replace("int(price)", "price"))
    repository.write('new/päth "q".txt', "hello\nworld")
    repository.write("empty", "")
    (repository.root / "gone.txt").unlink()
    (repository.root / "old name.txt").rename(repository.root / "new name.txt")
    repository.write("new name.txt", "one\ntwo\nthree\nFOUR\n")
    (repository.root / "run.sh").chmod(0o755)
    diff = repository.make_diff("-M")
    code, result = repository.run_here(fence(diff))
    assert code == 0, result.summary
    assert repository.make_diff("-M") == diff
    assert set(result.files_changed) == {
        "total.py", 'new/päth "q".txt', "empty", "gone.txt", "old name.txt", "new name.txt", "run.sh",
    }  # fmt: skip


@pytest.mark.parametrize("option", ["--no-prefix", "--src-prefix=i/", "--binary", "--patience", "-U10"])
def test_the_usual_ways_to_make_a_diff_are_read(repository, option):
    repository.write("total.py", repository.read("total.py").replace("int(price)", "price"))
    repository.write("doc/x.txt", "x\n")
    repository.write("picture", bytes(range(256)) if option == "--binary" else "no picture\n")
    expected = repository.make_diff("--binary")
    git(repository.root, "apply", "--binary", input=expected.encode())
    diff = repository.make_diff(option)
    code, result = repository.run_here(fence(diff))
    assert code == 0, result.summary
    assert repository.make_diff("--binary") == expected


def test_a_mailed_patch_is_read(repository):
    mail = "From 0123 Mon Sep 17 00:00:00 2001\nSubject: [PATCH] x\n\n---\n total.py | 2 +-\n\n" + FIX + "-- \n2.39.5\n"
    assert repository.run_here(fence(mail, "patch"))[0] == 0
    repository.make_diff()
    assert repository.run_here(mail)[0] == 0


def test_a_diff_pasted_without_a_fence_is_read_and_the_prose_after_it_is_not(repository):
    code, _ = repository.run_here("Broken since yesterday.\n\n" + FIX + "\nThanks!\n- me\n")
    assert code == 0
    assert repository.status() == [" M total.py"]


def test_all_blocks_apply_or_none(repository):
    wrong = "--- a/README.md\n+++ b/README.md\n@@ -1,3 +1,3 @@\n # Billing\n \n-Subtracts.\n+Adds.\n"
    code, result = repository.run_here(fence(FIX) + fence(wrong))
    assert (code, result.status, result.exit_reason) == (1, "failure", "git_conflict")
    assert "line 3 should be `Subtracts.` and is `Adds up.`" in result.summary
    assert repository.status() == []


def test_two_blocks_may_change_one_file_after_another(repository):
    second = FIX.replace("int(price)", "price").replace("+        result += price\n", "+        result += abs(price)\n")
    second = second.replace("-        result += abs(price)", "-        result += price")
    assert repository.run_here(fence(FIX) + fence(second))[0] == 0
    assert "abs(price)" in repository.read("total.py")


@pytest.mark.parametrize(
    "body", ["", "Please fix the rounding.", "```diff\n- int(price)\n+ price\n```\n", "<!--\n" + FIX + "-->"]
)
def test_without_a_diff_the_summary_says_what_to_paste(repository, body):
    code, result = repository.run_here(body)
    assert (code, result.status, result.exit_reason) == (1, "needs_input", "ambiguous_spec")
    assert "git diff" in result.summary
    assert repository.status() == []


def test_a_cut_diff_is_refused_with_its_place(repository):
    code, result = repository.run_here(fence("\n".join(FIX.splitlines()[:-2]) + "\n"))
    assert (code, result.status) == (1, "needs_input")
    assert "line 6: the hunk `@@ -2,4 +2,4 @@` does not have the number of lines" in result.summary


CONFLICTS = {
    "already applied": (FIX.replace("-        result += int(price)", "-        result += str(price)")
        .replace("+        result += price", "+        result += int(price)"), "applied already"),
    "missing file": (FIX.replace("total.py", "sum.py"), "`sum.py` does not exist"),
    "wrong context": (FIX.replace("for price in", "for cost in"), "line 3 should be `    for cost in prices:` and is"),
    "white space": (FIX.replace("    return result", "\treturn result"), "white space only"),
    "past the end": (FIX.replace("@@ -2,4 +2,4 @@", "@@ -90,4 +90,4 @@").replace("0", "1", 1).replace("result = 0", "x"),
        "the file ends before"),
    "no context": ("--- a/total.py\n+++ b/total.py\n@@ -2,1 +2,1 @@\n-    result = 0\n+    result = 1\n",
        "three lines of context"),
    "exists": ("--- /dev/null\n+++ b/README.md\n@@ -0,0 +1,1 @@\n+hello\n", "already there, and the patch wants to create"),
    "created already": ("--- /dev/null\n+++ b/README.md\n@@ -0,0 +1,3 @@\n+# Billing\n+\n+Adds up.\n", "applied already"),
    "mode": ("diff --git a/total.py b/total.py\ndeleted file mode 100644\n", "git says"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFLICTS)
def test_a_diff_that_does_not_apply_is_explained(repository, name):
    diff, expected = CONFLICTS[name]
    code, result = repository.run_here(fence(diff))
    assert (code, result.status, result.exit_reason) == (1, "failure", "git_conflict")
    assert expected in result.summary
    assert repository.status() == []


def test_a_body_from_a_form_has_crlf_and_applies_to_lf_files(repository):
    assert repository.run_here(fence(FIX).replace("\n", "\r\n"))[0] == 0
    assert "\r" not in repository.read("total.py")


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_file_with_crlf_keeps_it(repository, ends):
    repository.write("total.py", repository.read("total.py").replace("\n", "\r\n"))
    repository.commit()
    before = repository.read("total.py")
    assert repository.run_here(fence(FIX).replace("\n", ends))[0] == 0
    assert repository.read("total.py") == before.replace("int(price)", "price")


def test_a_file_without_a_last_line_feed_keeps_it_missing(repository):
    repository.write("total.py", "a\r\nb\r\nc")
    repository.commit()
    repository.write("total.py", "a\r\nB\r\nc")
    diff = repository.make_diff().replace("\r\n", "\n")
    assert repository.run_here(fence(diff))[0] == 0
    assert repository.read("total.py") == "a\r\nB\r\nc"


@pytest.mark.parametrize(
    "path",
    [
        "../outside.txt", "a/../../outside.txt", "/tmp/coven-outside", "./x", "a//b",
        ".git/config", ".GIT/hooks/post-checkout", "sub/.git/config", "git~1/config", ".git./config", ".git /x",
        ".g\u200cit/config", ".git::$INDEX_ALLOCATION/x", "C:/x", "a\\..\\..\\x", ".git\\config",
    ],
)  # fmt: skip
def test_paths_outside_the_tree_and_in_gits_directory_are_refused(repository, path):
    before = {place: place.read_bytes() for place in repository.folder.rglob("*") if place.is_file()}
    diff = f"diff --git a/{path} b/{path}\nnew file mode 100755\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,1 @@\n+evil\n"
    code, result = repository.run_here(fence(FIX) + fence(diff))
    assert (code, result.status) == (1, "failure")
    after = {place: place.read_bytes() for place in repository.folder.rglob("*") if place.is_file()}
    assert {place for place in after if before.get(place) != after[place]} <= {
        repository.folder / "brief.json", repository.folder / "result.json",
    }  # fmt: skip
    assert repository.status() == []


def test_git_refuses_its_directory_even_if_our_check_is_passed_by(repository, monkeypatch):
    monkeypatch.setattr("coven_action.runtimes.patch_outcome.find_path_fault", lambda path: None)
    for path in (".git/config", "../outside.txt"):
        diff = (
            f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,1 @@\n+evil\n"
        )
        assert repository.run_here(fence(diff))[0] == 1
    assert not (repository.folder / "outside.txt").exists()
    assert "evil" not in repository.read(".git/config")


def test_a_link_is_not_followed(repository):
    outside = repository.folder / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("one\n")
    (repository.root / "link").symlink_to(outside)
    (repository.root / "file").symlink_to(outside / "secret.txt")
    repository.commit()
    change = "--- a/{0}\n+++ b/{0}\n@@ -1,1 +1,1 @@\n-one\n+two\n"
    create = "--- /dev/null\n+++ b/link/new.txt\n@@ -0,0 +1,1 @@\n+x\n"
    for diff in (change.format("link/secret.txt"), change.format("file"), create):
        code, result = repository.run_here(fence(diff))
        assert (code, result.exit_reason) == (1, "git_conflict")
        assert "symbolic link" in result.summary
    suggestion = "link/secret.txt#L1\n```suggestion\ntwo\n```\n"
    assert repository.run_here(suggestion)[1].exit_reason == "git_conflict"
    assert (outside / "secret.txt").read_text() == "one\n"
    assert sorted(place.name for place in outside.iterdir()) == ["secret.txt"]


def test_a_link_made_by_the_diff_is_not_followed_by_the_diff(repository):
    diff = (
        "diff --git a/way b/way\nnew file mode 120000\n--- /dev/null\n+++ b/way\n@@ -0,0 +1,1 @@\n+..\n"
        "\\ No newline at end of file\n"
        "diff --git a/way/out.txt b/way/out.txt\nnew file mode 100644\n--- /dev/null\n+++ b/way/out.txt\n"
        "@@ -0,0 +1,1 @@\n+x\n"
    )
    assert repository.run_here(fence(diff))[0] == 1
    assert not (repository.folder / "out.txt").exists()
    assert not (repository.root / "way").is_symlink()


def test_nothing_planted_in_the_workspace_runs(repository):
    trap = repository.folder / "sprung"
    bait = f"touch {trap}; cat"
    git(repository.root, "config", "filter.evil.clean", bait)
    git(repository.root, "config", "filter.evil.smudge", bait)
    git(repository.root, "config", "filter.evil.required", "true")
    git(repository.root, "config", "core.fsmonitor", bait)
    git(repository.root, "config", "core.autocrlf", "true")
    git(repository.root, "config", "core.hooksPath", str(repository.folder / "hooks"))
    repository.write("../hooks/post-applypatch", f"#!/bin/sh\ntouch {trap}\n", 0o755)
    repository.write("../hooks/post-index-change", f"#!/bin/sh\ntouch {trap}\n", 0o755)
    repository.write(".gitattributes", "* filter=evil text eol=crlf ident working-tree-encoding=UTF-16\n")
    repository.write(".git/info/attributes", "* filter=evil\n")
    code, result = repository.run(fence(FIX))
    assert code == 0, result.summary
    assert not trap.exists()
    assert "\r" not in repository.read("total.py")


def test_the_callers_git_settings_and_secrets_do_not_reach_git(repository, monkeypatch, tmp_path):
    seen = tmp_path / "seen"
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\nenv >> {seen}\nPATH={os.environ["PATH"]} exec git "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("GITHUB_TOKEN", "canary")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    assert repository.run_here(fence(FIX))[0] == 0
    assert "canary" not in seen.read_text()
    assert "GIT_CONFIG_COUNT" not in seen.read_text()


def test_a_suggestion_with_a_permalink_is_applied(repository):
    commit = git(repository.root, "rev-parse", "HEAD").strip()
    link = f"https://github.com/acme/billing/blob/{commit}/total.py#L3-L4"
    code, result = repository.run_here(f"{link}\n```suggestion\n    for cost in prices:\n        result += cost\n```\n")
    assert code == 0, result.summary
    assert "    for cost in prices:\n        result += cost\n    return result\n" in repository.read("total.py")


def test_a_permalink_whose_file_changed_since_is_refused(repository):
    commit = git(repository.root, "rev-parse", "HEAD").strip()
    repository.write("total.py", "# a new first line\n" + repository.read("total.py"))
    repository.commit()
    link = f"https://github.com/acme/billing/blob/{commit}/total.py#L4"
    code, result = repository.run_here(f"{link}\n```suggestion\n        result += price\n```\n")
    assert (code, result.exit_reason) == (1, "git_conflict")
    assert "changed since the commit" in result.summary


def test_a_link_to_a_branch_with_slashes_finds_the_file(repository):
    body = "https://ghe.example/acme/billing/blob/feature/x/total.py#L4\n```suggestion\n        result += price\n```\n"
    assert repository.run_here(body)[0] == 0
    assert "result += price" in repository.read("total.py")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("```suggestion\nx\n```", "does not say where it belongs"),
        ("nope.py:1\n```suggestion\nx\n```", "`nope.py` does not exist"),
        ("../total.py:1\n```suggestion\nx\n```", "no plain path"),
        ("total.py:99\n```suggestion\nx\n```", "has 5 lines"),
        ("total.py:5\n```suggestion\n    return result\n```", "already holds"),
        ("total.py:1-3\n```suggestion\nx\n```\ntotal.py:3\n```suggestion\ny\n```", "two suggestions replace line 3"),
    ],
)
def test_a_suggestion_that_has_no_place_is_explained(repository, body, expected):
    code, result = repository.run_here(body)
    assert code == 1
    assert expected in result.summary
    assert repository.status() == []


def test_two_suggestions_for_one_file_and_a_diff_for_another_go_together(repository):
    readme = "--- a/README.md\n+++ b/README.md\n@@ -1,3 +1,3 @@\n # Billing\n \n-Adds up.\n+Adds.\n"
    body = "total.py:4\n```suggestion\n        result += price\n```\n`total.py#L1`:\n~~~suggestion\ndef add(prices):\n~~~\n"
    code, result = repository.run_here(body + fence(readme))
    assert code == 0, result.summary
    assert repository.read("total.py").startswith("def add(prices):\n    result = 0\n")
    assert sorted(result.files_changed) == ["README.md", "total.py"]


def test_a_comment_is_read_like_an_issue(repository):
    task = {"kind": "respond_to_mention", "issue_number": 1, "comment_body": "/coven fix\n\n" + fence(FIX)}
    assert repository.run_here("", task=task)[0] == 0


def test_hand_off_files_are_files_like_any_other(repository):
    path = ".coven/handoff/pull-request.md"
    diff = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,1 @@\n+Title\n"
    assert repository.run_here(fence(diff) + fence(FIX))[0] == 0
    assert repository.read(path) == "Title\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"contract_version": "2"}',
        b'{"task": 1, "task": 2}',
        b"[" * 100000,
        b"x" * 5_000_000,
    ],
)
def test_an_unreadable_brief_ends_with_1_and_no_result(tmp_path, capsys, content):
    (tmp_path / "brief.json").write_bytes(content)
    code = main(["--context", str(tmp_path / "brief.json"), "--output", str(tmp_path / "result.json")])
    assert code == 1
    assert not (tmp_path / "result.json").exists()
    assert "the brief cannot be read" in capsys.readouterr().err


def test_a_missing_brief_ends_with_1(tmp_path):
    assert main(["--context", str(tmp_path / "none"), "--output", str(tmp_path / "result.json")]) == 1


@pytest.mark.parametrize("root", ["/does/not/exist", "relative"])
def test_trouble_of_its_own_is_an_infra_error(repository, root):
    code, result = repository.run_here(fence(FIX), workspace={"root": root})
    assert (code, result.status, result.exit_reason) == (2, "failure", "infra_error")


def test_without_git_it_is_an_infra_error(repository, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, result = repository.run_here(fence(FIX))
    assert (code, result.exit_reason) == (2, "infra_error")


def test_a_result_that_cannot_be_written_ends_with_2(repository):
    brief = repository.brief(fence(FIX))
    assert main(["--context", str(brief), "--output", str(repository.folder / "none" / "result.json")]) == 2


def test_a_huge_diff_is_applied_in_reasonable_time(repository):
    lines = [f"line {number}" for number in range(30000)]
    repository.write("big.txt", "\n".join(lines) + "\n")
    repository.commit()
    repository.write(
        "big.txt", "\n".join(line if number % 10 else line + "!" for number, line in enumerate(lines)) + "\n"
    )
    diff = repository.make_diff()
    code, result = repository.run_here(fence(diff))
    assert code == 0
    assert "+3000 \N{MINUS SIGN}3000" in result.summary


def test_many_files_stay_within_the_results_size(repository):
    diff = "".join(
        f"--- /dev/null\n+++ b/many/{number:05d}-{'x' * 200}.txt\n@@ -0,0 +1,1 @@\n+x\n" for number in range(2100)
    )
    code, result = repository.run_here(fence(diff))
    assert code == 0
    assert len(result.files_changed) == 2000
    assert result.review.limitations == ["100 more files changed than are listed."]
