"""The steps between a result and its publication."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.checks.conclusion import Judged, Judgement, judge_checks
from coven_action.core.checks.results import CheckCommand
from coven_action.core.documents import PlannedLimits
from coven_action.core.verification.changes import DiffStatistics
from coven_action.core.verification.findings import refuse_for
from coven_action.core.verification.protected_paths import Override, Protection
from coven_action.core.verification.texts import TextFacts
from coven_action.core.verification.verification import (
    CONTRACT,
    NO_CHANGE,
    STEPS,
    Facts,
    describe_protection,
    find_added_text,
    find_refusal,
    record_contract,
    record_kept_back,
    record_only,
    verify,
)
from tests.core.samples import BASE_SHA, LIMITS, TASK, TIP_SHA, changed
from tests.fuzzing import examples


def stale():
    return refuse_for("the branch moved")


GOOD = Facts(
    files=(changed("src/tax.py"),),
    statistics=DiffStatistics(files=1, added_lines=1, deleted_lines=1, patch_bytes=120),
    limits=LIMITS,
    tip_parents=(BASE_SHA,),
    base_sha=BASE_SHA,
    secrets=(),
    judgement=Judgement(judged=Judged.PASSED, publishes=True, finding="passed on the result: tests"),
)
COMMANDS = (CheckCommand(name="tests", run="make test", timeout_seconds=600),)
NONE_CONFIGURED = judge_checks(None, (), task=TASK, base_sha=BASE_SHA, tip_sha=TIP_SHA)
ORDER = ["contract", "tree", "limits", "protected-paths", "secrets", "text", "evidence", "freshness"]


def test_a_good_result_passes_every_step_in_its_order():
    verdicts = verify(GOOD)

    assert [verdict.step for verdict in verdicts] == ORDER == [CONTRACT, *STEPS]
    assert {verdict.result for verdict in verdicts} == {"passed"}
    assert find_refusal(verdicts) is None


def find_evidence(**changes):
    return next(it for it in verify(GOOD.model_copy(update=changes)) if it.step == "evidence")


@pytest.mark.parametrize("claims", [(), ("pytest: passed",)])
def test_without_a_check_of_ours_the_evidence_is_neutral_whatever_is_claimed(claims):
    verdict = find_evidence(claims=claims, judgement=NONE_CONFIGURED)

    assert verdict.result == "neutral"
    assert "no check is configured, so nothing of ours ran on the result" in verdict.finding
    assert verdict.finding.endswith(f"claims (not verified): {claims[0]}" if claims else "claims none")


def test_long_claims_leave_room_for_what_we_observed():
    claims = tuple(f"{number}{'x' * 9000}: passed" for number in range(10))
    verdict = find_evidence(claims=claims, judgement=NONE_CONFIGURED)

    assert len(verdict.finding) < 1000
    assert verdict.finding.endswith("and 5 more")


@pytest.mark.parametrize(
    ("judged", "publishes", "result"),
    [
        (Judged.PASSED, True, "passed"),
        (Judged.FAILED, True, "failed"),
        (Judged.FAILED, False, "refused"),
        (Judged.FAULT, False, "refused"),
    ],
)
def test_the_evidence_is_what_our_checks_came_to(judged, publishes, result):
    judgement = Judgement(judged=judged, publishes=publishes, finding="as it went: tests")
    verdicts = verify(GOOD.model_copy(update={"judgement": judgement, "claims": ("pytest: passed",)}))

    assert [(it.result, it.finding) for it in verdicts if it.step == "evidence"] == [(result, "as it went: tests")]
    assert verdicts[-1].result == ("not-reached" if result == "refused" else "passed")


def test_what_the_runtime_gave_up_is_neither_passed_nor_refused_for_its_checks():
    assert find_evidence(judgement=None).result == "neutral"


def test_what_was_made_inert_is_said():
    facts = GOOD.model_copy(update={"texts": TextFacts(made_inert="made inert before publication: 2 mentions")})

    assert [it.finding for it in verify(facts) if it.step == "text"] == ["made inert before publication: 2 mentions"]


UNSEEN = judge_checks(None, COMMANDS, task=TASK, base_sha=BASE_SHA, tip_sha=TIP_SHA)
REFUSALS = [
    ({"tip_parents": ()}, "tree", "not one commit on top"),
    ({"tip_parents": ("e" * 40,)}, "tree", "not one commit on top"),
    ({"tip_parents": (BASE_SHA, BASE_SHA)}, "tree", "not one commit on top"),
    ({"tip_parents": (BASE_SHA, "e" * 40)}, "tree", "not one commit on top"),
    ({"files": (changed("odd", after="unknown"),)}, "tree", "entries of an unknown kind: odd"),
    ({"files": (changed("odd", before="unknown"),)}, "tree", "entries of an unknown kind: odd"),
    ({"statistics": DiffStatistics(files=101)}, "limits", "limits.files allows 100"),
    ({"statistics": DiffStatistics(files=1, added_lines=20_001)}, "limits", "limits.lines allows 20000"),
    ({"statistics": DiffStatistics(files=21, binary_files=21)}, "limits", "limits.binary_files allows 20"),
    (
        {"limits": PlannedLimits(time_seconds=1, turns=1, files=0, lines=9, binary_files=0, patch_bytes=9)},
        "limits",
        "; the patch has 120",
    ),
    ({"files": (changed("a\\xff"),)}, "tree", "names that are not UTF-8: a\\xff"),
    ({"files": (changed("AGENTS.md"),)}, "protected-paths", "protected paths are changed: AGENTS.md"),
    ({"files": (changed("x", after="submodule"),)}, "protected-paths", "protected paths are changed: x"),
    ({"secrets": ("github-token",)}, "secrets", "what looks like a secret was found: github-token"),
    ({"texts": TextFacts(restless=("the title",))}, "text", "words that cannot be made inert: the title"),
    ({"judgement": UNSEEN}, "evidence", "no observed checks were handed over"),
    ({"look_at_target": stale}, "freshness", "the branch moved"),
]


@pytest.mark.parametrize(("changes", "step", "finding"), REFUSALS)
def test_each_step_refuses_what_it_is_there_for_and_the_later_ones_are_not_reached(changes, step, finding):
    verdicts = verify(GOOD.model_copy(update=changes))
    refusal = find_refusal(verdicts)

    assert refusal is not None
    assert refusal.step == step
    assert finding in refusal.finding
    results = [verdict.result for verdict in verdicts]
    place = ORDER.index(step)
    assert "refused" not in results[:place]
    assert results[place:] == ["refused", *["not-reached"] * (len(ORDER) - place - 1)]


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(REFUSALS, 2)))
def test_of_two_refusals_the_earlier_step_decides(first, second):
    both = {**first[0], **second[0]}
    steps = {changes_step for changes, changes_step, _ in (first, second) if both.items() >= changes.items()}
    refusal = find_refusal(verify(GOOD.model_copy(update=both)))

    assert refusal is not None
    assert refusal.step == min(steps, key=ORDER.index)


def test_nobody_looks_at_the_target_of_a_result_that_is_refused_already():
    def look():
        raise AssertionError("looked")

    verify(GOOD.model_copy(update={"secrets": ("github-token",), "look_at_target": look}))


def test_a_broken_contract_leaves_every_other_step_unreached():
    verdicts = record_contract("outcome.json is not the document that the earlier stage wrote.")

    assert [verdict.step for verdict in verdicts] == ORDER
    assert [verdict.result for verdict in verdicts] == ["refused", *["not-reached"] * 7]
    assert verdicts[0].finding.startswith("outcome.json is not")


def test_a_kept_contract_without_a_change_is_no_pass_of_the_other_steps():
    verdicts = record_contract(why=NO_CHANGE)

    assert [verdict.result for verdict in verdicts] == ["passed", *["not-reached"] * 7]
    assert {verdict.finding for verdict in verdicts[1:]} == {NO_CHANGE}
    assert find_refusal(verdicts) is None


def test_a_change_that_run_kept_back_is_refused_for_its_secret_and_nothing_else_is_called_verified():
    verdicts = record_kept_back(("registered value",))

    assert [(verdict.step, verdict.result) for verdict in verdicts if verdict.result != "not-reached"] == [
        ("contract", "passed"),
        ("secrets", "refused"),
    ]
    refusal = find_refusal(verdicts)
    assert refusal is not None
    assert refusal.finding == "what looks like a secret was found: registered value"


def test_nothing_is_reached_before_anything_was_read():
    assert {verdict.result for verdict in record_only()} == {"not-reached"}


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
@examples(200)
def test_every_added_line_is_found_whole(kept, added):
    patch = "\n".join([*(f" {line}" for line in kept), *(f"+{line}" for line in added), ""])

    assert find_added_text(patch) == "\n".join(added)
