"""Find where workflows use this action: in which job, with which inputs, for which stages.

Pure. Everything below looks at the tree as written and takes a shape that nobody expects for absent: what GitHub itself
refuses is GitHub's to tell.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from coven_action.core.configuration.yaml_tree import MappingNode, Node, Place, Scalar, SequenceNode
from coven_action.core.workflows.reading import WorkflowText

STAGES: Final = ("plan", "run", "verify", "publish")
FOREIGN: Final = frozenset({"run", "verify"})
"""Stages that start programs which are not ours."""
ACTION: Final = re.compile(r"opencoven/coven-action(?:/[^@]*)?@.*|\./", re.IGNORECASE)
"""What `uses:` says for this action: by its name, or as the repository's own."""

EXPRESSION: Final = "${{"


@dataclass(frozen=True, slots=True)
class Use:
    """One step that uses the action.

    Args:
        workflow: The file.
        job_id: The job's key.
        job_place: Where that key stands.
        job: The job.
        step: The step.
        uses: What its `uses:` says.
        inputs: Its `with:`.
        stages: Which stages it runs.
    """

    workflow: WorkflowText
    job_id: str
    job_place: Place
    job: MappingNode
    step: MappingNode
    uses: Scalar
    inputs: Mapping[str, Scalar]
    stages: frozenset[str]

    @property
    def runs_agent(self) -> bool:
        """Whether the agent runs in this step."""
        return "run" in self.stages

    @property
    def runs_foreign_code(self) -> bool:
        """Whether the agent, or code that it may have changed, runs in this step."""
        return bool(FOREIGN & self.stages)


def find_uses(workflow: WorkflowText, *, own: bool) -> tuple[Use, ...]:
    """Return the steps of a workflow that use the action.

    Args:
        workflow: The file.
        own: Whether `./` is this action, because the repository is its own.
    """
    return tuple(
        _build_use(workflow, job_id, place, job, step, uses)
        for job_id, place, job in _find_jobs(workflow.root)
        for step in find_steps(job)
        if (uses := find_scalar(step, "uses")) is not None
        and ACTION.fullmatch(uses.text)
        and (own or uses.text != "./")
    )


def _build_use(
    workflow: WorkflowText, job_id: str, place: Place, job: MappingNode, step: MappingNode, uses: Scalar
) -> Use:
    inputs = _read_inputs(step)
    return Use(workflow, job_id, place, job, step, uses, inputs, _find_stages(inputs))


def find_child(node: Node | None, *keys: str) -> Node | None:
    """Return the value below keys, None where there is none."""
    for key in keys:
        if not isinstance(node, MappingNode) or key not in node.entries:
            return None
        node = node.entries[key].value
    return node


def find_scalar(node: Node | None, *keys: str) -> Scalar | None:
    """Return the word or number below keys, None where there is none."""
    found = find_child(node, *keys)
    return found if isinstance(found, Scalar) and found.kind != "nothing" else None


def find_key_place(node: Node | None, key: str) -> Place | None:
    """Return where a key of a mapping stands."""
    return node.entries[key].key.place if isinstance(node, MappingNode) and key in node.entries else None


def find_steps(job: MappingNode) -> Iterator[MappingNode]:
    """Yield the steps of a job, in their order."""
    steps = find_child(job, "steps")
    for step in steps.items if isinstance(steps, SequenceNode) else ():
        if isinstance(step, MappingNode):
            yield step


def find_triggers(workflow: WorkflowText) -> dict[str, Node | None]:
    """Return what starts a workflow: the names below `on`, each with its settings."""
    on = find_child(workflow.root, "on")
    if isinstance(on, MappingNode):
        return {name: entry.value for name, entry in on.entries.items()}
    names = on.items if isinstance(on, SequenceNode) else (on,)
    return {name.text: None for name in names if isinstance(name, Scalar) and name.kind != "nothing"}


def find_types(settings: Node | None) -> frozenset[str] | None:
    """Return the activity types of a trigger, None where all of them start it."""
    types = find_child(settings, "types")
    if isinstance(types, Scalar):
        return frozenset({types.text})
    if not isinstance(types, SequenceNode):
        return None
    return frozenset(item.text for item in types.items if isinstance(item, Scalar))


def _find_jobs(root: Node) -> Iterator[tuple[str, Place, MappingNode]]:
    jobs = find_child(root, "jobs")
    for job_id, entry in jobs.entries.items() if isinstance(jobs, MappingNode) else ():
        if isinstance(entry.value, MappingNode):
            yield job_id, entry.key.place, entry.value


def _read_inputs(step: MappingNode) -> dict[str, Scalar]:
    given = find_child(step, "with")
    entries = given.entries if isinstance(given, MappingNode) else {}
    return {name: entry.value for name, entry in entries.items() if isinstance(entry.value, Scalar)}


def _find_stages(inputs: Mapping[str, Scalar]) -> frozenset[str]:
    """Return the stages; an expression may name any of them, and a word that is no stage is reported elsewhere."""
    stage = inputs.get("stage")
    return frozenset({stage.text} if stage is not None and stage.text in STAGES else STAGES)
