"""Judge the workflows that use the action: will they work, and do they give away what they must not?

Pure: files and configuration in, findings out. `CHECKS` is the list of what is looked at in each use; triggers, labels
and permissions have modules of their own.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from coven_action.core.configuration.config import Config, Familiar
from coven_action.core.configuration.mistakes import quote, render_allowed
from coven_action.core.configuration.yaml_tree import MappingNode, Node, Place, Scalar, SequenceNode
from coven_action.core.contract.releases import PINNED_VERSION
from coven_action.core.isolation import LEVELS
from coven_action.core.workflows.findings import Severity, WorkflowFinding, build_finding, sort_findings
from coven_action.core.workflows.permissions import check_permissions
from coven_action.core.workflows.reading import WorkflowText
from coven_action.core.workflows.triggers import check_triggers
from coven_action.core.workflows.uses import (
    EXPRESSION,
    FOREIGN,
    STAGES,
    Use,
    find_child,
    find_key_place,
    find_scalar,
    find_steps,
    find_triggers,
    find_uses,
)
from coven_action.error_codes import CODES

INPUTS: Final = (
    "stage",
    "installation-id",
    "app-bot-id",
    "isolation",
    "github-token",
    "model-api-key",
    "runtime-path",
    "folder",
    "received",
    "plan-sha256",
    "outcome-sha256",
    "checks-sha256",
    "python",
)
"""The action's inputs; a test compares them with action.yml."""

PLACEHOLDER: Final = "0" * 40
DEFAULT_TIMEOUT_MINUTES: Final = (
    360  # https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax
)
MENTIONED: Final = re.compile(r"coven-action@|uses:\s*['\"]?\./", re.IGNORECASE)

_PINNED: Final = re.compile(r"[^@]+@([0-9a-f]{40})")
_SECRET: Final = re.compile(r"\bsecrets\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Case:
    """One use of the action, and what it is judged by."""

    use: Use
    config: Config | None


def check_workflows(
    workflows: Sequence[WorkflowText], config: Config | None, *, own: bool
) -> tuple[WorkflowFinding, ...]:
    """Return what is to be said about the workflows that use the action.

    Args:
        workflows: All workflow files of the repository.
        config: The configuration, None where it is missing or has mistakes; what depends on it is then left out.
        own: Whether the repository is the action's own, so that `./` means it.
    """
    uses = [use for workflow in workflows for use in find_uses(workflow, own=own)]
    findings = [*_check_readable(workflows, uses)]
    for use in uses:
        case = _Case(use, config)
        findings.extend(found for check in CHECKS for found in check(case))
    for job in _group_by_job(uses):
        findings.extend(check_permissions(job, hosted=_has_endpoint(config)))
        findings.extend(_check_separation(job, config))
    findings.extend(check_triggers(uses, config))
    return sort_findings(findings)


def _check_readable(workflows: Sequence[WorkflowText], uses: Sequence[Use]) -> Iterator[WorkflowFinding]:
    """A broken file that does not name the action is somebody else's; GitHub tells its mistakes."""
    using = {use.workflow.path for use in uses}
    for workflow in workflows:
        if workflow.path in using or MENTIONED.search("\n".join(workflow.lines)):
            for mistake in workflow.mistakes:
                yield WorkflowFinding(
                    "workflow-unreadable",
                    "error",
                    workflow.path,
                    mistake.line,
                    mistake.column,
                    f"The workflow cannot be read: {mistake.reason}.",
                    CODES["workflow-unreadable"].remedy,
                )


def _group_by_job(uses: Sequence[Use]) -> list[tuple[Use, ...]]:
    groups: dict[tuple[str, str], list[Use]] = {}
    for use in uses:
        groups.setdefault((use.workflow.path, use.job_id), []).append(use)
    return [tuple(group) for group in groups.values()]


def _check_separation(uses: tuple[Use, ...], config: Config | None) -> Iterator[WorkflowFinding]:
    """Whoever may ask for ID tokens speaks in the job's name, so `plan` refuses an endpoint where a familiar works too."""
    stages = {stage for use in uses for stage in use.stages}
    if _has_endpoint(config) and stages & FOREIGN and stages - FOREIGN:
        message = (
            f"The configuration names an endpoint, and the job {quote(uses[0].job_id)} runs the familiar, or what it has "
            "written, too."
        )
        yield build_finding(uses[0], "endpoint-in-one-job", "error", uses[0].uses.place, message)


def _has_endpoint(config: Config | None) -> bool:
    return config is not None and config.hosted is not None


def _check_pins(case: _Case) -> Iterator[WorkflowFinding]:
    """Whoever can move a tag or branch of an action runs code with this job's token."""
    own = case.use.uses
    for step in find_steps(case.use.job):
        uses = find_scalar(step, "uses")
        if uses is None or uses.text.startswith(("./", "docker://")):
            continue
        match = _PINNED.fullmatch(uses.text)
        if match is None:
            message = f"{quote(uses.text)} is not pinned to a commit."
            severity: Severity = "error" if uses is own else "warning"
            yield build_finding(case.use, "action-not-pinned", severity, uses.place, message)
        elif match[1] == PLACEHOLDER:
            yield build_finding(
                case.use, "action-placeholder", "error", uses.place, f"{quote(uses.text)} names no commit."
            )
        elif not _find_comment(case.use, uses):
            message = f"No comment says which version {quote(uses.text)} is."
            yield build_finding(case.use, "pin-without-version", "warning", uses.place, message)


def _find_comment(use: Use, uses: Scalar) -> str:
    rest = use.workflow.lines[uses.place.line - 1][uses.place.column - 1 + uses.place.length :]
    return rest.partition("#")[2].strip()


def _check_inputs(case: _Case) -> Iterator[WorkflowFinding]:
    given = find_child(case.use.step, "with")
    for name in given.entries if isinstance(given, MappingNode) else ():
        if name not in INPUTS:
            place = find_key_place(given, name) or case.use.uses.place
            message = f"{quote(name)} is no input of the action; {render_allowed(name, INPUTS)}."
            yield build_finding(case.use, "unknown-input", "error", place, message)
    stage = case.use.inputs.get("stage")
    if stage is not None and EXPRESSION not in stage.text and stage.text not in ("all", *STAGES):
        message = f"The input stage is {quote(stage.text)}; {render_allowed(stage.text, ('all', *STAGES))}."
        yield build_finding(case.use, "invalid-value", "error", stage.place, message)


def _check_isolation(case: _Case) -> Iterator[WorkflowFinding]:
    """The level is read by `plan`, which demands it, so only there the input has a meaning."""
    written = case.use.inputs.get("isolation")
    demanded = written.text if written is not None else "enforced"
    place = written.place if written is not None else case.use.uses.place
    if EXPRESSION in demanded or "plan" not in case.use.stages:
        return
    if demanded not in LEVELS:
        message = f"The input isolation is {quote(demanded)}; {render_allowed(demanded, LEVELS)}."
        yield build_finding(case.use, "isolation-unknown", "error", place, message)
    elif demanded != "enforced" and (wanting := _find_needing_sandbox(case)):
        message = (
            f"The pinned coven-code {PINNED_VERSION} needs an enforced sandbox, and the workflow demands isolation "
            f"{demanded}: {', '.join(wanting)} will start only where the runner reaches more than that."
        )
        remedy = "Demand what it needs: `with: {isolation: enforced}`."
        yield build_finding(case.use, "runtime-needs-sandbox", "warning", place, message, remedy)


def _find_needing_sandbox(case: _Case) -> tuple[str, ...]:
    """Return the familiars whose agent has a shell, as that of the pinned release has, which only a sandbox may hold."""
    if "runtime-path" in case.use.inputs:
        return ()
    return tuple(familiar.id for familiar in _get_familiars(case.config) if familiar.runtime == "coven-code")


def _check_model_key(case: _Case) -> Iterator[WorkflowFinding]:
    if not case.use.runs_agent:
        return
    key = case.use.inputs.get("model-api-key")
    wanting = [familiar.id for familiar in _get_familiars(case.config) if familiar.runtime == "coven-code"]
    if key is None:
        if wanting:
            message = f"The step passes no model key, and {', '.join(wanting)} cannot start without one."
            yield build_finding(case.use, "missing-model-key", "error", case.use.uses.place, message)
    elif key.text and EXPRESSION not in key.text:
        message = "The model key is written into the workflow, where everybody who reads the repository reads it."
        yield build_finding(case.use, "secret-in-workflow", "error", key.place, message)
    elif _SECRET.search(key.text) and find_child(case.use.job, "environment") is None:
        message = f"The job {quote(case.use.job_id)} uses a model key and names no environment."
        yield build_finding(case.use, "key-outside-environment", "warning", key.place, message)


def _get_familiars(config: Config | None) -> tuple[Familiar, ...]:
    return tuple(config.familiars.values()) if config else ()


def _check_secrets_of_the_job(case: _Case) -> Iterator[WorkflowFinding]:
    """A variable of the job is in every process of it, the agent's parents included, and the agent is the same user."""
    if not case.use.runs_foreign_code:
        return
    for owner in (case.use.workflow.root, case.use.job):
        variables = find_child(owner, "env")
        for name, entry in variables.entries.items() if isinstance(variables, MappingNode) else ():
            if isinstance(entry.value, Scalar) and EXPRESSION in entry.value.text and _SECRET.search(entry.value.text):
                message = f"The variable {quote(name)} holds a secret in every step of the job that runs the agent."
                yield build_finding(case.use, "secret-beside-agent", "warning", entry.key.place, message)


def _check_checkout(case: _Case) -> Iterator[WorkflowFinding]:
    checkouts = [
        (step, uses)
        for step in find_steps(case.use.job)
        if (uses := find_scalar(step, "uses")) is not None and uses.text.lower().startswith("actions/checkout@")
    ]
    if not checkouts and case.use.runs_foreign_code:
        message = f"The job {quote(case.use.job_id)} has no actions/checkout, so there is nothing to work on."
        yield build_finding(case.use, "checkout-missing", "error", case.use.job_place, message)
    for step, uses in checkouts:
        keeps, depth = find_scalar(step, "with", "persist-credentials"), find_scalar(step, "with", "fetch-depth")
        if keeps is None or keeps.text.lower() != "false":
            place = keeps.place if keeps is not None else uses.place
            message = "actions/checkout leaves the job's token in the checkout, where the agent's process can read it."
            yield build_finding(case.use, "checkout-keeps-token", "error", place, message)
        if case.use.runs_foreign_code and (depth is None or depth.text != "0"):
            place = depth.place if depth is not None else uses.place
            message = "actions/checkout fetches a part of the history; the work may start from another commit."
            yield build_finding(case.use, "checkout-shallow", "error", place, message)


def _check_concurrency(case: _Case) -> Iterator[WorkflowFinding]:
    """Two runs on one thread would publish to the same branch, and a run that is cancelled leaves a request unanswered."""
    owner = next((owner for owner in (case.use.job, case.use.workflow.root) if find_child(owner, "concurrency")), None)
    concurrency = find_child(owner, "concurrency")
    place = find_key_place(owner, "concurrency") or case.use.job_place
    group = concurrency if isinstance(concurrency, Scalar) else find_scalar(concurrency, "group")
    if group is None or EXPRESSION not in group.text:
        message = f"Nothing keeps two runs of the job {quote(case.use.job_id)} on the same issue apart."
        yield build_finding(case.use, "concurrency-missing", "warning", place, message)
        return
    cancel, queue = find_scalar(concurrency, "cancel-in-progress"), find_scalar(concurrency, "queue")
    if cancel is not None and cancel.text.lower() != "false":
        message = "A newer request cancels the run that is at work, and nobody is told."
        yield build_finding(case.use, "runs-cancelled", "warning", cancel.place, message)
    elif queue is None or queue.text != "max":
        message = "Of several waiting runs GitHub keeps the newest and cancels the others."
        yield build_finding(case.use, "runs-cancelled", "warning", place, message)


def _check_timeout(case: _Case) -> Iterator[WorkflowFinding]:
    """GitHub ends the whole job at its own limit: then nothing is published, and the comment stays at "working"."""
    written = find_scalar(case.use.job, "timeout-minutes")
    text = written.text if written is not None else str(DEFAULT_TIMEOUT_MINUTES)
    if case.config is None or not case.use.runs_foreign_code or not re.fullmatch(r"[0-9]{1,6}", text):
        return
    limit, why = _sum_limits(case.config, case.use)
    if limit and int(text) * 60 <= limit:
        place = written.place if written is not None else case.use.job_place
        minutes = -(-limit // 60)
        message = f"The job ends after {text} minutes, and {why} let it work for {minutes}."
        remedy = f"Write `timeout-minutes: {minutes + 15}` or more in the job, or lower them."
        yield build_finding(case.use, "timeout-too-short", "error", place, message, remedy)


def _sum_limits(config: Config, use: Use) -> tuple[int, str]:
    """Return how long a job's stages may take by the configuration, in seconds, and which keys say so."""
    # Each check runs on the base and on the result.
    of_stage = {
        "run": (config.limits.time, "limits.time"),
        "verify": (2 * sum(check.timeout_seconds for check in config.verify), "the timeouts of verify"),
    }
    counted = [of_stage[stage] for stage in ("run", "verify") if stage in use.stages and of_stage[stage][0]]
    return sum(seconds for seconds, _ in counted), " and ".join(key for _, key in counted)


def _check_runner(case: _Case) -> Iterator[WorkflowFinding]:
    runner = find_child(case.use.job, "runs-on")
    for label in _find_words(runner):
        if label.text.lower().startswith("windows"):
            message = f"The job {quote(case.use.job_id)} runs on {quote(label.text)}."
            yield build_finding(case.use, "platform-not-supported", "error", label.place, message)


def _find_words(node: Node | None) -> Iterator[Scalar]:
    if isinstance(node, Scalar):
        yield node
    elif isinstance(node, SequenceNode):
        for item in node.items:
            yield from _find_words(item)
    elif isinstance(node, MappingNode):
        yield from _find_words(find_child(node, "labels"))


def _check_unsafe_trigger(case: _Case) -> Iterator[WorkflowFinding]:
    if "pull_request_target" in find_triggers(case.use.workflow):
        on = find_child(case.use.workflow.root, "on")
        place = find_key_place(on, "pull_request_target") or _find_on_place(case.use)
        message = "pull_request_target gives this job's token and secrets to whatever a fork's pull request starts."
        yield build_finding(case.use, "unsafe-trigger", "error", place, message)


def _find_on_place(use: Use) -> Place:
    return find_key_place(use.workflow.root, "on") or Place(1, 1)


CHECKS: Final[tuple[Callable[[_Case], Iterator[WorkflowFinding]], ...]] = (
    _check_unsafe_trigger,
    _check_runner,
    _check_pins,
    _check_inputs,
    _check_isolation,
    _check_model_key,
    _check_secrets_of_the_job,
    _check_checkout,
    _check_concurrency,
    _check_timeout,
)
