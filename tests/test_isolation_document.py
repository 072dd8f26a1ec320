"""The page about isolation names every probe and way of confining, and shows what the program prints."""

import re
from pathlib import Path

import pytest

from coven_action.core.isolation import LEVELS
from coven_action.core.sandbox.backends import BACKENDS
from coven_action.core.sandbox.probes import PROBES

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/isolation.md").read_text()
CONSOLE = "".join(re.findall(r"(?ms)^```console\n(.*?)^```$", PAGE))


def test_the_table_names_every_probe_once_and_says_what_it_costs():
    table = PAGE.partition("| probe | tries to |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.*) \| .* \| `(\w+)` \|$", table, re.MULTILINE)
    named = {name: level for names, level in rows for name in re.findall(r"`([a-z0-9-]+)`", names)}

    leaves = {"partial": "none", "enforced": "partial"}
    assert named == {probe.name: leaves[probe.needed_for] for probe in PROBES}
    assert sum(names.count("`") for names, _ in rows) == 2 * len(PROBES)


def test_every_way_of_confining_stands_there_in_the_order_it_is_tried():
    table = PAGE.partition("| way | needs |")[2].partition("\n\n")[0]

    assert re.findall(r"^\| `([a-z-]+)`", table, re.MULTILINE) == list(BACKENDS)


def test_what_is_shown_is_what_the_program_prints():
    tries = {probe.name: probe.tries for probe in PROBES}
    lines = re.findall(r"^  (held|escaped) +([a-z0-9-]+) +(.+)$", CONSOLE, re.MULTILINE)

    assert len(lines) >= 5
    for outcome, name, said in lines:
        assert said == tries[name] if outcome == "held" else said.startswith(f"{tries[name]}: ")
    assert f"All {len(PROBES)} lines say `held`" in PAGE
    for level in ("enforced", "partial"):
        assert f"isolation {level} by " in CONSOLE
    headings = re.findall(r"^([a-z-]+): (\w+) \((.+)\)$", CONSOLE, re.MULTILINE)
    assert len(headings) == 4
    assert all(BACKENDS[name] == meaning and level in LEVELS for name, level, meaning in headings)


@pytest.mark.parametrize(
    "runner",
    ["GitHub-hosted", "virtual machine of yours", "container, as Docker starts it", "Actions Runner Controller"],
)
def test_every_kind_of_runner_has_its_row_and_says_how_it_is_known(runner):
    matrix = PAGE.partition("| runner | `enforced` | `partial` | `none` | how it is known |")[2].partition("\n\n")[0]
    (row,) = (row for row in matrix.splitlines() if row.startswith(f"| {runner}"))
    *_, known, _ = row.split("|")

    assert re.search("simulated|tested|tried by hand", known)


def test_hosted_runners_are_called_simulated():
    (row,) = (line for line in PAGE.splitlines() if line.startswith("| GitHub-hosted Ubuntu"))

    assert "simulated until run on GitHub" in row
