"""The steps between a result and its publication."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coven_action.core.documents import PlannedLimits
from coven_action.core.verification.changes import DiffStatistics
from coven_action.core.verification.protected_paths import Override, Protection
from coven_action.core.verification.verification import (
    STEPS,
    Facts,
    describe_protection,
    find_added_text,
    find_refusal,
    verify,
)
from tests.core.samples import BASE_SHA, LIMITS, changed

GOOD = Facts(
    files=(changed("src/tax.py"),),
    statistics=DiffStatistics(files=1, added_lines=1, deleted_lines=1, patch_bytes=120),
    limits=LIMITS,
    tip_parents=(BASE_SHA,),
    base_sha=BASE_SHA,
    secrets=(),
    target_moved=None,
)


def test_a_good_result_passes_every_step_in_its_order():
    verdicts = verify(GOOD)

    assert [verdict.step for verdict in verdicts] == ["tree", "limits", "protected-paths", "secrets", "freshness"]
    assert list(STEPS) == [verdict.step for verdict in verdicts]
    assert all(verdict.passed and verdict.finding == "" for verdict in verdicts)
    assert find_refusal(verdicts) is None


@pytest.mark.parametrize(
    ("changes", "step", "finding"),
    [
        ({"tip_parents": ()}, "tree", "not one commit on top"),
        ({"tip_parents": ("e" * 40,)}, "tree", "not one commit on top"),
        ({"tip_parents": (BASE_SHA, BASE_SHA)}, "tree", "not one commit on top"),
        ({"tip_parents": (BASE_SHA, "e" * 40)}, "tree", "not one commit on top"),
        ({"files": (changed("odd", after="unknown"),)}, "tree", "entries of an unknown kind: odd"),
        ({"files": (changed("odd", before="unknown"),)}, "tree", "entries of an unknown kind: odd"),
        ({"statistics": DiffStatistics(files=101)}, "limits", "limits.files allows 100"),
        ({"limits": PlannedLimits(time_seconds=1, turns=1, files=0, patch_bytes=9)}, "limits", "; the patch has 120"),
        ({"files": (changed("a\\xff"),)}, "tree", "names that are not UTF-8: a\\xff"),
        ({"files": (changed("AGENTS.md"),)}, "protected-paths", "protected paths are changed: AGENTS.md"),
        ({"files": (changed("x", after="submodule"),)}, "protected-paths", "protected paths are changed: x"),
        ({"secrets": ("github-token",)}, "secrets", "what looks like a secret was found: github-token"),
        ({"target_moved": "the branch moved"}, "freshness", "the branch moved"),
    ],
)
def test_each_step_refuses_what_it_is_there_for(changes, step, finding):
    verdicts = verify(GOOD.model_copy(update=changes))
    refusal = find_refusal(verdicts)

    assert refusal is not None
    assert refusal.step == step
    assert finding in refusal.finding
    assert [verdict.step for verdict in verdicts if not verdict.passed] == [step]


OPENED = Protection(
    protect=("migrations/**",),
    overrides=(Override(path="AGENTS.md", reason="We write it together."), Override(path=".cursor", reason="Unused.")),
)


@pytest.mark.parametrize(
    ("file", "step"),
    [
        (changed("migrations/1.sql"), "protected-paths"),
        (changed("CLAUDE.md"), "protected-paths"),
        (changed("AGENTS.md"), None),
        (changed("data", after="symlink", link_target="migrations"), "tree"),
        (changed("data", after="symlink", link_target="AGENTS.md"), None),
    ],
)
def test_the_configuration_says_what_else_is_protected_and_what_is_not(file, step):
    refusal = find_refusal(verify(GOOD.model_copy(update={"files": (file,), "protection": OPENED})))

    assert (refusal and refusal.step) == step


def test_people_are_told_what_was_opened_and_what_needs_review():
    files = tuple(
        map(changed, ("AGENTS.md", "docs/AGENTS.md", "src/tax.py", *(f"{each}/package.json" for each in "abcdef")))
    )

    assert describe_protection(files, OPENED) == (
        "Changed although protected: AGENTS.md, docs/AGENTS.md. The configuration opens AGENTS.md: We write it together.",
        (
            "Needs review, since it decides what is installed, built or started: a/package.json, b/package.json, "
            "c/package.json, d/package.json, e/package.json and 1 more"
        ),
    )
    assert describe_protection((changed("src/tax.py"),), OPENED) == ()


def test_every_step_is_recorded_and_the_first_refusal_decides():
    verdicts = verify(
        GOOD.model_copy(update={"tip_parents": (), "secrets": ("private-key",), "target_moved": "the branch moved"})
    )

    assert [verdict.step for verdict in verdicts if not verdict.passed] == ["tree", "secrets", "freshness"]
    refusal = find_refusal(verdicts)
    assert refusal is not None
    assert refusal.step == "tree"


def test_a_long_list_is_cut_with_its_count():
    files = tuple(changed(f"{number}/AGENTS.md") for number in range(7))
    refusal = find_refusal(verify(GOOD.model_copy(update={"files": files})))

    assert refusal is not None
    assert refusal.finding.endswith("4/AGENTS.md and 2 more")


PATCH = """\
diff --git a/x b/x
index 1..2 100644
--- a/x
+++ b/x
@@ -1,3 +1,3 @@
 kept
-removed
+added
+++ looks like a header
++also added
\\ No newline at end of file
"""


def test_the_added_lines_of_a_patch_are_found_and_no_others():
    added = find_added_text(PATCH).split("\n")

    assert [line for line in added if line != "++ b/x"] == ["added", "++ looks like a header", "+also added"]
    assert find_added_text("") == ""


SECRET = "ghp_" + "x" * 36


@pytest.mark.parametrize(
    "line",
    [
        SECRET,
        f"++ {SECRET}",
        f"++ b/{SECRET}",
        f"a\r{SECRET}",
        *(f"a{end}{SECRET}" for end in "\v\f\x1c\x85\u2028\u2029"),
    ],
    ids=range(10),
)
def test_no_way_of_writing_a_line_hides_what_it_adds(line):
    patch = f"--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+{line}\n"

    assert SECRET in find_added_text(patch)


LINES = st.lists(st.text(st.characters(exclude_characters="\n"), max_size=12), max_size=5)


@given(LINES, LINES)
@settings(derandomize=True, max_examples=200)
def test_every_added_line_is_found_whole(kept, added):
    patch = "\n".join([*(f" {line}" for line in kept), *(f"+{line}" for line in added), ""])

    assert find_added_text(patch) == "\n".join(added)
