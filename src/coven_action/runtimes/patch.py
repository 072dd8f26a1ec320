"""The built-in `patch` runtime: it does what a diff or suggestion block in the task's text says, and nothing else.

A program of its own that speaks the contract of every runtime:
`python -m coven_action.runtimes.patch --headless --context BRIEF --output RESULT`. It is deterministic and calls no
model. A diff applies as a whole, strictly as git applies it, or not at all; then the result says why. It never commits.

Exit codes: 0 applied; 1 nothing to apply, or it does not apply (the result says which), or the brief cannot be read
(no result); 2 wrong usage (no result), or trouble of its own (`infra_error`).
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from coven_action import __version__
from coven_action.core.contract.contract import MAX_BRIEF_BYTES, Task
from coven_action.core.strict_json import StrictJSONError, parse_json_object
from coven_action.runtimes.patch_outcome import Outcome, change_workspace, render_result
from coven_action.runtimes.patch_workspace import WorkspaceError, open_workspace


class _Part(BaseModel):
    """A part of a brief; what this runtime has no use for is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Repository(_Part):
    owner: str
    name: str


class _Workspace(_Part):
    root: str


class _Brief(_Part):
    contract_version: Literal["3"] = "3"
    repo: _Repository
    task: Task
    workspace: _Workspace


def main(arguments: Sequence[str]) -> int:
    """Run the runtime and return its exit code.

    Args:
        arguments: The command line without the program's name.
    """
    options, _ = _build_parser().parse_known_args(arguments)  # flags for models and turns mean nothing here
    try:
        brief = _load_brief(options.context)
    except (OSError, StrictJSONError, ValidationError) as error:
        _say(f"the brief cannot be read: {_explain(error)}")
        return 1
    outcome = _work(brief)
    _say(f"{outcome.headline}.")
    try:
        _write_result(options.output, outcome)
    except OSError as error:
        _say(f"the result cannot be written: {error.strerror}")
        return 2
    return outcome.exit_code


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coven-patch",
        description="Apply the unified diff or suggestion block found in the task's text to the workspace.",
        epilog="Other flags of the contract are accepted and mean nothing here.",
        allow_abbrev=False,
    )
    parser.add_argument("--headless", action="store_true", help="work without a terminal, as it always does")
    parser.add_argument("--context", metavar="BRIEF", type=Path, required=True, help="the brief, JSON, version 3")
    parser.add_argument("--output", metavar="RESULT", type=Path, required=True, help="where to write the result, JSON")
    parser.add_argument("--version", action="version", version=f"coven-patch {__version__}")
    return parser


def _load_brief(path: Path) -> _Brief:
    with path.open("rb") as file:
        document = parse_json_object(file.read(MAX_BRIEF_BYTES + 1), max_bytes=MAX_BRIEF_BYTES)
    return _Brief.model_validate(document)


def _explain(error: Exception) -> str:
    """Return the reason without the brief's content."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)


def _work(brief: _Brief) -> Outcome:
    try:
        with open_workspace(brief.workspace.root, search_path=os.environ.get("PATH", os.defpath)) as workspace:
            return change_workspace(workspace, brief.task.text, f"{brief.repo.owner}/{brief.repo.name}")
    except (WorkspaceError, OSError) as error:
        reason = str(error) if isinstance(error, WorkspaceError) else f"the file system failed: {error.strerror}"
        return Outcome("failure", "infra_error", "The patch runtime failed", (reason,))


def _write_result(path: Path, outcome: Outcome) -> None:
    """Write the result so that a reader sees all of it or none."""
    draft = path.with_name(path.name + ".part")
    draft.write_text(json.dumps(render_result(outcome), indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def _say(message: str) -> None:
    sys.stderr.write(f"coven-patch: {message}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
