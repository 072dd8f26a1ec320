"""The documents between the stages: each is read as exactly what it is, or refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.documents import (
    MAXIMUM_DOCUMENT_BYTES,
    Published,
    StageTime,
    TaskIdentity,
    parse_evidence,
    parse_outcome,
    parse_plan,
    write_document,
)
from coven_action.errors import DocumentError
from tests.core.samples import REFUSAL, TASK, build_evidence, build_outcome, build_plan, build_work
from tests.fuzzing import examples

PUBLISHED = Published(pull_request=57, head_sha="a" * 40, branch="coven/issue-42", conclusion="neutral")
WORK = build_work()
DOCUMENTS = {
    "plan": (parse_plan, build_plan(decision="proceed", refusal=None, work=WORK)),
    "outcome": (parse_outcome, build_outcome(result={"status": "success"}, capabilities={"options": ["--headless"]})),
    "evidence": (parse_evidence, build_evidence()),
}


def refuse(parse, data):
    with pytest.raises(DocumentError) as caught:
        parse(data)
    return caught.value


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_survives_its_way_between_the_stages_byte_for_byte(name):
    parse, document = DOCUMENTS[name]
    data = write_document(document)

    assert parse(data) == document
    assert write_document(parse(data)) == data
    assert data.endswith(b"\n")


@pytest.mark.parametrize("reader", DOCUMENTS)
@pytest.mark.parametrize("written", DOCUMENTS)
def test_a_document_is_never_read_as_another_kind(reader, written):
    parse, data = DOCUMENTS[reader][0], write_document(DOCUMENTS[written][1])

    if reader == written:
        parse(data)
    else:
        assert refuse(parse, data).code == "malformed-document"


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize(
    "changes",
    [
        {"kind": None},
        {"kind": "coven-action/other"},
        {"kind": 1},
        {"version": None},
        {"version": 2},
        {"version": 0},
        {"version": "1"},
        {"version": [1]},
        {"surprise": 1},
        {"task": None},
        {"task": {}},
        {"task": {**TASK.model_dump(), "run_id": "1001"}},
        {"task": {**TASK.model_dump(), "run_attempt": 0}},
        {"task": {**TASK.model_dump(), "surprise": 1}},
    ],
    ids=str,
)
def test_a_document_of_another_kind_version_or_shape_is_refused(name, changes):
    parse, document = DOCUMENTS[name]
    values = {**document.model_dump(mode="json"), **changes}

    error = refuse(parse, json.dumps(values).encode())
    assert error.code == "malformed-document"
    assert error.message.startswith(f"{name}.json: ")


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("missing", ["kind", "version", "task"])
def test_a_document_says_itself_what_it_is(name, missing):
    parse, document = DOCUMENTS[name]
    values = document.model_dump(mode="json")
    del values[missing]

    assert refuse(parse, json.dumps(values).encode()).code == "malformed-document"


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"1", b"{", b"\xff", b"\xef\xbb\xbf{}", b"[" * 100_000, b'{"kind":"\\ud800"}', b"{}"],
    ids=range(10),
)
def test_what_is_no_document_is_an_error_of_ours(name, data):
    assert refuse(DOCUMENTS[name][0], data).code == "malformed-document"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_oversized_document_is_refused_unread(name):
    parse, document = DOCUMENTS[name]
    data = write_document(document)
    fitting = data + b" " * (MAXIMUM_DOCUMENT_BYTES - len(data))

    assert parse(fitting) == document
    assert refuse(parse, fitting + b" ").code == "document-too-large"


@given(st.sampled_from(sorted(DOCUMENTS)), st.integers(0, 10**6), st.binary(max_size=3))
@examples(200)
def test_a_damaged_document_is_read_or_refused_and_never_a_crash(name, place, junk):
    parse, document = DOCUMENTS[name]
    data = write_document(document)
    place %= len(data)
    damaged = data[:place] + junk + data[place + 1 :]
    try:
        found = parse(damaged)
    except DocumentError as error:
        assert error.code == "malformed-document"  # noqa: PT017 - reading it is an equally good answer
    else:
        assert type(found) is type(document)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_a_number_that_is_none_is_refused(number):
    data = write_document(build_plan()).replace(b'"seconds": 0.4', b'"seconds": ' + number)

    assert refuse(parse_plan, data).code == "malformed-document"


@pytest.mark.parametrize(
    ("parts", "is_read"),
    [
        ({"decision": "proceed", "refusal": None, "work": WORK}, True),
        ({"decision": "decline", "refusal": REFUSAL}, True),
        ({"decision": "published", "refusal": None, "published": PUBLISHED}, True),
        ({"decision": "proceed", "refusal": None}, False),
        ({"decision": "proceed"}, False),
        ({"decision": "decline", "refusal": None}, False),
        ({"decision": "decline", "work": WORK}, False),
        ({"decision": "decline", "refusal": None, "work": WORK}, False),
        ({"decision": "published", "published": PUBLISHED}, False),
        ({"decision": "published", "refusal": None, "work": WORK}, False),
    ],
    ids=range(10),
)
def test_a_plan_has_exactly_the_answer_that_its_decision_names(parts, is_read):
    plan = build_plan(**parts)
    data = write_document(plan)

    if is_read:
        assert parse_plan(data) == plan
    else:
        assert refuse(parse_plan, data).code == "malformed-document"


def test_a_task_keeps_its_key_over_attempts_and_changes_its_external_id():
    again = TASK.model_copy(update={"run_attempt": 2})

    assert TASK.key == again.key == "301/issues/1001"
    assert (TASK.external_id, again.external_id) == ("1001-1", "1001-2")
    assert again != TASK


IDENTITIES = st.builds(
    TaskIdentity,
    repository_id=st.integers(1, 30),
    event_name=st.sampled_from(["issues", "issue_comment"]),
    run_id=st.integers(1, 30),
    run_attempt=st.integers(1, 3),
)


@given(IDENTITIES, IDENTITIES)
@examples(200)
def test_two_tasks_share_a_key_exactly_when_all_but_the_attempt_is_equal(one, other):
    same = one.model_copy(update={"run_attempt": other.run_attempt}) == other

    assert (one.key == other.key) == same


def test_a_plan_knows_where_people_look():
    plan = build_plan()

    assert plan.repository_url == "https://github.example/acme/billing"
    assert plan.run_url == "https://github.example/acme/billing/actions/runs/1001/attempts/1"


def test_evidence_adds_up_the_time():
    times = (StageTime(stage="plan", seconds=0.5), StageTime(stage="run", seconds=2.0))

    assert build_evidence(times=times).seconds == 2.5
    assert build_evidence().seconds == 0
