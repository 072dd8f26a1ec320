"""The endpoint's description: valid, whole, and the one that is committed."""

import json
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from coven_action.error_codes import CODES
from coven_action.hosted import app
from coven_action.hosted.app import ROUTERS, build_routes

ROOT = Path(__file__).parents[2]
DESCRIPTION = build_routes().openapi()
OPERATIONS = {
    (path, method): operation for path, methods in DESCRIPTION["paths"].items() for method, operation in methods.items()
}


def test_the_description_is_valid_openapi_3_1():
    validate(DESCRIPTION)
    assert DESCRIPTION["openapi"].startswith("3.1")


def test_the_committed_description_is_the_one_the_code_gives():
    assert json.loads((ROOT / "docs/openapi.json").read_text(encoding="utf-8")) == DESCRIPTION


def test_every_route_is_described():
    routes = {
        (route.path, method.lower())
        for router in ROUTERS
        for route in router.routes
        for method in route.methods
        if route.include_in_schema
    }

    assert set(OPERATIONS) == routes


@pytest.mark.parametrize(("path", "method"), sorted(OPERATIONS))
def test_every_operation_says_how_it_fails_and_what_it_asks_for(path, method):
    operation = OPERATIONS[path, method]
    headers = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "header"}

    assert operation["summary"]
    assert operation["description"]
    assert "default" in operation["responses"]
    assert "422" not in operation["responses"]
    assert ("Idempotency-Key" in headers) == (method != "get" and path != "/v1/session")
    assert method == "get" or "requestBody" in operation or path == "/v1/session"


def test_every_code_of_an_answer_is_in_the_table():
    codes = DESCRIPTION["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]

    assert codes == sorted(code for code, entry in CODES.items() if entry.status is not None)


def test_the_running_endpoint_serves_its_description(client):
    assert client.get("/openapi.json").json() == DESCRIPTION


def test_the_description_is_built_once_however_often_it_is_asked_for(client, monkeypatch):
    built = []
    monkeypatch.setattr(app, "describe_api", lambda described: built.append(described) or DESCRIPTION)

    assert [client.get("/openapi.json").json() == DESCRIPTION for _ in range(3)] == [True] * 3
    assert len(built) == 1
