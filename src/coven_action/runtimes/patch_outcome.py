"""What the `patch` runtime makes of a text: find the changes, apply them all or none, and say what happened.

Every fault of the text or of the tree is an outcome with sentences for the person who pasted the diff; only trouble of
the runtime itself is raised.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from coven_action.core.contract.contract import ExitReason, Status
from coven_action.core.patches.explanation import explain_conflict, find_path_fault, quote
from coven_action.core.patches.extraction import Extraction, Patch, Suggestion, extract_diffs
from coven_action.core.patches.suggestion_diff import SuggestionError, build_suggestion_diff
from coven_action.core.patches.unified_diff import FileDiff
from coven_action.runtimes.patch_workspace import UnsafePathError, Workspace

MAX_LISTED_FILES: Final = 2000
"""Files named in a result, so that it stays below its size limit; one more is far above what is ever published."""
MAX_REASONS: Final = 20
HOW_TO_PASTE: Final = (
    "Put the output of `git diff` into the issue, in a block that begins with ```` ```diff ````, or a"
    " ```` ```suggestion ```` block with a permalink to its lines on the line before, and trigger again."
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: sentences without a full stop, and the paths that changed."""

    status: Status
    exit_reason: ExitReason | None
    headline: str
    reasons: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """The exit code that the contract gives to this outcome."""
        return 0 if self.status == "success" else 2 if self.exit_reason == "infra_error" else 1


class _ConflictError(Exception):
    """Raised with the reasons why the changes do not apply."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(*reasons)
        self.reasons = tuple(reasons)[:MAX_REASONS]


def change_workspace(workspace: Workspace, text: str, repository: str) -> Outcome:
    """Apply the changes that a text carries to the workspace, all of them or none.

    Args:
        workspace: The tree to change.
        text: Markdown, the body of an issue or a comment.
        repository: `owner/name`, for permalinks.

    Raises:
        WorkspaceError: git or the file system failed; the tree may then hold a part of the change.
    """
    extraction = extract_diffs(text, repository=repository)
    notes = tuple(f"line {note.line}: {note.reason}" for note in extraction.notes)
    if not extraction.blocks or any(note.fatal for note in extraction.notes):
        return _ask_for_diff(extraction, notes)
    try:
        diffs = _build_diffs(workspace, extraction)
        _apply(workspace, diffs)
    except _ConflictError as conflict:
        return Outcome("failure", "git_conflict", "The patch does not apply; nothing was changed", conflict.reasons)
    return _describe_success(diffs, notes)


def _ask_for_diff(extraction: Extraction, notes: tuple[str, ...]) -> Outcome:
    cannot = (
        "A diff in the text cannot be read" if any(note.fatal for note in extraction.notes) else "The text has no diff"
    )
    return Outcome(
        "needs_input", "ambiguous_spec", f"{cannot}; nothing was changed", (*notes[:MAX_REASONS], HOW_TO_PASTE)
    )


def _describe_success(diffs: Sequence[FileDiff], notes: tuple[str, ...]) -> Outcome:
    files = tuple(dict.fromkeys(path for diff in diffs for path in diff.paths))
    added = sum(diff.counts()[0] for diff in diffs)
    removed = sum(diff.counts()[1] for diff in diffs)
    count = len({diff.path for diff in diffs})
    headline = f"Applied the patch: {count} {'file' if count == 1 else 'files'}, +{added} \N{MINUS SIGN}{removed}"
    return Outcome("success", None, headline, notes[:MAX_REASONS], files)


# --- from blocks to one diff ----------------------------------------------------------------------------------------


def _build_diffs(workspace: Workspace, extraction: Extraction) -> list[FileDiff]:
    """Return the diffs of all blocks, in the order of the text, suggestions for one file together."""
    pasted = [diff for block in extraction.blocks if isinstance(block, Patch) for diff in block.files]
    faults = [fault for diff in pasted for path in diff.paths if (fault := find_path_fault(path))]
    if faults:
        raise _ConflictError(faults)
    diffs = [_adapt_line_ends(workspace, diff) for diff in pasted]
    return diffs + _build_suggestion_diffs(workspace, extraction)


def _adapt_line_ends(workspace: Workspace, diff: FileDiff) -> FileDiff:
    """Give the diff the file's CR LF: a form on a page loses or adds CR, so the text says nothing about the file's."""
    if diff.old_path is None or not diff.hunks or diff.has_carriage_returns():
        return diff
    try:
        content = workspace.read(diff.old_path)
    except UnsafePathError:
        return diff  # git decides: a link itself may be changed, what lies behind one may not
    is_windows_text = content is not None and b"\n" in content and content.count(b"\n") == content.count(b"\r\n")
    return diff.with_carriage_returns() if is_windows_text else diff


def _build_suggestion_diffs(workspace: Workspace, extraction: Extraction) -> list[FileDiff]:
    by_path: dict[str, list[Suggestion]] = {}
    for block in extraction.blocks:
        if isinstance(block, Suggestion):
            by_path.setdefault(_choose_path(workspace, block), []).append(block)
    diffs: list[FileDiff] = []
    for path, suggestions in by_path.items():
        content = _read(workspace, path) or b""
        _check_unmoved(workspace, path, content, suggestions)
        try:
            diffs.append(build_suggestion_diff(path, content, suggestions))
        except SuggestionError as error:
            raise _ConflictError([str(error)]) from error
    return diffs


def _choose_path(workspace: Workspace, suggestion: Suggestion) -> str:
    for path in suggestion.place.paths:
        fault = find_path_fault(path)
        if fault is not None:
            raise _ConflictError([fault])
        if _read(workspace, path) is not None:
            return path
    raise _ConflictError([f"{quote(suggestion.place.paths[0])} does not exist"])


def _check_unmoved(workspace: Workspace, path: str, content: bytes, suggestions: Sequence[Suggestion]) -> None:
    """A permalink's line numbers count in its own commit: where the file changed since, they may mean other lines."""
    for commit in sorted({suggestion.place.commit for suggestion in suggestions if suggestion.place.commit}):
        then = workspace.find_blob(commit, path)
        if then is not None and then.replace(b"\r\n", b"\n") != content.replace(b"\r\n", b"\n"):
            raise _ConflictError([f"{quote(path)} changed since the commit {commit[:12]} that the permalink names"])


def _read(workspace: Workspace, path: str) -> bytes | None:
    try:
        return workspace.read(path)
    except UnsafePathError as error:
        raise _ConflictError([f"{quote(path)} is out of reach: {quote(str(error))}"]) from error


# --- applying -------------------------------------------------------------------------------------------------------


def _apply(workspace: Workspace, diffs: Sequence[FileDiff]) -> None:
    text = "".join(diff.render() for diff in diffs)
    refusal = workspace.check(text)
    if refusal is not None:
        raise _ConflictError(_explain(workspace, diffs, refusal))
    workspace.apply(text)


def _explain(workspace: Workspace, diffs: Sequence[FileDiff], refusal: str) -> list[str]:
    """Return our sentences about the files git names, or git's own words where we see no reason."""
    found = [sentence for diff in diffs for sentence in _explain_file(workspace, diff)]
    return found or [f"git says {quote(line.removeprefix('error: '))}" for line in refusal.splitlines()]


def _explain_file(workspace: Workspace, diff: FileDiff) -> list[str]:
    try:
        return explain_conflict(diff, workspace.read(diff.old_path or diff.path))
    except UnsafePathError as error:
        return [f"{quote(diff.path)} is out of reach: {quote(str(error))}"]


# --- the result -----------------------------------------------------------------------------------------------------


def render_result(outcome: Outcome) -> dict[str, Any]:
    """Return the result document, version 3 of the contract."""
    sentences = "".join(f"- {reason.rstrip('.')}.\n" for reason in outcome.reasons)
    listed = "".join(f"- {quote(path)}\n" for path in outcome.files[:MAX_LISTED_FILES])
    unlisted = len(outcome.files) - MAX_LISTED_FILES
    return {
        "contract_version": "3",
        "status": outcome.status,
        "exit_reason": outcome.exit_reason,
        "summary": " ".join(f"{sentence.rstrip('.')}." for sentence in (outcome.headline, *outcome.reasons)),
        "pr_body": "\n".join(part for part in (f"{outcome.headline}.\n", listed, sentences) if part),
        "branch": None,
        "commits": [],
        "files_changed": list(outcome.files[:MAX_LISTED_FILES]),
        "review": {
            "mode": "none",
            "evidence_status": "not_applicable",
            "reviewed_files": [],
            "supporting_files": [],
            "findings": [],
            "tests_run": [],
            "no_findings_reason": None,
            "limitations": [f"{unlisted} more files changed than are listed."] if unlisted > 0 else [],
        },
    }
