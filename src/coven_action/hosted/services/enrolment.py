"""Enrol accounts and repositories: what an operator does before a run can report.

What is recorded here is what signed claims are later held against; nothing is learned from the claims themselves. To enrol
again changes what is given and leaves the rest as it was: a pin that was not repeated must not fall.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import func, insert, select, update

from coven_action.core.endpoint.audit_chain import GENESIS
from coven_action.core.endpoint.wire import GitHubId, Line, Wire
from coven_action.core.memory.policy_block import Visibility
from coven_action.core.oidc.authority import EnrolledRepository, EnrolmentPolicy
from coven_action.hosted.principals import PersonPrincipal
from coven_action.hosted.problems import Problem
from coven_action.hosted.services.suspension import end_sessions
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.tenancy import DIRECTORY
from coven_action.hosted.store.transaction import Group, Transaction

_NEW_TIER: Final = "open"
_NEW_REPOSITORY: Final[Mapping[str, Any]] = {
    "visibility": "private",
    "default_branch": "main",
    "people": [],
    "tenant_shared": False,
}
"""What holds of a repository, and of an account above, as long as nobody has said otherwise."""
Names = Annotated[tuple[Annotated[str, Field(max_length=500)], ...], Field(max_length=100, strict=False)]


class EnrolmentRules(Wire):
    """Which runs of a repository may open a session: exact values. None admits any, an empty list admits none."""

    events: Names | None = None
    refs: Names | None = None
    workflows: Names | None = None
    environments: Names | None = None
    runner_environments: Names | None = None


class TenantEnrolment(Wire):
    """An account, as its operator enrols it.

    Args:
        issuer: Who signs the ID tokens of its runs.
        account_id: GitHub's number.
        account_login: A label for people.
        installation_id: Of the App that the account has installed. Left out, it stays; None says that there is none.
        tier: Its caps. Left out or None, it stays; that of a new account is open.
    """

    issuer: str
    account_id: GitHubId
    account_login: Annotated[str, Field(min_length=1, max_length=100)]
    installation_id: GitHubId | None = None
    tier: Annotated[str, Field(max_length=20)] | None = None


class RepositoryEnrolment(Wire):
    """A repository, as its operator or an administrator of the account enrols it.

    Of a repository that is enrolled, what is left out stays as it was, and so does each rule that is left out.

    Args:
        repository_id: GitHub's number; the names are labels.
        visibility: As GitHub has it; that of a new one is private.
        default_branch: That of a new one is main.
        people: Actor ids whose own dispatches count as a person's. Given, they replace those that were recorded.
        rules: Which of its runs are admitted.
        tenant_shared: Whether it may read what the account shares.
    """

    repository_id: GitHubId
    owner: Annotated[str, Field(min_length=1, max_length=100)]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    visibility: Visibility | None = None
    default_branch: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    people: Annotated[tuple[GitHubId, ...], Field(max_length=1000, strict=False)] | None = None
    rules: EnrolmentRules = EnrolmentRules()
    tenant_shared: bool | None = None


class EnrolledTenant(Wire):
    """Where the account's data lies, and what was recorded: `changed` names what is other than it was."""

    tenant_id: int
    created: bool
    tier: str
    changed: tuple[str, ...] = ()


class EnrolledAs(Wire):
    """How a repository is enrolled."""

    repository_id: GitHubId
    status: str


def enrol_account(group: Group, actor: str, enrolment: TenantEnrolment) -> EnrolledTenant:
    """Enrol an account or change what was recorded of it, with the row of its audit log, all in one commit."""
    directory = Transaction(group, DIRECTORY)
    enrolled = enrol_tenant(directory, enrolment)
    directory.finish()
    if not enrolled.changed:
        return enrolled
    group.read_heads_of(enrolled.tenant_id)
    transaction = Transaction(group, enrolled.tenant_id)
    said = enrolment.model_dump(mode="json", include=set(enrolled.changed))
    transaction.append_audit(
        actor=actor,
        action="account.enrol",
        subject="account",
        detail={**said, "created": enrolled.created, "tier": enrolled.tier},
    )
    transaction.finish()
    return enrolled


def enrol_tenant(transaction: Transaction, enrolment: TenantEnrolment) -> EnrolledTenant:
    """Enrol an account, or change what is given of its label, installation and tier where it is enrolled already.

    The row in the account's audit log is the caller's to append: `enrol_account` does; an import brings the log along.
    """
    columns = schema.tenants.c
    given: dict[str, Any] = enrolment.model_dump(
        include={"account_login", "installation_id", "tier"}, exclude_unset=True
    )
    if enrolment.tier is None:
        given.pop("tier", None)
    same = (columns.issuer == enrolment.issuer, columns.account_id == enrolment.account_id)
    row = transaction.fetch_one(select(schema.tenants).where(*same))
    if row is not None:
        changed = {name: value for name, value in given.items() if getattr(row, name) != value}
        if changed:
            transaction.execute(update(schema.tenants).where(*same).values(changed))
        tier = changed.get("tier", row.tier)
        return EnrolledTenant(tenant_id=row.tenant_id, created=False, tier=tier, changed=tuple(sorted(changed)))
    newest = transaction.fetch_one(select(func.max(columns.tenant_id).label("newest")))
    tenant_id = (newest.newest if newest and newest.newest else 0) + 1
    values = {"tier": _NEW_TIER, **given}
    transaction.execute(
        insert(schema.tenants).values(
            tenant_id=tenant_id,
            issuer=enrolment.issuer,
            account_id=enrolment.account_id,
            status="active",
            created_at=transaction.now,
            **values,
        )
    )
    transaction.execute(
        insert(schema.heads).values(
            tenant_id=tenant_id, event_sequence=0, event_floor=0, audit_sequence=0, audit_hash=GENESIS, run_number=0
        )
    )
    return EnrolledTenant(tenant_id=tenant_id, created=True, tier=values["tier"], changed=tuple(sorted(given)))


def enrol_repository(transaction: Transaction, actor: str, enrolment: RepositoryEnrolment) -> EnrolledAs:
    """Enrol a repository of the tenant, or change what is given of it; a new name joins the history of names."""
    columns = schema.repositories.c
    same = (columns.tenant_id == transaction.tenant_id, columns.repository_id == enrolment.repository_id)
    row = transaction.fetch_one(select(schema.repositories).where(*same))
    given = _list_given(enrolment)
    if row is None:
        rules = EnrolmentRules.model_validate(given.get("rules", {})).model_dump(mode="json")
        transaction.execute(
            insert(schema.repositories).values(
                tenant_id=transaction.tenant_id,
                status="enrolled",
                enrolled_at=transaction.now,
                **{**_NEW_REPOSITORY, **given, "rules": rules},
            )
        )
    else:
        values = {**given, "rules": {**row.rules, **given.get("rules", {})}}
        transaction.execute(update(schema.repositories).where(*same).values(values))
    if row is None or (row.owner, row.name) != (enrolment.owner, enrolment.name):
        _record_name(transaction, enrolment)
    transaction.append_audit(
        actor=actor,
        action="repository.enrol",
        subject=f"repository:{enrolment.repository_id}",
        detail={"created": row is None, **given},
    )
    return EnrolledAs(repository_id=enrolment.repository_id, status=row.status if row else "enrolled")


def _list_given(enrolment: RepositoryEnrolment) -> dict[str, Any]:
    """Return what an enrolment says. A rule of None is said where it is written: it admits any run."""
    given = enrolment.model_dump(mode="json", exclude_unset=True)
    return {name: value for name, value in given.items() if value is not None}


def _record_name(transaction: Transaction, enrolment: RepositoryEnrolment) -> None:
    columns = schema.repository_names.c
    since = {
        "tenant_id": transaction.tenant_id,
        "repository_id": enrolment.repository_id,
        "since": transaction.now,
    }
    known = transaction.fetch_one(
        select(columns.since).where(*(columns[name] == value for name, value in since.items()))
    )
    names = {"owner": enrolment.owner, "name": enrolment.name}
    if known is None:
        transaction.execute(insert(schema.repository_names).values(**since, **names))
    else:
        transaction.execute(
            update(schema.repository_names)
            .where(*(columns[name] == value for name, value in since.items()))
            .values(names)
        )


class StatusChange(Wire):
    """Why a repository is suspended or released."""

    reason: Line = ""


def enrol_by_person(transaction: Transaction, person: PersonPrincipal, enrolment: RepositoryEnrolment) -> EnrolledAs:
    """Enrol a repository in the name of an administrator."""
    return enrol_repository(transaction, person.actor, enrolment)


def change_status(transaction: Transaction, actor: str, repository_id: int, status: str, reason: str) -> EnrolledAs:
    """Suspend a repository, which ends the sessions of its runs, or release it.

    Raises:
        Problem: `no-such-resource`.
    """
    columns = schema.repositories.c
    changed = transaction.execute(
        update(schema.repositories)
        .where(columns.tenant_id == transaction.tenant_id, columns.repository_id == repository_id)
        .values(status=status)
    )
    if not changed:
        raise Problem("no-such-resource")
    ended = 0 if status == "enrolled" else end_sessions(transaction, repository_id)
    transaction.append_audit(
        actor=actor,
        action=f"repository.{status}",
        subject=f"repository:{repository_id}",
        detail={"reason": reason, "sessions": ended},
    )
    return EnrolledAs(repository_id=repository_id, status=status)


def find_enrolled(
    reading: Reading | Transaction, issuer: str, account_id: int, repository_id: int
) -> EnrolledRepository | None:
    """Return what was recorded about a repository under the account that its token names.

    A repository that is enrolled under another account of the issuer is returned as that account's, so that a transfer
    is told as what it is.
    """
    tenants, repositories = schema.tenants, schema.repositories
    rows = reading.fetch_all(
        select(
            tenants.c.issuer,
            tenants.c.account_id,
            tenants.c.status.label("tenant_status"),
            repositories,
        )
        .join(repositories, tenants.c.tenant_id == repositories.c.tenant_id)
        .where(tenants.c.issuer == issuer, repositories.c.repository_id == repository_id)
    )
    own = next((row for row in rows if row.account_id == account_id), rows[0] if rows else None)
    return build_enrolled(dict(own._mapping)) if own is not None else None  # noqa: SLF001 SQLAlchemy's public name


def build_enrolled(row: Mapping[str, Any]) -> EnrolledRepository:
    """Return a row of repository and tenant as the rules of authority take it."""
    rules = EnrolmentRules.model_validate(row["rules"])
    return EnrolledRepository(
        issuer=row["issuer"],
        tenant_id=row["tenant_id"],
        repository_id=str(row["repository_id"]),
        account_id=str(row["account_id"]),
        default_branch=row["default_branch"],
        people=frozenset(str(person) for person in row["people"]),
        public=row["visibility"] == "public",
        tenant_shared=row["tenant_shared"],
        suspended=row["status"] != "enrolled" or row["tenant_status"] != "active",
        policy=EnrolmentPolicy(
            **{name: None if value is None else frozenset(value) for name, value in rules.model_dump().items()}
        ),
    )
