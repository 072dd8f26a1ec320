"""What has become, meanwhile, of the place where a result goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.publication.targets import PullRequest
from coven_action.core.verification.findings import PASSED
from coven_action.core.verification.freshness import Merge, TargetNow, judge_freshness
from tests.core.samples import TARGET
from tests.fuzzing import examples

HEAD, THEN, NOW = "a" * 40, TARGET.base_ref_sha, "e" * 40
ON_TOP = TARGET.model_copy(update={"pull_request": 7, "expected_sha": HEAD, "base_sha": HEAD})


def pull_request(state="open", base="main"):
    ends = {"head": {"ref": ON_TOP.branch, "sha": HEAD, "repo": None}, "base": {"ref": base, "sha": THEN, "repo": None}}
    return PullRequest.model_validate({"number": 7, "state": state, **ends})


def never(sha):
    raise AssertionError(f"merged with {sha}")


@pytest.mark.parametrize(
    ("target", "now"),
    [
        (TARGET, TargetNow(branch_sha=None, base_ref_sha=THEN)),
        (ON_TOP, TargetNow(branch_sha=HEAD, base_ref_sha=THEN, pull_request=pull_request())),
    ],
)
def test_where_nothing_moved_nothing_is_merged_or_said(target, now):
    assert judge_freshness(target, now, never) == PASSED


@pytest.mark.parametrize(
    ("target", "now", "said"),
    [
        (TARGET, TargetNow(branch_sha=HEAD, base_ref_sha=THEN), "coven/issue-42 was changed by somebody else"),
        (TARGET, TargetNow(branch_sha=None, base_ref_sha=None), "the branch main was removed during the run"),
        (ON_TOP, TargetNow(branch_sha=NOW, base_ref_sha=THEN, pull_request=pull_request()), "changed by somebody else"),
        (
            ON_TOP,
            TargetNow(branch_sha=None, base_ref_sha=THEN, pull_request=pull_request()),
            "changed by somebody else",
        ),
        (
            ON_TOP,
            TargetNow(branch_sha=HEAD, base_ref_sha=THEN, pull_request=pull_request("closed")),
            "pull request #7 was closed during the run",
        ),
        (
            ON_TOP,
            TargetNow(branch_sha=HEAD, base_ref_sha=THEN, pull_request=pull_request(base="develop")),
            "pull request #7 was given another base during the run: develop in place of main",
        ),
    ],
)
def test_what_is_stale_without_any_merge_is_refused_before_one(target, now, said):
    found = judge_freshness(target, now, never)

    assert found.result == "refused"
    assert said in found.text


@pytest.mark.parametrize(
    ("merge", "result", "said"),
    [
        (Merge(moved_on=True), "passed", "main moved to eeeeeeeeeeee during the run; the result still merges with it"),
        (Merge(moved_on=False), "refused", "main was rewritten during the run, or moved on too far to compare"),
        (Merge(moved_on=False, conflicts=("a",)), "refused", "main was rewritten"),
        (Merge(moved_on=True, conflicts=("a", "b")), "refused", "and the result conflicts with it: a, b"),
        (Merge(moved_on=True, conflicts=("a",), conflicted_before=True), "passed", "as it did before: a"),
        (Merge(moved_on=True, conflicts=None), "passed", "parted too long ago to say"),
        (Merge(moved_on=True, conflicts=tuple("abcdefg")), "refused", "a, b, c, d, e and 2 more"),
    ],
)
def test_a_base_that_moved_harms_only_what_no_longer_merges(merge, result, said):
    asked = []
    found = judge_freshness(
        TARGET, TargetNow(branch_sha=None, base_ref_sha=NOW), lambda sha: asked.append(sha) or merge
    )

    assert found.result == result
    assert said in found.text
    assert asked == [NOW]


SHAS = st.sampled_from([None, HEAD, THEN, NOW])
MERGES = st.builds(
    Merge, moved_on=st.booleans(), conflicts=st.sampled_from([None, (), ("a",)]), conflicted_before=st.booleans()
)


@given(
    st.sampled_from([TARGET, ON_TOP]),
    st.builds(
        TargetNow,
        branch_sha=SHAS,
        base_ref_sha=SHAS,
        pull_request=st.none() | st.builds(pull_request, st.sampled_from(["open", "closed"]), st.sampled_from("ab")),
    ),
    MERGES,
)
@examples(300)
def test_nothing_passes_over_a_branch_that_is_not_where_it_was(target, now, merge):
    found = judge_freshness(target, now, lambda sha: merge)

    assert found.result in {"passed", "refused"}
    if now.branch_sha != target.expected_sha or now.base_ref_sha is None:
        assert found.result == "refused"
    if found.result == "refused":
        assert found.text
