"""The `verify` stage: what it runs and what not, what it writes down, and that nothing hostile makes a success of itself."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from coven_action.adapters.folder import DocumentFolder
from coven_action.core.checks.conclusion import judge_checks, judge_run
from coven_action.core.checks.document import parse_checks
from coven_action.core.documents import Attempt, Fault, write_document
from coven_action.core.records import sha256_hex
from coven_action.core.redaction.redactor import Redactor
from coven_action.errors import DocumentError, EnvironmentFault, GitError, RuntimeFault
from coven_action.stages.verify import VerifyPorts, verify
from tests.checked_repository import PROPER_END, SECRET, Heard, Scripted, check, mend, open_confinement, open_repository
from tests.core.samples import PATCH, REFUSAL, TASK, build_outcome, build_plan, build_work
from tests.scenario import _PLAIN_RESULT, run_git

FAILS_BEFORE = (
    "grep -q '(1 + rate)' src/tax.py || { echo '1 failed, 2 passed in 0.1s'; exit 1; }; echo '3 passed in 0.1s'"
)
CHECKS = (check(FAILS_BEFORE),)
ATTEMPT = Attempt(
    exit_code=0,
    signal=None,
    duration_seconds=1.0,
    timed_out=False,
    output_bytes=0,
    output_truncated=False,
    processes_left_behind=0,
)


class Ticking:
    """A clock on which every look takes a second."""

    def __init__(self):
        self.time = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)

    def now(self):
        self.time += timedelta(seconds=1)
        return self.time


class Verified:
    """A run that has left its documents, and the `verify` that reads them."""

    def __init__(self, repository, confinement=None, *, checks=CHECKS, change=None, **work):
        self.repository = repository
        self.folder = DocumentFolder(repository.folder / "documents")
        self.job = Heard()
        self.trees = repository.trees
        self.confinement = confinement or Scripted()
        self.secrets = ()
        bundle = self.path("changes.bundle")
        self.tip = repository.make_result(change, bundle) if change else repository.tip
        if not change:
            shutil.copyfile(repository.mended, bundle)
        self.work = build_work(target=repository.target, checks=checks, **work)
        self.plan_sha256 = self.write("plan.json", build_plan(decision="proceed", refusal=None, work=self.work))
        self.outcome_sha256 = self.leave()

    def path(self, name):
        return self.folder.folder / name

    def write(self, name, document):
        data = write_document(document)
        self.folder.write(name, data)
        return sha256_hex(data)

    def leave(self, **changes):
        """Leave an outcome; what it says is what the bundle is, but for the changes."""
        bundle = sha256_hex(self.path("changes.bundle").read_bytes())
        parts = {"plan_sha256": self.plan_sha256, "tip_sha": self.tip, "bundle_sha256": bundle, "attempts": (ATTEMPT,),
                 "result": dict(_PLAIN_RESULT)}  # fmt: skip
        self.outcome_sha256 = self.write("outcome.json", build_outcome(**{**parts, **changes}))
        return self.outcome_sha256

    def verify(self, *, task=TASK, separate_runner=False):
        ports = VerifyPorts(
            clock=Ticking(),
            documents=self.folder,
            trees=self.trees,
            confinement=self.confinement,
            job=self.job,
            redactor=Redactor.build(self.secrets),
        )
        return verify(
            task,
            checkout=self.repository.checkout,
            plan_sha256=self.plan_sha256,
            outcome_sha256=self.outcome_sha256,
            separate_runner=separate_runner,
            ports=ports,
        )

    def judge(self, checks):
        """Return what `publish` makes of it."""
        return judge_checks(checks, self.work.checks, task=TASK, base_sha=self.repository.base, tip_sha=self.tip)


@pytest.fixture(scope="module")
def confinement():
    with open_confinement() as proved:
        yield proved


@pytest.fixture
def repository():
    with open_repository() as made:
        yield made


# --- what is observed


def test_the_checks_run_on_the_base_and_on_the_result(repository, confinement):
    verified = Verified(repository, confinement, isolation_demanded="enforced")
    verified.verify()

    checks = parse_checks(verified.path("checks.json").read_bytes())
    (result,) = checks.results
    assert (result.name, result.base.exit_code, result.base.counts.failed) == ("tests", 1, 1)
    assert (result.result.exit_code, result.result.counts.passed) == (0, 3)
    assert (checks.task, checks.base_sha, checks.tip_sha) == (TASK, repository.base, verified.tip)
    assert checks.isolation.reached == confinement.prove().level
    assert (checks.isolation.demanded, checks.isolation.backend) == ("enforced", confinement.prove().backend)
    assert checks.isolation.note == "the checks ran in a sandbox"
    assert checks.isolation.limited_by
    assert checks.seconds == 1.0
    assert verified.judge(checks).judged == "passed"


def test_the_digest_is_handed_over_and_the_checks_are_told(repository, confinement):
    verified = Verified(repository, confinement)
    verified.verify()

    assert verified.job.outputs == {"checks-sha256": sha256_hex(verified.path("checks.json").read_bytes())}
    assert verified.job.summary == ["Checks: tests base 1 failed, 2 passed → now 3 passed (1.0 s).\n"]
    assert [line.partition(" (")[0] for line in verified.job.log] == [
        "tests on the base: 1 failed, 2 passed",
        "tests on the result: 3 passed",
    ]
    assert verified.job.warnings == []


@pytest.mark.parametrize(("separate", "observed_on"), [(True, "separate_runner"), (False, "same_runner")])
def test_on_which_machine_it_was_observed_is_written_down(repository, separate, observed_on):
    assert Verified(repository).verify(separate_runner=separate).observed_on == observed_on


def test_each_tree_is_fresh_and_nothing_of_either_is_left(repository, confinement):
    leave = check('ls -A . "$HOME/.." "$HOME"; touch left "$HOME/left"; git config x.y z; chmod 500 src', "leave")
    verified = Verified(repository, confinement, checks=(leave,))
    (result,) = verified.verify().results

    assert result.base.tail.replace("/base/", "/result/") == result.result.tail
    assert "left" not in result.result.tail
    assert sorted(path.name for path in verified.folder.folder.iterdir()) == [
        "changes.bundle", "checks.json", "outcome.json", "plan.json"
    ]  # fmt: skip


def test_several_checks_stand_in_the_order_of_the_configuration(repository, confinement):
    verified = Verified(repository, confinement, checks=(check("exit 1", "lint"), check("true", "tests")))
    checks = verified.verify()

    assert [(each.name, each.result.exit_code) for each in checks.results] == [("lint", 1), ("tests", 0)]
    assert verified.judge(checks).judged == "failed"


def test_a_secret_is_covered_in_everything_that_leaves(repository, confinement):
    verified = Verified(repository, confinement, checks=(check(f"echo '{SECRET}'; exit 1"),))
    verified.secrets = (SECRET,)
    verified.verify()

    assert SECRET not in verified.path("checks.json").read_text()
    assert SECRET not in "".join([*verified.job.log, *verified.job.summary, *verified.job.warnings])


def test_a_name_in_the_summary_is_inert(repository):
    verified = Verified(repository, checks=(check("true", "<img src=x> @maintainer"),))
    verified.verify()

    (summary,) = verified.job.summary
    assert "<img" not in summary
    assert "@maintainer" not in summary


# --- nothing to do


def no_work(verified):
    verified.plan_sha256 = verified.write("plan.json", build_plan(refusal=REFUSAL))


def no_checks(verified):
    work = verified.work.model_copy(update={"checks": ()})
    verified.plan_sha256 = verified.write("plan.json", build_plan(decision="proceed", refusal=None, work=work))
    verified.leave()


def no_change(verified):
    verified.leave(tip_sha=None, bundle_sha256=None)


def a_fault(verified):
    fault = Fault(stage="run", code="runtime-crashed", message="It crashed.")
    verified.leave(verdict="fault", fault=fault, tip_sha=None, bundle_sha256=None, result=None)


def unfinished_work(verified):
    verified.leave(verdict="failed")


@pytest.mark.parametrize("how", [no_work, no_checks, no_change, a_fault, unfinished_work])
def test_where_there_is_nothing_to_check_nothing_is_written(repository, how):
    verified = Verified(repository)
    verified.folder.write("checks.json", b"of an earlier attempt")
    how(verified)

    assert verified.verify() is None
    assert not verified.path("checks.json").exists()
    assert (verified.confinement.requests, verified.job.outputs) == ([], {})
    assert verified.job.log[0].startswith("verify: nothing to do: ")


def test_without_checks_the_outcome_is_not_even_asked_for(repository):
    verified = Verified(repository)
    no_checks(verified)
    verified.path("outcome.json").unlink()

    assert verified.verify() is None


# --- documents that cannot be trusted


def unvouched_plan(verified):
    verified.plan_sha256 = None


def altered_plan(verified):
    verified.path("plan.json").write_bytes(verified.path("plan.json").read_bytes() + b"\n")


def unvouched_outcome(verified):
    verified.outcome_sha256 = None


def altered_outcome(verified):
    vouched = verified.outcome_sha256
    verified.leave(tip_sha=verified.repository.first)
    verified.outcome_sha256 = vouched


def missing_outcome(verified):
    verified.path("outcome.json").unlink()


def outcome_of_another_run(verified):
    verified.leave(task=TASK.model_copy(update={"run_attempt": 2}))


def outcome_of_another_plan(verified):
    verified.leave(plan_sha256="e" * 64)


def outcome_that_contradicts_itself(verified):
    verified.leave(bundle_sha256=None)


def outcome_that_is_none(verified):
    verified.outcome_sha256 = sha256_hex(b"{}")
    verified.folder.write("outcome.json", b"{}")


def altered_bundle(verified):
    verified.path("changes.bundle").write_bytes(b"another")


def missing_bundle(verified):
    verified.path("changes.bundle").unlink()


REFUSED = {
    unvouched_plan: "digest-missing",
    altered_plan: "document-altered",
    unvouched_outcome: "digest-missing",
    altered_outcome: "document-altered",
    missing_outcome: "missing-document",
    outcome_of_another_run: "document-of-another-run",
    outcome_of_another_plan: "document-altered",
    outcome_that_contradicts_itself: "malformed-document",
    outcome_that_is_none: "malformed-document",
    altered_bundle: "document-altered",
    missing_bundle: "missing-document",
}


@pytest.mark.parametrize(("spoil", "code"), REFUSED.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_with_a_document_that_cannot_be_trusted_nothing_is_started(repository, spoil, code):
    verified = Verified(repository)
    spoil(verified)

    with pytest.raises(DocumentError) as caught:
        verified.verify()

    assert caught.value.code == code
    assert (verified.confinement.requests, verified.job.outputs) == ([], {})
    assert not verified.path("checks.json").exists()


def test_a_plan_of_another_run_is_refused(repository):
    with pytest.raises(DocumentError, match="belongs to run"):
        Verified(repository).verify(task=TASK.model_copy(update={"run_id": 5}))


# --- isolation

LEVELS = {
    # demanded, reached -> whether checks are started, and what the evidence says of it
    ("enforced", "enforced"): (True, "the checks ran in a sandbox"),
    ("enforced", "partial"): (False, "no check was started"),
    ("enforced", "none"): (False, "no check was started"),
    ("partial", "enforced"): (True, "the checks ran in a sandbox"),
    ("partial", "partial"): (True, "the checks ran in a sandbox"),
    ("partial", "none"): (False, "no check was started"),
    ("none", "partial"): (True, "the checks ran in a sandbox"),
    ("none", "none"): (True, "the checks ran as this job's user"),
}


@pytest.mark.parametrize(("levels", "expected"), LEVELS.items())
def test_below_the_demanded_isolation_no_check_is_started_and_none_passes(repository, levels, expected):
    demanded, reached = levels
    # The exemption of the patch runtime is for our own code alone.
    verified = Verified(repository, Scripted(level=reached), isolation_demanded=demanded, familiar=PATCH)
    checks = verified.verify()

    assert (bool(verified.confinement.requests), checks.isolation.note) == expected
    assert (checks.isolation.demanded, checks.isolation.reached) == levels
    if not expected[0]:
        (result,) = checks.results
        assert result.base is None
        assert result.result.fault == f"isolation {demanded} was demanded, {reached} was reached"
        assert verified.judge(checks).judged == "fault"
        assert checks.isolation.limited_by == ""


# --- faults


class Breaking:
    """Trees that break at one of their uses, and are otherwise as they are."""

    def __init__(self, trees, method, name, error):
        self.trees, self.method, self.name, self.error = trees, method, name, error

    def prepare(self, checkout, folder, commit, *, bundle, default_branch):
        self._break("prepare", folder.name)
        return self.trees.prepare(checkout, folder, commit, bundle=bundle, default_branch=default_branch)

    def destroy(self, folder):
        self.trees.destroy(folder)
        self._break("destroy", "")

    def _break(self, method, name):
        if (method, name) == (self.method, self.name):
            raise self.error


def test_a_base_that_cannot_be_checked_does_not_spoil_the_result(repository, confinement):
    verified = Verified(repository, confinement)
    verified.trees = Breaking(repository.trees, "prepare", "base", GitError("git-failed", "git fetch ended with 128."))
    checks = verified.verify()

    (result,) = checks.results
    assert result.base.fault == "git fetch ended with 128"
    assert verified.judge(checks).judged == "passed"
    assert verified.job.warnings == ["verify: the checks could not be run on the base: git fetch ended with 128."]


def test_a_result_that_cannot_be_checked_has_not_passed(repository, confinement):
    error = GitError("git-failed", f"git fetch said {SECRET}.")
    verified = Verified(repository, confinement)
    verified.secrets = (SECRET,)
    verified.trees = Breaking(repository.trees, "prepare", "result", error)
    checks = verified.verify()

    assert checks.results[0].result.fault == "git fetch said [redacted: registered secret]"
    assert verified.judge(checks).judged == "fault"
    assert SECRET not in "".join(verified.job.warnings)
    assert verified.job.outputs


@pytest.mark.parametrize(
    "scripted",
    [
        Scripted(end=RuntimeFault("runtime-not-started", "It could not be started.")),
        Scripted(refuses=EnvironmentFault("io-failed", "The sandbox's files could not be written.")),
        Scripted(end=replace(PROPER_END, survivors=True)),
        Scripted(exceeded="memory"),
    ],
    ids=["not started", "not proved", "survived", "exceeded"],
)
def test_a_fault_of_the_sandbox_is_never_a_success(repository, scripted):
    verified = Verified(repository, scripted, isolation_demanded="enforced")
    checks = verified.verify()

    assert [judge_run(each.result) for each in checks.results] == ["could-not-run"]
    assert verified.judge(checks).judged == "fault"


@pytest.mark.parametrize("method", ["prepare", "run", "prove"])
def test_a_bug_is_written_down_and_raised(repository, method):
    verified = Verified(repository, Scripted())
    if method == "prepare":
        verified.trees = Breaking(repository.trees, "prepare", "result", ZeroDivisionError())
    elif method == "run":
        verified.confinement = Scripted(end=ZeroDivisionError())
    else:
        verified.confinement = Scripted(refuses=ZeroDivisionError())

    with pytest.raises(ZeroDivisionError):
        verified.verify()

    checks = parse_checks(verified.path("checks.json").read_bytes())
    assert "ZeroDivisionError" in checks.results[0].result.fault
    assert verified.judge(checks).judged == "fault"


def test_what_cannot_be_removed_is_said_and_changes_nothing_that_was_seen(repository, confinement):
    verified = Verified(repository, confinement)
    destroy, calls = repository.trees.destroy, []

    def fail_at_the_end(folder):
        destroy(folder)
        calls.append(folder)
        if len(calls) == 4:
            raise GitError("io-failed", "The run's folder could not be removed: Device busy.")

    verified.trees.destroy = fail_at_the_end
    checks = verified.verify()

    assert verified.judge(checks).judged == "passed"
    assert verified.job.warnings == ["verify: The run's folder could not be removed: Device busy."]


def test_without_room_for_what_was_observed_there_is_no_digest(repository, monkeypatch):
    verified = Verified(repository)

    def refuse(name, data):
        raise DocumentError("io-failed", f"{name} cannot be written: {len(data)} bytes.")

    monkeypatch.setattr(verified.folder, "write", refuse)

    with pytest.raises(DocumentError):
        verified.verify()
    assert verified.job.outputs == {}


# --- hostile results


def forge(workspace):
    """Everything that the familiar can bring along to look as if the checks had passed."""
    mend(workspace)
    (workspace / "src/tax.py").write_text("def total(net, rate):\n    return 0\n")
    (workspace / "junit.xml").write_text('<testsuite><testcase name="a"/></testsuite>')
    (workspace / "checks.json").write_text("{}")
    (workspace / ".gitattributes").write_text("* export-ignore filter=x\n")


def test_what_the_result_brings_along_is_no_evidence(repository, confinement):
    verified = Verified(repository, confinement, change=forge)
    checks = verified.verify()

    (result,) = checks.results
    assert (result.result.exit_code, result.result.counts.failed, result.result.source) == (1, 1, "pytest")
    assert verified.judge(checks).judged == "failed"


def test_a_bundle_with_another_commit_is_a_fault(repository, confinement):
    verified = Verified(repository, confinement)
    other = repository.make_result(lambda root: (root / "other.txt").write_text("x"), verified.path("other.bundle"))
    verified.leave(tip_sha=other)
    verified.tip = other
    checks = verified.verify()

    assert "The bundle holds the commit" in checks.results[0].result.fault
    assert checks.results[0].base.exit_code == 1
    assert verified.judge(checks).judged == "fault"


def test_a_base_that_the_checkout_lacks_is_a_fault(repository, confinement):
    verified = Verified(repository, confinement)
    repository.checkout = repository.folder / "another"
    repository.checkout.mkdir()
    run_git(repository.checkout, "init", "--quiet")
    checks = verified.verify()

    assert judge_run(checks.results[0].base) == judge_run(checks.results[0].result) == "could-not-run"
    assert verified.judge(checks).judged == "fault"
