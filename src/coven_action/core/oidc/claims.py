"""Check the claims of a token whose signature holds. Pure: claims and the time in, `SignedClaims` or `TokenRefused` out.

Every claim that GitHub is known to send stands in one of four tables: checked against what we expect, required, kept
where present, or deliberately left unread with the reason. A claim in none of them is reported, so that somebody decides
about it; it changes nothing until then. Decisions read ids and exact lists: `SignedClaims` does not even hold `sub`, the
actor's name or the workflow's.
https://docs.github.com/en/actions/reference/security/oidc
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from coven_action.core.oidc.tokens import TokenReason, TokenRefused
from coven_action.core.records import Payload

LEEWAY: Final = timedelta(seconds=30)
"""How far our clock and the issuer's may be apart."""
FRESHNESS: Final = timedelta(seconds=600)
"""How long after its issue a token opens a session, however long the issuer lets it live."""
MAX_REPORTED_CLAIMS: Final = 20
MAX_REPORTED_LENGTH: Final = 64

# GitHub sends ids and counters as digits in a string. A leading zero would be a second spelling of the same id, and 18
# digits fit the 64 bits that a database has for it.
Digits = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,17}$")]
# Control characters belong in no name, and a database may refuse to store them.
_TEXT: Final = r"^[^\x00-\x1f\x7f]*$"
Name = Annotated[str, Field(min_length=1, max_length=512, pattern=_TEXT)]
# `ref`, `sha` and what belongs to them may be empty: a deployment of a commit has no ref.
Text = Annotated[str, Field(max_length=512, pattern=_TEXT)]
FullName = Annotated[str, Field(max_length=201, pattern=r"^[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}$")]
Seconds = Annotated[int, Field(ge=0, lt=2**53)]


class SignedClaims(Payload):
    """What an issuer signed about a run, under GitHub's own names. What is not here is read by nobody.

    `repository` is a label for people; it decides nothing. `unknown_claims` is the one field that is not GitHub's: the
    names, cut to 64 characters, of claims that no table knows, at most 20.
    """

    iss: Name
    aud: Name
    jti: Annotated[str, Field(min_length=1, max_length=200, pattern=_TEXT)]
    iat: Seconds
    nbf: Seconds
    exp: Seconds
    repository: FullName
    repository_id: Digits
    repository_owner_id: Digits
    repository_visibility: Literal["public", "private", "internal"]
    event_name: Name
    actor_id: Digits
    run_id: Digits
    run_attempt: Digits
    workflow_ref: Name
    runner_environment: Name
    ref: Text = ""
    sha: Text = ""
    ref_protected: Literal["true", "false", ""] = ""
    job_workflow_ref: Name | None = None
    job_workflow_sha: Text = ""
    workflow_sha: Text = ""
    environment: Name | None = None
    check_run_id: Digits | None = None
    unknown_claims: tuple[str, ...] = ()

    @property
    def replay_until(self) -> datetime:
        """Until when `(iss, jti)` must be remembered: from then on this token is refused for its age alone."""
        # The expiry may be further away than a date can say.
        last = min(self.exp, self.iat + int(FRESHNESS.total_seconds()))
        return datetime.fromtimestamp(last, UTC) + LEEWAY


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a token is held against.

    Attributes:
        issuer: Whose key the signature was verified with.
        audience: Ours, exactly; each deployment has its own.
        now: The time, with its zone.
    """

    issuer: str
    audience: str
    now: datetime


Check = Callable[[SignedClaims, Expectation], None]


def _check_issuer(claims: SignedClaims, expected: Expectation) -> None:
    if claims.iss != expected.issuer:
        raise TokenRefused(TokenReason.UNKNOWN_ISSUER, "iss")


def _check_audience(claims: SignedClaims, expected: Expectation) -> None:
    if claims.aud != expected.audience:
        raise TokenRefused(TokenReason.AUDIENCE, "aud")


def _check_issue(claims: SignedClaims, expected: Expectation) -> None:
    age = expected.now.timestamp() - claims.iat
    if age < -LEEWAY.total_seconds():
        raise TokenRefused(TokenReason.NOT_YET_VALID, "iat")
    if age > FRESHNESS.total_seconds():
        raise TokenRefused(TokenReason.STALE, "iat")


def _check_beginning(claims: SignedClaims, expected: Expectation) -> None:
    if claims.nbf >= claims.exp:
        raise TokenRefused(TokenReason.TIMES, "nbf")
    if expected.now.timestamp() < claims.nbf - LEEWAY.total_seconds():
        raise TokenRefused(TokenReason.NOT_YET_VALID, "nbf")


def _check_expiry(claims: SignedClaims, expected: Expectation) -> None:
    if claims.exp <= claims.iat:
        raise TokenRefused(TokenReason.TIMES, "exp")
    if expected.now.timestamp() >= claims.exp + LEEWAY.total_seconds():
        raise TokenRefused(TokenReason.EXPIRED, "exp")


def _check_commit(claims: SignedClaims, expected: Expectation) -> None:
    """A run is of a ref or of a commit. A job of a deployment has an empty `ref` and its commit."""
    del expected
    if not claims.ref and not claims.sha:
        raise TokenRefused(TokenReason.CLAIM_MISSING, "ref")


CHECKED: Final[Mapping[str, Check]] = {
    "iss": _check_issuer,
    "aud": _check_audience,
    "iat": _check_issue,
    "nbf": _check_beginning,
    "exp": _check_expiry,
    "ref": _check_commit,
}
"""Claim -> what it is held against, in this order. `ref` stands for itself or `sha`."""

REQUIRED: Final = frozenset(
    {
        "actor_id",
        "event_name",
        "jti",
        "repository",
        "repository_id",
        "repository_owner_id",
        "repository_visibility",
        "run_attempt",
        "run_id",
        "runner_environment",
        "workflow_ref",
    }
)
"""Claims that must be there and not empty: who, where and which run."""

WHERE_PRESENT: Final = frozenset(
    {"check_run_id", "environment", "job_workflow_ref", "job_workflow_sha", "ref_protected", "sha", "workflow_sha"}
)
"""Claims that not every run has. The policy of an enrolled repository may ask for some of them."""

UNCHECKED: Final[Mapping[str, str]] = {
    "actor": "a login may be given to somebody else; `actor_id` says who",
    "base_ref": "said of pull requests only, which get nothing",
    "enterprise": "a name; the issuer's address is what is registered",
    "enterprise_id": "a tenant is an issuer and an owner",
    "environment_node_id": "the environment is compared by its name in the repository's own list",
    "head_ref": "said of pull requests only, and chosen by whoever opens one",
    "issuer_scope": "the issuer's address says it",
    "ref_type": "`ref` is compared whole",
    "repository_owner": "a login may be given to somebody else; `repository_owner_id` says who",
    "run_number": "counts the runs of one workflow; `run_id` says which",
    "sub": "has several formats, and each organisation may write its own",
    "workflow": "any workflow may be called anything; `workflow_ref` says which",
}
"""Claims that nobody reads, and why."""

UNCHECKED_PREFIX: Final = "repo_property_"
"""Custom properties of a repository, which each organisation names itself. Nobody reads them."""

KNOWN_CLAIMS: Final = frozenset(CHECKED) | REQUIRED | WHERE_PRESENT | frozenset(UNCHECKED)


def find_unknown_claims(unverified_claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names that no table knows, sorted, each cut, and not more than a log can bear."""
    unknown = sorted(
        name for name in unverified_claims if name not in KNOWN_CLAIMS and not name.startswith(UNCHECKED_PREFIX)
    )
    return tuple(name[:MAX_REPORTED_LENGTH] for name in unknown[:MAX_REPORTED_CLAIMS])


def verify_claims(signed: Mapping[str, Any], expected: Expectation) -> SignedClaims:
    """Return the claims when each is what it must be.

    Which check comes first matters only to the reason in the log: the signature holds, and nothing is fetched any more.

    Args:
        signed: The claims of a token whose signature holds.
        expected: Issuer, audience and time.

    Raises:
        TokenRefused: A claim is missing, empty, of another form, or not what is expected.
        ValueError: `expected.now` has no time zone.
    """
    if expected.now.tzinfo is None:
        raise ValueError("the time has no zone")
    try:
        # Our own field comes last: it is not one that a token may fill.
        claims = SignedClaims.model_validate({**signed, "unknown_claims": find_unknown_claims(signed)})
    except ValidationError as error:
        raise _build_refusal(error, signed) from error
    for check in CHECKED.values():
        check(claims, expected)
    return claims


def _build_refusal(error: ValidationError, signed: Mapping[str, Any]) -> TokenRefused:
    """Name the first claim that is wrong; pydantic's own message would repeat its value."""
    claim = str(error.errors(include_url=False, include_input=False, include_context=False)[0]["loc"][0])
    absent = signed.get(claim) in (None, "")
    return TokenRefused(TokenReason.CLAIM_MISSING if absent else TokenReason.CLAIM_MALFORMED, claim)
