"""`coven-action demo`: the main job on this machine. A labelled issue becomes a draft pull request with a Check Run.

It starts a local GitHub, seeds a repository with a small bug and an issue that carries a patch, and runs the same stages,
as processes, that a workflow runs. Nothing leaves the machine.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from coven_action.cli.stage import start_stage
from coven_action.core.documents import Evidence, Outcome, Plan, parse_evidence, parse_outcome, parse_plan
from coven_action.core.records import sha256_hex
from coven_action.core.stage_environment import FOLDER, ISOLATION, OUTCOME_SHA256, PLAN_SHA256, TOKEN
from coven_action.errors import EnvironmentFault
from coven_action.stages.documents import EVIDENCE_DOCUMENT, OUTCOME_DOCUMENT, PLAN_DOCUMENT

if TYPE_CHECKING:
    from coven_action.emulator.server import LocalGitHub

FILES: Final = Path(__file__).with_name("demo_files")
DEFAULT_PORT: Final = 8765
RUN_ID: Final = 1
MAXIMUM_ISSUE_BYTES: Final = 65_536
LABEL: Final = "coven:fix"
NAME_WIDTH: Final = 10


@click.command(name="demo")
@click.option(
    "--once", is_flag=True, help="End after the run instead of serving the pages; exit 1 if anything is missing."
)
@click.option(
    "--issue",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another issue: the first line is its title, the rest its body, with a patch in a ```diff block.",
)
@click.option(
    "--port", default=DEFAULT_PORT, show_default=True, help="Where the pages are; another one if it is taken."
)
def command(*, once: bool, issue: Path | None, port: int) -> None:
    """Watch a labelled issue become a draft pull request, on this machine.

    A local GitHub is started with a small repository (acme/billing), a bug in it, and an issue that carries a patch. The
    label `coven:fix` is applied, and the stages plan, run and publish work as they do in a workflow. Then the pages stay
    up until Ctrl-C, to be looked at.
    """
    for module in ("starlette", "uvicorn"):
        if importlib.util.find_spec(module) is None:
            raise EnvironmentFault(
                "missing-environment", f"The demo needs {module}.", remedy="pip install 'coven-action[demo]'"
            )
    title, body = read_issue(issue or FILES / "issue.md")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coven-demo-")))
        github = _start_github(folder / "github", 0 if once else port)
        stack.callback(github.stop)
        missing = _run(github, folder, title, body)
        for sentence in missing:
            click.echo(f"missing   {sentence}", err=True)
        if not once:
            click.echo(f"\nThe pages stay up: {github.url}/acme/billing   (Ctrl-C ends)")
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


def _start_github(folder: Path, port: int) -> "LocalGitHub":
    from coven_action.emulator.server import LocalGitHub  # noqa: PLC0415 - only the demo pays for it
    from coven_action.errors import Error  # noqa: PLC0415

    try:
        return LocalGitHub(folder, port).start()
    except Error:
        if port == 0:
            raise
        click.echo(f"Port {port} is taken; another one is used.", err=True)
        return LocalGitHub(folder, 0).start()


@dataclass(frozen=True, slots=True)
class _Scene:
    """What was seeded."""

    repository: Any
    issue: Any
    environment: dict[str, str]
    checkout: Path
    documents: Path


def _run(github: "LocalGitHub", folder: Path, title: str, body: str) -> list[str]:
    """Run the stages, telling what happens, and return what is missing at the end."""
    click.echo(f"A local GitHub is at {github.url}; nothing leaves this machine.\n")
    scene = _seed(github, folder, title, body)
    digests = {FOLDER: str(scene.documents)}
    start_stage("plan", scene.environment, digests, quiet=True)
    plan = _read(scene.documents / PLAN_DOCUMENT, parse_plan)
    if plan is None or plan.work is None:
        _say("plan", "did not start: " + (plan.refusal.reason if plan and plan.refusal else "see above"))
        return ["the plan to go on"]
    _tell_plan(plan)
    digests[PLAN_SHA256] = sha256_hex((scene.documents / PLAN_DOCUMENT).read_bytes())
    start_stage("run", scene.environment, digests, "--checkout", str(scene.checkout), quiet=True)
    outcome = _read(scene.documents / OUTCOME_DOCUMENT, parse_outcome)
    if outcome is not None:
        _tell_outcome(outcome)
        digests[OUTCOME_SHA256] = sha256_hex((scene.documents / OUTCOME_DOCUMENT).read_bytes())
    start_stage("publish", scene.environment, digests, quiet=True)
    evidence = _read(scene.documents / EVIDENCE_DOCUMENT, parse_evidence)
    if evidence is not None:
        _tell_evidence(evidence, github, scene)
    return _find_missing(github, scene, evidence)


def _seed(github: "LocalGitHub", folder: Path, title: str, body: str) -> _Scene:
    from coven_action.emulator.payloads import build_issues_labeled  # noqa: PLC0415 - as above

    root = FILES / "repository"
    files = {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}
    repository = github.seed_repository("acme", "billing", files, description="Invoices of a small shop")
    world = github.world
    maintainer = world.add_collaborator(repository, "maintainer", "write")
    issue = world.open_issue(repository, maintainer, title, body)
    world.add_labels(repository, issue, [LABEL])
    world.add_workflow_run(repository, maintainer, run_id=RUN_ID, event="issues")
    payload = build_issues_labeled(world, repository, issue, world.get_label(repository, LABEL), maintainer)
    event = folder / "event.json"
    event.write_text(json.dumps(payload), encoding="utf-8")
    checkout = folder / "checkout"
    clone = ("git", "clone", "--quiet", f"{github.url}/acme/billing.git", str(checkout))
    subprocess.run(clone, check=True, env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder)})
    environment = {
        **{name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "NO_COLOR") if name in os.environ},
        "HOME": str(folder),
        "GITHUB_API_URL": github.api_url,
        "GITHUB_EVENT_NAME": "issues",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_REPOSITORY": "acme/billing",
        "GITHUB_REPOSITORY_ID": str(repository.id),
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_RUN_ID": str(RUN_ID),
        "GITHUB_SERVER_URL": github.url,
        "RUNNER_TEMP": str(folder),
        ISOLATION: "enforced",
        TOKEN: world.add_actions_token(repository),
    }
    return _Scene(repository, issue, environment, checkout, folder / "documents")


def _read(path: Path, parse: Callable[[bytes], Any]) -> Any:
    return parse(path.read_bytes()) if path.is_file() else None


def _say(name: str, text: str, seconds: float | None = None) -> None:
    time = f"{seconds:.1f} s" if seconds is not None else ""
    click.echo(f"{click.style(name.ljust(NAME_WIDTH), bold=True)}{text:<78} {time}".rstrip())


def _tell_plan(plan: Plan) -> None:
    work = plan.work
    if work is not None:
        asked = (
            f'{work.trigger} #{work.thread_number} "{work.text.title}" by {work.asked_by.login} → {work.familiar.id}'
        )
        _say("plan", asked, plan.seconds)
        _say("", f"{work.trust.reason} · branch {work.target.branch}")
        _say("", work.brief.memory_policy.reason)


def _tell_outcome(outcome: Outcome) -> None:
    seconds = sum(attempt.duration_seconds for attempt in outcome.attempts)
    changed = ", ".join(outcome.files_changed) or "nothing changed"
    _say("run", f"{outcome.runtime} runtime · isolation {outcome.isolation.reached} · {changed}", seconds)
    if outcome.verdict != "worked":
        for line in outcome.summary.splitlines():
            _say("", line)


def _tell_evidence(evidence: Evidence, github: "LocalGitHub", scene: _Scene) -> None:
    for verdict in evidence.verdicts:
        if verdict.refused:
            _say("verify", f"{verdict.step}: {verdict.finding}")
    seconds = next((time.seconds for time in evidence.times if time.stage == "publish"), None)
    if evidence.pull_request_url:
        _say("publish", f"draft PR  {evidence.pull_request_url}", seconds)
        _say("", f"Check Run {evidence.pull_request_url}/checks   {evidence.conclusion}: {evidence.title}")
    else:
        _say("publish", f"no pull request: {evidence.title}", seconds)
    _say("", f"comment   {github.url}/acme/billing/issues/{scene.issue.number}")


def _find_missing(github: "LocalGitHub", scene: _Scene, evidence: Evidence | None) -> list[str]:
    """Look with a stranger's eyes: what of the promised is not at the local GitHub?"""
    if evidence is None:
        return ["the evidence"]
    if evidence.pull_request is None:
        return ["the draft pull request"]
    base = f"{github.url}/acme/billing"
    pages = (
        (f"{base}/issues/{scene.issue.number}", f"#{evidence.pull_request}"),
        (f"{base}/pull/{evidence.pull_request}", "Draft"),
        (f"{base}/pull/{evidence.pull_request}/checks", evidence.title),
    )
    missing = [f"“{text}” on {address}" for address, text in pages if text not in _fetch(address)]
    if len(scene.issue.comments) != 1:
        missing.append(f"exactly one comment on the issue; there are {len(scene.issue.comments)}")
    return missing


def _fetch(address: str) -> str:
    """Return a page of our own server; an error page is a page without what is looked for."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - built above from our own server's address
            text: str = answer.read().decode()
            return text
    except urllib.error.HTTPError:
        return ""
