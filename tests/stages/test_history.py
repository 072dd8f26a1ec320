"""What `plan` asks of the endpoint and `publish` reports to it, whatever the endpoint does."""

from datetime import UTC, datetime

import pytest

from coven_action.client import EndpointRefused, EndpointUnreachable
from coven_action.core.configuration.document import Hosted
from coven_action.core.endpoint.planned import KeptWitness, PlannedHistory
from coven_action.core.endpoint.reports import GIVEN_UP
from coven_action.core.endpoint.wire import (
    Admission,
    AuditHead,
    Bundle,
    BundleRequest,
    FinishRequest,
    RelayRequest,
    RelayVerdicts,
    RunReport,
    Session,
    SessionScopes,
    Validation,
)
from coven_action.core.memory.grants import EndpointGrant
from coven_action.stages.history import (
    DIVERGED,
    MAX_WAITS,
    EndpointConversation,
    PublishConversation,
    describe_deliveries,
)
from tests.core.memory.values import policy

URL = "https://coven.example.com"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TASK = (9, 7, 1)
HEAD = AuditHead(seq=3, head="a" * 64)
GRANT = EndpointGrant(enabled=True, read_scopes=("repo",))
UNREACHABLE = EndpointUnreachable("endpoint-unreachable", "GET /: no answer (ConnectError).")
REFUSED = EndpointRefused(401, "not-authenticated", "no", None)
FINISH = FinishRequest(state="done")
KEPT = KeptWitness(url=URL, head=HEAD, relayed=(4,))


def report():
    return RunReport(
        attempt=1,
        event_name="issues",
        thread="issue-1",
        familiar="cody",
        trust_scope="maintainer",
        memory_policy=policy(),
        lease_seconds=600,
        requested_at=NOW,
    )


def session(witnessed="consistent", *, validates=False):
    scopes = SessionScopes(read="repo", tenant_shared=False, propose=True, validate_entries=validates, reason="ok")
    return Session(
        token="cvs_1_x", expires_at=NOW, tenant_id=1, repository_id=9, run_id=7, run_attempt=1, tier="T1",
        scopes=scopes, witness=HEAD, witnessed=witnessed, seal_key="key",
    )  # fmt: skip


def admission(decision="granted", **changes):
    facts = {"reason": "the thread is free", "number": 5, "state": "running", "grant": GRANT, **changes}
    return Admission(decision=decision, **facts)


class FakeEndpoint:
    """Answers as it was told; an answer that is an error is raised."""

    def __init__(self, **answers):
        self.answers = {
            "open": session(),
            "get_grant": GRANT,
            "report": admission(),
            "fetch_bundle": Bundle(preamble="", entries=(), tokens=0, left_out=0),
            "deliver": None,
            **answers,
        }
        self.asked = []
        self.waited = []
        self.closed = 0

    def _answer(self, name, *details):
        self.asked.append((name, *details))
        answer = self.answers[name]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def open(self, witness):
        return self._answer("open", witness)

    def get_grant(self):
        return self._answer("get_grant")

    def report(self, document, key):
        return self._answer("report", key)

    def fetch_bundle(self, request, key):
        return self._answer("fetch_bundle", key)

    def validate(self, request, key):
        return self._answer("validate", [each.id for each in request.validations], key)

    def deliver(self, kind, document, key):
        return self._answer("deliver", kind, key)

    def relay(self, request, key):
        return self._answer("relay", key)

    def wait(self, seconds):
        self.waited.append(seconds)

    def close(self):
        self.closed += 1


def converse(endpoint, *, per_day=None, **written):
    hosted = Hosted(url=URL, **written)
    return EndpointConversation(hosted, per_day=per_day, task=TASK, history=endpoint, kept=KEPT)


def ask_everything(conversation):
    answers = (
        conversation.ask_grant(),
        conversation.ask_admission(report()),
        conversation.ask_bundle(BundleRequest(branch="main")),
    )
    conversation.close()
    return (*answers, conversation.describe(public=False))


def test_plan_asks_for_the_grant_the_admission_and_the_entries():
    endpoint = FakeEndpoint()

    grant, refusal, entries, planned = ask_everything(converse(endpoint))

    assert (grant, refusal, entries) == (GRANT, None, ())
    assert planned.state == "admitted"
    assert planned.page == f"{URL}/runs/5"
    assert (planned.seal_key, planned.witness, planned.witnessed) == ("key", HEAD, "consistent")
    assert (planned.kept, planned.relayed) == (HEAD, (4,))
    assert [asked[0] for asked in endpoint.asked] == ["open", "get_grant", "report", "fetch_bundle"]
    assert endpoint.closed == 1


def test_people_look_where_the_configuration_says():
    planned = ask_everything(converse(FakeEndpoint(), oversight_url="https://example.com/{run}"))[-1]

    assert planned.page == "https://example.com/5"


@pytest.mark.parametrize("step", ["open", "get_grant", "report", "fetch_bundle"])
@pytest.mark.parametrize("trouble", [UNREACHABLE, REFUSED])
def test_trouble_costs_memory_and_history_and_not_the_job(step, trouble):
    endpoint = FakeEndpoint(**{step: trouble})

    _, refusal, entries, planned = ask_everything(converse(endpoint))

    assert refusal is None
    assert entries == ()
    assert planned.state == "unreachable"
    assert planned.reason == trouble.message
    assert endpoint.asked[-1][0] == step, "nothing more is asked after a failure"


STALE = Validation(id="mem_" + "1" * 16, version="0" * 64, holds=False, commit="a" * 40)


@pytest.mark.parametrize(
    ("validates", "stale", "reported"),
    [
        (True, (STALE,), [("validate", [STALE.id], "9:7:1:report:stale")]),
        (True, (), []),
        (False, (STALE,), []),
    ],
)
def test_stale_entries_are_reported_where_the_runs_word_counts(validates, stale, reported):
    endpoint = FakeEndpoint(open=session(validates=validates), validate=None)
    conversation = converse(endpoint)
    conversation.report_stale(stale)
    conversation.ask_grant()
    conversation.report_stale(stale)

    assert endpoint.asked[2:] == reported


@pytest.mark.parametrize("asked_for", [{"required": True}, {"per_day": 20}])
@pytest.mark.parametrize("step", ["open", "get_grant", "report"])
def test_a_count_that_is_needed_and_cannot_be_read_declines_the_run(step, asked_for):
    conversation = converse(FakeEndpoint(**{step: UNREACHABLE}), **asked_for)
    conversation.ask_grant()

    refusal = conversation.ask_admission(report())

    assert refusal.code == "endpoint-required"
    assert next(iter(asked_for)) in refusal.reason


def test_a_run_waits_for_its_thread_with_a_key_of_its_own_each_time():
    endpoint = FakeEndpoint(report=[admission("wait", retry_after=30, reason="nova works"), admission()])
    conversation = converse(endpoint)
    conversation.ask_grant()

    assert conversation.ask_admission(report()) is None
    assert endpoint.waited == [30]
    assert [asked[1] for asked in endpoint.asked if asked[0] == "report"] == [
        "9:7:1:report:plan-0",
        "9:7:1:report:plan-1",
    ]


def test_a_thread_that_stays_taken_declines_the_run():
    endpoint = FakeEndpoint(report=admission("wait", retry_after=50, reason="nova works on this thread in run 4"))
    conversation = converse(endpoint)
    conversation.ask_grant()

    refusal = conversation.ask_admission(report())

    assert refusal.code == "thread-busy"
    assert "nova works" in refusal.reason
    assert sum(endpoint.waited) == 120
    assert len(endpoint.waited) < MAX_WAITS


@pytest.mark.parametrize("heard", [GIVEN_UP, UNREACHABLE, REFUSED], ids=["heard", "unreachable", "refused"])
def test_a_run_that_waits_no_more_says_so_and_is_declined_whether_that_is_heard_or_not(heard):
    endpoint = FakeEndpoint(report=admission("wait", retry_after=50, reason="nova works"), deliver=heard)
    conversation = converse(endpoint)
    conversation.ask_grant()

    assert conversation.ask_admission(report()).code == "thread-busy"
    assert endpoint.asked[-1] == ("deliver", "finish", "9:7:1:finish:plan")


def test_a_cap_declines_the_run():
    conversation = converse(FakeEndpoint(report=admission("refused", reason="20 tasks are used up")))
    conversation.ask_grant()

    refusal = conversation.ask_admission(report())

    assert refusal.code == "admission-refused"
    assert "20 tasks" in refusal.reason


def test_a_rewritten_log_is_said_loudly_and_stops_nothing():
    endpoint = FakeEndpoint(open=session("diverged"))

    _, refusal, _, planned = ask_everything(converse(endpoint))

    assert refusal is None
    assert planned.warnings == (DIVERGED,)


def publish_with(endpoint):
    planned = PlannedHistory(url=URL, state="admitted", reason="", witness=HEAD)
    return PublishConversation(planned, task=TASK, history=endpoint)


def test_publish_opens_one_session_for_all_it_reports():
    endpoint = FakeEndpoint(deliver=FINISH)
    conversation = publish_with(endpoint)

    assert conversation.deliver("uses", "publish", None) is None
    assert conversation.deliver("finish", "publish", FINISH) == FINISH
    conversation.deliver("events", "publish", FINISH)
    conversation.close()

    assert [asked[0] for asked in endpoint.asked] == ["open", "deliver", "deliver"]
    assert endpoint.asked[1][1:] == ("finish", "9:7:1:finish:publish")
    assert endpoint.closed == 1
    assert describe_deliveries(conversation.deliveries) == ""


def test_where_nothing_is_to_be_said_no_session_is_opened():
    endpoint = FakeEndpoint()
    conversation = publish_with(endpoint)

    conversation.deliver("uses", "publish", None)
    conversation.close()

    assert (endpoint.asked, endpoint.closed) == ([], 0)


def test_a_write_that_is_refused_keeps_no_other_back():
    endpoint = FakeEndpoint(deliver=[REFUSED, None, FINISH])
    conversation = publish_with(endpoint)

    for kind in ("proposals", "uses", "finish"):
        conversation.deliver(kind, "publish", FINISH)

    assert [each.outcome for each in conversation.deliveries] == ["lost", "kept", "delivered"]
    assert describe_deliveries(conversation.deliveries) == "kept for a later run: uses · lost: proposals"


def test_without_a_session_the_writes_are_kept():
    endpoint = FakeEndpoint(open=UNREACHABLE, deliver=None)
    conversation = publish_with(endpoint)

    conversation.deliver("finish", "publish", FINISH)

    assert conversation.warnings
    assert [each.outcome for each in conversation.deliveries] == ["kept"]


def test_publish_says_that_the_log_was_rewritten():
    conversation = publish_with(FakeEndpoint(open=session("diverged"), deliver=FINISH))

    conversation.deliver("finish", "publish", FINISH)

    assert conversation.warnings == [DIVERGED]
    assert conversation.witness == HEAD


@pytest.mark.parametrize(
    ("answers", "well"),
    [
        ({"deliver": FINISH}, True),
        ({"deliver": REFUSED}, True),
        ({"deliver": None}, False),
        ({"open": UNREACHABLE, "deliver": FINISH}, False),
    ],
    ids=["delivered", "refused", "kept", "no session"],
)
def test_an_endpoint_that_answers_may_be_asked_for_more(answers, well):
    conversation = publish_with(FakeEndpoint(**answers))
    assert not conversation.is_well, "nothing was asked yet"

    conversation.deliver("finish", "publish", FINISH)

    assert conversation.is_well is well


def test_what_is_relayed_has_a_key_of_its_own():
    verdicts = RelayVerdicts(verdicts=())
    endpoint = FakeEndpoint(relay=verdicts)

    assert publish_with(endpoint).relay(RelayRequest(), "55-0") == verdicts
    assert endpoint.asked == [("relay", "9:7:1:relay:55-0")]
