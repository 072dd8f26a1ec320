"""The suite itself: every line has its test, every test its way to be disarmed, and the instruments work."""

import json
import subprocess
import sys

import pytest

from tests.redteam.canaries import Canary, find_escapes, make_random
from tests.redteam.cases import LINES
from tests.redteam.disarm import DISARM
from tests.redteam.obedient_agent import ENCODINGS, RESULT, STEPS, write_steps
from tests.redteam.report import load_cases
from tests.redteam.siege import AGENT


def test_every_line_has_a_test():
    assert {case.line for case in load_cases().values()} == set(LINES)


def test_every_line_of_the_list_is_there():
    assert [line for line in LINES if line.startswith("S")] == [f"S{number}" for number in range(1, 35)]


def test_every_case_says_how_it_is_disarmed_or_why_not():
    assert set(DISARM) == set(load_cases())
    assert all(DISARM.values()), "an empty row disarms nothing"


@pytest.mark.parametrize("how", ENCODINGS)
def test_the_decoder_finds_a_canary_in_every_encoding(how):
    canary = Canary("x", f"zk{make_random(46)}")
    left = {"text": f"some words {ENCODINGS[how](canary.value)} and more".encode()}
    assert find_escapes(left, {"x": canary}) == ["x in text"]
    assert find_escapes({"text": b"some words and more"}, {"x": canary}) == []


def test_the_agent_is_a_runtime_of_the_contract(tmp_path):
    text = write_steps({"do": "write", "path": "a.txt", "text": "x"}, {"do": "say", "text": "hello"})
    (tmp_path / "brief.json").write_text(json.dumps({"task": {"issue_body": text}}))
    argv = [
        sys.executable,
        "-S",
        str(AGENT),
        "--headless",
        "--context",
        "brief.json",
        "--output",
        str(tmp_path / "result.json"),
    ]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, check=True)
    assert (done.stdout, (tmp_path / "a.txt").read_text()) == (b"hello\n", "x")
    assert json.loads((tmp_path / "result.json").read_text()) == RESULT
    assert len(STEPS) > 15
