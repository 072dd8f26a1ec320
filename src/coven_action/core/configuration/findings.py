"""Put into our words what pydantic found: a code, a path, a sentence, and what to write instead.

Pure. Our own kinds of values bring their words along (`config_types.py`); pydantic's own error types are translated by
one table here, and what is only planned is told apart from what is wrong.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic_core import ErrorDetails

from coven_action.core.configuration.document import FORMS, SECTIONS
from coven_action.core.configuration.mistakes import Mistake, find_suggestion, quote, render_allowed, render_location
from coven_action.core.configuration.rules import NOT_YET, Finding, Location, find_plan, matches
from coven_action.core.configuration.value_types import render_value
from coven_action.core.configuration.yaml_reading import YAMLDocument
from coven_action.core.configuration.yaml_tree import MappingNode, Node, Scalar, find_node, find_place
from coven_action.core.records import Record


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a kind of document may say, for the words about what it may not.

    Args:
        sections: Every mapping that has keys of ours, as `config_document.SECTIONS`.
        plans: Keys and values that a later version acts on, as `config_rules.NOT_YET`.
    """

    sections: Mapping[tuple[str, ...], type[Record]]
    plans: Mapping[tuple[str, ...], str]


CONFIGURATION: Final = Vocabulary(SECTIONS, NOT_YET)
"""That of `.github/coven.yml`."""


@dataclass(frozen=True, slots=True)
class _Problem:
    """One error of pydantic, the path it means, the tree it was found in, and what the tree may say."""

    detail: ErrorDetails
    location: Location
    root: Node
    vocabulary: Vocabulary


def build_findings(
    details: Iterable[ErrorDetails], root: Node, vocabulary: Vocabulary = CONFIGURATION
) -> list[Finding]:
    """Return the findings for pydantic's errors over the value of `root`.

    A missing key is left out where an unknown one beside it is probably that key misspelt: one slip, one mistake.
    """
    # pydantic counts the valid entries only, so a list of nothing but wrong ones seems too short to it.
    counted = (detail for detail in details if detail["type"] != "too_short" or not detail["input"])
    findings = [_build_finding(detail, root, vocabulary) for detail in counted]
    meant = {(*finding.location[:-1], finding.suggestion) for finding in findings if finding.suggestion}
    return [finding for finding in findings if finding.code != "missing-key" or finding.location not in meant]


def build_mistake(finding: Finding, tree: YAMLDocument) -> Mistake:
    """Return a finding with its place in the text, for people."""
    place = find_place(tree.root, finding.location, at_key=finding.at_key)
    return Mistake(
        code=finding.code,
        line=place.line,
        column=place.column,
        message=f"{render_location(finding.location)} {finding.sentence}",
        note=finding.note,
        source_line=tree.lines[place.line - 1],
        length=place.length,
    )


def _build_finding(detail: ErrorDetails, root: Node, vocabulary: Vocabulary) -> Finding:
    build = _FINDINGS.get(detail["type"], _build_refused_value)
    return build(_Problem(detail, _find_location(detail["loc"]), root, vocabulary))


def _find_location(loc: Location) -> Location:
    """Return the path as written, without what pydantic adds: `[key]`, and the form of a value that has several."""
    if loc[-1:] == ("[key]",):
        return loc[:-1]
    position = _FORM_POSITIONS.get(loc[0]) if loc else None
    return tuple(part for index, part in enumerate(loc) if index != position or part not in FORMS)


def _build_unknown_key(problem: _Problem) -> Finding:
    plan = find_plan(problem.location, plans=problem.vocabulary.plans)
    if plan:
        return Finding("not-yet", problem.location, "is not acted on by this version", f"planned: {plan}", at_key=True)
    sections = problem.vocabulary.sections
    section = next(path for path in sections if matches(problem.detail["loc"][:-1], path))
    keys, word = tuple(sections[section].model_fields), str(problem.location[-1])
    note, suggestion = render_allowed(word, keys), find_suggestion(word, keys)
    return Finding("unknown-key", problem.location, "is not a key here", note, at_key=True, suggestion=suggestion)


def _build_missing_key(problem: _Problem) -> Finding:
    return Finding("missing-key", problem.location, "is missing", f"add `{problem.location[-1]}`", at_key=True)


def _build_too_long(problem: _Problem) -> Finding:
    return Finding(
        "out-of-range", problem.location, f"has too many entries; write at most {problem.detail['ctx']['max_length']}"
    )


def _build_too_short(problem: _Problem) -> Finding:
    return Finding("missing-key", problem.location, "is empty", "write at least one entry")


def _build_wrong_type(problem: _Problem) -> Finding:
    expected = _EXPECTED.get(problem.detail["type"]) or problem.detail["ctx"]["expected"]
    return Finding(
        "wrong-type", problem.location, _describe_wrong_type(find_node(problem.root, problem.location), expected)
    )


def _describe_wrong_type(node: Node, expected: str) -> str:
    """Return what stands there and what to write, with the usual surprises of YAML named as such."""
    if not isinstance(node, Scalar):
        return f"is {'a mapping' if isinstance(node, MappingNode) else 'a list'}; write {expected}"
    word = quote(node.text)
    if node.kind == "nothing":
        return f"is empty; write {expected}"
    if node.kind != "text" and expected == "text":
        return f"is read by YAML as {node.kind}; write {word} in quotation marks"
    if node.quoted and expected == "a whole number":
        return f"is the text {word}; write {expected} without quotation marks"
    return f"is {word}; write {expected}"


def _build_refused_value(problem: _Problem) -> Finding:
    """Return the finding of one of our own kinds of value, which brought its words along."""
    at_key = problem.detail["loc"][-1] == "[key]"
    plan = find_plan(problem.location, problem.detail["input"], plans=problem.vocabulary.plans)
    if plan:
        sentence = f"is {render_value(problem.detail['input'])}, which this version does not act on"
        return Finding("not-yet", problem.location, sentence, f"planned: {plan}", at_key=at_key)
    context = problem.detail["ctx"]
    return Finding(problem.detail["type"], problem.location, context["sentence"], context["note"], at_key=at_key)


_FORM_POSITIONS: Final[Mapping[str | int, int]] = {"familiars": 3, "routing": 2}
"""Where below a key pydantic names the form: `familiars.<id>.runtime` and `routing[<n>]` have several."""

_EXPECTED: Final[Mapping[str, str]] = {
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}

_FINDINGS: Final[Mapping[str, Callable[[_Problem], Finding]]] = {
    "extra_forbidden": _build_unknown_key,
    "missing": _build_missing_key,
    "too_long": _build_too_long,
    "too_short": _build_too_short,
    "wrong-type": _build_wrong_type,
    **dict.fromkeys(_EXPECTED, _build_wrong_type),
}
