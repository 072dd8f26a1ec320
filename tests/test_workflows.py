"""Workflows and templates: pinned, least permissions, nothing of a caller in a script, and no dangerous combination."""

import re
from pathlib import Path

import pytest
import yaml

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
