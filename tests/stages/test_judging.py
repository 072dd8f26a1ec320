"""Which `checks.json` is believed: the one that was vouched for, of this task, this base, this commit, these checks."""

import json

import pytest

from coven_action.adapters.folder import DocumentFolder
from coven_action.core.checks.conclusion import Judged
from coven_action.core.checks.document import CHECKS_DOCUMENT, Checks
from coven_action.core.checks.results import CheckCommand, CheckResult, CheckRun
from coven_action.core.documents import MAXIMUM_DOCUMENT_BYTES, Isolation, write_document
from coven_action.core.records import sha256_hex
from coven_action.core.redaction.redactor import Redactor
from coven_action.error_codes import CODES
from coven_action.stages.judging import build_check_fault, judge_observed
from tests.core.samples import BASE_SHA, TASK, TIP_SHA, build_outcome, build_work

RUN = CheckRun(exit_code=0, duration_seconds=1.0, output_bytes=0)
WORK = build_work(
    checks=tuple(CheckCommand(name=name, run=f"make {name}", timeout_seconds=9) for name in ("tests", "lint"))
)
RESULTS = tuple(CheckResult(name=name, base=RUN, result=RUN) for name in ("tests", "lint"))
GOOD = {
    "task": TASK,
    "base_sha": BASE_SHA,
    "tip_sha": TIP_SHA,
    "observed_on": "separate_runner",
    "isolation": Isolation(demanded="none", reached="none", note=""),
    "results": RESULTS,
    "seconds": 3.0,
}


def write(**changes) -> bytes:
    return write_document(Checks(**{**GOOD, **changes}))


def rewrite(**changes) -> bytes:
    return json.dumps({**json.loads(write()), **changes}).encode()


@pytest.fixture
def documents(tmp_path) -> DocumentFolder:
    return DocumentFolder(tmp_path / "documents")


def judge(documents, data=None, digest="its own", work=WORK, **outcome):
    if data is not None:
        (documents.folder / CHECKS_DOCUMENT).write_bytes(data)
        digest = sha256_hex(data) if digest == "its own" else digest
    said = build_outcome(**outcome)
    return judge_observed(
        TIP_SHA, work=work, said=said, task=TASK, digest=digest, documents=documents, redactor=Redactor.build()
    )


def test_what_was_vouched_for_is_believed(documents):
    found = judge(documents, write())

    assert (found.judgement.judged, found.seconds) == (Judged.PASSED, 3.0)
    assert found.observed.sha256 == sha256_hex(write())
    assert [row.name for row in found.observed.rows] == ["tests", "lint"]


# What lies there: (the document, the digest that was handed over, what people are told).
UNBELIEVED = {
    "nothing, and no digest": (None, None, "nobody has vouched for checks.json: its digest is missing"),
    "a good one, and no digest": (write(), None, "nobody has vouched for checks.json: its digest is missing"),
    "nothing, and a digest": (None, "0" * 64, "checks.json"),
    "another": (write(), sha256_hex(write(seconds=4.0)), "not the document that the earlier stage wrote"),
    "another, in a digest of capitals": (write(), sha256_hex(write()).upper(), "not the document"),
    "of another run": (
        write(task=TASK.model_copy(update={"run_id": 9})),
        "its own",
        "the observed checks are of another task",
    ),
    "of an earlier attempt": (
        write(task=TASK.model_copy(update={"run_attempt": 9})),
        "its own",
        "the observed checks are of another task",
    ),
    "of another commit": (write(tip_sha=BASE_SHA), "its own", "the observed checks are of another commit"),
    "of another base": (write(base_sha=TIP_SHA), "its own", "the observed checks are of another base commit"),
    "of fewer checks": (write(results=RESULTS[:1]), "its own", "the observed checks are of another list of checks"),
    "of none": (write(results=()), "its own", "the observed checks are of another list of checks"),
    "of others": (write(results=(*RESULTS, RESULTS[0])), "its own", "another list of checks"),
    "in another order": (write(results=RESULTS[::-1]), "its own", "another list of checks"),
    "of another version": (rewrite(version=2), "its own", "checks.json: version"),
    "with a conclusion of its own": (rewrite(conclusion="success"), "its own", "checks.json: conclusion"),
    "no JSON": (b"\xff", "its own", "checks.json: document"),
    "too large": (b" " * (MAXIMUM_DOCUMENT_BYTES + 1), "its own", "checks.json"),
}


@pytest.mark.parametrize(("data", "digest", "said"), UNBELIEVED.values(), ids=UNBELIEVED)
def test_anything_else_counts_as_nothing_seen(documents, data, digest, said):
    found = judge(documents, data, digest)

    assert (found.judgement.judged, found.judgement.publishes) == (Judged.FAULT, False)
    assert said in found.judgement.finding
    assert (found.observed, found.seconds) == (None, 0.0)


@pytest.mark.parametrize("kind", ["a link", "a folder"])
def test_what_is_no_file_is_not_followed(documents, tmp_path, kind):
    place = documents.folder / CHECKS_DOCUMENT
    if kind == "a link":
        (tmp_path / "elsewhere").write_bytes(write())
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.mkdir()

    assert judge(documents, digest=sha256_hex(write())).judgement.judged is Judged.FAULT


def test_where_none_is_configured_nothing_is_read(documents):
    found = judge(documents, write(), work=build_work())

    assert (found.judgement.judged, found.observed) == (Judged.NONE_CONFIGURED, None)


@pytest.mark.parametrize("verdict", ["failed", "needs-input", "nothing-changed", "fault"])
def test_what_is_not_published_needs_no_checks(documents, verdict):
    assert judge(documents, write(), verdict=verdict) is None


def test_the_fault_says_why_in_a_sentence(documents):
    fault = build_check_fault(judge(documents, digest=None))

    assert (fault.stage, fault.code) == ("verify", "checks-not-observed")
    assert fault.message == "Nobody has vouched for checks.json: its digest is missing."
    assert fault.remedy == CODES["checks-not-observed"].remedy
    assert build_check_fault(None).message == "Nobody has judged the checks."
