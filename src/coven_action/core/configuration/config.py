"""What the configuration means, once it has been read: frozen values that the stages act on.

Pure. `config_document.py` describes what may be written, `config_parsing.py` leads from one to the other. Everything
here is already checked and every default is filled in, so nobody asks twice.
"""

from collections.abc import Mapping
from typing import Literal

from coven_action.core.checks.results import CheckCommand
from coven_action.core.configuration.document import Hosted, Publish, When, WrittenLimits
from coven_action.core.memory.grants import MemorySettings
from coven_action.core.records import Record
from coven_action.core.verification.protected_paths import BUILT_IN_ONLY, Protection


class Familiar(Record):
    """One coding agent of the repository.

    Args:
        id: Its name in commands and rules, `[a-z][a-z0-9-]{0,31}`.
        display_name: Its name for people, one printable line; not escaped for Markdown.
        model: `provider/name`, or nothing where the runtime needs none.
        runtime: A built-in runtime, or the argument vector of a command that speaks the contract.
        mode: What it may do; `repair` edits files, `full` adds a shell.
        hosts: Hosts it may reach beside the model's.
        skills: Names handed to the runtime.
        assignee: Login of the project's own machine account that stands for it.
    """

    id: str
    display_name: str
    model: str | None = None
    runtime: Literal["coven-code", "patch"] | tuple[str, ...] = "coven-code"
    mode: Literal["repair", "full"] = "repair"
    hosts: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    assignee: str | None = None


class Rule(Record):
    """One line of the routing: when all conditions hold, this familiar gets this task."""

    when: When
    familiar: str
    task: Literal["fix"] = "fix"


_LIMITS = WrittenLimits()


class Limits(Record):
    """The bounds of one run.

    Args:
        time: Seconds a familiar may work.
        turns: Turns the model may take.
        files: Files that may change.
        lines: Lines that may be added and deleted together.
        binary_files: Binary files that may change.
        patch: Bytes of the whole change.
        attempts: How often it may try while checks fail.
        cost: Cents that a run may spend at its model; None where nothing is written.
        per_day: Tasks of the repository that may start in a day; None where nobody counts.
    """

    time: int = _LIMITS.time
    turns: int = _LIMITS.turns
    files: int = _LIMITS.files
    lines: int = _LIMITS.lines
    binary_files: int = _LIMITS.binary_files
    patch: int = _LIMITS.patch
    attempts: int = _LIMITS.attempts
    cost: int | None = None
    per_day: int | None = None


class Config(Record):
    """The whole configuration.

    Args:
        version: Of the document's form.
        familiars: By id, in the order written; never empty.
        rules: The routing, first match wins; each names one of `familiars`. Empty where only commands start work.
        otherwise: What happens when no rule holds.
        allow_bots: Numeric account ids of bots that may ask.
        verify: The repository's own checks, in their order.
        limits: The bounds of one run.
        protection: Paths that no result may change, and exceptions from the built-in list.
        publish: How a result is presented.
        memory: What familiars may remember; off unless written.
        hosted: The endpoint that keeps history and memory; None where nothing is sent anywhere.
    """

    version: Literal[1] = 1
    familiars: Mapping[str, Familiar]
    rules: tuple[Rule, ...]
    otherwise: Literal["decline"] = "decline"
    allow_bots: tuple[int, ...] = ()
    verify: tuple[CheckCommand, ...] = ()
    limits: Limits = Limits()
    protection: Protection = BUILT_IN_ONLY
    publish: Publish = Publish()
    memory: MemorySettings = MemorySettings()
    hosted: Hosted | None = None

    def familiar(self, familiar_id: str) -> Familiar:
        """Return the familiar with this id.

        Raises:
            KeyError: No familiar is called that; every id in `rules` is one.
        """
        return self.familiars[familiar_id]
