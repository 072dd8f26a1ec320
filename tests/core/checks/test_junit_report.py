"""A report is read in one pass; whatever could expand, fetch or exhaust is refused before it does."""

import pytest

from coven_action.core.checks.junit_report import MAX_DEPTH, MAX_REPORT, ReportError, read_report
from coven_action.core.checks.results import MAX_FAILURES
from tests.core.checks.corpus import counts

LAUGHS = "".join(f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">' for level in range(1, 12))
REFUSED = {
    "billion laughs": (f'<!DOCTYPE x [<!ENTITY a0 "ha">{LAUGHS}]><testsuite>&a11;</testsuite>', "document type"),
    "external entity": ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><testsuite>&e;</testsuite>', "document type"),
    "external subset": ('<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><testsuite/>', "document type"),
    "parameter entity": ('<!DOCTYPE x [<!ENTITY % p "<!ENTITY q \'1\'>"> %p;]><testsuite/>', "document type"),
    "unknown entity": ("<testsuite>&nothing;</testsuite>", "not XML: undefined entity at line 1"),
    "no XML": ("all tests passed", "not XML"),
    "nothing": ("", "not XML: no element found"),
    "unfinished": ("<testsuite><testcase>", "not XML"),
    "two roots": ("<testsuite/><testsuite/>", "not XML"),
    "another root": ("<html><testcase/></html>", "root is no test suite"),
    "unknown encoding": ('<?xml version="1.0" encoding="none-such"?><testsuite/>', "encoding is not known"),
    "an encoding of more bytes": ('<?xml version="1.0" encoding="shift_jis"?><testsuite/>', "encoding is not known"),
    "NUL": ("<testsuite>\0</testsuite>", "not XML"),
    "depth": ("<testsuite>" * (MAX_DEPTH + 1), f"deeper than {MAX_DEPTH} levels"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_report_is_refused(name):
    text, reason = REFUSED[name]

    with pytest.raises(ReportError, match=reason):
        read_report(text.encode(), str)


def test_a_report_beyond_the_bound_is_refused_unread():
    with pytest.raises(ReportError, match="are allowed"):
        read_report(b"<" * (MAX_REPORT + 1), str)


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ("", counts()),
        ("<testcase/>", counts(1)),
        ("<testcase><failure/></testcase>", counts(0, 1)),
        ("<testcase><error/></testcase>", counts(0, 0, 0, 1)),
        ("<testcase><skipped/></testcase>", counts(0, 0, 1)),
        # What comes second does not make the first good.
        ("<testcase><failure/><skipped/></testcase>", counts(0, 1)),
        ("<testcase><skipped/><failure/></testcase>", counts(0, 0, 1)),
        ("<testcase><rerunFailure/></testcase>", counts(1)),
        ("<failure/><testcase/>", counts(1)),
        ("<testcase><testcase><failure/></testcase></testcase>", counts(0, 1)),
        ("<testsuite><testcase/><testsuite><testcase/></testsuite></testsuite>", counts(2)),
    ],
)
def test_a_case_ends_once(cases, expected):
    assert read_report(f"<testsuites>{cases}</testsuites>".encode(), str)[0] == expected


@pytest.mark.parametrize(
    ("case", "test", "line", "message", "lines"),
    [
        (
            "<testcase classname='a' name='b' line='7'><failure message='m'>t</failure></testcase>",
            "a.b",
            7,
            "m",
            ("t",),
        ),
        ("<testcase name='b' line='-7'><failure>one\n\ntwo</failure></testcase>", "b", None, "one", ("two",)),
        ("<testcase name='b' line='²'><failure type='Odd'/></testcase>", "b", None, "Odd", ()),
        ("<testcase><failure/></testcase>", "", None, "failed", ()),
        (
            "<testcase name='a&#10;b'><failure message='&#27;[1mm'/></testcase>".replace("&#27;", ""),
            "a b",
            None,
            "[1mm",
            (),
        ),
        ("<testcase name='b'><failure>f</failure><system-out>said</system-out></testcase>", "b", None, "f", ()),
        ("<testcase name='b'><failure>f<b>g</b>h</failure></testcase>", "b", None, "fgh", ()),
    ],
)
def test_a_failure_is_read(case, test, line, message, lines):
    failure = read_report(f"<testsuite>{case}</testsuite>".encode(), str)[1][0]

    assert (failure.test, failure.line, failure.message, failure.lines) == (test, line, message, lines)


def test_the_first_failures_and_the_beginning_of_a_long_text_are_kept():
    case = "<testcase name='b'><failure>" + "<x/>aaaaaaaaaa" * 1_800 + "</failure></testcase>"
    counted, failures = read_report(f"<testsuite>{case * 25}</testsuite>".encode(), str)

    assert counted == counts(0, 25)
    assert len(failures) == MAX_FAILURES
    assert set(failures[0].message) == {"a"}
