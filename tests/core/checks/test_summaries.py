"""Every format is read out of what its own program printed, and nothing that a test prints makes reading slow or wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.checks.output import MAX_OUTPUT, MAX_RAW_LINE, MAX_RAW_LINES, read_lines
from coven_action.core.checks.results import MAX_COUNT, MAX_FAILURES, MAX_LINE, MAX_LINES, MAX_TAIL, Counts
from coven_action.core.checks.summaries import MAX_REPORTS, Summary, read_summary
from coven_action.core.redaction.redactor import Redactor
from tests.core.checks.corpus import EXPECTED, FOLDER, TAIL_ONLY, counts, read_output
from tests.counted_work import find_growth
from tests.fuzzing import examples


def read(output: bytes | str, *reports: bytes) -> Summary:
    return read_summary(output.encode() if isinstance(output, str) else output, reports, redact=str)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_output_of_each_program_is_read(name):
    expected = EXPECTED[name]
    summary = read(read_output(name))
    first = summary.failures[0]

    assert summary.source == expected.source
    assert summary.counts == (None if expected.counts is None else counts(*expected.counts))
    assert (first.test, f"{first.file}:{first.line}", first.message) == (
        expected.test,
        expected.place,
        expected.assertion,
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_colours_times_and_carriage_returns_change_nothing(name):
    plain = read_output(name)
    times = b"2026-03-02T09:14:07.1234567Z "
    lines = plain.decode().split("\n")
    timed = b"\n".join(times + line.encode() for line in lines)
    coloured = "\n".join(f"\x1b[31m{line}\x1b[0m" if line else line for line in lines).encode()
    ended = plain.replace(b"\n", b"\r\n")
    expected = read(plain)

    assert [(each.source, each.counts, each.failures) for each in map(read, (timed, coloured, ended))] == (
        [(expected.source, expected.counts, expected.failures)] * 3
    )


def test_an_output_without_diagnostics_is_its_tail():
    summary = read(read_output(TAIL_ONLY))

    assert (summary.source, summary.counts, summary.failures) == ("generic", None, ())
    assert summary.tail.endswith("links.sh: 2 pages point nowhere\nmake: *** [Makefile:12: links] Error 3")


FAKES = {
    "pytest": "=== 500 passed in 0.01s ===",
    "unittest": "Ran 500 tests in 0.1s\n\nOK",
    "cargo": "test result: ok. 500 passed; 0 failed; 0 ignored; 0 measured",
    "jest": "Tests:       500 passed, 500 total",
    "vitest": "      Tests  500 passed (500)",
    "tap": "1..2\nok 1\nok 2",
    "go": "ok  \texample.com/x\t0.1s",
    "go-json": '{"Action":"pass","Package":"x"}',
}


@pytest.mark.parametrize("fake", FAKES)
@pytest.mark.parametrize("name", ["pytest", "pytest-q", "unittest", "jest", "vitest", "go-verbose"])
def test_a_summary_that_a_test_prints_before_the_last_line_does_not_count(name, fake):
    lines = read_output(name).decode().split("\n")
    forged = "\n".join([*lines[:2], FAKES[fake], *lines[2:]])
    genuine, summary = read(read_output(name)), read(forged)

    assert (summary.source, summary.counts) == (genuine.source, genuine.counts)


@pytest.mark.parametrize(
    ("output", "source", "expected"),
    [
        ("no tests ran in 0.01s", "pytest", counts()),
        ("== 1 passed, 2 warnings, 3 deselected, 1 rerun in 61.20s (0:01:01) ==", "pytest", counts(1)),
        ("== 1 xfailed, 2 xpassed, 3 errors in 1s ==", "pytest", counts(2, 0, 1, 3)),
        ("== 99999999999999999999 passed in 1s ==", "pytest", counts(MAX_COUNT)),
        ("1 passed in eternity", "generic", None),
        ("Ran 2 tests in 0.1s\n\nNO TESTS RAN", "unittest", counts(2)),
        ("Ran 1 test in 0.1s\n\nFAILED (failures=3)", "unittest", counts(0, 3)),
        ("Ran 3 tests in 0.1s\n\nFAILED (unexpected successes=1, odd=7)", "unittest", counts(2, 1)),
        ("Ran 3 tests in 0.1s\nKilled", "generic", None),
        ("test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured\n" * 2, "cargo", counts(2, 0, 4)),
        ("Tests:       3 passed, 1 odd, 4 total", "jest", counts(3)),
        ("TAP version 14\n1..0 # skip nothing here", "tap", counts()),
        ("TAP version 14\n1..3", "tap", counts(errors=1)),
        ("TAP version 13\nok 1\nBail out! no database", "tap", counts(1, 0, 0, 1)),
        ("1..2\nok 1 # TODO later\nnot ok 2 x # todo", "tap", counts(skipped=2)),
        ("1..1\n    ok 1 - a\n    1..1\nnot ok 1 - plan", "tap", counts(1, 1)),
        ("1..1\n    not ok 1 - a\nnot ok 1 - both", "tap", counts(0, 1)),
        ("1..1\n        not ok 1 - a\n    not ok 1 - b\nnot ok 1 - c", "tap", counts(0, 1)),
        ("ok 1\nok 2", "generic", None),
        ("ok  \tx\t(cached)", "go", None),
        ("FAIL\tx\t0.1s", "go", None),
        ("", "generic", None),
    ],
)  # fmt: skip
def test_a_summary_line_is_counted(output, source, expected):
    summary = read(output)

    assert (summary.source, summary.counts) == (source, expected)


@pytest.mark.parametrize(
    ("output", "test", "place", "message"),
    [
        # pytest without tracebacks, with a name too long for its rule, and with a test that raised nothing it showed
        ("FAILED t.py::a - assert 1 == 2\n1 failed in 1s", "t.py::a", "t.py:None", "assert 1 == 2"),
        ("ERROR t.py\n1 error in 1s", "t.py", "t.py:None", "failed"),
        ("=== FAILURES ===\n_ test_long _\nE   assert 0\n1 failed in 1s", "test_long", ":None", "assert 0"),
        ("=== FAILURES ===\n___ t ___\n[XPASS(strict)] known\n1 failed in 1s", "t", ":None", "[XPASS(strict)] known"),
        # unittest with nothing but a name
        ("=" * 70 + "\nFAIL: a (b)\n" + "-" * 70 + "\nodd\n" + "-" * 70 + "\nRan 1 test in 1s\n\nFAILED (failures=1)",
         "a (b)", ":None", "odd"),
        ("=" * 70 + "\nFAIL: a (b)\n" + "-" * 70 + "\n  odd\n" + "-" * 70 + "\nRan 1 test in 1s\n\nFAILED (failures=1)",
         "a (b)", ":None", "failed"),
        # TAP: a block scalar, a block of nothing, a place of two keys, `Bail out!`, a point without a word
        ("1..1\nnot ok 1 - a\n  ---\n  message: |-\n    wide\n  file: a.c\n  ...", "a", "a.c:None", "wide"),
        ("1..1\nnot ok 1 - a\n  ---\n  at: x.js:7:3\n  ...\n", "a", "x.js:7", "at: x.js:7:3"),
        ("1..1\nnot ok 1 - a\n  ---\n  message: |", "a", ":None", "|"),
        ("1..2\nnot ok\nok 2", "", ":None", "failed"),
        ("TAP version 13\nBail out! no database", "", ":None", "Bail out! no database"),
        # go: testify's own lines, a test that said nothing, a fatal error without a frame of the package
        ("--- FAIL: A (0.00s)\n    a_test.go:3: \n\tError Trace:\t/a_test.go:3\n\tError:      \tNot equal: 1\nFAIL\tx\t0.1s",
         "A", "a_test.go:3", "Error: Not equal: 1"),
        ("--- FAIL: A (0.00s)\nFAIL\nFAIL\tx\t0.1s", "A", ":None", "FAIL"),
        ("--- FAIL: A (0.00s)\nFAIL\tx\t0.1s", "A", ":None", "failed"),
        ("--- FAIL: A (0.00s)\npanic: no\n\t/go/src/testing/a.go:1 +0x1\nFAIL\tx\t0.1s", "A", ":None", "panic: no"),
        # a build that failed after much else was printed, and before a second one
        ("noise\n" * 90 + "# x\nx.go:1:2: undefined: a\n# y [y.test]\ny.go:3:2: undefined: b\nFAIL\tx [build failed]\n"
         "FAIL\ty [build failed]", "x [build failed]", "x.go:1", "undefined: a"),
        # cargo: a test that returned an error, and a panic without a message
        ("---- a stdout ----\nError: odd\nfailures:\ntest result: FAILED. 0 passed; 1 failed; 0 ignored;", "a", ":None",
         "Error: odd"),
        ("---- a stdout ----\nthread 'a' panicked at s.rs:1:2:\nfailures:\ntest result: FAILED. 0 passed; 1 failed; 0 ignored;",
         "a", "s.rs:1", "failed"),
        # jest: a suite that did not start; vitest: a place with a function, within a library only
        ("  ● Test suite failed to run\n\n    Cannot find module\n\nTests:       0 failed, 0 total",
         "Test suite failed to run", ":None", "Cannot find module"),
        (" FAIL  a.ts > b\nError: odd\n \u276f run node_modules/x.js:1:1\n \u276f f src/a.ts:4:2\n      Tests  1 failed (1)",
         "a.ts > b", "src/a.ts:4", "Error: odd"),
        ("  ● a\n\n    > 1 | code\n\nTests:       1 failed, 1 total", "a", ":None", "failed"),
        # generic
        ("warning: old\nmain.c:3: warning: unused", "", "main.c:3", "warning: unused"),
        ("main.c:3: note: here\nmain.c:4: error: bad", "", "main.c:4", "error: bad"),
        ("error: odd\nand more", "", ":None", "error: odd"),
        ("/a/b.js\n  5:9  error  'x' is not defined  no-undef", "", ":None", "5:9  error  'x' is not defined  no-undef"),
        ("Traceback (most recent call last):\n  odd", "", ":None", "Traceback (most recent call last):"),
        ("Traceback (most recent call last):\nKeyError: 1", "", ":None", "KeyError: 1"),
        ("x.c:0: error: line zero", "", "x.c:None", "error: line zero"),
    ],
)  # fmt: skip
def test_the_first_failure_is_found(output, test, place, message):
    first = read(output).failures[0]

    assert (first.test, f"{first.file}:{first.line}", first.message) == (test, place, message)


@pytest.mark.parametrize(
    "line",
    [
        '{"Action": 1, "Package": "x"}',
        '{"Action": "pass"}',
        '{"Action":"pass","Package":"x","Test":[]}',
        '{"a":1,"a":2}',
        '{"a',
    ],
)
def test_a_line_that_is_no_event_of_go_is_left_aside(line):
    genuine = read_output("go-json")

    assert read(line.encode() + b"\n" + genuine).counts == read(genuine).counts


@pytest.mark.parametrize("action", ["start", "run", "pause", "bench"])
def test_an_event_that_ends_nothing_counts_nothing(action):
    event = json.dumps({"Action": action, "Package": "x", "Test": "A"})

    assert read(event).source == "generic"


def test_escapes_in_an_event_of_go_reach_nobody():
    said = json.dumps({"Action": "output", "Package": "x", "Test": "A", "Output": "    a.go:1: \x1b[2J\u202eodd\n"})
    ends = ['{"Action":"fail","Package":"x","Test":"A"}', '{"Action":"fail","Package":"x"}']

    assert read("\n".join([said, *ends])).failures[0].message == "odd"


SECRET = "ghp_" + "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5"
PEM = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\n" * 3 + "-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("output", "report"),
    [
        (f"E   {SECRET}", None),
        (f"E   {SECRET[:9]}\x1b[0m{SECRET[9:]}", None),
        (f"E   {SECRET[:9]}\u200b{SECRET[9:]}", None),
        (f"E   one\n{PEM}", None),
        ("E   one", f"<failure message='{SECRET}'>{SECRET}</failure>"),
        ("E   one", "<failure message='m'>" + "".join(f"&#{ord(character)};" for character in SECRET) + "</failure>"),
        ("E   one", f"<failure message='m'>{PEM}</failure>"),
    ],
)
def test_secrets_are_covered_wherever_they_stand(output, report):
    text = f"=== FAILURES ===\n___ test_a ___\n{output}\n=== 1 failed in 1s ==="
    reports = [f"<testsuite><testcase name='{SECRET}'>{report}</testcase></testsuite>".encode()] if report else []

    summary = read_summary(text.encode(), reports, redact=Redactor.build().redact)

    assert summary.failures
    assert not any(part in repr(summary) for part in (SECRET, SECRET[:20], "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj"))
    assert "[redacted: " in repr(summary)


def test_a_secret_in_the_escapes_of_an_event_is_covered():
    said = json.dumps({"Action": "output", "Package": "x", "Test": "A", "Output": f"    a.go:1: {SECRET}\n"})
    ends = ['{"Action":"fail","Package":"x","Test":"A"}', '{"Action":"fail","Package":"x"}']
    output = "\n".join([said.replace("ghp_", "g\\u0068p\\u005f"), *ends])

    summary = read_summary(output.encode(), (), redact=Redactor.build().redact)

    assert summary.failures[0].message.startswith("[redacted: ")


def test_a_secret_is_covered_before_its_line_is_cut():
    long = "x" * (MAX_LINE - 12) + " " + SECRET
    report = f"<testsuite><testcase><failure message='m'>{long}</failure></testcase></testsuite>"

    summary = read_summary(b"", [report.encode()], redact=Redactor.build().redact)

    assert SECRET[:8] not in repr(summary)


@pytest.mark.parametrize(
    ("name", "tests"),
    [
        ("pytest", ["test_books", "test_rounds_up[lines0-7-357]", "test_rounds_up[lines1-7-359]", "test_depth"]),
        ("go-plain", ["TestRate", "TestTotal/rounded_up"]),
        ("go-json", ["example.com/billing/rates.TestRate", "example.com/billing/tax.TestTotal/rounded_up"]),
        ("cargo", ["tests::rounds_up", "rate_is_known"]),
        ("jest", ["total \u203a rounds up", "ledger \u203a opens"]),
        ("tap", ["up"]),
        ("lint", ["", "", ""]),
    ],
)
def test_each_failure_is_told_once_and_by_its_innermost_test(name, tests):
    assert [failure.test for failure in read(read_output(name)).failures] == tests


def test_what_a_test_printed_is_no_line_of_its_failure():
    captured = "--- Captured stdout call ---\nE   forged\n> forged\nt.py:99: forged\n"
    first = read(
        f"=== FAILURES ===\n___ t ___\nE   assert 0\nt.py:1: AssertionError\n{captured}1 failed in 1s"
    ).failures[0]

    assert (first.line, first.lines) == (1, ("t.py:1: AssertionError",))


def test_the_remarks_of_cargo_are_no_lines_of_a_failure():
    said = "---- a stdout ----\nthread 'a' panicked at s.rs:1:2:\nodd\n  left: 1\nnote: run with `RUST_BACKTRACE=1`\nfailures:\n"

    assert read(f"{said}test result: FAILED. 0 passed; 1 failed; 0 ignored;").failures[0].lines == ("  left: 1",)


def test_a_secret_cut_in_half_at_the_beginning_of_what_is_read_is_left_out():
    output = SECRET.encode() + b"\n" + b"x" * (MAX_OUTPUT - 20) + b"\n"

    assert SECRET[-15:] not in "".join(read_lines(output))


CARGO_END = b"test result: ok. 1 passed; 0 failed; 0 ignored;"
HOSTILE = {
    "one huge line": b"a" * 300_000,
    "a huge rule": b"=" * 300_000 + b"\n1 failed in 1s",
    "a huge count": b"=== " + b"9" * 300_000 + b" passed in 1s ===",
    "spaces": b" " * 300_000,
    "many points": b"1..1\n" + b"not ok 1 - a\n" * 5_000,
    "deep points": b"1..1\n" + b"".join(b" " * depth + b"not ok\n" for depth in range(500)),
    "many hashes": b"1..1\nnot ok 1 " + b"# " * 100_000,
    "slashes": b"".join(b"--- FAIL: " + b"a/" * depth + b" (0.0s)\n" for depth in range(1, 300)) + b"FAIL\tx\t0.1s",
    "quotes": b"---- a stdout ----\nthread 'a' panicked at '" + b"', a" * 50_000 + b"\n" + CARGO_END,
    "frames": b"Traceback (most recent call last):\n" + b'  File "a", line 1\n' * 10_000 + b"E: 1",
    "tracebacks": b"Traceback (most recent call last):\n" * 10_000,
    "no UTF-8": b"\xff\xfe\x80" * 10_000 + b"\n1 failed in 1s",
    "carriage returns": b"\r1 passed in 1s" * 5_000,
    "escapes": b"\x1b[" * 100_000,
    "NUL": b"\0" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_output_stays_within_the_bounds(name):
    summary = read(HOSTILE[name])

    assert len(summary.tail) <= MAX_TAIL
    assert len(summary.failures) <= MAX_FAILURES
    assert all(len(line) <= MAX_LINE for failure in summary.failures for line in (failure.message, *failure.lines))
    assert "\x1b" not in repr(summary)
    assert "\\x00" not in repr(summary)


@pytest.mark.parametrize("name", HOSTILE)
def test_twice_the_hostile_output_takes_twice_the_work(name):
    part = HOSTILE[name][:3_000]

    assert find_growth(lambda size: read((part + b"\n") * size), 10) == ""


def test_the_end_of_a_long_output_is_read():
    output = b"x" * (MAX_OUTPUT + 10) + b"\n1 passed in 1s"

    assert read(output).counts == counts(1)
    assert len(read_lines(b"a\n" * (MAX_RAW_LINES + 5))) == MAX_RAW_LINES
    assert len(read_lines(b"a" * (MAX_RAW_LINE + 5))[0]) == MAX_RAW_LINE


@pytest.mark.parametrize("name", ["pytest", "unittest", "go-verbose", "cargo", "jest", "tap-perl", "tsc"])
def test_of_many_failures_the_first_are_kept(name):
    pieces = {
        "pytest": ("=== FAILURES ===\n", "___ t{} ___\nE   a{}\n", "1 failed in 1s"),
        "unittest": ("", "=" * 70 + "\nFAIL: t{}\n" + "-" * 70 + "\na{}\n", "-" * 70 + "\nRan 1 test in 1s\n\nFAILED"),
        "go-verbose": ("", "--- FAIL: t{} (0.0s)\n    a.go:1: a{}\n", "FAIL\tx\t0.1s"),
        "cargo": ("", "---- t{} stdout ----\na{}\n", "test result: FAILED. 0 passed; 99 failed; 0 ignored;"),
        "jest": ("", "  ● t{}\n\n    a{}\n\n", "Tests:       99 failed, 99 total"),
        "tap-perl": ("1..99\n", "not ok {} - t\n# a{}\nBail out! x\n", ""),
        "tsc": ("", "a.ts({},1): error a{}\n", ""),
    }
    before, each, after = pieces[name]
    summary = read(before + "".join(each.format(number, number) for number in range(1, 60)) + after)

    assert len(summary.failures) == MAX_FAILURES
    assert summary.failures[0].message.endswith("a1")


def test_a_failure_keeps_each_line_once_and_few_of_them():
    lines = "".join(f"E   line {number % 30}\n" for number in range(90))
    first = read(f"=== FAILURES ===\n___ t ___\n{lines}1 failed in 1s").failures[0]

    assert len(first.lines) == len(set(first.lines)) == MAX_LINES
    assert first.message not in first.lines


@examples(60)
@given(st.binary(max_size=400))
def test_whatever_is_printed_can_be_read(noise):
    for name in ("pytest", "unittest", "go-json", "tap", "jest"):
        genuine = read_output(name)
        summary = read(noise + b"\n" + genuine)
        assert summary.source == EXPECTED[name].source
        assert isinstance(read(genuine + b"\n" + noise), Summary)


CASE = b"<testsuite tests='900' failures='0'><testcase classname='a' name='b'/>%b</testsuite>"


def test_the_cases_of_reports_count_and_not_their_totals():
    failed = (
        CASE
        % b"<testcase name='c' file='t.py' line='4'><failure message='assert 1 == 2&#10;more'>x</failure></testcase>"
    )
    summary = read("=== 3 passed in 1s ===", failed, CASE % b"<testcase name='s'><skipped/></testcase>")
    first = summary.failures[0]

    assert (summary.source, summary.counts) == ("junit", counts(2, 1, 1))
    assert (first.test, first.file, first.line, first.message, first.lines) == ("c", "t.py", 4, "assert 1 == 2", ("x",))


def test_the_report_of_pytest_says_what_its_output_says():
    report = (FOLDER / "pytest-report.xml").read_bytes()
    summary = read("", report)

    assert summary.counts == Counts(passed=1, failed=3, skipped=1, errors=1)
    assert [failure.message for failure in summary.failures][:2] == ["assert 356 == 357", "assert 358 == 359"]


def test_failures_come_from_the_output_where_the_reports_name_none():
    summary = read(read_output("pytest"), CASE % b"")

    assert summary.counts == counts(1)
    assert summary.failures[0].test == "test_books"


def test_reports_beyond_the_bound_are_named_and_not_read():
    summary = read("", *[CASE % b""] * (MAX_REPORTS + 2))

    assert summary.counts == counts(MAX_REPORTS)
    assert summary.refused_reports == ("2 reports are more than are read",)


def test_a_report_that_is_refused_leaves_the_output_to_speak():
    summary = read("=== 3 passed in 1s ===", b"<!DOCTYPE x><testsuite/>")

    assert (summary.source, summary.counts) == ("pytest", counts(3))
    assert summary.refused_reports == ("it has a document type, which no report needs",)
