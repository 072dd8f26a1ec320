"""What each output in `tests/data/checks` says: written down by hand, from what was done to make each program print it."""

from dataclasses import dataclass
from pathlib import Path

from coven_action.core.checks.results import CheckResult, CheckRun, Counts, Source
from coven_action.core.checks.summaries import read_summary

FOLDER = Path(__file__).parent.parent.parent / "data" / "checks"


@dataclass(frozen=True, slots=True)
class Expected:
    """The first failure of an output, and its counts in the order passed, failed, skipped, errors."""

    source: Source
    counts: tuple[int, int, int, int] | None
    test: str
    place: str
    assertion: str


EXPECTED = {
    "cargo": Expected("cargo", (1, 2, 1, 0), "tests::rounds_up", "src/lib.rs:18", "assertion `left == right` failed: rounding"),
    "cargo-build": Expected("generic", None, "", "src/lib.rs:3", "error[E0277]: cannot add `&str` to `i64`"),
    "cargo-old": Expected(
        "cargo", (1, 1, 0, 0), "tests::rounds_up", "src/lib.rs:18", "assertion failed: total(&[333], 7) == 357"
    ),
    "gcc": Expected("generic", None, "", "a.c:1", "error: ‘x’ undeclared (first use in this function)"),  # noqa: RUF001 - gcc's quotes
    "go-build": Expected("go", None, "example.com/billing/tax [build failed]", "tax/tax.go:6", "declared and not used: line"),
    "go-build-json": Expected(
        "go", (0, 0, 0, 1), "example.com/billing/tax [build failed]", "tax/tax.go:6", "declared and not used: line"
    ),
    "go-json": Expected(
        "go",
        (3, 3, 1, 0),
        "example.com/billing/rates.TestRate",
        "/home/runner/work/billing/billing/rates/rates_test.go:5",
        "panic: runtime error: index out of range [2] with length 2 [recovered, repanicked]",
    ),
    "go-plain": Expected(
        "go",
        None,
        "TestRate",
        "/home/runner/work/billing/billing/rates/rates_test.go:5",
        "panic: runtime error: index out of range [2] with length 2 [recovered, repanicked]",
    ),
    "go-verbose": Expected(
        "go",
        (3, 3, 1, 0),
        "TestRate",
        "/home/runner/work/billing/billing/rates/rates_test.go:5",
        "panic: runtime error: index out of range [2] with length 2 [recovered, repanicked]",
    ),
    "jest": Expected(
        "jest",
        (9, 2, 2, 0),
        "total \u203a rounds up",
        "src/tax.test.js:10",
        "expect(received).toBe(expected) // Object.is equality",
    ),
    "lint": Expected(
        "generic",
        None,
        "",
        "bad.py:3",
        'error: Incompatible types in assignment (expression has type "str", variable has type "int")  [assignment]',
    ),
    "pytest": Expected(
        "pytest", (1, 3, 1, 1), "test_books", "test_tax.py:20", "ConnectionError: no ledger at localhost:5432"
    ),
    "pytest-collect": Expected(
        "pytest", (0, 0, 0, 1), "test_broken.py", "test_broken.py:1", "ModuleNotFoundError: No module named 'nothing_here'"
    ),
    "pytest-q": Expected(
        "pytest", (1, 3, 1, 1), "test_books", "test_tax.py:20", "ConnectionError: no ledger at localhost:5432"
    ),
    "tap": Expected("tap", (2, 1, 2, 0), "up", "/home/runner/work/billing/billing/tax.test.mjs:7", "356 == 357"),
    "tap-perl": Expected("tap", (1, 1, 1, 0), "rounds up", "t.t:3", "got: '356'"),
    "traceback": Expected(
        "generic", None, "", "/home/runner/work/billing/billing/scripts/check.py:22", "AssertionError"
    ),
    "tsc": Expected("generic", None, "", "src/tax.ts:5", "error TS2322: Type 'string' is not assignable to type 'number'."),
    "unittest": Expected(
        "unittest",
        (1, 1, 2, 1),
        "test_books (test_unit.TestTax.test_books)",
        "/home/runner/work/billing/billing/test_unit.py:14",
        "ConnectionError: no ledger",
    ),
    "vitest": Expected(
        "vitest",
        (7, 1, 1, 0),
        "src/tax.test.ts > total > rounds up",
        "src/tax.test.ts:12",
        "AssertionError: expected 356 to be 357 // Object.is equality",
    ),
}  # fmt: skip
# An output that names no place and no assertion: only its end can be shown.
TAIL_ONLY = "make"


def read_output(name: str) -> bytes:
    return (FOLDER / f"{name}.txt").read_bytes()


def observe(output: bytes, *reports: bytes, exit_code: int = 1) -> CheckRun:
    """Return a run with this output, as the stage will build it."""
    summary = read_summary(output, reports, redact=str)
    return CheckRun(
        exit_code=exit_code,
        duration_seconds=1.5,
        output_bytes=len(output),
        counts=summary.counts,
        source=summary.source,
        tail=summary.tail,
        failures=summary.failures,
    )


def check(output: bytes, name: str = "tests") -> CheckResult:
    return CheckResult(name=name, result=observe(output))


def counts(passed: int = 0, failed: int = 0, skipped: int = 0, errors: int = 0) -> Counts:
    return Counts(passed=passed, failed=failed, skipped=skipped, errors=errors)
