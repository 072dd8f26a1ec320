"""Ask the Actions service for an ID token of this job, within bounds, and never repeat what it answers.

The two variables it needs are there only in a job with `id-token: write`. The token is a credential until it expires:
whoever asks for it hands it to the redactor and to the runner's masks.
https://docs.github.com/en/actions/reference/security/oidc#methods-for-requesting-the-oidc-token
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx

from coven_action.core.configuration.endpoint_urls import LOOPBACK
from coven_action.core.oidc.tokens import has_compact_shape
from coven_action.core.strict_json import StrictJSONError, parse_json_object
from coven_action.errors import EnvironmentFault, GitHubError

URL_VARIABLE: Final = "ACTIONS_ID_TOKEN_REQUEST_URL"
TOKEN_VARIABLE: Final = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"  # noqa: S105 - the name of a variable
MAX_ANSWER: Final = 32 * 1024
_PLACE: Final = "GET " + URL_VARIABLE
# Statuses after which the same question may have another answer.
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The bounds of one request for a token.

    Attributes:
        connect_seconds: Time to connect.
        total_seconds: Time for everything, all tries together.
        tries: How often it is asked, when the service cannot be reached or has trouble of its own.
        pause_seconds: Between two tries.
    """

    connect_seconds: float = 2.0
    total_seconds: float = 5.0
    tries: int = 3
    pause_seconds: float = 0.2


class _Trouble(Exception):
    """Raised when another try may go well; says why in words of ours."""


def request_id_token(environment: Mapping[str, str], audience: str, *, limits: RequestLimits | None = None) -> str:
    """Return an ID token of this job for `audience`.

    Args:
        environment: The variables of the job.
        audience: Whom the token is for: the endpoint's URL.
        limits: The bounds.

    Raises:
        EnvironmentFault: `id-token-not-permitted`, when the job has not the variables.
        GitHubError: `id-token-failed`, when no token was to be had.
    """
    bounds = limits or RequestLimits()
    url, credential = _read_variables(environment, audience)
    deadline = time.monotonic() + bounds.total_seconds
    # A proxy of the environment is used as by the runner's own requests; a loopback address is not one for it.
    trusts_environment = url.host not in LOOPBACK
    tries_left = bounds.tries
    with httpx.Client(follow_redirects=False, trust_env=trusts_environment) as client:
        while True:
            try:
                return _ask(client, url, credential, deadline, bounds)
            except _Trouble as trouble:
                tries_left -= 1
                if tries_left <= 0 or time.monotonic() + bounds.pause_seconds >= deadline:
                    raise _build_failure(str(trouble)) from None
            time.sleep(bounds.pause_seconds)


def _read_variables(environment: Mapping[str, str], audience: str) -> tuple[httpx.URL, str]:
    address, credential = environment.get(URL_VARIABLE, ""), environment.get(TOKEN_VARIABLE, "")
    if not address or not credential:
        raise EnvironmentFault("id-token-not-permitted", "The job has no variables to ask for an ID token with.")
    try:
        url = httpx.URL(address).copy_merge_params({"audience": audience})
    except httpx.InvalidURL as error:
        raise _build_failure("the address is none") from error
    if url.scheme != "https" and (url.scheme != "http" or url.host not in LOOPBACK):
        raise _build_failure("the address is not https")
    return url, credential


def _ask(client: httpx.Client, url: httpx.URL, credential: str, deadline: float, limits: RequestLimits) -> str:
    left = max(deadline - time.monotonic(), 0.001)
    timeout = httpx.Timeout(left, connect=min(left, limits.connect_seconds))
    headers = {"Authorization": f"bearer {credential}", "Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        with client.stream("GET", url, headers=headers, timeout=timeout) as response:
            if response.status_code in _PASSING:
                raise _Trouble(f"the service answered {response.status_code}")
            if response.status_code != httpx.codes.OK:
                raise _build_failure(f"the service answered {response.status_code}")
            answer = _read_bounded(response, deadline)
    except (httpx.HTTPError, UnicodeEncodeError) as error:
        # Neither the library's words nor its traceback are passed on: they may hold the address or the credential.
        raise _Trouble(f"the service cannot be reached ({type(error).__name__})") from None
    return _read_token(answer)


def _read_bounded(response: httpx.Response, deadline: float) -> bytes:
    read = bytearray()
    for chunk in response.iter_raw():
        read += chunk
        if len(read) > MAX_ANSWER:
            raise _build_failure("the answer is too large")
        if time.monotonic() > deadline:
            raise _build_failure("the answer took too long")
    return bytes(read)


def _read_token(answer: bytes) -> str:
    try:
        value = parse_json_object(answer, max_bytes=MAX_ANSWER).get("value")
    except StrictJSONError:
        # The reason would be told with a place in the answer, and the answer is a credential.
        raise _build_failure("the answer is not the document it should be") from None
    if not isinstance(value, str) or not has_compact_shape(value):
        raise _build_failure("the answer holds no token")
    return value


def _build_failure(reason: str) -> GitHubError:
    return GitHubError("id-token-failed", f"No ID token: {reason}.", place=_PLACE)
