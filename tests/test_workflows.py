"""Workflows and templates: pinned, least permissions, nothing of a caller in a script, and no dangerous combination."""

import re
from pathlib import Path

import pytest
import yaml

from coven_action.core.endpoint.relaying import OUTBOX_NAMES

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = sorted((ROOT / "workflows-templates").glob("*.yml"))
WORKFLOWS = [*sorted((ROOT / ".github/workflows").glob("*.yml")), *TEMPLATES]
# Read from the actions' own repositories; no other action is used.
PINS = {
    "actions/checkout": ("3d3c42e5aac5ba805825da76410c181273ba90b1", "v7.0.1"),
    "actions/setup-python": ("5fda3b95a4ea91299a34e894583c3862153e4b97", "v7.0.0"),
    "actions/upload-artifact": ("bbbca2ddaa5d8feaa63e36b76fdaad77386f024f", "v7.0.0"),
    "actions/download-artifact": ("3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c", "v8.0.1"),
    # Our own, until the release workflow writes the released commit.
    "OpenCoven/coven-action": ("0" * 40, "set at release"),
}


def read(path):
    return yaml.safe_load(path.read_text())


def runs_agent(job):
    """Whether a job of a template runs the stage in which a familiar works."""
    ours = [step.get("with", {}) for step in job["steps"] if step.get("uses", "").startswith("OpenCoven/")]
    return any(given.get("stage", "all") in ("all", "run") for given in ours)


def uses_of(text):
    return re.findall(r"^ +(?:- )?uses: (\S+)(?: # (.+))?$", text, re.MULTILINE)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_one_of_the_pinned_ones(path):
    for reference, comment in uses_of(path.read_text()):
        if reference != "./":
            name, _, sha = reference.partition("@")
            assert (sha, comment) == PINS[name]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_nothing_is_granted_to_all_jobs(path):
    assert read(path)["permissions"] == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_grant_says_why(path):
    grants = re.findall(r"^ +([a-z-]+): (?:read|write)( # \S.*)?$", path.read_text(), re.MULTILINE)
    assert all(reason for _, reason in grants)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_job_ends_by_itself(path):
    assert all("timeout-minutes" in job for job in read(path)["jobs"].values())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_checkout_leaves_a_credential_behind(path):
    for job in read(path)["jobs"].values():
        for step in job["steps"]:
            if str(step.get("uses", "")).startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_script_holds_an_expression(path):
    for job in read(path)["jobs"].values():
        assert all("${{" not in step.get("run", "") for step in job["steps"])


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_never_runs_the_agent_where_an_identity_token_can_be_had(path):
    for job in read(path)["jobs"].values():
        if runs_agent(job):
            assert "id-token" not in job["permissions"]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_never_answers_the_events_that_run_a_strangers_code_with_secrets(path):
    events = read(path)[True]  # YAML 1.1 reads the key `on` as a boolean
    assert not {"pull_request", "pull_request_target", "workflow_run"} & set(events)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_writes_no_cache(path):
    workflow = read(path)
    assert workflow["cache-mode"] == "none"
    assert "actions/cache" not in path.read_text()


def test_the_artifact_of_the_quickstart_holds_only_what_was_redacted():
    (upload,) = (
        step
        for step in read(ROOT / "workflows-templates/quickstart.yml")["jobs"]["familiar"]["steps"]
        if "upload-artifact" in step.get("uses", "")
    )
    names = {line.split("/*/", 1)[1] for line in upload["with"]["path"].splitlines() if line.startswith("${{")}
    assert names == {"evidence.json", "changes.patch", "agent.log", "proposed-memory/**"}


ISOLATED = read(ROOT / "workflows-templates/isolated.yml")


def find_steps(job, action):
    return [step for step in ISOLATED["jobs"][job]["steps"] if step["uses"].partition("@")[0] == action]


def test_where_the_familiar_works_nothing_may_be_written_and_nothing_proved():
    assert ISOLATED["jobs"]["run"]["permissions"] == {"contents": "read"}
    assert [job for job in ISOLATED["jobs"] if runs_agent(ISOLATED["jobs"][job])] == ["run"]


def test_the_model_key_is_in_no_other_job():
    assert [job for job, written in ISOLATED["jobs"].items() if "secrets." in str(written)] == ["run"]
    assert ISOLATED["jobs"]["run"]["environment"]["name"] == "coven"


def test_every_digest_travels_as_an_output_of_the_job_that_wrote_the_document():
    given = {job: find_steps(job, "OpenCoven/coven-action")[0]["with"] for job in ISOLATED["jobs"]}

    for job in ("run", "publish"):
        assert given[job]["plan-sha256"] == "${{ needs.plan.outputs.plan-sha256 }}"
    assert given["publish"]["outcome-sha256"] == "${{ needs.run.outputs.outcome-sha256 }}"
    assert ISOLATED["jobs"]["plan"]["outputs"]["plan-sha256"] == "${{ steps.coven.outputs.plan-sha256 }}"
    assert ISOLATED["jobs"]["run"]["outputs"]["outcome-sha256"] == "${{ steps.coven.outputs.outcome-sha256 }}"


def test_what_a_job_downloads_lies_in_a_folder_of_its_stage_where_no_stage_works():
    downloads = {
        step["with"]["path"]: step["with"]["name"]
        for job in ISOLATED["jobs"]
        for step in find_steps(job, "actions/download-artifact")
    }

    assert downloads == {
        "${{ runner.temp }}/coven-received/plan": "${{ needs.plan.outputs.artifact }}",
        "${{ runner.temp }}/coven-received/run": "coven-run-${{ github.run_attempt }}",
        "${{ runner.temp }}/coven-received/verify": "coven-verify-${{ github.run_attempt }}",
    }


def test_no_two_artifacts_of_a_run_have_one_name_and_each_names_the_attempt():
    names = [step["with"]["name"] for job in ISOLATED["jobs"] for step in find_steps(job, "actions/upload-artifact")]

    assert len(names) == len(set(names)) == 6
    assert all(name.endswith("-${{ github.run_attempt }}") for name in names)
    assert OUTBOX_NAMES[0] == "coven-outbox-${{ github.run_attempt }}".replace("${{ github.run_attempt }}", "1")
    assert "coven-outbox-${{ github.run_attempt }}" in names


def test_publish_tells_how_it_ended_whatever_became_of_the_run():
    publish = ISOLATED["jobs"]["publish"]

    assert publish["if"].startswith("always() && ")
    assert find_steps("publish", "OpenCoven/coven-action")[0]["if"] == "always()"


def test_what_publish_uploads_has_been_through_the_redactor():
    """A job that failed before it looked at what the run left uploads none of that."""
    evidence, outbox = find_steps("publish", "actions/upload-artifact")

    names = {line.rpartition("/coven/")[2] for line in evidence["with"]["path"].split("\n") if line}
    assert names == {"evidence.json", "changes.patch", "proposed-memory/**"}
    assert evidence["if"] == "always() && steps.coven.outputs.conclusion != ''"
    assert outbox["with"]["path"].endswith("/coven/outbox/")
