"""ID tokens for tests: the claims GitHub signs for a run, real keys, and compact tokens of any shape."""

import base64
import json
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from coven_action.core.oidc.claims import SignedClaims
from coven_action.emulator.oidc import SigningKey, make_key

ISSUER = "https://token.actions.githubusercontent.com"
AUDIENCE = "https://coven.example"
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())

# Every claim that GitHub is known to send, for a job of an environment in an enterprise.
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "repo:acme@501/billing@1001:environment:coven",
    "jti": "6f4762ed-0758-4ccb-808d-ee3af5d723a8",
    "iat": SECONDS - 10,
    "nbf": SECONDS - 610,
    "exp": SECONDS + 290,
    "actor": "alice",
    "actor_id": "77",
    "base_ref": "",
    "check_run_id": "9001",
    "enterprise": "acme-group",
    "enterprise_id": "2",
    "environment": "coven",
    "environment_node_id": "EN_kwDO",
    "event_name": "issues",
    "head_ref": "",
    "issuer_scope": "enterprise",
    "job_workflow_ref": "acme/billing/.github/workflows/coven.yml@refs/heads/main",
    "job_workflow_sha": "a" * 40,
    "ref": "refs/heads/main",
    "ref_protected": "true",
    "ref_type": "branch",
    "repo_property_team": "payments",
    "repository": "acme/billing",
    "repository_id": "1001",
    "repository_owner": "acme",
    "repository_owner_id": "501",
    "repository_visibility": "private",
    "run_attempt": "1",
    "run_id": "22259804324",
    "run_number": "42",
    "runner_environment": "github-hosted",
    "sha": "a" * 40,
    "workflow": "Coven",
    "workflow_ref": "acme/billing/.github/workflows/coven.yml@refs/heads/main",
    "workflow_sha": "a" * 40,
}


def make_claims(**changes: Any) -> dict[str, Any]:
    """Return the claims with changes; `...` leaves a claim out."""
    return {name: value for name, value in (CLAIMS | changes).items() if value is not ...}


def make_signed(**changes: Any) -> SignedClaims:
    """Return claims as they are after verification, without the checks against time and audience."""
    named = {name: value for name, value in make_claims(**changes).items() if name in SignedClaims.model_fields}
    return SignedClaims.model_validate(named)


def encode_part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def encode_object(value: Any) -> str:
    return encode_part(value if isinstance(value, bytes) else json.dumps(value).encode())


def make_header(**changes: Any) -> dict[str, Any]:
    header = {"typ": "JWT", "alg": "RS256", "x5t": "thumbprint", "kid": "key-1"} | changes
    return {name: value for name, value in header.items() if value is not ...}


def join(header: Any, claims: Any, signature: bytes = b"signature") -> str:
    """Return a compact token of any header and claims; bytes are taken as they are."""
    return f"{encode_object(header)}.{encode_object(claims)}.{encode_part(signature)}"


def get_key(number: int = 1) -> SigningKey:
    """Return one of the keys of this process; making one takes a moment."""
    return _make_key(number)


@cache
def _make_key(number: int) -> SigningKey:
    return SigningKey(f"key-{number}", make_key().private_key)


@cache
def get_private_key(bits: int, exponent: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=exponent, key_size=bits)


def sign(claims: Any, *, key: SigningKey | None = None, header: Any = None) -> str:
    """Return a token whose signature (RS256) holds over exactly this header and these claims."""
    signer = key or get_key()
    head = make_header(kid=signer.key_id) if header is None else header
    signing_input = f"{encode_object(head)}.{encode_object(claims)}"
    signature = signer.private_key.sign(signing_input.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signing_input}.{encode_part(signature)}"
