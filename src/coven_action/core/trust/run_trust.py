"""Decide the trust of a whole run from everything that feeds it. Pure: contributions in, `RunTrust` or `Refusal` out.

Whether work *starts* is judged on who triggered it and, on a re-run, on who re-ran it. What the run may read and propose is
the intersection of what each contribution is trusted with: who asked, who wrote the text, who re-ran, where the head lies.
So adding an input never widens a grant, and a maintainer who starts work on a stranger's issue does not lend it trust.
"""

from collections.abc import Iterable
from typing import Final, Literal

from coven_action.core.memory.grants import MEMORY_GRANTS, MemoryGrant, intersect_grants
from coven_action.core.records import Record
from coven_action.core.refusals import Refusal
from coven_action.core.trust.events import Actor, Repository
from coven_action.core.trust.trust import OWN_IDS, PermissionAnswer, Trust, TrustScope, judge_account

Part = Literal["trigger", "text", "re-run", "head"]
# The lowest last. A fork is below a stranger: what comes from it is code as well as words.
ORDER: Final = (
    TrustScope.MAINTAINER,
    TrustScope.SCHEDULED,
    TrustScope.COLLABORATOR,
    TrustScope.EXTERNAL,
    TrustScope.FORK_PR,
)
# These decide whether work starts; the others only what it may know.
STARTING_PARTS: Final = frozenset({"trigger", "re-run"})
MAY_START: Final = frozenset({TrustScope.MAINTAINER, TrustScope.SCHEDULED})


class Contribution(Record):
    """One thing that feeds a run, and what it is worth. `may_start` matters for the starting parts alone."""

    part: Part
    scope: TrustScope
    may_start: bool
    reason: str


class RunTrust(Record):
    """What a run is trusted with: the lowest scope of its contributions, and the intersection of their grants."""

    scope: TrustScope
    contributions: tuple[Contribution, ...]
    memory: MemoryGrant
    reason: str


def judge_trigger(trust: Trust) -> Contribution:
    """Return the contribution of whoever triggered, already judged by `decide_trust`."""
    return Contribution(part="trigger", scope=trust.scope, may_start=trust.may_start, reason=trust.reason)


def judge_author(author: Actor, answer: PermissionAnswer | None, repository: Repository) -> Contribution:
    """Return the contribution of whoever wrote the text. No answer, or one about another account, makes it a stranger's.

    Args:
        author: Who wrote it, from the payload.
        answer: GitHub's answer about the author's login, None where it gave none or was not asked.
        repository: Where.
    """
    known = author.id not in OWN_IDS and not author.is_bot
    scope = judge_account(author, answer, repository) if known else TrustScope.EXTERNAL
    return Contribution(part="text", scope=scope, may_start=False, reason=f"the text is {_WHOSE[scope]}")


# GitHub's answer about an account gives one of these three.
_WHOSE: Final = {
    TrustScope.MAINTAINER: "a maintainer's",
    TrustScope.COLLABORATOR: "a collaborator's",
    TrustScope.EXTERNAL: "from outside",
}


def judge_rerun(actor: Actor, answer: PermissionAnswer | None, repository: Repository) -> Contribution:
    """Return the contribution of whoever re-ran the job; the runs API alone names that account's id."""
    scope = judge_account(actor, answer, repository) if actor.id not in OWN_IDS else TrustScope.EXTERNAL
    return Contribution(
        part="re-run", scope=scope, may_start=scope in MAY_START, reason=f"re-run by {_WHO_RERAN[scope]}"
    )


_WHO_RERAN: Final = {
    TrustScope.MAINTAINER: "a maintainer",
    TrustScope.COLLABORATOR: "a collaborator",
    TrustScope.EXTERNAL: "somebody from outside",
}


def judge_head(*, head_repository_id: int | None, repository: Repository) -> Contribution:
    """Return the contribution of the head a run works on. A head whose repository is unknown is a fork's."""
    same = head_repository_id == repository.id
    return Contribution(
        part="head",
        scope=TrustScope.MAINTAINER if same else TrustScope.FORK_PR,
        may_start=False,
        reason="the head is in this repository" if same else "the head is in another repository",
    )


def decide_run_trust(contributions: Iterable[Contribution]) -> RunTrust | Refusal:
    """Return what the run is trusted with, or why it does not start. No trigger among the contributions starts nothing."""
    given = tuple(contributions)
    starting = [one for one in given if one.part in STARTING_PARTS]
    if not any(one.part == "trigger" for one in starting):
        return _declined("nobody is known to have asked")
    for one in starting:
        if not one.may_start:
            return _declined(one.reason)
    lowest = max(given, key=lambda one: ORDER.index(one.scope))
    return RunTrust(
        scope=lowest.scope,
        contributions=given,
        memory=intersect_grants(MEMORY_GRANTS[one.scope.value] for one in given),
        reason="; ".join(dict.fromkeys(one.reason for one in given if one.part != "head" or one is lowest)),
    )


def _declined(reason: str) -> Refusal:
    return Refusal(
        code="not-a-maintainer",
        reason=f"Only somebody with write access to this repository can start work: {reason}.",
        remedy="Ask a maintainer of this repository to apply the label or give the command.",
    )
