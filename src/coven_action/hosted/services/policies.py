"""What an account's administrators have set, and what of it is granted to a run."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter
from sqlalchemy import bindparam, delete, func, insert, select, update

from coven_action.core.endpoint.caps import TIERS, Caps
from coven_action.core.endpoint.revoking import spell_out
from coven_action.core.endpoint.wire import SessionScopes, Wire
from coven_action.core.memory.grants import EndpointGrant, Scopes
from coven_action.core.memory.policy_block import RetentionPolicy
from coven_action.hosted.principals import RunPrincipal
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.prepared_query import PreparedQuery
from coven_action.hosted.store.transaction import Transaction


class AccountPolicy(Wire):
    """What an account allows of memory at all; off until an administrator turns it on.

    Args:
        enabled: Whether memory is on for the account's repositories.
        read: Scopes that may be read.
        write: Scopes that may be proposed into.
        approval_required: Whether a person approves every proposal, whatever a repository's configuration says.
        separate_approver: Whether nobody approves what their own request proposed.
        retention: The longest that entries live.
    """

    enabled: bool = False
    read: Scopes = ("repo",)
    write: Scopes = ("repo",)
    approval_required: bool = True
    separate_approver: bool = False
    retention: RetentionPolicy = RetentionPolicy()


# Statements that every bundle needs are built once: building one takes longer than SQLite takes to answer it.
_NEWEST: Final = (
    select(schema.policies.c.document)
    .where(schema.policies.c.tenant_id == bindparam("of_tenant"), schema.policies.c.kind == bindparam("of_kind"))
    .order_by(schema.policies.c.version.desc())
    .limit(1)
)
_REVOKED: Final = PreparedQuery(
    select(schema.revocations.c.prefix)
    .where(schema.revocations.c.tenant_id == bindparam("of_tenant"))
    .order_by(schema.revocations.c.prefix)
)
_INSTALLATION: Final = select(schema.tenants.c.installation_id).where(
    schema.tenants.c.tenant_id == bindparam("of_tenant")
)
_TIERS_ROW: Final = "tiers"
_TIERS: Final = select(schema.deployment.c.value).where(schema.deployment.c.name == _TIERS_ROW)
_TIERS_ADAPTER: Final = TypeAdapter(dict[str, Caps])


def read_document(source: Reading | Transaction, kind: str) -> dict[str, Any] | None:
    """Return the newest version of what was set of one kind: memory, retention, caps or issuers."""
    row = source.fetch_one(_NEWEST, {"of_tenant": source.tenant_id, "of_kind": kind})
    return None if row is None else dict(row.document)


def read_policy(source: Reading | Transaction) -> AccountPolicy:
    """Return what the account allows of memory."""
    return build_policy(read_document(source, "memory"))


def build_policy(document: Mapping[str, Any] | None) -> AccountPolicy:
    """Return what an account allows of memory by what was set, None where nothing was."""
    return AccountPolicy.model_validate(document or {})


def read_tiers(source: Reading | Transaction) -> Mapping[str, Caps]:
    """Return the caps of every tier, as the deployment was configured when it was last started."""
    row = source.fetch_one(_TIERS)
    return TIERS if row is None else _TIERS_ADAPTER.validate_json(row.value)


def record_tiers(transaction: Transaction, tiers: Mapping[str, Caps]) -> None:
    """Let every process, and every command of the operator, take these caps. Nothing is written where they hold already.

    Args:
        transaction: Of the deployment, tenant 0.
        tiers: Every tier's.
    """
    if read_tiers(transaction) == tiers:
        return
    columns = schema.deployment.c
    transaction.execute(delete(schema.deployment).where(columns.name == _TIERS_ROW))
    value = _TIERS_ADAPTER.dump_json(dict(tiers)).decode()
    transaction.execute(insert(schema.deployment).values(name=_TIERS_ROW, value=value))


def read_caps(source: Reading | Transaction) -> Caps:
    """Return what the account may use: the row of its tier, and what an operator has set for it alone."""
    columns = schema.tenants.c
    row = source.fetch_one(select(columns.tier).where(columns.tenant_id == source.tenant_id))
    tiers = read_tiers(source)
    tier = tiers.get(row.tier if row is not None else "", tiers["open"])
    return Caps.model_validate({**tier.model_dump(), **(read_document(source, "caps") or {})})


def set_caps(transaction: Transaction, actor: str, tier: str | None, replaced: Mapping[str, int | None]) -> None:
    """Change an account's tier, or replace caps of it for this account; what was replaced before stays replaced.

    Args:
        transaction: Of the account.
        actor: Who does it.
        tier: The tier to take the caps of; None leaves it.
        replaced: Names of `Caps` and their numbers.
    """
    if tier is not None:
        columns = schema.tenants.c
        transaction.execute(update(schema.tenants).where(columns.tenant_id == transaction.tenant_id).values(tier=tier))
    if replaced:
        columns = schema.policies.c
        newest = transaction.fetch_one(
            select(func.max(columns.version).label("version")).where(
                columns.tenant_id == transaction.tenant_id, columns.kind == "caps"
            )
        )
        document = {**(read_document(transaction, "caps") or {}), **replaced}
        transaction.execute(
            insert(schema.policies).values(
                tenant_id=transaction.tenant_id,
                kind="caps",
                version=((newest.version if newest else None) or 0) + 1,
                document=document,
                actor=actor,
                at=transaction.now,
            )
        )
    transaction.append_audit(
        actor=actor, action="caps.set", subject="account", detail={"tier": tier, "replaced": dict(replaced)}
    )


def list_revoked(source: Reading | Transaction, repository_id: int | None) -> tuple[str, ...]:
    """Return the revoked canonical keys and prefixes, with a revocation of the whole account as it concerns a repository."""
    revoked = source.fetch_all(_REVOKED, {"of_tenant": source.tenant_id})
    return spell_out((row.prefix for row in revoked), repository_id)


def find_installation(source: Reading | Transaction) -> int | None:
    """Return the installation of the App that an operator recorded with the account, None where there is none."""
    row = source.fetch_one(_INSTALLATION, {"of_tenant": source.tenant_id})
    return None if row is None else row.installation_id


def build_grant(source: Reading | Transaction, principal: RunPrincipal) -> EndpointGrant:
    """Return what the endpoint grants a run of memory, as its policy block is to say it."""
    revoked = list_revoked(source, principal.session.repository_id)
    return limit_policy(read_policy(source), principal.session.scopes, revoked, find_installation(source))


def limit_policy(
    policy: AccountPolicy, scopes: SessionScopes, revoked: tuple[str, ...], installation_id: int | None = None
) -> EndpointGrant:
    """Return the account's policy, cut down to what a run's claims allow."""
    allowed = {"repo"} if scopes.read != "none" else set()
    if scopes.tenant_shared:
        allowed.add("tenant_shared")
    read = tuple(scope for scope in policy.read if scope in allowed)
    write = tuple(scope for scope in policy.write if scope in read and scope == "repo") if scopes.propose else ()
    enabled = policy.enabled and bool(read)
    return EndpointGrant(
        enabled=enabled,
        read_scopes=read if enabled else (),
        write_scopes=write if enabled else (),
        shareable_only=scopes.read != "repo",
        approval_required=policy.approval_required,
        retention=policy.retention,
        denied=revoked,
        installation_id=installation_id,
    )
