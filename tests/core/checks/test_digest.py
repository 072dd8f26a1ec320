"""The next attempt is told what is wrong in few bytes, always the same ones, and never without the first assertion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.checks.digest import MIN_BUDGET, USUAL_BUDGET, estimate_tokens, write_digest
from coven_action.core.checks.results import MAX_LINE, CheckResult, CheckRun, Failure
from tests.core.checks.corpus import EXPECTED, check, counts, observe, read_output
from tests.fuzzing import examples


def failed(*failures: Failure, **fields) -> CheckResult:
    given_fields = {"exit_code": 1, "duration_seconds": 1.0, "output_bytes": 0, "failures": failures}
    return CheckResult(name="tests", result=CheckRun(**(given_fields | fields)))


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("budget", [MIN_BUDGET, USUAL_BUDGET])
def test_the_digest_of_each_program_holds_its_first_assertion(name, budget):
    digest = write_digest([check(read_output(name))], budget)

    assert EXPECTED[name].assertion in digest
    assert len(digest.encode()) <= budget


def test_a_digest_reads_like_this():
    assert write_digest([check(read_output("pytest-q"))]) == (
        "tests: 3 failed, 1 error, 1 passed, 1 skipped\n"
        "- ConnectionError: no ledger at localhost:5432\n"
        "    test_books (test_tax.py:20)\n"
        "    test_tax.py:20: in ledger\n"
        "- assert 356 == 357\n"
        "    test_rounds_up[lines0-7-357] (test_tax.py:15)\n"
        "    +  where 356 = total([333], 7)\n"
        "    test_tax.py:15: in test_rounds_up\n"
        "- assert 358 == 359\n"
        "    test_rounds_up[lines1-7-359] (test_tax.py:15)\n"
        "    +  where 358 = total([335], 7)\n"
        "- RecursionError: maximum recursion depth exceeded\n"
        "    test_depth (test_tax.py:33)\n"
        "    test_tax.py:37: in test_depth\n"
        "    test_tax.py:33: in descend\n"
    )


def test_what_passed_is_not_told():
    passed = CheckResult(name="lint", result=observe(b"", exit_code=0))

    assert write_digest([passed]) == ""
    assert write_digest([passed, failed()]) == "tests: failed (exit 1)\n"


def test_the_base_is_told_beside_the_result():
    both = failed().model_copy(update={"base": observe(b"", exit_code=2)})

    assert write_digest([both]) == "tests: failed (exit 1) (base: failed (exit 2))\n"


def test_the_same_assertion_is_told_once_and_the_rest_is_counted():
    failures = (
        Failure(test="a", message="no ledger", lines=("frame", "only a")),
        Failure(test="b", file="b.py", message="no ledger", lines=("frame",)),
        Failure(message="no ledger"),
        Failure(file="c.py", line=3, message="else"),
    )

    assert write_digest([failed(*failures, counts=counts(0, 9))]) == (
        "tests: 9 failed\n- no ledger\n    a\n    frame\n    only a\n- b (b.py), the same\n- else\n    c.py:3\n- and 5 more\n"
    )


def test_an_output_without_failures_is_told_by_its_last_lines():
    digest = write_digest([check(read_output("make"))])
    long = write_digest([failed(tail="\n".join(f"{number} " + "x" * 90 for number in range(100, 250)))], MIN_BUDGET)

    assert digest.endswith("    links.sh: 2 pages point nowhere\n    make: *** [Makefile:12: links] Error 3\n")
    assert "249 x" in long
    assert long.endswith("… more was left out\n")


def test_a_small_budget_tells_every_assertion_before_any_detail():
    failures = [Failure(test=f"t{each}", message=f"m{each}", lines=("x" * 290, "y" * 290)) for each in range(10)]
    digest = write_digest([failed(*failures)], MIN_BUDGET)

    assert all(f"- m{each}\n    t{each}\n" in digest for each in range(10))
    assert digest.count("x" * 290) == 1


def test_the_first_assertion_outweighs_the_names_of_many_checks():
    first = Failure(test="t", message="m" * MAX_LINE)
    many = [failed(first).model_copy(update={"name": f"{each:02}" * 50}) for each in range(16)]

    assert f"- {first.message}\n" in write_digest(many, MIN_BUDGET)


@pytest.mark.parametrize("budget", range(MIN_BUDGET, MIN_BUDGET + 12))
def test_the_last_byte_of_a_budget_is_counted(budget):
    dense = [Failure(message=chr(0x4E00 + each)) for each in range(12)]
    digest = write_digest([failed(*dense).model_copy(update={"name": f"{each}"}) for each in range(40)], budget)

    assert budget - 40 < len(digest.encode()) <= budget


@pytest.mark.parametrize("budget", [0, -1, MIN_BUDGET - 1])
def test_a_budget_without_room_for_an_assertion_is_refused(budget):
    with pytest.raises(ValueError, match=f"needs a budget of {MIN_BUDGET} bytes, not {budget}"):
        write_digest([], budget)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_LINE)
FAILURES = st.builds(Failure, test=TEXT.map(lambda text: text[:200]), message=TEXT, lines=st.tuples(TEXT, TEXT))
RESULTS = st.builds(
    lambda name, failures, tail, fault: failed(*failures, tail=tail, fault=fault).model_copy(update={"name": name}),
    TEXT.map(lambda text: text[:100] or "x"),
    st.lists(FAILURES, max_size=4),
    TEXT,
    TEXT,
)


@examples(150)
@given(st.lists(RESULTS, max_size=4), st.integers(MIN_BUDGET, 3 * MIN_BUDGET))
def test_no_digest_is_larger_than_its_budget_or_lacks_the_first_assertion(results, budget):
    digest = write_digest(results, budget)
    first = next((result.result.failures[0] for result in results if result.result.failures), None)

    assert len(digest.encode()) <= budget
    assert first is None or f"- {first.message}\n" in digest
    assert digest == write_digest(results, budget)


@examples(80)
@given(
    st.sampled_from(sorted(EXPECTED)),
    st.lists(
        st.sampled_from(["collecting", "\x1b[2K 40 %\r 41 %", "ok", "\xff", "Downloading x (3.1 MB)"]), max_size=300
    ),
    st.sampled_from(["", "2026-03-02T09:14:07.1234567Z "]),
)
def test_a_log_around_an_output_does_not_hide_its_first_assertion(name, before, time):
    lines = [*before, *read_output(name).decode().split("\n")]
    log = "".join(f"{time}{line}\n" for line in lines)

    assert EXPECTED[name].assertion in write_digest([check(log.encode())])


@pytest.mark.parametrize(("text", "tokens"), [(b"", 0), (b"a", 1), (b"abcd", 1), (b"abcde", 2)])
def test_tokens_are_estimated_by_bytes(text, tokens):
    assert estimate_tokens(text) == tokens
