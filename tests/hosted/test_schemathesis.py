"""The running endpoint does what its description says, whatever it is sent: what that allows, and what it does not."""

import asyncio
import itertools
import json
import logging

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.core import NotSet
from schemathesis.generation import GenerationMode

from coven_action.hosted.app import build_routes
from tests.fuzzing import examples
from tests.hosted.deployment import ADMIN_TOKEN, make_token
from tests.hosted.neighbours import Act, open_street
from tests.identity_tokens import NOW

DESCRIPTION = build_routes().openapi()
SCHEMA = schemathesis.openapi.from_dict(DESCRIPTION)
OPERATIONS = [(path, method) for path, methods in DESCRIPTION["paths"].items() for method in methods]
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OF_RUNS = (
    "/v1/runs/self",
    "/v1/relay",
    "/v1/policy",
    "/v1/memory/bundle",
    "/v1/memory/proposals",
    "/v1/memory/validations",
)
# Where an operation asks for nothing, not even for a token, no request can be a wrong one.
CASES = [
    (path, method, mode)
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    for path, method in OPERATIONS
    if mode is GenerationMode.POSITIVE
    or any(DESCRIPTION["paths"][path][method].get(part) for part in ("parameters", "requestBody", "security"))
]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def household():
    """An account in which a good deal has happened, so that there is something to answer with."""
    with asyncio.Runner() as runner, open_street(runner) as street:
        for name, *arguments in (
            ("report", 3), ("propose", 3, 0), ("propose", 3, 1), ("decide", 0, "approve"), ("append", 3), ("ask_export",),
        ):  # fmt: skip
            street.act(1, Act(name, tuple(arguments)), NOW)
        yield street.households[1]


def authorise(household, path, method):
    """Return headers with a token that is good for an operation, and what every write needs."""
    if (path, method) == ("/v1/session", "post"):
        return {"Authorization": f"Bearer {make_token(NOW, run_id=str(next(_numbers)))}"}
    headers = {"Idempotency-Key": f"fuzz-{next(_numbers)}"}
    if path.startswith(OF_RUNS):
        return {**headers, "Authorization": f"Bearer {household.get_session(3)['token']}"}
    if path == "/v1/session":
        run = 1_000_000 + next(_numbers)
        return {**headers, "Authorization": f"Bearer {household.open(run)['token']}"}
    return {**headers, "Authorization": f"Bearer {ADMIN_TOKEN}", "Coven-Tenant": "1"}


def send(household, case, extra):
    """Send what was drawn with the headers that make it somebody's, and return the answer."""
    drawn = {name: str(value) for name, value in (case.headers or {}).items() if is_sendable(str(value))}
    headers, body = {**drawn, **extra}, b""
    if not isinstance(case.body, NotSet):
        headers["Content-Type"] = "application/json"
        body = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode("utf-8", "surrogatepass")
    parameters = {name: value for name, value in (case.query or {}).items() if value is not None}
    request = {"headers": headers, "content": body, "params": parameters}
    return household.street.client.request(case.method, case.formatted_path, **request)


def is_sendable(text):
    return text.isascii() and text.isprintable()


@pytest.mark.parametrize(("path", "method", "mode"), CASES, ids=lambda value: getattr(value, "value", value))
def test_every_operation_does_what_it_is_said_to_do(household, path, method, mode):
    operation = SCHEMA[path][method]

    @examples(6, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case):
        answer = send(household, case, authorise(household, path, method))
        case.validate_response(answer, checks=CHECKS)

    logging.disable(logging.CRITICAL)
    try:
        check()
    finally:
        logging.disable(logging.NOTSET)
