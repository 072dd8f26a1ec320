"""Open and close the sessions of runs.

The token is verified before; here, in one transaction, its `jti` is claimed, the audit row is appended and the session is
opened, so that of two requests with the same token one gets a session at most.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update

from coven_action.core.endpoint.wire import Session, SessionRequest, SessionScopes
from coven_action.core.oidc.authority import Authority, NotAdmitted, decide_authority
from coven_action.core.oidc.claims import SignedClaims
from coven_action.core.records import sha256_hex
from coven_action.hosted.authentication import SESSION_TIME, render_session_token
from coven_action.hosted.principals import RunPrincipal, SessionDocument
from coven_action.hosted.problems import Problem, refuse_authentication
from coven_action.hosted.services.enrolment import find_enrolled
from coven_action.hosted.services.policies import find_installation
from coven_action.hosted.services.witness import sign_head, witness_head
from coven_action.hosted.signing import SigningKey
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.transaction import MeterKey, Transaction, to_milliseconds


@dataclass(frozen=True, slots=True)
class Admitted:
    """A run whose token is genuine and whose repository is enrolled."""

    tenant_id: int
    claims: SignedClaims
    authority: Authority


def admit(reading: Reading, claims: SignedClaims, issuer_account: int | None) -> Admitted:
    """Decide what a run with these claims may do.

    Args:
        reading: Of the enrolled repositories.
        claims: As the issuer signed them.
        issuer_account: The id of the one account the issuer speaks for, None where it speaks for many.

    Raises:
        Problem: The repository is not enrolled, was transferred, or its rules do not admit the run.
    """
    enrolled = find_enrolled(reading, claims.iss, int(claims.repository_owner_id), int(claims.repository_id))
    decided = decide_authority(claims, enrolled, issuer_account=issuer_account)
    if isinstance(decided, NotAdmitted) or enrolled is None:
        code = decided.code if isinstance(decided, NotAdmitted) else "not-authenticated"
        if code == "not-authenticated":
            raise refuse_authentication()
        raise Problem(code)
    return Admitted(enrolled.tenant_id, claims, decided)


def open_session(
    transaction: Transaction,
    admitted: Admitted,
    request: SessionRequest,
    *,
    random: str,
    now: datetime,
    signer: SigningKey,
) -> Session:
    """Claim the token's `jti` and open a session.

    Raises:
        Problem: `not-authenticated`: the token has been used before; `repository-suspended`: it, or the account, has been
            suspended since the run was admitted.
    """
    claims, authority = admitted.claims, admitted.authority
    _check_active(transaction, claims)
    _claim_jti(transaction, claims)
    token = render_session_token(transaction.tenant_id, random)
    document = SessionDocument(
        repository_id=int(claims.repository_id),
        run_id=int(claims.run_id),
        run_attempt=int(claims.run_attempt),
        event_name=claims.event_name,
        actor_id=int(claims.actor_id),
        visibility=claims.repository_visibility,
        tier=authority.tier.value,
        scopes=SessionScopes(
            read=authority.read.value,
            tenant_shared=authority.tenant_shared,
            propose=authority.propose,
            validate_entries=authority.validate,
            reason=authority.reason,
        ),
    )
    expires_at = now + SESSION_TIME
    witnessed = witness_head(transaction, request.witness)
    transaction.execute(
        insert(schema.sessions).values(
            tenant_id=transaction.tenant_id,
            token_sha256=sha256_hex(token.encode()),
            document=document.model_dump(mode="json"),
            created_at=transaction.now,
            expires_at=to_milliseconds(expires_at),
        )
    )
    transaction.meter(MeterKey(find_installation(transaction) or 0, document.repository_id), "sessions")
    transaction.append_audit(
        actor=f"run:{document.repository_id}/{document.run_id}",
        action="session.open",
        subject=f"repository:{document.repository_id}",
        detail={
            "attempt": document.run_attempt,
            "event": document.event_name,
            "actor": document.actor_id,
            "tier": document.tier,
            "witnessed": witnessed,
        },
    )
    return Session(
        token=token,
        expires_at=expires_at,
        tenant_id=transaction.tenant_id,
        repository_id=document.repository_id,
        run_id=document.run_id,
        run_attempt=document.run_attempt,
        tier=document.tier,
        scopes=document.scopes,
        witness=sign_head(transaction, signer),
        witnessed=witnessed,
        seal_key=signer.seal_key,
    )


def _check_active(transaction: Transaction, claims: SignedClaims) -> None:
    enrolled = find_enrolled(transaction, claims.iss, int(claims.repository_owner_id), int(claims.repository_id))
    if enrolled is None or enrolled.tenant_id != transaction.tenant_id or enrolled.suspended:
        raise Problem("repository-suspended")


def _claim_jti(transaction: Transaction, claims: SignedClaims) -> None:
    columns = schema.jti_seen.c
    jti_sha256 = sha256_hex(f"{claims.iss}\n{claims.jti}".encode())
    # A jti is remembered for as long as its token could be accepted; `replay_until` is when age alone refuses it.
    seen = transaction.fetch_one(
        select(columns.expires_at).where(columns.tenant_id == transaction.tenant_id, columns.jti_sha256 == jti_sha256)
    )
    if seen is not None:
        raise refuse_authentication()
    transaction.execute(
        insert(schema.jti_seen).values(
            tenant_id=transaction.tenant_id,
            jti_sha256=jti_sha256,
            expires_at=to_milliseconds(claims.replay_until),
        )
    )


def close_session(transaction: Transaction, principal: RunPrincipal) -> None:
    """End a session before its time."""
    columns = schema.sessions.c
    transaction.execute(
        update(schema.sessions)
        .where(columns.tenant_id == transaction.tenant_id, columns.token_sha256 == principal.token_sha256)
        .values(closed_at=transaction.now)
    )
    transaction.append_audit(
        actor=principal.actor,
        action="session.close",
        subject=f"repository:{principal.session.repository_id}",
        detail={"attempt": principal.session.run_attempt},
    )
