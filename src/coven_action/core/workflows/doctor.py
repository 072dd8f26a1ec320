"""What `doctor` says: for each thing a run needs, a fact, whether it is well, and a remedy.

Pure: what was found out about the machine and at GitHub comes in as values. Only what can be known is said; what the
job's token cannot read is named as such, with the page where a person sees it.
"""

import re
from typing import Final, Literal

from coven_action.core.contract.platforms import Platform
from coven_action.core.contract.releases import PINNED_VERSION
from coven_action.core.publication.publication import find_personal_prefix
from coven_action.core.records import Record
from coven_action.core.sandbox.probes import Attempt
from coven_action.error_codes import CODES
from coven_action.errors import Error

PYTHON: Final = (3, 11)
TESTED: Final = "tested on Python 3.11 on Linux"
GIT: Final = (2, 35)
GIT_REASON: Final = (
    "the stages keep the runner's own git configuration out by GIT_CONFIG_GLOBAL, which git knows since 2.32, and name "
    "the checkouts they may read by safe.directory, which came with 2.35.2"
)

Level = Literal["ok", "warning", "error"]


class Diagnosis(Record):
    """One line of the report.

    Args:
        subject: What was looked at, one or two words.
        level: Whether it is well.
        fact: What was found, one sentence or less.
        remedy: What to do; empty where it is well.
    """

    subject: str
    level: Level
    fact: str
    remedy: str = ""


def check_python(version: tuple[int, int, int]) -> Diagnosis:
    """Judge the Python that runs this."""
    said = ".".join(str(part) for part in version)
    if version[:2] < PYTHON:
        remedy = "Use Python 3.11 or newer, in a workflow by actions/setup-python before the action."
        return Diagnosis(subject="Python", level="error", fact=f"{said} is too old", remedy=remedy)
    note = "" if version[:2] == PYTHON else f"; this version was {TESTED}"
    return Diagnosis(subject="Python", level="ok", fact=said + note)


def check_git(answer: str | None) -> Diagnosis:
    """Judge git.

    Args:
        answer: What `git --version` prints, None where git could not be started.
    """
    if answer is None:
        return Diagnosis(
            subject="git", level="error", fact="git could not be started", remedy=f"Install git {_dots(GIT)} or newer."
        )
    match = re.match(r"git version ([0-9]{1,4})\.([0-9]{1,4})(?:\.[0-9]{1,4})?", answer)
    if match is None:
        remedy = f"Put git {_dots(GIT)} or newer first on PATH."
        return Diagnosis(subject="git", level="error", fact="what answers as git is none", remedy=remedy)
    said = match[0].removeprefix("git version ")
    if (int(match[1]), int(match[2])) < GIT:
        return Diagnosis(
            subject="git",
            level="error",
            fact=f"{said} is older than {_dots(GIT)}",
            remedy=f"Install a newer git: {GIT_REASON}.",
        )
    return Diagnosis(subject="git", level="ok", fact=said)


def check_platform(platform: Platform) -> Diagnosis:
    """Judge the platform."""
    said = f"{platform.name}, {platform.architecture}"
    if not platform.supported:
        remedy = CODES["platform-not-supported"].remedy
        return Diagnosis(subject="platform", level="error", fact=f"{said}: runs are not started", remedy=remedy)
    if platform.note:
        return Diagnosis(subject="platform", level="warning", fact=f"{said}: {platform.note}", remedy="Use Linux.")
    return Diagnosis(subject="platform", level="ok", fact=said)


def check_isolation(proved: Attempt) -> Diagnosis:
    """Say what the level that was proved on this machine means."""
    if proved.level == "enforced":
        return Diagnosis(
            subject="isolation", level="ok", fact=f"enforced ({proved.backend}): the agent runs in a sandbox"
        )
    held = {
        "partial": f"partial ({proved.backend}): the agent runs in a sandbox whose network is limited and not closed",
        "none": "none: an agent runs as this user and can read what this user can read, its model key included",
    }
    return Diagnosis(
        subject="isolation",
        level="warning",
        fact=held[proved.level],
        remedy="`coven-action probe` says what is missing. The patch runtime starts at any level; any other one starts only "
        f"where the workflow says `isolation: {proved.level}`; the pinned coven-code {PINNED_VERSION} needs an enforced "
        "sandbox and does not start.",
    )


def check_job(*, in_job: bool) -> Diagnosis:
    """Say where this runs."""
    if in_job:
        return Diagnosis(subject="job", level="ok", fact="inside a job of GitHub Actions")
    return Diagnosis(
        subject="job",
        level="ok",
        fact="not inside a job of GitHub Actions: what is said of the machine is said of this one, not of the runner",
    )


def check_token(token: str | None, *, name: str) -> Diagnosis:
    """Judge the kind of a token by its form; it is not shown.

    Args:
        token: The token, None where there is none.
        name: The variable it stands in.
    """
    if token is None:
        return Diagnosis(
            subject="token",
            level="warning",
            fact="no token, so nothing was asked of GitHub",
            remedy="In a job, pass `GITHUB_TOKEN: ${{ github.token }}` in the step's `env:`.",
        )
    prefix = find_personal_prefix(token)
    if prefix is not None:
        fact = f"{name} begins with {prefix}: a person's own credential, with which nothing is published"
        return Diagnosis(subject="token", level="error", fact=fact, remedy=CODES["personal-token"].remedy)
    if token.startswith("ghs_"):
        return Diagnosis(subject="token", level="ok", fact=f"{name} is an installation's token, as a job's own is")
    return Diagnosis(
        subject="token",
        level="warning",
        fact=f"{name} has a form that is not known",
        remedy="Pass `${{ github.token }}`.",
    )


def describe_error(subject: str, error: Error) -> Diagnosis:
    """Return the line for a request that failed."""
    return Diagnosis(subject=subject, level="error", fact=error.message, remedy=error.remedy)


def describe_repository(repository: str, api_url: str) -> Diagnosis:
    """Return the line for a repository that was read."""
    return Diagnosis(subject="GitHub", level="ok", fact=f"{api_url} answers, and {repository} can be read")


def describe_readable(name: str) -> Diagnosis:
    """Return the line for something that the token may read."""
    return Diagnosis(subject="permissions", level="ok", fact=f"the token may read {name}")


def check_default_configuration(path: str, mistakes: int | None) -> Diagnosis:
    """Judge the configuration of the default branch.

    Args:
        path: Its path.
        mistakes: How many mistakes it has, None where there is no such file.
    """
    if mistakes is None:
        fact, remedy = f"the default branch has no {path}", CODES["missing-config"].remedy
        return Diagnosis(subject="configuration", level="error", fact=fact, remedy=remedy)
    if mistakes:
        fact = f"{path} on the default branch has {mistakes} mistake{'' if mistakes == 1 else 's'}"
        remedy = "Run `coven-action check` in a checkout of the default branch: it names each with its place."
        return Diagnosis(subject="configuration", level="error", fact=fact, remedy=remedy)
    return Diagnosis(subject="configuration", level="ok", fact=f"{path} on the default branch is valid")


UNREADABLE: Final = (
    Diagnosis(
        subject="write access",
        level="ok",
        fact="what the token may write cannot be read without writing",
        remedy="Look into the job's log: Set up job → GITHUB_TOKEN Permissions. `coven-action check` compares the "
        "workflow's permissions with what the stages need.",
    ),
    Diagnosis(
        subject="pull requests",
        level="ok",
        fact="the switch that lets Actions create pull requests cannot be read with the job's token",
        remedy="Look at Settings → Actions → General → Workflow permissions.",
    ),
    Diagnosis(
        subject="draft",
        level="ok",
        fact="whether the repository offers draft pull requests shows only when one is opened",
        remedy="Private repositories on the Free plan do not: there an ordinary one with the label coven:draft is opened.",
    ),
)
"""What nobody can know beforehand, and where a person sees it."""


def has_error(report: tuple[Diagnosis, ...]) -> bool:
    """Return whether something keeps the action from working."""
    return any(diagnosis.level == "error" for diagnosis in report)


def _dots(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
