"""What a run does with the outboxes that earlier runs have left at GitHub."""

import io
import re
import zipfile
from datetime import timedelta

import pytest

from coven_action.adapters.github_artifacts import GitHubArtifacts
from coven_action.client import EndpointUnreachable
from coven_action.core.documents import TaskIdentity
from coven_action.core.endpoint.relaying import MAX_ARTIFACTS, MAX_SEARCH
from coven_action.core.endpoint.wire import Envelope, RelayVerdict, RelayVerdicts
from coven_action.errors import DocumentError
from coven_action.stages.relaying import relay_outboxes

OUTBOX = "coven-outbox-1"
OWN_RUN = 900


def pack(files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


class Endpoint:
    """Accepts what it is handed, unless it was told otherwise."""

    def __init__(self):
        self.requests = []
        self.trouble_after = None
        self.accepts = True
        self.cannot_read = set()
        self.envelopes = []

    def relay(self, request, part):
        if self.trouble_after is not None and len(self.requests) >= self.trouble_after:
            raise EndpointUnreachable("endpoint-unreachable", "POST /v1/relay: no answer (ConnectError).")
        self.requests.append((part, request))
        parts = [*(each.key for each in request.envelopes), *request.sealed]
        if self.cannot_read & set(parts):
            raise DocumentError("envelope-refused", "The endpoint answered 422 request-invalid: envelopes.")
        self.envelopes += [*request.envelopes, *request.sealed]
        reason = "" if self.accepts else "the run is over"
        return RelayVerdicts(verdicts=tuple(RelayVerdict(key="", accepted=self.accepts, reason=reason) for _ in parts))

    @property
    def delivered(self):
        return [each.run_id for each in self.envelopes]

    @property
    def delivered_runs(self):
        """Those whose envelopes were open."""
        return [each.run_id for each in self.envelopes if isinstance(each, Envelope)]


class Past:
    """Earlier runs of acme/billing that could not reach the endpoint."""

    def __init__(self, github):
        self.github = github
        self.artifacts = GitHubArtifacts("acme/billing", token=github.token, api_url=github.api_url)
        self.endpoint = Endpoint()
        self.run(OWN_RUN)

    def run(self, run_id):
        return self.github.world.add_workflow_run(
            self.github.repository, self.github.maintainer, "issues", run_id=run_id
        )

    def leave(self, run_id, content=None, *, workflow_id=1, speaks_for=None, name=OUTBOX):
        run = self.run(run_id)
        run.workflow_id = workflow_id
        envelope = Envelope(
            kind="finish", key=f"k:{run_id}", repository_id=self.github.repository.id, run_id=speaks_for or run_id,
            run_attempt=1, created_at=self.github.world.clock(), body='{"state": "done"}',
        )  # fmt: skip
        data = pack({"4-a.json": envelope.model_dump_json()}) if content is None else content
        return self.github.world.add_artifact(self.github.repository, run, name, data).id

    def relay(self, relayed=()):
        return relay_outboxes(
            TaskIdentity(repository_id=self.github.repository.id, event_name="issues", run_id=OWN_RUN, run_attempt=1),
            default_branch="main",
            relayed=relayed,
            now=self.github.world.clock(),
            relay=self.endpoint.relay,
            outboxes=self.artifacts,
        )


@pytest.fixture
def past(github):
    return Past(github)


def test_where_nothing_waits_two_questions_are_asked_and_nothing_is_said(past):
    before = len(past.github.requests)

    done = past.relay()

    assert (done.handled, done.said) == ((), "")
    assert len(past.github.requests) - before == 2


def test_what_waits_is_handed_over_oldest_first_and_remembered(past):
    ids = [past.leave(run_id) for run_id in (1, 2)]

    done = past.relay()

    assert done.handled == tuple(ids)
    assert past.endpoint.delivered == [1, 2]
    assert done.said == "2 delivered for earlier runs"
    assert [part for part, _ in past.endpoint.requests] == [f"{number}-0" for number in ids]


def test_a_long_failure_is_worked_off_run_by_run_within_the_budget(past):
    for run_id in range(1, 6):
        past.leave(run_id)
    before = len(past.github.requests)

    first = past.relay()
    assert len(first.handled) == MAX_ARTIFACTS
    assert len(past.github.requests) - before <= 9
    past.relay(relayed=first.handled)

    assert past.endpoint.delivered == [1, 2, 3, 4, 5]


def test_the_second_attempt_of_a_run_is_relayed_too(past):
    past.leave(1, name="coven-outbox-2")

    past.relay()

    assert past.endpoint.delivered == [], "the envelope speaks for the first attempt"
    assert len(past.endpoint.requests) == 0


def test_another_workflow_s_artifact_is_passed_over_for_good(past):
    foreign, ours = past.leave(1, workflow_id=2), past.leave(2)

    done = past.relay()

    assert past.endpoint.delivered == [2]
    assert done.handled == (foreign, ours)


def test_an_artifact_that_speaks_for_another_run_says_nothing(past):
    past.leave(1, speaks_for=2)

    done = past.relay()

    assert past.endpoint.requests == []
    assert len(done.handled) == 1


def test_an_archive_that_is_refused_is_said_and_keeps_no_other_back(past):
    bad, good = past.leave(1, b"PK no zip"), past.leave(2)

    done = past.relay()

    assert done.handled == (bad, good)
    assert past.endpoint.delivered == [2]
    assert "refused: it is damaged" in done.said


def test_an_endpoint_that_goes_away_leaves_the_rest_to_a_later_run(past):
    first, _ = past.leave(1), past.leave(2)
    past.endpoint.trouble_after = 1

    done = past.relay()

    assert done.handled == (first,)
    assert "wait for a later run" in done.said


def test_what_the_endpoint_refuses_is_named_with_the_reason_and_not_tried_again(past):
    number = past.leave(1)
    past.endpoint.accepts = False

    done = past.relay()

    assert done.handled == (number,)
    assert done.said == "1 set aside, in coven-outbox-1 of run 1 until that expires (finish k:1: the run is over)"
    assert past.relay(relayed=done.handled).said == ""


def test_an_outbox_that_is_refused_as_a_whole_keeps_no_other_back(past):
    refused, good = past.leave(1), past.leave(2)
    past.endpoint.cannot_read = {"k:1"}

    done = past.relay()

    assert done.handled == (refused, good)
    assert past.endpoint.delivered == [2]
    assert "1 delivered for earlier runs · 1 set aside, in coven-outbox-1 of run 1" in done.said
    assert "finish k:1: The endpoint answered 422 request-invalid" in done.said


@pytest.mark.slow_after(3)
@pytest.mark.parametrize("count", [1, 2, 3, 200])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_one_envelope_that_cannot_be_read_is_set_aside_and_the_others_of_its_run_are_delivered(past, count, place):
    texts = [f"sealed{number}" for number in range(count)]
    bad = texts[{"first": 0, "middle": count // 2, "last": count - 1}[place]]
    past.endpoint.cannot_read = {bad}
    past.leave(1, pack({f"4-{number:03}.sealed": text for number, text in enumerate(texts)}))
    behind = past.leave(2)

    done = past.relay()

    assert past.endpoint.envelopes[:-1] == [text for text in texts if text != bad]
    assert past.endpoint.delivered_runs == [2]
    assert done.handled[-1] == behind
    assert "1 set aside, in coven-outbox-1 of run 1 until that expires (a sealed envelope: The endpoint" in done.said
    parts = [part for part, _ in past.endpoint.requests]
    assert len(set(parts)) == len(parts), "each request has a key of its own"
    assert len(parts) <= 2 + MAX_SEARCH


def test_the_search_for_what_is_refused_ends(past):
    texts = [f"sealed{number}" for number in range(200)]
    past.endpoint.cannot_read = set(texts[::2])
    past.leave(1, pack({f"4-{number:03}.sealed": text for number, text in enumerate(texts)}))
    past.leave(2)

    done = past.relay()

    assert len(past.endpoint.requests) <= 2 + MAX_SEARCH
    assert past.endpoint.delivered_runs == [2]
    said = int(re.search(r"(\d+) set aside", done.said).group(1))
    assert said + len(past.endpoint.envelopes) == 201
    assert len(done.handled) == 2


def test_github_s_trouble_is_said_and_costs_nothing_else(past):
    past.leave(1)
    past.github.faults.add(method="GET", path_regex="/zip$", times=1, status=500)

    done = past.relay()

    assert done.handled == ()
    assert "GitHub answered 500" in done.said
    assert past.relay().said == "1 delivered for earlier runs"


def test_a_run_on_another_branch_relays_nothing(past):
    past.leave(1)
    past.github.repository.workflow_runs[OWN_RUN].head_branch = "feature"

    assert past.relay().handled == ()
    assert past.endpoint.requests == []


def test_what_has_expired_is_not_asked_for(past):
    run = past.run(1)
    past.github.world.add_artifact(past.github.repository, run, OUTBOX, b"", lifetime=timedelta(seconds=-1))

    assert past.relay().said == ""
