"""`coven-action stage`: the stages of the action, each a process of its own with only the variables it may see."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

import coven_action
from coven_action.cli.boundary import build_redactor
from coven_action.cli.endpoint_ports import connect_for_plan, connect_for_publish, find_outboxes
from coven_action.core.checks.document import CHECKS_DOCUMENT
from coven_action.core.contract.platforms import describe_platform
from coven_action.core.documents import MAXIMUM_DOCUMENT_BYTES, parse_plan
from coven_action.core.isolation import LEVELS, IsolationLevel
from coven_action.core.publication.publication import find_personal_prefix
from coven_action.core.records import sha256_hex
from coven_action.core.stage_environment import (
    APP_BOT_ID,
    CHECKS_SHA256,
    FOLDER,
    ID_TOKEN,
    INSTALLATION_ID,
    ISOLATION,
    MODEL_KEY,
    OUTCOME_SHA256,
    PLAN_SHA256,
    RECEIVED,
    RUNTIME_PATH,
    STAGE,
    TOKEN,
    filter_environment,
)
from coven_action.core.trust.context import JobContext, parse_job_context
from coven_action.errors import DocumentError, EnvironmentFault, EventError
from coven_action.stages.documents import BUNDLE_FILE, OUTCOME_DOCUMENT, PATCH_FILE, PLAN_DOCUMENT

if TYPE_CHECKING:
    from coven_action.adapters.actions import ActionsJob
    from coven_action.adapters.folder import DocumentFolder
    from coven_action.adapters.git.publication import GitPublicationRepositories
    from coven_action.core.redaction.redactor import Redactor
    from coven_action.core.sandbox.request import Bind
    from coven_action.stages.ports import Job

LARGEST_ID: Final = 2**63 - 1
MAXIMUM_EVENT_BYTES: Final = 25 * 1024 * 1024
SYSTEM_PREFIX: Final = Path("/usr")
"""Where the system's own Python lives, which every sandbox has."""
MAXIMUM_BUNDLE_BYTES: Final = 128 * 1024 * 1024
HANDED_OVER: Final[Mapping[str, tuple[tuple[str, str, int], ...]]] = {
    "run": (("plan", PLAN_DOCUMENT, MAXIMUM_DOCUMENT_BYTES),),
    "verify": (
        ("plan", PLAN_DOCUMENT, MAXIMUM_DOCUMENT_BYTES),
        ("run", OUTCOME_DOCUMENT, MAXIMUM_DOCUMENT_BYTES),
        ("run", BUNDLE_FILE, MAXIMUM_BUNDLE_BYTES),
    ),
    "publish": (
        ("plan", PLAN_DOCUMENT, MAXIMUM_DOCUMENT_BYTES),
        ("run", OUTCOME_DOCUMENT, MAXIMUM_DOCUMENT_BYTES),
        ("run", BUNDLE_FILE, MAXIMUM_BUNDLE_BYTES),
        ("run", PATCH_FILE, MAXIMUM_BUNDLE_BYTES),
        ("verify", CHECKS_DOCUMENT, MAXIMUM_DOCUMENT_BYTES),
    ),
}
"""What a stage in a job of its own takes over: the stage that wrote it, the file, and the bytes it may have."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)


@click.group(name="stage")
def command() -> None:
    """Run a stage of the action. A workflow calls these; their state comes from the job's environment.

    \b
    plan     decide: who asked, which familiar, on what        writes plan.json
    run      let the familiar work; no GitHub token            writes outcome.json, changes.bundle, agent.log
    verify   run the checks on base and result; no secret      writes checks.json
    publish  verify, push, draft pull request, Check Run       writes evidence.json
    all      these in a row, each in a process of its own

    Inputs come as COVEN_INPUT_* variables, the job as GitHub's own GITHUB_* variables.
    """  # noqa: D301 - \b is click's sign for lines that stay as they are


@command.command()
def plan() -> None:
    """Decide whether a run goes on, and write plan.json."""
    from coven_action.adapters.actions import ActionsJob  # noqa: PLC0415 - each stage pays only for its own imports
    from coven_action.adapters.folder import DocumentFolder  # noqa: PLC0415
    from coven_action.adapters.templates import MarkdownTemplates  # noqa: PLC0415
    from coven_action.stages.plan import Demands, PlanPorts  # noqa: PLC0415
    from coven_action.stages.plan import plan as plan_stage  # noqa: PLC0415

    context, job = parse_job_context(os.environ), ActionsJob()
    api = _LazyGitHub(context, os.environ)
    documents = DocumentFolder(find_folder(os.environ, context))
    redactor, repositories = build_redactor(os.environ), _build_repositories(context, documents.folder, os.environ)
    ports = PlanPorts(
        clock=SystemClock(),
        documents=documents,
        reader=api,
        writer=api,
        renderer=MarkdownTemplates(),
        job=job,
        redactor=redactor,
        trees=repositories,
        connect=connect_for_plan(os.environ, redactor),
        witness=repositories.open_witness(documents.folder),
    )
    demands = Demands(
        isolation=_demanded_isolation(os.environ),
        one_job=os.environ.get(STAGE) == "all",
        installation_id=_read_installation_id(os.environ),
        app_bot_id=_read_app_bot_id(os.environ),
    )
    decided = plan_stage(context, _load_event(os.environ), demands=demands, ports=ports)
    refusal = decided.refusal
    said = f"{refusal.reason} {refusal.remedy}" if refusal else f"plan: {decided.decision}"
    job.notice(ports.redactor.redact(said))


@command.command()
@click.option("--checkout", type=click.Path(path_type=Path), help="The checked out repository [GITHUB_WORKSPACE].")
def run(checkout: Path | None) -> None:
    """Let the familiar work, and write outcome.json, changes.bundle and agent.log."""
    from coven_action.adapters.gateway.opening import GatewayOpener  # noqa: PLC0415
    from coven_action.adapters.git.checking import GitCheckTrees  # noqa: PLC0415
    from coven_action.adapters.git.program import Git  # noqa: PLC0415
    from coven_action.adapters.git.workspace import GitWorkspaces  # noqa: PLC0415
    from coven_action.adapters.sandbox.confinement import ProvedConfinement  # noqa: PLC0415
    from coven_action.stages.run import RunPorts  # noqa: PLC0415
    from coven_action.stages.run import run as run_stage  # noqa: PLC0415
    from coven_action.stages.runtimes import RuntimePorts  # noqa: PLC0415

    context, environment = parse_job_context(os.environ), os.environ
    documents, job, redactor = _open_job("run", context)
    git = Git(documents.folder / "git", environment.get("PATH", os.defpath))
    ports = RunPorts(
        clock=SystemClock(),
        documents=documents,
        workspaces=GitWorkspaces(git),
        trees=GitCheckTrees(git),
        runtimes=RuntimePorts(
            confinement=ProvedConfinement(documents.folder / "sandbox", environment),
            gateways=GatewayOpener(environment, lambda line: job.notice(redactor.redact(line))),
            install=lambda: _install_runtime(environment, documents.folder),
            patch_program=(sys.executable, "-I", "-m", "coven_action.runtimes.patch"),
            patch_binds=list_own_folders(),
            model_key=environment.get(MODEL_KEY) or None,
        ),
        job=job,
        redactor=redactor,
    )
    run_stage(
        context.task,
        checkout=checkout or Path(environment.get("GITHUB_WORKSPACE") or Path.cwd()),
        platform=describe_platform(platform.system(), platform.machine()),
        plan_sha256=environment.get(PLAN_SHA256) or None,
        ports=ports,
    )


@command.command()
@click.option("--checkout", type=click.Path(path_type=Path), help="The checked out repository [GITHUB_WORKSPACE].")
def verify(checkout: Path | None) -> None:
    """Run the repository's checks on the base and on the result, and write checks.json."""
    from coven_action.adapters.git.checking import GitCheckTrees  # noqa: PLC0415
    from coven_action.adapters.git.program import Git  # noqa: PLC0415
    from coven_action.adapters.sandbox.confinement import ProvedConfinement  # noqa: PLC0415
    from coven_action.stages.verify import VerifyPorts  # noqa: PLC0415
    from coven_action.stages.verify import verify as verify_stage  # noqa: PLC0415

    context, environment = parse_job_context(os.environ), os.environ
    documents, job, redactor = _open_job("verify", context)
    ports = VerifyPorts(
        clock=SystemClock(),
        documents=documents,
        trees=GitCheckTrees(Git(documents.folder / "git", environment.get("PATH", os.defpath))),
        confinement=ProvedConfinement(documents.folder / "sandbox", environment),
        job=job,
        redactor=redactor,
    )
    verify_stage(
        context.task,
        checkout=checkout or Path(environment.get("GITHUB_WORKSPACE") or Path.cwd()),
        plan_sha256=environment.get(PLAN_SHA256) or None,
        outcome_sha256=environment.get(OUTCOME_SHA256) or None,
        separate_runner=is_separate_runner(environment),
        ports=ports,
    )


def is_separate_runner(environment: Mapping[str, str]) -> bool:
    """Return whether nothing of the agent's can have been on this machine: a job of its own, on a machine made for it.

    A job of its own takes over what the others have left; a step beside that of `run` finds it in the folder. GitHub makes a
    new virtual machine for each job of its own runners; who runs others may reuse them.
    """
    is_own_job = environment.get(STAGE) == "verify" and bool(environment.get(RECEIVED))
    return is_own_job and environment.get("RUNNER_ENVIRONMENT") == "github-hosted"


@command.command()
def publish() -> None:
    """Verify the result, push it, open the draft pull request, and write evidence.json."""
    from coven_action.adapters.templates import MarkdownTemplates  # noqa: PLC0415
    from coven_action.stages.publish import Digests  # noqa: PLC0415
    from coven_action.stages.publish import publish as publish_stage  # noqa: PLC0415
    from coven_action.stages.telling import PublishPorts  # noqa: PLC0415

    context, environment = parse_job_context(os.environ), os.environ
    documents, job, redactor = _open_job("publish", context)
    repositories = _build_repositories(context, documents.folder, environment)
    ports = PublishPorts(
        clock=SystemClock(),
        documents=documents,
        repositories=repositories,
        writer=_LazyGitHub(context, environment),
        renderer=MarkdownTemplates(),
        job=job,
        redactor=redactor,
        connect=connect_for_publish(environment, redactor, folder=documents.folder, task=context.task),
        witness=repositories.open_witness(documents.folder),
        open_outboxes=find_outboxes(context, get_token(environment)),
        app_bot_id=_read_app_bot_id(environment),
    )
    digests = Digests(
        plan=environment.get(PLAN_SHA256) or None,
        outcome=environment.get(OUTCOME_SHA256) or None,
        checks=environment.get(CHECKS_SHA256) or None,
    )
    sys.exit(publish_stage(context.task, digests=digests, ports=ports))


@command.command(name="all")
@click.option("--checkout", type=click.Path(path_type=Path), help="The checked out repository [GITHUB_WORKSPACE].")
def run_all(checkout: Path | None) -> None:
    """Run plan, run, verify and publish, each in a process of its own that sees only the variables it may see."""
    context = parse_job_context(os.environ)
    folder = find_folder(os.environ, context)
    sys.exit(run_stages(os.environ, folder, checkout=checkout))


def run_stages(environment: Mapping[str, str], folder: Path, *, checkout: Path | None) -> int:
    """Run the stages as processes and return the exit code of the last one that mattered."""
    # An endpoint is refused in one job, so nobody here has any use for what asks for ID tokens.
    environment = {name: value for name, value in environment.items() if name not in ID_TOKEN}
    code = start_stage("plan", environment, {FOLDER: str(folder), STAGE: "all"})
    if code:
        return code
    plan_data = _read_own(folder / PLAN_DOCUMENT)
    digests = {FOLDER: str(folder), PLAN_SHA256: sha256_hex(plan_data)}
    work = parse_plan(plan_data).work
    if work is not None:
        arguments = ("--checkout", str(checkout)) if checkout else ()
        # `run` records what goes wrong, and `publish` tells it. One that was killed has vouched for nothing, whatever lies
        # there: then no digest is handed over, and `publish` refuses what it finds.
        was_killed = start_stage("run", environment, digests, *arguments) < 0
        outcome = folder / OUTCOME_DOCUMENT
        if outcome.is_file() and not was_killed:
            digests[OUTCOME_SHA256] = sha256_hex(_read_own(outcome))
            # Likewise: a `verify` that failed has vouched for nothing, and nothing is published unseen.
            together = {**digests, STAGE: "all"}
            if work.checks and start_stage("verify", environment, together, *arguments) == 0:
                digests |= _vouch_for_checks(folder / CHECKS_DOCUMENT)
    return start_stage("publish", environment, digests)


def _vouch_for_checks(path: Path) -> dict[str, str]:
    """Return the digest of what `verify` has written; nothing where there was no result to check."""
    return {CHECKS_SHA256: sha256_hex(_read_own(path))} if path.is_file() else {}


def start_stage(
    stage: str, environment: Mapping[str, str], additions: Mapping[str, str], *arguments: str, quiet: bool = False
) -> int:
    """Start one stage in a process of its own and return its exit code. Quiet leaves out its log, not its errors."""
    argv = (sys.executable, "-I", "-m", "coven_action", "stage", stage, *arguments)
    stage_environment = {**filter_environment(stage, environment), **additions}
    log = subprocess.DEVNULL if quiet else None
    return subprocess.run(argv, env=stage_environment, stdout=log, check=False).returncode


def _read_own(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MAXIMUM_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise DocumentError("missing-document", f"{path.name} cannot be read: {error.strerror}.") from error


def find_folder(environment: Mapping[str, str], context: JobContext) -> Path:
    """Return the folder of this run's documents: the input `folder`, else one below RUNNER_TEMP."""
    named = environment.get(FOLDER)
    if named:
        return Path(named).resolve()
    temporary = environment.get("RUNNER_TEMP")
    if not temporary:
        raise EnvironmentFault("missing-environment", "Neither RUNNER_TEMP nor the input folder is set.")
    return Path(temporary).resolve() / "coven-action" / context.task.external_id


def _open_job(stage: str, context: JobContext) -> "tuple[DocumentFolder, ActionsJob, Redactor]":
    """Return a stage's documents, job and redactor, once what earlier jobs handed over lies among the documents."""
    from coven_action.adapters.actions import ActionsJob  # noqa: PLC0415 - each stage pays only for its own imports
    from coven_action.adapters.folder import DocumentFolder  # noqa: PLC0415

    documents, job = DocumentFolder(find_folder(os.environ, context)), ActionsJob()
    redactor = build_redactor(os.environ)
    _take_over(stage, os.environ, documents.folder, job, redactor)
    return documents, job, redactor


def _take_over(stage: str, environment: Mapping[str, str], folder: Path, job: "Job", redactor: "Redactor") -> None:
    """Take what earlier jobs handed over, where the workflow says that it has downloaded something."""
    received = environment.get(RECEIVED)
    if not received:
        return
    from coven_action.adapters.received import take_file  # noqa: PLC0415 - only a job of its own pays for it

    for source, name, limit in HANDED_OVER[stage]:
        wrong = take_file(Path(received).resolve() / source, name, limit, folder)
        if wrong is not None:
            job.warning(redactor.redact(wrong))


def list_own_folders() -> "tuple[Bind, ...]":
    """Return what a Python of ours takes beside the system: the environment, what that is made of, and our package.

    The environment's program is a link, and may lead there by way of other links, whose folders are nobody's concern.
    """
    from coven_action.core.sandbox.request import Bind  # noqa: PLC0415

    package = Path(coven_action.__file__).resolve().parent
    folders = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), package, SYSTEM_PREFIX}
    links = {link for link in _follow(Path(sys.executable)) if not folders & set(link.parents)}
    return tuple(Bind(str(path)) for path in sorted((folders - {SYSTEM_PREFIX}) | links))


def _follow(path: Path) -> Iterator[Path]:
    """Yield each place that a link leads to, by its name."""
    while path.is_symlink():
        path = Path(os.path.normpath(path.parent / path.readlink()))
        yield path


def get_token(environment: Mapping[str, str]) -> str:
    """Return the job's token. A person's own credential is refused: what it does would be done in that person's name."""
    token = environment.get(TOKEN, "")
    if not token:
        raise EnvironmentFault("missing-environment", f"{TOKEN} is not set: the input github-token is empty.")
    prefix = find_personal_prefix(token)
    if prefix is not None:
        raise EnvironmentFault("personal-token", f"The token begins with {prefix}: it is a person's own credential.")
    return token


def _build_repositories(
    context: JobContext, folder: Path, environment: Mapping[str, str]
) -> "GitPublicationRepositories":
    """Return the server's repositories, with the job's token."""
    from coven_action.adapters.git.program import Git  # noqa: PLC0415
    from coven_action.adapters.git.publication import GitPublicationRepositories  # noqa: PLC0415

    git = Git(folder / "git", environment.get("PATH", os.defpath))
    remote_url = f"{context.server.server_url}/{context.repository}.git"
    return GitPublicationRepositories(git, remote_url, get_token(environment))


def _read_installation_id(environment: Mapping[str, str]) -> int | None:
    fault = EnvironmentFault("installation-id", "The input installation-id is no number of an App's installation.")
    return _read_id(environment.get(INSTALLATION_ID, ""), fault)


def _read_app_bot_id(environment: Mapping[str, str]) -> int | None:
    fault = EnvironmentFault("app-bot-id", "The input app-bot-id is no number of an account.")
    return _read_id(environment.get(APP_BOT_ID, ""), fault)


def _read_id(given: str, fault: EnvironmentFault) -> int | None:
    """Return the number that an input gives, None where it gives none. Raises `fault` for anything else."""
    if not given:
        return None
    if not (
        given.isascii() and given.isdigit() and len(given) <= len(str(LARGEST_ID)) and 0 < int(given) <= LARGEST_ID
    ):
        raise fault
    return int(given)


def _demanded_isolation(environment: Mapping[str, str]) -> IsolationLevel:
    demanded = environment.get(ISOLATION) or "enforced"
    for level in LEVELS:
        if demanded == level:
            return level
    raise EnvironmentFault(
        "isolation-unknown", f"The input isolation is {demanded[:40]!r}, not one of {', '.join(LEVELS)}."
    )


def _load_event(environment: Mapping[str, str]) -> Any:
    path = environment.get("GITHUB_EVENT_PATH", "")
    if not path:
        raise EnvironmentFault("missing-environment", "GITHUB_EVENT_PATH is not set.")
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(MAXIMUM_EVENT_BYTES + 1)
    except OSError as error:
        raise EventError("malformed-event", f"The event payload cannot be read: {error.strerror}.") from error
    if len(data) > MAXIMUM_EVENT_BYTES:
        raise EventError("malformed-event", f"The event payload has more than {MAXIMUM_EVENT_BYTES} bytes.")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise EventError("malformed-event", "The event payload is not JSON.") from error


def _install_runtime(environment: Mapping[str, str], folder: Path) -> Path:
    from coven_action.adapters.runtime_install import check_installed_runtime, install_runtime  # noqa: PLC0415
    from coven_action.core.contract.releases import archive_for  # noqa: PLC0415

    named = environment.get(RUNTIME_PATH)
    if named:
        return check_installed_runtime(Path(named))
    cache = Path(environment.get("RUNNER_TOOL_CACHE") or folder / "tools")
    return install_runtime(archive_for(platform.system(), platform.machine()), cache=cache)


class _LazyGitHub:
    """The API client, built when the first request is made: many events are declined without one."""

    def __init__(self, context: JobContext, environment: Mapping[str, str]) -> None:
        self._context = context
        self._token = get_token(environment)
        self._app_bot_id = _read_app_bot_id(environment)
        self._api: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._api is None:
            from coven_action.adapters.github_api import GitHubAPI  # noqa: PLC0415

            context = self._context
            self._api = GitHubAPI(
                context.repository,
                token=self._token,
                api_url=context.server.api_url,
                app_bot_id=self._app_bot_id,
            )
        return getattr(self._api, name)
