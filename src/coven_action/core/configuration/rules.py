"""What the kinds of single values cannot say: the keys that are only planned, and the rules between keys.

Pure, and tolerant: the rules look at the plain values as written, skip whatever has another shape (that is somebody
else's mistake), and so all mistakes of a file can be told at once.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from coven_action.core.configuration.document import ANY, MAX_ITEMS
from coven_action.core.configuration.mistakes import quote, render_allowed
from coven_action.core.configuration.value_types import render_value

Location = tuple[str | int, ...]
"""Keys and list positions that lead from the document to a value."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake before its place in the text is looked up.

    Args:
        code: A key of `errors.CODES`.
        location: What is wrong.
        sentence: What is wrong with it; follows its name.
        note: What to do.
        at_key: Whether to point at the key rather than at the value.
        suggestion: The key that an unknown one was probably meant to be.
    """

    code: str
    location: Location
    sentence: str
    note: str = ""
    at_key: bool = False
    suggestion: str | None = None


NOT_YET: Final[Mapping[tuple[str, ...], str]] = {
    ("publish", "commit"): "commits signed by GitHub",
    ("routing", ANY, "task", "=review"): "reviews of pull requests",
    ("routing", ANY, "when", "paths"): "routing by changed files",
    ("routing", ANY, "when", "type"): "routing by issue type",
    ("routing", ANY, "when", "mention"): "routing by mention",
    ("routing", ANY, "when", "event"): "routing by event",
    ("routing", ANY, "otherwise", "=triage"): "triage without a model call",
}
"""Keys, and values after `=`, that a later version acts on. Opening one is: add it to the models, remove its row."""


def find_plan(
    location: Location, value: object = None, *, plans: Mapping[tuple[str, ...], str] = NOT_YET
) -> str | None:
    """Return what is planned for a key that the models do not know, or for a value they refuse, if anything is."""
    for path, plan in plans.items():
        wanted = path[:-1] if path[-1].startswith("=") else path
        if matches(location, wanted) and (wanted == path or path[-1] == f"={value}"):
            return plan
    return None


def matches(location: Location, path: tuple[str, ...]) -> bool:
    """Return whether a location is one that the path describes, `ANY` standing for every part."""
    return len(location) == len(path) and all(
        wanted in (ANY, part) for part, wanted in zip(location, path, strict=True)
    )


def find_rule_mistakes(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what the keys of a document say against one another."""
    for rule in RULES:
        yield from rule(document)


def _check_models(document: Mapping[str, Any]) -> Iterator[Finding]:
    """A familiar of coven-code needs a model; we choose none for anybody, because a model costs money."""
    for familiar_id, familiar in _get_mapping(document, "familiars").items():
        if (
            isinstance(familiar, dict)
            and "model" not in familiar
            and familiar.get("runtime", "coven-code") == "coven-code"
        ):
            note = "add `model: provider/name`, for instance anthropic/claude-sonnet-4-6"
            yield Finding("missing-key", ("familiars", familiar_id, "model"), "is missing", note, at_key=True)


def _check_routing_written(document: Mapping[str, Any]) -> Iterator[Finding]:
    """With several familiars nobody but the repository knows who answers what."""
    if len(_get_mapping(document, "familiars")) > 1 and "routing" not in document:
        sentence = "is missing: with several familiars it says who answers what"
        yield Finding("missing-key", ("routing",), sentence, "add `routing`", at_key=True)


def _check_familiars_exist(document: Mapping[str, Any]) -> Iterator[Finding]:
    familiars = _get_mapping(document, "familiars")
    for position, rule in _get_rules(document):
        name = rule.get("familiar")
        if familiars and isinstance(name, str) and name not in familiars:
            note = render_allowed(name, list(familiars))
            yield Finding("unknown-familiar", ("routing", position, "familiar"), f"is {quote(name)}", note)


def _check_assignees_exist(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Work starts by assignment to the project's own machine account only, never by assignment to a person."""
    familiars = _get_mapping(document, "familiars").values()
    known = [familiar.get("assignee") for familiar in familiars if isinstance(familiar, dict)]
    logins = [login for login in known if isinstance(login, str)]
    for position, rule in _get_rules(document):
        login = _get_mapping(rule, "when").get("assignee")
        if isinstance(login, str) and login.casefold() not in (known.casefold() for known in logins):
            note = render_allowed(login, logins) if logins else "write the machine account as `assignee` of a familiar"
            location = ("routing", position, "when", "assignee")
            yield Finding("unknown-assignee", location, f"is {quote(login)}, the assignee of no familiar", note)


def _check_conditions_written(document: Mapping[str, Any]) -> Iterator[Finding]:
    """A rule without a condition would answer everything, so nothing means no."""
    for position, rule in _get_rules(document):
        if rule.get("when") == {}:
            location = ("routing", position, "when")
            yield Finding("missing-key", location, "is empty", "write `label` or `assignee`")


def _check_rules_reachable(document: Mapping[str, Any]) -> Iterator[Finding]:
    """The first rule that holds wins, so what follows a wider one never does."""
    earlier: list[tuple[int, set[tuple[str, str]]]] = []
    otherwise: int | None = None
    for position, rule in _get_rules(document):
        conditions = _read_conditions(rule)
        wider = next((number for number, known in earlier if known <= conditions), None) if conditions else None
        blocker = otherwise if otherwise is not None else wider
        if blocker is not None:
            sentence = f"is never reached: routing[{blocker}] answers all of it first"
            yield Finding("unreachable-rule", ("routing", position), sentence, "move it up or remove it")
        if conditions:
            earlier.append((position, conditions))
        if "otherwise" in rule and otherwise is None:
            otherwise = position


def _read_conditions(rule: Mapping[str, Any]) -> set[tuple[str, str]]:
    when = _get_mapping(rule, "when")
    return {(key, render_value(value).casefold()) for key, value in when.items()}


def _check_modes(document: Mapping[str, Any]) -> Iterator[Finding]:
    """The built-in runtime applies a patch: there is nothing that a shell could add."""
    for familiar_id, familiar in _get_mapping(document, "familiars").items():
        if isinstance(familiar, dict) and familiar.get("runtime") == "patch" and familiar.get("mode") == "full":
            sentence = "is full, and the patch runtime has no shell"
            yield Finding("invalid-value", ("familiars", familiar_id, "mode"), sentence, "remove it")


def _check_hosts(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Only a shell has a use for other hosts, and the model's host is reached through the gateway, which counts."""
    for familiar_id, familiar in _get_mapping(document, "familiars").items():
        if isinstance(familiar, dict) and familiar.get("hosts") and familiar.get("mode") != "full":
            note = "add `mode: full`, which needs isolation enforced, or remove it"
            yield Finding(
                "invalid-value", ("familiars", familiar_id, "hosts"), "is for `mode: full` only", note, at_key=True
            )


def _check_checks_named_once(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Evidence tells checks apart by their names."""
    checks, seen = document.get("verify"), set()
    for position, check in enumerate(checks[:MAX_ITEMS] if isinstance(checks, tuple) else ()):
        name = check.get("name") if isinstance(check, dict) else None
        if isinstance(name, str):
            if name in seen:
                location = ("verify", position, "name")
                yield Finding("invalid-value", location, f"is {quote(name)} once more", "name each check differently")
            seen.add(name)


def _check_memory_scopes(document: Mapping[str, Any]) -> Iterator[Finding]:
    """A run may not propose into what it may not read: it could not know what it would replace there."""
    memory = _get_mapping(document, "memory")
    read, write = memory.get("read"), memory.get("write")
    if isinstance(read, tuple) and isinstance(write, tuple):
        for position, scope in enumerate(write[:MAX_ITEMS]):
            if scope == "repo" and scope not in read:
                sentence = "is repo, which `read` does not hold"
                note = "a write scope is never wider than the read scope"
                yield Finding("invalid-value", ("memory", "write", position), sentence, note)


def _check_endpoint_named(document: Mapping[str, Any]) -> Iterator[Finding]:
    """What only the endpoint can keep needs one: a cap nobody counts would be no cap."""
    if "hosted" in document:
        return
    if "per_day" in _get_mapping(document, "limits"):
        sentence = "is counted by the endpoint, and `hosted` names none"
        yield Finding("missing-key", ("limits", "per_day"), sentence, "add `hosted: {url: https://…}` or remove it")
    read = _get_mapping(document, "memory").get("read")
    for position, scope in enumerate(read[:MAX_ITEMS] if isinstance(read, tuple) else ()):
        if scope == "tenant_shared":
            sentence = "is kept by the endpoint, and `hosted` names none"
            note = "add `hosted: {url: https://…}` or remove it"
            yield Finding("missing-key", ("memory", "read", position), sentence, note)


RULES: Final[tuple[Callable[[Mapping[str, Any]], Iterator[Finding]], ...]] = (
    _check_models,
    _check_routing_written,
    _check_familiars_exist,
    _check_assignees_exist,
    _check_conditions_written,
    _check_rules_reachable,
    _check_modes,
    _check_hosts,
    _check_checks_named_once,
    _check_memory_scopes,
    _check_endpoint_named,
)


def _get_mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _get_rules(document: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the rules that have the shape of one, with their positions; a list that is too long is refused anyway."""
    routing = document.get("routing")
    for position, rule in enumerate(routing[:MAX_ITEMS] if isinstance(routing, tuple) else ()):
        if isinstance(rule, dict):
            yield position, rule
