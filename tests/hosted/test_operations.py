"""What whoever runs the endpoint sees: health, metrics, logs."""

import base64
import io
import json
import logging

import pytest

from coven_action.core.endpoint.wire import AuditHead
from coven_action.core.records import sha256_hex
from coven_action.core.redaction.redactor import Redactor
from coven_action.hosted.logs import JSONFormatter, set_up_logging
from coven_action.hosted.signing import check_head
from tests.core.memory.values import TOKEN
from tests.hosted.deployment import open_session

UNAUTHENTICATED = ("/healthz", "/readyz", "/metrics", "/openapi.json", "/meta")


@pytest.mark.parametrize("path", UNAUTHENTICATED)
def test_whoever_runs_it_needs_no_session(client, path):
    assert client.get(path).status_code == 200


def test_anybody_gets_the_key_that_checks_a_signed_head(client, clock):
    """Without a token, and without the export or the run that the head comes from."""
    head = AuditHead.model_validate(open_session(client, clock()).document["witness"])

    published = client.get("/meta").json()["signing_key"]

    assert check_head(head, 1, published["public_key"])
    assert not check_head(head, 2, published["public_key"])
    assert published["key_id"] == head.key_id == sha256_hex(base64.b64decode(published["public_key"]))[:16]


def test_it_is_not_ready_while_it_is_being_stopped(client):
    client.app.state.endpoint.draining = True

    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


def test_requests_are_counted_by_route_and_never_by_tenant(client, clock):
    session = open_session(client, clock())
    session.report()
    client.get("/v1/runs/4711")
    client.get("/no/such/path-canary")

    metrics = client.get("/metrics").text

    assert 'coven_requests_total{method="POST",route="/v1/session",status="201"} 1.0' in metrics
    assert 'route="/v1/runs/self",status="200"' in metrics
    for word in ("canary", "acme", "billing", "4711", session.document["token"]):
        assert word not in metrics


def test_refused_tokens_are_counted_by_a_reason_nobody_else_is_told(client):
    answer = client.post("/v1/session", headers={"Authorization": "Bearer x.y.z"}, json={})

    assert answer.status_code == 401
    assert "reason" not in answer.json()
    assert "coven_tokens_refused_total{reason=" in client.get("/metrics").text


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:], root.level = handlers, level


def test_a_log_line_is_one_json_object_without_secrets(root_logger):
    stream = io.StringIO()
    set_up_logging(stream, Redactor.build())
    try:
        int(TOKEN)
    except ValueError:
        logging.getLogger("coven_action.hosted").exception("failed with %s\nand a second line", TOKEN)

    lines = stream.getvalue().splitlines()

    assert len(lines) == 1
    document = json.loads(lines[0])
    assert document["level"] == "error"
    assert "second line" in document["message"]
    assert "ValueError" in document["traceback"]
    assert TOKEN not in lines[0]


def test_a_line_without_a_fault_has_no_traceback():
    record = logging.LogRecord("x", logging.INFO, "f", 1, "hello", None, None)

    assert set(json.loads(JSONFormatter(Redactor.build()).format(record))) == {"time", "level", "logger", "message"}
