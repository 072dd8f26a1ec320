"""What people see of the observed checks is short, and it is what was judged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.checks.conclusion import judge_checks
from coven_action.core.checks.observed import (
    MAX_CLAIMS,
    MAX_COMMAND,
    build_observed,
    shorten_line,
    shorten_observed,
)
from coven_action.core.checks.results import MAX_LINE
from coven_action.core.documents import ObservedChecks
from tests.core.checks.test_conclusion import (
    BASE,
    FAILED,
    ISOLATION,
    PASSED,
    TASK,
    TIP,
    build,
    claim,
    command,
    result,
    run,
)
from tests.fuzzing import examples

DIGEST = "d" * 64


def observe(*results, claims=()) -> ObservedChecks:
    checks, commands = build(*results), [command(each.name, f"make {each.name}") for each in results]
    judgement = judge_checks(checks, commands, task=TASK, base_sha=BASE, tip_sha=TIP)
    return build_observed(checks, judgement, sha256=DIGEST, claims=claims, commands=commands)


def test_the_evidence_holds_what_was_judged_and_what_is_claimed():
    observed = observe(
        result(PASSED, name="lint"), result(FAILED, name="test"), claims=[claim("passed"), claim("passed", "ls")]
    )

    assert (observed.sha256, observed.observed_on, observed.isolation) == (DIGEST, "separate_runner", ISOLATION)
    assert [row.name for row in observed.rows] == ["test", "lint"]
    assert [(row.command, row.agrees) for row in observed.claimed] == [("make test", False), ("ls", None)]


def test_so_many_claims_are_shown_and_no_more():
    assert len(observe(result(PASSED, name="test"), claims=[claim("passed")] * 50).claimed) == MAX_CLAIMS


def test_long_lines_are_shortened_with_a_sign():
    long = observe(
        result(run(1, tail="x" * 9000), name="test"), claims=[claim("passed", "y" * 9000), claim("passed", "ls")]
    )
    short = shorten_observed(long)

    assert short.rows[0].failing == ("x" * (MAX_LINE - 1) + "…",)
    assert [row.command for row in short.claimed] == ["y" * (MAX_COMMAND - 1) + "…", "ls"]
    assert short.rows[0].model_copy(update={"failing": long.rows[0].failing}) == long.rows[0]


@pytest.mark.parametrize(("text", "shown"), [("", ""), ("abc", "abc"), ("abcd", "ab…")])
def test_a_line_that_fits_stays_whole(text, shown):
    assert shorten_line(text, 3) == shown


@given(st.text(max_size=50), st.integers(1, 60))
@examples(100)
def test_a_shortened_line_fits_and_begins_as_it_did(text, limit):
    shown = shorten_line(text, limit)

    assert len(shown) <= limit
    assert text.startswith(shown.removesuffix("…")) or shown == text
