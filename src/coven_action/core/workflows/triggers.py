"""Whether what the routing waits for can ever start a job: the trigger is there, and the job's condition lets it pass.

Pure. A condition is evaluated for each case with what is known of it beforehand; only what certainly fails is reported.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from coven_action.core.configuration.config import Config
from coven_action.core.configuration.mistakes import quote
from coven_action.core.configuration.yaml_tree import Place
from coven_action.core.workflows.expressions import evaluate_condition
from coven_action.core.workflows.findings import Severity, WorkflowFinding, build_finding
from coven_action.core.workflows.uses import (
    Use,
    find_child,
    find_key_place,
    find_scalar,
    find_triggers,
    find_types,
)

ANSWERED: Final[Mapping[str, frozenset[str]]] = {
    "issues": frozenset({"labeled", "assigned"}),
    "issue_comment": frozenset({"created"}),
    "workflow_dispatch": frozenset(),
}
"""The events that this version answers, with their activity types; a test compares them with `events.READERS`."""

PASSED_ON: Final = "workflow_call"
"""A workflow that others call is started by whatever starts those."""

_PARTS: Final = ("github.event.label", "github.event.assignee", "github.event.comment", "github.event.workflow_run")
"""Parts of a payload that only some events have; what an event of `ANSWERED` is not known to have, it lacks."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Something that should start a familiar.

    Args:
        described: For people, after "for".
        event_name: The trigger.
        action: Its activity type.
        severity: How bad it is when nothing starts.
        known: What is known of the event, for `evaluate_condition`.
    """

    described: str
    event_name: str
    action: str
    severity: Severity = "error"
    known: Mapping[str, str] = field(default_factory=dict)


def check_triggers(uses: Sequence[Use], config: Config | None) -> Iterator[WorkflowFinding]:
    """Yield what starts no familiar although somebody waits for it, and what starts jobs for nothing."""
    deciding = [use for use in uses if "plan" in use.stages]
    for use in deciding:
        yield from _check_needless(use)
    if config is not None and deciding:
        for wanted in _find_wanted(config):
            yield from _check_wanted(wanted, deciding)


def _check_needless(use: Use) -> Iterator[WorkflowFinding]:
    """An event that is never answered still starts a runner."""
    on = find_child(use.workflow.root, "on")
    for name, settings in find_triggers(use.workflow).items():
        place = find_key_place(on, name) or _find_on_place(use)
        if name not in ANSWERED and name not in (PASSED_ON, "pull_request_target"):
            message = f"The event {quote(name)} starts this workflow, and this version answers it with nothing."
            yield build_finding(use, "trigger-not-answered", "warning", place, message)
        elif ANSWERED.get(name):
            types = find_types(settings)
            needless = ["everything"] if types is None else sorted(types - ANSWERED[name])
            if needless:
                shown = ", ".join(quote(kind)[1:-1] for kind in needless)
                answered = ", ".join(sorted(ANSWERED[name]))
                message = f"{name} starts this workflow for {shown}; only {answered} can start a familiar."
                yield build_finding(use, "trigger-not-answered", "warning", place, message)


def _find_wanted(config: Config) -> Iterator[_Wanted]:
    for rule in config.rules:
        when = rule.when
        if when.label is not None and when.assignee is None:
            known = {"github.event.label.name": when.label}
            yield _Wanted(f"the label {quote(when.label)}", "issues", "labeled", known=known)
        elif when.assignee is not None and when.label is None:
            known = {"github.event.assignee.login": when.assignee}
            yield _Wanted(f"the assignment to {quote(when.assignee)}", "issues", "assigned", known=known)
    routed = {rule.familiar for rule in config.rules}
    for familiar_id in config.familiars:
        if familiar_id not in routed:
            # No rule names it, so a command is the only way to it.
            known = {"github.event.comment.body": f"/{familiar_id} fix"}
            yield _Wanted(f"the command `/{familiar_id} fix`", "issue_comment", "created", "warning", known)


def _check_wanted(wanted: _Wanted, uses: Sequence[Use]) -> Iterator[WorkflowFinding]:
    started = [use for use in uses if _is_started(wanted, use)]
    if not started:
        message = f"No workflow is started for {wanted.described}."
        remedy = f"Write below `on:`\n    {wanted.event_name}: {{types: [{wanted.action}]}}"
        yield build_finding(uses[0], "trigger-missing", wanted.severity, _find_on_place(uses[0]), message, remedy)
    elif all(_is_shut(wanted, use) for use in started):
        use = started[0]
        condition = find_scalar(use.job, "if") or find_scalar(use.step, "if") or use.uses
        message = f"The condition of the job {quote(use.job_id)} never holds for {wanted.described}."
        yield build_finding(use, "condition-never-holds", wanted.severity, condition.place, message)


def _is_started(wanted: _Wanted, use: Use) -> bool:
    triggers = find_triggers(use.workflow)
    if PASSED_ON in triggers:
        return True
    if wanted.event_name not in triggers:
        return False
    types = find_types(triggers[wanted.event_name])
    return types is None or wanted.action in types


def _is_shut(wanted: _Wanted, use: Use) -> bool:
    known: dict[str, object] = {
        **{part: None for part in _PARTS if not any(name.startswith(part + ".") for name in wanted.known)},
        "github.event_name": wanted.event_name,
        "github.event.action": wanted.action,
        **wanted.known,
    }
    conditions = (find_scalar(use.job, "if"), find_scalar(use.step, "if"))
    return any(condition is not None and evaluate_condition(condition.text, known) is False for condition in conditions)


def _find_on_place(use: Use) -> Place:
    return find_key_place(use.workflow.root, "on") or Place(1, 1)
