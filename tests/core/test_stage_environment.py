"""What a stage's process does not have, nobody can take from it."""

import pytest

from coven_action.core.stage_environment import MODEL_KEY, SECRETS, STAGE_VARIABLES, TOKEN, filter_environment

ID_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
# What a runner has in its environment and no stage may see.
NEVER = (
    "ACTIONS_RUNTIME_TOKEN",
    "ACTIONS_CACHE_URL",
    "GITHUB_TOKEN",
    "GITHUB_ENV",
    "GITHUB_PATH",
    "GITHUB_STATE",
    "INPUT_GITHUB-TOKEN",
    "GIT_SSH_COMMAND",
    "GIT_CONFIG_COUNT",
    "LD_PRELOAD",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "SSH_AUTH_SOCK",
    "AWS_SECRET_ACCESS_KEY",
)
EVERYTHING = {name: f"value of {name}" for names in STAGE_VARIABLES.values() for name in names} | dict.fromkeys(
    NEVER, "x"
)


@pytest.mark.parametrize(
    ("stage", "secrets"),
    [("plan", {TOKEN, ID_TOKEN}), ("run", {MODEL_KEY}), ("verify", set()), ("publish", {TOKEN, ID_TOKEN})],
)
def test_each_stage_sees_exactly_its_own_secret(stage, secrets):
    seen = filter_environment(stage, EVERYTHING)

    assert {name for name in SECRETS if name in seen} == secrets


@pytest.mark.parametrize("stage", ["run", "verify"])
def test_where_the_agents_code_runs_nobody_can_ask_for_an_id_token(stage):
    assert not [name for name in filter_environment(stage, EVERYTHING) if "ID_TOKEN" in name]


@pytest.mark.parametrize("name", ["JAVA_HOME", "GOROOT", "LD_LIBRARY_PATH", "RUNNER_TOOL_CACHE", "TZ"])
def test_the_tools_of_the_job_are_found_where_its_code_runs_and_nowhere_else(name):
    assert [stage for stage in STAGE_VARIABLES if name in STAGE_VARIABLES[stage]] == ["run", "verify"]


@pytest.mark.parametrize("stage", STAGE_VARIABLES)
def test_no_variable_is_listed_twice(stage):
    assert len(STAGE_VARIABLES[stage]) == len(set(STAGE_VARIABLES[stage]))


@pytest.mark.parametrize("stage", STAGE_VARIABLES)
def test_a_stage_sees_its_list_and_nothing_else(stage):
    seen = filter_environment(stage, EVERYTHING)

    assert seen == {name: f"value of {name}" for name in STAGE_VARIABLES[stage]}
    assert not set(NEVER) & set(seen)


@pytest.mark.parametrize("stage", STAGE_VARIABLES)
def test_what_is_not_set_stays_unset(stage):
    assert filter_environment(stage, {}) == {}
    assert filter_environment(stage, {"PATH": ""}) == {"PATH": ""}


@pytest.mark.parametrize("stage", STAGE_VARIABLES)
def test_names_are_compared_exactly(stage):
    assert filter_environment(stage, {name.lower() + "_": "x" for name in EVERYTHING}) == {}


@pytest.mark.parametrize("stage", ["", "all", "Plan", "verification"])
def test_a_stage_that_is_not_listed_sees_nothing(stage):
    with pytest.raises(KeyError):
        filter_environment(stage, EVERYTHING)


def test_the_stages_are_exactly_these():
    assert list(STAGE_VARIABLES) == ["plan", "run", "verify", "publish"]
