"""`checks.json` is read within its size, its version and its fields, or not at all."""

import pytest

from coven_action.core.checks.document import parse_checks
from coven_action.core.checks.results import MAX_CHECKS
from coven_action.core.documents import MAXIMUM_DOCUMENT_BYTES, write_document
from coven_action.errors import DocumentError
from tests.core.checks.test_conclusion import PASSED, build, result

CHECKS = build(result(PASSED), seconds=48.2)
DATA = write_document(CHECKS)


def test_what_verify_writes_is_read_as_it_was_written():
    assert parse_checks(DATA) == CHECKS


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "malformed-document"),
        (b"{}", "malformed-document"),
        (b"[]", "malformed-document"),
        (DATA[:-20], "malformed-document"),
        (DATA.replace(b'"version": 1', b'"version": 2'), "malformed-document"),
        (DATA.replace(b',\n  "version": 1', b""), "malformed-document"),
        (DATA.replace(b"coven-action/checks", b"coven-action/outcome"), "malformed-document"),
        (DATA.replace(b'"seconds": 48.2', b'"seconds": -1'), "malformed-document"),
        (DATA.replace(b'"seconds": 48.2', b'"seconds": Infinity'), "malformed-document"),
        (DATA.replace(b'"seconds"', b'"conclusion": "success", "seconds"'), "malformed-document"),
        (DATA.replace(b"separate_runner", b"nowhere"), "malformed-document"),
        (b" " * (MAXIMUM_DOCUMENT_BYTES + 1), "document-too-large"),
    ],
    ids=range(12),
)
def test_anything_else_is_refused(data, code):
    with pytest.raises(DocumentError) as caught:
        parse_checks(data)

    assert caught.value.code == code
    assert caught.value.message.startswith("checks.json")


def test_more_checks_than_a_configuration_has_are_refused():
    one = DATA.decode().split('"results": [')[1].split("\n  ],")[0]
    data = DATA.decode().replace(one, ",".join([one] * (MAX_CHECKS + 1)))

    with pytest.raises(DocumentError):
        parse_checks(data.encode())
    assert len(parse_checks(DATA.decode().replace(one, ",".join([one] * MAX_CHECKS)).encode()).results) == MAX_CHECKS
