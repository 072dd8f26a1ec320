import pytest

from coven_action.core.isolation import LEVELS, IsolationAllowed, IsolationRefused, check_level, decide_isolation
from coven_action.error_codes import CODES


@pytest.mark.parametrize("demanded", LEVELS)
@pytest.mark.parametrize("reached", LEVELS)
@pytest.mark.parametrize("runtime", ["coven-code", "command"])
def test_a_runtime_starts_exactly_when_the_level_demanded_is_reached(demanded, reached, runtime):
    decision = decide_isolation(demanded, reached, runtime)

    assert isinstance(decision, IsolationAllowed) == (LEVELS.index(reached) >= LEVELS.index(demanded))


@pytest.mark.parametrize("demanded", LEVELS)
@pytest.mark.parametrize("reached", LEVELS)
def test_patch_runs_at_any_level_and_the_evidence_says_which(demanded, reached):
    decision = decide_isolation(demanded, reached, "patch")

    assert isinstance(decision, IsolationAllowed)
    assert decision.level == reached
    assert "no model key" in decision.note


def test_a_higher_demand_is_refused_with_the_lines_to_change():
    decision = decide_isolation("enforced", "none", "coven-code")

    assert isinstance(decision, IsolationRefused)
    assert decision.code == "isolation-not-reached"
    assert decision.code in CODES
    assert "enforced" in decision.reason
    assert "with: {isolation: none}" in decision.remedy


def test_without_isolation_the_evidence_says_that_the_key_could_be_read():
    decision = decide_isolation("none", "none", "coven-code")

    assert isinstance(decision, IsolationAllowed)
    assert "could have read the model key" in decision.note


@pytest.mark.parametrize("reached", ["partial", "enforced"])
def test_inside_a_sandbox_the_evidence_does_not_say_so(reached):
    decision = decide_isolation("none", reached, "command")

    assert isinstance(decision, IsolationAllowed)
    assert "model key" not in decision.note


@pytest.mark.parametrize("demanded", ["", "None", "ENFORCED", "full", "none\n"])
@pytest.mark.parametrize("runtime", ["patch", "coven-code"])
def test_an_unknown_demand_starts_nothing(demanded, runtime):
    decision = decide_isolation(demanded, "enforced", runtime)

    assert isinstance(decision, IsolationRefused)
    assert decision.code == "isolation-unknown"
    assert decision.code in CODES


@pytest.mark.parametrize(("reached", "demanded"), [("total", "none"), ("enforced", "total"), ("", "")])
def test_an_unknown_level_reaches_nothing(reached, demanded):
    assert not check_level(reached, demanded)
