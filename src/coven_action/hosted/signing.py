"""The deployment's own key, which signs the heads of the audit logs: Ed25519, in a file that only we can read."""

import base64
import hashlib
import os
import re
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

from coven_action.core.endpoint.audit_chain import build_head_message
from coven_action.core.endpoint.meta import FormerPublicKey, SigningPublicKey, build_succession_message
from coven_action.core.endpoint.wire import AuditHead
from coven_action.core.records import sha256_hex
from coven_action.errors import EnvironmentFault

SEED_BYTES: Final = 32
_KEY_ID: Final = re.compile(r"[0-9a-f]{16}")


class SigningKey:
    """A private key.

    Args:
        seed: Its 32 bytes.
    """

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        # Another key for another purpose, from the same file.
        self._box = PrivateKey(hashlib.sha256(b"coven-action/seal\n" + seed).digest())

    @property
    def public_key(self) -> bytes:
        """The public key's 32 bytes."""
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def seal_key(self) -> str:
        """The public key to which runs seal what only this deployment may read: X25519, base64."""
        return base64.b64encode(bytes(self._box.public_key)).decode()

    def unseal(self, sealed: str) -> bytes | None:
        """Return what was sealed to this deployment; None where it was sealed to another, or is no sealed box."""
        try:
            return SealedBox(self._box).decrypt(base64.b64decode(sealed, validate=True))
        except (CryptoError, ValueError, TypeError):
            return None

    @property
    def key_id(self) -> str:
        """Names the key: the first 16 hexadecimal digits of the SHA-256 of the public key."""
        return sha256_hex(self.public_key)[:16]

    def describe_public_key(self) -> SigningPublicKey:
        """Return the public half, as it is published."""
        public_key = base64.b64encode(self.public_key).decode()
        return SigningPublicKey(key_id=self.key_id, algorithm="Ed25519", public_key=public_key)

    def describe_former_key(self, current: "SigningKey") -> FormerPublicKey:
        """Return the public half as one that signs no more, with its word for the one that does."""
        endorsement = self.sign(build_succession_message(current.describe_public_key().public_key))
        return FormerPublicKey(**self.describe_public_key().model_dump(), endorsement=endorsement)

    def sign(self, message: bytes) -> str:
        """Return the signature of a message, base64."""
        return base64.b64encode(self._key.sign(message)).decode()


def check_head(head: AuditHead, tenant_id: int, public_key: str) -> bool:
    """Return whether a head was signed for an account with the key whose public half this is, base64."""
    message = build_head_message(tenant_id, head.seq, head.head)
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(head.signature, validate=True), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def load_signing_key(path: Path) -> SigningKey:
    """Return the key in a file; a file that does not exist is made with a new key.

    Raises:
        EnvironmentFault: `signing-key-unusable`: the file is no key, or cannot be read or made.
    """
    try:
        if not path.exists():
            _make_seed(path)
        seed = path.read_bytes()
    except OSError as error:
        raise EnvironmentFault("signing-key-unusable", f"The file {path}: {error.strerror}.") from error
    if len(seed) != SEED_BYTES:
        raise EnvironmentFault("signing-key-unusable", f"The file {path} has {len(seed)} bytes and not {SEED_BYTES}.")
    return SigningKey(seed)


def load_former_keys(path: Path) -> tuple[SigningKey, ...]:
    """Return the keys that lie beside a key's file since it took their place, the latest first.

    Raises:
        EnvironmentFault: `signing-key-unusable`.
    """
    beside = [each for each in path.parent.glob(f"{path.name}.*") if _KEY_ID.fullmatch(each.name[len(path.name) + 1 :])]
    # A change that was cut off has named the former key, and nothing has taken its place yet.
    found = [each for each in beside if not each.samefile(path)]
    return tuple(load_signing_key(each) for each in sorted(found, key=lambda each: each.stat().st_mtime, reverse=True))


def rotate_signing_key(path: Path) -> tuple[SigningKey, SigningKey]:
    """Make a new key take the place of the one in a file; return the former one, which lies beside it, and the new one.

    A process that is killed meanwhile leaves the one or the other in the file, and never none.

    Raises:
        EnvironmentFault: `signing-key-unusable`: there is no key there, or no file can be made.
    """
    if not path.is_file():
        raise EnvironmentFault("signing-key-unusable", f"There is no key at {path}.")
    former = load_signing_key(path)
    beside = path.with_name(f"{path.name}.{former.key_id}")
    try:
        if not beside.exists():
            beside.hardlink_to(path)
        # The order of the keys is that of their ends.
        os.utime(beside)
        _make_seed(path)
    except OSError as error:
        raise EnvironmentFault("signing-key-unusable", f"The file {path}: {error.strerror}.") from error
    return former, load_signing_key(path)


def _make_seed(path: Path) -> None:
    # Under another name first: a process that is killed meanwhile must not leave half a key.
    made = path.with_name(f"{path.name}.{os.getpid()}")
    made.unlink(missing_ok=True)
    handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(os.urandom(SEED_BYTES))
        file.flush()
        os.fsync(file.fileno())
    made.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
