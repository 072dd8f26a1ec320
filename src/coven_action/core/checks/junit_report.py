"""Read JUnit XML reports: the test cases themselves, whatever the totals in their attributes say. Pure, in one pass.

The parser is expat, Python's own. A report has no use for a document type, and every entity needs one, so a report with one
is refused at its first byte of it: nothing expands and nothing is fetched. Expat calls us as it reads, no tree is built, and
nesting is bounded. The format: https://github.com/testmoapp/junitxml.
"""

from collections.abc import Callable, Mapping
from typing import Final, NoReturn
from xml.parsers import expat

from coven_action.core.checks.output import build_failure, clean_text
from coven_action.core.checks.results import MAX_FAILURES, Counts, Failure, build_counts

MAX_REPORT: Final = 16 * 1024 * 1024
"""Bytes of a report; a larger one is refused unread."""
MAX_DEPTH: Final = 32
_MAX_TEXT: Final = 16 * 1024
# Child of a test case -> how the case ended; a case without one passed.
_ENDINGS: Final = {"failure": "failed", "error": "errors", "skipped": "skipped"}
_ROOTS: Final = frozenset({"testsuites", "testsuite"})


class ReportError(ValueError):
    """Raised for bytes that are no acceptable report; the message is one sentence fragment without content."""


def read_report(data: bytes, redact: Callable[[str], str]) -> tuple[Counts, tuple[Failure, ...]]:
    """Return what the cases of a report say.

    Args:
        data: The file as it was found in the tree.
        redact: Covers secrets in a text; called with each failure's whole text, before it is divided into lines.

    Raises:
        ReportError: It is too large, too deep, no XML, has a document type, or is no report.
    """
    if len(data) > MAX_REPORT:
        raise ReportError(f"it has {len(data)} bytes; {MAX_REPORT} are allowed")
    report = _Report(redact)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_document_type
    parser.StartElementHandler = report.start
    parser.EndElementHandler = report.end
    parser.CharacterDataHandler = report.take_text
    try:
        parser.Parse(data, True)
    except ReportError:
        raise
    except expat.ExpatError as error:
        raise ReportError(f"it is not XML: {expat.ErrorString(error.code)} at line {error.lineno}") from error
    except (LookupError, ValueError) as error:  # the encoding that the file names, which Python looks up
        raise ReportError("its encoding is not known") from error
    return build_counts(**report.counts), tuple(report.failures)


def _refuse_document_type(*_: object) -> NoReturn:
    raise ReportError("it has a document type, which no report needs")


class _Report:
    """Takes the elements as they come; the first ending inside a case is the case's."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self.counts = dict.fromkeys(("passed", *_ENDINGS.values()), 0)
        self.failures: list[Failure] = []
        self._depth = 0
        self._case: Mapping[str, str] | None = None
        self._ending = ""
        self._details: Mapping[str, str] = {}
        self._text: list[str] = []
        self._room = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ReportError(f"it is nested deeper than {MAX_DEPTH} levels")
        if self._depth == 1 and name not in _ROOTS:
            raise ReportError("its root is no test suite")
        if name == "testcase":
            self._case, self._ending, self._text, self._room = attributes, "", [], 0
        elif self._case is not None and name in _ENDINGS and not self._ending:
            self._ending, self._details, self._room = name, attributes, _MAX_TEXT

    def take_text(self, text: str) -> None:
        if self._room > 0:
            self._text.append(text[: self._room])
            self._room -= len(text)

    def end(self, name: str) -> None:
        self._depth -= 1
        if name == self._ending:
            self._room = 0
        if name == "testcase" and self._case is not None:
            self.counts[_ENDINGS.get(self._ending, "passed")] += 1
            if self._ending in {"failure", "error"} and len(self.failures) < MAX_FAILURES:
                self.failures.append(self._read_case(self._case, "".join(self._text)))
            self._case, self._ending = None, ""

    def _read_case(self, case: Mapping[str, str], text: str) -> Failure:
        lines = [line for line in self._clean(text).split("\n") if line.strip()]
        message = self._clean(self._details.get("message", "")).strip().partition("\n")[0]
        line = case.get("line", "")
        names = (self._clean(case.get(name, "")).replace("\n", " ") for name in ("classname", "name"))
        return build_failure(
            message or (lines[0] if lines else self._clean(self._details.get("type", ""))),
            lines,
            test=".".join(filter(None, names)),
            file=self._clean(case.get("file", "")).replace("\n", " "),
            line=line if line.isascii() and line.isdigit() else "",
        )

    def _clean(self, text: str) -> str:
        return self._redact(clean_text(text[:_MAX_TEXT]))
