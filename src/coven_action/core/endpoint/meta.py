"""What an endpoint tells anybody about itself: enough to check what it has signed."""

from typing import Annotated, Final, Literal

from pydantic import Field

from coven_action.core.endpoint.wire import Wire
from coven_action.core.memory.canonicalisation import canonicalise

META_PATH: Final = "/meta"
"""Beside `/v1` and not below it, where nothing answers without a token."""


class SigningPublicKey(Wire):
    """The public half of the key that signs the heads of the audit logs: Ed25519, RFC 8032.

    Args:
        key_id: The first 16 hexadecimal digits of the SHA-256 of the public key's bytes; signed heads name it.
        algorithm: Of the signatures.
        public_key: Its 32 bytes, base64: what `coven-action audit verify --key` takes.
    """

    key_id: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    algorithm: Literal["Ed25519"]
    public_key: Annotated[str, Field(pattern="^[A-Za-z0-9+/]{43}=$")]


class FormerPublicKey(SigningPublicKey):
    """A key that has signed heads before.

    Args:
        endorsement: Its own signature of `build_succession_message` of the key that signs now, base64: whoever has noted
            the former key sees that its owner names the new one.
    """

    endorsement: Annotated[str, Field(pattern="^[A-Za-z0-9+/]{86}==$")]


class Meta(Wire):
    """What the endpoint is; nothing of any account.

    Args:
        api: The version of the routes: the first part of their paths.
        signing_key: With which it signs now.
        former_signing_keys: With which it has signed before: for heads and exports that were kept from then.
    """

    api: Literal["v1"]
    signing_key: SigningPublicKey
    former_signing_keys: tuple[FormerPublicKey, ...] = ()


def build_succession_message(public_key: str) -> bytes:
    """Return what a former key signs of the one that signs now: canonical JSON with its public key, base64."""
    return canonicalise({"kind": "coven-action/signing-key", "next": public_key})
