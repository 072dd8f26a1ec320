"""The stages as processes: what each sees of the environment, how they hand on digests, and how they end."""

import json
import os
import sys

import pytest

from coven_action.adapters.git.checking import GitCheckTrees
from coven_action.adapters.git.program import Git
from coven_action.cli import stage
from coven_action.core.contract.coven_code import PLACEHOLDER_KEY
from coven_action.core.records import sha256_hex
from coven_action.core.stage_environment import (
    CHECKS_SHA256,
    FOLDER,
    ISOLATION,
    MODEL_KEY,
    OUTCOME_SHA256,
    PLAN_SHA256,
    RECEIVED,
    STAGE,
    TOKEN,
)
from coven_action.core.trust.context import parse_job_context
from coven_action.errors import EnvironmentFault, EventError
from tests.checked_repository import check
from tests.cli.jobs import JOB
from tests.core.samples import build_plan, build_work
from tests.scenario import CONFIGURATION, Scene

WORK = build_work(checks=(check("true"),))


@pytest.fixture
def scene(github, tmp_path):
    return Scene(github, tmp_path)


def test_all_stages_as_processes_publish_and_a_re_run_adds_nothing(scene):
    issue = scene.open_issue()
    event = scene.label(issue)
    first = scene.start(event, run_id=7)
    assert first.finish_as_processes() == 0
    counts = scene.counts(issue)
    assert counts == {"comments": 1, "pull requests": 1, "checks": 1, "commits": 1}
    assert first.outputs["pull-request-number"] == "2"

    again = scene.start(event, run_id=7, attempt=2)
    assert again.finish_as_processes() == 0
    assert scene.counts(issue) == counts
    assert again.outputs["head-sha"] == first.outputs["head-sha"]


def test_a_declined_event_ends_politely(scene):
    issue = scene.open_issue()
    run = scene.start(scene.comment(issue, "just a remark"))

    assert run.finish_as_processes() == 0
    assert run.outputs["decision"] == "decline"
    assert run.requests["all"] == []


def test_a_personal_token_is_refused_before_any_request(scene):
    token = scene.world.add_personal_token("maintainer")
    run = scene.start(scene.label(scene.open_issue()), token=token)

    assert run.finish_as_processes() == 1
    assert run.requests["all"] == []
    assert not (run.documents / "plan.json").exists()


def test_the_program_of_the_run_stage_sees_no_secret(scene):
    """Every environment and command line that a real program in the stage's real sandbox can read."""
    look = (
        "for process in /proc/[0-9]*; do tr '\\000' '\\n' < $process/environ; tr '\\000' '\\n' < $process/cmdline; done"
        " 2>/dev/null > seen; echo agent >> seen"
    )
    command = json.dumps(["/bin/sh", "-c", look])
    familiar = f"cody: {{runtime: {{command: {command}}}, model: anthropic/claude-sonnet-4-6}}"
    scene.commit({".github/coven.yml": f"version: 1\nfamiliars: {{{familiar}}}\n"})
    key = "sk-ant-" + "0" * 40
    run = scene.start(scene.label(scene.open_issue()), isolation="none", model_key=key)
    folder = {FOLDER: str(run.documents)}
    assert stage.start_stage("plan", run.environment, folder) == 0
    run._clone()
    vouched = {**folder, PLAN_SHA256: run.digest("plan.json")}
    stage.start_stage("run", run.environment, vouched, "--checkout", str(run.checkout))

    trees, tip = GitCheckTrees(Git(scene.folder / "git", os.environ["PATH"])), run.outcome.tip_sha
    place = {"bundle": run.documents / "changes.bundle", "default_branch": "main"}
    seen = (trees.prepare(run.checkout, scene.folder / "taken", tip, **place).root / "seen").read_bytes()
    assert b"agent" in seen
    assert PLACEHOLDER_KEY.encode() in seen
    for secret in (scene.github.token, "GITHUB_EVENT_PATH"):
        assert secret.encode() not in seen
    if run.outcome.isolation.reached == "enforced":
        assert key.encode() not in seen
        assert b"coven_action" not in seen
    assert run.outcome.gateway.requests == 0


def test_each_stage_is_a_process_with_only_its_own_variables(monkeypatch, tmp_path):
    starts = []

    def record(argv, *, env, stdout, check):
        starts.append((argv, env))
        name = argv[argv.index("stage") + 1]
        if name == "plan":
            work = {"a": 1}
            (tmp_path / "plan.json").write_text(json.dumps(work))
        elif name == "run":
            (tmp_path / "outcome.json").write_text("{}")
        elif name == "verify":
            (tmp_path / "checks.json").write_text("[]")

        class Done:
            returncode = 0

        return Done()

    monkeypatch.setattr(stage.subprocess, "run", record)
    monkeypatch.setattr(stage, "parse_plan", lambda _: build_plan(decision="proceed", refusal=None, work=WORK))
    environment = {
        **JOB,
        STAGE: "verify",
        TOKEN: "ghs_x",
        MODEL_KEY: "key",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "oidc",
        "PATH": "/usr/bin",
    }

    assert stage.run_stages(environment, tmp_path, checkout=tmp_path) == 0

    plan, run, verify, publish = (env for _, env in starts)
    assert TOKEN in plan
    assert TOKEN in publish
    assert TOKEN not in run
    assert MODEL_KEY in run
    assert MODEL_KEY not in plan
    assert MODEL_KEY not in publish
    assert PLAN_SHA256 not in plan
    assert PLAN_SHA256 in run
    assert PLAN_SHA256 in publish
    assert OUTCOME_SHA256 in publish
    assert OUTCOME_SHA256 not in run
    assert not {TOKEN, MODEL_KEY, CHECKS_SHA256} & set(verify)
    assert verify[OUTCOME_SHA256] == publish[OUTCOME_SHA256] == sha256_hex(b"{}")
    # Whatever the surroundings say: the machine is the one on which the agent has worked.
    assert verify[STAGE] == "all"
    assert publish[CHECKS_SHA256] == sha256_hex(b"[]")
    for argv, env in starts:
        assert "ACTIONS_ID_TOKEN_REQUEST_TOKEN" not in env
        assert argv[:2] == (sys.executable, "-I")
        assert not {"ghs_x", "key"} & set(argv)


# What comes of `verify` -> whether a digest of checks is handed over.
VERIFICATIONS = {
    "checks": (0, True, True),
    "nothing to check": (0, False, False),
    "a refused document": (1, True, False),
    "a bug": (3, True, False),
    "killed": (-9, True, False),
}


@pytest.mark.parametrize(("code", "writes", "vouched"), VERIFICATIONS.values(), ids=VERIFICATIONS)
def test_only_a_verification_that_ended_well_vouches_for_its_checks(monkeypatch, tmp_path, code, writes, vouched):
    given = {}

    def start(name, _environment, additions, *_):
        given[name] = additions
        written = {"plan": "plan.json", "run": "outcome.json", "verify": "checks.json" if writes else "", "publish": ""}
        if written[name]:
            (tmp_path / written[name]).write_text("{}")
        return code if name == "verify" else 0

    monkeypatch.setattr(stage, "start_stage", start)
    monkeypatch.setattr(stage, "parse_plan", lambda _: build_plan(decision="proceed", refusal=None, work=WORK))

    assert stage.run_stages(JOB, tmp_path, checkout=None) == 0
    assert (CHECKS_SHA256 in given["publish"]) is vouched


@pytest.mark.parametrize(
    ("work", "left", "started"),
    [
        (WORK, "outcome.json", ["plan", "run", "verify", "publish"]),
        (WORK, "", ["plan", "run", "publish"]),
        (build_work(), "outcome.json", ["plan", "run", "publish"]),
    ],
    ids=["checks", "no outcome", "no checks"],
)
def test_checks_are_started_where_there_are_some_and_a_result_to_run_them_on(
    monkeypatch, tmp_path, work, left, started
):
    seen = []

    def start(name, *_):
        seen.append(name)
        written = {"plan": "plan.json", "run": left}.get(name)
        if written:
            (tmp_path / written).write_text("{}")
        return 0

    monkeypatch.setattr(stage, "start_stage", start)
    monkeypatch.setattr(stage, "parse_plan", lambda _: build_plan(decision="proceed", refusal=None, work=work))

    assert stage.run_stages(JOB, tmp_path, checkout=None) == 0
    assert seen == started


@pytest.mark.parametrize(
    ("environment", "separate"),
    [
        ({STAGE: "verify", RECEIVED: "/received", "RUNNER_ENVIRONMENT": "github-hosted"}, True),
        # A step beside that of `run`: it takes nothing over.
        ({STAGE: "verify", "RUNNER_ENVIRONMENT": "github-hosted"}, False),
        ({STAGE: "verify", RECEIVED: "", "RUNNER_ENVIRONMENT": "github-hosted"}, False),
        ({STAGE: "verify", RECEIVED: "/received", "RUNNER_ENVIRONMENT": "self-hosted"}, False),
        ({STAGE: "verify", RECEIVED: "/received"}, False),
        ({STAGE: "all", RECEIVED: "/received", "RUNNER_ENVIRONMENT": "github-hosted"}, False),
        ({"RUNNER_ENVIRONMENT": "github-hosted"}, False),
    ],
)
def test_another_runner_is_one_that_was_made_for_the_checks_alone(environment, separate):
    assert stage.is_separate_runner(environment) is separate


def test_a_plan_that_fails_starts_nothing_else(monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr(stage, "start_stage", lambda name, *_: started.append(name) or 1)

    assert stage.run_stages(JOB, tmp_path, checkout=None) == 1
    assert started == ["plan"]


@pytest.mark.slow
def test_a_run_that_leaves_nothing_is_still_told_by_publish(scene, monkeypatch):
    run = scene.start(scene.label(scene.open_issue()))
    start = stage.start_stage
    monkeypatch.setattr(stage, "start_stage", lambda name, *rest: 3 if name == "run" else start(name, *rest))

    assert run.finish_as_processes() == 1
    assert run.evidence.fault.code == "missing-document"
    assert "failed in `run`" in scene.comments(scene.repository.issues[1])[0].body


@pytest.mark.slow
def test_a_run_that_was_killed_after_its_outcome_vouches_for_nothing(scene, monkeypatch):
    """What lies there may have been written by anybody since: no digest is handed over, and nothing is published."""
    run = scene.start(scene.label(scene.open_issue()))
    start = stage.start_stage

    def kill_run(name, *rest):
        code = start(name, *rest)
        return -9 if name == "run" else code

    monkeypatch.setattr(stage, "start_stage", kill_run)

    assert run.finish_as_processes() == 1
    assert (run.evidence.fault.stage, run.evidence.fault.code) == ("run", "digest-missing")
    assert scene.branches() == {}
    assert "failed in `run`" in scene.comments(scene.repository.issues[1])[0].body


# --- the small readers


@pytest.mark.parametrize("prefix", ["ghp_", "github_pat_", "gho_", "ghu_"])
def test_a_persons_own_credential_is_refused_and_not_shown(prefix):
    with pytest.raises(EnvironmentFault) as caught:
        stage.get_token({TOKEN: f"{prefix}abcdefgh"})
    assert caught.value.code == "personal-token"
    assert prefix in caught.value.message
    assert "abcdefgh" not in caught.value.message


def test_the_jobs_own_token_is_taken_and_an_empty_one_named():
    assert stage.get_token({TOKEN: "ghs_x"}) == "ghs_x"
    for environment in ({}, {TOKEN: ""}):
        with pytest.raises(EnvironmentFault) as caught:
            stage.get_token(environment)
        assert TOKEN in caught.value.message


def test_the_folder_is_the_one_named_else_one_of_this_attempt(tmp_path):
    context = parse_job_context(JOB)

    assert stage.find_folder({FOLDER: str(tmp_path / "x")}, context) == tmp_path / "x"
    found = stage.find_folder({"RUNNER_TEMP": str(tmp_path)}, context)
    assert found == tmp_path / "coven-action/7-1"
    with pytest.raises(EnvironmentFault):
        stage.find_folder({}, context)


@pytest.mark.parametrize("level", ["enforced", "partial", "none"])
def test_an_isolation_is_one_of_three(level):
    assert stage._demanded_isolation({ISOLATION: level}) == level


@pytest.mark.parametrize("level", ["None", "full", "enforced "])
def test_another_isolation_is_refused(level):
    with pytest.raises(EnvironmentFault):
        stage._demanded_isolation({ISOLATION: level})


def test_without_a_word_isolation_is_enforced():
    assert stage._demanded_isolation({}) == stage._demanded_isolation({ISOLATION: ""}) == "enforced"


EVENTS = {
    "no JSON": b"{",
    "deep nesting": b"[" * 100_000,
    "no UTF-8": b"\xff",
}


@pytest.mark.parametrize("data", EVENTS.values(), ids=EVENTS)
def test_a_payload_that_cannot_be_read_is_an_error(tmp_path, data):
    path = tmp_path / "event.json"
    path.write_bytes(data)

    with pytest.raises(EventError) as caught:
        stage._load_event({"GITHUB_EVENT_PATH": str(path)})
    assert caught.value.code == "malformed-event"


def test_a_payload_that_is_missing_or_too_large_is_an_error(tmp_path):
    path = tmp_path / "event.json"
    with pytest.raises(EventError):
        stage._load_event({"GITHUB_EVENT_PATH": str(path)})
    with path.open("wb") as stream:
        stream.truncate(stage.MAXIMUM_EVENT_BYTES + 1)
    with pytest.raises(EventError):
        stage._load_event({"GITHUB_EVENT_PATH": str(path)})
    with pytest.raises(EnvironmentFault):
        stage._load_event({})


def test_a_missing_variable_of_the_job_exits_1_and_is_named():
    for name in JOB:
        environment = {key: value for key, value in JOB.items() if key != name}
        with pytest.raises(EnvironmentFault) as caught:
            parse_job_context(environment)
        assert name in caught.value.message
    assert stage.start_stage("plan", {"PATH": os.environ["PATH"]}, {}) == 1


def test_the_configuration_of_the_tests_is_valid():
    from coven_action.core.configuration.parsing import parse_config

    assert list(parse_config(CONFIGURATION, path="x").familiars) == ["cody"]
