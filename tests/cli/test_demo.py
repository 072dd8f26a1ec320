"""The demo: it ends by itself with everything in place, takes any issue, and says what is missing when a patch does not apply."""

# ruff: noqa: W293 - an empty line of context is one space in a patch

import re
import subprocess
import sys

import pytest

from coven_action.cli.demo import read_issue
from coven_action.errors import EnvironmentFault

SEVERAL_FILES = """\
# Say what the shop is called

```diff
--- a/README.md
+++ b/README.md
@@ -1,3 +1,3 @@
-# billing
+# billing of the corner shop
 
 Invoices of a small shop. Tests: `python -m unittest discover tests`
```

And the package too:

```diff
--- a/billing/__init__.py
+++ b/billing/__init__.py
@@ -1 +1 @@
-\"\"\"Invoices of a small shop.\"\"\"
+\"\"\"Invoices of the corner shop.\"\"\"
--- /dev/null
+++ b/NAME
@@ -0,0 +1 @@
+corner shop
```
"""
DOES_NOT_APPLY = """\
# Change what is not there

```diff
--- a/billing/tax.py
+++ b/billing/tax.py
@@ -1,1 +1,1 @@
-this line was never written
+nor was this one
```
"""


def demo(*arguments):
    return subprocess.run(
        [sys.executable, "-I", "-m", "coven_action", "demo", "--once", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def played():
    """The whole demo, played once. It takes 15 seconds, and `make demo` is one target further."""
    return demo()


@pytest.mark.slow
def test_a_labelled_issue_becomes_a_draft_pull_request(played):
    done = played

    assert done.returncode == 0, done.stderr
    assert "draft PR" in done.stdout
    assert "success: verified, checks pass" in done.stdout
    assert "tests base 1 failed, 1 passed → now 2 passed" in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
def test_what_the_first_run_proposes_reaches_the_second_and_not_the_third(played):
    done = played

    first, second, third = done.stdout.split("plan      ")[1:]
    assert "memory: proposed conventions/rounding, pending" in first
    assert "memory: reads conventions/rounding" in second
    assert "memory: cited conventions/rounding" in second
    assert all(f"trace     {kind:<8} run 2" in second for kind in ("offered", "read", "cited"))
    assert "reads conventions" not in third
    assert "history   run 3" in third


@pytest.mark.slow
def test_it_says_which_isolation_was_proved_and_keeps_to_it(played):
    proved = re.search(r"^isolation (enforced|partial|none) on this machine", played.stdout, re.MULTILINE)

    assert proved is not None
    assert played.stdout.count(f"patch runtime · isolation {proved[1]}") == 3


@pytest.mark.slow
def test_another_issue_may_change_several_files(tmp_path):
    issue = tmp_path / "issue.md"
    issue.write_text(SEVERAL_FILES)

    done = demo("--issue", str(issue))

    assert done.returncode == 0, done.stdout + done.stderr
    assert '"Say what the shop is called"' in done.stdout
    for path in ("README.md", "billing/__init__.py", "NAME"):
        assert path in done.stdout


@pytest.mark.slow
def test_a_patch_that_does_not_apply_is_explained_and_is_no_success(tmp_path):
    issue = tmp_path / "issue.md"
    issue.write_text(DOES_NOT_APPLY)

    done = demo("--issue", str(issue))

    assert done.returncode == 1
    assert "this line was never written" in done.stdout
    assert "missing   the draft pull request" in done.stderr


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# \n", b"\xff\xfe", b"x" * 70_000])
def test_a_file_that_is_no_issue_is_refused_with_a_remedy(tmp_path, content):
    path = tmp_path / "issue.md"
    path.write_bytes(content)

    with pytest.raises(EnvironmentFault) as refused:
        read_issue(path)

    assert refused.value.code == "issue-file"
    assert "first line" in refused.value.diagnostics()
