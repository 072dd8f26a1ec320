"""The repository's checks as we run them: what they get, what is seen of them, and what is left of them."""

import os
import time
from dataclasses import replace

import pytest

from coven_action.adapters.sandbox.confinement import ProvedConfinement
from coven_action.core.checks.conclusion import judge_run
from coven_action.core.checks.output import MAX_OUTPUT
from coven_action.core.checks.results import MAX_LINE
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.sandbox.backends import BACKENDS
from coven_action.core.sandbox.probes import Attempt
from coven_action.errors import EnvironmentFault, RuntimeFault
from coven_action.stages import checking
from coven_action.stages.checking import VARIABLES, build_fault_run, run_checks
from tests.checked_repository import (
    PROPER_END,
    SECRET,
    SYSTEM_PATH,
    Heard,
    Scripted,
    build_ports,
    check,
    open_confinement,
    open_repository,
)
from tests.processes import end_processes_that_name
from tests.sandboxes import get_sandbox, missing, open_base

REPORT = '<testsuite><testcase name="a"/><testcase name="b"><failure message="no"/></testcase></testsuite>'


@pytest.fixture(scope="module")
def confinement():
    with open_confinement() as proved:
        yield proved


@pytest.fixture
def repository():
    with open_repository() as made:
        yield made


@pytest.fixture
def tree(repository):
    return repository.prepare()


def run(tree, confinement, *commands, **options):
    ports = options.pop("ports", None) or build_ports(confinement)
    return run_checks(commands, tree, place="the base", ports=ports, **options).runs


# --- what a check is given


def test_a_check_runs_in_the_tree_and_its_exit_code_is_what_was_observed(tree, confinement):
    passed, failed = run(tree, confinement, check("pwd; cat src/tax.py"), check("echo no >&2; exit 3", "lint"))

    assert (passed.exit_code, judge_run(passed)) == (0, "passed")
    assert passed.tail == f"{tree.root}\ndef total(net, rate):\n    return net"
    assert (failed.exit_code, failed.tail, judge_run(failed)) == (3, "no", "failed")
    assert failed.output_bytes == 3
    assert failed.duration_seconds > 0


def test_a_check_sees_the_listed_variables_and_nothing_of_the_job(tree, confinement):
    (seen,) = run(tree, confinement, check("env -0 | tr '\\0' '\\n'"))

    given = dict(line.partition("=")[::2] for line in seen.tail.splitlines())
    home = tree.root.parent / "home"
    expected = {**VARIABLES, "HOME": str(home), "PATH": SYSTEM_PATH, "PWD": str(tree.root)}
    # Where the sandbox has no /tmp of its own, it says where to write instead.
    assert {**given, "TMPDIR": "/tmp"} == expected
    assert SECRET not in seen.tail


def test_checks_share_a_home_that_was_empty_and_lies_beside_the_tree(tree, confinement):
    first, second = run(
        tree, confinement, check('ls -A "$HOME"; echo kept >"$HOME/cache"'), check('cat "$HOME/cache"; git status -s')
    )

    assert (first.tail, first.exit_code) == ("", 0)
    assert (second.tail, second.exit_code) == ("kept", 0)


def test_a_check_may_write_where_temporary_files_belong(tree, confinement):
    (seen,) = run(tree, confinement, check('echo x >"$(mktemp)" && echo y >file && mkdir -p a/b && echo fine'))

    assert seen.tail == "fine"


def test_only_a_check_whose_entry_asks_for_the_network_shares_it(tree):
    scripted = Scripted()

    run(tree, scripted, check("true"), check("true", "audit", network=True))

    assert [request.network for request in scripted.requests] == [False, True]
    assert not any(request.gateway for request in scripted.requests)


def test_what_held_the_bounds_is_told(tree, confinement):
    checked = run_checks([check("true")], tree, place="the base", ports=build_ports(confinement))

    assert checked.limited_by
    assert run_checks([], tree, place="the base", ports=build_ports(confinement)).limited_by == ""


def test_each_check_is_told_in_the_log(tree, confinement):
    job = Heard()
    run(tree, confinement, check("echo '1 failed, 3 passed in 0.2s'; exit 1"), ports=build_ports(confinement, job=job))

    (said,) = job.log
    assert said.startswith("tests on the base: 1 failed, 3 passed (")
    assert said.endswith(" s)")


# It uses git, a temporary folder and its home, as checks do.
ORDINARY = 'git status --short && git log --oneline && touch kept "$(mktemp)" "$HOME/kept" && git add kept && echo fine'


@pytest.mark.parametrize("backend", BACKENDS)
def test_checks_work_in_every_sandbox_one_after_another(tree, monkeypatch, backend):
    if backend == "root-bubblewrap" and os.geteuid() != 0:
        missing("only root can do without a user namespace", needs_root=True)
    sandbox, level = get_sandbox(backend), "none" if backend == "none" else "partial"
    proved = (sandbox, (Attempt(backend=backend, level=level),))
    monkeypatch.setattr("coven_action.adapters.sandbox.confinement.find_sandbox", lambda *_: proved)
    with open_base() as base:
        confinement = ProvedConfinement(base / "sandbox", {"PATH": SYSTEM_PATH})
        first, second = run(tree, confinement, check(ORDINARY), check('ls kept "$HOME/kept"'))

    assert (first.exit_code, first.tail.split("\n")[-1], first.fault) == (0, "fine", "")
    assert (second.exit_code, second.fault) == (0, "")


# --- what is read of it


def test_the_reports_that_a_check_has_written_are_counted(tree, confinement):
    (seen,) = run(tree, confinement, check(f"mkdir -p build/test-results && echo '{REPORT}' >build/test-results/a.xml"))

    assert seen.source == "junit"
    assert (seen.counts.passed, seen.counts.failed) == (1, 1)
    assert [failure.message for failure in seen.failures] == ["no"]


def test_a_report_that_was_there_before_is_not_counted(repository, confinement):
    repository.base = repository.commit({"junit.xml": REPORT})
    tree = repository.prepare()

    planted, written, later = run(
        tree, confinement, check("true"), check(f"echo '{REPORT}' >TEST-a.xml"), check("true")
    )

    assert planted.counts is None
    assert written.counts is not None
    assert later.counts is None


def test_a_link_in_the_place_of_a_report_is_not_followed(repository, tree, confinement):
    outside = repository.folder / "outside.xml"
    outside.write_text(REPORT)
    os.utime(outside, (time.time() + 60, time.time() + 60))

    (seen,) = run(tree, confinement, check(f"ln -s {outside} junit.xml; mkdir r; ln -s {outside.parent} reports"))

    assert (seen.exit_code, seen.counts) == (0, None)


def test_why_a_report_was_left_aside_is_told(tree, confinement):
    job = Heard()
    run(tree, confinement, check("echo no >junit.xml"), ports=build_ports(confinement, job=job))

    assert "; a report was left aside: it is not XML" in job.log[0]


def test_a_secret_is_covered_in_everything_that_is_kept(tree, confinement):
    text = REPORT.replace("no", SECRET)
    job = Heard()
    failing = check(f"echo '{SECRET}'; echo 'E   {SECRET}'; echo '{text}' >junit.xml; exit 1", SECRET)
    (seen,) = run(tree, confinement, failing, ports=build_ports(confinement, SECRET, job=job))

    assert seen.failures
    assert SECRET not in seen.model_dump_json()
    assert SECRET not in "".join(job.log)


def test_only_the_end_of_a_long_output_is_kept(tree):
    line = b"x" * 999 + b"\n"
    output = b"first\n" + line * (MAX_OUTPUT // 1000 + 10) + b"2 passed in 1s\n"
    (seen,) = run(tree, Scripted(output=output), check("true"))

    assert seen.counts.passed == 2
    assert "first" not in seen.tail


# --- hostile checks


def test_a_daemon_does_not_outlive_its_check(repository, tree, confinement):
    mark = repository.folder / "daemon"
    # The shell carries the mark on its command line; it has a session of its own.
    script = f"setsid sh -c 'sleep 600; : {mark}' >/dev/null 2>&1 &"

    (seen,) = run(tree, confinement, check(script))

    assert seen.exit_code == 0
    assert end_processes_that_name(mark) == 0


def test_a_flood_ends_its_check(tree, confinement, monkeypatch):
    monkeypatch.setattr(checking, "MOST_OUTPUT", 1024 * 1024)

    (seen,) = run(tree, confinement, check("yes"))

    assert seen.fault == "it was ended for printing more than 1 MiB"
    assert judge_run(seen) == "could-not-run"


def test_a_check_that_takes_too_long_is_ended(tree, confinement):
    late, next_one = run(tree, confinement, check("echo begun; exec sleep 60", seconds=1), check("echo next"))

    assert (late.timed_out, late.tail, judge_run(late)) == (True, "begun", "could-not-run")
    assert next_one.tail == "next"


@pytest.mark.parametrize(
    "deed",
    [
        "rm -rf .git src",
        "git config core.fsmonitor 'touch /nonexistent/ran' && mkdir -p .git/hooks && echo 'exit 9' >.git/hooks/post-checkout",
        "chmod 000 .git src",
        "cd .. && rm -rf tree",
        "cd .. && mv tree moved && ln -s / tree",
        "cd .. && rm -rf home && ln -s /etc home",
        "mkfifo junit.xml && mkdir TEST-a.xml",
        "i=0; while [ $i -lt 60 ]; do mkdir d && cd d && i=$((i+1)); done; echo >junit.xml",
        "ulimit -n 20; touch $(seq -f 'junit-%g.xml' 1 300)",
    ],
)
def test_whatever_a_check_does_to_its_tree_stays_there(repository, tree, confinement, deed):
    first, second = run(tree, confinement, check(deed), check("echo next"))

    assert first.counts is None
    assert second.counts is None
    repository.trees.destroy(tree.root.parent)
    assert not tree.root.parent.exists()
    assert (repository.checkout / "README.md").read_text() == "Billing.\n"


def test_a_check_reaches_nothing_that_is_ours(repository, tree, confinement):
    ours = repository.folder / "documents"
    ours.mkdir()
    (ours / "checks.json").write_text("ours")
    targets = f"{ours}/checks.json ../../../documents/checks.json {repository.checkout}/README.md"
    forge = f"for file in {targets}; do echo forged >$file; done"
    look = f"ls {repository.folder} ../.. | grep -v verify; cat {ours}/checks.json; kill -9 $PPID"

    (seen,) = run(tree, confinement, check(f"{forge}; {look}; exit 0"))

    assert (ours / "checks.json").read_text() == "ours"
    assert (repository.checkout / "README.md").read_text() == "Billing.\n"
    assert "changes.bundle" not in seen.tail
    assert seen.tail.count("ours") == 0


# Exit code and script -> how it is judged. What the sandbox itself would say is never a success.
IMITATIONS = {
    "the sandbox's refusal": ("echo 'sandbox: user: no' >&2; exit 125", "could-not-run"),
    "bubblewrap's refusal": ("echo 'bwrap: no' >&2; exit 1", "could-not-run"),
    "an exit code of its own": ("exit 125", "failed"),
    "a refusal that is only quoted": ("echo begun; echo 'sandbox: no'; exit 125", "failed"),
    "a refusal without failure": ("echo 'sandbox: no'; exit 0", "passed"),
}


@pytest.mark.parametrize(("script", "judged"), IMITATIONS.values(), ids=IMITATIONS)
def test_a_refusal_of_the_sandbox_is_no_failure_of_the_check(tree, confinement, script, judged):
    (seen,) = run(tree, confinement, check(script))

    assert judge_run(seen) == judged


# --- what could not be run, or was ended by us

ENDS = {
    "memory": (PROPER_END, "memory", "it was ended for using more memory than a check may"),
    "processes": (PROPER_END, "processes", "it was ended for starting more processes than a check may"),
    "workspace": (PROPER_END, "workspace", "it was ended for writing more to the disk than a check may"),
    "an unknown bound": (PROPER_END, "patience", "it was ended for using more than a check may"),
    "flood": (replace(PROPER_END, output_flooded=True), "", "it was ended for printing more than 256 MiB"),
    "survivors": (replace(PROPER_END, survivors=True), "", "some of its processes could not be ended"),
    "unseen": (replace(PROPER_END, supervised=False), "", "nobody saw how it ended"),
}


@pytest.mark.parametrize(("end", "exceeded", "fault"), ENDS.values(), ids=ENDS)
def test_what_was_ended_by_us_has_not_passed_whatever_its_exit_code(tree, end, exceeded, fault):
    (seen,) = run(tree, Scripted(end=end, exceeded=exceeded, output=b"3 passed in 1s\n"), check("true"))

    assert (seen.exit_code, seen.fault, judge_run(seen)) == (0, fault, "could-not-run")
    assert seen.tail == "3 passed in 1s"


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (
            RuntimeFault("runtime-not-started", "The supervisor could not be started."),
            "The supervisor could not be started",
        ),
        (EnvironmentFault("io-failed", f"No file {SECRET}."), "No file [redacted: registered secret]"),
        (OSError(28, "No space left on device"), "A file could not be read or written: No space left on device"),
    ],
)
def test_a_check_that_could_not_be_started_is_a_fault_and_the_next_is_tried(tree, error, fault):
    scripted = Scripted(end=error)
    first, second = run(tree, scripted, check("true"), check("true"), ports=build_ports(scripted, SECRET))

    assert first.fault == fault
    assert judge_run(first) == judge_run(second) == "could-not-run"
    assert len(scripted.requests) == 2


def test_a_bug_is_not_taken_for_a_fault(tree):
    with pytest.raises(ZeroDivisionError):
        run(tree, Scripted(end=ZeroDivisionError()), check("true"))


def test_a_fault_has_its_bounds():
    assert len(build_fault_run("x" * 1000, Redactor.build(())).fault) == MAX_LINE


# --- the time of a whole run


def test_without_time_no_check_is_started(tree):
    scripted = Scripted()
    (seen,) = run(tree, scripted, check("true"), seconds_left=lambda: 0.0)

    assert (seen.fault, scripted.requests) == ("no time was left for it", [])


def test_what_is_left_of_the_time_bounds_a_check(tree, confinement):
    (seen,) = run(tree, confinement, check("exec sleep 60"), seconds_left=lambda: 0.3)

    assert seen.timed_out
    assert seen.fault == "it was ended because the time of the whole run was up"


def test_a_check_is_ended_when_it_may_not_go_on(tree, confinement):
    started = []

    def keep_going() -> bool:
        started.append(len(started))
        return len(started) < 2

    first, second = run(tree, confinement, check("exec sleep 60"), check("true"), keep_going=keep_going)

    assert first.fault == "it was ended because the time of the whole run was up"
    assert not first.timed_out
    assert second.fault == "no time was left for it"
