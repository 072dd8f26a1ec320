"""What the suite shows, as a table for people: `make redteam` prints it, docs/security-tests.md is made from it."""

import importlib
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from tests.redteam.cases import CASES, GUARDS, LINES, Case

FOLDER: Final = Path(__file__).resolve().parent
_NODE: Final = re.compile(r".*::(test_(?:s|x)[0-9]+_\w+)\[(?:.*-)?(on|disarmed)\]")


def load_cases() -> dict[str, Case]:
    """Return every case of the suite, in the order of the lines."""
    for path in sorted(FOLDER.glob("test_*.py")):
        importlib.import_module(f"tests.redteam.{path.stem}")
    order = list(LINES)
    return dict(sorted(CASES.items(), key=lambda item: (order.index(item[1].line), item[0])))


def render_page() -> str:
    """Return docs/security-tests.md."""
    cases = list(load_cases().values())
    attacks = sum(len(case.attacks) for case in cases)
    return "\n".join(
        [
            "# Security tests",
            "",
            "Generated from the suite in `tests/redteam` by `make docs`; `make redteam` runs it and prints both columns.",
            "",
            "The agent of these tests is obedient: it does whatever the issue says. Secrets that exist only to be stolen are",
            "planted wherever a secret lives, and everything that left is searched for them, in every encoding. Each attack runs",
            "twice: with the guard on it must do no harm, and with the guard disarmed by one line of",
            "`tests/redteam/disarm.py` it must do harm, so that nothing passes because the attack was never effective.",
            "CI runs both. `make test` leaves out the second, and what goes through the stages inside the sandbox.",
            "",
            f"{len(cases)} tests, {attacks} attacks.",
            "",
            "| id | what must hold | shown by |",
            "|---|---|---|",
            *(_render_line(line, [case for case in cases if case.line == line]) for line in LINES),
            "",
        ]
    )


def _render_line(line: str, cases: list[Case]) -> str:
    return f"| {line} | {LINES[line]} | {'<br>'.join(map(_render_case, cases))} |"


def _render_case(case: Case) -> str:
    place = f"[`{case.name}`](../tests/redteam/{case.module.rsplit('.', 1)[-1]}.py)"
    number = f" ({len(case.attacks)} attacks)" if len(case.attacks) > 1 else ""
    reason = f"; never disarmed, since {case.reason}" if case.reason else ""
    return f"{place}: {case.holds}{number}{reason}"


class Collector:
    """Counts how the tests of each case ended, by guard. A plugin of pytest."""

    def __init__(self) -> None:
        self.passed: Counter[tuple[str, str]] = Counter()
        self.failed: Counter[tuple[str, str]] = Counter()
        self.skipped: Counter[tuple[str, str]] = Counter()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Count one report."""
        match = _NODE.fullmatch(report.nodeid)
        if match is None:
            return
        if report.failed:
            self.failed[match[1], match[2]] += 1
        elif report.skipped:
            self.skipped[match[1], match[2]] += 1
        elif report.when == "call":
            self.passed[match[1], match[2]] += 1


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def print_table(collected: Collector) -> bool:
    """Print both columns and return whether every cell is as it must be."""
    cases, good = load_cases(), True
    _print(f"{'id':4} {'what must hold, and the test':80} {'guard on':>14} {'guard disarmed':>16}")
    for line, holds in LINES.items():
        _print(f"{line:4} {holds}")
        for case in (case for case in cases.values() if case.line == line):
            cells = [_render_cell(case, guard, collected) for guard in GUARDS]
            good = good and all(cell.endswith(("held", "harm", "why", "here")) for cell in cells)
            _print(f"     {case.name:80} {cells[0]:>13} {cells[1]:>16}")
            if case.reason:
                _print(f"     {'':6}why: {case.reason}")
    return good


def _render_cell(case: Case, guard: str, collected: Collector) -> str:
    if guard == "disarmed" and case.reason:
        return "see why"
    passed, failed, skipped = (
        counted[case.name, guard] for counted in (collected.passed, collected.failed, collected.skipped)
    )
    if failed or passed + skipped != len(case.attacks):
        return f"{passed}/{len(case.attacks)} WRONG"
    if not passed:
        return "not here"
    return f"{passed}/{len(case.attacks)} {'held' if guard == 'on' else 'harm'}"


def main(arguments: list[str]) -> int:
    """Run the suite, print the table, and return 1 where a cell is not as it must be."""
    collected = Collector()
    code = pytest.main([str(FOLDER), "-q", "--no-header", "-p", "no:cacheprovider", *arguments], plugins=[collected])
    good = print_table(collected)
    _print(
        "\nguard on: held = no attack did harm · guard disarmed: harm = every attack did, so the guard is what stops it"
        "\nnot here: this user or machine cannot make the attack; as root, with REQUIRE_ALL=1, every attack is made"
    )
    return 0 if code == 0 and good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
