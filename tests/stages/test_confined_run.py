"""The whole boundary at once: a real program in the real sandbox asks its model through the real gateway, over TLS.

The program is a familiar's `command`. It is told where the gateway is by the variables that the providers' own client
libraries read, tries the ways around it, and writes what came of it into the tree.
"""

import json
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from coven_action.adapters.gateway.opening import GatewayOpener
from coven_action.adapters.sandbox.confinement import ProvedConfinement
from coven_action.core.contract.coven_code import PLACEHOLDER_KEY
from coven_action.core.gateway.order import Budget, TestNetwork
from tests.adapters.gateway.parties import Authority, ModelHost
from tests.sandboxes import missing, open_base
from tests.scenario import Scene

KEY = "sk-ant-canary-0123456789abcdef"
HOST = "api.anthropic.com"
PROGRAM = """\
import json, os, pathlib, socket, sys, urllib.error, urllib.request

seen = {}

def ask(address, body=None, headers={}):
    request = urllib.request.Request(address, body, {"content-type": "application/json", **headers})
    try:
        return urllib.request.urlopen(request, timeout=10).read().decode()
    except (OSError, urllib.error.URLError) as error:
        return f"refused: {type(error).__name__}"

def connect(host, port):
    try:
        socket.create_connection((host, port), timeout=2).close()
        return "connected"
    except OSError:
        return "refused"

base, key = os.environ["ANTHROPIC_BASE_URL"], os.environ["ANTHROPIC_API_KEY"]
question = {"model": "claude-sonnet-4-6", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}
for _ in range(TIMES):
    seen["answer"] = ask(f"{base}/v1/messages", json.dumps(question).encode(), {"x-api-key": key})
seen["another model"] = ask(f"{base}/v1/messages", json.dumps({**question, "model": "claude-opus-4-8"}).encode())
seen["key"] = key
seen["outside"] = {str(place): connect(*place) for place in PLACES}
seen["variables"] = sorted(os.environ)
seen["readable"] = [path for path in FILES if os.access(path, os.R_OK)]
pathlib.Path("seen.json").write_text(json.dumps(seen))
arguments = dict(zip(sys.argv[1::1], sys.argv[2::1]))
result = {"contract_version": "3", "status": "success", "branch": "", "commits": [], "files_changed": [], "summary": "Done.",
          "pr_body": "", "exit_reason": None,
          "review": {"mode": "none", "evidence_status": "not_applicable", "reviewed_files": [], "supporting_files": [],
                     "findings": [], "tests_run": [], "no_findings_reason": None, "limitations": []}}
pathlib.Path(arguments["--output"]).write_text(json.dumps(result))
"""


class TestedGateways:
    """The real gateways, with a stand-in for the internet."""

    __test__ = False

    def __init__(self, network, budget=None):
        self.network, self.budget, self.said = network, budget, []

    @contextmanager
    def open(self, order, key):
        changed = {"internal_be_careful_test_network": self.network, **({"budget": self.budget} if self.budget else {})}
        with GatewayOpener({}, self.said.append).open(order.model_copy(update=changed), key) as gateway:
            yield gateway


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def host(authority):
    with ModelHost(authority.issue(HOST)) as started:
        yield started


@pytest.fixture
def begin(github, host, authority):
    """Start a run of the program; `times` is how often it asks its model."""
    with open_base() as folder:

        def start(times=1, budget=None):
            program = folder / "agent.py"
            files = [str(folder / "job-7-1/event.json"), str(folder / "github"), "/root", "/etc/shadow"]
            places = [
                ("127.0.0.1", host.port),
                ("127.0.0.1", urlsplit(github.url).port),
                ("1.1.1.1", 53),
                ("169.254.169.254", 80),
            ]
            text = PROGRAM.replace("TIMES", str(times)).replace("PLACES", repr(places)).replace("FILES", repr(files))
            program.write_text(text)
            program.chmod(0o644)
            command = json.dumps(["/usr/bin/python3", "-I", str(program)])
            scene = Scene(
                github,
                folder,
                configuration=f"version: 1\nfamiliars: {{cody: {{runtime: {{command: {command}}}, "
                "model: anthropic/claude-sonnet-4-6}}\nverify: [{name: left, run: test -f seen.json}]\n",
            )
            run = scene.start(scene.label(scene.open_issue()), run_id=7, model_key=KEY)
            place = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "RUNNER_TEMP": str(run.job)}
            run.documents.mkdir(mode=0o711)
            run.confinement = ProvedConfinement(run.documents / "sandbox", place)
            if run.confinement.prove().level != "enforced":
                missing("no sandbox here encloses the network")
            run.gateways = TestedGateways(TestNetwork(certificates=authority.pem, routes={HOST: host.port}), budget)
            return run

        yield start


def read_seen(run):
    branch = next(iter(run.scene.branches()))
    return json.loads(run.scene.git("show", f"{branch}:seen.json"))


def test_the_familiar_reaches_its_model_and_nothing_else_and_holds_nothing(begin, host):
    run = begin()

    assert run.finish() == 0, run.log
    seen = read_seen(run)
    assert json.loads(seen["answer"])["type"] == "message"
    assert seen["another model"].startswith("refused")
    assert set(seen["outside"].values()) == {"refused"}
    assert seen["readable"] == []
    assert seen["key"] == PLACEHOLDER_KEY
    assert not [name for name in seen["variables"] if name.startswith(("COVEN_INPUT", "GITHUB", "ACTIONS", "RUNNER"))]
    # The key is added outside, and goes to the one host.
    (asked,) = host.asked
    assert asked.all("x-api-key") == [KEY]
    assert KEY not in run.log + json.dumps(seen)
    assert not [path for path in run.documents.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_the_evidence_says_what_was_reached_and_spent(begin):
    run = begin()
    run.finish()
    evidence = run.evidence

    assert (evidence.conclusion, evidence.isolation.reached) == ("success", "enforced")
    assert evidence.gateway.requests == 1
    assert [used.host for used in evidence.gateway.hosts_used] == [HOST]
    assert evidence.workspace_destroyed
    assert evidence.checks.rows[0].before == "failed (exit 1)"
    (check,) = run.scene.check_runs
    assert "isolation enforced by" in check.summary
    assert "1 model request · hosts used: api.anthropic.com (1)" in check.summary


def test_a_run_that_has_spent_its_budget_is_ended_and_its_work_is_kept(begin):
    run = begin(times=5, budget=Budget(requests=2))

    assert run.finish() == 1
    assert run.outcome.fault.code == "budget-requests"
    assert run.outcome.gateway.ended_because == "budget-requests"
    assert "the budget is used up" in " ".join(run.gateways.said)
    assert run.scene.pull_requests == []
    (comment,) = run.scene.comments(run.scene.repository.issues[1])
    assert "budget of requests" in comment.body


def test_nothing_is_left_of_the_run_on_the_machine(begin):
    run = begin()
    run.finish()

    assert not (run.documents / "run").exists()
    assert not (run.documents / "verify").exists()
    assert list((run.documents / "sandbox").iterdir()) == []
