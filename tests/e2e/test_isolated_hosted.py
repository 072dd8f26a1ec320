"""Separate jobs with a real endpoint in a process of its own, on a private repository, with the local GitHub's ID tokens."""

import json

import pytest

from coven_action.cli.demo_parties import DemoEndpoint
from tests.e2e.isolated_runner import IsolatedRunner
from tests.e2e.separate_jobs import Jobs
from tests.e2e.test_isolated import CHECKED, look_at_what_the_stages_could_see
from tests.e2e.workflow_runner import find_act
from tests.scenario import CONFIGURATION, PATCH, Scene

OUTBOX = "coven-outbox-1"


@pytest.fixture
def endpoint(github, tmp_path):
    """An endpoint that knows acme/billing and is not started yet."""
    github.repository.private = True
    found = DemoEndpoint(tmp_path, github.issuer.url, 0)
    found.enrol(github.repository)
    yield found
    found.stop()


@pytest.fixture
def scene(github, tmp_path, endpoint):
    return Scene(github, tmp_path, configuration=f"{CONFIGURATION}hosted: {{url: '{endpoint.url}'}}\n")


def list_runs(endpoint):
    with endpoint.connect() as client:
        return {run.run_id: run for run in client.list_runs().runs}


def list_events(endpoint, run_id):
    with endpoint.connect() as client:
        return [(event.seq, event.type) for event in client.list_events(limit=200).events if event.run_id == run_id]


def read_evidence(jobs):
    return json.loads((jobs.documents("publish") / "evidence.json").read_bytes())


@pytest.mark.slow
def test_four_jobs_report_a_run_and_those_of_the_familiar_cannot_ask_for_an_id_token(scene, endpoint, tmp_path):
    find_act()
    scene.commit({".github/coven.yml": f"{CHECKED}hosted: {{url: '{endpoint.url}'}}\n"})
    endpoint.start()
    runner = IsolatedRunner(scene, tmp_path / "runner")

    done = runner.run(scene.label(scene.open_issue(body=PATCH)), run_id=7)

    assert done.exit_code == 0, done.log
    (known,) = list_runs(endpoint).values()
    assert (known.run_id, known.state) == (7, "review")
    assert known.links["pull_request"].endswith(f"/pull/{done.outputs['pull-request-number']}")
    assert OUTBOX not in runner.artifacts()
    look_at_what_the_stages_could_see(runner, scene.github.token)


def run_again(scene, run_id):
    """Let another run finish, and return the requests it made."""
    before = len(scene.github.requests)
    assert Jobs(scene, scene.label(scene.open_issue()), run_id=run_id).finish() == 0
    return scene.github.requests[before:]


@pytest.mark.slow
def test_what_a_run_could_not_say_a_later_one_says_once(scene, endpoint):
    silent = Jobs(scene, scene.label(scene.open_issue()), run_id=501)
    assert silent.finish() == 0
    assert read_evidence(silent)["history"]["state"] == "unreachable"
    kept = scene.world.add_artifact(scene.repository, silent.run, OUTBOX, silent.pack_outbox())
    download = f"GET /repos/acme/billing/actions/artifacts/{kept.id}/zip"

    endpoint.start()
    assert download in run_again(scene, 502)
    runs = list_runs(endpoint)
    assert {number: run.state for number, run in runs.items()} == {501: "review", 502: "review"}
    assert runs[501].links["pull_request"] == read_evidence(silent)["pull_request_url"]
    events = list_events(endpoint, 501)
    assert events

    assert json.loads(scene.git("show", "refs/coven/witness:head.json"))["relayed"] == [kept.id]
    # What the runs remember for one another is lost: then the keys of the envelopes keep everything from being done twice.
    scene.git("update-ref", "-d", "refs/coven/witness")
    assert download in run_again(scene, 503)
    assert list_events(endpoint, 501) == events
    assert {number: run for number, run in list_runs(endpoint).items() if number < 503} == runs
