"""What `evidence.json` says about memory: read, cited, proposed, rejected, withheld, and one line for people. Pure."""

from collections.abc import Sequence
from typing import Final, Literal

from coven_action.core.memory.entries import Citation
from coven_action.core.memory.hand_off import HandOffFault
from coven_action.core.memory.judging import JudgedProposal, JudgedUse, RejectionCode
from coven_action.core.memory.keys import render_entry_path
from coven_action.core.memory.policy_block import MemoryPolicy
from coven_action.core.memory.selection import PlannedMemory, Withheld
from coven_action.core.records import Record

ApprovalStatus = Literal["pending", "approved", "rejected", "unknown"]
MAX_NAMED: Final = 5


class ReadEntry(Record):
    """An entry that the run was given."""

    id: str
    key: str
    version: str
    citations: tuple[Citation, ...] = ()


class ProposedEntry(Record):
    """A proposal that waits for a person, and the file that would approve it."""

    key: str
    kind: str
    path: str
    text: str
    citations: tuple[Citation, ...]
    replaces: str | None


class RejectedItem(Record):
    """Something of the hand-off that was rejected: a proposal, a use, or a line that cannot be read."""

    what: Literal["proposal", "use", "line"]
    line: int
    name: str
    reason: RejectionCode
    sentence: str


class MemoryEvidence(Record):
    """The memory part of the evidence.

    Args:
        enabled: Whether memory was on.
        reason: Why it was as it was, one line.
        read: What was materialised, whole.
        cited: What of it the agent says influenced its work.
        proposed: What waits for a person.
        rejected: What was refused, with the reasons.
        withheld: What exists and was not given to the run.
        approval_status: Of the proposals at the store, None where there are none. In files a merge approves, so a run's
            own proposals are `pending`.
    """

    enabled: bool
    reason: str
    read: tuple[ReadEntry, ...] = ()
    cited: tuple[ReadEntry, ...] = ()
    proposed: tuple[ProposedEntry, ...] = ()
    rejected: tuple[RejectedItem, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    approval_status: ApprovalStatus | None = None


def build_memory_evidence(
    policy: MemoryPolicy,
    planned: PlannedMemory,
    *,
    proposals: Sequence[JudgedProposal] = (),
    uses: Sequence[JudgedUse] = (),
    faults: Sequence[HandOffFault] = (),
) -> MemoryEvidence:
    """Return the memory part of the evidence.

    Args:
        policy: Plan's own copy.
        planned: Plan's own copy.
        proposals: As judged.
        uses: As judged.
        faults: Of the hand-off file.
    """
    read = {
        entry.id: ReadEntry(id=entry.id, key=entry.key, version=entry.version, citations=entry.citations)
        for entry in planned.manifest
    }
    pending = tuple(_build_proposed(proposal) for proposal in proposals if proposal.verdict == "pending")
    return MemoryEvidence(
        enabled=policy.enabled,
        reason=policy.reason,
        read=tuple(read.values()),
        cited=tuple(read[use.id] for use in uses if use.accepted),
        proposed=pending,
        rejected=(
            *(
                _reject("proposal", item.line, item.key, item.reason, item.sentence)
                for item in proposals
                if item.reason
            ),
            *(_reject("use", item.line, item.id, item.reason, item.sentence) for item in uses if item.reason),
            *(_reject("line", item.line, "", item.reason, item.sentence) for item in faults),
        ),
        withheld=planned.withheld,
        approval_status="pending" if pending else None,
    )


def settle_proposals(evidence: MemoryEvidence, states: Sequence[str]) -> MemoryEvidence:
    """Return the evidence with what a store said of the proposals: the state that leaves most to be done.

    Args:
        evidence: As the run judged it.
        states: Of each proposal: pending, approved, rejected; anything else is unknown.
    """
    known = [state if state in _STATUSES else "unknown" for state in states]
    status = next((each for each in _STATUSES if each in known), None)
    return evidence.model_copy(update={"approval_status": status})


_STATUSES: Final[tuple[ApprovalStatus, ...]] = ("unknown", "pending", "approved", "rejected")
"""From what leaves most to be done to what leaves least."""


def _build_proposed(proposal: JudgedProposal) -> ProposedEntry:
    return ProposedEntry(
        key=proposal.key,
        kind=proposal.kind,
        path=render_entry_path(proposal.key),
        text=proposal.text,
        citations=proposal.citations,
        replaces=proposal.replaces,
    )


def _reject(
    what: Literal["proposal", "use", "line"], line: int, name: str, reason: RejectionCode, sentence: str
) -> RejectedItem:
    return RejectedItem(what=what, line=line, name=name, reason=reason, sentence=sentence)


def describe_memory(evidence: MemoryEvidence) -> str:
    """Return the one line of the table that people see, plain text: what was used, what was proposed, what was refused."""
    if not evidence.enabled:
        return evidence.reason
    parts = [
        f"used: {_name_cited(evidence.cited)}" if evidence.cited else "used: none",
        f"read: {len(evidence.read)}",
        f"proposed: {len(evidence.proposed)}" + (", waiting for a maintainer" if evidence.proposed else ""),
        *([f"rejected: {_count_reasons(evidence.rejected)}"] if evidence.rejected else []),
        *([f"withheld: {_count_reasons(evidence.withheld)}"] if evidence.withheld else []),
    ]
    return " · ".join(parts)


def _name_cited(cited: Sequence[ReadEntry]) -> str:
    shown = ", ".join(f"{entry.key} (approved, {_render_place(entry)})" for entry in cited[:MAX_NAMED])
    more = len(cited) - MAX_NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def _render_place(entry: ReadEntry) -> str:
    return next((f"{citation.path}:{citation.start}" for citation in entry.citations), "no lines")


def _count_reasons(items: Sequence[RejectedItem | Withheld]) -> str:
    """Return how many of each reason there are, in the order of their first."""
    reasons = [item.reason for item in items]
    counted = (f"{reasons.count(reason)} {reason.replace('_', ' ')}" for reason in dict.fromkeys(reasons))
    return ", ".join(counted)
