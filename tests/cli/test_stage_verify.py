"""`stage verify` as a process of its own, as a workflow starts it."""

import shutil
from pathlib import Path

import pytest

from coven_action.cli.stage import start_stage
from coven_action.core.checks.document import parse_checks
from coven_action.core.stage_environment import FOLDER, MODEL_KEY, OUTCOME_SHA256, PLAN_SHA256, RECEIVED, STAGE, TOKEN
from tests.checked_repository import SYSTEM_PATH, check, open_confinement, open_repository
from tests.core.samples import TASK
from tests.scenario import CONFIGURATION, Scene, build_patch, read_outputs
from tests.stages.test_verify import Verified

# It prints the variables of every process that it can see.
LOOK = check("cat /proc/[0-9]*/environ | tr '\\0' '\\n'; test -f src/tax.py")


@pytest.fixture(scope="module", autouse=True)
def level():
    """What this machine reaches; skipped where it has no sandbox."""
    with open_confinement() as confinement:
        return confinement.prove().level


@pytest.fixture
def verified(level):
    with open_repository() as repository:
        yield Verified(repository, checks=(LOOK,), isolation_demanded=level)


@pytest.fixture
def environment(verified):
    """The variables of a job that holds secrets."""
    folder = verified.repository.folder
    for name in ("output", "summary"):
        (folder / name).touch()
    return {
        "PATH": SYSTEM_PATH,
        "HOME": str(folder / "home"),
        "GITHUB_API_URL": "https://api.github.example",
        "GITHUB_EVENT_NAME": TASK.event_name,
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_REPOSITORY": "acme/billing",
        "GITHUB_REPOSITORY_ID": str(TASK.repository_id),
        "GITHUB_RUN_ATTEMPT": str(TASK.run_attempt),
        "GITHUB_RUN_ID": str(TASK.run_id),
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        "GITHUB_WORKSPACE": str(verified.repository.checkout),
        "RUNNER_ENVIRONMENT": "github-hosted",
        "RUNNER_TEMP": str(folder),
        TOKEN: "ghs_of-the-job",
        MODEL_KEY: "key-of-the-model",
    }


def start(verified, environment, folder: Path, **additions) -> int:
    given = {FOLDER: str(folder), PLAN_SHA256: verified.plan_sha256, OUTCOME_SHA256: verified.outcome_sha256}
    return start_stage("verify", environment, {**given, **additions})


def test_the_stage_runs_the_checks_and_hands_over_their_digest(verified, environment, level):
    folder = verified.folder.folder

    assert start(verified, environment, folder) == 0

    data = (folder / "checks.json").read_bytes()
    checks = parse_checks(data)
    (result,) = checks.results
    assert (result.base.exit_code, result.result.exit_code) == (0, 0)
    assert (checks.isolation.reached, checks.observed_on) == (level, "same_runner")
    assert verified.judge(checks).judged == "passed"
    assert list(read_outputs(Path(environment["GITHUB_OUTPUT"]).read_text())) == ["checks-sha256"]
    assert "ghs_of-the-job" not in data.decode()
    assert "key-of-the-model" not in data.decode()
    assert sorted(path.name for path in folder.iterdir()) == [
        "changes.bundle", "checks.json", "git", "outcome.json", "plan.json", "sandbox"
    ]  # fmt: skip
    assert list((folder / "sandbox").iterdir()) == []


def test_in_a_job_of_its_own_it_takes_over_what_the_others_have_left(verified, environment):
    received, folder = verified.repository.folder / "received", verified.repository.folder / "own"
    for stage, names in {"plan": ("plan.json",), "run": ("outcome.json", "changes.bundle", "checks.json")}.items():
        (received / stage).mkdir(parents=True)
        for name in names:
            if name != "checks.json":
                shutil.copyfile(verified.path(name), received / stage / name)
    # Nobody but this stage writes it.
    (received / "run/checks.json").write_text("forged")

    assert start(verified, environment, folder, **{RECEIVED: str(received), STAGE: "verify"}) == 0
    assert parse_checks((folder / "checks.json").read_bytes()).observed_on == "separate_runner"


def test_without_digests_it_fails_and_says_so(verified, environment, capfd):
    assert start_stage("verify", environment, {FOLDER: str(verified.folder.folder)}) == 1

    assert "digest-missing" in capfd.readouterr().err
    assert not verified.path("checks.json").exists()


# What the patch makes of the file -> how the task concludes, and what people read of the check.
CHANGES = {
    "mended": (
        "def total(net, rate):\n    return round(net * (1 + rate))\n",
        ("success", "rounds base failed (exit 1) → now clean"),
    ),
    "not mended": ("def total(net, rate):\n    return 0\n", ("failure", "rounds failed (exit 1)")),
}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(*CHANGES["mended"], id="mended"),
        pytest.param(*CHANGES["not mended"], id="not mended", marks=pytest.mark.slow),
    ],
)
def test_what_the_checks_say_is_what_the_task_concludes(github, tmp_path, level, after, expected):
    checks = "verify:\n  - {name: rounds, run: grep -q round src/tax.py}\n"
    scene = Scene(github, tmp_path, configuration=CONFIGURATION + checks)
    scene.commit({"src/tax.py": "def total(net, rate):\n    return net\n"})
    body = build_patch(before="def total(net, rate):\n    return net\n", after=after)
    run = scene.start(scene.label(scene.open_issue(body=body)), isolation=level)

    assert run.finish_as_processes() == 0
    (row,) = run.evidence.checks.rows
    assert (run.evidence.conclusion, row.text) == expected
    assert run.evidence.checks.sha256 == run.digest("checks.json") == run.outputs["checks-sha256"]
