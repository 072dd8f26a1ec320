"""Enrol accounts and repositories: what an operator does before a run can report.

What is recorded here is what signed claims are later held against; nothing is learned from the claims themselves.
"""

from collections.abc import Mapping
from typing import Annotated, Any

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
from coven_action.hosted.store.transaction import Transaction

Names = Annotated[tuple[Annotated[str, Field(max_length=500)], ...], Field(max_length=100, strict=False)]


class EnrolmentRules(Wire):
    """Which runs of a repository may open a session: exact values. None admits any, an empty list admits none."""

    events: Names | None = None
    refs: Names | None = None
    workflows: Names | None = None
    environments: Names | None = None
    runner_environments: Names | None = None


class TenantEnrolment(Wire):
    """An account, as its operator enrols it."""

    issuer: str
    account_id: GitHubId
    account_login: Annotated[str, Field(min_length=1, max_length=100)]
    installation_id: GitHubId | None = None
    tier: Annotated[str, Field(max_length=20)] = "open"


class RepositoryEnrolment(Wire):
    """A repository, as its operator or an administrator of the account enrols it.

    Args:
        repository_id: GitHub's number; the names are labels.
        people: Actor ids whose own dispatches count as a person's.
        rules: Which of its runs are admitted.
        tenant_shared: Whether it may read what the account shares.
    """

    repository_id: GitHubId
    owner: Annotated[str, Field(min_length=1, max_length=100)]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    visibility: Visibility
    default_branch: Annotated[str, Field(min_length=1, max_length=255)]
    people: Annotated[tuple[GitHubId, ...], Field(max_length=1000, strict=False)] = ()
    rules: EnrolmentRules = EnrolmentRules()
    tenant_shared: bool = False


class EnrolledTenant(Wire):
    """Where the account's data lies."""

    tenant_id: int
    created: bool


class EnrolledAs(Wire):
    """How a repository is enrolled."""

    repository_id: GitHubId
    status: str


def enrol_tenant(transaction: Transaction, enrolment: TenantEnrolment) -> EnrolledTenant:
    """Enrol an account, or change its label, installation and tier where it is enrolled already."""
    columns = schema.tenants.c
    values: dict[str, Any] = enrolment.model_dump(include={"account_login", "installation_id", "tier"})
    same = (columns.issuer == enrolment.issuer, columns.account_id == enrolment.account_id)
    row = transaction.fetch_one(select(columns.tenant_id).where(*same))
    if row is not None:
        transaction.execute(update(schema.tenants).where(*same).values(values))
        return EnrolledTenant(tenant_id=row.tenant_id, created=False)
    newest = transaction.fetch_one(select(func.max(columns.tenant_id).label("newest")))
    tenant_id = (newest.newest if newest and newest.newest else 0) + 1
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
    return EnrolledTenant(tenant_id=tenant_id, created=True)


def enrol_repository(transaction: Transaction, actor: str, enrolment: RepositoryEnrolment) -> EnrolledAs:
    """Enrol a repository of the tenant, or change what was recorded; a new name joins the history of names."""
    columns = schema.repositories.c
    same = (columns.tenant_id == transaction.tenant_id, columns.repository_id == enrolment.repository_id)
    row = transaction.fetch_one(select(schema.repositories).where(*same))
    values = {
        **enrolment.model_dump(include={"owner", "name", "visibility", "default_branch", "tenant_shared"}),
        "people": list(enrolment.people),
        "rules": enrolment.rules.model_dump(mode="json"),
    }
    if row is None:
        transaction.execute(
            insert(schema.repositories).values(
                tenant_id=transaction.tenant_id,
                repository_id=enrolment.repository_id,
                status="enrolled",
                enrolled_at=transaction.now,
                **values,
            )
        )
    else:
        transaction.execute(update(schema.repositories).where(*same).values(values))
    if row is None or (row.owner, row.name) != (enrolment.owner, enrolment.name):
        _record_name(transaction, enrolment)
    transaction.append_audit(
        actor=actor,
        action="repository.enrol",
        subject=f"repository:{enrolment.repository_id}",
        detail=enrolment.model_dump(mode="json"),
    )
    return EnrolledAs(repository_id=enrolment.repository_id, status=row.status if row else "enrolled")


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
