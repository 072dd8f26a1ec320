"""Whole runs with an endpoint: the stages as they are, a real local GitHub, and the real application."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import update

from coven_action.adapters.hosted_endpoint import HostedEndpoint, Patience
from coven_action.adapters.outbox import Outbox
from coven_action.core.endpoint.wire import Envelope
from coven_action.core.memory.keys import build_canonical_key, build_entry_id
from coven_action.errors import ConfigError, EnvironmentFault, GitError
from coven_action.hosted.store import schema
from coven_action.stages.history import DIVERGED
from coven_action.stages.plan import Demands
from tests.hosted.deployment import Bridge, make_token
from tests.hosted.memory_world import world
from tests.identity_tokens import AUDIENCE
from tests.scenario import MENDED, PATCH, Scene, ScriptedRuntime

__all__ = ["world"]
CONFIGURATION = f"""\
version: 1
familiars:
  cody:
    runtime: {{command: [cody]}}
memory: {{enabled: true}}
hosted: {{url: "{AUDIENCE}"%s}}
"""
PROPOSAL = {
    "key": "conventions/rounding",
    "kind": "convention",
    "text": "Amounts are whole cents.",
    "citations": [{"path": "README.md", "start": 1, "end": 1}],
    "why": "It says so.",
}


class Hosted:
    """A scene whose configuration names the application of the tests.

    Attributes:
        bridge: Set `fails` and nobody answers any more.
        waited: How long runs have waited for their thread.
        claims: What the ID tokens of runs say besides.
    """

    def __init__(self, github, folder, world, deployment, configuration=CONFIGURATION % "", more=""):
        self.scene = Scene(github, folder, configuration=configuration + more)
        self.world = world
        self.bridge = Bridge(world.client)
        self.waited = []
        self.kept = []
        self.claims = {}
        repository = self.scene.repository
        repository.private = True
        self.tenant = deployment.enrol(
            repository.owner.id, repository.owner.login, repository.id, repository.name, visibility="private"
        )
        self.admin = {**world.admin, "Coven-Tenant": str(self.tenant)}
        self.world.admin.update(self.admin)
        self.world.set_policy()

    def start(self, event, *, hand_off=None, **facts):
        """Return a run whose stages reach the application."""

        def work(workspace):
            (workspace / "src/tax.py").write_text(MENDED)
            if hand_off is not None:
                (workspace / ".coven/handoff").mkdir(parents=True, exist_ok=True)
                (workspace / ".coven/handoff/memory.jsonl").write_text(json.dumps(hand_off))

        run = self.scene.start(event, runtime=ScriptedRuntime(work), isolation="none", **facts)
        run.connect_for_plan = lambda hosted: self.connect(run, hosted.url, None)
        run.connect_for_publish = lambda planned: self.connect(run, planned.url, planned)
        return run

    def connect(self, run, url, planned):
        repository, task = self.scene.repository, run.context.task

        def request_token(audience):
            assert audience == AUDIENCE
            return make_token(
                self.world.clock(), repository_id=str(repository.id), repository=repository.full_name,
                repository_owner_id=str(repository.owner.id), repository_owner=repository.owner.login,
                run_id=str(task.run_id), run_attempt=str(task.run_attempt), event_name=task.event_name, **self.claims,
            )  # fmt: skip

        def keep(kind, key, document):
            if planned is None:
                return False
            envelope = Envelope(
                kind=kind, key=key, repository_id=task.repository_id, run_id=task.run_id,
                run_attempt=task.run_attempt, created_at=self.world.clock(), body=document.model_dump_json(),
            )  # fmt: skip
            self.kept.append(kind)
            return Outbox(run.documents / "outbox", seal_key="", public=False).add(envelope)

        return HostedEndpoint(
            url, request_token=request_token, redactor=run.redactor, keep=keep, transport=self.bridge,
            patience=Patience(sleep=self.waited.append),
        )  # fmt: skip

    def label(self):
        return self.scene.label(self.scene.open_issue())

    def runs(self):
        return self.world.client.get("/v1/runs", headers=self.admin).json()["runs"]

    def remembered(self, key="conventions/rounding"):
        return build_entry_id(build_canonical_key(self.scene.repository.id, key))

    def comment(self):
        """Return what stands on the newest issue."""
        issues = self.scene.repository.issues
        newest = max(number for number in issues if number not in self.scene.repository.pulls)
        return "\n".join(comment.body for comment in issues[newest].comments)


@pytest.fixture
def hosted(github, tmp_path, world, deployment):
    return Hosted(github, tmp_path, world, deployment)


def read_evidence(run):
    return json.loads((run.documents / "evidence.json").read_bytes())


def test_a_run_is_admitted_reported_and_in_the_history(hosted):
    run = hosted.start(hosted.label())

    assert run.finish() == 0

    (known,) = hosted.runs()
    evidence = read_evidence(run)
    assert (known["state"], known["conclusion"]) == ("review", "neutral")
    assert known["links"]["pull_request"] == evidence["pull_request_url"]
    assert evidence["history"]["number"] == known["number"]
    assert evidence["history"]["witness"]["seq"] > 0
    assert f"[history]({AUDIENCE}/runs/{known['number']})" in hosted.comment()


def test_what_a_run_proposes_is_approved_read_cited_and_taken_back(hosted):
    first = hosted.start(hosted.label(), hand_off=PROPOSAL)
    first.finish()
    assert read_evidence(first)["history"]["proposals"][0]["state"] == "pending"
    assert hosted.world.decide(hosted.remembered(), "approve").status_code == 200

    second = hosted.start(hosted.label(), hand_off={"used": hosted.remembered(), "why": "it says how"})
    second.finish()
    memory = read_evidence(second)["memory"]
    assert memory["rejected"] == []
    assert [entry["key"] for entry in memory["read"]] == ["conventions/rounding"]
    assert [entry["key"] for entry in memory["cited"]] == ["conventions/rounding"]
    assert {kind for _, kind in hosted.world.list_uses(hosted.remembered())} == {"offered", "read", "cited"}

    hosted.world.decide(hosted.remembered(), "revoke")
    third = hosted.start(hosted.label())
    third.finish()
    assert read_evidence(third)["memory"]["read"] == []


@pytest.mark.slow
@pytest.mark.parametrize(("protected", "state"), [("true", "stale"), ("false", "approved")])
def test_a_run_on_the_protected_default_branch_marks_what_no_longer_holds(hosted, deployment, protected, state):
    hosted.start(hosted.label(), hand_off=PROPOSAL).finish()
    hosted.world.decide(hosted.remembered(), "approve")
    scene, person = hosted.scene, hosted.scene.github.maintainer
    repository = scene.repository
    deployment.enrol(
        repository.owner.id,
        repository.owner.login,
        repository.id,
        repository.name,
        visibility="private",
        people=(person.id,),
    )
    scene.commit({"README.md": "Something else.\n"})
    hosted.claims = {"ref": "refs/heads/main", "ref_protected": protected, "actor_id": str(person.id)}

    run = hosted.start(scene.dispatch(scene.open_issue().number, sender=person))
    run.finish()

    assert [each["reason"] for each in read_evidence(run)["memory"]["withheld"]] == ["stale"]
    assert hosted.world.read(hosted.remembered())["state"] == state


@pytest.mark.slow
def test_a_pull_request_says_who_decides_about_what_was_proposed(hosted):
    hosted.start(hosted.label(), hand_off=PROPOSAL).finish()

    (pull_request,) = hosted.scene.pull_requests
    assert "a maintainer decides about it at the endpoint" in pull_request.issue.body
    assert not (hosted.scene.folder / "job-101-1/documents/proposed-memory").exists()


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("since", ["plan", "publish"])
def test_without_an_answer_the_job_goes_on_without_memory_and_history(hosted, since):
    run = hosted.start(hosted.label(), hand_off=PROPOSAL)
    hosted.bridge.fails = since == "plan"
    run.plan()
    hosted.bridge.fails = True
    run.work()

    assert run.publish() == 0
    evidence = read_evidence(run)
    assert (evidence["ending"], evidence["conclusion"]) == ("published", "neutral")
    assert evidence["history"]["state"] == ("unreachable" if since == "plan" else "admitted")
    assert {"events", "finish"} <= set(hosted.kept)
    assert list((run.documents / "outbox").iterdir())
    if since == "plan":
        assert evidence["memory"]["enabled"] is False
        assert "report" in hosted.kept


def test_people_are_told_that_nobody_answered(hosted):
    hosted.bridge.fails = True
    run = hosted.start(hosted.label())
    run.plan()

    assert "no memory and no history" in hosted.comment()


def test_a_job_that_may_not_ask_for_id_tokens_goes_on_without(hosted):
    run = hosted.start(hosted.label())

    def refuse(audience):
        raise EnvironmentFault("id-token-not-permitted", "The job has no variables to ask for an ID token with.")

    run.connect_for_plan = lambda hosted_: HostedEndpoint(
        hosted_.url, request_token=refuse, redactor=run.redactor, keep=lambda *_: False, transport=hosted.bridge
    )
    planned = run.plan().work.history

    assert planned.state == "unreachable"
    assert "ID token" in planned.reason


@pytest.mark.parametrize(
    ("hosted_keys", "more"), [(", required: true", ""), ("", "limits: {per_day: 5}\n")], ids=["required", "per_day"]
)
def test_where_an_answer_is_needed_the_run_is_declined_without_one(
    github, tmp_path, world, deployment, hosted_keys, more
):
    hosted = Hosted(github, tmp_path, world, deployment, CONFIGURATION % hosted_keys, more)
    hosted.bridge.fails = True

    decided = hosted.start(hosted.label()).plan()

    assert (decided.decision, decided.refusal.code) == ("decline", "endpoint-required")
    assert "could not be asked" in hosted.comment()


def test_the_limit_of_a_day_is_counted_by_the_endpoint(github, tmp_path, world, deployment):
    hosted = Hosted(github, tmp_path, world, deployment, more="limits: {per_day: 1}\n")
    hosted.start(hosted.label()).finish()

    decided = hosted.start(hosted.label()).plan()

    assert (decided.decision, decided.refusal.code) == ("decline", "admission-refused")
    assert "limits.per_day of 1" in decided.refusal.reason


def test_a_thread_that_another_run_works_on_is_waited_for_and_then_left(hosted):
    issue = hosted.scene.open_issue()
    hosted.start(hosted.scene.label(issue)).plan()

    decided = hosted.start(hosted.scene.comment(issue, "/cody fix")).plan()

    assert (decided.decision, decided.refusal.code) == ("decline", "thread-busy")
    assert sum(hosted.waited) > 0
    newest, first = hosted.runs()
    assert (newest["state"], newest["failure_reason"], first["state"]) == ("cancelled", "declined", "running")


def test_a_rewritten_history_is_said_loudly_and_stops_nothing(hosted, deployment):
    hosted.start(hosted.label()).finish()
    rewrite = update(schema.audit).where(schema.audit.c.tenant_id == hosted.tenant).values(hash="0" * 64)
    deployment.write(hosted.tenant, lambda transaction: transaction.execute(rewrite))

    run = hosted.start(hosted.label())

    assert run.finish() == 0
    evidence = read_evidence(run)
    assert evidence["history"]["witnessed"] == "diverged"
    assert DIVERGED in evidence["history"]["warnings"]
    assert "rewritten" in hosted.comment()


@pytest.mark.slow
def test_each_run_witnesses_the_log_for_the_next(hosted):
    first = hosted.start(hosted.label())
    first.finish()
    second = hosted.start(hosted.label())
    second.finish()

    assert read_evidence(first)["history"]["witnessed"] == "first"
    assert read_evidence(second)["history"]["witnessed"] == "consistent"
    assert len(hosted.scene.git("rev-list", "refs/coven/witness").split()) == 2


def test_in_one_job_an_endpoint_is_refused(hosted):
    run = hosted.start(hosted.label())
    run.demands = Demands(isolation="none", one_job=True)

    with pytest.raises(ConfigError) as refused:
        run.plan()

    assert refused.value.code == "hosted-needs-separate-jobs"
    assert "job that would ask" in hosted.comment() or "this job runs every stage" in hosted.comment()
    assert hosted.runs() == []


def test_a_run_that_failed_is_in_the_history_with_its_reason(hosted):
    run = hosted.start(hosted.label())
    run.plan()
    run.work()
    (run.documents / "outcome.json").write_text("{}")

    assert run.publish() == 1
    (known,) = hosted.runs()
    assert (known["state"], known["conclusion"]) == ("failed", "failure")
    assert known["failure_reason"] is not None


@pytest.mark.slow
def test_a_re_run_of_a_failed_task_is_another_attempt_of_it(hosted):
    event = hosted.label()
    first = hosted.start(event, run_id=500)
    first.plan()
    first.work()
    (first.documents / "outcome.json").write_text("{}")
    first.publish()

    second = hosted.start(event, run_id=500, attempt=2)
    assert second.finish() == 0

    (known,) = hosted.runs()
    assert (known["attempt"], known["state"]) == (2, "review")


def test_no_word_of_the_issue_or_the_change_reaches_the_endpoint(hosted, deployment):
    issue = hosted.scene.open_issue("total() rounds wrong: canary-title", f"canary-body\n{PATCH}")
    hosted.start(hosted.scene.label(issue)).finish()

    deployment.write(hosted.tenant, lambda transaction: None)
    stored = b"".join(path.read_bytes() for path in deployment.settings.data.parent.glob("coven.db*"))
    for word in (b"canary-title", b"canary-body", MENDED.strip().splitlines()[-1].encode()):
        assert word not in stored


class BrokenWitness:
    """Stands where the runs keep the newest head, and fails as asked."""

    def __init__(self, real, broken):
        self._real, self._broken = real, broken

    def read(self):
        if "read" in self._broken:
            raise GitError("git-failed", "The witness could not be asked.")
        return self._real.read()

    def write(self, document):
        if "write" in self._broken:
            raise GitError("git-failed", "The witness could not be kept.")
        self._real.write(document)


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["read", "write"])
def test_a_head_that_cannot_be_read_or_kept_costs_nothing_but_the_comparison(hosted, broken):
    hosted.start(hosted.label()).finish()
    run = hosted.start(hosted.label())
    run.wrap = lambda stage, ports: (
        replace(ports, witness=BrokenWitness(ports.witness, broken)) if stage in {"plan", "publish"} else ports
    )

    assert run.finish() == 0
    assert read_evidence(run)["history"]["witnessed"] == ("first" if broken == "read" else "consistent")
    assert [known["state"] for known in hosted.runs()] == ["review", "review"]
    assert ("not kept" in run.log) == (broken == "write")
