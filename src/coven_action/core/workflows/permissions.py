"""Whether a job has the permissions its stages need, and no more. Pure: one table of what each stage asks GitHub for."""

from collections.abc import Iterator, Mapping
from typing import Final

from coven_action.core.configuration.mistakes import quote
from coven_action.core.configuration.yaml_tree import MappingNode, Node, Place, Scalar
from coven_action.core.workflows.findings import WorkflowFinding, build_finding
from coven_action.core.workflows.uses import Use, find_child, find_key_place

LEVELS: Final = ("none", "read", "write")

NEEDED: Final[Mapping[str, Mapping[str, str]]] = {
    # the configuration; the status comment and the label; the head of a pull request that is worked on
    "plan": {"contents": "read", "issues": "write", "pull-requests": "read"},
    # actions/checkout
    "run": {"contents": "read"},
    "verify": {"contents": "read"},
    # the branch; the comment; the pull request; the Check Run
    "publish": {"contents": "write", "issues": "write", "pull-requests": "write", "checks": "write"},
}
"""What each stage needs of the job's token."""

HARMLESS: Final[Mapping[str, str]] = {"actions": "read"}
"""What our workflows grant beyond that: who triggered a re-run, and what earlier runs left, are readable with it."""

ID_TOKEN: Final = "id-token"  # noqa: S105 - the name of a permission


def check_permissions(uses: tuple[Use, ...], *, hosted: bool = False) -> Iterator[WorkflowFinding]:
    """Yield what is wrong with the permissions of a job.

    Args:
        uses: All steps of one job that use the action; never empty.
        hosted: Whether the configuration names an endpoint.
    """
    use = uses[0]
    place, granted = _find_granted(use)
    if granted is None:
        message = f"The job {quote(use.job_id)} does not write its permissions: a setting of the repository decides."
        yield build_finding(use, "permissions-missing", "error", place, message, _build_remedy(_sum_needed(uses)))
        return
    may_mint = _get_level(granted, ID_TOKEN) == "write"
    if any(use.runs_foreign_code for use in uses):
        if may_mint:
            message = (
                f"The job {quote(use.job_id)} runs the agent, or what it has written, and may mint OIDC tokens, "
                "which open other doors."
            )
            yield build_finding(use, "id-token-beside-agent", "error", _find_place(granted, ID_TOKEN, place), message)
    elif hosted and not may_mint:
        message = f"The job {quote(use.job_id)} may not ask for an ID token: it goes without memory and history."
        yield build_finding(use, "id-token-missing", "warning", place, message)
    yield from _check_missing(use, granted, _sum_needed(uses), place)
    yield from _check_excessive(use, granted, _sum_needed(uses), place)


def _check_missing(use: Use, granted: Node, needed: Mapping[str, str], place: Place) -> Iterator[WorkflowFinding]:
    missing = {name: level for name, level in needed.items() if _rank(_get_level(granted, name)) < _rank(level)}
    if missing:
        names = ", ".join(f"{name}: {level}" for name, level in missing.items())
        message = f"The job {quote(use.job_id)} lacks a permission its stages need: {names}."
        yield build_finding(use, "permissions-missing", "error", place, message, _build_remedy(needed))


def _check_excessive(use: Use, granted: Node, needed: Mapping[str, str], place: Place) -> Iterator[WorkflowFinding]:
    if isinstance(granted, Scalar):
        message = f"The job {quote(use.job_id)} has {quote(granted.text)}, which is more than its stages need."
        yield build_finding(use, "permissions-excessive", "warning", place, message, _build_remedy(needed))
        return
    for name in granted.entries if isinstance(granted, MappingNode) else ():
        level = _get_level(granted, name)
        enough = max(needed.get(name, "none"), HARMLESS.get(name, "none"), key=_rank)
        if _rank(level) > _rank(enough) and name != ID_TOKEN:
            message = f"The job {quote(use.job_id)} has {quote(name)}: {level}; its stages need {enough}."
            remedy = "Remove the line, unless another step of the job needs it."
            yield build_finding(
                use, "permissions-excessive", "warning", _find_place(granted, name, place), message, remedy
            )


def _sum_needed(uses: tuple[Use, ...]) -> dict[str, str]:
    needed: dict[str, str] = {}
    for stage in sorted({stage for use in uses for stage in use.stages}):
        for name, level in NEEDED[stage].items():
            needed[name] = max(needed.get(name, "none"), level, key=_rank)
    return needed


def _find_granted(use: Use) -> tuple[Place, Node | None]:
    """Return the permissions in force, the job's before the workflow's, and where they are written."""
    for owner in (use.job, use.workflow.root):
        granted, place = find_child(owner, "permissions"), find_key_place(owner, "permissions")
        if granted is not None and place is not None:
            return place, granted
    return use.job_place, None


def _get_level(granted: Node, name: str) -> str:
    """Return the level of one permission; `read-all` and `write-all` give all of them, what is not written is none."""
    if isinstance(granted, Scalar):
        return granted.text.removesuffix("-all")
    level = find_child(granted, name)
    return level.text if isinstance(level, Scalar) else "none"


def _find_place(granted: Node, name: str, otherwise: Place) -> Place:
    return find_key_place(granted, name) or otherwise


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else 0


def _build_remedy(needed: Mapping[str, str]) -> str:
    lines = "\n".join(f"      {name}: {level}" for name, level in needed.items())
    return f"Write in the job:\n    permissions:\n{lines}"
