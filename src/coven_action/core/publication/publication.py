"""Plan what is published, as data: title, commit message, evidence rows, check annotations. Pure.

The words of the agent appear only here and only as quoted, sanitised text. Everything people read is rendered from these
values and from `evidence.json`.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from coven_action.core.checks.conclusion import describe_claims
from coven_action.core.checks.observed import MAX_COMMAND, shorten_line
from coven_action.core.checks.results import ObservedRow
from coven_action.core.contract.result import ClaimedTest, RuntimeResult
from coven_action.core.contract.usage import Usage
from coven_action.core.documents import (
    EvidenceRow,
    HandOff,
    ObservedChecks,
    Outcome,
    TaskIdentity,
    TriedChecks,
    Verdict,
    Work,
)
from coven_action.core.gateway.report import GatewayReport, HostCount
from coven_action.core.memory.evidence import MemoryEvidence, describe_memory
from coven_action.core.platform_limits import ANNOTATIONS_PER_REQUEST, CHECK_TITLE
from coven_action.core.publication.targets import TASK_TRAILER
from coven_action.core.records import Record
from coven_action.core.sanitising.sanitiser import sanitise_title
from coven_action.core.verification.changes import ChangedFile, DiffStatistics
from coven_action.core.verification.findings import MAXIMUM_NAMED, name_some
from coven_action.core.verification.protected_paths import find_needing_review

CHECK_RUN_NAME: Final = "Coven"
# Of a name of its own: of several checks of one name GitHub shows and requires the newest alone, and that a later result was
# refused says nothing of the commit that stands, neither that its checks pass nor that they fail.
# https://docs.github.com/en/rest/checks/runs#list-check-runs-for-a-git-reference
REFUSAL_CHECK_RUN_NAME: Final = "Coven (not published)"
DRAFT_LABEL: Final = "coven:draft"
REVIEW_LABEL: Final = "coven:needs-review"
# A person's own credential, or one that acts in a person's name. https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github#githubs-token-formats
PERSONAL_TOKEN_PREFIXES: Final = ("ghp_", "github_pat_", "gho_", "ghu_")
# A title is the subject of the commit as well, and lists of commits cut long ones.
TITLE_LENGTH: Final = 100
# GitHub lists no more of a pull request's files. https://docs.github.com/en/rest/pulls/pulls#list-pull-requests-files
LISTED_FILES: Final = 3000
# Characters shown of a name or a line that somebody else wrote, so that it pushes nothing of ours out of sight.
SHOWN_NAME: Final = 80
SHOWN_LINE: Final = 200
NO_CHECKS: Final = "no check of ours ran, since none is configured (verify: in .github/coven.yml)"


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
    checks: ObservedChecks | None,
) -> tuple[EvidenceRow, ...]:
    """Return the table that people see, in the order of the questions they ask; a check that failed comes first.

    Args:
        work: What was to be done.
        outcome: What `run` left, covered; None where nothing that can be believed.
        statistics: Of the change in our own clone.
        verdicts: Of the verification.
        memory: The memory part, once it has been judged.
        checks: What we observed, covered; None where nothing.
    """
    observed = EvidenceRow(name="what we observed", text=_observed(work, outcome, statistics, verdicts, checks))
    has_failed = checks is not None and checks.rows[0].standing != "passed"
    rows = [
        *([observed] if has_failed else []),
        EvidenceRow(name="what was asked", text=_asked(work)),
        EvidenceRow(name="what was done", text=_done(work, statistics, verdicts)),
        *([] if has_failed else [observed]),
        *([EvidenceRow(name="tries", text=_tries(outcome.tries))] if outcome is not None and outcome.tries else []),
        EvidenceRow(name="boundary", text=_boundary(outcome, checks)),
        EvidenceRow(name="memory", text=describe_memory(memory) if memory else work.brief.memory_policy.reason),
    ]
    if outcome is not None and (outcome.gateway is not None or outcome.usage is not None):
        rows.append(EvidenceRow(name="cost", text=_cost(outcome, work.limits.cost_cents)))
    return tuple(rows)


def _asked(work: Work) -> str:
    text = f"#{work.thread_number} {work.text.title} (text as of {work.text.read_at})"
    removed = "".join(f"; {part}" for part in (work.text.removed, work.text.note) if part)
    return f"{text}, {work.trust.reason}, with {work.asked_with}{removed}"


def _done(work: Work, statistics: DiffStatistics, verdicts: tuple[Verdict, ...]) -> str:
    refused = [f"{verdict.step}: {verdict.finding}" for verdict in verdicts if verdict.refused]
    if not statistics.files:
        return f"what was changed was not looked at; {'; '.join(refused)}" if refused else "nothing was changed"
    verified = "; ".join(refused) if refused else "protected paths: none touched"
    return f"1 commit, {statistics.described}; {verified}; limits: {statistics.files}/{work.limits.files} files"


def _observed(
    work: Work,
    outcome: Outcome | None,
    statistics: DiffStatistics,
    verdicts: tuple[Verdict, ...],
    checks: ObservedChecks | None,
) -> str:
    if checks is not None:
        commands = {check.name: check.run for check in work.checks}
        rows = " · ".join(describe_row(row, commands.get(row.name, "")) for row in checks.rows)
        return f"{rows} · {describe_claims(checks.claimed)}"
    claims = claimed_tests(outcome)
    claimed = f"the familiar claims (not verified): {', '.join(claims)}" if claims else "the familiar claims none"
    if not work.checks:
        return f"{NO_CHECKS}; {claimed}"
    if not statistics.files and not any(verdict.refused for verdict in verdicts):
        return "there was no change to check"
    unseen = [verdict.finding for verdict in verdicts if verdict.step == "evidence" and verdict.finding]
    return f"none of our checks was seen on the result{''.join(f': {finding}' for finding in unseen)}; {claimed}"


def describe_row(row: ObservedRow, command: str) -> str:
    """Return an observed check in one line: `tests 212 → 214 passed (make test, 48 s)`."""
    took = f"{row.seconds:.0f} s" if row.seconds >= 1 else f"{row.seconds:.1f} s"
    within = ", ".join(filter(None, (shorten_line(" ".join(command.split()), SHOWN_NAME), took)))
    notes = "".join(f"; {note}" for note in row.notes)
    return f"{shorten_line(row.text, SHOWN_LINE)} ({within}{notes})"


def _tries(tries: Sequence[TriedChecks]) -> str:
    """Return how the checks went where the agent had worked: its own, and a claim."""
    last = ", ".join(shorten_line(row.text, SHOWN_LINE) for row in tries[-1].rows[:MAXIMUM_NAMED])
    times = "once" if len(tries) == 1 else f"{len(tries)} times"
    return f"claimed: the familiar tried the checks {times}; after attempt {tries[-1].attempt}: {last or 'none'}"


def read_claims(outcome: Outcome) -> tuple[ClaimedTest, ...]:
    """Return what the runtime says about its own test runs, of an outcome that does not contradict itself."""
    return () if outcome.result is None else tuple(RuntimeResult.model_validate(outcome.result).review.tests_run)


def claimed_tests(outcome: Outcome | None) -> tuple[str, ...]:
    """Return what the runtime says about its own test runs, as `command: status`. Claims, not evidence."""
    result = outcome.result if outcome is not None else None
    review = result.get("review") if result else None
    tests = review.get("tests_run") if isinstance(review, dict) else None
    if not isinstance(tests, list):
        return ()
    return tuple(
        f"{shorten_line(str(test.get('command')), MAX_COMMAND)}: {shorten_line(str(test.get('status')), SHOWN_NAME)}"
        for test in tests[:10]
        if isinstance(test, dict)
    )


def _boundary(outcome: Outcome | None, checks: ObservedChecks | None) -> str:
    if outcome is None:
        return "the run left no record of its isolation"
    parts = [_describe_isolation(outcome)]
    if outcome.gateway is not None:
        parts.extend(_describe_gateway(outcome.gateway))
    if checks is not None:
        parts.append(f"{_OBSERVED_ON[checks.observed_on]}, isolation {checks.isolation.reached}")
    parts.append("workspace destroyed" if outcome.workspace_destroyed else "nobody saw the workspace destroyed")
    return " · ".join(parts)


_OBSERVED_ON: Final = {
    "separate_runner": "checks run on a runner of their own",
    "same_runner": "checks run on the familiar's runner",
}


def _describe_isolation(outcome: Outcome) -> str:
    isolation = outcome.isolation
    by = "" if isolation.backend in {"", "none"} else f" by {isolation.backend}"
    limited = f"; bounded by {isolation.limited_by}" if isolation.limited_by else ""
    return f"isolation {isolation.reached}{by} (demanded: {isolation.demanded}); {isolation.note}{limited}"


def _describe_gateway(gateway: GatewayReport) -> Iterator[str]:
    yield f"{gateway.requests} model request{'' if gateway.requests == 1 else 's'}"
    yield f"hosts used: {_name_hosts(gateway.hosts_used) or 'none'}"
    yield f"hosts refused: {_name_hosts(gateway.hosts_refused) or 'none'}"
    if gateway.is_test_network:
        yield "the network was a stand-in"
    if gateway.faults:
        yield f"the gateway failed {sum(gateway.faults.values())} times of itself"


def _name_hosts(hosts: Sequence[HostCount]) -> str:
    return name_some([f"{shorten_line(each.host, SHOWN_NAME)} ({each.count})" for each in hosts])


def _cost(outcome: Outcome, limit_cents: int | None) -> str:
    """Return what was spent: as the gateway counted it, where there was one, and beside it what the runtime says."""
    counted = _describe_count(outcome.gateway, limit_cents) if outcome.gateway else ""
    said = f"{_describe_usage(outcome.usage)}, as the runtime reports it" if outcome.usage else ""
    return " · ".join(filter(None, (counted, said)))


def _describe_count(gateway: GatewayReport, limit_cents: int | None) -> str:
    cached = gateway.cache_read_input_tokens + gateway.cache_creation_input_tokens
    parts = [
        f"{gateway.input_tokens} tokens in",
        *([f"{cached} in by the cache"] if cached else []),
        f"{gateway.output_tokens} out",
    ]
    limit = "" if limit_cents is None else f" of {limit_cents / 100:.2f}"
    if gateway.cost_usd is not None:
        spent = f"{gateway.cost_usd:.2f}{limit} USD"
    else:
        unpriced = name_some([shorten_line(model, SHOWN_NAME) for model in gateway.unpriced_models])
        spent = (
            f"{gateway.priced_cost_usd:.2f}{limit} USD and what {unpriced or 'a model'} costs, whose price is unknown"
        )
    answers = gateway.estimated_answers
    estimated = f" ({answers} answers estimated from above)" if answers else ""
    return f"{', '.join(parts)} · {spent}, as the gateway counted{estimated}"


def _describe_usage(usage: Usage) -> str:
    cost = "" if usage.cost_usd is None else f" · {usage.cost_usd:.2f} USD"
    return f"{usage.input_tokens} tokens in, {usage.output_tokens} out{cost}"


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
