import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from coven_action.core.isolation import LEVELS
from coven_action.core.sandbox.probes import (
    PROBE_NAMES,
    PROBES,
    ProbeResult,
    build_attempt,
    complete_results,
    compute_level,
)

ALL_HELD = tuple(ProbeResult(probe=name, outcome="held") for name in PROBE_NAMES)


def with_outcome(name, outcome):
    return tuple(ProbeResult(probe=r.probe, outcome=outcome) if r.probe == name else r for r in ALL_HELD)


def test_the_names_are_the_public_ones():
    assert PROBE_NAMES == (
        "gateway", "file-outside", "file-modes", "home-folder", "credential-files", "environment", "descriptors", "shared-memory",
        "runner-files", "runner-folders", "start-files", "process-list", "process-environment", "process-memory",
        "process-descriptors", "process-links",
        "ptrace", "signal", "unix-socket", "sudo", "setuid", "capabilities", "user-namespace",
        "kernel-settings", "devices", "keyring", "terminal-input", "survival", "tcp-ports", "tcp-ipv4", "tcp-ipv6",
        "udp", "dns", "raw-socket", "abstract-socket", "metadata", "host-socket",
    )  # fmt: skip


def test_only_the_network_is_left_open_by_partial():
    assert [probe.name for probe in PROBES if probe.needed_for == "enforced"] == [
        "tcp-ipv4", "tcp-ipv6", "udp", "dns", "raw-socket", "abstract-socket", "metadata", "host-socket",
    ]  # fmt: skip


def test_everything_held_is_enforced():
    assert compute_level(ALL_HELD) == "enforced"


@pytest.mark.parametrize("outcome", ["escaped", "not tried"])
@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_one_escape_or_one_probe_not_tried_denies_its_level(probe, outcome):
    level = compute_level(with_outcome(probe.name, outcome))

    assert LEVELS.index(level) == LEVELS.index(probe.needed_for) - 1


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_a_probe_that_is_missing_denies_its_level(probe):
    level = compute_level(result for result in ALL_HELD if result.probe != probe.name)

    assert LEVELS.index(level) == LEVELS.index(probe.needed_for) - 1


@pytest.mark.parametrize("at", [0, len(ALL_HELD)])
def test_of_two_results_the_worse_one_counts(at):
    escaped = ProbeResult(probe="udp", outcome="escaped", detail="seen outside")
    results = (*ALL_HELD[:at], escaped, *ALL_HELD[at:])

    assert compute_level(results) == "partial"
    assert next(result for result in complete_results(results) if result.probe == "udp") == escaped


def test_no_result_at_all_is_none():
    assert compute_level(()) == "none"


def test_results_of_unknown_probes_prove_nothing():
    assert compute_level([ProbeResult(probe="wishes", outcome="held")]) == "none"
    assert compute_level([*ALL_HELD, ProbeResult(probe="wishes", outcome="escaped")]) == "enforced"


def test_an_unknown_outcome_is_no_result():
    with pytest.raises(ValidationError):
        ProbeResult(probe="udp", outcome="probably fine")


@given(st.lists(st.sampled_from(PROBE_NAMES)), st.lists(st.sampled_from(["held", "escaped", "not tried"])))
def test_more_escapes_never_raise_the_level(names, outcomes):
    more = [ProbeResult(probe=name, outcome=outcome) for name, outcome in zip(names, outcomes, strict=False)]

    assert LEVELS.index(compute_level([*ALL_HELD, *more])) <= LEVELS.index(compute_level(ALL_HELD))
    assert compute_level(more) == "none" or set(names) >= set(PROBE_NAMES)


def test_an_attempt_names_every_probe_once_and_in_order():
    attempt = build_attempt("bubblewrap", "/usr/bin/bwrap", [*ALL_HELD[5:], *ALL_HELD[:4], ALL_HELD[9]])

    assert tuple(result.probe for result in attempt.results) == PROBE_NAMES
    assert attempt.results[4] == ProbeResult(probe=PROBE_NAMES[4], outcome="not tried", detail="no result came back")
    assert (attempt.backend, attempt.program, attempt.level, attempt.reason) == (
        "bubblewrap", "/usr/bin/bwrap", "none", "",
    )  # fmt: skip
