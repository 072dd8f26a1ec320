"""`coven-action demo`: the main job on this machine. A labelled issue becomes a draft pull request with a Check Run.

It starts a local GitHub and an endpoint, seeds a private repository with a small bug and an issue that carries a patch, and
runs the same stages, as processes, that a workflow runs, at the isolation that this machine is proved to reach. The first run
mends a test and proposes a memory; the local administrator merges the one and approves the other. The second run is offered
the memory and cites it; it is revoked, and the third goes without. Nothing leaves the machine.
"""

import importlib.util
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from coven_action.cli.demo_parties import DemoEndpoint, start_github
from coven_action.cli.demo_telling import say, tell_checks, tell_evidence, tell_isolation, tell_outcome, tell_plan
from coven_action.cli.stage import start_stage
from coven_action.core.checks.document import CHECKS_DOCUMENT, parse_checks
from coven_action.core.documents import Evidence, Plan, parse_evidence, parse_outcome, parse_plan
from coven_action.core.endpoint.wire import DecisionRequest
from coven_action.core.memory.keys import build_canonical_key, build_entry_id
from coven_action.core.records import sha256_hex
from coven_action.core.stage_environment import CHECKS_SHA256, FOLDER, ISOLATION, OUTCOME_SHA256, PLAN_SHA256, TOKEN
from coven_action.errors import EnvironmentFault
from coven_action.stages.documents import EVIDENCE_DOCUMENT, OUTCOME_DOCUMENT, PLAN_DOCUMENT

if TYPE_CHECKING:
    from coven_action.emulator.server import LocalGitHub
    from coven_action.emulator.state import Issue

FILES: Final = Path(__file__).with_name("demo_files")
STORY: Final = ("issue.md", "issue-2.md", "issue-3.md")
"""The issues of the demo, one run each: a memory is approved after the first and revoked after the second."""
REMEMBERED: Final = "conventions/rounding"
"""The key of the memory that the first run proposes."""
DEFAULT_PORT: Final = 8765
ENDPOINT_PORT: Final = 8766
MAXIMUM_ISSUE_BYTES: Final = 65_536
LABEL: Final = "coven:fix"
NEEDED: Final = ("fastapi", "markdown_it", "pysqlite3", "sqlalchemy", "starlette", "uvicorn")


@click.command(name="demo")
@click.option(
    "--once", is_flag=True, help="End after the runs instead of serving the pages; exit 1 if anything is missing."
)
@click.option(
    "--issue",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="One run on another issue: the first line is its title, the rest its body, with a patch in a ```diff block.",
)
@click.option(
    "--port", default=DEFAULT_PORT, show_default=True, help="Where the pages are; another one if it is taken."
)
def command(*, once: bool, issue: Path | None, port: int) -> None:
    """Watch a labelled issue become a draft pull request, on this machine.

    A local GitHub is started with a small private repository (acme/billing), a bug in it, and an issue that carries a
    patch; beside it an endpoint that keeps history and memory. The label `coven:fix` is applied, and the stages plan, run,
    verify and publish work as they do in a workflow: the familiar in a sandbox, and the repository's tests before and after
    its change. What the first run proposes to remember is approved, offered to the second
    run, and revoked before the third. Then the pages stay up until Ctrl-C, to be looked at.
    """
    for module in NEEDED:
        if importlib.util.find_spec(module) is None:
            raise EnvironmentFault(
                "missing-environment", f"The demo needs {module}.", remedy="pip install 'coven-action[demo]'"
            )
    issues = [read_issue(path) for path in ([issue] if issue else [FILES / name for name in STORY])]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coven-demo-")))
        github = start_github(folder / "github", 0 if once else port)
        stack.callback(github.stop)
        endpoint = DemoEndpoint(folder, github.issuer.url, 0 if once else ENDPOINT_PORT)
        stack.callback(endpoint.stop)
        demo = _Demo(github, endpoint, folder)
        demo.prepare()
        missing = demo.play(issues)
        for sentence in missing:
            click.echo(f"missing   {sentence}", err=True)
        if not once:
            click.echo(f"\nThe pages stay up: {github.url}/acme/billing   (Ctrl-C ends)")
            click.echo(f"The endpoint too: COVEN_ENDPOINT={endpoint.url} COVEN_TOKEN={endpoint.token}")
            threading.Event().wait()
        sys.exit(1 if missing else 0)


def read_issue(path: Path) -> tuple[str, str]:
    """Return title and body of an issue file: the first line, without Markdown's `#`, and the rest."""
    data = path.read_bytes()
    if len(data) > MAXIMUM_ISSUE_BYTES:
        raise EnvironmentFault(
            "issue-file", f"{path} has more than {MAXIMUM_ISSUE_BYTES} bytes, GitHub's limit for an issue."
        )
    try:
        title, _, body = data.decode("utf-8").lstrip().partition("\n")
    except UnicodeDecodeError as error:
        raise EnvironmentFault("issue-file", f"{path} is not UTF-8.") from error
    title = title.lstrip("# ").strip()
    if not title:
        raise EnvironmentFault("issue-file", f"{path} is empty; its first line is the issue's title.")
    return title, body.strip() + "\n"


@dataclass(slots=True)
class _Played:
    """One run and what came of it."""

    issue: "Issue"
    plan: Plan | None = None
    evidence: Evidence | None = None


@dataclass(slots=True)
class _Demo:
    """The local GitHub, the endpoint, and what was played so far."""

    github: "LocalGitHub"
    endpoint: DemoEndpoint
    folder: Path
    played: list[_Played] = field(default_factory=list)
    repository: Any = None
    maintainer: Any = None
    level: str = "enforced"

    def prepare(self) -> None:
        """Seed the repository, and start the endpoint with the repository enrolled."""
        root = FILES / "repository"
        files = {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}
        config = ".github/coven.yml"
        files[config] = files[config].replace("http://127.0.0.1:8766", self.endpoint.url)
        self.repository = self.github.seed_repository(
            "acme", "billing", files, private=True, description="Invoices of a small shop"
        )
        self.maintainer = self.github.world.add_collaborator(self.repository, "maintainer", "write")
        self.endpoint.enrol(self.repository)
        self.endpoint.start()
        click.echo(
            f"A local GitHub is at {self.github.url}, an endpoint at {self.endpoint.url}; nothing leaves this machine."
        )
        self.level = self._prove_isolation()

    def _prove_isolation(self) -> str:
        """Say which isolation this machine reaches, and return it: the demo demands no more, and says so where it is less."""
        from coven_action.adapters.sandbox.confinement import ProvedConfinement  # noqa: PLC0415 - as above

        proved = ProvedConfinement(self.folder / "probe", os.environ).prove()
        tell_isolation(proved)
        return proved.level

    def play(self, issues: list[tuple[str, str]]) -> list[str]:
        """Run the story, and return what is missing at its end."""
        missing: list[str] = []
        for number, (title, body) in enumerate(issues, 1):
            click.echo()
            played = self._run(number, title, body.replace("{remembered}", self.remembered))
            self.played.append(played)
            missing += self._find_missing(played)
            if missing:
                break
            if len(issues) == len(STORY):
                missing += _ACTS[number - 1](self)
        return missing

    @property
    def remembered(self) -> str:
        """The id that the remembered entry has in this repository."""
        return build_entry_id(build_canonical_key(self.repository.id, REMEMBERED))

    def _run(self, number: int, title: str, body: str) -> _Played:
        """Run the stages on a new issue, telling what happens."""
        world, folder = self.github.world, self.folder / f"run-{number}"
        folder.mkdir()
        issue = world.open_issue(self.repository, self.maintainer, title, body)
        played = _Played(issue)
        environment = self._build_environment(issue, folder, number)
        documents = folder / "documents"
        digests = {FOLDER: str(documents)}
        start_stage("plan", environment, digests, quiet=True)
        played.plan = _read(documents / PLAN_DOCUMENT, parse_plan)
        if played.plan is None or played.plan.work is None:
            refusal = played.plan.refusal if played.plan else None
            say("plan", "did not start: " + (refusal.reason if refusal else "see above"))
            return played
        tell_plan(played.plan)
        digests[PLAN_SHA256] = sha256_hex((documents / PLAN_DOCUMENT).read_bytes())
        checkout = self._check_out(folder)
        start_stage("run", environment, digests, "--checkout", str(checkout), quiet=True)
        outcome = _read(documents / OUTCOME_DOCUMENT, parse_outcome)
        if outcome is not None:
            tell_outcome(outcome)
            digests[OUTCOME_SHA256] = sha256_hex((documents / OUTCOME_DOCUMENT).read_bytes())
            start_stage("verify", environment, digests, "--checkout", str(checkout), quiet=True)
        checks = _read(documents / CHECKS_DOCUMENT, parse_checks)
        if checks is not None:
            tell_checks(checks)
            digests[CHECKS_SHA256] = sha256_hex((documents / CHECKS_DOCUMENT).read_bytes())
        start_stage("publish", environment, digests, quiet=True)
        played.evidence = _read(documents / EVIDENCE_DOCUMENT, parse_evidence)
        if played.evidence is not None:
            tell_evidence(played.evidence, f"{self.github.url}/acme/billing/issues/{issue.number}")
        return played

    def _build_environment(self, issue: "Issue", folder: Path, number: int) -> dict[str, str]:
        from coven_action.emulator.payloads import build_issues_labeled  # noqa: PLC0415 - only the demo pays for it

        github, repository, world = self.github, self.repository, self.github.world
        world.add_labels(repository, issue, [LABEL])
        run = world.add_workflow_run(repository, self.maintainer, run_id=number, event="issues")
        label = world.get_label(repository, LABEL)
        payload = build_issues_labeled(world, repository, issue, label, self.maintainer)
        event = folder / "event.json"
        event.write_text(json.dumps(payload), encoding="utf-8")
        return {
            **{name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "NO_COLOR") if name in os.environ},
            # Whoever has these two asks for ID tokens in the job's name; `start_stage` hands them to plan and publish only.
            **github.issuer.permit(repository, run),
            "HOME": str(folder),
            "GITHUB_API_URL": github.api_url,
            "GITHUB_EVENT_NAME": "issues",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_REPOSITORY": "acme/billing",
            "GITHUB_REPOSITORY_ID": str(repository.id),
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_RUN_ID": str(number),
            "GITHUB_SERVER_URL": github.url,
            "RUNNER_TEMP": str(folder),
            ISOLATION: self.level,
            TOKEN: world.add_actions_token(repository),
        }

    def _check_out(self, folder: Path) -> Path:
        """Clone the repository, as a workflow's checkout step does."""
        checkout = folder / "checkout"
        source = f"{self.github.url}/acme/billing.git".replace("://", f"://x-access-token:{self._read_token()}@")
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder)}
        subprocess.run(("git", "clone", "--quiet", source, str(checkout)), check=True, env=environment)
        return checkout

    def _read_token(self) -> str:
        return str(self.github.world.add_actions_token(self.repository))

    # What the local administrator does after each run; each returns what is missing.

    def merge_and_approve(self) -> list[str]:
        """Merge what the first run has published, and approve what it has proposed to remember."""
        self._merge(self.played[-1])
        with self.endpoint.connect() as client:
            waiting = [entry for entry in client.list_memory(state="pending").entries if entry.id == self.remembered]
            if not waiting:
                return ["the proposed memory among those that wait"]
            client.decide(
                self.remembered, "approve", DecisionRequest(), revision=waiting[0].revision, key=secrets.token_hex(16)
            )
        say("you", f"approve {REMEMBERED} as the local administrator")
        return []

    def _merge(self, played: _Played) -> None:
        from coven_action.emulator.git_store import run_git  # noqa: PLC0415 - only the demo pays for it

        evidence = played.evidence
        if evidence is None or evidence.head_sha is None or evidence.pull_request is None:
            return
        pull_request = self.repository.pulls[evidence.pull_request]
        # One commit on top of the default branch: a merge is that branch moved forward.
        run_git(self.repository.path, "update-ref", "refs/heads/main", evidence.head_sha)
        pull_request.merged_at = self.github.world.clock()
        self.github.world.set_state(pull_request.issue, "closed")
        say("you", f"merge pull request #{evidence.pull_request}")

    def revoke(self) -> list[str]:
        """Look at whom the memory has reached, and revoke it."""
        with self.endpoint.connect() as client:
            uses = client.list_uses(self.remembered).uses
            for use in uses:
                say("trace", f"{use.kind:<8} run {use.number}  {use.reference}")
            entry = client.get_memory(self.remembered)
            client.decide(
                self.remembered, "revoke", DecisionRequest(), revision=entry.revision, key=secrets.token_hex(16)
            )
        say("you", f"revoke {REMEMBERED}")
        missing = {"offered", "read", "cited"} - {use.kind for use in uses}
        return [f"the trace that the second run was {kind} the memory" for kind in sorted(missing)]

    def look_back(self) -> list[str]:
        """See that the third run went without, and that the history has all three."""
        last = self.played[-1].plan
        manifest = last.work.memory.manifest if last is not None and last.work is not None else ()
        with self.endpoint.connect() as client:
            runs = client.list_runs().runs
        for run in reversed(runs):
            say("history", f"run {run.number}  {run.state:<8} {run.links.get('pull_request', '')}")
        missing = ["a third run that goes without the revoked memory"] if manifest else []
        return missing if len(runs) == len(STORY) else [*missing, "three runs in the history"]

    def _find_missing(self, played: _Played) -> list[str]:
        """Look with a stranger's eyes: what of the promised is not at the local GitHub?"""
        if played.plan is None or played.plan.work is None:
            return ["the plan to go on"]
        evidence = played.evidence
        if evidence is None:
            return ["the evidence"]
        if evidence.pull_request is None:
            return ["the draft pull request"]
        if evidence.checks is None and played.plan.work.checks:
            return ["the observed checks"]
        base = f"{self.github.url}/acme/billing"
        pages = (
            (f"{base}/issues/{played.issue.number}", f"#{evidence.pull_request}"),
            (f"{base}/pull/{evidence.pull_request}", "Draft"),
            (f"{base}/pull/{evidence.pull_request}/checks", evidence.title),
        )
        missing = [f"“{text}” on {address}" for address, text in pages if text not in _fetch(address)]
        if len(played.issue.comments) != 1:
            missing.append(f"exactly one comment on the issue; there are {len(played.issue.comments)}")
        if evidence.history is None or evidence.history.number is None:
            missing.append("the run in the endpoint's history")
        return missing


_ACTS: Final[tuple[Callable[[_Demo], list[str]], ...]] = (_Demo.merge_and_approve, _Demo.revoke, _Demo.look_back)


def _read(path: Path, parse: Callable[[bytes], Any]) -> Any:
    return parse(path.read_bytes()) if path.is_file() else None


def _fetch(address: str) -> str:
    """Return a page of our own server; an error page is a page without what is looked for."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - built above from our own server's address
            text: str = answer.read().decode()
            return text
    except urllib.error.HTTPError:
        return ""
