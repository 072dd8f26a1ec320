"""The two checks that every reader of a document makes."""

import pytest

from coven_action.core.documents import TaskIdentity
from coven_action.core.records import sha256_hex
from coven_action.errors import DocumentError
from coven_action.stages.documents import check_digest, check_task

TASK = TaskIdentity(repository_id=1, event_name="issues", run_id=7, run_attempt=1)


def test_a_document_with_its_digest_passes():
    check_digest(b"plan", sha256_hex(b"plan"), "plan.json")


def test_a_document_that_nobody_vouches_for_is_refused():
    with pytest.raises(DocumentError) as caught:
        check_digest(b"plan", None, "plan.json")
    assert (caught.value.code, caught.value.place) == ("digest-missing", "plan.json")


@pytest.mark.parametrize("digest", ["", "0" * 64, sha256_hex(b"another")])
def test_a_document_with_another_digest_is_refused(digest):
    with pytest.raises(DocumentError) as caught:
        check_digest(b"plan", digest, "plan.json")
    assert (caught.value.code, caught.value.place) == ("document-altered", "plan.json")


def test_a_document_of_this_task_passes():
    check_task(TASK, TASK, "plan.json")


OTHERS = {"repository_id": 2, "event_name": "issue_comment", "run_id": 8, "run_attempt": 2}


@pytest.mark.parametrize(("field", "value"), OTHERS.items())
def test_a_document_of_another_task_is_refused(field, value):
    with pytest.raises(DocumentError) as caught:
        check_task(TASK.model_copy(update={field: value}), TASK, "plan.json")
    assert caught.value.code == "document-of-another-run"
