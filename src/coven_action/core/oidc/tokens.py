"""Read a compact token before its signature is known. Pure: text in, `UnverifiedToken` or `TokenRefused` out.

Nothing here is believed: it decides only which key may be asked for. Whatever two readers could understand differently
(padding, repeated keys, other algorithms, keys that the token brings along) is refused before anything is fetched.
https://www.rfc-editor.org/rfc/rfc8725 lists the attacks.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from coven_action.core.strict_json import StrictJSONError, parse_json_object

MAX_TOKEN_LENGTH: Final = 8 * 1024
"""Characters of a whole token. GitHub's have about two thousand."""
MAX_ISSUER_LENGTH: Final = 512
MAX_DEPTH: Final = 4
"""Levels of nesting in the header and in the claims. GitHub's are flat."""
ALGORITHM: Final = "RS256"
"""The one algorithm: what GitHub's issuers announce, and never a choice of the token's."""

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
# No slash and no space: a key's name becomes part of no path, and stays readable in a log.
_KEY_ID: Final = re.compile(r"[A-Za-z0-9._~=+-]{1,128}")
# Parameters that bring a key, lead to one, or change what is signed.
_FORBIDDEN_PARAMETERS: Final = frozenset({"crit", "jku", "jwk", "x5c", "x5u"})


class TokenReason(StrEnum):
    """Why a token is refused, for logs and metrics. The caller is told one and the same for all of them."""

    TOO_LARGE = "too-large"
    MALFORMED = "malformed"
    ALGORITHM = "algorithm"
    HEADER = "header"
    KEY_ID = "key-id"
    UNKNOWN_ISSUER = "unknown-issuer"
    UNKNOWN_KEY = "unknown-key"
    KEYS_UNAVAILABLE = "keys-unavailable"
    SIGNATURE = "signature"
    AUDIENCE = "audience"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    STALE = "stale"
    TIMES = "times"
    CLAIM_MISSING = "claim-missing"
    CLAIM_MALFORMED = "claim-malformed"


class TokenRefused(Exception):
    """Raised for a token that proves nothing.

    Args:
        reason: For logs and metrics; never sent to whoever presented the token.
        claim: The claim it is about, by GitHub's name. Never a value.
    """

    def __init__(self, reason: TokenReason, claim: str = "") -> None:
        super().__init__(f"{reason}: {claim}" if claim else str(reason))
        self.reason = reason
        self.claim = claim


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """The parts of a token whose signature nobody has looked at yet. Anybody can write one.

    Attributes:
        unverified_key_id: `kid`, the name of the key that is said to have signed.
        unverified_issuer: `iss`, as it stands in the claims.
        unverified_claims: All claims.
        signing_input: The bytes that a signature covers.
        signature: What is said to be the signature of these bytes.
    """

    unverified_key_id: str
    unverified_issuer: str
    unverified_claims: dict[str, Any] = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def has_compact_shape(text: str) -> bool:
    """Say whether a text is as long as a token may be and has its three parts."""
    return len(text) <= MAX_TOKEN_LENGTH and _COMPACT.fullmatch(text) is not None


def parse_unverified_token(text: str) -> UnverifiedToken:
    """Return the parts of a compact token, none of them believed.

    Args:
        text: The token as it was presented, without a scheme in front.

    Raises:
        TokenRefused: It is too large, is not three canonical base64url parts, or its header or claims are no JSON
            object with one meaning; the header asks for another algorithm, names no key, or brings one.
    """
    if len(text) > MAX_TOKEN_LENGTH:
        raise TokenRefused(TokenReason.TOO_LARGE)
    parts = _COMPACT.fullmatch(text)
    if parts is None:
        raise TokenRefused(TokenReason.MALFORMED)
    key_id = _check_header(_parse_object(parts[1]))
    claims = _parse_object(parts[2])
    return UnverifiedToken(
        unverified_key_id=key_id,
        unverified_issuer=_get_issuer(claims),
        unverified_claims=claims,
        signing_input=text[: parts.end(2)].encode("ascii"),
        signature=decode_part(parts[3]),
    )


def decode_part(part: str) -> bytes:
    """Return the bytes of one base64url part without padding.

    Raises:
        TokenRefused: Another text would stand for the same bytes: there is padding, or unused bits are set.
    """
    try:
        decoded = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise TokenRefused(TokenReason.MALFORMED) from error
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != part.encode("ascii"):
        raise TokenRefused(TokenReason.MALFORMED)
    return decoded


def _parse_object(part: str) -> dict[str, Any]:
    try:
        return parse_json_object(decode_part(part), max_bytes=MAX_TOKEN_LENGTH, max_depth=MAX_DEPTH)
    except StrictJSONError as error:
        raise TokenRefused(TokenReason.MALFORMED) from error


def _check_header(header: dict[str, Any]) -> str:
    """Return the key's name. GitHub sends `typ`, `alg`, `kid` and a thumbprint (`x5t`), which nobody needs."""
    if header.get("alg") != ALGORITHM:
        raise TokenRefused(TokenReason.ALGORITHM)
    # A token of another type may say other things with the same claims.
    if _FORBIDDEN_PARAMETERS & header.keys() or header.get("typ", "JWT") != "JWT":
        raise TokenRefused(TokenReason.HEADER)
    key_id = header.get("kid")
    if not isinstance(key_id, str) or _KEY_ID.fullmatch(key_id) is None:
        raise TokenRefused(TokenReason.KEY_ID)
    return key_id


def _get_issuer(claims: dict[str, Any]) -> str:
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or not 0 < len(issuer) <= MAX_ISSUER_LENGTH:
        raise TokenRefused(TokenReason.UNKNOWN_ISSUER)
    return issuer
