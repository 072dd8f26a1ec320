"""Decide what signed claims, or a person's live permission, may do at the endpoint. Pure: values in, a value out.

Two tables are read from top to bottom. `ADMISSION` says when a run is turned away although its token is genuine;
`AUTHORITY` says what an admitted one may do, and what no row names gets nothing. A valid token proves which workflow
ran; it does not prove that what the workflow read was safe.

Compared are ids and exact lists. Names may change hands and patterns match more than was meant, so neither decides.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from coven_action.core.oidc.claims import SignedClaims
from coven_action.core.trust.trust import Permissions


class Tier(StrEnum):
    """How much the trigger of a run is worth, the least first."""

    T0 = "T0"
    T1 = "T1"
    T2 = "T2"


class MemoryRead(StrEnum):
    """Which entries of its repository a run may read."""

    NONE = "none"
    SHAREABLE = "shareable"
    REPO = "repo"


@dataclass(frozen=True, slots=True)
class EnrolmentPolicy:
    """Which runs of a repository are admitted: exact values. None asks for nothing; an empty set admits nothing.

    Attributes:
        events: Values of `event_name`.
        refs: Values of `ref`, whole: `refs/heads/main`.
        workflows: `workflow_ref` without the repository in front: `.github/workflows/coven.yml@refs/heads/main`. A
            workflow of another repository is named whole, as `job_workflow_ref` does; with `@` and a commit it cannot
            change any more.
        environments: Values of `environment`; the empty text stands for a job that has none.
        runner_environments: Values of `runner_environment`: `github-hosted`, `self-hosted`.
    """

    events: frozenset[str] | None = None
    refs: frozenset[str] | None = None
    workflows: frozenset[str] | None = None
    environments: frozenset[str] | None = None
    runner_environments: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class EnrolledRepository:
    """What enrolment recorded about a repository.

    Attributes:
        issuer: Whose ids these are; another GitHub counts its repositories anew.
        tenant_id: To whom it belongs at the endpoint.
        repository_id: GitHub's numeric id, as digits.
        account_id: The owner's numeric id, as digits.
        default_branch: Its name, without `refs/heads/`.
        people: Ids of accounts, as digits, recorded by `enrol` or by their own login.
        public: Whether everybody could read it.
        tenant_shared: Whether the tenant grants it the entries that its repositories share.
        suspended: Whether the tenant has turned it off.
        policy: Which runs are admitted.
    """

    issuer: str
    tenant_id: int
    repository_id: str
    account_id: str
    default_branch: str
    people: frozenset[str] = frozenset()
    public: bool = True
    tenant_shared: bool = False
    suspended: bool = False
    policy: EnrolmentPolicy = field(default_factory=EnrolmentPolicy)


@dataclass(frozen=True, slots=True)
class Authority:
    """What a session may do. A run's own report can only narrow it."""

    tier: Tier
    read: MemoryRead
    tenant_shared: bool
    propose: bool
    validate: bool
    reason: str


@dataclass(frozen=True, slots=True)
class NotAdmitted:
    """Why a run is turned away although its token is genuine: a public code, and a sentence."""

    code: str
    reason: str


# --- who is let in

Condition = Callable[[SignedClaims, EnrolledRepository], bool]


def _is_listed(value: str, admitted: frozenset[str] | None) -> bool:
    return admitted is None or value in admitted


def _name_workflow(claims: SignedClaims, reference: str) -> str:
    """Return a workflow without its own repository's name, so that a renamed repository keeps its list."""
    return reference.removeprefix(f"{claims.repository}/")


def _is_same_repository(claims: SignedClaims, repository: EnrolledRepository) -> bool:
    return (claims.iss, claims.repository_id) == (repository.issuer, repository.repository_id)


def _is_same_owner(claims: SignedClaims, repository: EnrolledRepository) -> bool:
    return claims.repository_owner_id == repository.account_id


def _is_active(claims: SignedClaims, repository: EnrolledRepository) -> bool:
    del claims
    return not repository.suspended


def _is_event_listed(claims: SignedClaims, repository: EnrolledRepository) -> bool:
    return _is_listed(claims.event_name, repository.policy.events)


def _is_ref_listed(claims: SignedClaims, repository: EnrolledRepository) -> bool:
    return _is_listed(claims.ref, repository.policy.refs)


def _is_workflow_listed(claims: SignedClaims, repository: EnrolledRepository) -> bool:
    """Hold both workflows against the list: the one that was started, and the reusable one whose job this is."""
    references = (claims.workflow_ref, claims.job_workflow_ref or claims.workflow_ref)
    return all(_is_listed(_name_workflow(claims, reference), repository.policy.workflows) for reference in references)


def _is_environment_listed(claims: SignedClaims, repository: EnrolledRepository) -> bool:
    return _is_listed(claims.environment or "", repository.policy.environments)


def _is_runner_listed(claims: SignedClaims, repository: EnrolledRepository) -> bool:
    return _is_listed(claims.runner_environment, repository.policy.runner_environments)


# Whoever is not enrolled learns no more than whoever has no token.
NOT_ENROLLED: Final = NotAdmitted(code="not-authenticated", reason="the repository is not enrolled")

ADMISSION: Final[tuple[tuple[Condition, NotAdmitted], ...]] = (
    (_is_same_repository, NOT_ENROLLED),
    (
        _is_same_owner,
        NotAdmitted(
            code="repo-transferred", reason="the repository belongs to another account than when it was enrolled"
        ),
    ),
    (_is_active, NotAdmitted(code="repository-suspended", reason="the repository is suspended")),
    (_is_event_listed, NotAdmitted(code="run-not-admitted", reason="the event is not in the repository's list")),
    (_is_ref_listed, NotAdmitted(code="run-not-admitted", reason="the ref is not in the repository's list")),
    (_is_workflow_listed, NotAdmitted(code="run-not-admitted", reason="the workflow is not in the repository's list")),
    (
        _is_environment_listed,
        NotAdmitted(code="run-not-admitted", reason="the environment is not in the repository's list"),
    ),
    (
        _is_runner_listed,
        NotAdmitted(code="run-not-admitted", reason="the kind of runner is not in the repository's list"),
    ),
)
"""What must hold, and the refusal where it does not; the first that fails answers."""


# --- what an admitted run may do

PULL_REQUEST_EVENTS: Final = frozenset(
    {
        "pull_request",
        "pull_request_comment",
        "pull_request_review",
        "pull_request_review_comment",
        "pull_request_review_thread",
        "pull_request_target",
    }
)
"""Events whose words, and often whose workflow, somebody outside has written."""


def _is_on_protected_default_branch(claims: SignedClaims, repository: EnrolledRepository) -> bool:
    return claims.ref == f"refs/heads/{repository.default_branch}" and claims.ref_protected == "true"


def _is_by_listed_person(claims: SignedClaims, repository: EnrolledRepository) -> bool:
    return claims.actor_id in repository.people


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table of authority.

    Attributes:
        events: The `event_name`s it is about; None is whatever is left.
        conditions: All must hold as well.
        tier: What the trigger is worth.
        read: Of a private repository; a public one never gets more than what is marked shareable.
        propose: Whether its proposals are taken, to be decided by somebody.
        validate: Whether it may mark entries stale.
        reason: For people.
    """

    events: frozenset[str] | None
    conditions: tuple[Condition, ...]
    tier: Tier
    read: MemoryRead
    propose: bool
    validate: bool
    reason: str


AUTHORITY: Final = (
    Row(
        PULL_REQUEST_EVENTS, (), Tier.T0, MemoryRead.NONE, propose=False, validate=False,
        reason="a pull request may come from anybody",
    ),
    Row(
        frozenset({"workflow_run"}), (), Tier.T0, MemoryRead.SHAREABLE, propose=False, validate=False,
        reason="a workflow run may stand for a pull request from anybody",
    ),
    Row(
        frozenset({"push", "schedule"}), (_is_on_protected_default_branch,),
        Tier.T2, MemoryRead.REPO, propose=True, validate=True,
        reason="the protected default branch holds what was reviewed",
    ),
    Row(
        frozenset({"workflow_dispatch"}), (_is_on_protected_default_branch, _is_by_listed_person),
        Tier.T2, MemoryRead.REPO, propose=True, validate=True,
        reason="a listed person started it on the protected default branch",
    ),
    Row(
        frozenset({"issue_comment", "issues", "push", "repository_dispatch", "schedule", "workflow_dispatch"}), (),
        Tier.T1, MemoryRead.REPO, propose=True, validate=False,
        reason="the repository's own workflow answered an event",
    ),
    Row(
        None, (), Tier.T0, MemoryRead.NONE, propose=False, validate=False,
        reason="nothing is known about this event",
    ),
)  # fmt: skip
"""The first row that fits decides. The last one fits everything."""


def decide_authority(
    claims: SignedClaims, repository: EnrolledRepository | None, *, issuer_account: int | None = None
) -> Authority | NotAdmitted:
    """Return what a run may do, or why it is turned away although its token is genuine.

    Args:
        claims: What the issuer signed.
        repository: What was enrolled under the claims' `iss` and `repository_id`; None when nothing was.
        issuer_account: The id of the one account that the issuer speaks for; None where it speaks for many, as github.com does.
            Whoever runs a server of their own can sign any owner's id.
    """
    if repository is None or (issuer_account is not None and str(issuer_account) != repository.account_id):
        return NOT_ENROLLED
    for holds, refusal in ADMISSION:
        if not holds(claims, repository):
            return refusal
    return _grant(_find_row(claims, repository), claims, repository)


def _find_row(claims: SignedClaims, repository: EnrolledRepository) -> Row:
    return next(
        row
        for row in AUTHORITY
        if (row.events is None or claims.event_name in row.events)
        and all(holds(claims, repository) for holds in row.conditions)
    )


def _grant(row: Row, claims: SignedClaims, repository: EnrolledRepository) -> Authority:
    # Either side may not have heard yet that the repository was opened or closed; the stricter one holds.
    is_public = repository.public or claims.repository_visibility == "public"
    read = MemoryRead.SHAREABLE if is_public and row.read is MemoryRead.REPO else row.read
    return Authority(
        tier=row.tier,
        read=read,
        tenant_shared=read is MemoryRead.REPO and repository.tenant_shared,
        propose=row.propose,
        validate=row.validate,
        reason=row.reason,
    )


# --- people


class Role(StrEnum):
    """What a person is at the endpoint, the least first."""

    VIEWER = "viewer"
    APPROVER = "approver"
    ADMIN = "admin"


class Action(StrEnum):
    """What a person may ask of the endpoint."""

    VIEW = "view"
    APPROVE = "approve"
    REJECT = "reject"
    REVOKE = "revoke"
    RESTORE = "restore"
    EDIT = "edit"
    SUPERSEDE = "supersede"
    PROMOTE = "promote"
    EXPORT = "export"
    ERASE = "erase"
    POLICY = "policy"


_VIEWER: Final = frozenset({Action.VIEW})
# To edit or to supersede is to approve another text, and to restore is to approve again.
_APPROVER: Final = _VIEWER | {
    Action.APPROVE, Action.REJECT, Action.REVOKE, Action.RESTORE, Action.EDIT, Action.SUPERSEDE,
}  # fmt: skip
_ADMIN: Final = _APPROVER | {Action.PROMOTE, Action.EXPORT, Action.ERASE, Action.POLICY}

ACTIONS: Final[Mapping[Role, frozenset[Action]]] = {
    Role.VIEWER: _VIEWER,
    Role.APPROVER: _APPROVER,
    Role.ADMIN: _ADMIN,
}
"""Role -> everything it may do."""

_ROLE_OF_PERMISSION: Final = (
    ("admin", Role.ADMIN),
    ("maintain", Role.APPROVER),
    ("push", Role.VIEWER),
    ("triage", Role.VIEWER),
)
"""The permission booleans of GitHub's answer, the highest first. `pull` is worth something only where not everybody has it."""


def decide_role(permissions: Permissions, *, public: bool) -> Role | None:
    """Return what a person's live permission on the repository makes of them, None for nobody.

    Args:
        permissions: The booleans of GitHub's answer about the person's id.
        public: Whether everybody can read the repository; then reading proves nothing.
    """
    for permission, role in _ROLE_OF_PERMISSION:
        if getattr(permissions, permission):
            return role
    return Role.VIEWER if permissions.pull and not public else None


def may_act(role: Role | None, action: Action) -> bool:
    """Say whether a person of this role may do it."""
    return role is not None and action in ACTIONS[role]
