"""The template for runners of one's own: the isolated one but for where its jobs run."""

from pathlib import Path

import pytest
import yaml

from coven_action.core.configuration.parsing import parse_config
from coven_action.core.workflows.check import check_workflows
from coven_action.core.workflows.reading import read_workflow

ROOT = Path(__file__).resolve().parent.parent
ISOLATED = (ROOT / "workflows-templates/isolated.yml").read_text()
SELF_HOSTED = (ROOT / "workflows-templates/self-hosted.yml").read_text()
HOSTED, OWN = "    runs-on: ubuntu-24.04", "    runs-on: [self-hosted, coven]"
RELEASED = f"{'a' * 40} # v1.0.0"


def drop_note(text):
    """Without the comment that says what these runners must be."""
    before, _, rest = text.partition("# Runners of yours that take one job and end, ")
    _, note_end, after = rest.partition("#\n# Each stage is")
    assert note_end
    return f"{before}# Each stage is{after}"


def test_it_is_the_isolated_template_on_other_runners():
    """Whoever changes one of them changes the other: copy isolated.yml, replace `runs-on`, keep the comment."""
    assert drop_note(SELF_HOSTED).replace(OWN, HOSTED) == ISOLATED


def test_no_job_goes_to_a_runner_of_somebody_else():
    jobs = yaml.safe_load(SELF_HOSTED)["jobs"]

    assert len(jobs) == ISOLATED.count(HOSTED) > 2
    assert [job["runs-on"] for job in jobs.values()] == [["self-hosted", "coven"]] * len(jobs)


def test_the_label_is_known_to_the_linter():
    known = yaml.safe_load((ROOT / ".github/actionlint.yaml").read_text())

    assert known == {"self-hosted-runner": {"labels": ["coven"]}}


CONFIGURATIONS = {
    "patch": "version: 1\nfamiliars: {cody: {runtime: patch}}\n",
    "an endpoint": "version: 1\nfamiliars: {cody: {runtime: patch}}\nhosted: {url: https://coven.example.com}\n",
    "a model": "version: 1\nfamiliars: {cody: {model: anthropic/claude-sonnet-4-6}}\n",
}


@pytest.mark.parametrize("text", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_our_own_check_finds_what_it_finds_in_the_isolated_one(text):
    config = parse_config(text, path=".github/coven.yml")
    own, isolated = (
        check_workflows(
            [read_workflow(template.replace("0" * 40 + " # set at release", RELEASED), path="w.yml")],
            config,
            own=False,
        )
        for template in (SELF_HOSTED, ISOLATED)
    )

    assert [finding.code for finding in own] == [finding.code for finding in isolated]
