"""What passes between a run, a person and the endpoint."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from coven_action.core.endpoint import wire
from coven_action.core.endpoint.wire import MAX_EVENT_BYTES, EventsRequest, FinishRequest, RunEvent, Wire

WORDS_OF_CODE = {"diff", "patch", "prompt", "transcript", "log", "stdout", "stderr", "content"}


def event(**changes):
    return json.dumps({"events": [{"type": "note", "at": "2026-11-21T12:00:00Z", "data": {}, **changes}]})


def test_a_moment_is_told_in_utc():
    zone = timezone(timedelta(hours=2))
    built = RunEvent(type="note", at=datetime(2026, 11, 21, 14, tzinfo=zone))

    assert built.at == datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert json.loads(built.model_dump_json())["at"] == "2026-11-21T12:00:00Z"


@pytest.mark.parametrize(
    "body",
    [
        event(at="2026-11-21T12:00:00"),
        event(at="yesterday"),
        event(type="run.granted"),
        event(type="memory.approved"),
        event(secret=1),
        event(data={"text": "x" * MAX_EVENT_BYTES}),
        event(data=[]),
        event(data={"x" * 61: 1}),
        '{"events": []}',
        json.dumps({"events": [json.loads(event())["events"][0]] * 501}),
    ],
)
def test_an_event_that_is_none_is_refused(body):
    with pytest.raises(ValidationError):
        EventsRequest.model_validate_json(body)


def test_the_largest_event_is_taken():
    EventsRequest.model_validate_json(event(data={"t": "x" * (MAX_EVENT_BYTES - 10)}))


@pytest.mark.parametrize(
    "change",
    [
        {"state": "queued"},
        {"state": "done", "links": {"x": "javascript:alert(1)"}},
        {"state": "done", "links": {"x": "https://a b"}},
        {"state": "done", "links": {f"n{i}": "https://a" for i in range(9)}},
        {"state": "done", "usage": {"input_tokens": -1}},
        {"state": "done", "evidence_sha256": "A" * 64},
        {"state": "failed", "failure_reason": "lease_expired"},
        {"state": "superseded"},
    ],
)
def test_an_end_that_is_none_is_refused(change):
    with pytest.raises(ValidationError):
        FinishRequest.model_validate_json(json.dumps(change))


def list_documents():
    return [
        each for each in vars(wire).values() if isinstance(each, type) and issubclass(each, Wire) and each is not Wire
    ]


@pytest.mark.parametrize("document", list_documents(), ids=lambda each: each.__name__)
def test_no_document_has_a_place_for_code_prompts_or_transcripts(document):
    assert not WORDS_OF_CODE & set(document.model_fields)
    assert document.model_config["extra"] == "forbid"
    assert document.model_config["frozen"] is True
    assert document.__doc__
