"""What could not be delivered to the endpoint, in files that outlive this process: one for each envelope. No rules here.

An envelope is on the disk before anybody is told that it is kept. On a public repository artifacts are everybody's to
read, so it is sealed to the endpoint's public key first (X25519, libsodium's sealed boxes), and without that key it is not
written at all. A token is in none of them: who delivers an envelope later does so with a session of their own.
"""

import base64
import os
import stat
from datetime import datetime
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.public import PublicKey, SealedBox

from coven_action.core.endpoint.outbox import ORDER
from coven_action.core.endpoint.relaying import MAX_FILE_BYTES, MAX_FILES, OPEN_SUFFIX, SEALED_SUFFIX, parse_files
from coven_action.core.endpoint.wire import Envelope, RelayRequest
from coven_action.core.records import sha256_hex
from coven_action.errors import DocumentError


class Outbox:
    """A folder of envelopes.

    Args:
        folder: Where they are; made with the first of them.
        seal_key: The endpoint's public key, base64; "" where there is none.
        public: Whether everybody may read the repository's artifacts.
    """

    def __init__(self, folder: Path, *, seal_key: str, public: bool) -> None:
        self._folder = folder
        self._seal_key = seal_key
        self._public = public

    def add(self, envelope: Envelope) -> bool:
        """Keep an envelope; return whether it is kept.

        Raises:
            DocumentError: `io-failed`: it could not be written.
        """
        data = envelope.model_dump_json().encode()
        if not self._public:
            self._write(f"{_name(envelope)}{OPEN_SUFFIX}", data)
            return True
        try:
            box = SealedBox(PublicKey(base64.b64decode(self._seal_key, validate=True)))
        except (CryptoError, ValueError, TypeError):
            return False
        self._write(f"{_name(envelope)}{SEALED_SUFFIX}", base64.b64encode(box.encrypt(data)))
        return True

    def collect(self, now: datetime) -> RelayRequest:
        """Return everything that is to be relayed. What is no envelope is passed over: the folder may be another run's."""
        paths = sorted(self._folder.glob("*"))[:MAX_FILES]
        return parse_files(((path.name, _read_plain(path)) for path in paths), now)

    def _write(self, name: str, data: bytes) -> None:
        path = self._folder / name
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.exists():
                return  # the same write, kept before
            temporary = path.with_name(f".{name}.new")
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
            _sync_folder(self._folder)
        except OSError as error:
            raise DocumentError("io-failed", f"The outbox cannot be written: {error.strerror}.") from error


def _name(envelope: Envelope) -> str:
    """Return a name in whose order the envelopes are delivered, since a sealed one says its kind to nobody else."""
    return f"{ORDER.index(envelope.kind)}-{sha256_hex(envelope.key.encode())}"


def _sync_folder(folder: Path) -> None:
    """A new name is on the disk once its folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_plain(path: Path) -> bytes:
    """Return a file's content, b"" for what is no ordinary file or larger than an envelope may be."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""  # gone, a link, or not readable: there is nothing to relay
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return b""
    with os.fdopen(handle, "rb") as stream:
        data = stream.read(MAX_FILE_BYTES + 1)
    return data if len(data) <= MAX_FILE_BYTES else b""
