"""Which sandboxes are tried, and what is made of an answer that is none."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from coven_action.adapters.runtime_process import run_process
from coven_action.adapters.sandbox import proving
from coven_action.adapters.sandbox.machine import find_machine
from coven_action.adapters.sandbox.proving import parse_results, prove, try_sandboxes
from coven_action.adapters.sandbox.sandbox import Sandbox
from coven_action.core.contract.process_report import ProcessReport
from coven_action.core.sandbox.probes import PROBE_NAMES, Attempt
from coven_action.errors import RuntimeFault
from tests.core.sandbox.requests import MACHINE
from tests.sandboxes import close_programs, get_sandbox, open_base, weaken


@pytest.fixture
def levels(monkeypatch):
    """Say which (backend, program) reaches which level; sudo is asked where that is noted."""
    reached, asked = {}, []

    def prove_as_said(sandbox, *_):
        return Attempt(
            backend=sandbox.backend,
            program=sandbox.program,
            level=reached.get((sandbox.backend, sandbox.program), reached.get(sandbox.backend, "none")),
        )

    def find_sudo():
        asked.append("sudo")
        return reached.get("sudo")

    monkeypatch.setattr(proving, "prove", prove_as_said)
    monkeypatch.setattr(proving, "find_sudo", find_sudo)
    return reached, asked


def try_machine(base, **lacking):
    sandbox, attempts = try_sandboxes(replace(MACHINE, **lacking), run_process, base, {})
    return (sandbox.backend, sandbox.program) if sandbox else None, [(a.backend, a.program, a.level) for a in attempts]


FIRST, SECOND = MACHINE.bubblewrap


def test_the_first_that_holds_everything_is_taken_and_nothing_else_is_tried(levels, tmp_path):
    levels[0]["bubblewrap"] = "enforced"

    assert try_machine(tmp_path, sudo=None) == (("bubblewrap", FIRST), [("bubblewrap", FIRST, "enforced")])
    assert levels[1] == []


def test_another_bubblewrap_is_tried_before_sudo_is_asked(levels, tmp_path):
    levels[0]["bubblewrap", SECOND] = "enforced"

    assert try_machine(tmp_path, sudo=None) == (
        ("bubblewrap", SECOND),
        [("bubblewrap", FIRST, "none"), ("bubblewrap", SECOND, "enforced")],
    )
    assert levels[1] == []


def test_sudo_is_asked_where_nothing_else_holds(levels, tmp_path):
    levels[0].update({"sudo": ("sudo", "-n", "--"), "root-bubblewrap": "enforced"})

    chosen, tried = try_machine(tmp_path, sudo=None)

    assert chosen == ("root-bubblewrap", FIRST)
    assert [backend for backend, *_ in tried] == ["bubblewrap", "bubblewrap", "root-bubblewrap"]
    assert levels[1] == ["sudo"]


def test_without_sudo_the_reason_is_told_and_landlock_is_tried(levels, tmp_path):
    levels[0]["landlock"] = "partial"

    sandbox, attempts = try_sandboxes(replace(MACHINE, sudo=None), run_process, tmp_path, {})

    assert sandbox.backend == "landlock"
    assert [(a.backend, a.reason) for a in attempts][2:] == [
        ("root-bubblewrap", "neither root nor `sudo -n`"),
        ("landlock", ""),
    ]


def test_where_nothing_holds_nothing_is_taken(levels, tmp_path):
    chosen, tried = try_machine(tmp_path)

    assert chosen is None
    assert {level for *_, level in tried} == {"none"}


def test_sudo_is_not_asked_for_a_bubblewrap_that_is_not_there(levels, tmp_path):
    chosen, tried = try_machine(tmp_path, bubblewrap=(), sudo=None, landlock=0)

    assert (chosen, len(tried)) == (None, 3)
    assert levels[1] == []


# --- answers that are none


class Answering:
    """A runner whose program says what it is told to say."""

    def __init__(self, stdout=b"", *, code=0, survivors=False, raises=None):
        self.stdout, self.code, self.survivors, self.raises = stdout, code, survivors, raises

    def __call__(self, argv, *, environment, cwd, limits, write, within_bounds):
        if self.raises:
            raise self.raises
        write(self.stdout)
        return ProcessReport(
            exit_code=self.code, signal=None, duration_seconds=0.1, cpu_seconds=0.1, timed_out=False,
            output_flooded=False, output_bytes=len(self.stdout), output_truncated=False, stdout_tail=self.stdout,
            killed_orphans=0, survivors=self.survivors, supervised=True, note="",
        )  # fmt: skip


@pytest.fixture
def sandbox():
    here = replace(MACHINE, uid=os.geteuid(), gid=os.getegid(), programs=find_machine().programs)
    return Sandbox("bubblewrap", here, "bwrap")


def say(*outcomes):
    return json.dumps([{"probe": name, "outcome": outcome, "detail": ""} for name, outcome in outcomes]).encode()


ALL_HELD = say(*((name, "held") for name in PROBE_NAMES))


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"bwrap: No permissions",
        b"{}",
        b"[1]",
        b"null",
        b'[{"probe": "udp"}]',
        say(("udp", "surely")),
        ALL_HELD[:-1],
    ],
)
def test_what_cannot_be_read_proves_nothing(sandbox, tmp_path, said):
    attempt = prove(sandbox, Answering(said, code=1), tmp_path, {})

    assert (attempt.level, attempt.results) == ("none", ())
    assert attempt.reason.startswith("it ended with 1 and said: ")


@pytest.mark.parametrize("fault", [RuntimeFault("runtime-not-installed", "no shell"), PermissionError("no")])
def test_what_cannot_be_started_proves_nothing(sandbox, tmp_path, fault):
    attempt = prove(sandbox, Answering(raises=fault), tmp_path, {})

    assert (attempt.level, attempt.results) == ("none", ())
    assert attempt.reason


def test_a_survivor_denies_the_level_whatever_the_probe_said(sandbox, tmp_path):
    assert prove(sandbox, Answering(ALL_HELD), tmp_path, {}).level == "enforced"
    assert prove(sandbox, Answering(ALL_HELD, survivors=True), tmp_path, {}).level == "none"


def wait_until_gone(paths):
    deadline = time.monotonic() + 30
    while any(path.exists() for path in paths):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_nothing_that_was_laid_out_is_left(sandbox, tmp_path):
    shared = set(Path("/dev/shm").glob("coven-bait-*"))

    prove(sandbox, Answering(ALL_HELD), tmp_path, {})

    assert list(tmp_path.iterdir()) == []
    # Others may prove a sandbox of theirs at the same time: what is new has to be gone again, not at once.
    assert wait_until_gone(set(Path("/dev/shm").glob("coven-bait-*")) - shared)


def test_half_an_answer_is_completed_as_not_tried():
    results = parse_results(say(("udp", "held")))

    assert [result.probe for result in results] == ["udp"]
    assert parse_results(b"\xff") is None


def test_neither_a_closed_installation_nor_a_narrow_umask_changes_what_is_proved():
    with open_base() as base:
        sandbox = get_sandbox("landlock")
        expected = prove(sandbox, run_process, base, {})
        before = os.umask(0o077)
        try:
            attempt = prove(close_programs(sandbox, base), run_process, base, {})
        finally:
            os.umask(before)

    assert expected.results
    assert list_outcomes(attempt) == list_outcomes(expected)


def list_outcomes(attempt):
    return attempt.level, [(result.probe, result.outcome) for result in attempt.results]


def test_a_daemon_that_could_not_be_left_counts_as_an_escape():
    with open_base() as base:
        sandbox = weaken(get_sandbox("bubblewrap"), _lock_first)
        attempt = prove(sandbox, run_process, base, {})

    survival = next(result for result in attempt.results if result.probe == "survival")
    assert (survival.outcome, attempt.level) == ("not tried", "none")


def _lock_first(launch, request):
    """Put a folder where the daemon's lock would be."""
    (Path(request.folder) / "daemon.lock").mkdir(exist_ok=True)
    return launch
