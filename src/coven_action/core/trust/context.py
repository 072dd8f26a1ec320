"""What a stage is told about the job it runs in: read once from the environment, then passed on as a value. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from coven_action.core.documents import Server, TaskIdentity
from coven_action.core.records import Record
from coven_action.errors import EnvironmentFault

# The name is part of commit trailers and of hidden markers, and nothing in it may end one.
_EVENT_NAME: Final = re.compile(r"[a-z_]{1,50}")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,18}")
_SERVER: Final = re.compile(r"https?://[A-Za-z0-9.:_-]+(?:/[A-Za-z0-9._/-]*)?")


class JobContext(Record):
    """The job, in GitHub's own words."""

    event_name: str
    repository: str
    repository_id: int
    run_id: int
    run_attempt: int
    server: Server

    @property
    def task(self) -> TaskIdentity:
        """What this task is recognised by."""
        return TaskIdentity(
            repository_id=self.repository_id,
            event_name=self.event_name,
            run_id=self.run_id,
            run_attempt=self.run_attempt,
        )


def parse_job_context(environment: Mapping[str, str]) -> JobContext:
    """Return the context that the variables of a job describe.

    Every variable is GitHub's own: https://docs.github.com/en/actions/reference/workflows-and-actions/variables

    Raises:
        EnvironmentFault: A variable is missing or is not what GitHub sets.
    """
    repository = _required(environment, "GITHUB_REPOSITORY")
    if not re.fullmatch(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+", repository):
        raise EnvironmentFault("missing-environment", "GITHUB_REPOSITORY is not of the form owner/name.")
    event_name = _required(environment, "GITHUB_EVENT_NAME")
    if not _EVENT_NAME.fullmatch(event_name):
        raise EnvironmentFault("missing-environment", f"GITHUB_EVENT_NAME is not an event's name: {event_name[:40]!r}.")
    return JobContext(
        event_name=event_name,
        repository=repository,
        repository_id=_number(environment, "GITHUB_REPOSITORY_ID"),
        run_id=_number(environment, "GITHUB_RUN_ID"),
        run_attempt=_number(environment, "GITHUB_RUN_ATTEMPT"),
        server=Server(
            server_url=_address(environment, "GITHUB_SERVER_URL"), api_url=_address(environment, "GITHUB_API_URL")
        ),
    )


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise EnvironmentFault("missing-environment", f"{name} is not set.")
    return value


def _number(environment: Mapping[str, str], name: str) -> int:
    value = _required(environment, name)
    if not _NUMBER.fullmatch(value):
        raise EnvironmentFault("missing-environment", f"{name} is not a number: {value[:40]!r}.")
    return int(value)


def _address(environment: Mapping[str, str], name: str) -> str:
    value = _required(environment, name).rstrip("/")
    if not _SERVER.fullmatch(value):
        raise EnvironmentFault("missing-environment", f"{name} is not an http(s) address: {value[:80]!r}.")
    return value
