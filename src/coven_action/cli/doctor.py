"""`coven-action doctor`: what is missing on this machine, at GitHub or at an endpoint, each a fact and a remedy."""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from coven_action import __version__
from coven_action.core.configuration.document import DEFAULT_PATH
from coven_action.core.configuration.parsing import find_mistakes
from coven_action.core.contract.platforms import describe_platform
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.stage_environment import MODEL_KEY, TOKEN
from coven_action.core.workflows.doctor import (
    UNREADABLE,
    Diagnosis,
    check_default_configuration,
    check_git,
    check_isolation,
    check_job,
    check_platform,
    check_python,
    check_token,
    describe_error,
    describe_readable,
    describe_repository,
    has_error,
)
from coven_action.core.workflows.endpoint_doctor import (
    check_access,
    check_alive,
    check_certificate,
    check_clock,
    check_ready,
    check_url,
    check_version,
    describe_unreachable,
)
from coven_action.errors import EnvironmentFault, GitHubError

if TYPE_CHECKING:
    from coven_action.adapters.github_api import GitHubAPI
    from coven_action.core.sandbox.probes import Attempt

TOKEN_NAMES: Final = (TOKEN, "GITHUB_TOKEN")
ENDPOINT_TOKEN: Final = "COVEN_TOKEN"  # noqa: S105 - the name of a variable
PUBLIC_API: Final = "https://api.github.com"
TIMEOUT: Final = 10
ANY_BRANCH: Final = "coven/doctor"
COLOURS: Final = {"ok": "green", "warning": "yellow", "error": "red"}
SUBJECT_WIDTH: Final = 14


@click.command(name="doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, for programs.")
@click.option("--endpoint", metavar="URL", help="Look at this endpoint instead.")
@click.option("--tenant", envvar="COVEN_TENANT", help="With --endpoint: the account there, where it has several.")
def command(*, as_json: bool, endpoint: str | None, tenant: str | None) -> None:
    """Say what is missing here, and how to mend it.

    Looks at Python, git, the platform and the isolation that is reached. With a token and GITHUB_REPOSITORY in the
    environment, as in a job, it also asks GitHub: does the token work, what can it read, is the configuration on the
    default branch valid? It changes nothing. Exit code 1 when something keeps the action from working.

    With --endpoint it looks at an endpoint: whether it answers and takes work, how long its certificate holds, whether its
    clock and its version agree with this machine's, and with COVEN_TOKEN whether that is accepted.

    \b
    Examples, the first as a step of a workflow:
      - run: coven-action doctor
        env: {GITHUB_TOKEN: "${{ github.token }}"}
      coven-action doctor --endpoint https://coven.example.com
    """  # noqa: D301 - the backslash is click's mark for lines that stay as they are
    if endpoint is None:
        report = (*_examine_machine(), *_examine_github(os.environ))
    else:
        report = tuple(_examine_endpoint(endpoint, os.environ.get(ENDPOINT_TOKEN, ""), tenant))
    names = (*TOKEN_NAMES, MODEL_KEY, ENDPOINT_TOKEN)
    redactor = Redactor.build(os.environ[name] for name in names if os.environ.get(name))
    text = _render_json(report) if as_json else _render(report)
    # click keeps colours for a terminal alone; https://no-color.org asks for none even there.
    click.echo(redactor.redact(text), color=False if os.environ.get("NO_COLOR") else None)
    sys.exit(1 if has_error(report) else 0)


def _examine_machine() -> Iterator[Diagnosis]:
    yield check_python(sys.version_info[:3])
    yield check_git(_ask_git())
    yield check_platform(describe_platform(platform.system(), platform.machine()))
    yield check_isolation(_prove_isolation())
    yield check_job(in_job=os.environ.get("GITHUB_ACTIONS") == "true")


def _prove_isolation() -> "Attempt":
    from coven_action.adapters.sandbox.confinement import ProvedConfinement  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="coven-", dir=os.environ.get("RUNNER_TEMP") or None) as folder:
        return ProvedConfinement(Path(folder), os.environ).prove()


def _ask_git() -> str | None:
    try:
        done = subprocess.run(("git", "--version"), capture_output=True, timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def _examine_github(environment: Mapping[str, str]) -> Iterator[Diagnosis]:
    name = next((name for name in TOKEN_NAMES if environment.get(name)), TOKEN)
    token = environment.get(name) or None
    kind = check_token(token, name=name)
    yield kind
    # A person's own credential is not used even to read: what it can do says nothing about the job's token.
    if token is None or kind.level == "error":
        return
    repository = environment.get("GITHUB_REPOSITORY", "")
    if not re.fullmatch(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+", repository):
        message = "GITHUB_REPOSITORY is not set to owner/name, so nothing was asked of GitHub."
        yield describe_error("GitHub", EnvironmentFault("missing-environment", message))
        return
    yield from _ask_github(repository, token, environment.get("GITHUB_API_URL") or PUBLIC_API)


def _ask_github(repository: str, token: str, api_url: str) -> Iterator[Diagnosis]:
    from coven_action.adapters.github_api import GitHubAPI  # noqa: PLC0415 - only who has a token pays for it

    api = GitHubAPI(repository, token=token, api_url=api_url, timeout=TIMEOUT, maximum_wait=TIMEOUT)
    questions: tuple[tuple[str, Callable[[GitHubAPI], tuple[Diagnosis, ...]]], ...] = (
        ("GitHub", lambda api: _read_pull_requests(api, repository, api_url)),
        ("configuration", _read_configuration),
    )
    for subject, ask in questions:
        try:
            yield from ask(api)
        except GitHubError as error:
            yield describe_error(subject, error)
            if error.code in {"bad-credentials", "github-unavailable", "not-found"}:
                return
    yield from UNREADABLE


def _read_pull_requests(api: "GitHubAPI", repository: str, api_url: str) -> tuple[Diagnosis, ...]:
    api.find_pull_requests(ANY_BRANCH)
    return describe_repository(repository, api_url), describe_readable("pull requests")


def _read_configuration(api: "GitHubAPI") -> tuple[Diagnosis, ...]:
    data = api.find_file(DEFAULT_PATH, "HEAD")
    mistakes = None if data is None else len(find_mistakes(data.decode("utf-8", "surrogateescape")))
    return (check_default_configuration(DEFAULT_PATH, mistakes),)


def _examine_endpoint(url: str, token: str, tenant: str | None) -> Iterator[Diagnosis]:
    from coven_action.adapters.endpoint_probe import EndpointProbe  # noqa: PLC0415 - only who looks at one pays for it

    mistake = check_url(url)
    if mistake is not None:
        yield mistake
        return
    probe = EndpointProbe(url, timeout=TIMEOUT)
    try:
        alive = check_alive(probe.ask("/healthz"))
        yield alive
        # What is no endpoint is sent no token.
        if alive.level == "error":
            return
        yield check_certificate(probe.certificate_ends, datetime.now(UTC))
        ready = probe.ask("/readyz")
        yield check_clock(ready.date, datetime.now(UTC))
        yield check_ready(ready)
        yield check_version(probe.ask("/openapi.json"), __version__)
        headers = {"Authorization": f"Bearer {token}"} | ({"Coven-Tenant": tenant} if tenant else {})
        yield from check_access(probe.ask("/v1/audit/head", headers) if token else None)
    except EnvironmentFault as error:
        yield describe_unreachable(error.message)


def _render(report: tuple[Diagnosis, ...]) -> str:
    lines = []
    for diagnosis in report:
        level = click.style(f"{diagnosis.level:<8}", fg=COLOURS[diagnosis.level], bold=True)
        lines.append(f"{level}{diagnosis.subject:<{SUBJECT_WIDTH}} {_flatten(diagnosis.fact)}")
        indent = " " * (SUBJECT_WIDTH + 9)
        lines.extend(f"{indent}{line}" for line in diagnosis.remedy.splitlines())
    return "\n".join(lines)


def _flatten(text: str) -> str:
    """Return a fact on one line without control characters: it may repeat words of whatever answered as GitHub."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable())


def _render_json(report: tuple[Diagnosis, ...]) -> str:
    document = {
        "version": __version__,
        "well": not has_error(report),
        "report": [diagnosis.model_dump(mode="json") for diagnosis in report],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)
