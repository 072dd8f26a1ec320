"""Plan what is published, as data: title, commit message, evidence rows, check annotations. Pure.

The words of the agent appear only here and only as quoted, sanitised text. Everything people read is rendered from these
values and from `evidence.json`.
"""

from typing import Final

from coven_action.core.contract.usage import Usage
from coven_action.core.documents import EvidenceRow, HandOff, Isolation, Outcome, TaskIdentity, Verdict, Work
from coven_action.core.memory.evidence import MemoryEvidence, describe_memory
from coven_action.core.platform_limits import ANNOTATIONS_PER_REQUEST, CHECK_TITLE
from coven_action.core.publication.targets import TASK_TRAILER
from coven_action.core.records import Record
from coven_action.core.sanitising.sanitiser import sanitise_title
from coven_action.core.verification.changes import ChangedFile, DiffStatistics
from coven_action.core.verification.protected_paths import find_needing_review

CHECK_RUN_NAME: Final = "Coven"
DRAFT_LABEL: Final = "coven:draft"
REVIEW_LABEL: Final = "coven:needs-review"
# A person's own credential, or one that acts in a person's name. https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github#githubs-token-formats
PERSONAL_TOKEN_PREFIXES: Final = ("ghp_", "github_pat_", "gho_", "ghu_")
# A title is the subject of the commit as well, and lists of commits cut long ones.
TITLE_LENGTH: Final = 100
# GitHub lists no more of a pull request's files. https://docs.github.com/en/rest/pulls/pulls#list-pull-requests-files
LISTED_FILES: Final = 3000


class Annotation(Record):
    """One note of a Check Run beside a file."""

    path: str
    start_line: int
    end_line: int
    annotation_level: str
    title: str
    message: str


def find_personal_prefix(token: str) -> str | None:
    """Return the prefix that shows a token to be a person's, or None."""
    return next((prefix for prefix in PERSONAL_TOKEN_PREFIXES if token.startswith(prefix)), None)


def decide_title(hand_off: HandOff, work: Work) -> str:
    """Return the pull request's title: the familiar's, else ours, with the thread's number at its end."""
    suffix = f" (#{work.thread_number})"
    own = _own_title(work)
    # The sanitiser takes the number's effect away, so a familiar's own suffix is replaced by ours rather than kept.
    proposed = hand_off.title.strip().removesuffix(suffix.strip())
    room = TITLE_LENGTH - len(suffix)
    return (sanitise_title(proposed, limit=room) or sanitise_title(own, limit=room)) + suffix


def _own_title(work: Work) -> str:
    if work.thread_is_pull_request:
        return "Answer a comment on the pull request"
    title = work.text.title
    if title.casefold().startswith("fix"):
        return title
    return f"Fix: {title}" if title else "Work of a familiar"


def build_commit_message(title: str, work: Work, task: TaskIdentity) -> str:
    """Return the message of the one commit that is pushed. Its last line lets a re-run recognise it."""
    return (
        f"{title}\n\n"
        f"{work.familiar.display_name}, a familiar of this repository, was asked with {work.asked_with}.\n\n"
        f"{TASK_TRAILER}: {task.key}\n"
    )


def build_rows(
    work: Work,
    outcome: Outcome | None,
    statistics: DiffStatistics,
    verdicts: tuple[Verdict, ...],
    memory: MemoryEvidence | None,
) -> tuple[EvidenceRow, ...]:
    """Return the table that people see, in the order of the questions they ask."""
    rows = [
        EvidenceRow(name="what was asked", text=_asked(work)),
        EvidenceRow(name="what was done", text=_done(work, statistics, verdicts)),
        EvidenceRow(name="what we observed", text=_observed(outcome)),
        EvidenceRow(name="boundary", text=_boundary(outcome.isolation if outcome else None)),
        EvidenceRow(name="memory", text=describe_memory(memory) if memory else work.brief.memory_policy.reason),
    ]
    if outcome is not None and outcome.usage is not None:
        rows.append(EvidenceRow(name="cost", text=_cost(outcome.usage)))
    return tuple(rows)


def _asked(work: Work) -> str:
    text = f"#{work.thread_number} {work.text.title} (text as of {work.text.read_at})"
    removed = "".join(f"; {part}" for part in (work.text.removed, work.text.note) if part)
    return f"{text}, {work.trust.reason}, with {work.asked_with}{removed}"


def _done(work: Work, statistics: DiffStatistics, verdicts: tuple[Verdict, ...]) -> str:
    if not statistics.files:
        return "nothing was changed"
    refused = [f"{verdict.step}: {verdict.finding}" for verdict in verdicts if verdict.refused]
    verified = "; ".join(refused) if refused else "protected paths: none touched"
    return f"1 commit, {statistics.described}; {verified}; limits: {statistics.files}/{work.limits.files} files"


def _observed(outcome: Outcome | None) -> str:
    claims = claimed_tests(outcome)
    if not claims:
        return "no checks were run; the familiar claims none"
    return f"no checks were run; the familiar claims (not verified): {', '.join(claims)}"


def claimed_tests(outcome: Outcome | None) -> tuple[str, ...]:
    """Return what the runtime says about its own test runs, as `command: status`. Claims, not evidence."""
    result = outcome.result if outcome is not None else None
    review = result.get("review") if result else None
    tests = review.get("tests_run") if isinstance(review, dict) else None
    if not isinstance(tests, list):
        return ()
    return tuple(f"{test.get('command')}: {test.get('status')}" for test in tests[:10] if isinstance(test, dict))


def _boundary(isolation: Isolation | None) -> str:
    if isolation is None:
        return "the run left no record of its isolation"
    return f"isolation {isolation.reached} (demanded: {isolation.demanded}); {isolation.note}"


def _cost(usage: Usage) -> str:
    cost = "" if usage.cost_usd is None else f" · {usage.cost_usd:.2f} USD"
    return f"{usage.input_tokens} tokens in, {usage.output_tokens} out{cost}, as the runtime reports it"


def may_lose_review_label(paths: tuple[str, ...]) -> bool:
    """Whether a pull request that changes these paths, as GitHub lists them, needs no particular look; a cut list may."""
    files = (ChangedFile(path=path, status="modified", before="file", after="file") for path in paths)
    return len(paths) < LISTED_FILES and not find_needing_review(files)


def check_title(familiar: str, title: str) -> str:
    """Return the Check Run's title, within GitHub's limit."""
    return sanitise_title(f"{familiar}: {title}", limit=CHECK_TITLE)


def build_annotations(files: tuple[ChangedFile, ...]) -> tuple[Annotation, ...]:
    """Return one notice for each changed file that a reader of the diff could overlook: binaries, modes, links, deletions."""
    return tuple(
        Annotation(
            path=file.path,
            start_line=1,
            end_line=1,
            annotation_level="notice",
            title="Changed by a familiar",
            message=note,
        )
        for file in files
        if (note := _easily_overlooked(file))
    )


def _easily_overlooked(file: ChangedFile) -> str:
    if file.status == "deleted":
        return ""  # GitHub cannot show a note beside a file that is no longer there.
    if file.binary:
        return "A binary file: its content does not show in the diff."
    if file.after in {"symlink", "executable"} and file.before != file.after:
        return f"This is now a{'n' if file.after == 'executable' else ''} {file.after}."
    return ""


def batch_annotations(annotations: tuple[Annotation, ...]) -> tuple[tuple[Annotation, ...], ...]:
    """Return the annotations in batches that GitHub accepts; one empty batch where there are none."""
    size = ANNOTATIONS_PER_REQUEST
    return tuple(annotations[start : start + size] for start in range(0, max(len(annotations), 1), size))
